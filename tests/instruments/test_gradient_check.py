import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.instruments.gradient_check import agreement, angle_between, check_gradients, compare_entries, drawn_entries, layer_loss
from cllm_lib.model import layers


def cube(arrays):
    """A function whose gradient everybody knows: the sum of cubes."""
    return float((arrays["x"] ** 3).sum()), {"x": 3 * arrays["x"] ** 2}


@pytest.fixture
def x():
    return {"x": np.random.default_rng(0).standard_normal((3, 4))}


def norm_arrays():
    generator = np.random.default_rng(1)
    return {"x": generator.standard_normal((2, 3, 5)), "gain": generator.standard_normal(5), "bias": generator.standard_normal(5)}


def test_a_right_gradient_passes_and_the_arrays_are_left_alone(x):
    before = x["x"].copy()
    report = check_gradients(cube, x)
    assert report.max_relative_error < 1e-7
    assert report.rows[0].checked == report.rows[0].size == 12
    np.testing.assert_array_equal(x["x"], before)


def test_the_error_is_found_where_it_is(x):
    def one_wrong(arrays):
        loss, gradients = cube(arrays)
        gradients["x"][2, 1] *= 1.01
        return loss, gradients

    row = check_gradients(one_wrong, x).rows[0]
    assert row.index == (2, 1)
    assert row.analytic == pytest.approx(1.01 * row.numeric, rel=1e-6)
    assert row.relative_error == pytest.approx(0.01 / 1.01, rel=1e-4)


@pytest.mark.parametrize("wrong", [lambda g: 2 * g, lambda g: -g, lambda g: 0 * g, lambda g: g.T.reshape(g.shape), lambda g: g + np.nan])
def test_wrong_gradients_of_the_right_shape_are_caught(wrong, x):
    def function(arrays):
        loss, gradients = cube(arrays)
        return loss, {"x": wrong(gradients["x"])}

    assert not check_gradients(function, x).max_relative_error < 1e-2


def test_a_layer_and_its_wrong_twin():
    right = layer_loss(layers.layer_norm_forward, layers.layer_norm_backward)
    assert check_gradients(right, norm_arrays()).max_relative_error < 1e-6

    def without_stretch(dy, cache):
        _, inverse_std, gain = cache
        d = dy * gain
        return (d - d.mean(axis=-1, keepdims=True)) * inverse_std, layers.layer_norm_backward(dy, cache)[1]

    report = check_gradients(layer_loss(layers.layer_norm_forward, without_stretch), norm_arrays())
    assert {row.name: row.relative_error > 1e-2 for row in report.rows} == {"x": True, "gain": False, "bias": False}


def test_random_upstream_catches_a_softmax_backward_of_zeros():
    def forward(x):
        weights = layers.softmax(x)
        return weights, weights

    def zeros(dy, weights):
        return np.zeros_like(dy), {}

    def sound(dy, weights):
        return layers.softmax_backward(dy, weights), {}

    arrays = {"x": np.random.default_rng(2).standard_normal((4, 5))}
    assert check_gradients(layer_loss(forward, sound), arrays).max_relative_error < 1e-6
    assert check_gradients(layer_loss(forward, zeros), arrays).max_relative_error == pytest.approx(1.0)


def whole_model(**parts):
    config = CLLMConfig(vocab_size=11, d_model=8, n_layers=2, n_heads=2, d_ff=6, seq_len=5)
    batch = random_batch(11, 2, 5)
    model = CLLM(config, **parts)
    return model, lambda arrays: model.loss_and_gradients(*batch)


def test_a_whole_model_by_a_sample_of_each_tensor():
    model, function = whole_model()
    report = check_gradients(function, spread_out(model).parameters, coordinates=4)
    assert report.max_relative_error < 1e-5
    assert {row.checked for row in report.rows} == {4}


@pytest.mark.parametrize("attention", [None, defects.OuterProductAttention()], ids=["right", "wrong"])
def test_at_zero_it_proves_nothing_and_says_so(attention):
    model, function = whole_model(init="zeros", attention=attention)
    report = check_gradients(function, model.parameters, coordinates=4)
    assert report.max_relative_error == 0.0
    assert report.largest_gradient == 0.0
    assert "this proves nothing" in str(report)


