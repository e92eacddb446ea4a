"""Against SymPy's exact LLL, brute force, and the definitions in fractions."""

import itertools
import math
import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import ZZ
from sympy.polys.matrices import DomainMatrix

from cllm_lib.lattice import reduction
from cllm_lib.lattice.reduction import (
    babai_nearest_plane,
    gauss_reduce,
    gauss_steps,
    gram_schmidt,
    hermite_factor,
    integer_relation,
    is_lll_reduced,
    is_unimodular,
    lll_reduce,
    lll_steps,
    minkowski_bound,
    orthogonality_defect,
    shortest_vector,
)

DELTAS = [Fraction(3, 4), Fraction(99, 100), 0.99, 1, Fraction(26, 100)]


def domain(matrix):
    return DomainMatrix.from_list(np.asarray(matrix, dtype=object).tolist(), ZZ)


def gram_determinant(basis):
    basis = np.array(basis, dtype=object)
    return int(domain(basis @ basis.T).charpoly()[-1]) * (-1) ** len(basis)


def reduced_by_definition(basis, delta):
    """The two conditions as the paper states them, in fractions; Gram-Schmidt by SymPy's elimination of the Gram matrix."""
    gram = domain(np.array(basis, dtype=object) @ np.array(basis, dtype=object).T).to_Matrix()
    lower, diagonal = gram.LDLdecomposition()
    mu = [[Fraction(int(x.p), int(x.q)) for x in lower.row(i)] for i in range(len(basis))]
    squares = [Fraction(int(diagonal[i, i].p), int(diagonal[i, i].q)) for i in range(len(basis))]
    small = all(abs(mu[i][j]) <= Fraction(1, 2) for i in range(len(basis)) for j in range(i))
    return small and all(squares[i] >= (Fraction(delta) - mu[i][i - 1] ** 2) * squares[i - 1] for i in range(1, len(basis)))


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


@pytest.mark.parametrize("size", [1, 10**100, 10**200])
def test_entries_beyond_floats(size):
    basis = [
        [size * x + y for x, y in zip(a, b, strict=True)]
        for a, b in zip([[1, 2, 3], [4, 5, 6], [7, 8, 10]], np.eye(3, dtype=np.int64).tolist(), strict=True)
    ]
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


def test_where_floating_point_gives_up_integers_do_all(monkeypatch):
    basis = knapsack(10, 80, random.Random(5))
    monkeypatch.setattr(reduction, "_reduce_in_floats", lambda rows, width, delta: (rows, False))
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


def test_where_floating_point_is_wrong_integers_mend_it(monkeypatch):
    basis = knapsack(10, 80, random.Random(5))
    monkeypatch.setattr(reduction, "_reduce_in_floats", lambda rows, width, delta: (rows, True))
    assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))


def test_another_lattice_is_found_out(monkeypatch):
    def doubled(rows, width, delta):
        return np.vstack([2 * rows[:1], rows[1:]]), False

    monkeypatch.setattr(reduction, "_reduce_in_floats", doubled)
    with pytest.raises(AssertionError, match="transform"):
        lll_reduce(knapsack(10, 80, random.Random(5)))


def test_floating_point_that_goes_in_circles_gives_up(monkeypatch):
    """With a delta above 1 two rows of one length would be swapped for ever; rounding can do the same."""
    monkeypatch.setattr(reduction, "SLACK", -0.5)
    rows, visits = reduction._with_transform(np.array([[3, 0], [0, 3]], dtype=object)), []
    make_small = reduction._make_small

    def counted(*arguments):
        visits.append(arguments[1])
        assert len(visits) < 1_000, "it does not give up"
        return make_small(*arguments)

    monkeypatch.setattr(reduction, "_make_small", counted)
    left, seems_reduced = reduction._reduce_in_floats(rows, 2, Fraction(3, 4))
    assert not seems_reduced
    assert sorted(map(tuple, left.tolist())) == sorted(map(tuple, rows.tolist()))  # the same lattice all the same
    assert len(visits) == 2 * 2 + 3 * 2 * 2 * 2 + 1  # entries of two bits: as many as the potential allows for, and one more


