"""LLL reduction in floating point of entries of any length: each length has an exponent of its own.

As `float_lll`, but nothing is too long or too short for float64. What one row has of another is kept as a multiple of the
other's Gram-Schmidt vector, at most a half once the row is small, and a Gram-Schmidt length as a float and a power of two.
"""

import math

import numpy as np

from cllm_lib.lattice.gram_lll import FARTHEST, ldexp, make_small_by_products
from cllm_lib.lattice.integers import largest_magnitude

LEADING_BITS = 400  # how long a row of floats may be: its square, and those of sums of such rows, fit float64
PRECISION = 48  # what rounding leaves of the bits of a product with a unit vector, with room for long rows
SLACK = 1e-6  # floating point leaves alone what is this near to a limit: integers decide there
MEASURED_ANEW = 2.0**20  # a row whose squared length falls by this much has lost 10 bits, and is measured anew
DOUBT = 2.0**-40  # how much of a length may be in error before the row is measured anew


class MeasuredRows:
    """Rows of Python integers, the first of them with their Gram-Schmidt numbers in floating point.

    Row k is the sum of ``mu[k, j] * lengths[j] * directions[j]`` for j up to k, with 1 for ``mu[k, k]`` and
    ``lengths[j] = mantissas[j] * 2.0**exponents[j]``. Columns beyond `width` are carried along.
    """

    def __init__(self, rows, width):
        n = len(rows)
        self.rows, self.width = list(rows), width
        self.most_passes = 50 + int(largest_magnitude(rows)).bit_length() // 20  # of making a row small: each but a few takes 40 bits
        self.directions, self.mu = np.zeros((n, width)), np.zeros((n, n))
        self.mantissas, self.exponents = np.ones(n), np.zeros(n, dtype=np.int64)
        self.doubts = [0.0] * n  # how much of each length may be in error
        self.least, self.greatest = [10**9], [-(10**9)]  # of the first k exponents

    def make_small(self, k):
        """Take from row k what it has of those before it; what is then known of it, or None if floating point is lost.

        Each pass sees the leading 48 bits of the row; the last finds nothing to take, or nothing that it can see.
        """
        del self.least[k + 1 :], self.greatest[k + 1 :]
        most = math.inf
        for _ in range(self.most_passes):
            row = self._measure(k)
            if row.size() > most:
                return None
            most = max(row.size(), self.greatest[k] + math.log2(k + 1)) + 1
            before, multiples = row.square, self._multiples_to_take(k, row)
            row.more |= self.greatest[k] - row.unit > FARTHEST
            if multiples:
                self._take_away(k, multiples, row.dropped)
                self._forget_what_was_taken(k, multiples, row)
            if not multiples or (before < MEASURED_ANEW * row.square and not row.more):
                return row
        return None

    def _measure(self, k):
        vector, unit, square = leading_floats(self.rows[k][: self.width])
        before = self.directions[:k]
        along = before @ vector
        rest = vector - along @ before
        left = float(rest @ rest)
        if left < 0.01 * square:  # then what rounding left in there counts
            again = before @ rest
            along, rest = along + again, rest - again @ before
            left = float(rest @ rest)
        return MeasuredRow(unit, along, rest, square, left)

    def _multiples_to_take(self, k, row):
        """The multiples of rows to take from row k by number of the row, the last first; `row.mu` is what they leave.

        A component that rounding may have made is left alone; one that float64 cannot hold waits until those after it are
        small, and then loses its leading bits.
        """
        noise, farthest, most = math.sqrt(row.square) * 2.0**-PRECISION, row.unit - self.least[k], 0.5 + SLACK
        if math.ldexp(noise, min(farthest, FARTHEST)) <= 0.5:  # all is seen
            row.mu = np.ldexp(row.along / self.mantissas[:k], row.unit - self.exponents[:k])
            return self._nearest_plane(row.mu, most)
        row.mu, exponents = row.along / self.mantissas[:k], row.unit - self.exponents[:k]
        logarithms = np.where(np.abs(row.along) > noise, np.frexp(row.mu)[1] + exponents, -FARTHEST)
        far, most = (logarithms > FARTHEST).nonzero()[0], np.maximum(most, ldexp(noise / self.mantissas[:k], exponents))
        row.more = len(far) > 0
        if row.more:
            first = far[-1] + 1
            mu = np.concatenate([np.zeros(first), ldexp(row.mu[first:], exponents[first:])])
            multiples = self._nearest_plane(mu, np.concatenate([np.full(first, math.inf), most[first:]]))
            if multiples:
                row.mu = np.where(np.abs(mu) <= 1, mu, 0)
                return multiples
            row.dropped = int(logarithms.max()) - FARTHEST
        row.mu = ldexp(row.mu, exponents - row.dropped)
        multiples = self._nearest_plane(row.mu, np.maximum(0.5 + SLACK, ldexp(noise / self.mantissas[:k], exponents - row.dropped)))
        row.mu[np.abs(row.mu) > 1] = 0
        return multiples

    def _nearest_plane(self, mu, most):
        """The multiples by Babai's nearest plane; `mu` becomes what they leave."""
        multiples = {}
        while len(large := (np.abs(mu) > most).nonzero()[0]):
            j = int(large[-1])
            multiple = round(float(mu[j]))
            mu[j] -= float(multiple)
            mu[:j] -= float(multiple) * self.mu[j, :j]
            multiples[j] = multiples.get(j, 0) + multiple
        return multiples

    def _take_away(self, k, multiples, dropped):
        row = self.rows[k]
        for j, multiple in multiples.items():
            row = row - (multiple << dropped) * self.rows[j]
        self.rows[k] = row

    def _forget_what_was_taken(self, k, multiples, row):
        """Keep in `row` what the multiples left. Its errors are those of the rows taken away, and grow as it gets shorter."""
        before = row.square
        shifts = self.exponents[:k] - row.unit
        shift = np.ldexp if self.greatest[k] - row.unit < FARTHEST else ldexp  # the latter is five times as slow
        row.along = shift(row.mu * self.mantissas[:k], shifts)
        row.square = row.left + float(row.along @ row.along)
        row.doubt = (row.doubt + max(self.doubts[j] for j in multiples)) * math.sqrt(before / row.square) if row.square else 1.0

    def place(self, k, row, limit):
        """The place up to which Lovasz's condition would swap row k, and the square of what it has beyond the rows before."""
        place, square = k, row.left
        while place:
            length = math.ldexp(self.mantissas[place - 1], min(int(self.exponents[place - 1]) - row.unit, FARTHEST))
            more = square + float(row.along[place - 1]) ** 2
            if more >= limit * length**2:
                break
            place, square = place - 1, more
        return place, square

    def insert(self, k, place, row, square):
        """Move row k to its place; its Gram-Schmidt vector there is made of what is known of it."""
        vector = row.rest if place == k else row.rest + row.along[place:k] @ self.directions[place:k]
        length = math.sqrt(square)
        self.rows.insert(place, self.rows.pop(k))
        self.directions[place], self.mu[place, :place] = vector / length, row.mu[:place]
        mantissa, exponent = math.frexp(length)
        self.doubts[place] = row.doubt * math.sqrt(row.square) / length
        exponent += row.unit
        self.mantissas[place], self.exponents[place] = mantissa, exponent
        self.least[place + 1 :] = [min(self.least[place], exponent)]
        self.greatest[place + 1 :] = [max(self.greatest[place], exponent)]


