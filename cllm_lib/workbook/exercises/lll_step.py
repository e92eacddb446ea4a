"""Exercise 16.3: a step of LLL."""

from fractions import Fraction

import numpy as np

from cllm_lib.lattice.integers import is_unimodular
from cllm_lib.lattice.orthogonalization import gram_schmidt
from cllm_lib.workbook.exercises.machinery import NotYet, Unexplained, array, brief, call, number, shown


def lll_step(basis, k, delta):
    """Reference: make row k small, then go on or swap."""
    basis = basis.copy()
    for j in reversed(range(k)):
        basis[k] = basis[k] - round(gram_schmidt(basis)[1][k, j]) * basis[j]
    own, mu = gram_schmidt(basis)
    if own[k] @ own[k] >= (delta - mu[k, k - 1] ** 2) * (own[k - 1] @ own[k - 1]):
        return basis, k + 1
    basis[[k - 1, k]] = basis[[k, k - 1]]
    return basis, max(k - 1, 1)


_STEPS = (  # a basis and a row: the first k rows are reduced already
    (((5, 3), (7, 7)), 1, Fraction(3, 4)),
    (((2, 0, 0), (9, 3, 0), (5, 5, 5)), 1, Fraction(3, 4)),
    (((3, 0, 0), (1, 4, 0), (14, -25, 6)), 2, Fraction(3, 4)),
    (((9, 0, 0), (4, 9, 0), (23, 40, 1)), 2, Fraction(3, 4)),
    (((100, 0), (40, 80)), 1, Fraction(3, 4)),
    (((100, 0), (40, 80)), 1, Fraction(99, 100)),
    (((10, 0), (0, 8)), 1, Fraction(3, 4)),
    (((10, 0, 0), (0, 10, 0), (0, 5, 8)), 2, Fraction(3, 4)),
    (((10**14, 0), (10**34 + 7 * 10**14 + 3, 10**14)), 1, Fraction(3, 4)),  # the multiple has more digits than a float
    (((2, 0, 0, 0), (0, 1, 1, 1), (0, 1, -1, 0), (0, 0, 1, -1)), 1, Fraction(3, 4)),  # in order, but only just
    (((7, 1, 0, 2), (1, 9, 1, 0), (2, -1, 8, 1), (20, 33, -17, 40)), 3, Fraction(3, 4)),
    (((20, 0, 0, 0), (0, 20, 0, 0), (0, 0, 20, 0), (9, 9, 9, 2)), 3, Fraction(3, 4)),
    (((20, 0, 0), (0, 20, 0), (10, 0, 15)), 2, Fraction(3, 4)),  # three that wrong forms of Lovasz's condition get wrong
    (((20, 0, 0), (0, 10, 0), (0, 0, 9)), 2, Fraction(3, 4)),
    (((20, 0, 0), (10, 17, 0), (0, 0, 16)), 2, Fraction(3, 4)),
    (((10, 0), (7, 9)), 1, Fraction(3, 4)),  # between a half and what one might take for it: delta, or 1
    (((10, 0), (-9, 9)), 1, Fraction(99, 100)),
    (((10, 0, 0), (0, 10, 0), (-6, 0, 9)), 2, Fraction(3, 4)),
)


def examine_lll_step(answer):
    """By what a step has to leave behind: the same lattice, a small row, and the right row to look at next."""
    for rows, k, delta in _STEPS:
        given = np.array(rows, dtype=object)
        where = (
            f"for the rows {[list(row) for row in rows]}, k = {k} and delta = {delta}"
            if max(map(max, rows)) < 10**6
            else "of integers with more digits than a float holds"
        )
        result = call(answer, given, k, delta)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise NotYet(f"it returned {brief(result)}; a basis and the next k were asked for: `return basis, k + 1`, say.")
        basis, after = _integer_rows(result[0], given.shape, where), number(result[1], "the next k")
        if after != int(after):
            raise NotYet(f"the next k is {after}; a whole number was asked for: k + 1 or k - 1, but never below 1.")
        _judge_step(given, basis, k, int(after), delta, where)


def _integer_rows(value, shape, where):
    rows = array(value, shape, "the basis", "it has as many rows and columns as before.")
    exact = np.array(
        [[int(entry) if entry == int(entry) else entry for entry in row] for row in np.asarray(value, dtype=object)], dtype=object
    )
    if not (rows == np.rint(rows)).all():
        raise NotYet(f"{where} the basis holds fractions: row k loses whole multiples of other rows. Is mu rounded?")
    return exact


