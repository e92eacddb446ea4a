"""LLL reduction in floating point, with a certificate: a proof by error bounds that a basis is reduced.

Floating point proposes the steps, and the rows stay whole numbers all the while. What the bounds leave open is for LLL in
integers to decide, in `exact_lll`. Entries of more than 500 bits are for `long_lll`, where lengths have exponents of their own.
"""

import math

import numpy as np

from cllm_lib.lattice.integers import EXACT_FLOATS, largest_magnitude, whole
from cllm_lib.lattice.long_lll import MEASURED_ANEW, SLACK, reduce_long

LARGEST_FLOAT_BITS = 500  # the squares of longer entries pass the largest float64
MOST_PASSES = 50  # of making one row small; a few do


def reduce_in_floats(rows, width, delta):
    """Reduce rows of integers by Gram-Schmidt numbers in float64: the rows, and whether they seem reduced.

    Row by row: make it small beside those before it, then move it up past each that Lovasz's condition would swap it with,
    and go on from there. The rows are kept as float64 while all their numbers fit its 53 bits, else as Python integers, so
    whatever the Gram-Schmidt numbers are worth, the lattice stays the same. Entries too long for float64 are for `long_lll`.
    """
    n, bits = len(rows), int(largest_magnitude(rows)).bit_length()
    if bits > LARGEST_FLOAT_BITS:
        return reduce_long(rows, width, delta)
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
        return _take_away(whole(rows), k, multiples)
    rows[k] -= times @ others
    return rows


def _as_integers(rows):
    return rows if rows.dtype == object else whole(rows)


def surely_reduced(basis, delta):
    """Whether rows are LLL-reduced beyond what rounding can blur; False means that floating point leaves it open.

    Let L be the true lower triangle of ``basis = L Q``, with the rows of Q orthonormal, and `lower` the computed one; let W,
    lower triangular too, be nearly its inverse. Then C = W L is the Cholesky factor of ``(W basis)(W basis)^T = I + F``.
    For X = C - I that reads X + X^T + X X^T = F, so sqrt(2) |X| <= |F| + |X|^2 in Frobenius norms, and so |X| <= |F| if
    |F| <= 0.1. With K = W lower - I it follows that ``L = lower (I + Y)``, Y lower triangular and
    |Y| <= (|F| + |K|) / (1 - |K|): the error of an entry is at most |Y| times the length of its row of `lower`, that of a
    diagonal entry |Y| times itself. This bounds both conditions. The method is Villard's (2007, "Certification of the QR
    Factor R and of Lattice Basis Reducedness"); |fl(A B) - A B| <= k u |A||B|, for sums of k terms, is Higham's, "Accuracy
    and Stability of Numerical Algorithms", section 3.5. Long entries are first divided by a common power of two, and rounded
    once, as the others are; those that are thereby below the smallest float64 lose less, beside the longest of their row.
    """
    too_long = int(largest_magnitude(basis)).bit_length() - LARGEST_FLOAT_BITS
    rows = (basis / (1 << too_long) if too_long > 0 else basis).astype(float)
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
