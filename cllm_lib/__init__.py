"""The shared library of the CLLM Workbook: a small language model in NumPy, its training, and a museum of its bugs.

The four names here are all a first experiment needs; NumPy is all they import.
"""

import os

# A thread of OpenBLAS that has run out of work spins for 2^26 ticks, some 26 ms, before it sleeps, and keeps a processor
# from the optimiser's threads. 2^20 ticks are plenty. Heard only where NumPy is not loaded yet.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text import load_corpus
from cllm_lib.training.trainer import Trainer

__version__ = "0.1.0"
__all__ = ["CLLM", "CLLMConfig", "Trainer", "load_corpus"]
