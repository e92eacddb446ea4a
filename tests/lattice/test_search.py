"""Babai by his promise, the shortest vector against brute force and known lattices."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice.bases import bases, knapsack

from cllm_lib.lattice.lll import lll_reduce
from cllm_lib.lattice.orthogonalization import gram_schmidt
from cllm_lib.lattice.quality import minkowski_bound
from cllm_lib.lattice.search import babai_nearest_plane, shortest_vector


@given(basis=bases(largest=6, most=10**6), random=st.randoms(use_true_random=False))
def test_babai_leaves_at_most_half_of_each_gram_schmidt_vector(basis, random):
    target = [Fraction(random.randint(-(10**9), 10**9), random.randint(1, 100)) for _ in basis[0]]
    coefficients = babai_nearest_plane(basis, target)
    assert all(type(c) is int for c in coefficients)
    left = np.array(target) - coefficients @ np.array(basis, dtype=object)
    for vector in gram_schmidt(basis)[0]:
        assert abs(left @ vector) <= (vector @ vector) / 2


@given(seed=st.integers(0, 2**32), n=st.integers(1, 10))
def test_babai_in_floats_is_babai_in_fractions(seed, n):
    rng = np.random.default_rng(seed)
    basis, target = rng.integers(-100, 101, (n, n)) + 300 * np.eye(n, dtype=np.int64), rng.normal(0, 1000, n)
    exact = babai_nearest_plane(basis, [Fraction(x) for x in target.tolist()])
    assert babai_nearest_plane(basis, target).tolist() == exact.tolist()
    assert babai_nearest_plane(basis.astype(float), target).tolist() == exact.tolist()
    assert babai_nearest_plane(basis, exact @ basis.astype(object)).tolist() == exact.tolist()


def test_babai_rounds_a_tie_to_the_even_number():
    for number in (Fraction(1, 2), 0.5):
        assert babai_nearest_plane([[1]], [number]).tolist() == [0]
        assert babai_nearest_plane([[1]], [number + 1]).tolist() == [2]


@given(basis=bases(largest=4, most=30))
def test_the_shortest_vector_is_found_by_trying_a_box(basis):
    reduced = lll_reduce(basis, 1)[0]
    box = [np.array(c, dtype=object) @ reduced for c in itertools.product(range(-4, 5), repeat=len(basis)) if any(c)]
    found = shortest_vector(basis)
    assert found @ found == min(v @ v for v in box)
    coordinates = sympy.Matrix([found.tolist()]) * sympy.Matrix(basis).T * (sympy.Matrix(basis) * sympy.Matrix(basis).T).inv()
    assert all(x.is_integer for x in coordinates)


@pytest.mark.parametrize("seed", range(3))
def test_the_shortest_vector_is_as_long_whatever_the_basis(seed):
    """A search that missed some would find different ones from different bases."""
    source = random.Random(seed)
    basis = np.array(knapsack(14, 56, source), dtype=object)
    squares = set()
    for _ in range(4):
        found = shortest_vector(basis)
        squares.add(found @ found)
        for i, j in itertools.permutations(range(14), 2):
            basis[i] = basis[i] + source.randint(-2, 2) * basis[j]
    assert len(squares) == 1


def test_the_shortest_vector_of_a_famous_lattice():
    """E8, doubled: its 240 shortest vectors have a squared length of 2 (here 8). And a scrambled plane that hides a short one."""
    e8 = [[4, 0, 0, 0, 0, 0, 0, 0], *[[0] * i + [-2, 2] + [0] * (6 - i) for i in range(6)], [1] * 8]
    found = shortest_vector(e8)
    assert found @ found == 8
    huge = [[10**200, 10**200 + 1], [10**200 + 1, 10**200 + 2]]
    assert sorted(map(abs, shortest_vector(huge))) == [0, 1]


@settings(max_examples=settings().max_examples // 4)
@given(basis=bases(largest=8, most=10**6))
def test_no_shortest_vector_is_longer_than_lll_promises_or_minkowski_allows(basis):
    n = len(basis)
    shortest, first = shortest_vector(basis), lll_reduce(basis)[0][0]
    assert shortest @ shortest <= first @ first <= 2 ** (n - 1) * (shortest @ shortest)
    assert math.sqrt(shortest @ shortest) <= minkowski_bound(basis) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shortest_vector(np.eye(25, dtype=np.int64)), "24"),
        (lambda: babai_nearest_plane([[1, 2], [3, 4]], [1, 2, 3]), "shape"),
        (lambda: babai_nearest_plane([[1, 2], [3, 4]], ["a", "b"]), "target"),
        (lambda: babai_nearest_plane([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0]), r"basis\[1\]"),
        (lambda: babai_nearest_plane([[1.0, 2.0], [math.nan, 4.0]], [1.0, 2.0]), "NaN"),
        (lambda: babai_nearest_plane([[1.0, 0.0], [0.0, 1.0]], [1.0, math.inf]), "target"),
        (lambda: babai_nearest_plane([[1.0]], [1e20]), r"2\^53"),
        (lambda: babai_nearest_plane([[10**400]], [1.0]), "float"),
    ],
)
def test_other_bad_input_is_told_so(call, words):
    with pytest.raises(ValueError, match=words):
        call()
