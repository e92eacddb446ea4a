"""Every defect of the case files as a drop-in part, found by name.

A new one is one function under :func:`~cllm_lib.casebook.faults.catalogue.fault`, in any module of this package.

What a symptom says of a loss was measured on twenty pairs of twins, from the same settings with the defect and without: "above the
sound twin's", of the mean of the last ten training losses, is so on seventeen of twenty seeds or more, "on most seeds" on twelve or
more, and "beside" says that neither is.
"""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(__name__, {"catalogue": "ALL HEALTHY Fault fault"})
