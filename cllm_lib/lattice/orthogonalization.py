"""Gram-Schmidt orthogonalization of a lattice basis: exactly in fractions, or in float64 by a QR decomposition."""

from fractions import Fraction

import numpy as np

from cllm_lib.lattice.independence import independent_rows


def gram_schmidt(basis, exact=True):  # (n, m) -> (n, m), (n, n)
    """Gram-Schmidt orthogonalisation: return the vectors of a basis and their coefficients, exactly or in float64.

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
        direction, r = float_qr(basis)
        lengths = np.diag(r)
        return (direction * lengths).T, (r / lengths[:, None]).T
    basis = independent_rows(basis)
    orthogonal = basis * Fraction(1)
    mu = np.array([[Fraction(i == j) for j in range(len(basis))] for i in range(len(basis))], dtype=object)
    for i in range(len(basis)):
        for j in range(i):
            mu[i, j] = (basis[i] @ orthogonal[j]) / (orthogonal[j] @ orthogonal[j])
            orthogonal[i] = orthogonal[i] - mu[i, j] * orthogonal[j]
    return orthogonal, mu


def float_qr(basis):  # (n, m) -> (m, n), (n, n)
    """Directions as columns and the upper triangular r: ``basis.T = directions @ r``, if float64 can tell the rows apart."""
    basis = finite_floats(basis, "basis")
    if basis.ndim != 2 or not 1 <= basis.shape[0] <= basis.shape[1]:
        raise ValueError(f"basis has shape {basis.shape}: give a row or more, and no more rows than columns")
    directions, r = np.linalg.qr(basis.T)
    lengths = np.linalg.norm(basis, axis=1)
    alike = np.abs(np.diag(r)) <= len(basis) * np.finfo(float).eps * lengths
    if alike.any():
        row = np.flatnonzero(alike)[0]
        raise ValueError(f"basis[{row}] is zero, or in float64 a combination of the rows before it: leave it out, or give integers")
    return directions, r


def finite_floats(values, name):
    """`values` as an array of float64, or an error that says what in them is no finite number."""
    try:
        values = np.asarray(values).astype(float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} holds what is no float: give numbers below 10^308") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has a value that is infinite or NaN: give finite numbers")
    return values
