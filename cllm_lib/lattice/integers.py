"""Exact linear algebra over the integers: products, the determinant, unimodular matrices, rounding to the nearest.

Matrices are arrays of Python integers, so nothing overflows; float64 does the work where no number can leave its 53 bits.
"""

import numpy as np

from cllm_lib.checks import integer_matrix

EXACT_FLOATS = 2.0**53  # float64 holds every whole number up to here


def is_unimodular(matrix):  # (n, n)
    """Unimodular: whether a square matrix of integers has an inverse of integers, which is to say a determinant of 1 or -1.

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
    if largest_magnitude(matrix) < EXACT_FLOATS:
        try:
            guess = np.rint(np.linalg.inv(matrix.astype(float)))
        except np.linalg.LinAlgError:
            guess = np.zeros(matrix.shape)
        if np.abs(guess).max() < EXACT_FLOATS and np.array_equal(exact_product(matrix, whole(guess)), np.eye(len(matrix))):
            return True
    return abs(determinant(matrix)) == 1


def determinant(matrix):
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


def exact_product(a, b):  # (n, k), (k, m) -> (n, m)
    """The exact product of integers, by float64 where no sum can leave its whole numbers."""
    if len(b) * largest_magnitude(a) * largest_magnitude(b) < EXACT_FLOATS:
        return whole(a.astype(float) @ b.astype(float))
    return a @ b


def largest_magnitude(matrix):
    """The largest absolute value of an entry."""
    return max(matrix.max(), -matrix.min())


def whole(array):
    """Floats that are whole numbers, as Python integers."""
    if np.abs(array).max() < EXACT_FLOATS:
        return array.astype(np.int64).astype(object)
    return np.frompyfunc(int, 1, 1)(array)


def nearest_integer(numerator, denominator):
    """The integer nearest to a fraction with a positive denominator; of two as near, that nearer to zero."""
    nearest = (2 * abs(numerator) + denominator - 1) // (2 * denominator)
    return nearest if numerator > 0 else -nearest


def with_transform(basis):  # (n, m) -> (n, m + n)
    """The rows with the identity behind them: what is done to the rows is thereby written down."""
    return np.hstack([basis, whole(np.eye(len(basis)))])
