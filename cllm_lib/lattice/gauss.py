"""Lagrange-Gauss reduction of a lattice basis in two dimensions: Euclid's algorithm for vectors, step by step."""

import numpy as np

from cllm_lib.lattice.independence import independent_rows
from cllm_lib.lattice.integers import nearest_integer, with_transform


def gauss_reduce(basis):  # (2, m) -> (2, m), (2, 2)
    """Gauss (Lagrange) reduction: return a shortest basis of a lattice in two dimensions, and how it is made of the given one.

    Take from the longer vector the multiple of the shorter one that leaves it shortest; swap; until nothing changes.

    Parameters
    ----------
    basis : array_like of int, shape (2, m)
        Two independent rows.

    Returns
    -------
    reduced : ndarray of Python integers, shape (2, m)
        The first row is a shortest vector of the lattice; the second is a shortest one of those that are independent of it.
    transform : ndarray of Python integers, shape (2, 2)
        ``transform @ basis`` is `reduced`; its determinant is 1 or -1.

    Raises
    ------
    ValueError
        If `basis` is not of two independent rows of integers.

    Notes
    -----
    Lagrange 1773 and Gauss 1801; Hoffstein, Pipher, Silverman, "An Introduction to Mathematical Cryptography", section
    7.13.1. Euclid's algorithm for two numbers is the case of one dimension. `gauss_steps` gives each step.

    >>> gauss_reduce([[1, 2], [3, 4]])[0].tolist()
    [[1, 0], [0, 2]]
    """
    *_, last = _gauss(_pair(basis))
    return last[:, :-2], last[:, -2:]


def gauss_steps(basis):  # (2, m) -> list of (2, m)
    """Return the bases that `gauss_reduce` goes through, from the given one to the reduced one.

    Parameters
    ----------
    basis : array_like of int, shape (2, m)

    Returns
    -------
    list of ndarray of Python integers, shape (2, m)

    Raises
    ------
    ValueError
        If `basis` is not of two independent rows of integers.

    >>> [step.tolist() for step in gauss_steps([[1, 0], [5, 1]])]
    [[[1, 0], [5, 1]], [[1, 0], [0, 1]]]
    """
    return [rows[:, :-2] for rows in _gauss(_pair(basis))]


def _pair(basis):
    basis = independent_rows(basis)
    if len(basis) != 2:
        raise ValueError(f"basis has {len(basis)} rows: Gauss's reduction takes two; lll_reduce takes any number")
    return basis


def _gauss(basis):
    rows = with_transform(basis)
    yield rows
    while True:
        short, long = rows[:, :-2]
        if short @ short > long @ long:
            rows = rows[::-1].copy()
        elif multiple := nearest_integer(short @ long, short @ short):
            rows = np.array([rows[0], rows[1] - multiple * rows[0]])
        else:
            return
        yield rows
