"""What floating point claims, decided in integers."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lattice.bases import DELTAS, assert_lll, bases, knapsack, nearly_reduced

from cllm_lib.lattice import float_lll
from cllm_lib.lattice.float_lll import reduce_in_floats, surely_reduced
from cllm_lib.lattice.integers import is_unimodular, with_transform
from cllm_lib.lattice.lll import is_lll_reduced, lll_reduce


def test_floating_point_that_goes_in_circles_gives_up(monkeypatch):
    """With a delta above 1 two rows of one length would be swapped for ever; rounding can do the same."""
    monkeypatch.setattr(float_lll, "SLACK", -0.5)
    rows, visits = with_transform(np.array([[3, 0], [0, 3]], dtype=object)), []
    make_small = float_lll._make_small

    def counted(*arguments):
        visits.append(arguments[1])
        assert len(visits) < 1_000, "it does not give up"
        return make_small(*arguments)

    monkeypatch.setattr(float_lll, "_make_small", counted)
    left, seems_reduced = reduce_in_floats(rows, 2, Fraction(3, 4))
    assert not seems_reduced
    assert sorted(map(tuple, left.tolist())) == sorted(map(tuple, rows.tolist()))  # the same lattice all the same
    assert len(visits) == 2 * 2 + 3 * 2 * 2 * 2 + 1  # entries of two bits: as many as the potential allows for, and one more


@pytest.mark.parametrize("n", [40, 64])
def test_large_knapsacks_need_no_help_of_integers(n):
    basis = np.array(knapsack(n, 2 * n, random.Random(n)), dtype=object)
    rows, seems_reduced = reduce_in_floats(with_transform(basis), n + 1, Fraction(3, 4))
    assert seems_reduced
    assert is_lll_reduced(rows[:, : n + 1])


@given(basis=bases(largest=12))
def test_floating_point_alone_keeps_the_lattice(basis):
    reduced, transform = lll_reduce(basis, certified=False)
    assert (transform @ np.array(basis, dtype=object) == reduced).all()
    assert is_unimodular(transform)


def test_rows_move_on_to_python_integers_where_floats_end():
    basis = np.array([[2**52, 1], [2**52 + 1, -(2**52)]], dtype=np.int64)
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


@pytest.mark.parametrize("scale", [2**10, 2**30, 2**45, 2**70])
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_nothing_is_surely_reduced_that_is_not_by_a_hair(scale, step):
    half = [[2 * scale, 0, 0], [scale + step, 3 * scale, 0], [0, 0, 5 * scale]]
    length = math.isqrt(3 * scale**2) + step  # 3/4 of the first row's squared length, nearly
    lovasz = [[2 * scale, 0, 0], [0, length, 0], [0, 0, 5 * scale]]
    turn = [[3, 4, 0], [-4, 3, 0], [0, 0, 5]]
    for basis in (half, lovasz, np.array(half, dtype=object) @ turn, np.array(lovasz, dtype=object) @ turn):
        if not is_lll_reduced(basis):
            assert not surely_reduced(np.array(basis, dtype=object), Fraction(3, 4))
        assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))
    assert is_lll_reduced(half) == (step <= 0)
    assert is_lll_reduced(lovasz) == (step > 0)


@given(basis=nearly_reduced(), delta=st.sampled_from(DELTAS))
def test_what_is_surely_reduced_is_reduced(basis, delta):
    if surely_reduced(basis, Fraction(delta)):
        assert is_lll_reduced(basis, delta)


def test_of_random_bases_floating_point_proves_nearly_all():
    rng = np.random.default_rng(7)
    reduced = [lll_reduce(rng.integers(-(2**20), 2**20, (n, n)), certified=False)[0] for n in (8, 16, 24, 32) for _ in range(5)]
    assert sum(surely_reduced(basis, Fraction(3, 4)) for basis in reduced) >= 18
