"""Every defect of the case files as a drop-in part, found by name.

A new one is one function under :func:`~cllm_lib.casebook.faults.catalogue.fault`, in any module of this package.
"""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(__name__, {"catalogue": "ALL HEALTHY Fault fault"})
