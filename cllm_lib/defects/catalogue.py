"""The catalogue of the museum: every exhibit by name, with its seam, symptom and exposure.

Exhibits are found by name: whatever stands in a module of this package under :func:`exhibit` is in the catalogue.
"""

import inspect
import itertools
import threading
from dataclasses import dataclass

from cllm_lib.checks import one_of
from cllm_lib.faces import load_modules
from cllm_lib.model.transformer import CLLM

SEAMS = ("init", "attention", "layer", "embedding", "output", "loss", "model", "optimizer", "corpus", "loader")
HEADINGS = ("What it did", "Symptom", "Exposed by", "In the documents")
_EXHIBITS = {}
_LOADING = threading.RLock()


@dataclass(frozen=True)
class Defect:
    """One exhibit.

    Attributes
    ----------
    part : type
        Call it without arguments to get the part; at the seam "model" it takes the place of CLLM itself, at the seam
        "loader" that of load_corpus, and at the seams "optimizer" and "corpus" it is called with the model it is to
        train, or with the corpus it is to spoil.
    seam : {"init", "attention", "layer", "embedding", "output", "loss", "model", "optimizer", "corpus", "loader"}
        The argument of :class:`~cllm_lib.model.transformer.CLLM` that takes it; "optimizer" and "corpus" are two of
        :class:`~cllm_lib.training.trainer.Trainer`, and a loader makes what the latter takes.
    sound : callable
        Makes the part that belongs there, called as `part` is.
    symptom, exposure : str
        What one sees, and the measurement that shows the cause.
    """

    part: type
    seam: str
    sound: object
    symptom: str
    exposure: str

    def patient(self, config, seed=0):
        """A model that has this defect and no other; where optimiser or text are the defect, a sound one to train with it."""
        return self._model(self.part, config, seed)

    def healthy(self, config, seed=0):
        """The same model with the sound part in its place."""
        return self._model(self.sound, config, seed)

    def _model(self, part, config, seed):
        if self.seam == "model":
            return part(config, seed=seed)
        outside = self.seam in ("optimizer", "corpus", "loader")
        return CLLM(config, seed=seed, **({} if outside else {self.seam: part()}))


def exhibit(name, seam, sound, place):
    """Put what stands below into the catalogue.

    Parameters
    ----------
    name : str
        As a reader calls it.
    seam : str
        As in :class:`Defect`.
    sound : callable
        Makes the part that belongs there, called as the exhibit is.
    place : int
        In the catalogue, in the order in which a reader meets them: a new one takes the next number.

    Raises
    ------
    ValueError
        If another exhibit has that name or that place, there is no such seam, or the docstring lacks a heading.
    """
    one_of(seam, dict.fromkeys(SEAMS), "seam")

    def put(part):
        for other, (number, known) in _EXHIBITS.items():
            same = known.part.__module__ == part.__module__ and known.part.__name__ == part.__name__
            if not same and (other == name or number == place):
                free = 1 + max(number for number, _ in _EXHIBITS.values())
                raise ValueError(
                    f"{part.__name__} and {known.part.__name__} both stand as {name!r}, {place}: give each a name and a place of its own; "
                    f"the next free place is {free}"
                )
        told = {title: _paragraph(part, title) for title in HEADINGS}
        _EXHIBITS[name] = place, Defect(part, seam, sound, told["Symptom"], told["Exposed by"])
        return part

    return put


def _paragraph(part, title):
    """The indented text under `title` in a docstring, as one line: catalogue and docstring cannot disagree."""
    lines = inspect.cleandoc(part.__doc__).splitlines()
    if title not in lines:
        raise ValueError(f"the docstring of {part.__name__} has no heading {title!r}, with indented text below it")
    below = itertools.takewhile(lambda line: line.startswith("    "), lines[lines.index(title) + 1 :])
    return " ".join(line.strip() for line in below)


def __getattr__(name):
    """`ALL`: the catalogue, a dict of str to Defect; made at the first question, when every module of the museum is loaded."""
    if name != "ALL":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _LOADING:
        if "ALL" not in globals():
            load_modules(__package__)
            in_order = sorted(_EXHIBITS.items(), key=lambda entry: entry[1][0])
            globals()["ALL"] = {title: defect for title, (_, defect) in in_order}
        return globals()["ALL"]
