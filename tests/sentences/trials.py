"""How a sentence of the book is put on trial: `rule` for one that stands, `fallen` for one that does not.

    def race(seed):                                   # what is measured with one seed
        return {"plain": ..., "momentum": ...}

    @rule("Momentum is ahead of plain descent here", of=race)
    def momentum_is_ahead(losses):                    # whether the sentence is true of it
        return losses["momentum"] < losses["plain"]

The words are quoted from the chapter, words left out by " ... ". With `together=True` a sentence states a mean, a share or an
interval: its judge gets the list of what was measured, in the order of the seeds.
"""

import functools
import importlib
from dataclasses import dataclass
from pathlib import Path

from cllm_lib.claims.own_words import EACH, TOGETHER, OwnSentence
from cllm_lib.experiments import runs as experiments

SEEDS = tuple(range(10))
_TRIALS = []


@dataclass(frozen=True)
class Trial:
    """A sentence, what is measured with a seed, and who says whether it is true of that."""

    chapter: str
    words: str
    measure: object
    judge: object
    seeds: tuple
    together: bool
    instead: str

    def sentence(self, seeds, measured):
        """The sentence after its trial."""
        if self.together:
            fell_on = () if self.judge(measured) else tuple(seeds)
        else:
            fell_on = tuple(seed for seed, one in zip(seeds, measured, strict=True) if not self.judge(one))
        return OwnSentence(self.chapter, self.words, TOGETHER if self.together else EACH, tuple(seeds), fell_on, self.instead)


def rule(words, of, seeds=SEEDS, together=False):
    """Register the decorated judge for a sentence that the chapter states as a rule.

    Parameters
    ----------
    words : str
    of : callable
        Takes a seed and returns what JSON can hold: numbers, strings, and lists and dicts of them. Several sentences may be
        about one; it is measured once.
    seeds : iterable of int
        Ten at least.
    together : bool
    """
    return functools.partial(_enter, words, of, tuple(seeds), together, "")


def fallen(words, of, instead, seeds=SEEDS, together=False):
    """As :func:`rule`, for a sentence that the chapter stated once; `instead` quotes what took its place."""
    return functools.partial(_enter, words, of, tuple(seeds), together, instead)


def _enter(words, of, seeds, together, instead, judge):
    chapter = judge.__module__.rpartition("chapter_")[2]
    _TRIALS.append(Trial(chapter, words, of, judge, seeds, together, instead))
    return judge


def all_trials():
    """Every sentence on trial, chapter by chapter."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("chapter_*.py"))
    for name in names:
        importlib.import_module(f"sentences.{name}")
    return sorted(_TRIALS, key=lambda one: one.chapter)  # within a chapter as they stand


def hold(trials, seeds=None, **options):
    """Measure what the trials are about, each once, and judge.

    Parameters
    ----------
    trials : list of Trial
    seeds : iterable of int, optional
        Others than their own.
    options
        For :func:`cllm_lib.experiments.run`.

    Returns
    -------
    list of OwnSentence
    """
    asked = {(one.measure, tuple(seeds or one.seeds)) for one in trials}
    found = {}
    for measure, those in sorted(asked, key=lambda one: (one[0].__module__, one[0].__name__)):
        found[measure, those] = experiments.run(functools.partial(_one_seed, measure), ["as it is"], those, **options)["as it is"]
    return [one.sentence(those, found[one.measure, those]) for one in trials for those in [tuple(seeds or one.seeds)]]


def _one_seed(measure, variant, seed):
    return measure(seed)
