"""Against SymPy's exact LLL and the paper's conditions in fractions."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice.bases import DELTAS, assert_lll, bases, domain, gram_determinant, knapsack

from cllm_lib.lattice import lll
from cllm_lib.lattice.lll import is_lll_reduced, lll_reduce, lll_steps


def reduced_by_definition(basis, delta):
    """The two conditions as the paper states them, in fractions; Gram-Schmidt by SymPy's elimination of the Gram matrix."""
    gram = domain(np.array(basis, dtype=object) @ np.array(basis, dtype=object).T).to_Matrix()
    lower, diagonal = gram.LDLdecomposition()
    mu = [[Fraction(int(x.p), int(x.q)) for x in lower.row(i)] for i in range(len(basis))]
    squares = [Fraction(int(diagonal[i, i].p), int(diagonal[i, i].q)) for i in range(len(basis))]
    small = all(abs(mu[i][j]) <= Fraction(1, 2) for i in range(len(basis)) for j in range(i))
    return small and all(squares[i] >= (Fraction(delta) - mu[i][i - 1] ** 2) * squares[i - 1] for i in range(1, len(basis)))


def ntru_like(n, q, random):
    """[[I, H], [0, q I]] with H circulant."""
    h = [random.randrange(q) for _ in range(n)]
    top = [[int(i == j) for j in range(n)] + [h[(j - i) % n] for j in range(n)] for i in range(n)]
    return top + [[0] * n + [q * int(i == j) for j in range(n)] for i in range(n)]


@given(basis=bases(), delta=st.sampled_from(DELTAS))
def test_the_lattice_stays_the_same_and_the_basis_is_reduced(basis, delta):
    assert_lll(basis, delta, *lll_reduce(basis, delta))


@given(basis=bases(largest=5, most=100), delta=st.sampled_from(DELTAS))
def test_reduced_is_what_the_paper_calls_so(basis, delta):
    assert is_lll_reduced(basis, delta) == reduced_by_definition(basis, delta)
    assert reduced_by_definition(lll_reduce(basis, delta)[0].tolist(), delta)


def test_on_the_limit_is_reduced_and_just_below_is_not():
    assert is_lll_reduced([[2, 0, 0], [1, 1, 1]])
    assert not is_lll_reduced([[1, 1, 1], [1, -1, 0]])
    assert is_lll_reduced([[1, 1, 1], [1, -1, 0]], Fraction(2, 3))


@settings(max_examples=settings().max_examples // 4)
@given(random=st.randoms(use_true_random=False), bits=st.sampled_from([20, 60, 100]), delta=st.sampled_from([Fraction(3, 4), 0.99]))
def test_knapsacks(random, bits, delta):
    basis = knapsack(16, bits, random)
    assert_lll(basis, delta, *lll_reduce(basis, delta))


@settings(max_examples=settings().max_examples // 4)
@given(random=st.randoms(use_true_random=False), q=st.sampled_from([31, 2048, 2**61 - 1]))
def test_ntru_like(random, q):
    basis = ntru_like(8, q, random)
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


@settings(max_examples=settings().max_examples // 4)
@given(basis=bases(largest=8, most=1000))  # SymPy rounds multiples beyond 2^53 by way of floats
def test_sympys_reduction_is_reduced_and_of_the_same_lattice(basis):
    theirs, _ = domain(basis).lll_transform()
    theirs = np.array(theirs.to_list(), dtype=object)
    ours, _ = lll_reduce(basis)
    assert is_lll_reduced(theirs)
    assert gram_determinant(ours) == gram_determinant(theirs)
    basis_of_theirs = sympy.Matrix(theirs.tolist())
    coordinates = sympy.Matrix(ours.tolist()) * basis_of_theirs.T * (basis_of_theirs * basis_of_theirs.T).inv()
    assert all(x.is_integer for x in coordinates)


def test_a_planted_short_vector_comes_first():
    """The subset-sum of a knapsack of low density, by Lagarias and Odlyzko's lattice."""
    rng = np.random.default_rng(3)
    weights = [int.from_bytes(rng.bytes(8), "big") for _ in range(20)]
    chosen = rng.integers(0, 2, 20)
    total = sum(w for w, c in zip(weights, chosen, strict=True) if c)
    rows = [[2 * int(i == j) for j in range(20)] + [0, 1000 * weights[i]] for i in range(20)]
    reduced, _ = lll_reduce([*rows, [1] * 20 + [1, 1000 * total]], 0.99)
    found = [row for row in reduced if row[-1] == 0 and set(map(abs, row[:-1])) == {1}]
    assert any(((row[:-2] * -row[-2] + 1) // 2 == 1 - chosen).all() or ((row[:-2] * row[-2] + 1) // 2 == 1 - chosen).all() for row in found)


def test_another_lattice_is_found_out(monkeypatch):
    def doubled(rows, width, delta):
        return np.vstack([2 * rows[:1], rows[1:]]), False

    monkeypatch.setattr(lll, "reduce_in_floats", doubled)
    with pytest.raises(AssertionError, match="transform"):
        lll_reduce(knapsack(10, 80, random.Random(5)))


@pytest.mark.parametrize("integers", [np.int8, np.uint64, np.int64, object])
def test_any_type_of_integers_will_do(integers):
    reduced, transform = lll_reduce(np.array([[2, 1], [1, 100]], dtype=integers))
    assert_lll([[2, 1], [1, 100]], Fraction(3, 4), reduced, transform)
    mixed, _ = lll_reduce([[np.int8(2), 1], [np.uint64(1), 100]])
    assert mixed.tolist() == reduced.tolist()


@given(basis=bases(largest=6, most=1000))
def test_each_step_keeps_the_lattice_and_each_swap_lowers_the_potential(basis):
    steps = list(lll_steps(basis))
    assert steps[0].kind == "start"
    assert steps[0].basis.tolist() == basis
    for before, after in itertools.pairwise(steps):
        changed = [i for i in range(len(basis)) if (before.basis[i] != after.basis[i]).any()]
        if after.kind == "swap":
            assert after.potential < Fraction(3, 4) * before.potential
            assert (after.basis[[after.row, after.other]] == before.basis[[after.other, after.row]]).all()
        else:
            assert after.potential == before.potential
            assert changed == [after.row]
    expected = math.prod(gram_determinant(steps[-1].basis[:i]) for i in range(1, len(basis) + 1))
    assert steps[-1].potential == expected
    assert is_lll_reduced(steps[-1].basis)


@pytest.mark.parametrize("delta", [0, Fraction(1, 4), 0.25, 1.01, 2, -1, math.nan, math.inf, "3/4", None, True])
@pytest.mark.parametrize("reduce", [lll_reduce, lll_steps, is_lll_reduced])
def test_delta_has_limits(reduce, delta):
    with pytest.raises(ValueError, match="delta"):
        reduce([[1, 2], [3, 4]], delta)
