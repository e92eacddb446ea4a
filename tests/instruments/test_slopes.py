"""Slopes by nudges, on functions whose slopes are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.instruments.slopes import follows_long_nudges, measure_slope, rounding_of

ALONG = np.array([1.0])


def slope_of(function, x, promised):
    weights = np.array([float(x)])
    found = measure_slope(lambda: function(weights[0]), weights, ALONG, promised, 2.2e-14 * max(1.0, abs(function(x))))
    assert weights[0] == x  # put back
    return found


@given(st.floats(-3, 3), st.floats(0.1, 10))
def test_a_right_promise_is_believed_and_a_wrong_one_is_not(x, factor):
    true = factor * math.cos(x)
    assert not slope_of(lambda x: factor * math.sin(x), x, true).differs()
    for wrong in (true + 0.5 * factor, -true - 0.1, true + 0.05 * factor):
        assert slope_of(lambda x: factor * math.sin(x), x, wrong).differs()


@pytest.mark.parametrize("sharpness", [1e3, 1e4, 1e5, 1e6])
def test_where_the_loss_bends_within_the_longest_nudge_shorter_ones_tell(sharpness):
    """As with huge weights: a nudge of 1e-5 goes around a bend of 1e-6, and measures a slope that is not there."""
    found = slope_of(lambda x: math.sin(sharpness * x) / sharpness, 0.0, 1.0)
    assert not found.differs()
    wrong = slope_of(lambda x: math.sin(sharpness * x) / sharpness, 0.0, 1.1)
    assert wrong.differs() or not wrong.settled


def test_what_bends_within_the_shortest_nudge_is_not_settled():
    found = slope_of(lambda x: 1e-9 * math.sin(1e9 * x + 0.3), 0.0, math.cos(0.3))
    assert not found.settled
    assert not found.differs()


def test_a_promise_of_nothing_is_right_where_rounding_is_all_there_is():
    assert not slope_of(lambda x: 5.0, 1.0, 0.0).differs()
    assert not slope_of(lambda x: 5.0, 1.0, 1e-9).differs()


def test_a_small_slope_that_shorter_nudges_cannot_see_is_settled_by_a_longer_one():
    found = slope_of(lambda x: 3.0 + 2e-7 * x, 1.0, 0.0)
    assert found.settled
    assert found.differs()


def test_random_jumps_are_not_settled():
    generator = np.random.default_rng(0)
    assert not slope_of(lambda x: 1e-3 * generator.standard_normal(), 1.0, 2.0).differs()


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_long_nudges_follow_a_slope_that_low_precision_hides_from_short_ones(kind):
    weights = np.array([1.2345])
    rounded = lambda: float(np.sum((np.linspace(1, 2, 200) * weights).astype(kind), dtype=np.float64)) / 100  # noqa: E731
    found = measure_slope(rounded, weights, ALONG, 3.0, 2.2e-14 * rounded())
    if found.differs() or not found.settled:
        assert follows_long_nudges(rounded, weights, ALONG, found)
    wrong = measure_slope(rounded, weights, ALONG, 6.0, 2.2e-14 * rounded())
    assert not follows_long_nudges(rounded, weights, ALONG, wrong)


def test_long_nudges_do_not_excuse_a_promise_that_is_a_little_wrong():
    weights = np.array([0.7])
    found = measure_slope(lambda: 3.0 * weights[0], weights, ALONG, 3.1, 2.2e-14 * 2.1)
    assert found.differs()
    assert not follows_long_nudges(lambda: 3.0 * weights[0], weights, ALONG, found)


@pytest.mark.parametrize(("enlarged", "low", "high"), [(1.0, 2e-14, 1e-13), (1e6, 1e-10, 1e-7)])
def test_rounding_is_measured_where_large_numbers_cancel(enlarged, low, high):
    weights = np.array([0.3, 0.7])
    loss = lambda: 1.0 + enlarged * (weights[0] + weights[1]) - enlarged  # noqa: E731
    assert low < rounding_of(loss, weights, loss(), np.random.default_rng(0)) < high
    np.testing.assert_array_equal(weights, [0.3, 0.7])
