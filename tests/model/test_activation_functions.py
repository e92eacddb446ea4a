import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.stats import norm as normal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from cllm_lib.model import activation_functions


@given(hnp.arrays(float, (2, 3), elements=st.floats(-1e4, 1e4)))
def test_the_error_function_is_the_normal_distributions(x):
    np.testing.assert_allclose(activation_functions.erf(x), 2.0 * norm.cdf(x * np.sqrt(2.0)) - 1.0, rtol=1e-12, atol=1e-15)


ELEMENTWISE = {
    "silu": (activation_functions.silu_forward, activation_functions.silu_backward, lambda x: x / (1.0 + anp.exp(-x))),
    "gelu": (activation_functions.gelu_forward, activation_functions.gelu_backward, lambda x: x * normal.cdf(x)),
    "tanh": (lambda x: activation_functions.tanh_forward(x)[0], lambda dy, x: activation_functions.tanh_backward(dy, np.tanh(x)), anp.tanh),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_slopes_are_those_of_the_formula(name, dtype):
    forward, backward, reference = ELEMENTWISE[name]
    x = np.concatenate([np.linspace(-12, 12, 20_001), [0.0, -0.0, 1e-20]]).astype(dtype).reshape(4, -1)
    dy = np.random.default_rng(0).standard_normal(x.shape).astype(dtype)
    exact = autograd.elementwise_grad(reference)(x.astype(np.float64)) * dy
    y, dx = forward(x), backward(dy, x)
    assert (y.dtype, dx.dtype) == (dtype, dtype)
    allowed = {"rtol": 1e-6, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-15}
    np.testing.assert_allclose(y, reference(x.astype(np.float64)), **allowed)
    np.testing.assert_allclose(dx, exact, **allowed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_far_from_0_nothing_overflows(name, dtype):
    forward, backward, _ = ELEMENTWISE[name]
    x = np.array([-3e4, -1000.0, 1000.0, 3e4], dtype)  # a RuntimeWarning is an error here
    limits = {"tanh": (-1.0, 1.0, 0.0)}.get(name, (0.0, x[2:], 1.0))
    np.testing.assert_array_equal(forward(x), np.concatenate([np.full(2, limits[0]), np.broadcast_to(limits[1], 2)]))
    np.testing.assert_array_equal(backward(np.ones_like(x), x), [0.0, 0.0, limits[2], limits[2]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_fills_what_it_is_given(dtype):
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 20_000)).astype(dtype)
    for function, arguments in ((activation_functions.gelu_forward, (x,)), (activation_functions.gelu_backward, (dy, x))):
        out = np.full_like(x, np.nan)
        kept = [array.copy() for array in arguments]
        assert function(*arguments, out=out) is out
        np.testing.assert_array_equal(out, function(*arguments))
        for array, before in zip(arguments, kept, strict=True):
            np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(("dtype", "apart"), [("float32", 5e-7), ("float64", 1e-15)])
def test_gelu_is_x_times_the_normal_distribution(dtype, apart):
    x = np.concatenate([np.linspace(-12, 12, 20_001), [0.0, -0.0, 1e-20, -100.0, 3e4]]).astype(dtype)
    expected = x.astype(np.float64) * norm.cdf(x.astype(np.float64))
    np.testing.assert_allclose(activation_functions.gelu_forward(x), expected, rtol=2e-7 if dtype == "float32" else 1e-12, atol=apart)
    assert activation_functions.gelu_forward(x).dtype == x.dtype
    assert activation_functions.gelu_forward(x[:20_000].reshape(2, 100, 100)[:, ::2]).shape == (2, 50, 100)


def test_gelu_leaves_its_input_alone():
    x = np.ones((3, 4), np.float32)
    activation_functions.gelu_forward(x)
    assert (x == 1).all()
