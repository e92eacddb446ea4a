"""Backward passes that are wrong and look right: each returns the shape that was asked for.

Every one stands beside its forward pass, the right backward pass, and an input off zero to try them on.
"""

from dataclasses import dataclass

import numpy as np

from cllm_lib.model.layers import (
    embedding_backward,
    embedding_forward,
    layer_norm_backward,
    layer_norm_forward,
    linear_backward,
    linear_forward,
    softmax,
    softmax_backward,
)

WIDTH = 64
_TOKENS = np.array([[2, 0, 2], [1, 2, 4]], dtype=np.int64)  # token 2 occurs three times, token 3 never
_GENERATOR = np.random.default_rng(3)
_WEIGHT, _BIAS, _GAIN = (_GENERATOR.standard_normal(shape) for shape in ((5, 5), (5,), (WIDTH,)))


@dataclass(frozen=True)
class Wrong:
    """One wrong backward pass.

    Attributes
    ----------
    forward : callable
        `forward(x) -> y`.
    backward, sound : callable
        `backward(dy, x) -> dx`: the wrong one, and the right one.
    x : ndarray
        Where to try them.
    """

    forward: object
    backward: object
    sound: object
    x: np.ndarray


def relu(x):
    """X where it is positive, 0 elsewhere."""
    return np.maximum(x, 0.0)


def relu_slope_from_the_output(dy, x):
    """Asks ReLU's own output whether it is at least 0. It always is; this has stood in a published tutorial."""
    return dy * (relu(x) >= 0)


def _softmax_with(wrong):
    def backward(dy, x):
        return wrong(dy, softmax(x))

    return backward


def _linear(x):
    return linear_forward(x, _WEIGHT, _BIAS)


def _norm(x):
    return layer_norm_forward(x, _GAIN, np.zeros(WIDTH))


def _norm_with_one_less(dy, x):
    """The sample's standard deviation, which divides by n - 1, where the forward pass divided by n."""
    return np.sqrt((WIDTH - 1) / WIDTH) * layer_norm_backward(dy, _norm(x)[1])[0]


def _last_one_wins(dy, table):
    """`out[tokens] += dy` adds once for each distinct token: of a word that occurs twice only the last is kept."""
    out = np.zeros_like(table)
    out[_TOKENS] += dy
    return out


def _x(*shape):
    return np.random.default_rng(5).standard_normal(shape)


def _sound_softmax(dy, x):
    return softmax_backward(dy, softmax(x))


GALLERY = {
    "softmax: zeros": Wrong(softmax, _softmax_with(lambda dw, w: np.zeros_like(w)), _sound_softmax, _x(3, 5)),
    "softmax: each on its own": Wrong(softmax, _softmax_with(lambda dw, w: w * (1 - w) * dw), _sound_softmax, _x(3, 5)),
    "softmax: plain mean": Wrong(
        softmax, _softmax_with(lambda dw, w: w * (dw - dw.mean(axis=-1, keepdims=True))), _sound_softmax, _x(3, 5)
    ),
    "ReLU: output >= 0": Wrong(relu, relu_slope_from_the_output, lambda dy, x: dy * (x > 0), _x(3, 5)),
    "linear: weight not transposed": Wrong(
        lambda x: _linear(x)[0], lambda dy, x: dy @ _WEIGHT, lambda dy, x: linear_backward(dy, _linear(x)[1])[0], _x(3, 5)
    ),
    "residual: one road only": Wrong(
        lambda x: x + np.tanh(x), lambda dy, x: dy * (1 - np.tanh(x) ** 2), lambda dy, x: dy * (2 - np.tanh(x) ** 2), _x(3, 5)
    ),
    "LayerNorm: spread of n - 1": Wrong(
        lambda x: _norm(x)[0], _norm_with_one_less, lambda dy, x: layer_norm_backward(dy, _norm(x)[1])[0], _x(2, WIDTH)
    ),
    "embedding: last one wins": Wrong(
        lambda table: embedding_forward(_TOKENS, table)[0],
        _last_one_wins,
        lambda dy, table: embedding_backward(dy, (_TOKENS, len(table))),
        _x(5, 4),
    ),
}
