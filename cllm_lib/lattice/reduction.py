"""Lattice reduction: short, nearly orthogonal bases of the whole-number combinations of some vectors.

A basis is an array whose rows are the basis vectors. Everything that is returned as a basis holds Python integers, so it
is exact at any size: floating point proposes the steps, and what it cannot prove of their result, integers decide.
"""

import math
import numbers
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from cllm_lib.checks import at_most, integer_matrix, positive_integer

EXACT_FLOATS = 2.0**53  # float64 holds every whole number up to here
LARGEST_FLOAT_BITS = 500  # the squares of longer entries pass the largest float64
MEASURED_ANEW = 2.0**20  # a row whose squared length falls by this much has lost 10 bits, and is measured anew
MOST_PASSES = 50  # of making one row small; a few do
SLACK = 1e-6  # floating point leaves alone what is this near to a limit: integers decide there
CHECK_PRIME = 2**31 - 1  # products of two remainders fit int64
LARGEST_ENUMERATION = 24
CHANCE = Fraction(1, 1000)  # of an integer relation being an accident; above it, none is claimed


class Step(NamedTuple):
    """One step of a reduction, for an animation: what was done, to which rows, and what it left."""

    kind: str  # "start", "reduce" (row less a multiple of other) or "swap" (row and other)
    row: int
    other: int
    basis: np.ndarray  # (n, m), Python integers
    potential: int  # the product of the Gram determinants of the first 1, 2, ..., n rows


