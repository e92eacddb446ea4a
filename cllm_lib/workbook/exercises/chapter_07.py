"""Exercises of 07_adam."""

import contextlib
import math

import numpy as np

from cllm_lib.workbook.exercises.forms import as_number
from cllm_lib.workbook.exercises.gradients import worst_of
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    call,
    close,
    compared,
    number,
    plain_number,
    run,
    shown,
    told_apart,
)


def rate_factor(answer):
    """A prediction: how many times the rate of 0.001 serves plain gradient descent best?"""
    if answer is None or isinstance(answer, bool):  # both would count as numbers, NaN and 0 or 1
        raise NotYet(f"your factor is {answer}; a number was asked for, such as 10.")
    value = number(answer, "your factor")
    if value <= 0:
        raise NotYet(f"{shown(value)} would stop the descent or turn it round; write a factor above 0, such as 10.")
    return f"{value:g} times 0.001 is {value / 1000:g}. The range test will show."


# Steps that change their arrays in place


def _walk(step, start, gradients, n_states, settings):
    """What `step(parameters, gradients, *states, *settings(t))` leaves in its arrays after all gradients."""
    arrays = [start.copy(), *(np.zeros_like(start) for _ in range(n_states))]
    for t, gradient in enumerate(gradients, 1):
        given = gradient.copy()
        run(step, arrays[0], given, *arrays[1:], *settings(t))
        if not np.array_equal(given, gradient):
            raise NotYet("your function changed the gradients it was given. They belong to the model: compute with a copy.")
    return arrays


def _walk_by_hand(step, start, gradients, n_states, settings):
    """The same with `step` on plain Python numbers, one coordinate after the other: it returns what the arrays should hold."""
    columns = []
    for i, p in enumerate(start.tolist()):
        numbers = (p, *(0.0 for _ in range(n_states)))
        for t, gradient in enumerate(gradients, 1):
            numbers = step(numbers[0], float(gradient[i]), *numbers[1:], *settings(t))
        columns.append(numbers)
    return [np.array(row) for row in zip(*columns, strict=True)]


def _agree(seen, wanted):
    return all(np.allclose(a, b, rtol=1e-7, atol=1e-9) for a, b in zip(seen, wanted, strict=True))


def _examine_step(answer, right, slips, names, gradients, all_settings):
    """Compare a reader's step with `right`; where it differs, look for the slip that explains all it left behind, whatever the settings."""
    start, n_states = np.array([0.7, -1.2, 0.4, 2.0, -0.3]), len(names) - 1
    _moved(answer, names, start, gradients, n_states, all_settings[0])

    def look(settings):
        seen = _walk(answer, start, gradients, n_states, settings)
        wanted = _walk_by_hand(right, start, gradients, n_states, settings)
        mistakes = {}
        for reason, slip in slips.items():
            with contextlib.suppress(ZeroDivisionError, ValueError):  # a root of something negative
                mistakes[reason] = tuple(_walk_by_hand(slip, start, gradients, n_states, settings))
        told = [(name, *pair) for name, *pair in zip(names, seen, wanted, strict=True) if not _agree(pair[:1], pair[1:])]
        first = worst_of(*zip(*told[:1], strict=True), tolerance=0.0) if told else ""
        return f"after {len(gradients)} steps {first}", seen, wanted, mistakes

    told_apart(look, [(settings,) for settings in all_settings], _agree, "Go through it line by line.")


def _moved(answer, names, start, gradients, n_states, settings):
    """Two steps have to change all the arrays, and to leave numbers in them."""
    after_two = _walk(answer, start, gradients[:2], n_states, settings)
    still = [name for name, array in zip(names, after_two, strict=True) if np.array_equal(array, start if name == names[0] else 0 * start)]
    if still:
        raise Unexplained(
            f"{' and '.join(still)} did not change.",
            f"`{still[0]} = ...` makes a new array; `{still[0]}[...] = ...` or `-=` fills the one given.",
        )
    for name, array in zip(names, after_two, strict=True):
        if not np.isfinite(array).all():
            raise Unexplained(
                f"{name} holds NaN or infinity after two steps.", "Was something divided by 0, or a root taken of something negative?"
            )


