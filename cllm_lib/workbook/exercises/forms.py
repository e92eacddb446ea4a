"""The one form that a chapter uses, out of the several in which a right answer may come."""

import numpy as np


def as_number(value):
    """A float, out of an array of one, a text of digits, or a number of SymPy's."""
    return float(np.asarray(value).item())


def as_integer(value):
    """One of Python's integers."""
    return round(as_number(value))


def as_array(value):
    """An array of numbers; whole numbers stay whole."""
    array = np.asarray(value)
    return array if array.dtype.kind in "iuf" else np.asarray(value, dtype=float)


def as_ids(value):
    """An array of whole numbers, out of any row of them."""
    return np.asarray(as_array(value if hasattr(value, "__array__") else list(value)), dtype=np.int64)


def as_integers(value):
    """A list of Python's integers, which have any length."""
    return [int(entry) for entry in np.ravel(np.asarray(value, dtype=object)).tolist()]


def as_rows(value):
    """A matrix of Python's integers."""
    rows = np.asarray(value, dtype=object)
    return np.array(as_integers(rows), dtype=object).reshape(rows.shape)


def as_positions(value):
    """A set of integers, out of any collection of them."""
    return set(as_integers(list(value)))


def as_sets(value):
    """A list of sets, in the order of what they hold."""
    return sorted((frozenset(one) for one in value), key=sorted)


def as_nothing(value):
    """None: the work was done in place, and what is handed back beside it is not asked for."""


def several(*forms):
    """Several things, each in its form."""
    return lambda values: tuple(form(value) for form, value in zip(forms, values, strict=True))


def by_name(form):
    """A dictionary, or pairs, with each entry in that form."""
    return lambda values: {name: form(value) for name, value in dict(values).items()}


def as_word(value):
    """A word in small letters."""
    return str(value).strip().lower()
