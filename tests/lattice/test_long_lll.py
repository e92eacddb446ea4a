"""Entries of more than 500 bits: the same lattice, reduced, by the exact conditions; and integers need not help."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice.bases import DELTAS, assert_lll, bases, knapsack

from cllm_lib.lattice import lll, long_lll
from cllm_lib.lattice.integers import is_unimodular, with_transform
from cllm_lib.lattice.lll import lll_reduce


def rising(n, bits, random):
    """Each row longer than the last."""
    return [[random.randint(-(2 ** (bits * (i + 1) // n)), 2 ** (bits * (i + 1) // n)) for _ in range(n)] for i in range(n)]


def falling(n, bits, random):
    return rising(n, bits, random)[::-1]


def uniform(n, bits, random):
    return [[random.randint(-(2**bits), 2**bits) for _ in range(n + 1)] for _ in range(n)]


def negative(n, bits, random):
    return [[-random.randrange(2**bits) for _ in range(n)] for _ in range(n)]


def nearly_dependent(n, bits, random):
    """Multiples of one row, but for a little."""
    row = [random.randrange(2**bits) for _ in range(n)]
    return [[(i + 1) * x + random.randint(-(10**6), 10**6) for x in row] for i in range(n)]


def wide_gap(n, bits, random):
    """All short but the last: the relations of numbers, and what is none is long."""
    return [[int(i == j) for j in range(n)] + [random.randrange(1, 2**90) << bits] for i in range(n)]


def q_ary(n, bits, random):
    """[[I, A], [0, q I]]."""
    half, q = n // 2, 2**bits - 1
    top = [[int(i == j) for j in range(half)] + [random.randrange(q) for _ in range(n - half)] for i in range(half)]
    return top + [[0] * half + [q * int(i == j) for j in range(n - half)] for i in range(n - half)]


def q_ary_turned(n, bits, random):
    return q_ary(n, bits, random)[::-1]


def common_factor(n, bits, random):
    """A small basis, in which halves are common, times one huge number."""
    return [[3**bits * (random.randint(-2, 2) + 20 * int(i == j)) for j in range(n)] for i in range(n)]


def blocks(n, bits, random):
    """Short rows, and long ones that have much of them."""
    half = n // 2
    top = [[random.randint(-(2**20), 2**20) for _ in range(half)] + [0] * (n - half) for _ in range(half)]
    return top + [[random.randint(-(2**bits), 2**bits) for _ in range(n)] for _ in range(n - half)]


KINDS = [knapsack, rising, falling, uniform, negative, nearly_dependent, wide_gap, q_ary, q_ary_turned, common_factor, blocks]


@pytest.mark.parametrize("build", KINDS)
@settings(max_examples=settings().max_examples // 10)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 6), bits=st.sampled_from([501, 700, 1100]), delta=st.sampled_from(DELTAS))
def test_long_entries_of_every_kind(build, seed, n, bits, delta):
    basis = build(n, bits, random.Random(seed))
    assert_lll(basis, delta, *lll_reduce(basis, delta))


@pytest.mark.slow
@pytest.mark.parametrize("build", KINDS)
@pytest.mark.parametrize(("n", "bits"), [(14, 600), (10, 2_000), (5, 5_000)])
def test_longer_entries_of_every_kind(build, n, bits):
    for seed in range(3):
        basis = build(n, bits, random.Random(seed))
        assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


@pytest.mark.parametrize("build", [kind for kind in KINDS if kind is not common_factor])
@pytest.mark.parametrize("bits", [600, 1_200])
def test_floating_point_proves_what_it_does(build, bits, monkeypatch):
    def never(*_):
        raise AssertionError("integers had to help")

    monkeypatch.setattr(lll, "reduce_in_integers", never)
    lll_reduce(build(8, bits, random.Random(2)))


@pytest.mark.parametrize("delta", [Fraction(1, 4) + Fraction(1, 10**9), 0.2501, 1])
def test_every_delta_comes_to_an_end(delta):
    for build in KINDS:
        basis = build(6, 600, random.Random(3))
        assert_lll(basis, delta, *lll_reduce(basis, delta))


def test_a_row_or_two():
    assert lll_reduce([[2**3000, -5]])[0].tolist() == [[2**3000, -5]]
    basis = [[2**2000, 1], [2**2000 + 1, 1]]
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))
    basis = [[1, 0, 0], [2**5000, 1, 0], [3**5000, 2**1000, 2**3000]]
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


@given(basis=bases(largest=10), delta=st.sampled_from(DELTAS))
def test_short_entries_would_do_as_well(basis, delta):
    basis = np.array(basis, dtype=object)
    rows, _ = long_lll.reduce_long(with_transform(basis), basis.shape[1], Fraction(delta))
    reduced, transform = np.split(rows, [basis.shape[1]], axis=1)
    assert is_unimodular(transform)
    assert (transform @ basis == reduced).all()


@pytest.mark.parametrize("scale", [2**600, 3**400])
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_by_a_hair_it_is_for_integers_to_decide(scale, step):
    basis = [[2 * scale, 0, 0], [scale + step, 3 * scale, 0], [0, 0, 5 * scale]]
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


def test_floating_point_alone_keeps_the_lattice_and_makes_long_rows_small():
    basis = np.array(wide_gap(8, 1_000, random.Random(4)), dtype=object)
    reduced, transform = lll_reduce(basis, certified=False)
    assert_lll(basis, Fraction(3, 4), reduced, transform)


def test_floating_point_that_goes_in_circles_gives_up(monkeypatch):
    """As in `float_lll`: with a delta above 1 two rows of one length would be swapped for ever."""
    monkeypatch.setattr(long_lll, "SLACK", -0.5)
    rows, visits = with_transform(np.array([[3, 0], [0, 3]], dtype=object)), []
    make_small = long_lll.MeasuredRows.make_small

    def counted(*arguments):
        visits.append(arguments[1])
        assert len(visits) < 1_000, "it does not give up"
        return make_small(*arguments)

    monkeypatch.setattr(long_lll.MeasuredRows, "make_small", counted)
    left, seems_reduced = long_lll.reduce_long(rows, 2, Fraction(3, 4))
    assert not seems_reduced
    assert sorted(map(tuple, left.tolist())) == sorted(map(tuple, rows.tolist()))


@pytest.mark.slow
def test_fifty_rows_of_a_thousand_bits():
    basis = knapsack(50, 1_000, random.Random(1))
    reduced, transform = lll_reduce(basis)
    assert (transform @ np.array(basis, dtype=object) == reduced).all()
    assert max(int(abs(x)).bit_length() for x in reduced.flat) < 30
