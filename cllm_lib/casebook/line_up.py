"""The three patients of the chapter's last exercise, by letter. Which letter has what stands in no file: the seed decides."""

from cllm_lib.casebook.belief import most_telling
from cllm_lib.casebook.cases import admit, hidden_in
from cllm_lib.casebook.faults import HEALTHY

SEEDS = {"A": 73, "B": 70, "C": 17}


def three_cases():
    """Admit three patients: exercise 20.5.

    Returns
    -------
    dict of str to Case
        By letter; new ones at each call.
    """
    return {letter: admit(seed) for letter, seed in SEEDS.items()}


def truth_of(case):
    """What a case hides, and the question that tells most of it.

    Returns
    -------
    defect, question : str
        The question is empty for a healthy one.
    """
    defect, settings, patient = hidden_in(case)
    return defect, "" if defect == HEALTHY else most_telling(defect, settings, patient)[0]
