import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.lattice import spirals

GRID = {  # by name: the curve and its inverse
    "ulam": (spirals.ulam_coordinates, spirals.ulam_index),
    "hilbert": (spirals.hilbert_coordinates, spirals.hilbert_index),
    "morton": (spirals.morton_coordinates, spirals.morton_index),
    "row_major": (lambda n: spirals.row_major_coordinates(n, 1_000), lambda x, y: spirals.row_major_index(x, y, 1_000)),
}
ROUND = {"vogel": spirals.vogel_coordinates, "sacks": spirals.sacks_coordinates, "cone": spirals.cone_coordinates}
every_curve = pytest.mark.parametrize("name", GRID)
numbers_to_the_limit = st.integers(1, 2**52)


def walk(steps):
    """Ulam's spiral as a child draws it: turn left whenever the cell there is free."""
    place, direction, visited = 0j, -1j, {0j}
    yield place
    for _ in range(steps - 1):
        if place + direction * 1j not in visited:
            direction *= 1j
        place += direction
        visited.add(place)
        yield place


def hilbert_by_recursion(level):
    """The curve of a square from that of half its side: turned over the diagonal, twice as it is, turned over the other one."""
    if level == 0:
        return [(0, 0)]
    half, side = hilbert_by_recursion(level - 1), 2 ** (level - 1)
    return [
        *((y, x) for x, y in half),
        *((x, y + side) for x, y in half),
        *((x + side, y + side) for x, y in half),
        *((2 * side - 1 - y, side - 1 - x) for x, y in half),
    ]


def pairs(coordinates):
    return list(zip(*(array.tolist() for array in coordinates), strict=True))


def test_ulam_is_the_spiral_walked_step_by_step():
    walked = [(int(place.real), int(place.imag)) for place in walk(5_000)]
    assert pairs(spirals.ulam_coordinates(np.arange(1, 5_001, dtype=np.int64))) == walked
    assert walked[:5] == [(0, 0), (1, 0), (1, 1), (0, 1), (-1, 1)]


@pytest.mark.parametrize("level", [0, 2, 4, 6])
def test_hilbert_is_the_curve_built_by_recursion(level):
    assert pairs(spirals.hilbert_coordinates(np.arange(1, 4**level + 1, dtype=np.int64))) == hilbert_by_recursion(level)


@pytest.mark.parametrize("level", [1, 3, 5])
def test_hilbert_of_an_odd_number_of_sizes_is_that_curve_turned_over(level):
    assert pairs(spirals.hilbert_coordinates(np.arange(1, 4**level + 1, dtype=np.int64))) == [
        (y, x) for x, y in hilbert_by_recursion(level)
    ]


@given(numbers_to_the_limit)
def test_morton_deals_the_binary_digits_in_turn(n):
    digits = f"{n - 1:052b}"
    assert spirals.morton_coordinates(n) == (int(digits[1::2], 2), int(digits[0::2], 2))


@given(st.integers(1, 10**6), st.integers(1, 2_000))
def test_row_major_fills_row_after_row(n, width):
    x, y = spirals.row_major_coordinates(n, width)
    assert list(range(y * width + 1, y * width + width + 1))[x] == n


@every_curve
def test_the_inverse_gives_back_every_number_to_a_million(name):
    coordinates, index = GRID[name]
    n = np.arange(1, 10**6 + 1, dtype=np.int64)
    np.testing.assert_array_equal(index(*coordinates(n)), n)


@every_curve
@given(n=numbers_to_the_limit)
def test_the_inverse_gives_back_any_number_to_the_limit(name, n):
    coordinates, index = GRID[name]
    assert index(*coordinates(n)) == n


@every_curve
def test_the_inverse_gives_back_the_numbers_at_the_limit(name):
    coordinates, index = GRID[name]
    n = 2**52 - np.arange(1_000, dtype=np.int64)
    np.testing.assert_array_equal(index(*coordinates(n)), n)


@given(st.integers(-(2**25) + 1, 2**25 - 1), st.integers(-(2**25) + 1, 2**25 - 1))
def test_ulam_gives_back_any_place(x, y):
    assert spirals.ulam_coordinates(spirals.ulam_index(x, y)) == (x, y)


@given(st.integers(0, 2**26 - 1), st.integers(0, 2**26 - 1))
def test_hilbert_and_morton_give_back_any_place(x, y):
    assert spirals.hilbert_coordinates(spirals.hilbert_index(x, y)) == (x, y)
    assert spirals.morton_coordinates(spirals.morton_index(x, y)) == (x, y)


