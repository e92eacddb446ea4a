"""What can be read off the table: who tells what, the tree of questions, and how well cases were solved."""

import json

from cllm_lib.casebook import faults
from cllm_lib.casebook.belief import best_question, experience, updated
from cllm_lib.casebook.faults import HEALTHY
from cllm_lib.files import shipped

LIKELY = 0.5  # from here on a defect counts as one that an instrument speaks up for


def trunk(belief, count):
    """The trunk of the tree of questions: the best question, the next best where it finds nothing, and so on.

    Parameters
    ----------
    belief : dict of str to float
        Before the first question.
    count : int
        Questions, at most.

    Returns
    -------
    list of (str, tuple of str, float)
        The question; the defects that branch off there, as the instrument speaks up for most of their patients; and the belief in
        "healthy" that is left where it says nothing.
    """
    known, steps, asked, left = experience(), [], [], {name for name, share in belief.items() if share > 0.0 and name != HEALTHY}
    while len(steps) < count and (question := best_question(belief, asked)) is not None:
        asked.append(question)
        silent = dict(zip(known.names, known.likelihood(question, ()), strict=True))
        found = tuple(sorted(name for name in left if silent[name] < LIKELY))
        left -= set(found)
        belief = updated(belief, question, ())
        steps.append((question, found, belief[HEALTHY]))
    return steps


def places():
    """The place of each defect, such as "attention" or "texts", in the order of the way from weights to checkpoints."""
    order = ("initial_weights", "attention", "layers", "losses", "optimizers", "texts", "checkpoints")
    found = {name: fault.plant.__module__.rpartition(".")[2] for name, fault in faults.ALL.items()}
    return dict(sorted(found.items(), key=lambda entry: order.index(entry[1])))


def measured():
    """What `python -m benchmarks.case_files` measured last: separation, cross-validation, fresh cases, as a dictionary."""
    return json.loads(shipped("evidence", "measured/case_files.json").read_text(encoding="utf-8"))
