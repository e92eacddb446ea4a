"""From measurements to rows: a claim, what was found, how sure that is, and the verdict that follows.

A judge is a function under :func:`measured`. It returns what it found as a line, a verdict, and the effects the verdict
rests on. Whoever looks at many claims at once finds something by chance alone; so every effect that chance touches has
two intervals, its own and one widened for all such comparisons of the table together (Bonferroni). A verdict rests on the
wide one.
"""

import csv
import functools
import re
from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.claims.registry import csv_text, evidence_file, fresh, load_all, stored
from cllm_lib.experiments.intervals import CONFIDENCE, Interval, exact_binomial_interval, holm, interval, p_value
from cllm_lib.files import write_atomically

HOLDS, PARTLY, FAILS, UNTESTABLE = "holds", "holds only if", "does not hold", "cannot be tested"
LEAST_SEEDS = 10

_CLAIMS = {}


@dataclass(frozen=True)
class Effect:
    """How large something is.

    Attributes
    ----------
    name, unit : str
        Such as "loss with real minus simplified attention" and "nats".
    interval : Interval
        At 95 %, where chance has a part; else the smallest and the largest that was seen, or the value itself.
    corrected : Interval
        The same, wide enough that all of them in the table hold at once, at 95 %.
    n_seeds : int or None
        None: chance has no part.
    p : float or None
        Two-sided, against no effect; None for a share, which is against nothing.
    """

    name: str
    unit: str
    interval: Interval
    corrected: Interval
    n_seeds: int | None = None
    p: float | None = None

    def __str__(self):
        one_value = self.n_seeds is None and self.interval.low == self.interval.high
        return f"{self.name}: {format(self.interval.mean if one_value else self.interval, '.3g')} {self.unit}".rstrip()


@dataclass(frozen=True)
class Row:
    """One claim, judged.

    Attributes
    ----------
    claim : str
        In the documents' words, or as near as one line allows.
    source : str
        The document.
    measured : str
        What was found, with seeds and interval where chance has a part.
    verdict : str
        "holds", "does not hold", "holds only if ..." with the condition, or "cannot be tested (why)".
    section : str
        The heading in the document under which the claim stands.
    experiment : str
        What was done, in a line.
    change_our_mind : str
        What would have to be seen for another verdict.
    effects : tuple of Effect
        The first is the one the claim is about.
    chapter : str
    """

    claim: str
    source: str
    measured: str
    verdict: str
    section: str
    experiment: str
    change_our_mind: str
    effects: tuple
    chapter: str

    @property
    def n_seeds(self):
        """The fewest behind any effect, or None: chance has no part."""
        return min((one.n_seeds for one in self.effects if one.n_seeds is not None), default=None)

    @property
    def kind(self):
        """The verdict without its condition or reason."""
        return kind_of(self.verdict)


@dataclass(frozen=True)
class _Claim:
    claim: str
    source: str
    section: str
    experiment: str
    change_our_mind: str
    comparisons: int
    judge: object


def measured(chapter, claim, source, section, experiment, change_our_mind, comparisons=0):
    """Let a function be the judge of a claim.

    Parameters
    ----------
    chapter : str
        The notebook that tests the claim, such as "07".
    claim, source, section, experiment, change_our_mind : str
        See :class:`Row`.
    comparisons : int
        How many of the effects the judge returns chance has a part in. It has to be known before anything is judged, for
        the correction counts them all.

    Returns
    -------
    callable
        A decorator that gives back the function unchanged. The function returns what it found, a verdict (see
        :func:`verdict`), and, as a third, a list of effects.

    Raises
    ------
    ValueError
        If another module has a judge of that name for the chapter, or `source` names none of the five documents.
    """
    if not re.search(r"\b00[0-4]\b", source):
        raise ValueError(f"source is {source!r}: name the document, 000 to 004, as in 'document 001'")

    def register(judge):
        group, name, here = _CLAIMS.setdefault(chapter, {}), judge.__name__, judge.__module__
        there = group[name].judge.__module__ if name in group else here
        if there != here:
            raise ValueError(f"there is a judge {name!r} of chapter {chapter} already, in {there}: take another name in {here}")
        group[name] = _Claim(claim, source, section, experiment, change_our_mind, comparisons, judge)
        return judge

    return register


