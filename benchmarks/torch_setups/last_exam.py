"""A last examination of the doctor, by somebody who knew its interface and the list of causes only: all its set-ups."""

from benchmarks.torch_setups.last_exam_faults import FAULTS
from benchmarks.torch_setups.last_exam_parts import Setup
from benchmarks.torch_setups.last_exam_sound import SOUND

__all__ = ["FAULTS", "SOUND", "Setup"]
