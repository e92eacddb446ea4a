"""Small rows, and a proof that a basis is reduced, from its exact inner products: for rows of very different lengths.

A product of a long row with the direction of a short one is lost in the rounding of float64, if the long row is rounded first.
The inner products of the rows themselves are whole numbers, and rounded last: that is the idea of Nguyen and Stehle's L2.
"""

import math

import numpy as np

from cllm_lib.lattice.integers import exact_product

FARTHEST = 500  # float64 holds this power of two, and its square; ratios of lengths beyond it decide any comparison
ROUNDING = np.finfo(float).eps  # twice what one operation may lose
TINY = 2.0**-1000  # more than what numbers below the smallest float64 may lose
MOST_PASSES = 50  # of making a row small, and one more for each 20 bits; a pass takes nearly 50


class Triangle:
    """The lower triangle L of ``basis = L Q``, Q with orthonormal rows, row by row from exact inner products, with bounds.

    The diagonal gives the units: ``L[k, k] = system[k, k] * 2.0**exponents[k]``. Row k is the solution ``z[k, j] = L[k, j]
    / 2.0**exponents[j]`` of ``system[:k, :k] @ z[k] = h``, with ``h[i] = (row k times row i) / 4.0**exponents[i]`` and
    ``system[i, j] = L[i, j] * 2.0**exponents[j] / 4.0**exponents[i]``: where the rows before are short, only what is as short
    enters into their equations, however long row k is. `blur` bounds the error of `system`, entry by entry.
    """

    def __init__(self, n):
        self.system, self.blur, self.z = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
        self.exponents = np.zeros(n, dtype=np.int64)
        self.inverse = np.zeros((n, n))  # of the system, nearly
        self.growth = np.zeros((n, n))  # bounds the absolute values of the inverse

    def solve(self, k, products):
        """``z[k]`` times ``2.0**-dropped``, a bound on its error, and `dropped`: 0 if float64 holds all the numbers."""
        exponents = 2 * self.exponents[:k]
        longest = max((product.bit_length() - e for product, e in zip(products, exponents.tolist(), strict=True) if product), default=0)
        dropped = max(0, longest - FARTHEST)
        h = np.array([quotient(product, e + dropped) for product, e in zip(products, exponents.tolist(), strict=True)], dtype=float)
        system = self.system[:k, :k]
        z = self.inverse[:k, :k] @ h
        z = z + self.inverse[:k, :k] @ (h - system @ z)
        sizes = np.abs(h) + np.abs(system) @ np.abs(z)
        left = np.abs(h - system @ z) + (k + 4) * ROUNDING * sizes + self.blur[:k, :k] @ np.abs(z) + TINY
        return z, 1.01 * (self.growth[:k, :k] @ left), dropped

    def append(self, k, z, error, square):
        """Add row k, of which `square` is the exact squared length; return whether its Gram-Schmidt length is known well."""
        unit = square.bit_length() // 2
        scales = ldexp(1.0, 2 * (self.exponents[:k] - unit), 2 * FARTHEST)
        parts = z**2 * scales
        whole = quotient(square, 2 * unit)
        left = whole - parts.sum()
        doubt = (k + 6) * ROUNDING * (whole + parts.sum()) + 1.01 * ((2 * np.abs(z) + error) * error * scales).sum() + TINY
        if not doubt < 0.01 * left:
            return False
        length, exponent = math.frexp(math.sqrt(left))
        self.exponents[k], self.z[k, :k] = exponent + unit, z
        if self.exponents[:k].max(initial=self.exponents[k]) - self.exponents[k] > FARTHEST - 2:  # `ldexp` has cut something
            return False
        scales = ldexp(1.0, 2 * (self.exponents[:k] - self.exponents[k]), 2 * FARTHEST)
        self.system[k, :k], self.blur[k, :k] = z * scales, 1.01 * error * scales + TINY
        self.system[k, k] = length
        self.blur[k, k] = math.ldexp(doubt / math.sqrt(left), -exponent) + 4 * ROUNDING
        self.inverse[k, k], self.growth[k, k] = 1 / length, 1.01 / (length - self.blur[k, k])
        self.inverse[k, :k] = -(self.system[k, :k] @ self.inverse[:k, :k]) / length
        self.growth[k, :k] = self.growth[k, k] * ((np.abs(self.system[k, :k]) + self.blur[k, :k]) @ self.growth[:k, :k])
        return True


