"""From measurements to rows: a claim, what was found, how sure that is, and the verdict that follows.

A judge is a function under :func:`measured`. It returns what it found as a line, a verdict, and the effects the verdict
rests on. Where chance has a part, the verdict is made of answers to questions that were written before the runs
(:mod:`~cllm_lib.claims.questions`). Whoever asks many questions at once finds something by chance alone; so each answer rests
on an interval widened for all questions of the table together (Bonferroni).
"""

import csv
import functools
import math
import re
from dataclasses import dataclass, replace

from cllm_lib.checks import one_of
from cllm_lib.claims.questions import _ASKED, Effect
from cllm_lib.claims.quotes import documents_of, places
from cllm_lib.claims.registry import csv_text, evidence_file, fresh, load_all, stored
from cllm_lib.experiments.intervals import Interval
from cllm_lib.files import write_atomically

HOLDS, PARTLY, FAILS, UNTESTABLE, UNDECIDED = "holds", "holds only if", "does not hold", "cannot be tested", "undecided"

_CLAIMS = {}


@dataclass(frozen=True)
class Row:
    """One claim, judged.

    Attributes
    ----------
    claim : str
        In the document's words, " ... " where some are left out; a test finds it there (:mod:`~cllm_lib.claims.quotes`).
    source : str
        The document, or documents, that say it.
    measured : str
        What was found; where chance has a part, with seeds, text and intervals.
    verdict : str
        "holds", "does not hold", "holds only if ..." with the condition, "undecided (...)", or "cannot be tested (why)".
    section : str
        The heading in the document under which the claim stands.
    experiment : str
        What was done, in a line.
    change_our_mind : str
        What would have to be seen for another verdict.
    effects : tuple of Effect
        The first is the one the claim is about.
    chapter : str
    asks : tuple of Question
        What the verdict rests on, where chance has a part.
    about : str
        What the words were said of, in ours, where they do not say it themselves; else "".
    fresh : str
        The verdict by seeds that were drawn after the protocol was frozen, with these and its commit; "" where there are none.
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
    asks: tuple = ()
    about: str = ""
    fresh: str = ""

    @property
    def quotation(self):
        """The claim between its marks, and in brackets what it was said of."""
        return f'"{self.claim}"' + (f" [{self.about}]" if self.about else "")

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
    asks: tuple
    texts: str
    about: str
    judge: object


def measured(chapter, claim, source, section, experiment, change_our_mind, asks=(), texts="one text, sayings", about=""):
    """Let a function be the judge of a claim.

    Parameters
    ----------
    chapter : str
        The notebook that tests the claim, such as "07".
    claim, source, section, experiment, change_our_mind, about : str
        See :class:`Row`.
    asks : iterable of Question
        What the verdict rests on, where chance has a part. All of the table have to be known before anything is judged, for the
        correction counts them.
    texts : str
        What the seeds were run on: they say how much chance does there, and nothing of other texts.

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
        group[name] = _Claim(claim, source, section, experiment, change_our_mind, tuple(asks), texts, about, judge)
        _ASKED[chapter, name] = tuple(asks)
        return judge

    return register


def exact(name, value, unit, low=None, high=None):
    """An effect in which chance has no part, such as a count; or, with `low` and `high`, one of which a range was seen."""
    low, high = (value if bound is None else bound for bound in (low, high))
    found = Interval(float(value), float(low), float(high))
    return Effect(name, unit, found, found)


def verdict(holds, only_if=None, unsure=None):
    """The words of a verdict.

    Parameters
    ----------
    holds : bool or None
        Whether the claim holds as it stands; None if that is undecided.
    only_if : str, optional
        A condition under which it holds where it does not hold as it stands.
    unsure : str, optional
        A condition under which that is undecided; said where no other is known.
    """
    if holds:
        return HOLDS
    if holds is None:
        return UNDECIDED
    if only_if:
        return f"{PARTLY} {only_if}"
    return f"{FAILS}; undecided if {unsure}" if unsure else FAILS


def untestable(why):
    """The verdict on a claim that no measurement could decide as it is said."""
    return f"{UNTESTABLE} ({why})"


def kind_of(words):
    """Which of the five a verdict is."""
    return next(kind for kind in (PARTLY, HOLDS, FAILS, UNDECIDED, UNTESTABLE) if words.startswith(kind))


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
    if UNDECIDED in kinds:
        return UNDECIDED
    return f"{PARTLY} the machine suits: where the stored times were taken it {first}, where they were last taken anew it {second}"


def rows(chapter=None):
    """The claims a chapter tests, or all, each judged now: chapter by chapter, module by module, line by line.

    Where the runs with fresh seeds gave another verdict than the first ones, it is undecided.

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
        If no claim is tested in that chapter, or a judge answers other questions than it was registered with.
    """
    fresh = {(line["chapter"], line["claim"]): line for line in fresh_lines()}
    return [_weighed(row, fresh.get((row.chapter, row.claim))) for row in judged(chapter)]


