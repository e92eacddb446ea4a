"""Case files: a training with one hidden defect or none, to be found by asking.

What a case hides is kept beside it, not in it: nothing of it shows when a case is printed, completed, or looked through.
"""

import contextlib
import difflib
import numbers
import warnings
import weakref
from dataclasses import dataclass

import numpy as np

from cllm_lib.casebook import faults
from cllm_lib.casebook.belief import difficulties, most_telling
from cllm_lib.casebook.building import patient_with, read
from cllm_lib.casebook.faults import HEALTHY
from cllm_lib.casebook.settings import HEALTHY_SHARE, draw_settings
from cllm_lib.checks import non_negative_integer
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient

WRONG = 20  # what a wrong accusation costs, or acquitting the sick
_FILES = weakref.WeakKeyDictionary()


def __getattr__(name):
    """`DEFECTS`: what may be accused, a dict from names to sentences, "healthy" the first."""
    if name != "DEFECTS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return {HEALTHY: "Nothing is wrong: an acquittal."} | {title: fault.what for title, fault in faults.ALL.items()}


@dataclass(repr=False)
class _File:
    """What a case hides, and what has been asked so far. It has no text: tracebacks that show local names would tell."""

    seed: int
    difficulty: int | None
    settings: object
    defect: str
    patient: Patient
    refused: int
    readings: dict
    verdict: object = None


@dataclass(frozen=True)
class CaseVerdict:
    """What an accusation came to.

    Attributes
    ----------
    right : bool
    accused, defect : str
    evidence : tuple of str
        What was asked and spoke for the truth: "instrument: word".
    best_question : str
        The instrument that would have told most of this patient, for its cost.
    told : tuple of str
        Its words.
    what, symptom, repair, source : str
        Of the defect; empty for a healthy patient.
    cost : int
        Of all questions, and of a wrong accusation.
    asked : tuple of str
    before, after : list of float
        The losses of the patient, and of the same training with the sound part in its place.
    """

    right: bool
    accused: str
    defect: str
    evidence: tuple
    best_question: str
    told: tuple
    what: str
    symptom: str
    repair: str
    source: str
    cost: int
    asked: tuple
    before: list
    after: list

    def __str__(self):
        lines = [f"{'Right' if self.right else 'Wrong'}: {self.defect}. {self.what}".rstrip()]
        lines.append("evidence   " + ("; ".join(self.evidence) if self.evidence else "nothing that you asked spoke of it"))
        if self.best_question:
            lines.append(f"most told  {self.best_question}: {'; '.join(self.told) or 'nothing stands out'}")
        lines += [f"symptom    {self.symptom}", f"repair     {self.repair}", f"source     {self.source}"] if self.repair else []
        return "\n".join([*lines, f"cost       {self.cost}, {len(self.asked)} questions"])


class Case:
    """A case file. :func:`admit` opens one.

    Attributes
    ----------
    seed : int
    difficulty : int or None
        As it was asked for.
    settings : Settings
        What was meant. Print it.
    losses : list of float
        Of every step.
    validation_losses : dict of int to float
        By step.
    instruments : dict of str to int
        The cost of each question.
    asked : tuple of str
        Questions so far, in order.
    cost : int
        Of these.
    verdict : CaseVerdict or None
        None while the file is open.
    """

    __slots__ = ("__weakref__",)

    seed = property(lambda self: _FILES[self].seed)
    difficulty = property(lambda self: _FILES[self].difficulty)
    settings = property(lambda self: _FILES[self].settings)
    losses = property(lambda self: list(_FILES[self].patient.trained.history.losses))
    validation_losses = property(lambda self: dict(_FILES[self].patient.trained.history.validation_losses))
    instruments = property(lambda self: {name: tool.cost for name, tool in kit.ALL.items()})
    asked = property(lambda self: tuple(_FILES[self].readings))
    verdict = property(lambda self: _FILES[self].verdict)
    cost = property(lambda self: sum(kit.ALL[name].cost for name in _FILES[self].readings))

    def __init__(self):
        raise TypeError("a case is not made by hand: casebook.admit(seed) opens one")

    def __repr__(self):
        level = "" if self.difficulty is None else f", difficulty {self.difficulty}"
        state = "open" if _FILES[self].verdict is None else "closed"
        return f"<case {self.seed}{level}: {len(self.asked)} asked, cost {self.cost}, {state}>"

    def __reduce__(self):
        return admit, (self.seed, self.difficulty)  # a copy is a new file of the same patient

    def ask(self, name):
        """Ask one instrument; asking it again costs nothing more.

        Parameters
        ----------
        name : str
            One of :attr:`instruments`.

        Returns
        -------
        Reading

        Raises
        ------
        ValueError
            If there is no such instrument.
        """
        file = _FILES[self]
        if not isinstance(name, str) or name not in kit.ALL:
            raise ValueError(_unknown("instrument", name, kit.ALL, "case.instruments"))
        if name not in file.readings:
            file.readings[name] = _quietly(lambda: read(file.patient, name), f"the instrument {name!r} broke off")
        return file.readings[name]

    def accuse(self, name):
        """Name the defect, or "healthy": it closes the file.

        Parameters
        ----------
        name : str
            One of :data:`DEFECTS`.

        Returns
        -------
        CaseVerdict

        Raises
        ------
        ValueError
            If there is no such defect, or the file is closed.
        """
        file = _FILES[self]
        known = [HEALTHY, *faults.ALL]
        if not isinstance(name, str) or name not in known:
            raise ValueError(_unknown("defect", name, known, "casebook.DEFECTS"))
        if file.verdict is not None and file.verdict.accused == name:
            return file.verdict  # a cell that is run again
        if file.verdict is not None:
            raise ValueError(f"case {file.seed} is closed ({file.verdict.defect}): admit another one")
        file.verdict = _quietly(lambda: _verdict(file, name, self.cost, self.asked), "the verdict could not be told")
        return file.verdict


