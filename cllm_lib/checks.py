"""Checks of what callers hand in: each error says what was wrong, where, and what to do."""

import math
import numbers
import operator
from collections.abc import Iterable

import numpy as np

NO_PADDING = (
    "this library has no mark for padding, or for a target to be passed over, as -100 and -1 are elsewhere; every position counts, so "
    "give sequences without padding, cut to one length, such as corpus.batches(...) makes"
)


def positive_integer(value, name):
    """Return `value` as an int, or say why it is none.

    Raises
    ------
    ValueError
        If `value` is not a whole number of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}: give a whole number of at least 1")
    return int(value)


def non_negative_integer(value, name):
    """Return `value` as an int, or say why it is none.

    Raises
    ------
    ValueError
        If `value` is not a whole number of at least 0.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"{name} is {value!r}: give a whole number of at least 0")
    return int(value)


def non_negative_number(value, name):
    """Return `value` as a float; it must be finite and not below 0.

    Raises
    ------
    ValueError
        If `value` is no number, NaN, infinite, or below 0.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}: give a finite number of at least 0")
    return float(value)


def positive_number(value, name, reason=""):
    """Return `value` as a float; it must be finite and above 0.

    Parameters
    ----------
    reason : str
        Why 0 is none, and what to give in its place, where there is more to say than that it must be above 0.

    Raises
    ------
    ValueError
        If `value` is no number, NaN, infinite, 0 or below.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} is {value!r}: give a finite number above 0{reason}")
    return float(value)


def instance(part, name, methods):
    """Return `part`, an object with these methods, or say what is missing; a class where one of its objects belongs is the usual slip.

    Raises
    ------
    ValueError
        If `part` is a class, or lacks one of the methods.
    """
    if isinstance(part, type):
        raise ValueError(f"{name} is the class {part.__name__} itself: give one of its objects, {name}={part.__name__}(...)")
    missing = [method for method in methods if not callable(getattr(part, method, None))]
    if missing:
        kind = type(part).__name__
        shown = repr(part) if isinstance(part, str | int | float) or part is None else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        raise ValueError(f"{name} is {shown}, without {' and '.join(missing)}: give an object with the methods {', '.join(methods)}")
    return part


def functions(values, name):
    """Return functions as a tuple.

    Raises
    ------
    ValueError
        If it is one function instead of a list of them, or one of them is none, or is a class where one of its objects belongs.
    """
    if callable(values):
        raise ValueError(f"{name} is one function: give a list of them, {name}=[...]")
    if not isinstance(values, Iterable):
        raise ValueError(f"{name} is {values!r}: give a list of functions, {name}=[...]")
    found = tuple(values)
    for i, one in enumerate(found):
        if isinstance(one, type):
            raise ValueError(f"{name}[{i}] is the class {one.__name__} itself: give one of its objects, {one.__name__}(...)")
        if not callable(one):
            raise ValueError(f"{name}[{i}] is {one!r}, which cannot be called: give functions, or objects with __call__")
    return found


def at_most(value, most, name, reason):
    """Return `value`, or say why it is too large.

    Raises
    ------
    ValueError
        If `value` is more than `most`; `reason` says what would go wrong.
    """
    if value > most:
        raise ValueError(f"{name} is {value:,}: {reason}; give {most:,} at most")
    return value


