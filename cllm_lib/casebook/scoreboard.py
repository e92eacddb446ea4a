"""What became of one's cases, kept in a file; the case of the day; and the same cases for a whole class."""

import contextlib
import datetime
import hashlib
import json
import os
import warnings
from collections import Counter
from pathlib import Path
from statistics import median

from cllm_lib.casebook.cases import Case, CaseVerdict, admit, hidden_in
from cllm_lib.casebook.faults import HEALTHY
from cllm_lib.checks import non_negative_integer
from cllm_lib.files import no_place_for_a_file, target_of, write_atomically

FIELDS = {"seed": int, "accused": str, "defect": str, "right": bool, "cost": int, "questions": int}  # of an entry


class Scoreboard:
    """Verdicts on cases, in a file of readable JSON: a list with a line a verdict.

    Parameters
    ----------
    path : str or path
        It is made with the first verdict; its folder must exist.

    Attributes
    ----------
    entries : list of dict
        As the file has them now: seed, difficulty, accused, defect, right, cost, questions, and day where one was told.
    """

    def __init__(self, path="case_files.json"):
        self.path = Path(path)

    def __repr__(self):
        return f"<scoreboard {self.path.name}: {len(self.entries)} verdicts>"

    @property
    def entries(self):
        """What the file holds now; of a damaged one nothing."""
        return _parsed(self._bytes()) or []

    def note(self, verdict, case, day=None):
        """Add a verdict to the file, which is read again before, and written whole or not at all.

        Parameters
        ----------
        verdict : CaseVerdict
            What `case.accuse(...)` returned.
        case : Case
        day : datetime.date or str, optional
            Such as "2026-07-15".

        Returns
        -------
        Scoreboard
            Itself, so that `.summary()` can follow.

        Raises
        ------
        ValueError
            If the verdict is not this case's, the day is none, or nothing can be written at the path.
        """
        if not isinstance(case, Case) or not isinstance(verdict, CaseVerdict):
            got = f"{type(verdict).__name__} and {type(case).__name__}"
            raise ValueError(f"a verdict and its case are noted, not {got}: note(case.accuse(name), case)")
        if case.verdict is not verdict:
            raise ValueError(f"the verdict is not that of case {case.seed}: note(case.accuse(name), case), both of one case")
        entry = {"seed": case.seed, "difficulty": case.difficulty, "accused": verdict.accused, "defect": verdict.defect}
        entry |= {"right": verdict.right, "cost": verdict.cost, "questions": len(verdict.asked)}
        if day is not None:
            entry["day"] = _as_date(day, "day").isoformat()
        reason = no_place_for_a_file(self.path)
        if reason is not None:
            raise ValueError(f"the scoreboard has no place: {reason}")
        kept = self._entries_or_set_aside()
        write_atomically(self.path, _as_text([*kept, entry]).encode("utf-8"))
        return self

    def summary(self):
        """What came out so far. Of a case with several verdicts the first counts: afterwards the answer is known.

        Returns
        -------
        str
        """
        entries, first = self.entries, {}
        for entry in entries:
            first.setdefault((entry["seed"], entry.get("difficulty")), entry)
        counted = list(first.values())
        if not counted:
            return "no verdicts yet"
        healthy = [entry for entry in counted if entry["defect"] == HEALTHY]
        acquitted = sum(entry["right"] for entry in healthy)
        right = sum(entry["right"] for entry in counted)
        lines = [
            f"cases        {len(counted)}",
            f"right        {right} ({right / len(counted):.0%})",
            f"acquittals   {acquitted} of {len(healthy)} healthy; {_sick_acquitted(counted)} of {len(counted) - len(healthy)} sick",
            f"median cost  {median(entry['cost'] for entry in counted):g}",
        ]
        taken = Counter((entry["defect"], entry["accused"]) for entry in counted if not entry["right"])
        lines += [f"taken for another: {d}, for {a}{f', {n} times' * (n > 1)}" for (d, a), n in sorted(taken.items(), key=_often_first)]
        again = len(entries) - len(counted)
        lines += [f"not counted  {again} on a case that had its verdict"] if again else []
        return "\n".join(lines)

    def _bytes(self):
        with contextlib.suppress(FileNotFoundError):
            return self.path.read_bytes()
        return None

    def _entries_or_set_aside(self):
        """What the file holds; a damaged one gets another name, and the sentence says which."""
        data = self._bytes()
        entries = _parsed(data)
        if entries is not None or data is None:
            return entries or []
        target = target_of(self.path)
        aside = next(name for name in _names_beside(target) if not name.exists())
        os.replace(target, aside)
        warnings.warn(
            f"{self.path.name} cannot be read as a list of verdicts: it is kept as {aside.name}, and a new one begins. "
            "If its lines can be mended, put them back by hand.",
            stacklevel=3,
        )
        return []