def momentum_step(parameters, gradients, velocity, rate, momentum=0.9):
    """Reference: v = momentum v + g, then p -= rate v, in place."""
    velocity *= momentum
    velocity += gradients
    parameters -= rate * velocity


def _momentum_by_hand(p, g, v, rate, momentum):
    v = momentum * v + g
    return p - rate * v, v


_MOMENTUM_SLIPS = {
    "The parameters move with the old velocity: the newest gradient comes one step late. Renew the velocity first.": (
        lambda p, g, v, rate, momentum: (p - rate * v, momentum * v + g)
    ),
    "The parameters go uphill. The gradient points to where the loss rises: subtract.": (
        lambda p, g, v, rate, momentum: (p + rate * (momentum * v + g), momentum * v + g)
    ),
    "Your velocity is a running mean, momentum v + (1 - momentum) g, with steps a tenth as long. Here the gradient is added whole.": (
        lambda p, g, v, rate, momentum: (p - rate * (momentum * v + (1 - momentum) * g), momentum * v + (1 - momentum) * g)
    ),
    "The rate is inside your velocity. Another form in use; here the velocity collects gradients, and the rate multiplies it at the end.": (
        lambda p, g, v, rate, momentum: (p - (momentum * v + rate * g), momentum * v + rate * g)
    ),
    "That is Nesterov's form, g + momentum v: it looks a step ahead. Asked for was the plain one, the velocity itself.": (
        lambda p, g, v, rate, momentum: (p - rate * (g + momentum * (momentum * v + g)), momentum * v + g)
    ),
    "The velocity is right and the parameters do not use it: they still move by the gradient alone.": (
        lambda p, g, v, rate, momentum: (p - rate * g, momentum * v + g)
    ),
    "Your velocity forgets nothing: momentum is the share of the old velocity that is kept.": (
        lambda p, g, v, rate, momentum: (p - rate * (v + g), v + g)
    ),
    "Your velocity forgets everything: it is the last gradient. Keep a share, momentum, of the old one.": (
        lambda p, g, v, rate, momentum: (p - rate * g, g)
    ),
    "momentum multiplies the gradient in your velocity. It is the share of the old velocity that is kept: momentum v + g.": (
        lambda p, g, v, rate, momentum: (p - rate * (v + momentum * g), v + momentum * g)
    ),
    "Your velocity holds minus the gradients. A form in use too; here it adds them, and the parameters subtract it.": (
        lambda p, g, v, rate, momentum: (p + rate * (momentum * v - g), momentum * v - g)
    ),
    "Your function does not use its argument momentum: it keeps 0.9 whatever is given.": (
        lambda p, g, v, rate, momentum: _momentum_by_hand(p, g, v, rate, 0.9)
    ),
}


def examine_momentum_step(answer):
    """Three gradients, two settings; velocity and parameters against sums done one by one."""
    gradients = np.random.default_rng(11).standard_normal((3, 5))
    settings = [lambda t: (0.1, 0.9), lambda t: (0.03, 0.6)]
    _examine_step(answer, _momentum_by_hand, _MOMENTUM_SLIPS, ("parameters", "velocity"), gradients, settings)


# Adam


def uncorrected(t, beta1=0.9, beta2=0.999):
    """Reference: m / sqrt(v) after t equal gradients, m and v having started at 0."""
    return (1 - beta1**t) / (1 - beta2**t) ** 0.5


def _uncorrected_by_hand(t, beta1, beta2):
    m = v = 0.0
    for _ in range(t):
        m, v = beta1 * m + (1 - beta1) * 0.37, beta2 * v + (1 - beta2) * 0.37**2
    return m / math.sqrt(v)


