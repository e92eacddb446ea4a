"""What changed since 2017, as comparisons: a family of its own beside the table of the five documents, under the same rules.

    for one in changes("layer"):
        print(one.line)

A comparison is what a change makes of a loss, paired by seed: the same seed draws the same batches. Before the runs it is asked
two questions of one interval: is the change better, and is it worse, by a margin that would matter
(:mod:`~cllm_lib.claims.questions`). The intervals are as wide as needed for those of all comparisons here to hold at once
(Bonferroni); the claims of the documents are another family. The rules are frozen in evidence/protocol.json.

The comparisons stand in modules of their own, which are found by being there: :mod:`~cllm_lib.claims.changed_layers`,
:mod:`~cllm_lib.claims.changed_units`, :mod:`~cllm_lib.claims.changed_depth`, :mod:`~cllm_lib.claims.changed_ladder`.
"""

from dataclasses import dataclass

from cllm_lib.checks import one_of
from cllm_lib.claims.questions import Effect, above, below
from cllm_lib.claims.registry import csv_text, load_all
from cllm_lib.experiments.intervals import CONFIDENCE
from cllm_lib.files import write_atomically

PARTS = {  # in the order of the page
    "layer": "parts of the layer, at equal numbers of parameters",
    "units": "what gets an id: characters, byte pairs or words",
    "depth": "six layers without a warm-up",
    "ladder": "the repair ladder, in the layer of 2017 and in that of today",
}
BETTER, WORSE, SAME, UNDECIDED = "better", "worse", "no difference that matters", "undecided"
FILE = "changes.csv"

_COMPARISONS = {}


@dataclass(frozen=True)
class Comparison:
    """What is compared, with what, and which difference would matter: all that is decided before the runs.

    Attributes
    ----------
    part : str
        A key of :data:`PARTS`.
    name, against : str
    text : str
    unit : str
        Of a loss: less is better.
    margin : float
        The least that would matter, in that unit.
    differences : callable
        `differences(name, against, text)` reads the stored runs and returns the one minus the other, a number a seed.
    """

    part: str
    name: str
    against: str
    text: str
    unit: str
    margin: float
    differences: object

    @property
    def asks(self):
        """The two questions: whether the change is better, and whether it is worse."""
        return tuple(side(f"{self.text}: {self.name} minus {self.against}", 0.0, self.margin, self.unit) for side in (below, above))


@dataclass(frozen=True)
class Change:
    """A comparison and its answer.

    Attributes
    ----------
    part, name, against, text : str
        See :class:`Comparison`.
    effect : Effect
        `name` minus `against`, paired by seed: below 0 is better. It holds its own interval and the corrected one.
    margin : float
    verdict : str
        "better" or "worse", where all of the corrected interval lies on that side of 0, and some of it beyond the margin; "no
        difference that matters", where all of it lies within the margin on both sides; else "undecided".
    """

    part: str
    name: str
    against: str
    text: str
    effect: Effect
    margin: float
    verdict: str

    @property
    def line(self):
        """All of it in a line."""
        return f"{self.text}: {self.name} minus {self.against}: {self.effect:+.3f} {self.effect.unit}: {self.verdict}"


def compare(part, name, against, text, unit, margin, differences):
    """Register a comparison; its two questions have to be known before anything is judged, for the correction counts it.

    Raises
    ------
    ValueError
        If the part is unknown, or another module has registered this comparison.
    """
    one_of(part, PARTS, "part")
    key = part, name, against, text
    one = Comparison(*key, unit, margin, differences)
    if key in _COMPARISONS and _COMPARISONS[key].differences.__module__ != differences.__module__:
        raise ValueError(f"{name!r} is compared with {against!r} on {text!r} already, in {_COMPARISONS[key].differences.__module__}")
    _COMPARISONS[key] = one


def comparisons():
    """All comparisons of the family, part by part.

    Returns
    -------
    list of Comparison
    """
    load_all()
    order = list(PARTS)
    return sorted(_COMPARISONS.values(), key=lambda one: order.index(one.part))


def confidence():
    """Of each interval, so that those of all comparisons hold at once with 95 % (Bonferroni). Two questions read one interval."""
    return 1 - (1 - CONFIDENCE) / max(1, len(comparisons()))


def changes(part=None):
    """What each change since 2017 does, judged by the stored runs.

    Parameters
    ----------
    part : str, optional
        "layer", "units", "depth" or "ladder"; all by default.

    Returns
    -------
    list of Change

    Raises
    ------
    ValueError
        If the part is unknown.
    FileNotFoundError
        If the runs have not been made; the error says how.
    """
    if part is not None:
        one_of(part, PARTS, "part")
    level = confidence()
    return [judged(one, level) for one in comparisons() if part in (None, one.part)]


def judged(one, level):
    """A comparison with its answer, its corrected interval of this confidence."""
    values = one.differences(one.name, one.against, one.text)
    better, worse = (asked.answered(values, level) for asked in one.asks)
    return Change(one.part, one.name, one.against, one.text, better, one.margin, verdict_of(better.answer, worse.answer))


def verdict_of(better, worse):
    """The words for two answers, each True, False, or None for undecided."""
    if better:
        return BETTER
    if worse:
        return WORSE
    return SAME if better is worse is False else UNDECIDED


def rules():
    """All that was decided before the runs, for the protocol: the correction, and each comparison with its margin.

    Returns
    -------
    dict
        As JSON holds it.
    """
    family = comparisons()
    return {
        "correction": f"Bonferroni: all intervals of {len(family)} comparisons hold at once at {CONFIDENCE:.0%}, two questions of each",
        "comparisons": {one.asks[0].name: {"part": one.part, "unit": one.unit, "margin": one.margin} for one in family},
    }


def judges():
    """The names of the modules that turn runs into these verdicts."""
    return {__name__, *(one.differences.__module__ for one in comparisons())}


COLUMNS = (
    *("part", "text", "change", "against", "unit", "seeds", "value", "low", "high"),
    *("margin", "corrected_low", "corrected_high", "verdict", "detectable"),
)


def write_changes(path, found=None):
    """Write the family as CSV, one line a comparison.

    Parameters
    ----------
    path : str or path
        Its folder must exist. Written whole.
    found : list of Change, optional
        By default :func:`changes`.
    """
    lines = []
    for one in changes() if found is None else found:
        effect = one.effect
        numbers = (effect.interval.mean, effect.interval.low, effect.interval.high, one.margin, effect.corrected.low, effect.corrected.high)
        value, low, high, margin, corrected_low, corrected_high = (f"{number:.6g}" for number in numbers)
        lines.append(
            [
                *(one.part, one.text, one.name, one.against, effect.unit, effect.n_seeds, value, low, high),
                *(margin, corrected_low, corrected_high, one.verdict, "" if effect.detectable is None else f"{effect.detectable:.6g}"),
            ]
        )
    write_atomically(path, csv_text(COLUMNS, lines).encode("utf-8"))
