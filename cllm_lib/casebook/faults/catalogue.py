"""The catalogue of the case files: every defect by name, with its symptom, exposure, source and repair."""

import inspect
import itertools
import threading
from dataclasses import dataclass

from cllm_lib.faces import load_modules

HEALTHY = "healthy"  # what stands in the place of a defect where there is none
HEADINGS = ("Symptom", "Exposed by", "Source", "Repair")
_FAULTS = {}
_LOADING = threading.RLock()


@dataclass(frozen=True)
class Fault:
    """A defect that a patient may have.

    Attributes
    ----------
    name : str
        As a reader accuses it.
    plant : callable
        From parts and settings to parts with the defect in its place.
    told_by : tuple of str
        Instruments that can tell it; the first is asked before a patient is admitted.
    applies : callable
        Of settings: whether the defect has an effect there.
    what, symptom, exposure, source, repair : str
        One sentence or two each.
    """

    name: str
    plant: object
    told_by: tuple
    applies: object
    what: str
    symptom: str
    exposure: str
    source: str
    repair: str


def fault(name, *told_by, applies=lambda settings: True):
    """Put the function below into the catalogue.

    Parameters
    ----------
    name : str
        As a reader accuses it.
    *told_by : str
        Instruments that can tell it, the surest first.
    applies : callable
        Of settings: whether the defect has an effect there.

    Raises
    ------
    ValueError
        If another one has that name, no instrument is named, or the docstring lacks a heading.
    """

    def put(plant):
        known = _FAULTS.get(name)
        if known is not None and known.plant.__qualname__ != plant.__qualname__:
            raise ValueError(f"{plant.__name__} and {known.plant.__name__} are both called {name!r}: give each a name of its own")
        if not told_by:
            raise ValueError(f"{plant.__name__} names no instrument that tells it: name one at least, the surest first")
        what = inspect.cleandoc(plant.__doc__ or "").splitlines()[:1]
        told = [_paragraph(plant, title) for title in HEADINGS]
        _FAULTS[name] = Fault(name, plant, told_by, applies, *what, *told)
        return plant

    return put


def _paragraph(plant, title):
    """The indented text under `title` in a docstring, as one line."""
    lines = inspect.cleandoc(plant.__doc__ or "").splitlines()
    if title not in lines:
        raise ValueError(f"the docstring of {plant.__name__} has no heading {title!r}, with indented text below it")
    below = itertools.takewhile(lambda line: line.startswith("    "), lines[lines.index(title) + 1 :])
    return " ".join(line.strip() for line in below)


def __getattr__(name):
    """`ALL`: the catalogue, a dict of str to Fault, in the alphabet's order; made at the first question."""
    if name != "ALL":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _LOADING:
        if "ALL" not in globals():
            load_modules(__package__)
            globals()["ALL"] = dict(sorted(_FAULTS.items()))
        return globals()["ALL"]
