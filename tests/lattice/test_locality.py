import itertools
import math
import statistics

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.lattice import locality, spirals

every_curve = pytest.mark.parametrize("curve", locality.GRID_CURVES)


def number_by_number(curve, side):
    """The square filled from the other end: each number in turn goes where the curve has it."""
    coordinates = getattr(spirals, f"{curve}_coordinates")
    grid = {}
    for n in range(1, side**2 + 1):
        x, y = coordinates(n, side) if curve == "row_major" else coordinates(n)
        grid[x, y] = n
    left, low = min(x for x, _ in grid), min(y for _, y in grid)
    return [[grid[left + column, low + row] for column in range(side)] for row in range(side)]


@every_curve
@pytest.mark.parametrize("side", [1, 2, 4, 16])
def test_a_grid_holds_each_number_where_the_curve_has_it(curve, side):
    np.testing.assert_array_equal(locality.curve_grid(curve, side), number_by_number(curve, side))


@pytest.mark.parametrize("side", [3, 5, 6, 11])
@pytest.mark.parametrize("curve", ["ulam", "row_major"])
def test_these_two_fill_squares_of_any_side(curve, side):
    np.testing.assert_array_equal(locality.curve_grid(curve, side), number_by_number(curve, side))


@every_curve
def test_memory_distances_are_those_of_every_pair_of_neighbours(curve):
    grid = locality.curve_grid(curve, 8)
    pairs = [
        abs(int(grid[y, x]) - int(grid[b, a]))
        for (y, x), (b, a) in itertools.combinations(np.ndindex(8, 8), 2)
        if abs(y - b) + abs(x - a) == 1
    ]
    assert sorted(locality.memory_distances(grid)) == sorted(pairs)
    assert len(pairs) == 2 * 8 * 7


@pytest.mark.parametrize("side", [2, 16, 256])
def test_rows_and_morton_have_the_same_mean_distance_in_memory_and_ulam_the_largest(side):
    """(side + 1) / 2 for both: of a row half the pairs are 1 apart, the other half side. The median tells them apart."""
    found = {curve: locality.spread(locality.memory_distances(locality.curve_grid(curve, side))) for curve in locality.GRID_CURVES}
    assert found["row_major"].mean == found["morton"].mean == pytest.approx((side + 1) / 2)
    if side > 2:
        assert max(found, key=lambda curve: found[curve].mean) == "ulam"
        assert found["hilbert"].median == found["ulam"].median == 1.0


@pytest.mark.parametrize("curve", ["ulam", "hilbert"])
def test_one_step_in_memory_is_one_step_on_the_plane_where_the_curve_promises_it(curve):
    x, y = getattr(spirals, f"{curve}_coordinates")(np.arange(1, 2_000, dtype=np.int64))
    assert locality.spread(locality.plane_distances(x, y)) == locality.Spread(1.0, 1.0, 1.0)