def _judge_step(given, basis, k, after, delta, where):
    """Say what is wrong with a step, if anything is."""
    swapped = list(range(len(given)))
    swapped[k - 1], swapped[k] = k, k - 1
    _, goes_to = lll_step(given, k, delta)
    stays = goes_to == k + 1
    _judge_lattice(given, basis, where)
    if after not in (goes_to, k - 1, k, k + 1):
        raise Unexplained(
            f"{where} the next k is {after}; {goes_to} was asked for.", "It is k + 1 after no swap, k - 1 after one, but never below 1."
        )
    if not _is_small(given, k) and any(np.array_equal(rows, given) for rows in (basis, basis[swapped])):
        raise NotYet(
            f"{where} row k stayed as it was: half of each b*_j at most was asked for. It loses round(mu[k, j]) times row j; in mu, too, "
            "k comes first."
        )
    if stays and after != k + 1 and np.array_equal(basis, lll_step(given, k, delta)[0]):
        raise NotYet(
            f"{where} the rows are right, and the next k is {after}; {k + 1} was asked for: k + 1 after no swap, even where there is no "
            "such row. That ends the loop."
        )
    if stays and after != k + 1:
        old = basis if np.array_equal(basis[k - 1], given[k - 1]) else basis[swapped]
        reason = "Lovasz's condition holds there once row k is small" if _is_small(old, k) else "row k was not made small first"
        raise Unexplained(
            f"{where} yours swaps, or does not go on: {reason}.",
            "It is about the lengths of b*, squared, and mu[k, k - 1], squared; equality is enough.",
        )
    if not stays and after == k + 1:
        if np.array_equal(basis[k], given[k - 1]):
            raise Unexplained(f"{where} the rows are swapped, and the next k is {after}.", "It is one back, but never below 1.")
        if not _is_small(basis, k):
            raise Unexplained(f"{where} row k is not small: {_rest(basis, k)}", "Only then comes Lovasz's condition.")
        raise Unexplained(
            f"{where} yours goes on to k + 1, but Lovasz's condition fails: |b*_k|^2 is below (delta - mu^2) |b*_(k-1)|^2.",
            "Is mu that of the small row, squared; delta used; are lengths those of b*, squared?",
        )
    if not stays and after != goes_to:
        raise Unexplained(
            f"{where} the rows are swapped, and the next k is {after}; {goes_to} was asked for.", "It is one back, but never below 1."
        )
    old = basis if stays else basis[swapped]
    others = [i for i in range(len(given)) if i != k]
    if not np.array_equal(old[others], given[others]):
        if not stays and np.array_equal(basis[others], given[others]):
            raise Unexplained(f"{where} the next k says swapped, but the rows stand where they stood.")
        raise Unexplained(
            f"{where} other rows than row k have changed.", "A step takes from row k alone, and then perhaps swaps it with the one before."
        )
    if abs(gram_schmidt(old)[1][k, k - 1]) > Fraction(1, 2):
        raise Unexplained(f"{where} {_rest(old, k)}", "Row k loses round(mu[k, j]) times row j: row k comes first in mu.")
    if stays and not _is_small(old, k):
        raise NotYet(
            f"{where} row k is small beside the row before, but not beside earlier ones. "
            "Go from j = k - 1 down to 0, and find mu anew for each: taking one row away changes what is left of earlier ones.",
        )


def _judge_lattice(given, basis, where):
    """Say what is wrong if the rows no longer make the lattice that was given."""
    if len({tuple(row) for row in basis.tolist()}) < len(basis):
        raise NotYet(
            f"{where} one row stands there twice, and another is lost. NumPy's rows are no copies: basis[k - 1], basis[k] = basis[k], "
            "basis[k - 1] writes one over the other. Take basis[[k - 1, k]] = basis[[k, k - 1]]."
        )
    if not _same_lattice(given, basis):
        raise Unexplained(
            f"{where} the new rows make another lattice.",
            "Only whole multiples may be taken, in integers, and no row may be lost "
            "(a swap of two rows needs a copy: basis[[k - 1, k]] = basis[[k, k - 1]]).",
        )


def _same_lattice(given, basis):
    try:
        inverse = np.array(_fractions(given))
        transform = basis @ inverse
    except ValueError:
        return False
    whole = all(entry.denominator == 1 for entry in transform.ravel())
    return whole and is_unimodular([[int(entry) for entry in row] for row in transform])


def _fractions(matrix):
    """The inverse of a square matrix of integers, in fractions."""
    n = len(matrix)
    rows = [[Fraction(int(x)) for x in row] + [Fraction(i == j) for j in range(n)] for i, row in enumerate(matrix)]
    for i in range(n):
        pivot = next(r for r in range(i, n) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(n):
            if r != i:
                rows[r] = [x - rows[r][i] * y for x, y in zip(rows[r], rows[i], strict=True)]
    return [row[n:] for row in rows]


def _rest(basis, k):
    mu = gram_schmidt(basis)[1][k, k - 1]
    return f"it still has {shown(float(mu))} times b*_(k-1) in it; half of it at most was asked for."


def _is_small(basis, k):
    mu = gram_schmidt(basis)[1]
    return all(abs(mu[k, j]) <= Fraction(1, 2) for j in range(k))
