"""Questions that effects answer, each written before its runs: a threshold, the margin that would matter, the interval that fits.

An answer is no if none of the corrected interval lies beyond the threshold by more than the margin, the least that would matter;
else yes if all of it lies beyond the threshold; else undecided: so many seeds cannot tell. "Not significant" is not "no".

    faster = below("ours minus plain, epochs", 0.0, margin=0.5, unit="epochs")
    one = faster(differences)  # one value a seed
    one.answer                 # True, False, or None: undecided
"""

from dataclasses import dataclass, replace

import numpy as np

from cllm_lib.checks import non_negative_number, one_of
from cllm_lib.claims.registry import load_all
from cllm_lib.experiments.intervals import (
    CONFIDENCE,
    Interval,
    bounded_interval,
    detectable_effect,
    exact_binomial_interval,
    interval,
    studentized_bootstrap_interval,
)

LEAST_SEEDS = 10
_ASKED = {}  # by chapter and judge, all that the table asks
BELOW, ABOVE = "below", "above"


def _share_of_many(values, confidence):
    """Student's, and no share beyond 0 and 1."""
    found = interval(values, confidence)
    return Interval(found.mean, max(0.0, found.low), min(1.0, found.high))


def _share_of_seeds(values, confidence):
    return exact_binomial_interval(int(np.sum(values)), len(values), confidence)


INTERVALS = {  # by what the value of one seed is
    "number": interval,
    "number with a long tail": studentized_bootstrap_interval,
    "share of many": _share_of_many,  # such as of thousands of queries: nearly normal
    "share of few": lambda values, confidence: bounded_interval(values, 0.0, 1.0, confidence),
    "yes or no": _share_of_seeds,
}


@dataclass(frozen=True)
class Question:
    """Whether a mean over seeds is below, or above, a threshold; calling it with one value a seed gives an :class:`Effect`.

    Attributes
    ----------
    name, unit : str
        Such as "loss with real minus simplified attention" and "nats".
    says : str
        "below" or "above".
    threshold : float
    margin : float
        In the same unit: the least that would matter beyond the threshold; the answer is no where so much can be excluded, and
        only there. 0 where the threshold is a bar that the claim itself sets.
    kind : str
        What the value of one seed is, a key of :data:`INTERVALS`.
    """

    name: str
    unit: str
    says: str
    threshold: float
    margin: float
    kind: str = "number"

    def __post_init__(self):
        one_of(self.says, {BELOW: 0, ABOVE: 0}, "side")
        one_of(self.kind, INTERVALS, "kind of value")
        non_negative_number(self.margin, "margin")

    def __call__(self, values):
        """The effect, its corrected interval that of all questions of the table together.

        Raises
        ------
        ValueError
            If there are fewer values than ten, or one is not finite.
        """
        return self.answered(values, corrected_confidence())

    def answered(self, values, confidence):
        """The same with a corrected interval of this confidence."""
        values = np.asarray(values, dtype=np.float64)
        if len(values) < LEAST_SEEDS:
            raise ValueError(f"{self.name!r} has {len(values)} seeds: where chance has a part, no verdict without {LEAST_SEEDS} at least")
        constant = np.ptp(values) == 0.0 and self.kind != "yes or no"
        if constant:
            found = wide = Interval(*[float(values[0])] * 3)
        else:
            found, wide = (INTERVALS[self.kind](values, level) for level in (CONFIDENCE, confidence))
        return Effect(self.name, self.unit, found, wide, len(values), self, float(values.std(ddof=1)), confidence)


def family():
    """All questions of the table, by chapter and judge: the family that intervals are corrected for.

    Returns
    -------
    dict of (str, str) to tuple of Question
    """
    load_all()
    return dict(_ASKED)


def comparisons():
    """How many questions the table asks."""
    return sum(map(len, family().values()))


def corrected_confidence():
    """Of each interval, so that those of all questions hold at once with 95 % (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(1, comparisons())


def below(name, threshold, margin, unit, kind="number"):
    """Ask whether a mean is below a threshold; see :class:`Question`."""
    return Question(name, unit, BELOW, threshold, margin, kind)


def above(name, threshold, margin, unit, kind="number"):
    """Ask whether a mean is above a threshold; see :class:`Question`."""
    return Question(name, unit, ABOVE, threshold, margin, kind)


@dataclass(frozen=True)
class Effect:
    """How large something is.

    Attributes
    ----------
    name, unit : str
    interval : Interval
        At 95 %, where chance has a part; else the smallest and the largest that was seen, or the value itself.
    corrected : Interval
        The same, wide enough that all of them in the table hold at once, at 95 %.
    n_seeds : int or None
        None: chance has no part.
    question : Question or None
    spread : float or None
        Standard deviation of the values over seeds. If it is 0, all were the same, and there is no interval but the value.
    confidence : float or None
        Of the corrected interval.
    """

    name: str
    unit: str
    interval: Interval
    corrected: Interval
    n_seeds: int | None = None
    question: Question | None = None
    spread: float | None = None
    confidence: float | None = None

    @property
    def is_constant(self):
        """Whether all seeds gave one value, which leaves nothing to be uncertain of, nor to measure chance by."""
        return self.n_seeds is not None and self.interval.low == self.interval.high

    @property
    def answer(self):
        """True, False, or None for undecided; None as well where nothing was asked."""
        if self.question is None:
            return None
        side = -1.0 if self.question.says == BELOW else 1.0
        least, most = sorted(side * (bound - self.question.threshold) for bound in (self.corrected.low, self.corrected.high))
        if most <= self.question.margin:
            return False
        return True if least > 0.0 else None

    @property
    def detectable(self):
        """The smallest difference from the threshold that so many seeds would tell, four times in five; None where there is none."""
        if not self.spread:
            return None
        return detectable_effect(self.spread, self.n_seeds, self.confidence)

    def __format__(self, specification):
        """As its interval; where chance has no part, or all seeds gave the same, as the value."""
        if self.is_constant:
            return f"{self.interval.mean:{specification}} (the same in all {self.n_seeds})"
        if self.interval.low == self.interval.high:
            return f"{self.interval.mean:{specification}}"
        return f"{self.interval:{specification}}"

    def __str__(self):
        return f"{self.name}: {self:.3g} {self.unit}".rstrip()


def described(name, values, unit, kind="number"):
    """An effect that is told and not asked about: no verdict rests on it, so it is not corrected for.

    Parameters
    ----------
    name : str
    values : array_like of float, shape (seeds,)
    unit : str
    kind : str
        A key of :data:`INTERVALS`.

    Returns
    -------
    Effect
    """
    found = Question(name, unit, ABOVE, 0.0, 0.0, kind).answered(values, CONFIDENCE)
    return replace(found, question=None)


def every(answers):
    """Whether all answers are yes: no if one is no, undecided if one is undecided and none is no."""
    answers = list(answers)
    return False if False in answers else None if None in answers else True


def some(answers):
    """Whether one answer is yes: undecided if none is, and one is undecided."""
    answers = list(answers)
    return True if True in answers else None if None in answers else False
