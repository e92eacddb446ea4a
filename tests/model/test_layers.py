import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.stats import norm as normal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cllm_lib.model import activation_functions, layers

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


@given(leading=st.lists(sizes, min_size=1, max_size=2), width=sizes, seed=st.integers(0, 1000))
def test_rms_norm(leading, width, seed):
    generator = np.random.default_rng(seed)
    arrays = tuple(generator.standard_normal(shape) for shape in ((*leading, width), (width,)))

    def reference(x, gain):
        return x / anp.sqrt(anp.mean(x**2, axis=-1, keepdims=True) + 1e-5) * gain

    _check(layers.rms_norm_forward, layers.rms_norm_backward, reference, arrays, generator)


def test_rms_norm_keeps_the_mean_and_does_not_see_a_stretch():
    x = np.array([[3.0, 4.0, 5.0]])
    y, _ = layers.rms_norm_forward(x, np.ones(3), eps=0.0)
    np.testing.assert_allclose(y, x / np.sqrt(50.0 / 3.0))
    np.testing.assert_allclose(layers.rms_norm_forward(7.0 * x, np.ones(3), eps=0.0)[0], y)
    np.testing.assert_allclose(layers.rms_norm_forward(x, np.ones(3), eps=100.0)[0], x / np.sqrt(50.0 / 3.0 + 100.0))
    centred = x - x.mean()  # of mean 0 it is LayerNorm
    expected, _ = layers.layer_norm_forward(x, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(layers.rms_norm_forward(centred, np.ones(3))[0], expected)


@given(leading=st.lists(sizes, min_size=1, max_size=2), width=sizes, inner=sizes, seed=st.integers(0, 1000))
def test_swiglu(leading, width, inner, seed):
    generator = np.random.default_rng(seed)
    arrays = tuple(generator.standard_normal(shape) for shape in ((*leading, width), (width, inner), (width, inner), (inner, width)))

    def reference(x, gate, up, down):
        opened = anp.dot(x, gate)
        return anp.dot(opened / (1.0 + anp.exp(-opened)) * anp.dot(x, up), down)

    _check(layers.swiglu_forward, layers.swiglu_backward, reference, arrays, generator)


def test_through_frozen_weights_x_gets_the_same_gradient_and_they_get_none():
    generator = np.random.default_rng(0)
    x, weight, dy = (generator.standard_normal(shape) for shape in ((2, 3, 4), (4, 5), (2, 3, 5)))
    _, cache = layers.linear_forward(x, weight)
    dx, gradients = layers.frozen_linear_backward(dy, cache)
    np.testing.assert_array_equal(dx, layers.linear_backward(dy, cache)[0])
    assert gradients == {"weight": None, "bias": None}
    maps = [generator.standard_normal(shape) for shape in ((4, 6), (4, 6), (6, 4))]
    _, cache = layers.swiglu_forward(x, *maps)
    dx, gradients = layers.swiglu_backward(x, cache, layers.frozen_linear_backward)
    np.testing.assert_array_equal(dx, layers.swiglu_backward(x, cache)[0])
    assert set(gradients.values()) == {None}


@given(batch=sizes, time=sizes, width=sizes, inner=sizes, seed=st.integers(0, 1000))
def test_feed_forward_with_gelu(batch, time, width, inner, seed):
    generator = np.random.default_rng(seed)
    shapes = ((batch, time, width), (width, inner), (inner,), (inner, width), (width,))
    arrays = tuple(generator.standard_normal(shape) for shape in shapes)

    def forward(*arrays):
        return layers.feed_forward_forward(*arrays, activation=lambda x: (activation_functions.gelu_forward(x), x))

    def backward(dy, cache):
        return layers.feed_forward_backward(dy, cache, activation_functions.gelu_backward)

    def reference(x, w1, b1, w2, b2):
        expanded = anp.dot(x, w1) + b1
        return anp.dot(expanded * normal.cdf(expanded), w2) + b2

    _check(forward, backward, reference, arrays, generator)


def test_a_linear_layer_without_a_bias_adds_nothing():
    generator = np.random.default_rng(0)
    x, weight, dy = (generator.standard_normal(shape) for shape in ((2, 3, 4), (4, 5), (2, 3, 5)))
    y, cache = layers.linear_forward(x, weight)
    expected, other = layers.linear_forward(x, weight, np.zeros(5))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(layers.linear_backward(dy, cache)[0], layers.linear_backward(dy, other)[0])


@given(batch=sizes, time=sizes, width=sizes, inner=sizes, seed=st.integers(0, 1000))
def test_feed_forward(batch, time, width, inner, seed):
    generator = np.random.default_rng(seed)
    shapes = ((batch, time, width), (width, inner), (inner,), (inner, width), (width,))
    arrays = tuple(generator.standard_normal(shape) for shape in shapes)

    def reference(x, w1, b1, w2, b2):
        return anp.dot(anp.tanh(anp.dot(x, w1) + b1), w2) + b2

    _check(layers.feed_forward_forward, layers.feed_forward_backward, reference, arrays, generator)


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


# What a reader hands in


@pytest.mark.parametrize("scores", [[1, 2, 3], np.array([1, 2, 3], dtype=np.int64), [[0, 0], [5, -5]], [True, False]])
def test_softmax_takes_whole_numbers_and_lists(scores):
    exact = layers.softmax(np.array(scores, dtype=np.float64))
    np.testing.assert_array_equal(layers.softmax(scores), exact)
    assert layers.softmax(scores).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_what_it_was_to_the_last_bit(dtype):
    scores = (20 * np.random.default_rng(0).standard_normal((50, 7))).astype(dtype)
    scores[3, 2:] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = weights / weights.sum(axis=-1, keepdims=True)
    assert layers.softmax(scores).dtype == dtype
    np.testing.assert_array_equal(layers.softmax(scores), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_row_that_may_look_at_nothing_gets_zeros_forward_and_backward(dtype, axis):
    scores = np.array([[0, 0], [-np.inf, -np.inf], [-np.inf, 3], [-1e30, -1e30]], dtype=dtype)
    scores = scores if axis else scores.T
    weights = layers.softmax(scores, axis=axis)  # a RuntimeWarning is an error here
    np.testing.assert_array_equal(weights if axis else weights.T, [[0.5, 0.5], [0, 0], [0, 1], [0.5, 0.5]])
    d_scores = layers.softmax_backward(np.full(scores.shape, 7.0, dtype=dtype), weights, axis=axis)
    np.testing.assert_array_equal(d_scores, 0.0)


def test_cross_entropy_takes_whole_numbers_and_lists():
    logits, targets = [[[1, 2, 3], [0, 0, 0]]], [[2, 1]]
    loss, cache = layers.cross_entropy_forward(logits, targets)
    exact, other = layers.cross_entropy_forward(np.array(logits, dtype=float), np.array(targets))
    assert loss == exact
    np.testing.assert_array_equal(layers.cross_entropy_backward(cache), layers.cross_entropy_backward(other))


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([0, -100], r"targets\[1\] is -100, .*no mark for padding, or for a target to be passed over, .*sequences without padding"),
        ([0, -1], "no mark for padding"),
        ([0, 3], r"targets\[1\] is 3, outside the vocabulary of 3 ids .*another corpus"),
        ([0.0, 1.0], "targets have dtype float64: token ids are integers"),
        ([0], r"logits have shape \(2, 3\), targets \(1,\): give one target for each row"),
        ([[0, 1]], r"targets \(1, 2\)"),
    ],
)
def test_targets_that_are_none_get_a_clear_error(targets, words):
    with pytest.raises(ValueError, match=words):
        layers.cross_entropy_forward(np.zeros((2, 3)), targets)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_that_are_all_masked_have_an_infinite_loss_and_no_gradient(dtype):
    logits = np.array([[1.0, 2.0], [-np.inf, -np.inf], [0.0, -np.inf]], dtype=dtype)
    loss, cache = layers.cross_entropy_forward(logits, [0, 1, 1])
    assert loss == np.inf
    gradient = layers.cross_entropy_backward(cache)
    np.testing.assert_array_equal(gradient[1], [0.0, 0.0])
    np.testing.assert_allclose(gradient[2], np.array([1.0, -1.0]) / 3)  # a single impossible target is pushed up, as ever
    assert gradient.dtype == dtype
