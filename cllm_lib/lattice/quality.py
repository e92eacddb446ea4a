"""Quality measures of a lattice basis: orthogonality defect, Hermite factor, and Minkowski's bound on the shortest vector."""

import math

from cllm_lib.lattice.exact_lll import IntegralBasis
from cllm_lib.lattice.independence import independent_rows


def orthogonality_defect(basis):  # (n, m)
    """Orthogonality defect: the product of the rows' lengths over the volume they span, 1 if they are orthogonal, else more.

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
    basis = independent_rows(basis)
    return _exponential((sum(math.log(row @ row) for row in basis) - _log_determinant(basis)) / 2)


def hermite_factor(basis):  # (n, m)
    """Hermite factor: how long the first row is beside the volume, its length over the n-th root of the volume.

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
    basis = independent_rows(basis)
    return _exponential((math.log(basis[0] @ basis[0]) - _log_determinant(basis) / len(basis)) / 2)


def minkowski_bound(basis):  # (n, m)
    """Minkowski's bound: a length that the lattice's shortest vector does not exceed.

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
    basis = independent_rows(basis)
    n = len(basis)
    return _exponential(math.log(2 / math.sqrt(math.pi)) + (math.lgamma(n / 2 + 1) + _log_determinant(basis) / 2) / n)


def _log_determinant(basis):
    """The logarithm of the Gram determinant, which is the square of the volume."""
    return math.log(IntegralBasis(basis).d[-1])


def _exponential(power):
    try:
        return math.exp(power)
    except OverflowError:
        raise ValueError(
            f"the result is e^{power:.0f}, beyond the largest float: take a basis of smaller integers, or a reduced one"
        ) from None