@given(st.lists(st.integers(1, 2**26 - 1), min_size=1, max_size=50), st.integers(-2, 2))
def test_ulam_turns_where_a_rounded_root_is_least_sure(roots, near):
    """Around r^2 + r the nearest whole root changes; whole numbers of any size know nothing of rounding."""
    for r in roots:
        m = r**2 + r + near
        if 0 <= m < 2**52:
            nearest = (math.isqrt(4 * m) + 1) // 2
            d, s = m - nearest**2, 1 if nearest % 2 else -1
            assert spirals.ulam_coordinates(m + 1) == (s * (-(-nearest // 2) + min(d, 0)), s * (max(d, 0) - nearest // 2))


@pytest.mark.parametrize("block", [2**40, 2**48, 2**50 - 5_000, 2**52 - 20_000])
def test_ulam_goes_on_in_single_steps_far_out(block):
    x, y = spirals.ulam_coordinates(np.arange(block, block + 20_000, dtype=np.int64))
    assert (np.abs(np.diff(x)) + np.abs(np.diff(y)) == 1).all()


@pytest.mark.parametrize(("name", "sides"), [("ulam", range(1, 40)), ("hilbert", (1, 2, 4, 8, 64)), ("morton", (1, 2, 4, 8, 64))])
def test_a_square_is_filled_each_cell_once(name, sides):
    for side in sides:
        x, y = GRID[name][0](np.arange(1, side**2 + 1, dtype=np.int64))
        assert len(set(zip(x.tolist(), y.tolist(), strict=True))) == side**2
        assert x.max() - x.min() == y.max() - y.min() == side - 1


def test_row_major_fills_a_page_each_cell_once():
    x, y = spirals.row_major_coordinates(np.arange(1, 61, dtype=np.int64), 12)
    assert sorted(zip(y.tolist(), x.tolist(), strict=True)) == [(row, column) for row in range(5) for column in range(12)]


@pytest.mark.parametrize(("name", "always_one"), [("ulam", True), ("hilbert", True), ("morton", False), ("row_major", False)])
def test_neighbours_on_the_curve_are_neighbours_on_the_plane_where_the_curve_promises_it(name, always_one):
    x, y = GRID[name][0](np.arange(1, 100_001, dtype=np.int64))
    assert (np.abs(np.diff(x)) + np.abs(np.diff(y)) == 1).all() == always_one


@every_curve
def test_one_lies_at_the_origin_and_two_to_the_right(name):
    coordinates, _ = GRID[name]
    assert coordinates(1) == (0, 0)
    assert coordinates(2) == (1, 0)


@every_curve
def test_numbers_in_numbers_out_and_arrays_keep_their_shape(name):
    coordinates, index = GRID[name]
    x, y = coordinates(7)
    assert type(x) is type(y) is type(index(x, y)) is int
    n = np.arange(1, 25, dtype=np.int32).reshape(2, 3, 4)[:, ::-1]
    x, y = coordinates(n)
    assert x.shape == y.shape == index(x, y).shape == n.shape
    assert x.dtype == y.dtype == np.int64
    assert (int(x[1, 0, 2]), int(y[1, 0, 2])) == coordinates(int(n[1, 0, 2]))
    np.testing.assert_array_equal(index(x, y), n)
    assert coordinates([])[0].shape == (0,)
    assert index([], []).shape == (0,)


def test_blocks_leave_no_trace():
    n = np.random.default_rng(0).integers(1, 2**52, size=2 * spirals.BLOCK + 3)
    x, y = spirals.ulam_coordinates(n)
    for i in (0, spirals.BLOCK - 1, spirals.BLOCK, 2 * spirals.BLOCK, len(n) - 1):
        assert (x[i], y[i]) == spirals.ulam_coordinates(int(n[i]))


def test_what_is_handed_in_is_left_alone():
    n = np.arange(1, 100, dtype=np.int64)
    for coordinates, index in GRID.values():
        x, y = coordinates(n)
        index(x, y)
        np.testing.assert_array_equal(n, np.arange(1, 100, dtype=np.int64))
        np.testing.assert_array_equal(x, coordinates(n)[0])


@given(st.integers(0, 10**8))
def test_the_round_curves_are_what_their_formulas_say(n):
    """Against complex numbers, the golden angle from the golden ratio."""
    golden_turn = 2 * math.pi / ((1 + math.sqrt(5)) / 2) ** 2
    vogel = math.sqrt(n) * complex(math.cos(n * golden_turn), math.sin(n * golden_turn))
    assert abs(complex(*spirals.vogel_coordinates(n)) - vogel) < 1e-3
    sacks = math.sqrt(n) * complex(math.cos(2 * math.pi * math.sqrt(n)), math.sin(2 * math.pi * math.sqrt(n)))
    assert abs(complex(*spirals.sacks_coordinates(n)) - sacks) < 1e-3
    x, y, z = spirals.cone_coordinates(n)
    assert (x, y) == spirals.vogel_coordinates(n)
    assert z == pytest.approx(math.log(n + 1))


def test_the_golden_angle_holds_to_a_thousandth_of_a_step_at_the_limit():
    """Against integers: 10^8 turns of 1/phi^2 = (3 - sqrt 5)/2, with forty digits of the root."""
    n, digits = spirals.LARGEST_ON_ROUND_CURVES, 10**40
    turns = n * (3 * digits - math.isqrt(5 * digits**2)) % (2 * digits) / (2 * digits)
    exact = math.sqrt(n) * complex(math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns))
    assert abs(complex(*spirals.vogel_coordinates(n)) - exact) < 1e-3


def test_the_squares_lie_on_a_line_of_sacks():
    x, y = spirals.sacks_coordinates(np.arange(0, 9_000, dtype=np.int64) ** 2)
    np.testing.assert_array_equal(x, np.arange(9_000, dtype=np.int64))
    np.testing.assert_array_equal(y, 0.0)


@pytest.mark.parametrize("curve", [*(coordinates for coordinates, _ in GRID.values()), *ROUND.values()])
@pytest.mark.parametrize(
    ("n", "message"),
    [
        (-1, r"n is -1: give whole numbers from [01] to"),
        ([3, -4], r"n\[1\] is -4: give whole numbers from"),
        (2**52 + 1, r"n is 4503599627370497: give whole numbers from"),
        ([[5, 2**70]], r"n\[0, 1\] is 1180591620717411303424: give whole numbers"),
        (np.array([1, 2**63], dtype=np.uint64), r"n\[1\] is 9223372036854775808: give"),
        (2.0, r"n is 2\.0: .*\.astype\(np\.int64\)"),
        (np.arange(3.0), r"n is an array of float64: .*\.astype\(np\.int64\)"),
        (math.nan, "n is nan: give whole numbers"),
        (True, "n is True: give whole numbers"),
        (np.array([True]), "n is an array of bool: give whole numbers"),
        ("7", "n is '7': give whole numbers"),
        (None, "n is None: give whole numbers"),
        ([[1], [2, 3]], "n has rows of different lengths"),
    ],
)
def test_numbers_that_have_no_place_get_a_clear_error(curve, n, message):
    with pytest.raises(ValueError, match=message):
        curve(n)


@every_curve
def test_zero_lies_on_no_grid(name):
    with pytest.raises(ValueError, match=r"n\[0\] is 0: give whole numbers from 1 to 4,503,599,627,370,496"):
        GRID[name][0]([0, 1])


@pytest.mark.parametrize(
    ("index", "x", "y", "message"),
    [
        (spirals.ulam_index, 2**25, -(2**25), r"the number at \(x, y\) is 4503599761588225: give"),
        (spirals.ulam_index, 2**25 + 1, 0, "x is 33554433: give"),
        (spirals.ulam_index, 0.5, 0, "x is 0.5: give whole numbers"),
        (spirals.ulam_index, [1, 2], [1, 2, 3], r"x has shape \(2,\) and y has shape \(3,\)"),
        (spirals.hilbert_index, -1, 0, "x is -1: give whole numbers from 0"),
        (spirals.hilbert_index, 0, 2**26, "y is 67108864: give"),
        (spirals.morton_index, 0, [0, -1], r"y\[1\] is -1: give"),
        (lambda x, y: spirals.row_major_index(x, y, 10), 10, 0, "x is 10: give whole numbers from 0 to 9"),
        (lambda x, y: spirals.row_major_index(x, y, 10), 9, 450_359_962_737_049, r"the number at \(x, y\) is 4503599627370500"),
        (lambda x, y: spirals.row_major_index(x, y, 0), 0, 0, "width is 0"),
        (lambda x, y: spirals.row_major_index(x, y, 2**60), 0, 0, "width is 1152921504606846976: give"),
    ],
)
def test_places_that_hold_no_number_get_a_clear_error(index, x, y, message):
    with pytest.raises(ValueError, match=message):
        index(x, y)


def test_the_limit_itself_has_a_place_and_the_number_after_it_has_none():
    x, y = spirals.ulam_coordinates(2**52)
    assert spirals.ulam_index(x, y) == 2**52
    with pytest.raises(ValueError, match="4503599627370497"):
        spirals.ulam_index(x - 1, y)