@given(st.integers(2, 30), st.data())
def test_plane_distances_pair_each_number_with_the_one_so_many_later(count, data):
    steps = data.draw(st.integers(1, count - 1))
    x, y = spirals.vogel_coordinates(np.arange(1, count + 1, dtype=np.int64))
    expected = [math.dist((x[i], y[i]), (x[i + steps], y[i + steps])) for i in range(count - steps)]
    np.testing.assert_allclose(locality.plane_distances(x, y, steps), expected)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_the_spread_is_that_of_the_sorted_list(values):
    found = locality.spread(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.median == pytest.approx(statistics.median(values))
    assert min(values) <= found.most <= max(values)


def test_of_the_numbers_to_a_hundred_95_percent_are_not_above_95():
    assert locality.spread(np.arange(101, dtype=np.int64)[::-1]) == locality.Spread(50.0, 50.0, 95.0)


@given(st.integers(1, 10**8))
def test_on_the_cone_the_distance_grows_with_the_number(n):
    assert locality.cone_distance(n) > locality.cone_distance(n - 1)
    assert locality.cone_distance(n) == pytest.approx(math.hypot(*spirals.cone_coordinates(n)))


def test_to_sort_by_locality_is_to_sort_by_id():
    np.testing.assert_array_equal(locality.locality_order("cone", 200_000), np.arange(200_000, dtype=np.int64))
    shuffled = np.random.default_rng(0).permutation(5_000)
    np.testing.assert_array_equal(shuffled[np.argsort(locality.cone_distance(shuffled))], np.sort(shuffled))


def test_rows_in_reading_order_stay_as_they_are():
    np.testing.assert_array_equal(locality.locality_order("row_major", 1_000), np.arange(1_000, dtype=np.int64))


@given(st.sampled_from([*locality.GRID_CURVES, locality.CONE]), st.integers(1, 700))
def test_an_order_names_each_row_once(curve, count):
    assert sorted(locality.locality_order(curve, count).tolist()) == list(range(count))


@pytest.mark.parametrize(("curve", "side"), [("ulam", 7), ("hilbert", 8)])
def test_an_order_walks_over_the_square_in_single_steps(curve, side):
    y, x = np.divmod(locality.locality_order(curve, side**2), side)
    assert (np.abs(np.diff(x)) + np.abs(np.diff(y)) == 1).all()


def test_an_order_of_ulam_begins_in_the_middle():
    assert locality.locality_order("ulam", 9).tolist() == [4, 5, 8, 7, 6, 3, 0, 1, 2]


def test_eulers_polynomial_begins_with_forty_primes_and_no_more():
    values = locality.quadratic_values(41)
    assert all(map(sympy.isprime, values[:40].tolist()))
    assert values[40] == 41**2
    assert locality.prime_density(values[:40])[0] == 1.0
    assert locality.prime_density(values)[0] == 40 / 41


@given(st.integers(1, 50), st.integers(1, 9), st.integers(0, 99), st.integers(1, 99))
def test_a_quadratic_is_what_it_says(count, a, b, c):
    assert locality.quadratic_values(count, a, b, c).tolist() == [a * k * k + b * k + c for k in range(count)]


@given(st.integers(-6, 6), st.integers(-99, 99))
def test_a_quadratic_that_begins_with_four_squares_lies_on_a_ray_of_the_spiral(b, c):
    """Why primes gather on lines there: each value is as far from the last, in the same direction, from some k on."""
    k = np.arange(200, 260, dtype=np.int64)
    x, y = spirals.ulam_coordinates(4 * k**2 + 2 * b * k + c)
    assert len({*zip(np.diff(x).tolist(), np.diff(y).tolist(), strict=True)}) == 1


@given(st.lists(st.integers(2, 10**5), min_size=1, max_size=30))
def test_the_share_of_primes_is_what_sympy_counts(values):
    share, expected = locality.prime_density(values)
    assert share == pytest.approx(sum(map(sympy.isprime, values)) / len(values))
    assert expected == pytest.approx(statistics.fmean(1 / math.log(value) for value in values))


def test_all_numbers_have_about_the_share_to_expect():
    share, expected = locality.prime_density(np.arange(2, 10**6, dtype=np.int64))
    assert share == pytest.approx(expected, rel=0.01)


def test_the_nearest_are_found_among_all():
    generator = np.random.default_rng(0)
    x, y = generator.integers(-5, 6, size=(2, 300))
    for place in ((0, 0), (4.2, -3.1), (50, 50)):
        distances = [math.dist(place, point) for point in zip(x, y, strict=True)]
        expected = sorted(range(300), key=lambda i: (distances[i], i))[:7]
        assert locality.nearest_numbers(x, y, place, 7).tolist() == expected
    assert len(locality.nearest_numbers(x, y, (0, 0), 1_000)) == 300


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: locality.curve_grid("peano", 4), "unknown curve 'peano': choose one of 'ulam', 'hilbert', 'morton', 'row_major'"),
        (lambda: locality.curve_grid("hilbert", 6), "side is 6, .*power of two"),
        (lambda: locality.curve_grid("ulam", 0), "side is 0"),
        (lambda: locality.curve_grid("ulam", 10**6), "side is 1,000,000: the grid would take gigabytes; give 4,096 at most"),
        (lambda: locality.memory_distances([1, 2, 3]), r"grid has shape \(3,\): give a number for each cell"),
        (lambda: locality.memory_distances([[1.0]]), "grid is an array of float64"),
        (lambda: locality.plane_distances([1, 2], [1, 2, 3]), r"x has shape \(2,\) and y has shape \(3,\)"),
        (lambda: locality.plane_distances([1, 2], [1, 2], 2), "steps is 2, and there are 2 places"),
        (lambda: locality.spread([]), "0 distances"),
        (lambda: locality.spread([1.0, math.nan]), "not all of them finite"),
        (lambda: locality.locality_order("peano", 4), "unknown curve 'peano'"),
        (lambda: locality.locality_order("ulam", 2.0), r"count is 2\.0"),
        (lambda: locality.locality_order("ulam", 10**9), "count is 1,000,000,000"),
        (lambda: locality.quadratic_values(0), "count is 0"),
        (lambda: locality.quadratic_values(5, 1, 0, -3), r"a k\^2 \+ b k \+ c\[0\] is -3: give whole numbers from 1"),
        (lambda: locality.quadratic_values(10**7, a=10**9), r"reaches 1e\+23"),
        (lambda: locality.quadratic_values(10, a=0.5), r"a is 0\.5: give whole numbers"),
        (lambda: locality.prime_density([]), "values are empty"),
        (lambda: locality.prime_density([5, 1]), r"values\[1\] is 1: give whole numbers from 2"),
        (lambda: locality.prime_density([10**9]), r"values\[0\] is 1000000000"),
        (lambda: locality.cone_distance([-1]), r"n\[0\] is -1"),
        (lambda: locality.nearest_numbers([], [], (0, 0)), r"x has shape \(0,\)"),
        (lambda: locality.nearest_numbers([1], [1], (0, 0), 0), "count is 0"),
    ],
)
def test_what_makes_no_sense_gets_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
