import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import reference_row

from cllm_lib.instruments.gradient_check import check_gradients, layer_loss
from cllm_lib.lattice import encodings as positions
from cllm_lib.lattice.encodings import rotate, rotate_backward

PAIRS = list(positions.ROPE_PAIRS)
TABLES = {
    "sinusoidal": positions.sinusoidal_positions,
    "spiral": positions.spiral_positions,
    "clock": positions.clock_positions,
    "prime": positions.prime_positions,
}


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=settings().max_examples // 4)
@given(time=st.integers(1, 5), width=st.integers(2, 9), start=st.integers(0, 3_000))
def test_each_row_is_that_of_the_formula(name, time, width, start):
    table = TABLES[name](time, width, start)
    assert table.shape == (time, width)
    np.testing.assert_allclose(table, [reference_row(name, start + t, width) for t in range(time)], atol=1e-10)


@pytest.mark.parametrize("name", TABLES)
def test_rows_have_length_1_and_a_later_start_cuts_the_table(name):
    table = TABLES[name](500, 7)
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(TABLES[name](100, 7, start=400), table[400:])


@pytest.mark.parametrize("width", [2, 7, 64])
def test_length_1_cancels_the_amplitude_exactly(width):
    """What makes the spiral a spiral is gone: the same rows as those of a circle."""
    raw = positions.spiral_positions(300, width, unit_length=False)
    lengths = np.linalg.norm(raw, axis=1)
    if width % 2 == 0:
        np.testing.assert_allclose(lengths, math.sqrt(width / 2) * (1 + 0.1 * np.sqrt(np.arange(300, dtype=np.int64))), rtol=1e-12)
    circle = np.ones((300, width))
    for t in range(300):
        circle[t] = [(np.cos if c % 2 else np.sin)((c // 2 + 1) * t * positions.GOLDEN_ANGLE) for c in range(width)]
    circle /= np.linalg.norm(circle, axis=1, keepdims=True)
    np.testing.assert_allclose(positions.spiral_positions(300, width), circle, atol=1e-12)


def test_the_clock_forgets_all_but_the_hour():
    table = positions.clock_positions(60, 16)
    np.testing.assert_allclose(table[12:], table[:-12], atol=1e-15)
    assert np.linalg.matrix_rank(table, tol=1e-9) < 12
    apart = [np.abs(table[i] - table[j]).max() for i in range(12) for j in range(i)]
    assert min(apart) > 0.1


@pytest.mark.parametrize("name", ["sinusoidal", "spiral", "clock"])
def test_dot_products_depend_on_the_difference_only(name):
    """Of an even width: every pair is a point on a circle."""
    table = TABLES[name](200, 32)
    products = table @ table.T
    for shift in (1, 7, 50):
        np.testing.assert_allclose(products[shift:, shift:], products[:-shift, :-shift], atol=1e-11)


def test_those_of_primes_do_not():
    """The gap to the next prime differs: 2 between 29 and 31, 4 between 37 and 41, the 10th and the 12th of them."""
    table = positions.prime_positions(20, 32)
    assert table[9] @ table[10] > table[11] @ table[12] + 1e-4


def test_on_the_golden_angle_fibonacci_numbers_are_neighbours():
    """Of all differences below 50, those nearest to a whole number of turns are Fibonacci's."""
    table = positions.spiral_positions(50, 16)
    nearest = np.argsort(-(table @ table[0]))[1:4]
    assert set(nearest.tolist()) <= {13, 21, 34, 55}


@pytest.mark.parametrize("table", TABLES.values())
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 4), "time is 0"),
        ((3, 0), "width is 0"),
        ((3, 1), "width is 1: .* give two columns at least"),
        ((3, 4, -1), "start is -1: give a whole number of at least 0"),
        ((3, 4, 0.5), "start is 0.5"),
        ((2, 4, 999_999), r"start \+ time is 1,000,001: angles of so many positions would be inexact; give 1,000,000 at most"),
    ],
)
def test_bad_sizes_get_a_clear_error(table, arguments, words):
    with pytest.raises(ValueError, match=words):
        table(*arguments)