def whole_numbers(values, least, most, name):
    """Return `values` as an int64 array, all of them within the limits.

    Parameters
    ----------
    values : int, or array_like of int, any shape
    least, most : int
        Both allowed; they fit int64.
    name : str
        What the caller calls them; used in the error.

    Returns
    -------
    ndarray of int64
        `values` itself, if it is such an array: not to be written to.

    Raises
    ------
    ValueError
        If `values` are not integers, or one is out of the limits; the error says which.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} has rows of different lengths: give an array of whole numbers") from None
    if array.size == 0:
        return array.astype(np.int64)
    huge = array.dtype == object and all(isinstance(value, int) and not isinstance(value, bool) for value in array.flat)
    if array.dtype.kind not in "iu" and not huge:
        shown = repr(values) if array.ndim == 0 else f"an array of {array.dtype}"
        advice = "; whole numbers that are stored as floats become integers by .astype(np.int64)" if array.dtype.kind == "f" else ""
        raise ValueError(f"{name} is {shown}: give whole numbers, of an integer type{advice}")
    if array.min() < least or array.max() > most:
        where = tuple(int(i) for i in np.argwhere((array < least) | (array > most))[0])
        place = str(list(where)) if where else ""
        raise ValueError(f"{name}{place} is {array[where]}: give whole numbers from {least:,} to {most:,}")
    return array.astype(np.int64, copy=False)


def integer_matrix(values, name):  # -> (n, m)
    """Return `values` as a new array of Python integers, of any size, in rows and columns.

    Raises
    ------
    ValueError
        If the rows are ragged, or `values` are not integers, or not in two dimensions, or there are none.
    """
    typed = isinstance(values, np.ndarray) and values.dtype.kind in "iu"
    array = values if typed else _objects(values, name)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: give rows of integers, one at least, all of the same length")
    if typed or set(map(type, array.flat)) == {int}:
        return array.astype(object)
    for where, value in np.ndenumerate(array):
        if isinstance(value, bool) or not hasattr(value, "__index__"):  # what Python, NumPy, SymPy and FLINT call whole numbers have it
            raise ValueError(f"{name}{list(where)} is {value!r}: give integers, not {type(value).__name__}")
    return np.frompyfunc(operator.index, 1, 1)(array)


def _objects(values, name):
    """`values` as an array of what they are: NumPy would make floats of integers it has no type for."""
    try:
        array = np.array(values, dtype=object)
        ragged = array.ndim == 1 and any(isinstance(row, list | tuple | np.ndarray) for row in array)
    except ValueError:
        ragged = True
    if ragged:
        raise ValueError(f"{name} has rows of different lengths: give as many integers in each")
    return array


def finite_matrix(values, name):  # -> (n, m)
    """Return `values` as a new float64 array in rows and columns.

    Raises
    ------
    ValueError
        If `values` are no numbers, or ragged, or not in two dimensions, or there are none; or one is NaN or infinite: the
        error says which.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is no array of numbers: give rows of numbers, all of the same length") from None
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: give rows and columns, one of each at least")
    if not np.isfinite(array).all():
        where = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise ValueError(f"{name}{where} is {array[tuple(where)]}: give finite numbers")
    return array


def one_of(value, known, name):
    """Return `known[value]`, or name the keys that exist.

    Raises
    ------
    ValueError
        If `value` is not a key of `known`.
    """
    if not isinstance(value, str) or value not in known:
        names = ", ".join(repr(key) for key in known)
        raise ValueError(f"unknown {name} {value!r}: choose one of {names}")
    return known[value]


def token_ids(tokens, vocab_size, name="tokens"):
    """Return `tokens` as an integer array whose ids all lie in the vocabulary.

    Parameters
    ----------
    tokens : array_like of int, any shape
    vocab_size : int
    name : str
        What the caller calls them; used in the error.

    Raises
    ------
    ValueError
        If an id is not an integer, is negative, or is `vocab_size` or more; the error says where.
    """
    tokens = np.asarray(tokens)
    if tokens.dtype.kind not in "iu":
        raise ValueError(f"{name} have dtype {tokens.dtype}: token ids are integers; corpus.encode(text) makes them")
    outside = (tokens < 0) | (tokens >= vocab_size)
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        question = NO_PADDING if tokens[where] < 0 else "was the text encoded with another corpus?"
        raise ValueError(
            f"{name}{list(where)} is {tokens[where]}, outside the vocabulary of {vocab_size} ids (0 to {vocab_size - 1}): {question}"
        )
    return tokens
