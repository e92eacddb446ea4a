"""Slopes of a loss by nudges of several lengths: what one length says is believed where a shorter one agrees."""

from typing import NamedTuple

import numpy as np

from cllm_lib.instruments.gradient_check import central_difference

LENGTHS = (1e-5, 1e-6, 1e-7, 1e-8)  # of a nudge, relative to the weights; the longest sees the smallest slopes
LONGER = 3e-5  # asked where the slope is so small that shorter nudges see nothing
LONG = (1e-3, 1e-2)  # where low precision hides what a short nudge does, a long one still follows the gradient
ALIKE = 0.01  # right slopes agree to five digits; one wrong by a hundredth is no rounding error
FAINT = 1e-8  # of the whole gradient: below that, saturated units may hide from the loss what the gradient still knows
NEARLY = 0.05  # what curvature may change over a long nudge


class Slope(NamedTuple):
    """How steeply the loss rises along a direction.

    Attributes
    ----------
    promised : float
        By the gradient.
    measured : float
        By two nudges, forth and back.
    resolution : float
        Smallest slope that these nudges can tell from rounding.
    settled : bool
        Whether the measurement can be believed: it is as promised, or a shorter nudge says the same. It cannot where the loss
        curves or jumps within the shortest nudge, as it does where units are saturated or weights huge.
    """

    promised: float
    measured: float
    resolution: float
    settled: bool

    def differs(self, blur=0.0):
        """Whether the measurement is believed and says something else than the promise, beyond rounding and `blur`."""
        return self.settled and not _alike(self.promised, self.measured, self.resolution + blur)


def rounding_of(loss, weights, value, generator, trials=4):
    """How far rounding alone may move a loss: measured by changing every weight in its last digits.

    Parameters
    ----------
    loss : callable
        Without arguments; reads `weights`.
    weights : ndarray of float64
        All of them; changed in place, and put back.
    value : float
        The loss itself.
    generator : numpy.random.Generator
    trials : int

    Returns
    -------
    float
        A hundred last places of the loss at least; far more where huge weights enlarge what is lost on the way.
    """
    eps, kept, moved = np.finfo(np.float64).eps, weights.copy(), []
    for _ in range(trials):
        weights[...] = kept * (1.0 + 4 * eps * generator.standard_normal(kept.shape))
        moved.append(abs(loss() - value))
    weights[...] = kept
    return max(100 * eps * max(1.0, abs(value)), 10 * float(max(moved)))


def measure_slope(loss, weights, direction, promised, rounding, blur=0.0):
    """Measure how the loss rises along a direction, by shorter and shorter nudges, until one finds what is promised.

    If none does, the two shortest that see anything decide: where they agree, the promise is wrong.

    Parameters
    ----------
    loss : callable
        Without arguments; reads `weights`.
    weights : ndarray of float64
        Nudged in place, and put back.
    direction : ndarray
        Of length 1, in the shape of the weights.
    promised : float
        The slope that the gradient promises there.
    rounding : float
        How far rounding may move the loss; see :func:`rounding_of`.
    blur : float
        What rounding may have left in the promise.

    Returns
    -------
    Slope
    """
    size = max(1.0, float(np.linalg.norm(weights)))

    def at(length):
        step = length * size
        measured = central_difference(loss, weights, step * direction) / (2 * step)
        return Slope(promised, float(measured), float(rounding / step), settled=True)

    seen = []
    for length in LENGTHS:
        found = at(length)
        if seen and max(abs(slope) for slope in (promised, found.measured, seen[0].measured)) < found.resolution / ALIKE:
            break  # shorter nudges see nothing any more
        if not found.differs(blur):
            return found
        seen.append(found)
    if len(seen) == 1:
        return seen[0]._replace(settled=_same(seen[0], at(LONGER)))
    shown = seen[0] if _same(seen[0], seen[-1]) else seen[-1]
    return shown._replace(settled=_same(*seen[-2:]))


def slopes_along(loss, weights, gradient, rounding, blur, generator):
    """Slopes along the gradient of a tensor, if there is one, and along a random direction.

    Parameters
    ----------
    loss, weights, rounding, blur
        As for :func:`measure_slope`.
    gradient : ndarray
        Of the shape of the weights: what promises the slopes.
    generator : numpy.random.Generator

    Returns
    -------
    tuple of Slope
        Of one, not settled, if the gradient is not finite.
    """
    length, random = float(np.linalg.norm(gradient)), generator.standard_normal(weights.shape)
    random /= np.linalg.norm(random)
    if not np.isfinite(length):
        return (Slope(length, np.nan, np.inf, settled=False),)
    directions = [(gradient / length, length)] if length > 0.0 else []
    directions.append((random, float(np.vdot(gradient, random))))
    return tuple(measure_slope(loss, weights, *pair, rounding, blur) for pair in directions)


def follows_long_nudges(loss, weights, direction, slope):
    """Whether long nudges find the promised slope, and not what short ones found: these drowned in the rounding of some part.

    Parameters
    ----------
    loss, weights, direction
        As for :func:`measure_slope`.
    slope : Slope
        What that function found.

    Returns
    -------
    bool
    """
    size = max(1.0, float(np.linalg.norm(weights)))
    steps = [length * size for length in LONG]
    gaps = [abs(central_difference(loss, weights, step * direction) / (2 * step) - slope.promised) for step in steps]
    return min(gaps) <= min(NEARLY * abs(slope.promised), abs(slope.measured - slope.promised) / 5)


def _same(one, other):
    return _alike(one.measured, other.measured, one.resolution + other.resolution)


def _alike(a, b, blur):
    return abs(a - b) <= max(ALIKE * max(abs(a), abs(b)), blur)