def gauss_reduce(basis):  # (2, m) -> (2, m), (2, 2)
    """Return a shortest basis of a lattice in two dimensions, and how it is made of the given one.

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
    basis = _independent(basis)
    if len(basis) != 2:
        raise ValueError(f"basis has {len(basis)} rows: Gauss's reduction takes two; lll_reduce takes any number")
    return basis


def _gauss(basis):
    rows = _with_transform(basis)
    yield rows
    while True:
        short, long = rows[:, :-2]
        if short @ short > long @ long:
            rows = rows[::-1].copy()
        elif multiple := _nearest_integer(short @ long, short @ short):
            rows = np.array([rows[0], rows[1] - multiple * rows[0]])
        else:
            return
        yield rows


def gram_schmidt(basis, exact=True):  # (n, m) -> (n, m), (n, n)
    """Return the Gram-Schmidt vectors of a basis and their coefficients, exactly or in float64.

    From each row is taken what lies along the rows before it: ``basis[i] = orthogonal[i] + sum_j<i mu[i, j] orthogonal[j]``,
    or ``basis = mu @ orthogonal``. Nothing is divided by a length.

    Parameters
    ----------
    basis : array_like of int, shape (n, m); of numbers where `exact` is False
        Independent rows.
    exact : bool
        True for fractions, False for float64.

    Returns
    -------
    orthogonal : ndarray of Fraction or float64, shape (n, m)
    mu : ndarray of Fraction or float64, shape (n, n)
        Lower triangular, with ones on the diagonal.

    Raises
    ------
    ValueError
        If the rows are dependent, or not integers where they must be.

    Notes
    -----
    Cohen, "A Course in Computational Algebraic Number Theory", section 2.5; in float64 by a QR
    decomposition, which loses less.
    """
    if not exact:
        direction, r = _float_qr(basis)
        lengths = np.diag(r)
        return (direction * lengths).T, (r / lengths[:, None]).T
    basis = _independent(basis)
    orthogonal = basis * Fraction(1)
    mu = np.array([[Fraction(i == j) for j in range(len(basis))] for i in range(len(basis))], dtype=object)
    for i in range(len(basis)):
        for j in range(i):
            mu[i, j] = (basis[i] @ orthogonal[j]) / (orthogonal[j] @ orthogonal[j])
            orthogonal[i] = orthogonal[i] - mu[i, j] * orthogonal[j]
    return orthogonal, mu


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
    basis, delta = _independent(basis), _delta(delta)
    rows, seems_reduced = _reduce_in_floats(_with_transform(basis), basis.shape[1], delta)
    if not seems_reduced or (certified and not _surely_reduced(rows[:, : basis.shape[1]], delta)):
        rows = _finish_in_integers(rows, basis.shape[1], delta)
    reduced, transform = np.split(rows, [basis.shape[1]], axis=1)
    if certified and not (np.array_equal(_product(transform, basis), reduced) and is_unimodular(transform)):
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
    state, delta = _IntegralBasis(_independent(basis)), _delta(delta)

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
    state, delta = _IntegralBasis(_independent(basis)), _delta(delta)
    return next(state.reduction(delta), None) is None


def is_unimodular(matrix):  # (n, n)
    """Return whether a square matrix of integers has an inverse of integers, which is to say a determinant of 1 or -1.

    Floating point guesses the inverse; the product of the two, in integers, must be the identity. Where it is not, the
    determinant decides.

    Parameters
    ----------
    matrix : array_like of int, shape (n, n)

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If `matrix` is not square, or not of integers.
    """
    matrix = integer_matrix(matrix, "matrix")
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix has shape {matrix.shape}: only a square one can be unimodular")
    if _largest(matrix) < EXACT_FLOATS:
        try:
            guess = np.rint(np.linalg.inv(matrix.astype(float)))
        except np.linalg.LinAlgError:
            guess = np.zeros(matrix.shape)
        if np.abs(guess).max() < EXACT_FLOATS and np.array_equal(_product(matrix, _whole(guess)), np.eye(len(matrix))):
            return True
    return abs(_determinant(matrix)) == 1


def babai_nearest_plane(basis, target):  # (n, m), (m,) -> (n,)
    """Return the coefficients of a lattice vector near a target: Babai's nearest plane.

    The lattice lies in parallel planes, each a copy of the lattice of all rows but the last. Go to the nearest of them,
    and in it on to the next row. How near one gets depends on the basis: reduce it first.

    Parameters
    ----------
    basis : array_like, shape (n, m)
        Independent rows.
    target : array_like, shape (m,)
        It may lie outside the rows' span: then what counts is its projection. If both are of integers or fractions, the
        result is exact; if one is of floats, float64 is used. A tie is rounded to the even number.

    Returns
    -------
    ndarray of Python integers, shape (n,)
        ``coefficients @ basis`` is the lattice vector.

    Raises
    ------
    ValueError
        If the rows are dependent, the shapes do not fit, or floating point cannot tell the coefficients apart.

    Notes
    -----
    Babai 1986, "On Lovasz' Lattice Reduction and the Nearest Lattice Point Problem", Combinatorica 6; Hoffstein, Pipher,
    Silverman, "An Introduction to Mathematical Cryptography", section 7.6. The difference that is left has no more than
    half of each Gram-Schmidt vector in it.

    >>> babai_nearest_plane([[2, 0], [1, 3]], [4, 7]).tolist()
    [1, 2]
    """
    basis, target = np.asarray(basis), np.asarray(target)
    if basis.ndim != 2 or target.shape != basis.shape[1:]:
        raise ValueError(f"basis has shape {basis.shape} and target {target.shape}: give (n, m) and (m,)")
    if basis.dtype.kind == "f" or any(isinstance(x, float | np.floating) for x in target.flat):
        return _nearest_plane_in_floats(basis, target)
    try:
        left = np.array([Fraction(x) for x in target.tolist()])
    except (TypeError, ValueError):
        raise ValueError(f"target is an array of {target.dtype}: give integers, fractions or floats") from None
    basis = _independent(basis)
    orthogonal, _ = gram_schmidt(basis)
    coefficients = np.zeros(len(basis), dtype=object)
    for i in reversed(range(len(basis))):
        coefficients[i] = round((left @ orthogonal[i]) / (orthogonal[i] @ orthogonal[i]))
        left = left - coefficients[i] * basis[i]
    return coefficients


def _nearest_plane_in_floats(basis, target):
    direction, r = _float_qr(basis)
    left = _finite_floats(target, "target") @ direction
    coefficients = np.zeros(len(r))
    for i in reversed(range(len(r))):
        coefficients[i] = np.rint(left[i] / r[i, i])
        left = left - coefficients[i] * r[:, i]
    if np.abs(coefficients).max() >= EXACT_FLOATS:
        raise ValueError("a coefficient is beyond 2^53, where float64 leaves out integers: give basis and target as integers or fractions")
    return _whole(coefficients)


def shortest_vector(basis):  # (n, m) -> (m,)
    """Return a shortest vector of the lattice other than zero, found by trying all that could be.

    The basis is reduced first. Then coefficients are chosen from the last row to the first: what a choice adds along a
    Gram-Schmidt vector is never lost again, so a branch ends where it is as long as the best vector found so far. Time grows
    faster than exponentially with n.

    Parameters
    ----------
    basis : array_like of int, shape (n, m)
        Independent rows, at most 24.

    Returns
    -------
    ndarray of Python integers, shape (m,)

    Raises
    ------
    ValueError
        As `lll_reduce`, and if there are more rows.

    Notes
    -----
    Fincke and Pohst 1985; Schnorr and Euchner 1994; Cohen, "A Course in Computational Algebraic Number Theory", section
    2.7.3. Floating point prunes, with some slack; lengths are compared in integers.

    >>> shortest_vector([[5, 0], [3, 4]]).tolist()
    [-2, 4]
    """
    basis = _independent(basis)
    at_most(len(basis), LARGEST_ENUMERATION, "the number of rows", "trying all vectors would take too long")
    basis, _ = lll_reduce(basis, Fraction(99, 100))
    state = _IntegralBasis(basis)
    d, n = state.d, len(basis)
    squares = [d[i + 1] / (d[i] * d[1]) for i in range(n)]  # |b*_i|^2 in units of the first one, right to the last bit
    mu = [[state.lambdas[i][j] / d[j + 1] for j in range(i)] for i in range(n)]
    shortest = min(basis, key=lambda row: row @ row)
    coefficients = [0] * n

    def search(i, above):
        """Try all values of coefficient i, nearest to the centre first; `above` is the squared length due to higher ones."""
        nonlocal shortest
        if i < 0:
            vector = np.array(coefficients, dtype=object) @ basis
            if 0 < vector @ vector < shortest @ shortest:
                shortest = vector
            return
        centre = -sum(coefficients[j] * mu[j][i] for j in range(i + 1, n))
        for value in _outwards(centre):
            length = above + (value - centre) ** 2 * squares[i]
            if length > (shortest @ shortest) / d[1] * (1 + SLACK):
                break
            if above == 0 and value < 0:
                continue  # as long as its opposite
            coefficients[i] = value
            search(i - 1, length)
        coefficients[i] = 0

    search(n - 1, 0.0)
    return shortest


def _outwards(centre):
    """All integers, the nearest to `centre` first."""
    value = round(centre)
    side = 1 if centre >= value else -1
    yield value
    step = 1
    while True:
        yield value + side * step
        yield value - side * step
        step += 1


def integer_relation(values, digits):  # (n,) -> (n,) or None
    """Return integers, not all zero, for which the sum of multiples of the numbers is zero to so many decimals; or None.

    Row i of a lattice is the i-th unit vector with the i-th number, as so many digits, behind it. A short vector of it has
    small multiples and, in its last place, their sum: next to nothing. Short vectors there are always; one is returned only
    if numbers chosen by chance would have one as short less than once in a thousand times, None otherwise.

    Parameters
    ----------
    values : sequence of str, int, Fraction, Decimal or float
        Two at least. A text or Decimal must have `digits` decimals at least; a float is good for about 15.
    digits : int
        Decimals after the point that are right.

    Returns
    -------
    list of int, or None

    Raises
    ------
    ValueError
        If a number cannot be read, or has fewer decimals than `digits`.

    Notes
    -----
    Lenstra, Lenstra, Lovasz 1982 name the use; Cohen, "A Course in Computational Algebraic Number Theory", section 2.7.2.

    >>> integer_relation([1, "1.61803398874989484820", "2.61803398874989484820"], 20)
    [1, 1, -1]
    """
    digits = positive_integer(digits, "digits")
    scaled = [round(_decimal(number, digits, f"values[{i}]") * 10**digits) for i, number in enumerate(values)]
    n = len(scaled)
    if n < 2:
        raise ValueError(f"{n} number{'' if n == 1 else 's'}: a relation is between two at least")
    first = lll_reduce([[int(i == j) for j in range(n)] + [scaled[i]] for i in range(n)])[0][0]
    relation, rest = first[:-1].tolist(), first[-1]
    tolerance = sum(map(abs, relation))  # each number is rounded by a half at most; as much again for its last digit
    vectors = (2 * max(map(abs, relation)) + 1) ** n  # as small as this one
    if abs(rest) > tolerance or vectors * (2 * tolerance + 1) > CHANCE * max(map(abs, scaled)):
        return None
    sign = 1 if next(filter(None, relation)) > 0 else -1
    return [sign * multiple for multiple in relation]


def _decimal(number, digits, name):
    if isinstance(number, float) and digits > 15:
        raise ValueError(f"{name} is a float, which holds about 15 digits: give {digits} decimals as text")
    if isinstance(number, str | Decimal):
        point = str(number).partition(".")[2]
        if len(point) < digits:
            raise ValueError(
                f"{name} is {number!r}, with {len(point)} decimals: give {digits}, or an integer or fraction where it is exact"
            )
    try:
        return Fraction(number)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is {number!r}: give a number, or its digits as text") from None


def orthogonality_defect(basis):  # (n, m)
    """Return the product of the rows' lengths over the volume they span: 1 if they are orthogonal, else more.

    Parameters
    ----------
    basis : array_like of int, shape (n, m)
        Independent rows.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the rows are dependent or not of integers, or the result is beyond the largest float.

    Notes
    -----
    Hadamard's inequality: it is never below 1. Hoffstein, Pipher, Silverman, "An Introduction to Mathematical
    Cryptography", section 7.3, has its inverse as Hadamard ratio, to the power 1 / n.
    """
    basis = _independent(basis)
    return _exponential((sum(math.log(row @ row) for row in basis) - _log_determinant(basis)) / 2)


def hermite_factor(basis):  # (n, m)
    """Return how long the first row is beside the volume: its length over the n-th root of the volume.

    LLL promises ``(4/3)^((n-1)/4)`` at most for delta near 1; in practice it comes to about 1.02^n.

    Parameters
    ----------
    basis : array_like of int, shape (n, m)
        Independent rows.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As `orthogonality_defect`.

    Notes
    -----
    Gama and Nguyen 2008, "Predicting Lattice Reduction", who measured it.
    """
    basis = _independent(basis)
    return _exponential((math.log(basis[0] @ basis[0]) - _log_determinant(basis) / len(basis)) / 2)


def minkowski_bound(basis):  # (n, m)
    """Return a length that the lattice's shortest vector does not exceed: Minkowski's bound.

    It is twice the radius of a ball, in n dimensions, of the lattice's volume.

    Parameters
    ----------
    basis : array_like of int, shape (n, m)
        Independent rows; which ones of the lattice does not matter.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As `orthogonality_defect`.

    Notes
    -----
    Minkowski's theorem on convex bodies, for a ball: Hoffstein, Pipher, Silverman, "An Introduction to Mathematical
    Cryptography", section 7.3.
    """
    basis = _independent(basis)
    n = len(basis)
    return _exponential(math.log(2 / math.sqrt(math.pi)) + (math.lgamma(n / 2 + 1) + _log_determinant(basis) / 2) / n)


def _log_determinant(basis):
    """The logarithm of the Gram determinant, which is the square of the volume."""
    return math.log(_IntegralBasis(basis).d[-1])


def _exponential(power):
    try:
        return math.exp(power)
    except OverflowError:
        raise ValueError(
            f"the result is e^{power:.0f}, beyond the largest float: take a basis of smaller integers, or a reduced one"
        ) from None


def _delta(delta):
    is_number = isinstance(delta, numbers.Rational | float) and not isinstance(delta, bool)
    if not is_number or not Fraction(1, 4) < delta <= 1:
        raise ValueError(f"delta is {delta!r}: give a number above 1/4 and at most 1")
    return Fraction(delta)


def _independent(basis):
    """`basis` as an array of Python integers, once its rows are known to be independent."""
    basis = integer_matrix(basis, "basis")
    n, m = basis.shape
    if n > m:
        raise ValueError(f"basis has {n} rows and {m} columns: so many rows are dependent; the rows are the basis vectors")
    for i, row in enumerate(basis):
        if not row.any():
            raise ValueError(f"basis[{i}] is zero: a basis vector is not; leave it out")
    if _rank_modulo(basis, CHECK_PRIME) < n:  # independent modulo a prime is independent; the converse may fail
        _IntegralBasis(basis)  # says which row depends on others
    return basis


def _rank_modulo(matrix, prime):
    left = (matrix % prime).astype(np.int64)
    rank = 0
    for column in range(left.shape[1]):
        usable = np.flatnonzero(left[rank:, column])
        if len(usable) == 0:
            continue
        pivot = rank + usable[0]
        left[[rank, pivot]] = left[[pivot, rank]]
        left[rank] = left[rank] * pow(int(left[rank, column]), -1, prime) % prime
        left[rank + 1 :] = (left[rank + 1 :] - left[rank + 1 :, column, None] * left[rank]) % prime
        rank += 1
        if rank == len(left):
            break
    return rank


def _nearest_integer(numerator, denominator):
    """The integer nearest to a fraction with a positive denominator; of two as near, that nearer to zero."""
    nearest = (2 * abs(numerator) + denominator - 1) // (2 * denominator)
    return nearest if numerator > 0 else -nearest


def _with_transform(basis):  # (n, m) -> (n, m + n)
    """The rows with the identity behind them: what is done to the rows is thereby written down."""
    return np.hstack([basis, _whole(np.eye(len(basis)))])


def _whole(array):
    """Floats that are whole numbers, as Python integers."""
    if np.abs(array).max() < EXACT_FLOATS:
        return array.astype(np.int64).astype(object)
    return np.frompyfunc(int, 1, 1)(array)


def _largest(matrix):
    return max(matrix.max(), -matrix.min())


def _product(a, b):  # (n, k), (k, m) -> (n, m)
    """The exact product of integers, by float64 where no sum can leave its whole numbers."""
    if len(b) * _largest(a) * _largest(b) < EXACT_FLOATS:
        return _whole(a.astype(float) @ b.astype(float))
    return a @ b


def _determinant(matrix):
    """The determinant of integers by Bareiss's elimination, in which each division leaves no rest."""
    left, sign, previous = matrix.copy(), 1, 1
    while len(left) > 1:
        usable = np.flatnonzero(left[:, 0])
        if len(usable) == 0:
            return 0
        if usable[0]:
            left[[0, usable[0]]] = left[[usable[0], 0]]
            sign = -sign
        pivot = left[0, 0]
        left, previous = (pivot * left[1:, 1:] - left[1:, :1] * left[:1, 1:]) // previous, pivot
    return sign * left[0, 0]


