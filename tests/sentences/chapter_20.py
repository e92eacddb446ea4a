"""Rules of the chapter of case files. Chance is in which cases are drawn."""

import numpy as np
from sentences.trials import rule

from cllm_lib import casebook

CASES = 20  # a seed


def some_cases(seed):
    """Twenty cases: whether each curve looks healthy, and what the procedure says and asks."""
    found = []
    for number in range(CASES):
        case = casebook.admit(100_000 + CASES * seed + number)
        accused, asked = casebook.solve(case)
        verdict = case.accuse(accused)
        looks = casebook.looks_healthy(case.losses, case.settings.vocab_size)
        found.append({"looks healthy": looks, "healthy": verdict.defect == "healthy", "right": verdict.right, "questions": len(asked)})
    return found


@rule("Four in five look healthy; one in seven is.", of=some_cases, together=True)
def most_curves_look_healthy(runs):
    cases = [case for run in runs for case in run]
    looks, healthy = (np.mean([case[name] for case in cases]) for name in ("looks healthy", "healthy"))
    return 0.74 < looks < 0.86 and 0.09 < healthy < 0.20


@rule("convicts by three or four questions in the median and acquits by eleven or twelve", of=some_cases, together=True)
def convicting_is_cheaper_than_acquitting(runs):
    cases = [case for run in runs for case in run]
    sick, healthy = ([case["questions"] for case in cases if case["healthy"] == is_healthy] for is_healthy in (False, True))
    return np.median(sick) <= 4 and 10 <= np.median(healthy) <= 12