def test_off_zero_the_wrong_one_is_caught():
    model, function = whole_model(attention=defects.OuterProductAttention())
    report = check_gradients(function, spread_out(model).parameters, coordinates=4)
    assert report.max_relative_error > 0.1
    assert "this proves nothing" not in str(report)


@pytest.mark.parametrize(
    ("function", "arrays", "words"),
    [
        (cube, {"x": np.zeros(3, np.float32)}, "'x' is float32: check in float64"),
        (lambda arrays: (0.0, {"y": np.zeros(3)}), {"x": np.zeros(3)}, "no gradient for 'x': it gave 'y'"),
        (lambda arrays: (0.0, {"x": np.zeros(2)}), {"x": np.zeros(3)}, r"has shape \(2,\), the array \(3,\)"),
    ],
)
def test_what_cannot_be_compared_gets_a_clear_error(function, arrays, words):
    with pytest.raises(ValueError, match=words):
        check_gradients(function, arrays)


def test_entries_are_drawn_once_each_in_order_and_all_where_there_are_few():
    drawn = drawn_entries((5, 7), 9, np.random.default_rng(0))
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 9
    assert all(0 <= row < 5 and 0 <= column < 7 for row, column in drawn)
    everything = [(row, column) for row in range(2) for column in range(3)]
    assert drawn_entries((2, 3), 9, None) == drawn_entries((2, 3), None, None) == everything
    assert drawn_entries((5, 7), 9, np.random.default_rng(1)) != drawn


def test_compared_entries_are_those_asked_for_and_the_array_is_left_alone(x):
    before = x["x"].copy()
    analytic, numeric = compare_entries(lambda: cube(x)[0], x["x"], 2 * cube(x)[1]["x"], [(2, 1), (0, 3)])
    expected = np.array([3 * before[2, 1] ** 2, 3 * before[0, 3] ** 2])
    np.testing.assert_allclose(analytic, 2 * expected)
    np.testing.assert_allclose(numeric, expected, rtol=1e-6)
    np.testing.assert_array_equal(x["x"], before)


@given(st.floats(0.0, 180.0), st.integers(2, 6), st.floats(-200.0, 200.0), st.floats(-200.0, 200.0), st.integers(0, 1000))
def test_the_angle_is_the_one_that_was_drawn(degrees, size, first_power, second_power, seed):
    """Two vectors at a known angle, turned together at random, of any length that float64 can hold."""
    plane, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, 2)))
    radians = np.radians(degrees)
    first, second = 10.0**first_power * plane[:, 0], 10.0**second_power * (plane @ [np.cos(radians), np.sin(radians)])
    assert angle_between(first, second) == pytest.approx(degrees, abs=1e-9)


def test_tiny_angles_keep_their_digits():
    assert angle_between([1.0, 0.0], [1.0, 1e-10]) == pytest.approx(np.degrees(1e-10), rel=1e-6)


def test_angles_of_matrices_and_of_scaled_gradients():
    gradient = np.random.default_rng(0).standard_normal((3, 4))
    assert angle_between(gradient, 7 * gradient) == pytest.approx(0.0, abs=1e-6)
    assert angle_between(gradient, -gradient) == pytest.approx(180.0)


@pytest.mark.parametrize("nowhere", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_what_has_no_direction_has_no_angle(nowhere):
    assert np.isnan(angle_between(nowhere, [1.0, 2.0]))
    assert np.isnan(angle_between([1.0, 2.0], nowhere))


def test_an_angle_needs_two_of_one_shape():
    with pytest.raises(ValueError, match=r"one gradient has shape \(2,\), the other \(1, 2\)"):
        angle_between([1.0, 2.0], [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("analytic", "words"),
    [
        ([1.0, -2.0], "factor 1.000, angle 0.0 degrees"),
        ([2.0, -4.0], "factor 2.000, angle 0.0 degrees"),
        ([-1.0, 2.0], "factor -1.000, angle 180.0 degrees"),
        ([2.0, 1.0], "factor 0.000, angle 90.0 degrees"),
        ([0.0, 0.0], "factor 0.000, angle none"),
    ],
)
def test_agreement_in_words(analytic, words):
    assert agreement(analytic, [1.0, -2.0]) == words


def test_slopes_of_rounding_are_not_compared():
    assert agreement([1.0, 2.0], [1e-10, -1e-10]) == "no slope stands out from rounding"