def _finite_floats(values, name):
    try:
        values = np.asarray(values).astype(float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} holds what is no float: give numbers below 10^308") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has a value that is infinite or NaN: give finite numbers")
    return values


def _float_qr(basis):  # (n, m) -> (m, n), (n, n)
    """Directions as columns and the upper triangular r: ``basis.T = directions @ r``, if float64 can tell the rows apart."""
    basis = _finite_floats(basis, "basis")
    if basis.ndim != 2 or not 1 <= basis.shape[0] <= basis.shape[1]:
        raise ValueError(f"basis has shape {basis.shape}: give a row or more, and no more rows than columns")
    directions, r = np.linalg.qr(basis.T)
    lengths = np.linalg.norm(basis, axis=1)
    alike = np.abs(np.diag(r)) <= len(basis) * np.finfo(float).eps * lengths
    if alike.any():
        row = np.flatnonzero(alike)[0]
        raise ValueError(f"basis[{row}] is zero, or in float64 a combination of the rows before it: leave it out, or give integers")
    return directions, r


class _IntegralBasis:
    """A basis and its Gram-Schmidt numbers as integers, after Cohen's algorithm 2.6.7 (de Weger 1987).

    `d[i]` is the Gram determinant of the first i rows, so that ``|b*_i|^2 = d[i + 1] / d[i]``, and
    ``lambdas[i][j] = d[j + 1] mu[i, j]``; all of them are whole numbers. Columns beyond `width` are carried along.
    """

    def __init__(self, rows, width=None):
        self.width = rows.shape[1] if width is None else width
        self.rows = list(rows)
        vectors = rows[:, : self.width]
        self.d, self.lambdas = [1], []
        for k, products in enumerate(_product(vectors, vectors.T).tolist()):
            self._orthogonalize(k, products)

    def _orthogonalize(self, k, products):
        """Find the numbers of row k from its inner products, the rows before it being known."""
        d, row = self.d, []
        for j in range(k + 1):
            u, other = products[j], self.lambdas[j] if j < k else row
            for i in range(j):
                u = (d[i + 1] * u - row[i] * other[i]) // d[i]
            row.append(u)
        if row[k] == 0:
            raise ValueError(f"basis[{k}] is a combination of the rows before it: leave it out")
        d.append(row.pop())
        self.lambdas.append(row)

    def basis(self):
        """The rows as they are now."""
        return np.array(self.rows)

    def reduction(self, delta):
        """Make the rows LLL-reduced, and yield what is done and to which two rows."""
        k = 1
        while k < len(self.rows):
            if self.reduce(k, k - 1):
                yield "reduce", k, k - 1
            if not self.lovasz(k, delta):
                self.swap(k)
                yield "swap", k, k - 1
                k = max(k - 1, 1)
                continue
            for j in reversed(range(k - 1)):
                if self.reduce(k, j):
                    yield "reduce", k, j
            k += 1

    def reduce(self, k, j):
        """Take from row k the multiple of row j that leaves least of it, and return the multiple."""
        row, other = self.lambdas[k], self.lambdas[j]
        multiple = _nearest_integer(row[j], self.d[j + 1])
        if multiple:
            self.rows[k] = self.rows[k] - multiple * self.rows[j]
            row[j] -= multiple * self.d[j + 1]
            for i in range(j):
                row[i] -= multiple * other[i]
        return multiple

    def lovasz(self, k, delta):
        """Whether the Gram-Schmidt vector of row k is long enough beside that of the row before."""
        d = self.d
        return delta.denominator * (d[k + 1] * d[k - 1] + self.lambdas[k][k - 1] ** 2) >= delta.numerator * d[k] ** 2

    def swap(self, k):
        """Swap row k and the one before it."""
        rows, d, lambdas = self.rows, self.d, self.lambdas
        rows[k - 1], rows[k] = rows[k], rows[k - 1]
        lambdas[k - 1][:], lambdas[k][: k - 1] = lambdas[k][: k - 1], lambdas[k - 1][:]
        common = lambdas[k][k - 1]
        changed = (d[k - 1] * d[k + 1] + common**2) // d[k]
        for row in lambdas[k + 1 :]:
            before = row[k]
            row[k] = (d[k + 1] * row[k - 1] - common * before) // d[k]
            row[k - 1] = (changed * before + common * row[k]) // d[k + 1]
        d[k] = changed


