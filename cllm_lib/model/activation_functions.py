"""Activation functions, number by number: tanh, SiLU with the logistic sigmoid, GELU with the error function.

`name_forward(x) -> y`, and `name_backward(dy, x) -> dx`, which is given what the slope is asked of; tanh alone keeps its y.
"""

import math

import numpy as np

from cllm_lib.special import scipys_or_plain

GELU_BLOCK = 16_384  # numbers that GELU takes at once: more leave the processor's cache, fewer make more calls


def tanh_forward(x):  # (...) -> (...), (...)
    """Hyperbolic tangent, and the same once more as a cache: its slope follows from it."""
    y = np.tanh(x)
    return y, y


def tanh_backward(dy, y):  # (...) -> (...)
    """Tanh backward: tanh' = 1 - tanh^2."""
    return dy * (1.0 - y * y)


def silu_forward(x):  # (...) -> (...)
    """SiLU, also called swish: x times its own logistic sigmoid, x / (1 + exp(-x)).

    Notes
    -----
    Elfwing, Uchibe, Doya 2018, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in Reinforcement
    Learning", equation 3.
    """
    return x * sigmoid(x)


def silu_backward(dy, x):  # (...), (...) -> (...)
    """SiLU backward: dy times the slope, s + x s (1 - s), where s is the sigmoid of x."""
    share = sigmoid(x)
    return dy * (share + x * share * (1.0 - share))


def sigmoid(x):  # (...) -> (...)
    """Logistic sigmoid, 1 / (1 + exp(-x)); for a negative x as exp(x) / (1 + exp(x)), so that nothing overflows."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0.0, small, 1.0) / (1.0 + small)


def gelu_forward(x, out=None):  # (...) -> (...)
    """GELU: x times the share of a normal distribution that lies below it, a soft gate, open to the right and shut to the left.

    Parameters
    ----------
    x : ndarray of float32 or float64
    out : ndarray, same shape and type, optional
        Where to put it; not x itself.

    Returns
    -------
    ndarray, same shape
        In float32 within 4e-7 of the formula: erf by five powers, a fifth of the time.

    Notes
    -----
    Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2: x (1 + erf(x / sqrt 2)) / 2. In float32 erf is
    Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", formula 7.1.26.
    """
    if x.dtype != np.float32:
        return np.multiply(0.5 * x, 1.0 + erf(x * math.sqrt(0.5)), out=out)
    return _by_blocks(_gelu_block, x, out)


def gelu_backward(dy, x, out=None):  # (...), (...) -> (...)
    """GELU backward: dy times the slope, Phi(x) + x phi(x), the share of the distribution below x and x times its density there.

    In float32 the slope is within 4e-7 of the formula, as GELU itself. `out` is neither dy nor x.
    """
    if x.dtype != np.float32:
        density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        return np.multiply(dy, 0.5 * (1.0 + erf(x * math.sqrt(0.5))) + x * density, out=out)
    dx = _by_blocks(_gelu_slope_block, x, out)
    dx *= dy
    return dx


def erf(x):  # (...) -> (...)
    """Error function, 2 / sqrt(pi) times the area under exp(-t^2) from 0 to x: SciPy's, or where SciPy is missing Python's own."""
    return scipys_or_plain("erf")(x)


def _by_blocks(fill, x, out):
    """Let `fill` put into `out`, or a new array, what it makes of x, one block after the other."""
    y = np.empty(x.shape, x.dtype) if out is None else out
    source, target = x.reshape(-1), y.reshape(-1)
    for start in range(0, x.size, GELU_BLOCK):
        fill(source[start : start + GELU_BLOCK], target[start : start + GELU_BLOCK])
    return y


def _gelu_block(x, y):
    """GELU as x for a positive x and 0 for a negative one, less |x| times the tail that the gate still holds: (1 - erf) / 2."""
    size = np.abs(x)
    t = _twice_the_tail(x, size, y)
    y *= size
    y *= -0.5
    y += np.maximum(x, 0.0, out=t)


def _gelu_slope_block(x, slope):
    """Phi(x) + x phi(x); Phi is the tail on the left of 0, and 1 less the tail on the right."""
    bell = _twice_the_tail(x, np.abs(x), slope)  # exp(-x^2 / 2)
    slope *= 0.5
    np.subtract(1.0, slope, out=slope, where=x > 0.0)
    bell *= x
    bell *= 1.0 / math.sqrt(2.0 * math.pi)
    slope += bell


def _twice_the_tail(x, size, y):
    """Fill y with 1 - erf(|x| / sqrt 2), and return exp(-x^2 / 2)."""
    t = 1.0 / (1.0 + (0.3275911 * math.sqrt(0.5)) * size)
    np.multiply(t, 1.061405429, out=y)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        y += coefficient
        y *= t
    np.multiply(x, x, out=t)
    t *= -0.5
    y *= np.exp(t, out=t)
    return t
