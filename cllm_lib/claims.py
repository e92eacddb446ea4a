"""What the documents say about their crystalline parts, each with its measurement and a verdict.

A row is measured when it is asked for: by the library's own functions, or from the numbers a script of `benchmarks/`
stored under `data/measured/`. No verdict is typed; each follows from its measurement.
"""

import functools
import json
from dataclasses import dataclass

from cllm_lib.checks import one_of
from cllm_lib.text import data_file

HOLDS, PARTLY, FAILS = "holds", "holds only if", "does not hold"

_MEASUREMENTS = {}


@dataclass(frozen=True)
class Row:
    """One claim, judged.

    Attributes
    ----------
    claim : str
        In the documents' words, or as near as one line allows.
    source : str
        Where it stands.
    measured : str
        What was found, with seeds and interval where chance has a part.
    verdict : str
        "holds", "does not hold", or "holds only if ..." with the condition.
    """

    claim: str
    source: str
    measured: str
    verdict: str


def measured(chapter, claim, source):
    """Let a function be the measurement of a claim: it returns what it found and the verdict that follows.

    Parameters
    ----------
    chapter : str
        The notebook that tests the claim, such as "07".
    claim, source : str
        See :class:`Row`.
    """

    def register(measure):
        _MEASUREMENTS.setdefault(chapter, {})[measure.__name__] = (claim, source, measure)
        return measure

    return register


def rows(chapter=None):
    """The claims a chapter tests, or all, each measured now.

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
        If no claim is tested in that chapter.
    """
    chapters = sorted(_MEASUREMENTS) if chapter is None else [chapter]
    found = [one_of(name, _MEASUREMENTS, "chapter of claims").values() for name in chapters]
    return [Row(claim, source, *measure()) for group in found for claim, source, measure in group]


def show(chapter=None):
    """Print :func:`rows`, one claim under the other."""
    for row in rows(chapter):
        print(f'"{row.claim}" ({row.source})\n    measured: {row.measured}\n    verdict:  {row.verdict}\n')


@functools.cache
def stored(name):
    """The numbers that a script of `benchmarks/` left under `data/measured/`; the file names the script's command.

    Parameters
    ----------
    name : str
        Such as "positions".

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If there is no such file; the error says where it was looked for.
    """
    path = data_file(f"measured/{name}.json")
    if not path.exists():
        raise FileNotFoundError(f"no stored measurement {name!r}: {path} is missing; the script of that name in benchmarks/ writes it")
    return json.loads(path.read_text(encoding="utf-8"))


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
