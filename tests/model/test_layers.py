import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from cllm_lib.model import layers

FINITE = st.floats(-1e4, 1e4)


@given(hnp.arrays(float, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FINITE))
def test_softmax_weights_are_positive_and_sum_to_one(scores):
    weights = layers.softmax(scores)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-12)


@given(hnp.arrays(float, (2, 5), elements=st.floats(-50, 50)), st.floats(-1e3, 1e3))
def test_softmax_ignores_a_common_shift(scores, shift):
    np.testing.assert_allclose(layers.softmax(scores + shift), layers.softmax(scores), rtol=1e-9, atol=1e-12)


def test_softmax_gives_masked_scores_no_weight():
    weights = layers.softmax(np.array([[1.0, -np.inf, 1.0]]))
    np.testing.assert_array_equal(weights, [[0.5, 0.0, 0.5]])


@pytest.mark.parametrize("logits", [[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]])
@pytest.mark.parametrize("target", [0, 1])
def test_cross_entropy_survives_extreme_logits(logits, target):
    from mpmath import exp, log, mpf

    exact = log(sum(exp(mpf(z)) for z in logits)) - mpf(logits[target])
    loss, _ = layers.cross_entropy_forward(np.array([logits]), np.array([target]))
    assert loss == pytest.approx(float(exact), abs=1e-9)


def test_cross_entropy_of_one_class_is_zero():
    loss, cache = layers.cross_entropy_forward(np.array([[3.0]]), np.array([0], dtype=np.int64))
    assert loss == 0.0
    assert layers.cross_entropy_backward(cache) == [[0.0]]


def _check(forward, backward, reference, arrays, generator):
    """A layer's gradients against automatic differentiation, with a random upstream gradient."""
    y, cache = forward(*arrays)
    upstream = generator.standard_normal(y.shape)
    dx, gradients = backward(upstream, cache)
    expected = autograd.grad(lambda parts: anp.sum(reference(*parts) * upstream))(arrays)
    np.testing.assert_allclose(y, reference(*arrays), rtol=1e-12, atol=1e-12)
    for actual, wanted in zip((dx, *gradients.values()), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-10, atol=1e-11)


sizes = st.integers(1, 5)


@given(leading=st.lists(sizes, min_size=1, max_size=2), n=sizes, m=sizes, seed=st.integers(0, 1000))
def test_linear(leading, n, m, seed):
    generator = np.random.default_rng(seed)
    arrays = tuple(generator.standard_normal(shape) for shape in ((*leading, n), (n, m), (m,)))
    _check(layers.linear_forward, layers.linear_backward, lambda x, w, b: anp.dot(x, w) + b, arrays, generator)


@given(leading=st.lists(sizes, min_size=1, max_size=2), width=st.integers(2, 7), seed=st.integers(0, 1000))
def test_layer_norm(leading, width, seed):
    generator = np.random.default_rng(seed)
    arrays = tuple(generator.standard_normal(shape) for shape in ((*leading, width), (width,), (width,)))

    def reference(x, gain, bias):
        mean = anp.mean(x, axis=-1, keepdims=True)
        return (x - mean) / anp.sqrt(anp.mean((x - mean) ** 2, axis=-1, keepdims=True) + 1e-5) * gain + bias

    _check(layers.layer_norm_forward, layers.layer_norm_backward, reference, arrays, generator)


@given(batch=sizes, time=sizes, width=sizes, inner=sizes, seed=st.integers(0, 1000))
def test_feed_forward(batch, time, width, inner, seed):
    generator = np.random.default_rng(seed)
    shapes = ((batch, time, width), (width, inner), (inner,), (inner, width), (width,))
    arrays = tuple(generator.standard_normal(shape) for shape in shapes)

    def reference(x, w1, b1, w2, b2):
        return anp.dot(anp.tanh(anp.dot(x, w1) + b1), w2) + b2

    _check(layers.feed_forward_forward, layers.feed_forward_backward, reference, arrays, generator)


@pytest.mark.parametrize(("dtype", "apart"), [("float32", 5e-7), ("float64", 1e-15)])
def test_gelu_is_x_times_the_normal_distribution(dtype, apart):
    x = np.concatenate([np.linspace(-12, 12, 20_001), [0.0, -0.0, 1e-20, -100.0, 3e4]]).astype(dtype)
    expected = x.astype(np.float64) * norm.cdf(x.astype(np.float64))
    np.testing.assert_allclose(layers.gelu_forward(x), expected, rtol=2e-7 if dtype == "float32" else 1e-12, atol=apart)
    assert layers.gelu_forward(x).dtype == x.dtype
    assert layers.gelu_forward(x[:20_000].reshape(2, 100, 100)[:, ::2]).shape == (2, 50, 100)


def test_gelu_leaves_its_input_alone():
    x = np.ones((3, 4), np.float32)
    layers.gelu_forward(x)
    assert (x == 1).all()


@given(
    tokens=hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 5)),
    seed=st.integers(0, 1000),
)
def test_embedding_backward_adds_up_repeated_tokens(tokens, seed):
    generator = np.random.default_rng(seed)
    dx = generator.standard_normal((*tokens.shape, 3))
    share = generator.standard_normal((6, 3))
    expected = share.copy()
    np.add.at(expected, tokens, dx)
    _, cache = layers.embedding_forward(tokens, np.zeros((6, 3)))
    np.testing.assert_allclose(layers.embedding_backward(dx, cache, out=share.copy()), expected, atol=1e-12)
    np.testing.assert_allclose(layers.embedding_backward(dx, cache), expected - share, atol=1e-12)