def judged(chapter=None):
    """As :func:`rows`, by the runs that are read now alone."""
    load_all()
    chapters = sorted(_CLAIMS) if chapter is None else [chapter]
    groups = {name: one_of(name, _CLAIMS, "chapter of claims") for name in chapters}
    return [_judged(name, one) for name, group in groups.items() for one in sorted(group.values(), key=_module)]


def _module(one):
    """By this and no more: within a module a stable sort leaves the order in which it was read, whoever was imported first."""
    return one.judge.__module__


def _judged(chapter, one):
    found, words, effects = one.judge()
    answered = tuple(effect.question for effect in effects if effect.question is not None)
    if sorted(answered, key=_name) != sorted(one.asks, key=_name):
        raise ValueError(
            f"{one.judge.__name__} answers {_names(answered)}, and was registered with asks={_names(one.asks)}: the questions have to "
            "be written before the answers"
        )
    seeds = [effect.n_seeds for effect in effects if effect.n_seeds is not None]
    told = f"{min(seeds)} seeds on {one.texts}: {found}" if seeds else found
    said = (one.section, one.experiment, one.change_our_mind)
    return Row(one.claim, one.source, told, words, *said, tuple(effects), chapter, one.asks, one.about)


FRESH_COLUMNS = ("chapter", "claim", "verdict", "fresh_verdict", "seeds", "protocol", "measured")


def fresh_lines(path=None):
    """The lines of evidence/fresh.csv, or of another such file; none before the first runs with fresh seeds.

    Returns
    -------
    list of dict
        By :data:`FRESH_COLUMNS`.
    """
    path = evidence_file("fresh.csv") if path is None else path
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _weighed(row, fresh):
    """The row with what fresh seeds said of it."""
    if fresh is None:
        return row
    said = fresh["fresh_verdict"]
    words = row.verdict
    if kind_of(said) != row.kind:
        words = f"{UNDECIDED} (the first seeds: {row.verdict}; fresh ones: {said})"
    return replace(row, verdict=words, fresh=f"{said} (seeds {fresh['seeds']}, protocol {fresh['protocol']})")


def _name(question):
    return question.name


def _names(questions):
    return ", ".join(map(repr, sorted(map(_name, questions)))) or "nothing"


def show(chapter=None):
    """Print :func:`rows`, one claim under the other."""
    for row in rows(chapter):
        print(f"{row.quotation} ({row.source})\n    measured: {row.measured}\n    verdict:  {row.verdict}\n")


def table():
    """All rows, in the order in which the documents say them: by the first document that a row names, and the place in it.

    Returns
    -------
    list of Row
    """
    return sorted(rows(), key=_where)


def _where(row):
    """The first document of a row, and where its quotation begins there: behind all others if it does not stand there."""
    number = documents_of(row.source)[0]
    try:
        return number, places(row.claim, number)[0]
    except ValueError:
        return number, math.inf


TABLE_COLUMNS = (
    "claim",
    "about",
    "source",
    "section",
    "chapter",
    "experiment",
    "seeds",
    "effect",
    "measured",
    "verdict",
    "fresh_seeds",
    "change_our_mind",
)
EFFECT_COLUMNS = (
    *("claim", "effect", "unit", "seeds", "value", "low", "high"),
    *("asked", "margin", "interval", "corrected_low", "corrected_high", "answer", "detectable", "verdict"),
)
ANSWERS = {True: "yes", False: "no", None: "undecided"}


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
            *(row.claim, row.about, row.source, row.section, row.chapter, row.experiment, _or_nothing(row.n_seeds)),
            *("; ".join(map(str, row.effects)), row.measured, row.verdict, row.fresh, row.change_our_mind),
        )
        for row in (table() if rows is None else rows)
    ]
    write_atomically(path, csv_text(TABLE_COLUMNS, lines).encode("utf-8"))


def write_effects(path, rows=None):
    """Write the effects of the table as CSV, one line each: its own interval, what was asked, and the corrected interval that answers.

    Parameters
    ----------
    path : str or path
        Its folder must exist. Written whole.
    rows : list of Row, optional
        By default :func:`table`.
    """
    lines = []
    for row in table() if rows is None else rows:
        for one in row.effects:
            bounds = [] if one.is_constant else [one.interval.low, one.interval.high]
            told = [row.claim, one.name, one.unit, _or_nothing(one.n_seeds), *map(_digits, _padded([one.interval.mean, *bounds], 3))]
            lines.append([*told, *_asked(one), row.verdict])
    write_atomically(path, csv_text(EFFECT_COLUMNS, lines).encode("utf-8"))


def _asked(one):
    """The question of an effect and its answer, as columns; nothing where nothing was asked."""
    question = one.question
    if question is None:
        return [""] * 7
    bounds = [] if one.is_constant else [one.corrected.low, one.corrected.high]
    asked = [f"{question.says} {question.threshold:g}", f"{question.margin:g}", question.kind]
    return [*asked, *map(_digits, _padded(bounds, 2)), ANSWERS[one.answer], _digits(one.detectable)]


def _padded(numbers, size):
    return [*numbers, *[None] * (size - len(numbers))]


def _or_nothing(number):
    return "" if number is None else number


def _digits(number):
    return "" if number is None else f"{number:.6g}"