def comparisons():
    """How many effects of the table chance has a part in: the family that the correction is for."""
    load_all()
    return sum(one.comparisons for group in _CLAIMS.values() for one in group.values())


def effect(name, values, unit):
    """The mean of one value a seed, with its interval and the corrected one.

    Parameters
    ----------
    name : str
    values : array_like of float, shape (seeds,)
        For a difference: paired, seed by seed.
    unit : str

    Returns
    -------
    Effect

    Raises
    ------
    ValueError
        If there are fewer than ten.
    """
    values = np.asarray(values, dtype=np.float64)
    _check_seeds(name, len(values))
    return Effect(name, unit, interval(values), interval(values, corrected_confidence()), len(values), p_value(values))


def share(name, hits, unit="share of seeds"):
    """In how many seeds something happened, with the exact binomial interval and the corrected one.

    Parameters
    ----------
    name : str
    hits : array_like of bool, shape (seeds,)
    unit : str

    Returns
    -------
    Effect

    Raises
    ------
    ValueError
        If there are fewer than ten.
    """
    hits = np.asarray(hits, dtype=bool)
    _check_seeds(name, len(hits))
    found, wide = (exact_binomial_interval(int(hits.sum()), len(hits), level) for level in (CONFIDENCE, corrected_confidence()))
    return Effect(name, unit, found, wide, len(hits))