class MeasuredRow:
    """What is known of a row: what it has along the directions of those before, and the rest, all times ``2.0**unit``."""

    def __init__(self, unit, along, rest, square, left):
        self.unit, self.along, self.rest, self.square, self.left = unit, along, rest, square, left
        self.mu, self.doubt, self.dropped, self.more = None, 2.0**-PRECISION, 0, False

    def size(self):
        """About the logarithm of its length."""
        return self.unit + math.log2(self.square) / 2


def largest_bits(row):
    """The bits of the longest of some integers."""
    return max(map(int.bit_length, row))


def leading_floats(row):
    """Integers as floats times a power of two, each correctly rounded; its exponent, and the square of their length."""
    try:
        floats = row.astype(float)
        square = float(floats @ floats)
        if square < 4.0**FARTHEST:
            return floats, 0, square
    except OverflowError:
        pass
    unit = largest_bits(row) - LEADING_BITS
    floats = (row / (1 << unit)).astype(float)
    return floats, unit, float(floats @ floats)


def reduce_long(rows, width, delta):
    """Reduce rows of integers of any length: the rows, and whether they seem reduced.

    As `float_lll.reduce_in_floats`; but a row that is moved up is measured anew, from its integers, only where it matters. What
    a row far longer than those before it has of them is lost to rounding, and is taken from it at the end, by exact products.
    """
    with np.errstate(over="ignore"):  # in the square of a row that is then known to be long
        return _reduce(rows, width, delta)


def _reduce(rows, width, delta):
    state, n, bits = MeasuredRows(rows, width), len(rows), int(largest_magnitude(rows)).bit_length()
    limit, visits, k = float(delta) - SLACK, 0, 0
    while k < n:
        row = state.make_small(k)
        visits += 1
        if row is None or visits > 2 * n + 3 * n * n * bits:  # more than the potential allows for delta 3/4
            return np.array(state.rows), False
        place, square = state.place(k, row, limit)
        if square == 0:
            return np.array(state.rows), False
        if place < k and row.doubt > DOUBT:
            state.rows.insert(place, state.rows.pop(k))
            k = place
        else:
            state.insert(k, place, row, square)
            k = place + 1
    rows = np.array(state.rows)
    far_apart = any(largest_bits(rows[k, :width]) - PRECISION > state.least[k] for k in range(n))
    return make_small_by_products(rows, width) if far_apart else rows, True
