"""Instruments and their words: what is measured, and when a word is said of it."""

import math
import threading
import warnings
from dataclasses import dataclass

import numpy as np

from cllm_lib.faces import load_modules

_INSTRUMENTS = {}
_LOADING = threading.RLock()
FAINT = 1e-6  # smaller numbers are told as ~0
REFUSED = "no reading: not the same twice"


@dataclass(frozen=True)
class Word:
    """Something that stands out.

    Attributes
    ----------
    name : str
        What is said.
    rule : callable
        From an instrument's numbers, a dict of str to float, to whether it is said.
    because : str
        Where its threshold comes from.
    certain : bool
        Whether a sound training cannot show it; else it is a sign.
    """

    name: str
    rule: object
    because: str
    certain: bool = True


@dataclass(frozen=True)
class Reading:
    """What an instrument answered.

    Attributes
    ----------
    instrument : str
    numbers : dict of str to float
    words : tuple of str
        Empty where all is as it should be.
    """

    instrument: str
    numbers: dict
    words: tuple

    def __str__(self):
        said = "; ".join(self.words) if self.words else "nothing stands out"
        rows = [f"  {name:44} {_shown(value)}" for name, value in self.numbers.items()]
        return "\n".join([f"{self.instrument}: {said}", *rows])


@dataclass(frozen=True)
class Instrument:
    """One question to a training, at a cost.

    Attributes
    ----------
    name : str
    cost : int
        Of asking, in minutes of a practised reader.
    measure : callable
        From a patient (see :mod:`~cllm_lib.instruments.kit.patient`) to numbers by name.
    words : tuple of Word
    asks : str
        What it does, in a sentence.
    needs_sameness : bool
        Whether it refuses a model that does not give the same twice.
    """

    name: str
    cost: int
    measure: object
    words: tuple
    asks: str
    needs_sameness: bool = True

    def only(self, *names):
        """Some of its words, for an instrument that asks the same of another framework.

        Parameters
        ----------
        *names : str

        Returns
        -------
        tuple of Word
        """
        return tuple(word for word in self.words if word.name in names)

    def read(self, patient):
        """Measure a patient, and say what stands out.

        Returns
        -------
        Reading
            Of a model that does not give the same twice: the word for it, and no numbers.
        """
        with np.errstate(all="ignore"), warnings.catch_warnings():  # what overflows is a finding, not a warning
            warnings.simplefilter("ignore")
            if self.needs_sameness and not patient.gives_the_same_twice:
                return Reading(self.name, {}, (REFUSED,))
            numbers = self.measure(patient)
        return Reading(self.name, numbers, words_for(self, numbers))


def words_for(instrument, numbers):
    """The words that an instrument says of its numbers.

    Parameters
    ----------
    instrument : Instrument
    numbers : dict of str to float
        Empty where it refused.

    Returns
    -------
    tuple of str
    """
    if not numbers:
        return (REFUSED,)
    return tuple(word.name for word in instrument.words if word.rule(numbers))


def instrument(name, cost, *words, needs_sameness=True):
    """Put the measurement below into the catalogue; its docstring's first line is what it asks.

    Parameters
    ----------
    name : str
    cost : int
    *words : Word
    needs_sameness : bool

    Raises
    ------
    ValueError
        If another instrument has that name, or the docstring is missing.
    """

    def put(measure):
        known = _INSTRUMENTS.get(name)
        if known is not None and known.measure.__qualname__ != measure.__qualname__:
            raise ValueError(f"{measure.__name__} and {known.measure.__name__} are both called {name!r}: give each a name of its own")
        if not measure.__doc__:
            raise ValueError(f"{measure.__name__} has no docstring: say in its first line what the instrument asks")
        _INSTRUMENTS[name] = Instrument(name, cost, measure, words, measure.__doc__.splitlines()[0], needs_sameness)
        return measure

    return put


def _shown(value):
    """Three digits; what may be rounding shows as such, the same on every machine."""
    if not math.isfinite(value):
        return f"{value:g}"
    if 0.0 < abs(value) < FAINT:
        return "~0"
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.1e}"


def __getattr__(name):
    """`ALL`: the catalogue, a dict of str to Instrument, the cheapest first; made at the first question."""
    if name != "ALL":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _LOADING:
        if "ALL" not in globals():
            load_modules(__package__)
            globals()["ALL"] = {title: _INSTRUMENTS[title] for title in sorted(_INSTRUMENTS, key=lambda t: (_INSTRUMENTS[t].cost, t))}
        return globals()["ALL"]