def corrected_confidence():
    """Of each interval, so that all that chance touches hold at once with 95 % (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(1, comparisons())


def _check_seeds(name, n_seeds):
    if n_seeds < LEAST_SEEDS:
        raise ValueError(f"{name!r} has {n_seeds} seeds: where chance has a part, no verdict without {LEAST_SEEDS} at least")


def exact(name, value, unit, low=None, high=None):
    """An effect in which chance has no part, such as a count; or, with `low` and `high`, one of which a range was seen."""
    low, high = (value if bound is None else bound for bound in (low, high))
    found = Interval(float(value), float(low), float(high))
    return Effect(name, unit, found, found)


def verdict(holds, only_if=None):
    """The words of a verdict.

    Parameters
    ----------
    holds : bool
        Whether the claim holds as it stands.
    only_if : str, optional
        A condition under which it holds where it does not hold as it stands.
    """
    if holds:
        return HOLDS
    return FAILS if only_if is None else f"{PARTLY} {only_if}"


def untestable(why):
    """The verdict on a claim that no measurement could decide as it is said."""
    return f"{UNTESTABLE} ({why})"


def kind_of(words):
    """Which of the four a verdict is."""
    return next(kind for kind in (PARTLY, HOLDS, FAILS, UNTESTABLE) if words.startswith(kind))


def timed(name):
    """Let a judge of times, which takes what a script of `benchmarks/` found, judge twice: what is stored, and what is fresh.

    Times differ from run to run; the verdict should not. A condition that only one of the two finds is none. Where one says
    that the claim holds and the other does not, that is the verdict.

    Parameters
    ----------
    name : str
        As for :func:`~cllm_lib.claims.registry.stored`.
    """

    def twice(judge):
        @functools.wraps(judge)
        def judged():
            found, first, *effects = judge(stored(name))
            return found, _agreed(first, judge(fresh(name))[1]), *effects

        return judged

    return twice


def _agreed(first, second):
    kinds = {kind_of(first), kind_of(second)}
    if len(kinds) == 1:
        return first
    if kinds == {PARTLY, FAILS}:
        return FAILS
    return f"{PARTLY} the machine suits: where the stored times were taken it {first}, where they were last taken anew it {second}"


def rows(chapter=None):
    """The claims a chapter tests, or all, each judged now: chapter by chapter, module by module, line by line.

    Parameters
    ----------
    chapter : str, optional
        Such as "07".

    Returns
    -------
    list of Row

    Raises
    ------
    ValueError
        If no claim is tested in that chapter, or a judge returns another number of comparisons than it was registered with.
    """
    load_all()
    chapters = sorted(_CLAIMS) if chapter is None else [chapter]
    groups = {name: one_of(name, _CLAIMS, "chapter of claims") for name in chapters}
    return [_judged(name, one) for name, group in groups.items() for one in sorted(group.values(), key=_module)]


def _module(one):
    """By this and no more: within a module a stable sort leaves the order in which it was read, whoever was imported first."""
    return one.judge.__module__


def _judged(chapter, one):
    found, words, effects = one.judge()
    touched = sum(effect.n_seeds is not None for effect in effects)
    if touched != one.comparisons:
        raise ValueError(
            f"{one.judge.__name__} returned {touched} effects that chance has a part in, and was registered with "
            f"comparisons={one.comparisons}: the correction counts on that number"
        )
    return Row(one.claim, one.source, found, words, one.section, one.experiment, one.change_our_mind, tuple(effects), chapter)


def show(chapter=None):
    """Print :func:`rows`, one claim under the other."""
    for row in rows(chapter):
        print(f'"{row.claim}" ({row.source})\n    measured: {row.measured}\n    verdict:  {row.verdict}\n')


def table():
    """All rows, in order of the document that says it first; within a document as the stored table has them, then new ones.

    Returns
    -------
    list of Row
    """
    places = _stored_places()
    return sorted(rows(), key=lambda row: (re.search(r"\d{3}", row.source).group(), places.get((row.chapter, row.claim), len(places))))


def _stored_places():
    """Where each claim stands in the stored table, by chapter and claim.

    So files may be named, split and joined as one likes, and no line of the table moves; whoever words a claim anew finds it
    among the new ones.
    """
    # No order of what rows say of themselves gives the one that readers know: most sections have no number, and the documents
    # to count their lines in are not here.
    path = evidence_file("table.csv")
    if not path.exists():
        return {}  # before the first `make evidence`
    with path.open(encoding="utf-8", newline="") as file:
        return {(line["chapter"], line["claim"]): place for place, line in enumerate(csv.DictReader(file))}


def adjusted_p_values(rows):
    """Holm's p values of all effects that chance has a part in, None for the others, in order.

    Parameters
    ----------
    rows : list of Row
        The whole table: the adjustment is for looking at all of it.

    Returns
    -------
    list of (float or None)
    """
    effects = [one for row in rows for one in row.effects]
    known = [one.p for one in effects if one.p is not None]
    adjusted = iter(holm(known) if known else ())
    return [None if one.p is None else float(next(adjusted)) for one in effects]


TABLE_COLUMNS = ("claim", "source", "section", "chapter", "experiment", "seeds", "effect", "measured", "verdict", "change_our_mind")
EFFECT_COLUMNS = (
    *("claim", "effect", "unit", "seeds", "value", "low", "high", "corrected_low", "corrected_high", "p", "p_holm"),
    "verdict",
)


def write_table(path, rows=None):
    """Write the table as CSV, one line a claim.

    Parameters
    ----------
    path : str or path
        Its folder must exist. Written whole.
    rows : list of Row, optional
        By default :func:`table`.
    """
    lines = [
        (
            *(row.claim, row.source, row.section, row.chapter, row.experiment, _or_nothing(row.n_seeds)),
            *("; ".join(map(str, row.effects)), row.measured, row.verdict, row.change_our_mind),
        )
        for row in (table() if rows is None else rows)
    ]
    write_atomically(path, csv_text(TABLE_COLUMNS, lines).encode("utf-8"))


def write_effects(path, rows=None):
    """Write the effects of the table as CSV, one line each, with both intervals and both p values.

    Parameters
    ----------
    path : str or path
        Its folder must exist. Written whole.
    rows : list of Row, optional
        By default :func:`table`.
    """
    rows = table() if rows is None else rows
    adjusted, lines = iter(adjusted_p_values(rows)), []
    for row in rows:
        for one in row.effects:
            bounds = (one.interval.mean, one.interval.low, one.interval.high, one.corrected.low, one.corrected.high)
            numbers = [*(f"{bound:.6g}" for bound in bounds), *(_digits(p) for p in (one.p, next(adjusted)))]
            lines.append([row.claim, one.name, one.unit, _or_nothing(one.n_seeds), *numbers, row.verdict])
    write_atomically(path, csv_text(EFFECT_COLUMNS, lines).encode("utf-8"))


def _or_nothing(number):
    return "" if number is None else number


def _digits(p):
    return "" if p is None else f"{p:.3g}"