@pytest.mark.parametrize("n", [40, 64])
def test_large_knapsacks_need_no_help_of_integers(n):
    basis = np.array(knapsack(n, 2 * n, random.Random(n)), dtype=object)
    rows, seems_reduced = reduction._reduce_in_floats(reduction._with_transform(basis), n + 1, Fraction(3, 4))
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


@pytest.mark.parametrize("integers", [np.int8, np.uint64, np.int64, object])
def test_any_type_of_integers_will_do(integers):
    reduced, transform = lll_reduce(np.array([[2, 1], [1, 100]], dtype=integers))
    assert_lll([[2, 1], [1, 100]], Fraction(3, 4), reduced, transform)
    mixed, _ = lll_reduce([[np.int8(2), 1], [np.uint64(1), 100]])
    assert mixed.tolist() == reduced.tolist()


@pytest.mark.parametrize("scale", [2**10, 2**30, 2**45, 2**70])
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_nothing_is_surely_reduced_that_is_not_by_a_hair(scale, step):
    half = [[2 * scale, 0, 0], [scale + step, 3 * scale, 0], [0, 0, 5 * scale]]
    length = math.isqrt(3 * scale**2) + step  # 3/4 of the first row's squared length, nearly
    lovasz = [[2 * scale, 0, 0], [0, length, 0], [0, 0, 5 * scale]]
    turn = [[3, 4, 0], [-4, 3, 0], [0, 0, 5]]
    for basis in (half, lovasz, np.array(half, dtype=object) @ turn, np.array(lovasz, dtype=object) @ turn):
        if not is_lll_reduced(basis):
            assert not reduction._surely_reduced(np.array(basis, dtype=object), Fraction(3, 4))
        assert_lll(basis, Fraction(3, 4), *lll_reduce(basis))
    assert is_lll_reduced(half) == (step <= 0)
    assert is_lll_reduced(lovasz) == (step > 0)


@given(basis=bases(largest=12), loose=st.sampled_from(DELTAS), strict=st.sampled_from(DELTAS), random=st.randoms(use_true_random=False))
def test_what_is_surely_reduced_is_reduced(basis, loose, strict, random):
    nearly = lll_reduce(basis, loose)[0]
    if random.random() < 0.5:
        i, j = random.randrange(len(basis)), random.randrange(len(basis))
        nearly[i] = nearly[i] + (i != j) * nearly[j]
    if reduction._surely_reduced(nearly, Fraction(strict)):
        assert is_lll_reduced(nearly, strict)


def test_of_random_bases_floating_point_proves_nearly_all():
    rng = np.random.default_rng(7)
    reduced = [lll_reduce(rng.integers(-(2**20), 2**20, (n, n)), certified=False)[0] for n in (8, 16, 24, 32) for _ in range(5)]
    assert sum(reduction._surely_reduced(basis, Fraction(3, 4)) for basis in reduced) >= 18


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


@given(basis=bases(largest=2, least=2, most=10**6))
def test_gauss_finds_both_shortest_vectors(basis):
    reduced, transform = gauss_reduce(basis)
    basis = np.array(basis, dtype=object)
    assert (transform @ basis == reduced).all()
    assert is_unimodular(transform)
    a, b = reduced
    assert a @ a <= b @ b
    assert 2 * abs(a @ b) <= a @ a
    multiples = [x * a + y * b for x, y in itertools.product(range(-3, 4), repeat=2) if (x, y) != (0, 0)]
    assert min(v @ v for v in multiples) == a @ a


@given(basis=bases(largest=2, least=2))
def test_gausss_steps_lead_there_and_each_is_shorter_or_a_swap(basis):
    steps = gauss_steps(basis)
    assert steps[0].tolist() == basis
    assert (steps[-1] == gauss_reduce(basis)[0]).all()
    for before, after in itertools.pairwise(steps):
        swapped = (before[::-1] == after).all()
        assert swapped or ((before[0] == after[0]).all() and after[1] @ after[1] < before[1] @ before[1])