def _finish_in_integers(rows, width, delta):
    """Reduce rows exactly."""
    state = _IntegralBasis(rows, width)
    for _ in state.reduction(delta):
        pass
    return state.basis()


def _surely_reduced(basis, delta):
    """Whether rows are LLL-reduced beyond what rounding can blur; False means that floating point leaves it open.

    Let L be the true lower triangle of ``basis = L Q``, with the rows of Q orthonormal, and `lower` the computed one; let W,
    lower triangular too, be nearly its inverse. Then C = W L is the Cholesky factor of ``(W basis)(W basis)^T = I + F``.
    For X = C - I that reads X + X^T + X X^T = F, so sqrt(2) |X| <= |F| + |X|^2 in Frobenius norms, and so |X| <= |F| if
    |F| <= 0.1. With K = W lower - I it follows that ``L = lower (I + Y)``, Y lower triangular and
    |Y| <= (|F| + |K|) / (1 - |K|): the error of an entry is at most |Y| times the length of its row of `lower`, that of a
    diagonal entry |Y| times itself. This bounds both conditions. The method is Villard's (2007, "Certification of the QR
    Factor R and of Lattice Basis Reducedness"); |fl(A B) - A B| <= k u |A||B|, for sums of k terms, is Higham's, "Accuracy
    and Stability of Numerical Algorithms", section 3.5.
    """
    if int(_largest(basis)).bit_length() > LARGEST_FLOAT_BITS:
        return False
    rows = basis.astype(float)
    lower = np.linalg.qr(rows.T, mode="r").T
    lower = lower * np.sign(lower.diagonal())
    lengths, diagonal = np.linalg.norm(lower, axis=1), lower.diagonal()
    if diagonal.min() <= np.finfo(float).eps * lengths.max():
        return False
    inverse, identity = np.tril(np.linalg.inv(lower)), np.eye(len(rows))
    rounding = 2 * (max(rows.shape) + 2) * np.finfo(float).eps  # four times what a product may lose, relative to its terms
    turned = inverse @ rows
    lost = rounding * np.linalg.norm(np.abs(inverse) @ np.abs(rows))
    size = np.linalg.norm(turned)
    f = np.linalg.norm(turned @ turned.T - identity) + rounding * size**2 + 2 * lost * size + lost**2
    k = np.linalg.norm(inverse @ lower - identity) + rounding * np.linalg.norm(np.abs(inverse) @ np.abs(lower))
    if inverse.diagonal().min() <= 0 or not f + k < 0.05:
        return False
    y = 1.01 * (f + k) / (1 - k) + rounding  # with room for the rounding of these lines themselves
    along = np.tril(np.abs(lower), -1)
    small = 2 * (along + y * lengths[:, None]) <= (1 - y) * diagonal
    last = np.maximum(along.diagonal(-1) - y * lengths[1:], 0)
    lovasz = ((1 - y) * diagonal[1:]) ** 2 + last**2 >= float(delta) * (1 + rounding) * ((1 + y) * diagonal[:-1]) ** 2
    return bool(np.tril(small, -1).sum() == len(rows) * (len(rows) - 1) // 2 and lovasz.all())


def _reduce_in_floats(rows, width, delta):
    """Reduce rows of integers by Gram-Schmidt numbers in float64: the rows, and whether they seem reduced.

    Row by row: make it small beside those before it, then move it up past each that Lovasz's condition would swap it with,
    and go on from there. The rows are kept as float64 while all their numbers fit its 53 bits, else as Python integers, so
    whatever the Gram-Schmidt numbers are worth, the lattice stays the same.
    """
    n, bits = len(rows), int(_largest(rows)).bit_length()
    if bits > LARGEST_FLOAT_BITS:
        return rows, False
    if bits <= 53:
        rows = rows.astype(float)
    directions, r = np.zeros((n, width)), np.zeros((n, n))  # orthonormal rows; row k is r[k, : k + 1] @ directions[: k + 1]
    limit, visits, k = float(delta) - SLACK, 0, 0
    while k < n:
        rows, rest = _make_small(rows, k, directions, r)
        visits += 1
        if rest is None or r[k, k] == 0 or visits > 2 * n + 3 * n * n * bits:  # more than the potential allows for delta 3/4
            return _as_integers(rows), False
        place, square = k, r[k, k] ** 2
        while place and square + r[k, place - 1] ** 2 < limit * r[place - 1, place - 1] ** 2:
            place -= 1
            square += r[k, place] ** 2
        if place == k:
            directions[k] = rest / r[k, k]
            k += 1
        else:  # there it is measured anew, from its integers: errors do not build up
            rows[place : k + 1] = rows[[k, *range(place, k)]]
            k = place
    return _as_integers(rows), True


def _make_small(rows, k, directions, r):
    """Take from row k what it has of the rows before it; return the rows and what of row k is orthogonal to the others.

    A row far longer than its neighbours loses about 50 bits at a time: it is measured anew until little is left to take.
    """
    before, most = directions[:k], math.inf
    for _ in range(MOST_PASSES):
        vector = rows[k, : directions.shape[1]].astype(float)
        square = vector @ vector
        if square > most:  # floating point has lost its way
            break
        along = before @ vector
        rest = vector - along @ before
        if rest @ rest < 0.01 * square:  # then what rounding left in there counts
            again = before @ rest
            along, rest = along + again, rest - again @ before
        r[k, k] = math.sqrt(rest @ rest)
        multiples, r[k, :k] = _multiples_to_take(along, r)
        if multiples:
            rows = _take_away(rows, k, multiples)
        left = r[k, : k + 1] @ r[k, : k + 1]
        if not multiples or square < MEASURED_ANEW * left:
            return rows, rest
        most = 1.01 * square + (r.diagonal()[:k] ** 2).sum()
    return rows, None


def _multiples_to_take(along, r):
    """The multiple of each row to take from the next one, by number of the row, the last first, and what that leaves along them.

    This is Babai's nearest plane.
    """
    k = len(along)
    lengths, left, multiples = r.diagonal()[:k], along.copy(), {}
    most = (0.5 + SLACK) * lengths
    while len(large := (np.abs(left) > most).nonzero()[0]):
        j = int(large[-1])
        multiple = round(left[j] / lengths[j])
        left[: j + 1] -= float(multiple) * r[j, : j + 1]
        multiples[j] = multiples.get(j, 0) + multiple
    return multiples, left


def _take_away(rows, k, multiples):
    """Take multiples of other rows from row k, exactly; the rows become Python integers once they need more than 53 bits."""
    others, times = rows[list(multiples)], np.array(list(multiples.values()), dtype=rows.dtype)
    if rows.dtype == float and np.abs(times) @ np.abs(others).max(axis=1) + np.abs(rows[k]).max() >= EXACT_FLOATS:
        return _take_away(_whole(rows), k, multiples)
    rows[k] -= times @ others
    return rows


def _as_integers(rows):
    return rows if rows.dtype == object else _whole(rows)
