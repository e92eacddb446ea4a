"""The LLL algorithm (Lenstra, Lenstra, Lovasz 1982): short, nearly orthogonal bases of a lattice.

A lattice is the whole-number combinations of some vectors; a basis is an array whose rows are the basis vectors. Everything
that is returned as a basis holds Python integers, so it is exact at any size: floating point proposes the steps, and what it
cannot prove of their result, integers decide.
"""

import math
import numbers
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from cllm_lib.lattice.exact_lll import IntegralBasis, reduce_in_integers
from cllm_lib.lattice.float_lll import LARGEST_FLOAT_BITS, reduce_in_floats, surely_reduced
from cllm_lib.lattice.gram_lll import surely_reduced_by_products
from cllm_lib.lattice.independence import independent_rows
from cllm_lib.lattice.integers import exact_product, is_unimodular, largest_magnitude, with_transform


class Step(NamedTuple):
    """One step of a reduction, for an animation: what was done, to which rows, and what it left."""

    kind: str  # "start", "reduce" (row less a multiple of other) or "swap" (row and other)
    row: int
    other: int
    basis: np.ndarray  # (n, m), Python integers
    potential: int  # the product of the Gram determinants of the first 1, 2, ..., n rows


def lll_reduce(basis, delta=Fraction(3, 4), certified=True):  # (n, m) -> (n, m), (n, n)
    """Return an LLL-reduced basis of the same lattice, and how it is made of the given one.

    Reduced means: no row has more than half of an earlier Gram-Schmidt vector in it, and each Gram-Schmidt vector is not
    much shorter than the one before (Lovasz's condition, see `is_lll_reduced`). Then the first row is at most
    ``(delta - 1/4)^(-(n-1)/2)`` times as long as the shortest vector there is, and in practice far shorter.

    Floating point does the work: it says which multiple of which row to take from which, and what to swap. The rows
    themselves stay whole numbers all the while. At the end the result is proved to be reduced, with a bound on all that
    rounding can have done; where that leaves it open, LLL in integers takes over, which finishes the work or finds nothing
    left to do. That the transform is unimodular and makes the result of the input is checked in integers.

    Parameters
    ----------
    basis : array_like of int, shape (n, m)
        Independent rows, n at most m; integers of any size.
    delta : Fraction, int or float
        Above 1/4 and at most 1: the nearer to 1, the shorter the vectors and the longer it takes.
    certified : bool
        False leaves out the proof and the checks: the lattice is the same, but reduced is what floating point takes for it.

    Returns
    -------
    reduced : ndarray of Python integers, shape (n, m)
    transform : ndarray of Python integers, shape (n, n)
        ``transform @ basis`` is `reduced`; its determinant is 1 or -1.

    Raises
    ------
    ValueError
        If `basis` has rows that are zero, dependent, ragged, or not of integers, or more rows than columns; or if `delta`
        is out of its limits.

    Notes
    -----
    Lenstra, Lenstra, Lovasz 1982, "Factoring Polynomials with Rational Coefficients", Mathematische Annalen 261; in
    integers: Cohen, "A Course in Computational Algebraic Number Theory", algorithm 2.6.7; in floating point: Schnorr and
    Euchner 1994, and Nguyen and Stehle 2009, "An LLL Algorithm with Quadratic Complexity", SIAM Journal on Computing 39.

    >>> lll_reduce([[1, 0, 201], [0, 1, 2023]])[0].tolist()
    [[-10, 1, 13], [101, -10, 71]]
    """
    basis, delta = independent_rows(basis), _delta(delta)
    rows, seems_reduced = reduce_in_floats(with_transform(basis), basis.shape[1], delta)
    if not seems_reduced or (certified and not _proved(rows[:, : basis.shape[1]], basis, delta)):
        rows = _reduce_exactly(rows, basis.shape[1], delta)
    reduced, transform = np.split(rows, [basis.shape[1]], axis=1)
    if certified and not (np.array_equal(exact_product(transform, basis), reduced) and is_unimodular(transform)):
        raise AssertionError("lll_reduce went wrong: the transform does not hold; please report this basis")
    return reduced, transform


def lll_steps(basis, delta=Fraction(3, 4)):  # (n, m) -> iterator of Step
    """Yield the steps of LLL in integers, one at a time, as the paper has them: to be watched, not to be fast.

    The potential is the product of the Gram determinants of the first 1, 2, ..., n rows. Reducing a row by earlier ones
    leaves it as it is; each swap makes it smaller by a factor below `delta`; and it is a whole number of at least 1. So the
    swaps come to an end.

    Parameters
    ----------
    basis : array_like of int, shape (n, m)
    delta : Fraction, int or float
        Above 1/4 and at most 1.

    Yields
    ------
    Step
        The first, of kind "start", holds the basis as given.

    Raises
    ------
    ValueError
        As `lll_reduce`, and at the call, not at the first step.

    >>> [step.kind for step in lll_steps([[4, 1], [1, 0]])]
    ['start', 'swap', 'reduce']
    """
    state, delta = IntegralBasis(independent_rows(basis)), _delta(delta)

    def steps():
        yield Step("start", 0, 0, state.basis(), math.prod(state.d))
        for kind, row, other in state.reduction(delta):
            yield Step(kind, row, other, state.basis(), math.prod(state.d))

    return steps()


def is_lll_reduced(basis, delta=Fraction(3, 4)):  # (n, m)
    """Return whether a basis is LLL-reduced, decided in integers.

    With Gram-Schmidt vectors b*_i and coefficients mu: ``|mu[i, j]| <= 1/2`` for all j < i (it is size-reduced), and
    ``|b*_i|^2 >= (delta - mu[i, i-1]^2) |b*_{i-1}|^2`` (Lovasz's condition).

    Parameters
    ----------
    basis : array_like of int, shape (n, m)
    delta : Fraction, int or float
        Above 1/4 and at most 1.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        As `lll_reduce`.

    Notes
    -----
    Lenstra, Lenstra, Lovasz 1982, (1.4) and (1.5).
    """
    state, delta = IntegralBasis(independent_rows(basis)), _delta(delta)
    return next(state.reduction(delta), None) is None


def _proved(reduced, basis, delta):
    """Whether rows are surely reduced; those of long entries may be of lengths far apart, and worth the time of exact products."""
    if surely_reduced(reduced, delta):
        return True
    return int(largest_magnitude(basis)).bit_length() > LARGEST_FLOAT_BITS and surely_reduced_by_products(reduced, delta)


def _reduce_exactly(rows, width, delta):
    """Reduce by integers alone; a common factor of the basis would only make them longer."""
    common = math.gcd(*rows[:, :width].flat)
    reduced = reduce_in_integers(np.hstack([rows[:, :width] // common, rows[:, width:]]), width, delta)
    return np.hstack([reduced[:, :width] * common, reduced[:, width:]])


def _delta(delta):
    is_number = isinstance(delta, numbers.Rational | float) and not isinstance(delta, bool)
    if not is_number or not Fraction(1, 4) < delta <= 1:
        raise ValueError(f"delta is {delta!r}: give a number above 1/4 and at most 1")
    return Fraction(delta)
