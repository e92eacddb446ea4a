"""The shared library of the CLLM Workbook: a small language model in NumPy, its training, and a museum of its bugs.

The four names here are all a first experiment needs; NumPy is all they import.
"""

from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text import load_corpus
from cllm_lib.training.trainer import Trainer

__version__ = "0.1.0"
__all__ = ["CLLM", "CLLMConfig", "Trainer", "load_corpus"]
