"""The most memory a training run ever held, measured in a fresh process."""

import sys
from pathlib import Path

import psutil

from benchmarks.peers import Ours, PyTorch

STEPS = 5


def peak_bytes():
    """The most this process has held so far.

    On Linux not by getrusage: a new process inherits the peak of the one that started it.
    """
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


class Memory:
    """A training run of a few steps; made in a fresh process."""

    def __init__(self, name, config):
        if name == "PyTorch":
            import torch  # noqa: F401 (what is imported before the run is the library, not the run)
        self.before = psutil.Process().memory_info().rss
        contestant = PyTorch(config, fused=True) if name == "PyTorch" else Ours(config)
        for _ in range(STEPS):
            contestant.step()

    def report(self):
        """Bytes held before the run, by the interpreter and its libraries, and at the run's peak."""
        return self.before, peak_bytes()
