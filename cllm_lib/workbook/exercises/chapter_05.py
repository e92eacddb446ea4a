"""Exercises of 05_where_gradients_come_from."""

import itertools
import math
from functools import partial

import numpy as np

from cllm_lib.model.layers import softmax
from cllm_lib.workbook.exercises import forms
from cllm_lib.workbook.exercises.gradients import BACKWARDS, GRADIENT_SHAPE, measured_slope, same_results, several, worst_of
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    array,
    call,
    close,
    number,
    shown,
    told_apart,
)
from cllm_lib.workbook.exercises.matrix_product import examine_matmul_backward, matmul_backward
from cllm_lib.workbook.gallery import GALLERY

_NEURON = ("dx", "dw", "db")
CHECKS = ("the shape", "all ones", "a tolerance of 1e-2")


def examine_counts(answer):
    """A prediction: how many of the eight wrong ones each check lets pass."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, str) or np.ndim(answer) != 1 or len(answer) != len(CHECKS):
        raise NotYet(f"three whole numbers were asked for, such as [5, 5, 5]: how many pass {', '.join(CHECKS)}.")
    counts = []
    for check, entry in zip(CHECKS, answer, strict=True):
        count = number(entry, f"your count for {check}")
        if count != int(count):
            raise NotYet(f"{shown(count)} backward passes? A whole number, please: each of the eight passes or is caught.")
        if not 0 <= count <= len(GALLERY):
            raise NotYet(f"{int(count)} of eight? Your count for {check} has to lie between 0 and 8.")
        counts.append(f"{int(count)} of 8 pass {check}")
    return f"{', '.join(counts)}. The gallery of this chapter will decide."


def neuron_backward(x, w, b, target):
    """Reference: the three lines of the forward pass in reverse."""
    y = math.tanh(w * x + b)
    dy = y - target
    dh = dy * (1 - y * y)
    return dh * w, dh * x, dh


def examine_neuron_backward(answer):
    """Against slopes measured by nudging; the values are such that no two slips agree."""

    def look(x, w, b, target):
        values = several(call(answer, x, w, b, target), 3, _NEURON)
        found = [number(value, name) for value, name in zip(values, _NEURON, strict=True)]
        right = [measured_slope(partial(_neuron, [x, w, b], i, target), [x, w, b][i]) for i in range(3)]
        h = w * x + b
        y = math.tanh(h)
        dy, slope = y - target, 1 - y * y
        mistakes = {
            "Right size, wrong sign: the loss falls while y comes nearer to the target, so dy = y - target.": [-e for e in right],
            "The slope of tanh is missing: dh = dy * (1 - y * y).": [dy * w, dy * x, dy],
            "You put h into tanh's slope. 1 - y * y takes tanh's output, y.": [dy * (1 - h * h) * f for f in (w, x, 1)],
            "dx and dw are exchanged: h = w x + b grows by w for each unit of x, and by x for each unit of w.": [
                right[1],
                right[0],
                right[2],
            ],
            "Twice what was asked for: the half in the loss takes the 2 away.": [2 * e for e in right],
            "The slope of tanh is 1 - y * y; you wrote 1 - y.": [dy * (1 - y) * f for f in (w, x, 1)],
            "You used y itself for dy. How fast does (y - target)^2 / 2 grow with y?": [y * slope * f for f in (w, x, 1)],
        }
        return worst_of(_NEURON, found, right), found, right, {reason: tuple(results) for reason, results in mistakes.items()}

    told_apart(look, ((0.7, -1.3, 0.4, 0.9), (2.0, 0.5, -0.3, -1.0), (-1.5, 0.8, 0.1, 0.25)), same_results, BACKWARDS)


def _neuron(inputs, i, target, value):
    x, w, b = (*inputs[:i], value, *inputs[i + 1 :])
    return (math.tanh(w * x + b) - target) ** 2 / 2


def softmax_backward(d_weights, weights):
    """Reference: the weights of a row share one total."""
    shared = (d_weights * weights).sum(axis=-1, keepdims=True)
    return weights * (d_weights - shared)


def examine_softmax_backward(answer):
    """Against the Jacobian, entry by entry."""
    generator = np.random.default_rng(11)

    def look(*shape):
        weights, dw = softmax(generator.standard_normal(shape)), generator.standard_normal(shape)
        if shape == (6, 2):
            weights[0] = (0.0, 1.0)  # a masked key
        found = array(call(answer, dw, weights), shape, "the result", GRADIENT_SHAPE)
        right = np.zeros(shape)
        for *row, i, j in itertools.product(*map(range, shape), range(shape[-1])):
            jacobian = weights[*row, j] * ((i == j) - weights[*row, i])
            right[*row, i] += dw[*row, j] * jacobian
        return worst_of(["the result"], [found], [right]), (found,), (right,), _softmax_slips(dw, weights, right)

    told_apart(look, ((2, 3, 5), (4,), (6, 2), (1, 1)), same_results, BACKWARDS)


def _softmax_slips(dw, weights, right):
    """What one gets by plausible mistakes: a reason and the result."""

    def shared(array, axis=-1):
        return array.sum(axis=axis, keepdims=True)

    slips = {
        "That is w (1 - w) d_weights, each weight on its own. The weights share one total: what one gains the others lose.": (
            weights * (1 - weights) * dw
        ),
        "That is w * d_weights. What is subtracted because the weights share one total?": weights * dw,
        "You return zeros. The rows sum to 1, but d_weights is not the same for all of them.": np.zeros(dw.shape),
        "You subtract the plain mean of d_weights; it is the mean weighted with w, sum(w * d_weights).": (
            weights * (dw - dw.mean(axis=-1, keepdims=True))
        ),
        "You subtract the plain sum of d_weights; each term wants its weight, sum(w * d_weights).": weights * (dw - shared(dw)),
        "Your sum runs over the whole array. Each row shares a total of its own: sum(axis=-1, keepdims=True).": (
            weights * (dw - shared(weights * dw, None))
        ),
        "Your sum runs over axis 0. A row's weights lie along the last axis.": weights * (dw - shared(weights * dw, 0)),
        "The factor w outside the bracket is missing.": dw - shared(weights * dw),
        "The sign of the shared part: it is subtracted.": weights * (dw + shared(weights * dw)),
        "The sign: all is turned round.": -right,
    }
    return {reason: (result,) for reason, result in slips.items()}


def gradient_error(forward, backward, x, eps=1e-6):
    """Reference: a random upstream gradient, central differences, the largest difference over the largest gradient."""
    x = np.array(x, dtype=float)
    dy = np.random.default_rng(0).standard_normal(np.shape(forward(x)))
    analytic, numeric = backward(dy, x), np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = eps
        numeric[index] = np.sum(dy * (forward(x + step) - forward(x - step))) / (2 * eps)
    largest = max(np.abs(analytic).max(), np.abs(numeric).max())
    return np.abs(analytic - numeric).max() / largest if largest > 0 else 0.0


class _Cubes:
    """y = scale * x^3, remembering its calls, with a backward pass that one can spoil, and that remembers which dy it was given."""

    def __init__(self, scale=1.0, spoil=lambda gradient: gradient):
        self.upstream, self.seen = [], []

        def forward(x):
            self.seen.append(np.array(x, dtype=float))
            return scale * x * x * x

        def backward(dy, x):
            self.upstream.append(np.array(dy, dtype=float))
            return spoil(3 * scale * dy * x * x)

        self.forward, self.backward = forward, backward


def examine_gradient_error(answer):
    """Sound passes must get a tiny number, wrong ones a large one, whatever their scale and wherever the error sits."""
    generator = np.random.default_rng(13)
    x = generator.uniform(0.6, 1.4, (3, 4)) * generator.choice([-1.0, 1.0], (3, 4))

    def error(cubes, at=x, **options):
        return number(call(lambda *given: answer(*given, **options), cubes.forward, cubes.backward, at), "the error")

    if not callable(answer):
        call(answer)
    _examine_sound(error, x)
    _examine_coarse(answer)
    value = error(_Cubes(spoil=lambda g: 2 * g))
    _caught(value, "a gradient twice too large")
    if value > 0.501:
        raise Unexplained(
            f"a gradient twice too large gets {shown(value)}; 0.5 is the most.", "The largest difference, over the largest entry of either."
        )
    _examine_scales(error)
    _examine_entries(error, x)
    flat_spot = x.copy()
    flat_spot[1, 2] = 0.0  # there the slope of x^3 is 0, and nudging measures eps^2
    there = _Cubes()
    value = error(there, at=flat_spot)
    _examine_upstream(there)
    if value > 1e-6:
        raise Unexplained(
            f"x^3 with its right gradient, 0 at one entry and large at the others, gets {value:.0e}.",
            "Do you divide entry by entry? Divide by the largest of all.",
        )
    _caught(error(_Cubes(spoil=lambda g: -g)), "a gradient with the wrong sign")
    _caught(
        number(call(answer, softmax, lambda dy, x: np.zeros_like(x), x), "the error"),
        "a softmax backward that returns zeros",
    )
    _examine_size(error)
    _examine_edges(answer, error)


def _examine_size(error):
    """What is divided by: the largest entry of either side, and nothing else."""
    value = error(_Cubes(spoil=lambda g: 0.5 * g))
    if value > 0.501:
        raise Unexplained(f"a gradient of half the size gets {shown(value)}; 0.5 is the most.", "Divide by the largest entry of either.")
    for spoil, what in ((lambda g: 2 * g, "a gradient twice too large"), (lambda g: 0.5 * g, "a gradient of half the size")):
        value = error(_Cubes(spoil=spoil))
        if value < 0.499:
            raise Unexplained(
                f"{what} gets {shown(value)}; 0.5 was asked for.", "Divide by the largest entry of either, not by a sum or a length."
            )


def _examine_entries(error, x):
    """One entry is wrong, each in its turn."""

    def one_wrong(place, by):
        def spoil(gradient):
            gradient = gradient.copy()
            place_of = np.argmax(np.abs(gradient)) if place is None else place
            gradient.flat[place_of] += by * np.abs(gradient).max() * (1 if gradient.flat[place_of] >= 0 else -1)
            return gradient

        return spoil

    value = error(_Cubes(spoil=one_wrong(None, 0.5)))
    if value < 0.05:
        raise Unexplained(
            f"one of 12 entries was wrong by half, and the error is {value:.1e}.", "Look at every entry, and take the largest difference."
        )
    for place in range(x.size):
        value = error(_Cubes(spoil=one_wrong(place, 1.0)))
        if value < 0.05:
            at = list(map(int, np.unravel_index(place, x.shape)))
            raise Unexplained(
                f"the entry {at} alone was wrong, and the error is {value:.1e}.", "Look at every entry, the first and the last too."
            )


def _examine_upstream(cubes):
    """Nothing can hide where no dy is 0. (Several may be used, one entry after another.)"""
    reached = np.abs(cubes.upstream).max(axis=0)
    hidden = np.argwhere(reached <= 1e-9 * reached.max())
    if len(hidden):
        raise NotYet(
            f"your dy is 0 at {hidden[0].tolist()}, and whatever is wrong with that entry of y stays hidden. Draw all of dy at random, "
            "whatever y is."
        )


def _examine_sound(error, x):
    """A right gradient, a dy that is worth its name, and each slope measured both ways."""
    sound = _Cubes()
    value = error(sound)
    if sound.upstream and any(dy.shape != x.shape for dy in sound.upstream):
        raise NotYet(
            f"backward was given a dy of shape {sound.upstream[0].shape}; the output has {x.shape}. dy has the shape of forward(x)."
        )
    if len(sound.seen) < x.size:
        raise NotYet(
            f"forward was called {len(sound.seen)} times for {x.size} entries of x. Nudge each by itself: every entry has a slope."
        )
    if sound.upstream and all(dy.size > 1 and np.ptp(dy) == 0 for dy in sound.upstream):
        raise NotYet(
            "every entry of your dy is the same. A softmax's rows sum to 1 whatever goes in, so its backward may return zeros "
            "and pass. Draw dy at random."
        )
    _examine_upstream(sound)
    if close(value, 0.5, 1e-3):
        raise Unexplained(
            "y = x^3 with its right gradient gets 0.5.", "Are your slopes twice as steep, or half? From x - eps to x + eps it is 2 eps."
        )
    wide = _Cubes()
    error(wide, eps=0.1)
    if np.ptp(wide.seen, axis=0).max() < 0.01:
        raise NotYet("with eps = 0.1 it nudges by less than 0.01. Use the argument eps.")
    coarse = error(_Cubes(), eps=1e-3)
    if 1e-4 < coarse < 0.1:
        raise Unexplained(
            f"y = x^3 with its right gradient and eps = 0.001 gets {coarse:.0e}; central differences reach 1e-6.",
            "Do you nudge both ways? (f(x + eps) - f(x - eps)) / (2 eps).",
        )
    if value > 1e-7:
        raise Unexplained(
            f"y = x^3 with its right gradient gets {value:.1e}; it should be below 1e-7.",
            "Is the same dy used on both sides, each nudge put back before the next, and the slope (f(x + eps) - f(x - eps)) / (2 eps)?",
        )


def _examine_coarse(answer):
    """With entries that depend on each other, and a nudge that is large enough to be seen where it was left behind."""
    x = np.array([0.5, -1.5, 2.0, 1.2])

    def backward(dy, x):
        return 2 * dy * x * x[::-1] + (dy * x * x)[::-1]

    value = number(call(partial(answer, eps=1e-3), lambda x: x * x * x[::-1], backward, x), "the error")
    if value > 1e-5:
        raise Unexplained(
            f"y[i] = x[i]^2 x[-1 - i] with its right gradient and eps = 0.001 gets {value:.0e}; it should be below 1e-5.",
            "Does every nudge begin from x itself, the one before put back?",
        )


def _examine_scales(error):
    for scale, spoil in ((1e-7, lambda g: 2 * g), (1e7, lambda g: g)):
        value = error(_Cubes(scale, spoil))
        if (spoil(1) == 2 and value < 1e-2) or (spoil(1) == 1 and value > 1e-6):
            raise Unexplained(
                f"the same function times {scale:.0e} {'with a gradient twice too large' if spoil(1) == 2 else 'with its right gradient'} "
                f"gets {value:.0e}.",
                "An absolute difference depends on the scale: divide by the largest gradient.",
            )


def _caught(value, what):
    if not value > 0.05:
        raise Unexplained(f"{what} gets {value:.1e}: your check lets it pass.")


def _examine_edges(answer, error):
    """A loss instead of an array, gradients that are all 0, integers."""

    def loss(x):
        return float(np.sum(x * x * x))

    value = number(call(answer, loss, lambda dy, x: 3 * dy * x * x, np.array([0.5, -1.5])), "the error")
    if value > 1e-6:
        raise Unexplained(f"where y is a single number, the sum of x^3, the right gradient gets {value:.1e}.", "np.shape(y) is () there.")
    try:
        value = error(_Cubes(0.0))
    except Unexplained as reason:
        raise Unexplained(f"where everything is 0: {reason.seen}", "0 / 0 says nothing; return 0.0 there.") from None
    if value != 0.0:
        raise Unexplained(f"where gradient and slopes are all 0 you return {shown(value)}; 0.0 was asked for.")
    value = error(_Cubes(), at=np.array([[1, 2, -3]], dtype=np.int64))
    if value > 1e-6:
        raise Unexplained(
            f"x = [1, 2, -3] as integers gets {value:.1e}.",
            "An integer array stores 1.000001 as 1. Begin with x = np.array(x, dtype=float).",
        )


EXERCISES = {
    "05.1": Exercise(None, examine_counts, bet=True),
    "05.2": Exercise(neuron_backward, examine_neuron_backward, form=forms.several(forms.as_number, forms.as_number, forms.as_number)),
    "05.3": Exercise(matmul_backward, examine_matmul_backward, form=forms.several(forms.as_array, forms.as_array)),
    "05.4": Exercise(softmax_backward, examine_softmax_backward, form=forms.as_array),
    "05.5": Exercise(gradient_error, examine_gradient_error, form=forms.as_number),
}