def examine_uncorrected(answer):
    """Against m and v renewed t times."""

    def look(t, *betas):
        what = f"uncorrected({', '.join(map(str, (t, *betas)))})"
        value, (beta1, beta2) = plain_number(call(answer, t, *betas), what), betas or (0.9, 0.999)
        expected, m, v = _uncorrected_by_hand(t, beta1, beta2), 1 - beta1**t, 1 - beta2**t
        mistakes = {
            "A length of 1 is what the corrected step has. What are m and v while both are too small?": 1.0,
            "That is how small m is. The step divides by the square root of v, which is too small as well.": m,
            "Upside down: m stands above the line, the root of v below it.": 1 / expected,
            "The square root is missing: Adam divides by sqrt(v).": m / v,
            "The root stands over the whole fraction; it goes over v alone, below the line.": math.sqrt(m / v),
            "That is the first step, right for t = 1 only. How much of g is in m after t steps?": (1 - beta1) / math.sqrt(1 - beta2),
            "beta ** t is the share that is still missing; the share that has arrived is 1 - beta ** t.": beta1**t / math.sqrt(beta2**t),
            "Your function does not use its arguments beta1 and beta2.": _uncorrected_by_hand(t, 0.9, 0.999),
        }
        return compared(what, value, expected), value, expected, mistakes

    hint = "After t equal gradients g, m is (1 - beta1 ** t) g. What is v, and what is m / sqrt(v)?"
    told_apart(look, ((1,), (5,), (40, 0.8, 0.95)), close, hint)


