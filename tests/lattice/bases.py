"""Bases to be reduced, and what must hold of a reduced one, by SymPy."""

from fractions import Fraction

import numpy as np
import sympy
from hypothesis import assume
from hypothesis import strategies as st
from sympy import ZZ
from sympy.polys.matrices import DomainMatrix

from cllm_lib.lattice.lll import is_lll_reduced, lll_reduce

DELTAS = [Fraction(3, 4), Fraction(99, 100), 0.99, 1, Fraction(26, 100)]


def domain(matrix):
    return DomainMatrix.from_list(np.asarray(matrix, dtype=object).tolist(), ZZ)


def gram_determinant(basis):
    basis = np.array(basis, dtype=object)
    return int(domain(basis @ basis.T).charpoly()[-1]) * (-1) ** len(basis)


def assert_lll(basis, delta, reduced, transform):
    basis = np.array(basis, dtype=object)
    assert reduced.shape == basis.shape
    assert all(type(x) is int for x in [*reduced.flat, *transform.flat])
    assert (transform @ basis == reduced).all()
    assert abs(int(domain(transform).charpoly()[-1])) == 1
    assert is_lll_reduced(reduced, delta)
    assert gram_determinant(reduced) == gram_determinant(basis)


@st.composite
def bases(draw, largest=20, most=10**30, least=1):
    """Independent rows: up to as many as columns, now and then far from independent by size."""
    n = draw(st.integers(least, largest))
    m = draw(st.integers(n, min(n + 3, largest + 1)))
    bound = draw(st.sampled_from([1, 2, 10, 10**6, 2**53, 10**20, most]))
    bound = min(bound, most)
    seed = draw(st.randoms(use_true_random=False))
    basis = [[seed.randint(-bound, bound) for _ in range(m)] for _ in range(n)]
    if draw(st.booleans()):  # rows that nearly coincide
        basis = [[10**6 * x + seed.randint(-1, 1) for x in basis[0]] if i % 2 else row for i, row in enumerate(basis)]
    assume(domain(basis).convert_to(sympy.QQ).rank() == n)
    return basis


def knapsack(n, bits, random):
    return [[int(i == j) for j in range(n)] + [random.randrange(1, 2**bits)] for i in range(n)]


@st.composite
def nearly_reduced(draw):
    """Bases that are reduced for one of the deltas, or were before a row was added to another."""
    basis = lll_reduce(draw(bases(largest=12)), draw(st.sampled_from(DELTAS)))[0]
    i, j = (draw(st.integers(0, len(basis) - 1)) for _ in range(2))
    if draw(st.booleans()) and i != j:
        basis[i] = basis[i] + basis[j]
    return basis
