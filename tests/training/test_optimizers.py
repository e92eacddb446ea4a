from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.training.optimizers import BLOCK, SGD, Adam, clip_by_global_norm, make_optimizer


def test_sgd_subtracts_rate_times_gradient():
    parameters = np.array([1.0, 2.0])
    SGD(0.5).step(parameters, np.array([4.0, -2.0]))
    np.testing.assert_array_equal(parameters, [-1.0, 3.0])


def slow_adam(start, gradients, rate, beta1, beta2, eps):
    """Algorithm 1 of Kingma and Ba, one number at a time; the means as sums over the whole history."""
    p = start
    for t in range(1, len(gradients) + 1):
        m = sum((1 - beta1) * beta1 ** (t - i) * g for i, g in enumerate(gradients[:t], 1))
        v = sum((1 - beta2) * beta2 ** (t - i) * g * g for i, g in enumerate(gradients[:t], 1))
        p = p - rate * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + eps)
    return p


@given(
    gradients=st.lists(st.floats(-10, 10), min_size=1, max_size=8),
    start=st.floats(-5, 5),
    beta1=st.floats(0, 0.99),
    beta2=st.floats(0, 0.999),
)
def test_adam_is_kingma_and_bas_algorithm(gradients, start, beta1, beta2):
    optimizer, parameters = Adam(0.01, beta1, beta2, eps=1e-3), np.array([start])
    for gradient in gradients:
        optimizer.step(parameters, np.array([gradient]))
    assert parameters[0] == pytest.approx(slow_adam(start, gradients, 0.01, beta1, beta2, 1e-3), abs=1e-9)


def test_adams_first_step_has_the_length_of_the_rate():
    parameters = np.zeros(3)
    Adam(0.1).step(parameters, np.array([1e-3, 5.0, -2e4]))
    np.testing.assert_allclose(parameters, [-0.1, -0.1, 0.1], rtol=1e-4)


def test_adam_treats_every_block_alike():
    size = 2 * BLOCK + 17
    gradient = np.random.default_rng(0).standard_normal(size)
    whole, apart = np.ones(size), np.ones(size)
    optimizer, singles = Adam(0.1), [(slice(i, i + 1000), Adam(0.1)) for i in range(0, size, 1000)]
    for _ in range(3):
        optimizer.step(whole, gradient)
        for part, single in singles:
            single.step(apart[part], gradient[part])
    np.testing.assert_array_equal(whole, apart)


def test_zero_gradients_move_nothing():
    for optimizer in (SGD(1.0), Adam(1.0)):
        parameters = np.zeros(5)
        for _ in range(3):
            optimizer.step(parameters, np.zeros(5))
        np.testing.assert_array_equal(parameters, np.zeros(5))


def test_clipping_keeps_the_direction_and_limits_the_length():
    gradients = np.array([3.0, 4.0])
    assert clip_by_global_norm(gradients, 10.0) == 5.0
    np.testing.assert_array_equal(gradients, [3.0, 4.0])
    clip_by_global_norm(gradients, 1.0)
    np.testing.assert_allclose(gradients, [0.6, 0.8])


@pytest.mark.parametrize("rate", [-1e-3, float("nan"), float("inf"), "fast", None, True])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_bad_rates_get_a_clear_error(name, rate):
    with pytest.raises(ValueError, match="learning_rate is .*: give a finite number"):
        make_optimizer(name, rate)


def test_bad_betas_get_a_clear_error():
    with pytest.raises(ValueError, match="beta2 is 1.0: a running mean needs a share below 1"):
        Adam(0.1, beta2=1.0)


def test_unknown_optimizer_names_those_that_exist():
    with pytest.raises(ValueError, match="unknown optimizer 'adamax': choose one of 'sgd', 'adam'"):
        make_optimizer("adamax", 0.1)


def test_fractions_are_numbers_too():
    assert SGD(Fraction(1, 4)).learning_rate == 0.25
