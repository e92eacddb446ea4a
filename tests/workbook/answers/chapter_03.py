"""Answers for chapter 03: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns

from cllm_lib.model.layers import softmax_backward
from cllm_lib.workbook.exercises.chapter_03 import gradient_error, matmul_backward


def neuron(dx=None, dw=None, dh=None):
    """neuron_backward with one line replaced."""

    def backward(x, w, b, target):
        h = w * x + b
        y = math.tanh(h)
        d = (dh or (lambda y, target, h: (y - target) * (1 - y * y)))(y, target, h)
        return (dx or (lambda d, x, w: d * w))(d, x, w), (dw or (lambda d, x, w: d * x))(d, x, w), d

    return backward


def matmul_with(dx=lambda dy, x, w: dy @ w.T, d_weight=lambda dy, x, w: matmul_backward(dy, x, w)[1], order=lambda dx, dw: (dx, dw)):
    """matmul_backward with one line replaced."""
    return lambda dy, x, weight: order(dx(dy, x, weight), d_weight(dy, x, weight))


def each(dy, x, weight=None):
    """The gradient of the weight for each sequence."""
    return x.swapaxes(-1, -2) @ dy


def over_leading(each, way=np.sum):
    return way(each, axis=tuple(range(each.ndim - 2)))


def transposed_by_t(dy, x, weight):
    return over_leading(x.T @ dy)


def by_tensordot(dy, x, weight):
    leading = range(x.ndim - 1)
    return [np.tensordot(dy, weight, (-1, -1)), np.tensordot(x, dy, (leading, leading))]


def matmul_in_loops(dy, x, weight):
    d_weight = np.zeros(weight.shape)
    for place in np.ndindex(x.shape[:-1]):
        d_weight += np.outer(x[place], dy[place])
    return np.einsum("...e,de->...d", dy, weight), d_weight


def softmax_with(shared, factor=lambda w: w):
    return lambda dw, w: factor(w) * (dw - shared(dw, w))


def weighted(dw, w, **options):
    return (dw * w).sum(**{"axis": -1, "keepdims": True, **options})


def relative(analytic, numeric):
    largest = max(np.abs(analytic).max(), np.abs(numeric).max())
    return np.abs(analytic - numeric).max() / largest if largest else 0.0


def checker(upstream=lambda shape: np.random.default_rng(4).standard_normal(shape), slope=None, measure=None, start=np.float64):
    """gradient_error with one decision replaced."""

    def central(f, x, step, eps):
        return (f(x + step) - f(x - step)) / (2 * eps)

    def error(forward, backward, x, eps=1e-6):
        x = np.array(x, dtype=start)
        dy = upstream(np.shape(forward(x)))
        analytic, numeric = backward(dy, x), np.zeros_like(x)
        for index in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[index] = eps
            numeric[index] = np.sum(dy * (slope or central)(forward, x, step, eps))
        return (measure or relative)(analytic, numeric)

    return error


def output_as_upstream(forward, backward, x, eps=1e-6):
    dy = forward(np.array(x, dtype=float))
    return checker(upstream=lambda shape: dy)(forward, backward, x, eps)


def one_hot_after_another(forward, backward, x, eps=1e-6):
    shape = np.shape(forward(x))
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    pairs = []
    for unit in units:
        checker(upstream=lambda shape, unit=unit: unit, measure=lambda a, n: pairs.append((a, n)))(forward, backward, x, eps)
    return relative(*map(np.array, zip(*pairs, strict=True)))


def leaves_it_nudged(forward, backward, x, eps=1e-6):
    dy = np.random.default_rng(0).standard_normal(np.shape(forward(x)))
    analytic, numeric = backward(dy, x), np.empty(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += eps
        above = forward(x)
        x[index] -= 2 * eps
        numeric[index] = np.sum(dy * (above - forward(x))) / (2 * eps)
    return np.abs(analytic - numeric).max() / np.abs(numeric).max()


def keeps_the_integers(forward, backward, x, eps=1e-6):
    dy = np.random.default_rng(0).standard_normal(np.shape(forward(x)))
    analytic, numeric = backward(dy, x), np.empty(x.shape)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] = x[index] + eps
        below[index] = x[index] - eps
        numeric[index] = np.sum(dy * (forward(above) - forward(below))) / (2 * eps)
    largest = max(np.abs(analytic).max(), np.abs(numeric).max())
    return np.abs(analytic - numeric).max() / largest if largest else 0.0


def with_array_shape(forward, backward, x, eps=1e-6):
    forward(x).shape
    return gradient_error(forward, backward, x, eps)


def entry_by_entry(forward, backward, x, eps=1e-6):
    x = np.array(x, dtype=float)
    dy = np.random.default_rng(8).uniform(-1, 1, np.shape(forward(x)))
    analytic, numeric = np.ravel(backward(dy, x)), []
    for i in range(x.size):
        step = eps * np.eye(x.size)[i].reshape(x.shape)
        numeric.append(np.sum(dy * (forward(x + step) - forward(x - step))) / (2 * eps))
    return float(np.max(np.abs(analytic - numeric) / np.maximum(1e-300, np.maximum(np.abs(analytic), np.abs(numeric)))))


def in_place_and_put_back(forward, backward, x, eps=1e-6):
    x = np.array(x, dtype=float)
    dy = np.random.default_rng(8).uniform(-1, 1, np.shape(forward(x)))
    flat, slopes = x.ravel(), []
    analytic = np.ravel(backward(dy, x))
    for i in range(x.size):
        before = flat[i]
        flat[i] = before + eps
        above = np.sum(dy * forward(x))
        flat[i] = before - eps
        slopes.append((above - np.sum(dy * forward(x))) / (2 * eps))
        flat[i] = before
    size = np.linalg.norm([*analytic, *slopes], math.inf)
    return float(np.linalg.norm(analytic - slopes, math.inf) / size) if size else 0


def never_put_back(forward, backward, x, eps=1e-6):
    x = np.array(x, dtype=float)
    dy = np.random.default_rng(4).standard_normal(np.shape(forward(x)))
    analytic, numeric = backward(dy, x.copy()), np.zeros_like(x)
    for index in np.ndindex(x.shape):
        x[index] += eps
        above = forward(x.copy())
        x[index] -= 2 * eps
        numeric[index] = np.sum(dy * (above - forward(x.copy()))) / (2 * eps)
    return np.abs(analytic - numeric).max() / max(np.abs(analytic).max(), np.abs(numeric).max(), 1e-300)


def in_one_direction(forward, backward, x, eps=1e-6):
    generator, x = np.random.default_rng(4), np.array(x, dtype=float)
    dy, way = generator.standard_normal(np.shape(forward(x))), generator.standard_normal(x.shape)
    analytic = np.sum(backward(dy, x) * way)
    numeric = np.sum(dy * (forward(x + eps * way) - forward(x - eps * way))) / (2 * eps)
    return abs(analytic - numeric) / max(abs(analytic), abs(numeric), 1e-300)


WRONG = {
    "03.1": [
        (8, "three whole numbers were asked for"),
        ([8, 2, 9], "9 of eight.*between 0 and 8"),
        ([8, 2.5, 1], "2.5 backward passes.*whole number"),
        ([8, -1, 1], "-1 of eight.*count for all ones"),
        ([8, 2], "three whole numbers were asked for"),
        ([8, float("nan"), 1], "finite number"),
        ([8, 2, ...], "your count for a tolerance of 1e-2 is still open"),
        (["all", "two", "one"], "a number was asked for"),
        ("8, 2, 1", "three whole numbers were asked for"),
        (None, "three whole numbers were asked for"),
        (np.zeros((3, 1)), "three whole numbers were asked for"),
    ],
    "03.2": [
        (neuron(dh=lambda y, target, h: y - target), "The slope of tanh is missing"),
        (neuron(dh=lambda y, target, h: (y - target) * (1 - h * h)), "You put h into tanh's slope"),
        (neuron(dx=lambda d, x, w: d * x, dw=lambda d, x, w: d * w), "exchanged"),
        (neuron(dh=lambda y, target, h: (target - y) * (1 - y * y)), "wrong sign"),
        (neuron(dh=lambda y, target, h: 2 * (y - target) * (1 - y * y)), "the half in the loss"),
        (neuron(dh=lambda y, target, h: (y - target) * (1 - y)), "you wrote 1 - y"),
        (neuron(dh=lambda y, target, h: y * (1 - y * y)), "You used y itself"),
        (neuron(dw=lambda d, x, w: 0.0), "line by line"),
        (lambda x, w, b, target: (1.0, 2.0), "2 things; 3 were asked for"),
        (lambda x, w, b, target: 1.0, "one thing of type float"),
        (lambda x, w, b, target: (1.0, math.nan, 1.0), "dw is nan"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (returns(np.zeros((3, 2))), "shape"),
        (lambda *a: dict(zip(("dx", "dw", "db"), neuron()(*a), strict=True)), "the notebook unpacks 3 values"),
    ],
    "03.3": [
        (matmul_with(dx=lambda dy, x, w: dy @ w if w.shape[0] == w.shape[1] else dy @ w.T), "The weight is not transposed"),
        (matmul_with(order=lambda dx, dw: (dw, dx)), "The two are exchanged"),
        (matmul_with(d_weight=each), "d_weight has shape .2, 3, 3.*collects over all leading axes"),
        (matmul_with(dx=lambda dy, x, w: dy @ w), "The weight is not transposed"),
        (matmul_with(d_weight=lambda dy, x, w: x @ dy), "x is not transposed"),
        (matmul_with(d_weight=lambda dy, x, w: dy @ x), "dy first and does not transpose"),
        (matmul_with(d_weight=lambda dy, x, w: dy.swapaxes(-1, -2) @ x), "d_weight is turned on its side"),
        (matmul_with(d_weight=lambda dy, x, w: over_leading(each(dy, x), np.mean)), "mean over the leading axes"),
        (matmul_with(d_weight=lambda dy, x, w: matmul_backward(dy, x, w)[1] / x[..., 0].size), "mean over the rows"),
        (matmul_with(d_weight=lambda dy, x, w: each(dy, x).reshape(-1, *w.shape)[0]), "of one sequence alone"),
        (matmul_with(d_weight=lambda dy, x, w: each(dy, x).reshape(-1, *w.shape)[-1]), "of the last sequence alone"),
        (
            matmul_with(d_weight=lambda dy, x, w: x.reshape(x.shape[-1], -1) @ dy.reshape(-1, dy.shape[-1])),
            "x is not transposed .reshape alone",
        ),
        (matmul_with(d_weight=lambda dy, x, w: dy.reshape(-1, dy.shape[-1]).T @ w), "made of dy and the weight"),
        (matmul_with(d_weight=transposed_by_t), "turns all axes round"),
        (matmul_with(dx=lambda dy, x, w: w @ dy), "dy first, whose last axis"),
        (matmul_with(dx=lambda dy, x, w: w.T @ dy), "dy first, then the weight, transposed"),
        (matmul_with(dx=lambda dy, x, w: x @ w), "the forward pass"),
        (matmul_with(dx=lambda dy, x, w: dy), "dx is dy itself"),
        (matmul_with(dx=lambda dy, x, w: (dy @ w.T).sum(axis=0)), "dx has shape"),
        (matmul_with(order=lambda dx, dw: (0 * dx, 0 * dw)), "You return zeros"),
        (matmul_with(order=lambda dx, dw: (dx, dw + 1)), "line by line"),
        (matmul_with(order=lambda dx, dw: dx), "it returned one array, of shape"),
        (lambda dy, x, weight: matmul_backward(dy, x, weight)[1], "3\\); 2 things were asked for|of shape"),
        (matmul_with(order=lambda dx, dw: {"dx": dx, "d_weight": dw}), "the notebook unpacks 2 values"),
        (lambda dy, x, weight: np.dot(x, dy), "one array, of shape"),
        (returns(3), "one thing of type int"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "03.4": [
        (lambda dw, w: w * (1 - w) * dw, "each weight on its own"),
        (softmax_with(lambda dw, w: dw.mean(axis=-1, keepdims=True)), "plain mean"),
        (lambda dw, w: np.zeros_like(w), "You return zeros"),
        (lambda dw, w: w * dw, "That is w [*] d_weights"),
        (softmax_with(lambda dw, w: dw.sum(axis=-1, keepdims=True)), "plain sum"),
        (softmax_with(lambda dw, w: (dw * w).sum()), "over the whole array"),
        (softmax_with(lambda dw, w: (dw * w).sum(axis=0)), "over axis 0"),
        (softmax_with(weighted, factor=lambda w: 1.0), "outside the bracket"),
        (softmax_with(lambda dw, w: -weighted(dw, w)), "it is subtracted"),
        (lambda dw, w: -softmax_backward(dw, w), "turned round"),
        (lambda dw, w: w**2 * dw, "line by line"),
        (lambda dw, w: dw[..., 0], "has shape"),
        (lambda dw, w: dw * np.nan, "NaN"),
        (lambda dw, w: "dw", "an array of numbers"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "03.5": [
        (checker(upstream=np.ones), "every entry of your dy is the same"),
        (
            checker(slope=lambda f, x, step, eps: (f(x + step) - f(x - step)) / eps),
            "gets 0.5. It does what the solution does with `eps` in place",
        ),
        (checker(slope=lambda f, x, step, eps: (f(x + step) - f(x)) / eps), "nudge both ways"),
        (checker(measure=lambda a, n: np.abs(a - n).max()), "0.5 is the most"),
        (checker(measure=lambda a, n: np.abs(a - n).mean() / max(np.abs(a).max(), np.abs(n).max(), 1e-30)), "take the largest"),
        (checker(measure=lambda a, n: abs(a - n).ravel()[0] / max(np.abs(a).max(), 1e-30)), "Look at every entry"),
        (checker(measure=lambda a, n: np.abs(np.abs(a) - np.abs(n)).max() / max(np.abs(a).max(), 1e-30)), "wrong sign"),
        (checker(measure=lambda a, n: np.abs(a - n).max() / np.abs(n).max()), "0.5 is the most"),
        (checker(measure=lambda a, n: np.abs(a - n).max() / np.abs(n).max() if n.any() else 1.0), "0.5 is the most"),
        (leaves_it_nudged, "changed its input"),
        (keeps_the_integers, "as integers"),
        (with_array_shape, "'float' object has no attribute 'shape'"),
        (checker(upstream=lambda shape: np.ones(4)), "dy of shape"),
        (lambda forward, backward, x, eps=1e-6: 0.0, "forward was called 0 times"),
        *BROKEN_FUNCTIONS,
        (entry_by_entry, "Do you divide entry by entry"),
        (never_put_back, "the one before put back"),
        (checker(measure=lambda a, n: np.abs(a - n).max() / max(np.abs(a).max(), np.abs(n).max())), "0 / 0 says nothing"),
        (in_one_direction, "Nudge each by itself"),
        (checker(upstream=lambda shape: np.eye(1, math.prod(shape)).reshape(shape)), r"your dy is 0 at \[0, 1\]"),
        (checker(upstream=lambda shape: np.arange(math.prod(shape), dtype=float).reshape(shape)), r"your dy is 0 at \[0, 0\]"),
        (output_as_upstream, r"your dy is 0 at \[1, 2\]"),
        (lambda forward, backward, x, eps=1e-6: gradient_error(forward, backward, x), "Use the argument eps"),
        (checker(measure=lambda a, n: np.abs(a - n).max() / (np.abs(a).max() + np.abs(n).max() + 1e-30)), "not by a sum or a length"),
        (checker(measure=lambda a, n: np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n) + 1e-30)), "not by a sum or a length"),
        (checker(measure=lambda a, n: np.abs(a - n).max() / max(np.abs(a).max(), 1e-30)), "half the size gets 1"),
        (checker(measure=lambda a, n: relative(a.ravel()[:-1], n.ravel()[:-1]) if a.size > 1 else 0.0), r"the entry \[2, 3\] alone"),
        (checker(measure=lambda a, n: np.abs(a - n).sum() / max(np.abs(a).max(), np.abs(n).max(), 1e-30)), "0.5 is the most"),
        (checker(measure=lambda a, n: (a - n).max() / max(np.abs(a).max(), np.abs(n).max(), 1e-30)), "take the largest difference"),
    ],
}

RIGHT = {
    "03.1": [
        [8, 2, 1],
        (0, 0, 0),
        np.array([3, 4, 5], dtype=np.int64),
        np.array([8.0, 8.0, 8.0]),
        {"the shape": 8, "all ones": 0, "a tolerance of 1e-2": 1},
        ["8", 2, 1.0],
    ],
    "03.2": [
        neuron(),
        lambda x, w, b, t: np.array([w, x, 1.0]) * (np.tanh(w * x + b) - t) / np.cosh(w * x + b) ** 2,
    ],
    "03.3": [
        by_tensordot,
        matmul_in_loops,
        matmul_with(d_weight=lambda dy, x, w: over_leading(each(dy, x))),
        lambda dy, x, w: [one.tolist() for one in matmul_backward(dy, x, w)],
        lambda dy, x, w: tuple(one.astype(np.float32) for one in matmul_backward(dy, x, w)),
    ],
    "03.4": [
        softmax_with(weighted),
        lambda dw, w: (w * dw - w * np.einsum("...i,...i->...", dw, w)[..., None]).astype(np.float32),
        lambda dw, w: (dw[..., None, :] @ (np.eye(w.shape[-1]) * w[..., None] - w[..., None] * w[..., None, :]))[..., 0, :],
        lambda dw, w: softmax_backward(dw, w).tolist(),
    ],
    "03.5": [
        checker(),
        in_place_and_put_back,
        one_hot_after_another,
        lambda forward, backward, x, eps=1e-6: np.array([gradient_error(forward, backward, x, eps)]),
        checker(upstream=lambda shape: np.random.default_rng(1).uniform(-2, 3, shape)),
    ],
}

TYPED_WRONG = {
    "03.1": "my_bet = [8, 2, 9]",
    "03.2": "def neuron_backward(x, w, b, target):\n    dy = math.tanh(w * x + b) - target\n    return dy * w, dy * x, dy",
    "03.3": "def matmul_backward(dy, x, weight):\n    return dy @ weight.T, x.swapaxes(-1, -2) @ dy",
    "03.4": "def softmax_backward(d_weights, weights):\n    return weights * (1 - weights) * d_weights",
    "03.5": "def gradient_error(forward, backward, x, eps=1e-6):\n    return np.abs(backward(np.ones(np.shape(forward(x))), x)).max()",
}