def as_complex(x, places, pairs="neighbours"):
    """The same rotation with complex numbers: a pair (a, b) is a + ib, and a turn is a product."""
    width = x.shape[-1]
    one = np.arange(0, width, 2, dtype=np.intp) if pairs == "neighbours" else np.arange(width // 2, dtype=np.intp)
    other = one + (1 if pairs == "neighbours" else width // 2)
    turns = np.exp(1j * np.array([[t * 10_000.0 ** (-2 * i / width) for i in range(width // 2)] for t in places]))
    turned, y = (x[..., one] + 1j * x[..., other]) * turns, np.empty_like(x)
    y[..., one], y[..., other] = turned.real, turned.imag
    return y


@given(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(-1_000, 100_000), st.sampled_from(PAIRS), st.integers(0, 10_000)
)
def test_a_rotation_is_a_product_with_complex_numbers(batch, time, n_pairs, start, pairs, seed):
    x = np.random.default_rng(seed).standard_normal((batch, time, 2 * n_pairs))
    places = np.arange(start, start + time, dtype=np.int64)
    np.testing.assert_allclose(rotate(x, places, pairs=pairs), as_complex(x, places, pairs), atol=1e-10)


def test_halves_are_neighbours_whose_columns_stand_in_another_order():
    x, places = np.random.default_rng(0).standard_normal((2, 5, 8)), np.arange(5, dtype=np.int64)
    order = [0, 4, 1, 5, 2, 6, 3, 7]  # from halves to neighbours
    turned = rotate(x[..., order], places, 50.0)
    np.testing.assert_array_equal(rotate(x, places, 50.0, pairs="halves")[..., order], turned)
    assert np.abs(rotate(x, places, 50.0) - rotate(x, places, 50.0, pairs="halves")).max() > 0.1


@given(m=st.integers(0, 2_000), n=st.integers(0, 2_000), shift=st.integers(-1_000, 2_000), pairs=st.integers(1, 8), seed=st.integers(0, 99))
def test_the_product_of_two_turned_rows_depends_on_the_difference_of_their_positions(m, n, shift, pairs, seed):
    query, key = np.random.default_rng(seed).standard_normal((2, 1, 2 * pairs))

    def product(at_query, at_key):
        return float((rotate(query, [at_query]) * rotate(key, [at_key])).sum())

    assert product(m, n) == pytest.approx(product(m + shift, n + shift), abs=1e-9)
    assert product(m, n) == pytest.approx(product(m - n, 0), abs=1e-9)
    assert product(m, m) == pytest.approx(float((query * key).sum()), abs=1e-9)


def test_the_product_does_change_with_the_difference():
    query, key = np.random.default_rng(0).standard_normal((2, 1, 8))
    products = [float((rotate(query, [0]) * rotate(key, [n])).sum()) for n in range(20)]
    assert len(set(np.round(products, 6))) == 20


@pytest.mark.parametrize("pairs", PAIRS)
def test_lengths_stay_and_turning_back_undoes(pairs):
    x, places = np.random.default_rng(0).standard_normal((2, 9, 6)), np.arange(9, dtype=np.int64)
    np.testing.assert_allclose(np.linalg.norm(rotate(x, places, pairs=pairs), axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(rotate_backward(rotate(x, places, pairs=pairs), places, pairs=pairs), x, atol=1e-13)
    np.testing.assert_array_equal(rotate(x, np.zeros(9), pairs=pairs), x)


def test_unknown_pairs_are_refused():
    with pytest.raises(ValueError, match="unknown pairs 'thirds': choose one of 'neighbours', 'halves'"):
        rotate(np.zeros((2, 4)), [0, 1], pairs="thirds")


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("base", [10_000.0, 7.0])
def test_the_backward_pass_agrees_with_central_differences(base, pairs):
    places = np.array([3, 0, 11], dtype=np.int64)
    function = layer_loss(
        lambda x: (rotate(x, places, base, pairs), None), lambda dy, cache: (rotate_backward(dy, places, base, pairs), {})
    )
    report = check_gradients(function, {"x": np.random.default_rng(0).standard_normal((2, 3, 6))})
    assert report.max_relative_error < 1e-7


def test_the_type_is_kept_and_the_input_left_alone():
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    kept = x.copy()
    assert rotate(x, [0, 1, 2]).dtype == np.float32
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_allclose(rotate([[1, 0]], [math.pi / 2]), [[0.0, 1.0]], atol=1e-15)


@pytest.mark.parametrize(
    ("x", "places", "base", "words"),
    [
        (np.zeros((3, 5)), [0, 1, 2], 1e4, "5 wide: a rotation turns pairs of columns"),
        (np.zeros((3, 4)), [0, 1], 1e4, r"positions have shape \(2,\), x \(3, 4\)"),
        (np.zeros(4), [0], 1e4, r"x \(4,\): give x as"),
        (np.zeros((2, 4)), [0, np.inf], 1e4, "not all finite"),
        (np.zeros((2, 4)), ["0", "1"], 1e4, "not all finite numbers"),
        (np.zeros((2, 4)), [0, 1], 0, "base is 0: give a finite number above 0"),
        (np.zeros((2, 4)), [0, 1], math.nan, "base is nan"),
    ],
)
def test_what_cannot_be_turned_gets_a_clear_error(x, places, base, words):
    with pytest.raises(ValueError, match=words):
        rotate(x, places, base)


@pytest.mark.slow
def test_rotation_and_its_gradient_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    x, upstream = np.random.default_rng(0).standard_normal((2, 2, 3, 50, 16))
    theirs = torch.tensor(x, requires_grad=True)
    speeds = 1.0 / 10_000.0 ** (torch.arange(0, 16, 2, dtype=torch.float64) / 16)
    turns = torch.polar(torch.ones(50, 8, dtype=torch.float64), torch.outer(torch.arange(50, dtype=torch.float64), speeds))
    y = torch.view_as_real(torch.view_as_complex(theirs.reshape(2, 3, 50, 8, 2)) * turns).flatten(-2)
    y.backward(torch.tensor(upstream))
    np.testing.assert_allclose(rotate(x, np.arange(50, dtype=np.int64)), y.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(rotate_backward(upstream, np.arange(50, dtype=np.int64)), theirs.grad.numpy(), atol=1e-12)
