"""The shared library of the CLLM Workbook: a small language model in NumPy, its training, and a museum of its bugs.

The four names here are all a first experiment needs; NumPy is all they import. The packages are the rest of the house:
each offers its names by its face, `from cllm_lib.text import load_corpus`.
"""

import os

from cllm_lib.faces import face

# A thread of OpenBLAS that has run out of work spins for 2^26 ticks, some 26 ms, before it sleeps, and keeps a processor
# from the optimiser's threads. 2^20 ticks are plenty. Heard only where NumPy is not loaded yet.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "model.config": "CLLMConfig",
        "model.transformer": "CLLM",
        "text.corpora": "load_corpus",
        "training.trainer": "Trainer",
    },
)