def daily(date=None):
    """The case of a day: the same for everyone on that date.

    Parameters
    ----------
    date : datetime.date or str, optional
        Such as "2026-07-15"; today by default.

    Returns
    -------
    Case
        Its seed is the date, written as one number: 20260715.

    Raises
    ------
    ValueError
        If it is no date.
    """
    day = datetime.date.today() if date is None else _as_date(date, "date")
    return admit(10_000 * day.year + 100 * day.month + day.day)


def class_case(course, number, difficulty=None):
    """A case for a class: the same for all of a course, and unlike those of other courses.

    Parameters
    ----------
    course : str
        What the class is called, such as "Leipzig 2026"; capitals and blanks count.
    number : int
        Of the case, from 0 or 1 on.
    difficulty : {1, 2, 3}, optional
        As for :func:`~cllm_lib.casebook.cases.admit`.

    Returns
    -------
    Case

    Raises
    ------
    ValueError
        If the course has no name, the number is none, or there is no such difficulty.
    """
    return admit(_class_seed(course, number), difficulty)


def answer_sheet(course, numbers, difficulty=None):
    """What the cases of a class hide: for the instructor, and so not among what the casebook offers.

    Parameters
    ----------
    course : str
    numbers : iterable of int
    difficulty : {1, 2, 3}, optional
        As the class is given them.

    Returns
    -------
    list of (int, int, str, int or None)
        Number, seed, defect, and how hard the defect is; None for the healthy.
    """
    from cllm_lib.casebook.belief import difficulties

    levels, sheet = difficulties(), []
    for number in numbers:
        case = class_case(course, number, difficulty)
        defect, *_ = hidden_in(case)
        sheet.append((int(number), case.seed, defect, levels.get(defect)))
    return sheet


def _class_seed(course, number):
    """48 bits of SHA-256 over course and number, written so that no two pairs look alike."""
    if not isinstance(course, str) or not course.strip():
        raise ValueError(f'course is {course!r}: give its name as a text, such as "Leipzig 2026"')
    text = json.dumps([course, non_negative_integer(number, "number")])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def _as_date(value, name):
    """A date, or what its ISO text says."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    with contextlib.suppress(TypeError, ValueError):
        return datetime.date.fromisoformat(value)
    raise ValueError(f'{name} is {value!r}: give a datetime.date, or a text such as "2026-07-15"')


def _parsed(data):
    """The entries in a file, or None if it holds something else."""
    if data is None:
        return None
    try:
        entries = json.loads(data.decode("utf-8"))
    except ValueError:
        return None
    return entries if isinstance(entries, list) and all(map(_is_entry, entries)) else None


def _is_entry(entry):
    """Whether it says all that is counted, in the right types: True is no number here."""
    return isinstance(entry, dict) and all(type(entry.get(name)) is kind for name, kind in FIELDS.items())


def _as_text(entries):
    """JSON with a line an entry."""
    return "[\n" + ",\n".join(" " + json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n"


def _names_beside(target):
    """case_files.damaged.json, and others where that is taken: what was damaged before is not lost either."""
    yield target.with_name(f"{target.stem}.damaged{target.suffix}")
    number = 2
    while True:
        yield target.with_name(f"{target.stem}.damaged.{number}{target.suffix}")
        number += 1


def _sick_acquitted(entries):
    return sum(entry["accused"] == HEALTHY and not entry["right"] for entry in entries)


def _often_first(item):
    pair, count = item
    return -count, pair