@given(basis=bases(largest=6))
def test_gram_schmidt_in_fractions(basis):
    orthogonal, mu = gram_schmidt(basis)
    assert (mu @ orthogonal == np.array(basis, dtype=object)).all()
    products = orthogonal @ orthogonal.T
    assert all(products[i, j] == 0 for i in range(len(basis)) for j in range(i))
    assert all(mu[i, j] == (i == j) for i in range(len(basis)) for j in range(i, len(basis)))


@given(seed=st.integers(0, 2**32), n=st.integers(1, 12))
def test_gram_schmidt_in_floats_agrees_with_fractions(seed, n):
    basis = np.random.default_rng(seed).integers(-1000, 1001, (n, n + 2))
    orthogonal, mu = gram_schmidt(basis, exact=False)
    exact_orthogonal, exact_mu = gram_schmidt(basis)
    np.testing.assert_allclose(orthogonal, exact_orthogonal.astype(float), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(mu, exact_mu.astype(float), rtol=1e-7, atol=1e-7)


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


@pytest.mark.parametrize("coefficients", [[-2, 0, 1], [-1, -1, 1], [-3, 1, 0, 1], [1, 0, -10, 0, 1], [7, -3, 0, 2, 0, 1]])
def test_a_minimal_polynomial_from_decimals(coefficients):
    x = sympy.Symbol("x")
    polynomial = sympy.Poly(coefficients[::-1], x)
    root = max(polynomial.nroots(n=80), key=lambda r: (r.is_real, r))
    powers = [1, *(str((root**k).evalf(70)).ljust(64, "0") for k in range(1, len(coefficients)))]
    found = integer_relation(powers, 60)
    assert found in (coefficients, [-c for c in coefficients])


def test_machins_formula_and_no_relation_where_there_is_none():
    numbers = [str(sympy.N(number, 60)) for number in (sympy.pi / 4, sympy.atan(sympy.Rational(1, 5)), sympy.atan(sympy.Rational(1, 239)))]
    assert integer_relation(numbers, 50) == [1, -4, 1]
    assert integer_relation([Decimal(number) for number in numbers], 50) == [1, -4, 1]
    assert integer_relation([1, str(sympy.N(sympy.pi, 60)), str(sympy.N(sympy.E, 60))], 50) is None
    assert integer_relation([0.5, 0.25], 15) == [1, -2]


def test_random_digits_have_no_relations():
    rng = np.random.default_rng(1)
    lists = [["0." + "".join(map(str, rng.integers(0, 10, 12))) for _ in range(4)] for _ in range(200)]
    assert all(integer_relation(numbers, 12) is None for numbers in lists)


def test_measures_of_lattices_known_by_heart():
    assert orthogonality_defect(np.diag([2, 3, 5])) == pytest.approx(1)
    assert orthogonality_defect([[1, 0], [1, 1]]) == pytest.approx(math.sqrt(2))
    assert hermite_factor([[3, 4]]) == pytest.approx(1)
    assert hermite_factor(np.diag([1, 4])) == pytest.approx(1 / 2)
    assert minkowski_bound(np.diag([2, 2])) == pytest.approx(4 / math.sqrt(math.pi))
    assert minkowski_bound([[3, 4]]) == pytest.approx(5)  # in one dimension the ball is the interval: sharp


@given(basis=bases(largest=8, most=1000))
def test_measures_are_those_of_a_determinant_in_floats(basis):
    volume = math.sqrt(gram_determinant(basis))
    lengths = np.linalg.norm(np.array(basis, dtype=float), axis=1)
    assert orthogonality_defect(basis) == pytest.approx(np.prod(lengths) / volume, rel=1e-6)
    assert hermite_factor(basis) == pytest.approx(lengths[0] / volume ** (1 / len(basis)), rel=1e-6)


@given(random=st.randoms(use_true_random=False), n=st.integers(1, 8), bound=st.sampled_from([1, 3, 10**20]))
def test_unimodular_is_a_determinant_of_one(random, n, bound):
    matrix = [[random.randint(-bound, bound) for _ in range(n)] for _ in range(n)]
    determinant = int(sympy.Matrix(matrix).det())
    assert reduction._determinant(np.array(matrix, dtype=object)) == determinant
    assert is_unimodular(matrix) == (abs(determinant) == 1)
    scrambled = np.eye(n, dtype=object).astype(np.int64).astype(object)
    for _ in range(30):
        i, j = random.randrange(n), random.randrange(n)
        scrambled[i] = scrambled[i] + random.randint(-9, 9) * scrambled[j] if i != j else -scrambled[i]
    assert is_unimodular(scrambled)


REDUCERS = [lll_reduce, lll_steps, is_lll_reduced, shortest_vector, gram_schmidt, orthogonality_defect, hermite_factor, minkowski_bound]


@pytest.mark.parametrize("reduce", [*REDUCERS, gauss_reduce, gauss_steps])
@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ([[1, 2], [0, 0]], r"basis\[1\] is zero"),
        ([[1, 2], [2, 4]], r"basis\[1\] is a combination"),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], r"basis\[2\] is a combination"),
        ([[10**40, 0], [10**40, 0]], r"basis\[1\] is a combination"),
        ([[1], [2]], "2 rows and 1 columns"),
        ([[1, 2], [3]], "different lengths"),
        ([[1, 2.5], [3, 4]], r"basis\[0, 1\] is 2.5"),
        ([[1.0, 2.0], [3.0, 4.0]], r"basis\[0, 0\] is 1.0"),
        ([[True, 2], [3, 4]], r"True"),
        ([["1", "2"], ["3", "4"]], r"basis\[0, 0\]"),
        ([1, 2, 3], "shape"),
        ([], "shape"),
        ([[]], "shape"),
        (7, "shape"),
        (None, "shape"),
    ],
)
def test_what_is_no_basis_is_told_so(reduce, basis, words):
    with pytest.raises(ValueError, match=words):
        reduce(basis)


