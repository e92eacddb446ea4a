"""Answers for chapter 07: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
import sympy
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns

BROKEN_STEPS = [
    (raises, "it raised KeyError"),
    (returns(None), "did not change"),
    (lambda parameters, gradients, *rest: parameters.fill(np.nan) or [a.fill(np.nan) for a in rest[:2] if np.ndim(a)], "NaN"),
    (lambda parameters: parameters, "it raised TypeError"),
    (0.1, "a function was asked for"),
    (None, "a function was asked for"),
]


# 07.2


def momentum(renew=lambda v, g, k: k * v + g, move=lambda p, v, g, rate, k: p - rate * v, early=False):
    def step(parameters, gradients, velocity, rate, momentum=0.9):
        old = velocity.copy()
        velocity[...] = renew(old, gradients, momentum)
        parameters[...] = move(parameters, old if early else velocity, gradients, rate, momentum)

    return step


def momentum_rebinds(parameters, gradients, velocity, rate, momentum=0.9):
    velocity = momentum * velocity + gradients
    parameters = parameters - rate * velocity
    return parameters, velocity


def momentum_rebinds_the_velocity(parameters, gradients, velocity, rate, momentum=0.9):
    velocity = momentum * velocity + gradients
    parameters -= rate * velocity


def momentum_in_the_gradients(parameters, gradients, velocity, rate, momentum=0.9):
    gradients += momentum * velocity
    velocity[...] = gradients
    parameters -= rate * velocity


def momentum_one_by_one(parameters, gradients, velocity, rate, momentum=0.9):
    for i in range(len(parameters)):
        velocity[i] = momentum * velocity[i] + gradients[i]
        parameters[i] -= rate * velocity[i]
    return parameters


def momentum_through_out(parameters, gradients, velocity, rate, momentum=0.9):
    np.add(np.multiply(velocity, momentum, out=velocity), gradients, out=velocity)
    np.subtract(parameters, rate * velocity, out=parameters)


# 07.4


def adam(
    new_m=lambda m, g, b: b * m + (1 - b) * g,
    new_v=lambda v, g, m, b: b * v + (1 - b) * g**2,
    clocks=lambda t: (t, t),
    size=lambda v, v_hat, eps, root: np.sqrt(v_hat) + eps,
    numerator=lambda m_hat, g: m_hat,
    sign=-1,
    given=lambda rate, b1, b2, eps: (rate, b1, b2, eps),
    store=False,
):
    def step(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
        rate, beta1, beta2, eps = given(rate, beta1, beta2, eps)
        m[...] = new_m(m, gradients, beta1)
        v[...] = new_v(v, gradients, m, beta2)
        t1, t2 = clocks(t)
        m_hat, v_hat = m / np.subtract(1, beta1**t1), v / np.subtract(1, beta2**t2)
        parameters += sign * rate * numerator(m_hat, gradients) / size(v, v_hat, eps, np.sqrt(1 - beta2**t))
        if store:
            m[...], v[...] = m_hat, v_hat

    return step


def adam_rebinds(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * gradients
    v = beta2 * v + (1 - beta2) * gradients**2
    parameters -= rate * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return parameters, m, v


def adam_corrects_in_place(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    m[...] = beta1 * m + (1 - beta1) * gradients
    v[...] = beta2 * v + (1 - beta2) * gradients**2
    m /= 1 - beta1**t
    v /= 1 - beta2**t
    parameters -= rate * m / (np.sqrt(v) + eps)


def adam_eps_outside(times_rate):
    def step(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
        m[...] = beta1 * m + (1 - beta1) * gradients
        v[...] = beta2 * v + (1 - beta2) * gradients**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        parameters -= rate * (m_hat / np.sqrt(v_hat) + eps) if times_rate else rate * m_hat / np.sqrt(v_hat) + eps

    return step


def adam_squares_the_gradient_in_place(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    m[...] = beta1 * m + (1 - beta1) * gradients
    gradients *= gradients
    v[...] = beta2 * v + (1 - beta2) * gradients
    parameters -= rate * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)


def adam_one_by_one(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    for i, g in enumerate(gradients):
        m[i] = beta1 * m[i] + (1 - beta1) * g
        v[i] = beta2 * v[i] + (1 - beta2) * g * g
        parameters[i] -= rate * (m[i] / (1 - beta1**t)) / (math.sqrt(v[i] / (1 - beta2**t)) + eps)


def adam_with_one_rate(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    np.add(beta1 * m, (1 - beta1) * gradients, out=m)
    np.add(beta2 * v, (1 - beta2) * np.square(gradients), out=v)
    root = math.sqrt(1 - beta2**t)
    parameters -= rate * root / (1 - beta1**t) * m / (np.sqrt(v) + eps * root)
    return parameters, m, v


def all_but_the_last(parameters, gradients, velocity, rate, momentum=0.9):
    velocity[:-1] = momentum * velocity[:-1] + gradients[:-1]
    parameters[:-1] -= rate * velocity[:-1]


WRONG = {
    "07.1": [
        (0, "would stop the descent"),
        (-10, "write a factor above 0"),
        ("a hundred", "a number was asked for"),
        (None, "your factor is None; a number"),
        (True, "your factor is True; a number"),
        (float("nan"), "finite number"),
        (np.zeros(3), "one number"),
    ],
    "07.2": [
        (all_but_the_last, r"parameters\[4\] is"),
        (momentum_rebinds, "parameters and velocity did not change"),
        (momentum(early=True), "with the old velocity"),
        (momentum(renew=lambda v, g, k: k * v + (1 - k) * g), "running mean"),
        (momentum_rebinds_the_velocity, "velocity did not change"),
        (momentum(move=lambda p, v, g, rate, k: p + rate * v), "go uphill"),
        (lambda p, g, v, rate, momentum=0.9: (np.multiply(v, momentum, out=v), v.__iadd__(rate * g), p.__isub__(v)), "rate is inside"),
        (momentum(move=lambda p, v, g, rate, k: p - rate * (g + k * v)), "Nesterov"),
        (momentum(move=lambda p, v, g, rate, k: p - rate * g), "parameters do not use it"),
        (momentum(renew=lambda v, g, k: v + g), "forgets nothing"),
        (momentum(renew=lambda v, g, k: g), "forgets everything"),
        (momentum(renew=lambda v, g, k: v + k * g), "momentum multiplies the gradient"),
        (momentum(renew=lambda v, g, k: k * v - g, move=lambda p, v, g, rate, k: p + rate * v), "minus the gradients"),
        (momentum(renew=lambda v, g, k: 0.9 * v + g), "does not use its argument momentum"),
        (momentum(renew=lambda v, g, k: k * v + 2 * g), r"velocity\[\d\] is|parameters\[\d\] is"),
        (momentum_in_the_gradients, "changed the gradients"),
        *BROKEN_STEPS,
    ],
    "07.3": [
        (lambda t, beta1=0.9, beta2=0.999: 1.0, "A length of 1"),
        (lambda t, beta1=0.9, beta2=0.999: 1 - beta1**t, "how small m is"),
        (lambda t, beta1=0.9, beta2=0.999: (1 - beta1**t) / (1 - beta2**t), "square root is missing"),
        (lambda t, beta1=0.9, beta2=0.999: math.sqrt((1 - beta1**t) / (1 - beta2**t)), "over the whole fraction"),
        (lambda t, beta1=0.9, beta2=0.999: math.sqrt(1 - beta2**t) / (1 - beta1**t), "Upside down"),
        (lambda t, beta1=0.9, beta2=0.999: (1 - beta1) / math.sqrt(1 - beta2), "right for t = 1 only"),
        (lambda t, beta1=0.9, beta2=0.999: beta1**t / beta2 ** (t / 2), "share that is still missing"),
        (lambda t, beta1=0.9, beta2=0.999: (1 - 0.9**t) / math.sqrt(1 - 0.999**t), "arguments beta1 and beta2"),
        (lambda t, beta1=0.9, beta2=0.999: (1 - beta1 ** (t - 1)) / math.sqrt(1 - beta2 ** (t - 1)), "ZeroDivisionError"),
        (lambda t, beta1=0.9, beta2=0.999: (1 - beta1**t) / math.sqrt(1 - beta2**t) + 0.1, "What is v"),
        (lambda t: (1 - 0.9**t) / math.sqrt(1 - 0.999**t), "it raised TypeError"),
        (lambda t, beta1=0.9, beta2=0.999: str((1 - beta1**t) / math.sqrt(1 - beta2**t)), "is the text"),
        (lambda t, beta1=0.9, beta2=0.999: np.array([(1 - beta1**t) / math.sqrt(1 - beta2**t)]), "a ndarray with one number in it"),
        *BROKEN_FUNCTIONS,
    ],
    "07.4": [
        (adam(clocks=lambda t: (np.inf, np.inf)), "no bias correction"),
        (adam(size=lambda v, v_hat, eps, root: np.sqrt(v_hat + eps)), "eps is inside the root"),
        (adam_eps_outside(times_rate=False), "eps is added after the division"),
        (adam_eps_outside(times_rate=True), "eps is added to m_hat"),
        (adam(new_v=lambda v, g, m, b: b * v + (1 - b) * g), "NaN|not its square"),
        (adam(clocks=lambda t: (t - 1, t - 1)), "NaN"),
        (adam(clocks=lambda t: (t, np.inf)), "v is not corrected"),
        (adam(clocks=lambda t: (np.inf, t)), "m is not corrected"),
        (adam(clocks=lambda t: (t + 1, t + 1)), "one step ahead"),
        (adam(new_v=lambda v, g, m, b: b * v + (1 - b) * m**2), "square of m"),
        (adam(new_v=lambda v, g, m, b: b * v + (1 - b) * abs(g)), "absolute value of the gradient"),
        (adam(sign=1), "go uphill"),
        (adam(numerator=lambda m_hat, g: g), "instead of the corrected m"),
        (adam(size=lambda v, v_hat, eps, root: v_hat + eps), "square root is missing"),
        (adam(given=lambda rate, b1, b2, eps: (rate, b2, b1, eps)), "changed places"),
        (adam(new_m=lambda m, g, b: b * m + g), "m is a sum"),
        (adam(new_v=lambda v, g, m, b: b * v + g**2), "v is a sum"),
        (adam(size=lambda v, v_hat, eps, root: (np.sqrt(v) + eps) / root), "the documents' form"),
        (adam(given=lambda rate, b1, b2, eps: (rate, 0.9, 0.999, 1e-8)), "all its arguments"),
        (adam(given=lambda rate, b1, b2, eps: (rate, b1, b2, 1e-8)), "Use the argument eps"),
        (adam(store=True), "were written back"),
        (adam_corrects_in_place, "were written back"),
        (adam_rebinds, "m and v did not change"),
        (adam_squares_the_gradient_in_place, "changed the gradients"),
        (adam(given=lambda rate, b1, b2, eps: (2 * rate, b1, b2, eps)), r"parameters\[\d\] is"),
        *BROKEN_STEPS,
    ],
}

RIGHT = {
    "07.1": [1, 100, 10_000, 0.5, "100", np.int64(10)],
    "07.2": [momentum(), momentum_one_by_one, momentum_through_out],
    "07.3": [
        lambda t, beta1=0.9, beta2=0.999: (1 - sympy.Float(beta1) ** t) / sympy.sqrt(1 - sympy.Float(beta2) ** t),
        lambda t, beta1=0.9, beta2=0.999: np.float32(1 - beta1**t) / np.sqrt(1 - beta2**t),
        lambda t, beta1=0.9, beta2=0.999: np.array((1 - beta1) * sum(beta1**k for k in range(t)) * (1 - beta2**t) ** -0.5),
    ],
    "07.4": [adam(), adam_one_by_one, adam_with_one_rate],
}

TYPED_WRONG = {
    "07.1": 'my_factor = "a thousand"',
    "07.2": "def momentum_step(parameters, gradients, velocity, rate, momentum=0.9):\n    velocity = momentum * velocity + gradients",
    "07.3": "def uncorrected(t, beta1=0.9, beta2=0.999):\n    return (1 - beta1) / (1 - beta2)",
    "07.4": "def adam_step(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):\n    parameters -= rate * gradients",
}
