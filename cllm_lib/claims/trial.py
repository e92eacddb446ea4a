"""A claim of the reader's own, judged as the others are."""

import numpy as np

from cllm_lib.claims.judging import Row, verdict
from cllm_lib.claims.questions import below, comparisons
from cllm_lib.experiments import runs as experiments
from cllm_lib.experiments.intervals import CONFIDENCE


def try_out(claim, measure, ours, others, change_our_mind, *, seeds=range(10), unit="nats", margin=0.0, **options):
    """Run an experiment and judge the claim that a number is lower with `ours` than with `others`.

    Parameters
    ----------
    claim : str
    measure : callable
        `measure(variant, seed)` returns the number; where more is better, hand over its negative.
    ours, others : object
        The two variants.
    change_our_mind : str
        What would have to be seen for another verdict: written before the run.
    seeds : iterable of int
        At least ten; both variants see the same.
    unit : str
    margin : float
        The least difference that would matter, in that unit. The claim does not hold only where so much can be excluded; where it
        can neither be shown nor excluded, it is undecided.
    **options
        For :func:`~cllm_lib.experiments.runs.run`, such as `n_jobs`, `cache` or `backend`.

    Returns
    -------
    Row
        Its effect is ours minus others, paired by seed; the corrected interval counts it with all comparisons of the table.

    Raises
    ------
    ValueError
        If there are fewer than ten seeds, or the two variants are one, or a number is not finite.
    RuntimeError
        If the measure raises.
    """
    made = experiments.run(measure, [ours, others], seeds, **options)
    differences = np.asarray(made[ours], dtype=np.float64) - np.asarray(made[others], dtype=np.float64)
    asked = below(f"{ours} minus {others}", 0.0, margin, unit)
    found = asked.answered(differences, 1 - (1 - CONFIDENCE) / (comparisons() + 1))
    said = f"{ours} minus {others}, {found.n_seeds} seeds (95 %): {found:+.3f} {unit}; corrected {found.corrected:+.3f}"
    experiment = f"{ours} against {others}, paired by seed."
    words = verdict(found.answer)
    return Row(claim, "you", said, words, "your own", experiment, change_our_mind, (found,), "10", (asked,))
