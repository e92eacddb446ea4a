"""Numbers by name, as bets give them, and vectors in messages."""

import numpy as np

from cllm_lib.workbook.exercises.machinery import NotYet, matches, number


def number_by_name(answer, names):
    """Read one number for each name out of a dictionary, or of pairs.

    Raises
    ------
    NotYet
        If it is no dictionary, a name is missing or still `...`, or what stands there is no number.
    """
    try:
        given = {str(name).strip().lower(): value for name, value in dict(answer).items()}
    except (TypeError, ValueError):
        asked = " and ".join(map(repr, names))
        raise NotYet(f"this is of type {type(answer).__name__}; a dictionary with {asked} was asked for.") from None
    missing = [name for name in names if given.get(name, ...) is ...]
    if missing:
        raise NotYet(f"still open: {' and '.join(map(repr, missing))}. A guess is fine.")
    return [number(given[name], repr(name)) for name in names]


def numbers_by_name(*names):
    """The form in which a page reads such numbers: a dictionary from name to number, whatever they came in."""
    return lambda answer: dict(zip(names, number_by_name(answer, names), strict=True))


def two_digits(vector):
    """As a reader would write it: two digits, and no minus before a zero."""
    return [round(float(x), 2) + 0.0 for x in np.asarray(vector)]


def matching(found, expected):
    """Whether two arrays have one shape and agree."""
    return np.shape(found) == np.shape(expected) and matches(found, np.asarray(expected, dtype=float))