@pytest.mark.parametrize("delta", [0, Fraction(1, 4), 0.25, 1.01, 2, -1, math.nan, math.inf, "3/4", None, True])
@pytest.mark.parametrize("reduce", [lll_reduce, lll_steps, is_lll_reduced])
def test_delta_has_limits(reduce, delta):
    with pytest.raises(ValueError, match="delta"):
        reduce([[1, 2], [3, 4]], delta)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gauss_reduce([[1, 2, 3]]), "1 rows"),
        (lambda: shortest_vector(np.eye(25, dtype=np.int64)), "24"),
        (lambda: is_unimodular([[1, 2, 3], [4, 5, 6]]), "square"),
        (lambda: babai_nearest_plane([[1, 2], [3, 4]], [1, 2, 3]), "shape"),
        (lambda: babai_nearest_plane([[1, 2], [3, 4]], ["a", "b"]), "target"),
        (lambda: babai_nearest_plane([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0]), r"basis\[1\]"),
        (lambda: babai_nearest_plane([[1.0, 2.0], [math.nan, 4.0]], [1.0, 2.0]), "NaN"),
        (lambda: babai_nearest_plane([[1.0, 0.0], [0.0, 1.0]], [1.0, math.inf]), "target"),
        (lambda: babai_nearest_plane([[1.0]], [1e20]), r"2\^53"),
        (lambda: babai_nearest_plane([[10**400]], [1.0]), "float"),
        (lambda: gram_schmidt([[1.0, 2.0], [2.0, 4.0]], exact=False), r"basis\[1\]"),
        (lambda: gram_schmidt([[1.0], [2.0]], exact=False), "shape"),
        (lambda: orthogonality_defect([[10**400, 1], [10**400 + 1, 1]]), "largest float"),
        (lambda: integer_relation(["1.5"], 1), "two"),
        (lambda: integer_relation(["1.5", "x.5"], 1), r"values\[1\]"),
        (lambda: integer_relation(["1.5", "1.41"], 10), "2 decimals|1 decimals"),
        (lambda: integer_relation([0.5, math.sqrt(2)], 30), "float"),
        (lambda: integer_relation([0.5, math.inf], 10), r"values\[1\]"),
        (lambda: integer_relation([1, 2], 0), "digits"),
    ],
)
def test_other_bad_input_is_told_so(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_input_stays_as_it_was():
    basis = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 10]], dtype=object)
    before = basis.copy()
    lll_reduce(basis)
    gram_schmidt(basis)
    shortest_vector(basis)
    list(lll_steps(basis))
    assert (basis == before).all()
