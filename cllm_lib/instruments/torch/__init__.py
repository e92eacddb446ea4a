"""A doctor for trainings in PyTorch: one call, and one sentence that names the cause."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(__name__, {"doctor": "Report examine", "causes": "CAUSES", "callbacks": "hugging_face lightning"})