def ldexp(values, exponents, farthest=FARTHEST):
    """Values times powers of two, without overflow: longer ones are cut to `farthest`."""
    return np.ldexp(values, np.clip(exponents, -2000, farthest))


def quotient(integer, exponent):
    """An integer divided by a power of two, correctly rounded."""
    return integer / (1 << exponent) if exponent >= 0 else float(integer << -exponent)


def make_small_by_products(rows, width):
    """Take from each row what it has of those before it, as Babai's nearest plane does; the rows are Python integers."""
    rows, triangle, n = rows.copy(), Triangle(len(rows)), len(rows)
    for k in range(n):
        for _ in range(MOST_PASSES + int(max(map(int.bit_length, rows[k]))) // 20):
            products = (rows[: k + 1, :width] @ rows[k, :width]).tolist()
            z, error, dropped = triangle.solve(k, products[:k])
            multiples = multiples_to_take(z, triangle)
            if not multiples:
                break
            rows[k] = rows[k] - (np.array(list(multiples.values()), dtype=object) << dropped) @ rows[list(multiples)]
        if dropped or multiples or not triangle.append(k, z, error, products[k]):
            break
    return rows


def multiples_to_take(z, triangle):
    """The multiple of each row to take from the next one, the last first."""
    left, lengths, multiples = z.copy(), triangle.system.diagonal()[: len(z)], {}
    while len(large := (np.abs(left) > (0.5 + 1e-6) * lengths).nonzero()[0]):
        j = int(large[-1])
        multiple = round(float(left[j] / lengths[j]))
        left[:j] -= float(multiple) * triangle.z[j, :j]
        left[j] -= float(multiple) * lengths[j]
        multiples[j] = multiples.get(j, 0) + multiple
    return multiples


def surely_reduced_by_products(basis, delta):
    """Whether rows are LLL-reduced beyond what rounding can blur, by their exact inner products; False leaves it open.

    Each row of the triangle is the solution of a system, and a bound on its error follows from what it leaves of the right
    side, computed with Higham's bounds ("Accuracy and Stability of Numerical Algorithms", section 3.5), and from a bound on
    the inverse: that of the comparison matrix (section 8.2), of which all numbers are positive, so that none cancel.
    """
    gram, triangle, delta = exact_product(basis, basis.T), Triangle(len(basis)), float(delta)
    for k, products in enumerate(gram.tolist()):
        z, error, dropped = triangle.solve(k, products[:k])
        if dropped or not triangle.append(k, z, error, products[k]):
            return False
        shortest = triangle.system.diagonal()[:k] - triangle.blur.diagonal()[:k]
        if not (2.0 * (np.abs(z) + error) * (1 + 8 * ROUNDING) <= shortest).all():
            return False
        if k and not _surely_lovasz(k, z[-1], error[-1], triangle, delta):
            return False
    return True


def _surely_lovasz(k, z, error, triangle, delta):
    lengths, blur = triangle.system.diagonal(), triangle.blur.diagonal()
    apart = min(int(triangle.exponents[k] - triangle.exponents[k - 1]), FARTHEST)
    last = max(abs(float(z)) - error, 0)
    square = math.ldexp(lengths[k] - blur[k], apart) ** 2 + last**2
    return square >= delta * (1 + 16 * ROUNDING) * (lengths[k - 1] + blur[k - 1]) ** 2
