"""Closest and shortest vectors of a lattice: Babai's nearest plane, and enumeration after Fincke, Pohst, Schnorr and Euchner."""

from fractions import Fraction

import numpy as np

from cllm_lib.checks import at_most
from cllm_lib.lattice.exact_lll import IntegralBasis
from cllm_lib.lattice.float_lll import SLACK
from cllm_lib.lattice.independence import independent_rows
from cllm_lib.lattice.integers import EXACT_FLOATS, whole
from cllm_lib.lattice.lll import lll_reduce
from cllm_lib.lattice.orthogonalization import finite_floats, float_qr, gram_schmidt

LARGEST_ENUMERATION = 24


def babai_nearest_plane(basis, target):  # (n, m), (m,) -> (n,)
    """Babai's nearest plane: return the coefficients of a lattice vector near a target.

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
    basis = independent_rows(basis)
    orthogonal, _ = gram_schmidt(basis)
    coefficients = np.zeros(len(basis), dtype=object)
    for i in reversed(range(len(basis))):
        coefficients[i] = round((left @ orthogonal[i]) / (orthogonal[i] @ orthogonal[i]))
        left = left - coefficients[i] * basis[i]
    return coefficients


def _nearest_plane_in_floats(basis, target):
    direction, r = float_qr(basis)
    left = finite_floats(target, "target") @ direction
    coefficients = np.zeros(len(r))
    for i in reversed(range(len(r))):
        coefficients[i] = np.rint(left[i] / r[i, i])
        left = left - coefficients[i] * r[:, i]
    if np.abs(coefficients).max() >= EXACT_FLOATS:
        raise ValueError("a coefficient is beyond 2^53, where float64 leaves out integers: give basis and target as integers or fractions")
    return whole(coefficients)


def shortest_vector(basis):  # (n, m) -> (m,)
    """Shortest vector by enumeration: the shortest of the lattice other than zero, found by trying all that could be.

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
    basis = independent_rows(basis)
    at_most(len(basis), LARGEST_ENUMERATION, "the number of rows", "trying all vectors would take too long")
    basis, _ = lll_reduce(basis, Fraction(99, 100))
    state = IntegralBasis(basis)
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