def adam_step(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    """Reference: Kingma and Ba's algorithm 1, in place."""
    m *= beta1
    m += (1 - beta1) * gradients
    v *= beta2
    v += (1 - beta2) * gradients**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    parameters -= rate * m_hat / (np.sqrt(v_hat) + eps)


def _adam_by_hand(**slip):
    """Kingma and Ba's algorithm 1 on plain numbers; `slip` replaces one piece of it."""
    new_m = slip.get("new_m", lambda g, m, beta1: beta1 * m + (1 - beta1) * g)
    new_v = slip.get("new_v", lambda g, m, v, beta2: beta2 * v + (1 - beta2) * g * g)
    correct_m = slip.get("correct_m", lambda m, beta1, t: m / (1 - beta1**t))
    correct_v = slip.get("correct_v", lambda v, beta2, t: v / (1 - beta2**t))
    size = slip.get("size", lambda v, v_hat, beta2, t, eps: math.sqrt(v_hat) + eps)
    numerator = slip.get("numerator", lambda g, m_hat: m_hat)
    settings = slip.get("settings", lambda *given: given)
    outside = slip.get("outside", lambda rate, eps: 0.0)
    stored, sign = slip.get("stored", False), slip.get("sign", -1)

    def step(p, g, m, v, t, rate, beta1, beta2, eps):
        t, rate, beta1, beta2, eps = settings(t, rate, beta1, beta2, eps)
        m = new_m(g, m, beta1)
        v = new_v(g, m, v, beta2)
        m_hat, v_hat = correct_m(m, beta1, t), correct_v(v, beta2, t)
        p = p + sign * (rate * numerator(g, m_hat) / size(v, v_hat, beta2, t, eps) + outside(rate, eps))
        return (p, m_hat, v_hat) if stored else (p, m, v)

    return step


_ADAM_SLIPS = {
    "eps is added after the division. It belongs below the line: put brackets round sqrt(v_hat) + eps.": (
        _adam_by_hand(size=lambda v, v_hat, beta2, t, eps: math.sqrt(v_hat), outside=lambda rate, eps: eps)
    ),
    "eps is added to m_hat / sqrt(v_hat). It belongs below the line: put brackets round sqrt(v_hat) + eps.": (
        _adam_by_hand(size=lambda v, v_hat, beta2, t, eps: math.sqrt(v_hat), outside=lambda rate, eps: rate * eps)
    ),
    "There is no bias correction: m and v start at 0 and are too small at first. Divide by 1 - beta1 ** t and 1 - beta2 ** t.": (
        _adam_by_hand(correct_m=lambda m, beta1, t: m, correct_v=lambda v, beta2, t: v)
    ),
    "v is not corrected. It starts at 0 as m does, and is a thousand times too small at t = 1: divide by 1 - beta2 ** t.": (
        _adam_by_hand(correct_v=lambda v, beta2, t: v)
    ),
    "m is not corrected. It starts at 0 as v does, and is ten times too small at t = 1: divide by 1 - beta1 ** t.": (
        _adam_by_hand(correct_m=lambda m, beta1, t: m)
    ),
    "Your corrections are one step ahead, with t + 1. The first step has t = 1 already.": (
        _adam_by_hand(settings=lambda t, *others: (t + 1, *others))
    ),
    "The corrected m and v were written back. The running means stay as they are; the corrected ones serve this step only.": (
        _adam_by_hand(stored=True)
    ),
    "v collects the gradient, not its square.": _adam_by_hand(new_v=lambda g, m, v, beta2: beta2 * v + (1 - beta2) * g),
    "v collects the absolute value of the gradient; its square was asked for.": (
        _adam_by_hand(new_v=lambda g, m, v, beta2: beta2 * v + (1 - beta2) * abs(g))
    ),
    "v collects the square of m. The square of the gradient itself: m has already averaged the signs away.": (
        _adam_by_hand(new_v=lambda g, m, v, beta2: beta2 * v + (1 - beta2) * m * m)
    ),
    "The parameters go uphill. The gradient points to where the loss rises: subtract.": _adam_by_hand(sign=1),
    "The step uses the gradient instead of the corrected m: that is RMSProp with a correction.": (
        _adam_by_hand(numerator=lambda g, m_hat: g)
    ),
    "The square root is missing: divide by sqrt(v), which has the unit of a gradient.": (
        _adam_by_hand(size=lambda v, v_hat, beta2, t, eps: v_hat + eps)
    ),
    "beta1 and beta2 have changed places: m has the short memory, beta1 = 0.9.": (
        _adam_by_hand(settings=lambda t, rate, beta1, beta2, eps: (t, rate, beta2, beta1, eps))
    ),
    "m is a sum, not a mean: the new gradient enters with weight 1 - beta1.": _adam_by_hand(new_m=lambda g, m, beta1: beta1 * m + g),
    "v is a sum, not a mean: the new square enters with weight 1 - beta2.": (_adam_by_hand(new_v=lambda g, m, v, beta2: beta2 * v + g * g)),
    "eps is inside the root. It is added after it: sqrt(v) + eps, or it counts as sqrt(eps), 0.0001 instead of 0.00000001.": (
        _adam_by_hand(size=lambda v, v_hat, beta2, t, eps: math.sqrt(v_hat + eps))
    ),
    "eps is added to the root of v before the correction: the documents' form, which comes below. Algorithm 1 corrects first.": (
        _adam_by_hand(size=lambda v, v_hat, beta2, t, eps: (math.sqrt(v) + eps) / math.sqrt(1 - beta2**t))
    ),
    "Right with the usual settings, wrong with others. Does your function use all its arguments, beta1, beta2 and eps?": (
        _adam_by_hand(settings=lambda t, rate, *others: (t, rate, 0.9, 0.999, 1e-8))
    ),
    "Right for eps = 1e-8, wrong for a larger one. Use the argument eps, after the root.": (
        _adam_by_hand(settings=lambda t, rate, beta1, beta2, eps: (t, rate, beta1, beta2, 1e-8))
    ),
}


def examine_adam_step(answer):
    """Four gradients, the usual settings and others, with an eps that cannot hide."""
    gradients = np.random.default_rng(12).standard_normal((4, 5)) * np.array([1.0, 0.1, 10.0, 1.0, 0.3])
    settings = [lambda t: (t, 0.01, 0.9, 0.999, 1e-8), lambda t: (t, 0.05, 0.8, 0.95, 0.2)]
    _examine_step(answer, _adam_by_hand(), _ADAM_SLIPS, ("parameters", "m", "v"), gradients, settings)


EXERCISES = {
    "07.1": Exercise(None, rate_factor, bet=True),
    "07.2": Exercise(momentum_step, examine_momentum_step),
    "07.3": Exercise(uncorrected, examine_uncorrected, form=as_number),
    "07.4": Exercise(adam_step, examine_adam_step),
}
