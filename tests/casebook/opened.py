"""Case files of a known defect, for tests: a reader has :func:`cllm_lib.casebook.admit` alone."""

import numpy as np

from cllm_lib import casebook
from cllm_lib.casebook import cases, faults

EVERY = [casebook.HEALTHY, *faults.ALL]


def opened(defect, number=0, seed=7):
    """An open case with that defect, not yet trained: each number has settings of its own."""
    patient = casebook.patient_of(defect, np.random.default_rng([99, EVERY.index(defect), number]))
    return cases._opened(cases._File(seed, None, patient.settings, defect, patient, 0, {}))


def hidden(case):
    """What a case hides."""
    return cases._FILES[case]