def admit(seed, difficulty=None):
    """Admit a patient: a training with one hidden defect, or none, the same from this seed everywhere.

    A draw that no instrument can tell from a healthy training is refused, and another one is drawn.

    Parameters
    ----------
    seed : int
    difficulty : {1, 2, 3}, optional
        1: at least five instruments can tell; 2: two to four; 3: one only. Any by default.

    Returns
    -------
    Case

    Raises
    ------
    ValueError
        If the seed is no whole number of at least 0, or there is no such difficulty.
    """
    seed = non_negative_integer(seed, "seed")
    if difficulty is not None:
        difficulty = _checked_difficulty(difficulty)
    return _opened(_quietly(lambda: _admitted(seed, difficulty), f"case {seed} could not be admitted"))


def patient_of(defect, generator):
    """A patient with a given defect, or a healthy one: for the table, for instructors and for tests.

    Parameters
    ----------
    defect : str
        One of :data:`DEFECTS`.
    generator : numpy.random.Generator
        Draws the settings, again where the defect would have no effect in them.

    Returns
    -------
    Patient
    """
    while True:
        settings = draw_settings(generator)
        if defect == HEALTHY or faults.ALL[defect].applies(settings):
            return patient_with(settings, None if defect == HEALTHY else faults.ALL[defect].plant)


def hidden_in(case):
    """What a case hides: for those who judge an answer.

    Parameters
    ----------
    case : Case

    Returns
    -------
    (str, Settings, Patient)
        The defect, or "healthy", in what settings, and the training itself.
    """
    file = _FILES[case]
    return file.defect, file.settings, file.patient


def is_told(defect, patient):
    """Whether one of the instruments that should tell a defect says a word of which a healthy training is never the cause."""
    for name in faults.ALL[defect].told_by:
        said = read(patient, name).words
        if kit.REFUSED in said or any(word.certain and word.name in said for word in kit.ALL[name].words):
            return True
    return False


def _unknown(kind, name, known, where):
    """A sentence for a name that nothing has, with those that are near."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.3)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"there is no {kind} {name!r}: {hint}{where} has all {len(known)} names"


def _checked_difficulty(difficulty):
    if isinstance(difficulty, bool) or not isinstance(difficulty, numbers.Integral) or difficulty not in (1, 2, 3):
        raise ValueError(f"difficulty is {difficulty!r}: give 1, 2 or 3, or leave it out")
    return int(difficulty)


def _admitted(seed, difficulty):
    names = [name for name, level in difficulties().items() if level == difficulty] if difficulty else list(faults.ALL)
    generator = np.random.default_rng([seed, difficulty or 0])
    refused = 0
    while True:
        settings = draw_settings(generator)
        fitting = [name for name in names if faults.ALL[name].applies(settings)]
        if not fitting:
            continue
        is_healthy = generator.random() < HEALTHY_SHARE
        drawn = fitting[int(generator.integers(len(fitting)))]
        patient = patient_with(settings, None if is_healthy else faults.ALL[drawn].plant)
        patient.trained  # noqa: B018 - the run itself, which everybody looks at
        if is_told(drawn, patient) or is_healthy:  # in this order: who is admitted without being looked at comes in sooner
            return _File(seed, difficulty, settings, HEALTHY if is_healthy else drawn, patient, refused, {})
        refused += 1


def _opened(file):
    case = object.__new__(Case)
    _FILES[case] = file
    return case


@contextlib.contextmanager
def _silence():
    """Without warnings: they would name the line that they come from."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _quietly(work, complaint):
    """Do it, and let no line of a defect be seen in a warning or a traceback."""
    try:
        with _silence():
            return work()
    except KeyboardInterrupt:
        stopped, failure = True, None
    except Exception as error:
        stopped, failure = False, type(error).__name__
    if stopped:
        raise KeyboardInterrupt
    raise RuntimeError(f"{complaint} ({failure}): that is a fault of the case files, not yours; take another seed, and tell the makers")


def _verdict(file, accused, cost, asked):
    right = accused == file.defect
    fault = faults.ALL.get(file.defect)
    evidence = tuple(f"{name}: {word}" for name, reading in file.readings.items() for word in reading.words)
    best, told = most_telling(file.defect, file.settings, file.patient) if fault else ("", ())
    return CaseVerdict(
        right=right,
        accused=accused,
        defect=file.defect,
        evidence=evidence,
        best_question=best,
        told=told,
        what=fault.what if fault else "Nothing is wrong.",
        symptom=fault.symptom if fault else "",
        repair=fault.repair if fault else "",
        source=fault.source if fault else "",
        cost=cost + (0 if right else WRONG),
        asked=asked,
        before=list(file.patient.trained.history.losses),
        after=list(patient_with(file.settings).trained.history.losses),
    )
