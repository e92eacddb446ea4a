import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import difference_gradient

from cllm_lib.training.optimizers import SGD, Adam, Momentum, RMSProp
from cllm_lib.training.ravine import ravine_gradient, ravine_loss, ravine_path

coordinate = st.floats(-5.0, 5.0)


@given(coordinate, coordinate, st.floats(0.0, 50.0))
def test_the_gradient_is_the_slope_of_the_loss(x, y, curvature):
    point = np.array([x, y])
    measured = difference_gradient(lambda: ravine_loss(point, curvature), point)
    np.testing.assert_allclose(ravine_gradient(point, curvature), measured, atol=1e-8)


def test_many_points_at_once():
    points = np.random.default_rng(0).standard_normal((3, 4, 2))
    losses, gradients = ravine_loss(points, 7.0), ravine_gradient(points, 7.0)
    for index in np.ndindex(3, 4):
        assert losses[index] == ravine_loss(points[index], 7.0)
        np.testing.assert_array_equal(gradients[index], ravine_gradient(points[index], 7.0))


@pytest.mark.parametrize("rate", [0.01, 0.07, 0.09])
def test_plain_descent_follows_its_closed_form(rate):
    """Each coordinate is multiplied by 1 - rate * curvature at every step."""
    path = ravine_path(SGD(rate), start=(-4.0, 1.0), curvature=25.0, steps=30)
    step = np.arange(31, dtype=np.int64)
    np.testing.assert_allclose(path[:, 0], -4.0 * (1 - rate) ** step, rtol=1e-12)
    np.testing.assert_allclose(path[:, 1], (1 - 25.0 * rate) ** step, rtol=1e-12)


@pytest.mark.parametrize(("share", "diverges"), [(0.99, False), (1.01, True)])
def test_plain_descent_diverges_above_two_over_the_curvature(share, diverges):
    losses = ravine_loss(ravine_path(SGD(share * 2 / 25.0), curvature=25.0, steps=600), 25.0)
    assert (losses[-1] > losses[0]) == diverges


@pytest.mark.parametrize("optimizer", [Momentum(0.03), RMSProp(0.03), Adam(0.3)])
def test_the_others_go_down_too_and_a_path_begins_at_its_start(optimizer):
    start = [3.0, -1.0]
    path = ravine_path(optimizer, start=start, steps=60)
    assert path.shape == (61, 2)
    np.testing.assert_array_equal(path[0], start)
    losses = ravine_loss(path)
    assert losses[-1] < 0.1 * losses[0]


def test_a_path_that_leaves_all_numbers_says_so_without_a_warning():
    path = ravine_path(SGD(1e3), steps=100)
    assert not np.isfinite(ravine_loss(path)[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": (1.0, 2.0, 3.0)}, "give two finite numbers, x and y"),
        ({"start": (1.0, np.nan)}, "give two finite numbers"),
        ({"curvature": -1.0}, "curvature is -1.0"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_bad_input_gets_a_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        ravine_path(SGD(0.1), **arguments)
