"""What exact products claim, decided in integers alone."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lattice.bases import DELTAS, nearly_reduced

from cllm_lib.lattice.exact_lll import IntegralBasis
from cllm_lib.lattice.gram_lll import Triangle, make_small_by_products, surely_reduced_by_products
from cllm_lib.lattice.integers import exact_product, is_unimodular, with_transform
from cllm_lib.lattice.lll import is_lll_reduced


@given(basis=nearly_reduced(), delta=st.sampled_from(DELTAS))
def test_what_is_surely_reduced_is_reduced(basis, delta):
    if surely_reduced_by_products(basis, Fraction(delta)):
        assert is_lll_reduced(basis, delta)


@pytest.mark.parametrize("scale", [2**10, 2**45, 2**600])
@pytest.mark.parametrize("step", [-1, 0, 1])
@pytest.mark.parametrize("far", [0, 1_000])
def test_nothing_is_surely_reduced_that_is_not_by_a_hair(scale, step, far):
    """The half is of a short row in a long one: 2 to the 1,000 times as long."""
    basis = np.array([[2 * scale, 0, 0], [scale + step, 3 * scale << far, 0], [0, 0, 5 * scale << far]], dtype=object)
    assert is_lll_reduced(basis) == (step <= 0)
    if step > 0:
        assert not surely_reduced_by_products(basis, Fraction(3, 4))
    assert surely_reduced_by_products(basis - np.array([[0] * 3, [scale // 100, 0, 0], [0] * 3], dtype=object), Fraction(3, 4))


@given(random=st.randoms(use_true_random=False), n=st.integers(1, 8), bits=st.lists(st.integers(1, 900), min_size=8, max_size=8))
def test_the_bounds_on_the_triangle_hold(random, n, bits):
    """Against Gram-Schmidt in fractions, whatever the lengths of the rows."""
    basis = np.array([[random.randint(-(2**b), 2**b) for _ in range(n + 1)] for b in bits[:n]], dtype=object)
    gram, triangle, exact, squares = exact_product(basis, basis.T).tolist(), Triangle(n), [], []
    for k in range(n):
        r = []
        for j in range(k + 1):
            r.append(Fraction(gram[k][j]) - sum(r[i] * exact[j][i] / squares[i] for i in range(j)) if j < k else None)
        r[k] = Fraction(gram[k][k]) - sum(r[i] ** 2 / squares[i] for i in range(k))
        if r[k] == 0:
            return
        exact.append(r)
        squares.append(r[k])
        z, error, dropped = triangle.solve(k, gram[k][:k])
        for j in range(k):  # z is r / (length * unit), so its square is r^2 / (square * unit^2)
            unit = Fraction(4) ** int(triangle.exponents[j]) / Fraction(4) ** dropped
            low, high = (max(Fraction(abs(float(z[j]))) + s * Fraction(float(error[j])), 0) for s in (-1, 1))
            assert low**2 <= r[j] ** 2 / (squares[j] * unit * Fraction(4) ** (2 * dropped)) <= high**2
        if dropped or not triangle.append(k, z, error, gram[k][k]):
            return
        low, high = (Fraction(triangle.system[k, k]) + s * Fraction(triangle.blur[k, k]) for s in (-1, 1))
        assert low**2 <= squares[k] / Fraction(4) ** int(triangle.exponents[k]) <= high**2


def test_long_rows_become_small_beside_short_ones():
    rng = random.Random(6)
    short = [[int(i == j) * 7 + rng.randint(-1, 1) for j in range(4)] + [0, 0] for i in range(4)]
    basis = np.array([*short, *([rng.randrange(3**1500) for _ in range(6)] for _ in range(2))], dtype=object)
    rows = make_small_by_products(with_transform(basis), 6)
    assert (rows[:, 6:] @ basis == rows[:, :6]).all()
    assert is_unimodular(rows[:, 6:])
    exact = IntegralBasis(rows[:, :6])
    assert all(abs(1_000 * row[j]) <= 501 * exact.d[j + 1] for k, row in enumerate(exact.lambdas) for j in range(k))
