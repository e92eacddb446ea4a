"""What floating point cannot do, or does wrongly, LLL in integers does."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from lattice.bases import assert_lll, bases, knapsack

from cllm_lib.lattice import lll
from cllm_lib.lattice.exact_lll import IntegralBasis
from cllm_lib.lattice.lll import lll_reduce


@given(basis=bases(largest=6, most=10**6))
def test_the_numbers_kept_up_to_date_are_those_measured_anew(basis):
    state = IntegralBasis(np.array(basis, dtype=object))
    for _ in state.reduction(Fraction(3, 4)):
        anew = IntegralBasis(state.basis())
        assert (state.d, state.lambdas) == (anew.d, anew.lambdas)


@pytest.mark.parametrize("size", [1, 10**100, 10**200])
def test_entries_beyond_floats(size):
    basis = [
        [size * x + y for x, y in zip(a, b, strict=True)]
        for a, b in zip([[1, 2, 3], [4, 5, 6], [7, 8, 10]], np.eye(3, dtype=np.int64).tolist(), strict=True)
    ]
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


def test_where_floating_point_gives_up_integers_do_all(monkeypatch):
    basis = knapsack(10, 80, random.Random(5))
    monkeypatch.setattr(lll, "reduce_in_floats", lambda rows, width, delta: (rows, False))
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


def test_where_floating_point_is_wrong_integers_mend_it(monkeypatch):
    basis = knapsack(10, 80, random.Random(5))
    monkeypatch.setattr(lll, "reduce_in_floats", lambda rows, width, delta: (rows, True))
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))
