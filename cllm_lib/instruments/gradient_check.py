"""Is this gradient right? A tool to point at any function: it nudges the inputs and watches the loss.

    report = check_gradients(lambda arrays: model.loss_and_gradients(tokens, targets), model.parameters)
    print(report)

It needs weights off zero: where everything is zero, a wrong gradient is zero as well.
"""

import math
from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import non_negative_number, positive_integer

SMALLEST_SHARE = 1e-3  # gradients below this share of the largest are compared with that share instead
NOISE = 1e-8  # a loss near 10 is known to 2e-15; divided by 2 eps = 2e-6, that is a slope of 1e-9


@dataclass(frozen=True)
class GradientRow:
    """The worst coordinate of one array.

    Attributes
    ----------
    name : str
    checked, size : int
        Coordinates compared, of how many.
    index : tuple of int
        Where the two disagree most.
    analytic, numeric : float
        The gradient handed in, and the slope measured.
    relative_error : float
    """

    name: str
    checked: int
    size: int
    index: tuple
    analytic: float
    numeric: float
    relative_error: float


@dataclass(frozen=True)
class GradientReport:
    """What :func:`check_gradients` found: one row an array.

    Attributes
    ----------
    rows : tuple of GradientRow
    largest_gradient : float
        Over everything compared; 0 means that the check proved nothing.
    """

    rows: tuple
    largest_gradient: float

    @property
    def max_relative_error(self):
        """The largest relative error of all rows; NaN if any is NaN."""
        return float(np.max([row.relative_error for row in self.rows]))

    def __str__(self):
        lines = [f"{'array':38} {'checked':>13} {'analytic':>11} {'numeric':>11} {'relative error':>15}  worst at"]
        for row in self.rows:
            checked, where = f"{row.checked:,}/{row.size:,}", list(row.index)
            lines.append(f"{row.name:38} {checked:>13} {row.analytic:11.3e} {row.numeric:11.3e} {row.relative_error:15.1e}  {where}")
        if self.largest_gradient == 0.0:
            lines.append("Every gradient and every slope is 0: this proves nothing. Move the inputs off zero and check again.")
        return "\n".join(lines)


def check_gradients(function, arrays, eps=1e-6, coordinates=None, seed=0):
    """Gradient check: compare a function's gradients with central differences, (f(x + eps) - f(x - eps)) / 2 eps.

    Parameters
    ----------
    function : callable
        Takes `arrays`, returns the loss (a number) and a dictionary of gradients with the same names. A layer is
        turned into such a function by :func:`layer_loss`.
    arrays : dict of str to ndarray
        float64; nudged in place one coordinate at a time, and left as they were.
    eps : float
        In float64 about 1e-6: the error of the formula falls with eps squared, that of rounding grows with 1 / eps.
    coordinates : int, optional
        At most so many, drawn at random, of each array; all by default.
    seed : int
        Of that draw.

    Returns
    -------
    GradientReport
        The relative error of a coordinate is |analytic - numeric| over the larger of the two, or over a thousandth
        of the largest gradient of all where both are smaller than that.

    Raises
    ------
    ValueError
        If an array is not float64, or a gradient is missing or has another shape than its array.
    """
    eps = non_negative_number(eps, "eps")
    generator = np.random.default_rng(seed)
    _, gradients = function(arrays)
    gradients = {name: np.array(_gradient_of(name, array, gradients)) for name, array in arrays.items()}

    def loss():
        return float(function(arrays)[0])

    compared = {}
    for name, array in arrays.items():
        indices = drawn_entries(array.shape, coordinates, generator)
        pairs = zip(*compare_entries(loss, array, gradients[name], indices, eps), strict=True)
        compared[name] = [(index, float(analytic), float(slope)) for index, (analytic, slope) in zip(indices, pairs, strict=True)]
    numbers = [abs(number) for found in compared.values() for _, *pair in found for number in pair]
    largest = max(numbers, default=0.0)
    rows = (_worst(name, found, arrays[name].size, SMALLEST_SHARE * largest) for name, found in compared.items())
    return GradientReport(tuple(rows), largest)


def drawn_entries(shape, coordinates, generator):
    """Indices of at most `coordinates` entries of an array, drawn without repetition, in the array's order; all if None.

    Returns
    -------
    list of tuple of int
    """
    size = math.prod(shape)
    limit = size if coordinates is None else positive_integer(coordinates, "coordinates")
    chosen = np.arange(size, dtype=np.int64) if limit >= size else np.sort(generator.permutation(size)[:limit])
    return [tuple(int(i) for i in np.unravel_index(flat, shape)) for flat in chosen]


def compare_entries(loss, array, gradient, indices, eps=1e-6):
    """Gradients of some entries as handed in, and as central differences measure them.

    Parameters
    ----------
    loss : callable
        Without arguments; reads `array`.
    array : ndarray
        float64; nudged in place one entry at a time, and left as it was.
    gradient : ndarray
        Of the shape of `array`: what is to be checked.
    indices : sequence of tuple of int
    eps : float

    Returns
    -------
    analytic, numeric : ndarray, shape (n,)
    """
    analytic = np.array([gradient[index] for index in indices])
    numeric = np.array([central_difference(loss, array, eps, index) / (2.0 * eps) for index in indices])
    return analytic, numeric


def relative_error(analytic, numeric, smallest=0.0):
    """Relative error: |analytic - numeric| over the larger of the two, or over `smallest` where both are below it; 0 where all are 0."""
    scale = max(abs(analytic), abs(numeric), smallest)
    return 0.0 if scale == 0.0 else abs(analytic - numeric) / scale


def angle_between(first, second):
    """The angle between two gradients, taken as vectors: 0 for the same direction, 90 for nothing in common, 180 for opposite.

    Parameters
    ----------
    first, second : array_like of equal shape

    Returns
    -------
    float
        In degrees. NaN where either is zero everywhere, or not finite: that has no direction. Rounding noise has
        one: where a true gradient is 0 up to 1e-17, compare lengths instead.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    Half the angle is the arctangent of |u - v| / |u + v| with u and v of length 1. Unlike the arccosine of u . v,
    this keeps its digits near 0 and 180 degrees (Kahan 2006, "How Futile are Mindless Assessments of Roundoff in
    Floating-Point Computation?", section 12).
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"one gradient has shape {first.shape}, the other {second.shape}: an angle needs two of one shape")
    sizes = [float(np.max(np.abs(vector), initial=0.0)) for vector in (first, second)]
    if not all(0.0 < size < np.inf for size in sizes):
        return float("nan")
    u, v = (vector.ravel() / size for vector, size in zip((first, second), sizes, strict=True))  # no square under- or overflows
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return float(np.degrees(2.0 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


def agreement(analytic, numeric):
    """How far two gradients agree, in words: a factor and an angle.

    The factor is the k of the best line through 0, analytic = k numeric: 1 for a right gradient, 2 for a doubled, 0
    for a forgotten one. The angle says how well that line fits: 0 if all entries lie on it.

    Returns
    -------
    str
        Without numbers where no slope is above 1e-8: that is rounding, and any factor would be chance.
    """
    analytic, numeric = np.ravel(analytic), np.ravel(numeric)
    if np.max(np.abs(numeric), initial=0.0) <= NOISE:
        return "no slope stands out from rounding"
    angle = angle_between(analytic, numeric)
    angle = f"{angle:.1f} degrees" if np.isfinite(angle) else "none"
    return f"factor {analytic @ numeric / (numeric @ numeric):.3f}, angle {angle}"


def central_difference(loss, array, step, where=...):
    """Central difference: the loss after adding `step` to `array[where]`, minus after subtracting it; the array is left as it was.

    Parameters
    ----------
    loss : callable
        Without arguments; reads `array`.
    array : ndarray
    step : float or ndarray
        Of the shape of `array[where]`.
    where : index, optional
        One coordinate, for instance; everything by default.

    Returns
    -------
    float
        Divided by twice the length of `step`, the slope in its direction.
    """
    before = np.copy(array[where])
    try:
        array[where] = before + step
        above = loss()
        array[where] = before - step
        below = loss()
    finally:
        array[where] = before
    return above - below


def layer_loss(forward, backward, first="x", seed=0):
    """Make a loss of a layer: its output, weighted by fixed random numbers and summed.

    The weights are the upstream gradient that `backward` gets. They must be random: with ones, a softmax (whose rows
    sum to 1 whatever goes in) has the true gradient 0, and a backward pass that returns nothing but zeros would pass.

    Parameters
    ----------
    forward : callable
        `forward(**arrays) -> y, cache`.
    backward : callable
        `backward(dy, cache) -> dx, gradients`.
    first : str
        Name of the array whose gradient is `dx`.
    seed : int
        Of the upstream gradient.

    Returns
    -------
    callable
        For :func:`check_gradients`.
    """

    def loss_and_gradients(arrays):
        y, cache = forward(**arrays)
        upstream = np.random.default_rng(seed).standard_normal(np.shape(y))
        dx, gradients = backward(upstream, cache)
        return float(np.sum(y * upstream)), {first: dx, **gradients}

    return loss_and_gradients


def _gradient_of(name, array, gradients):
    if array.dtype != np.float64:
        raise ValueError(f"{name!r} is {array.dtype}: check in float64, where a nudge of 1e-6 is not lost in rounding")
    if name not in gradients:
        raise ValueError(f"the function returned no gradient for {name!r}: it gave {', '.join(map(repr, gradients))}")
    gradient = np.asarray(gradients[name])
    if gradient.shape != array.shape:
        raise ValueError(f"the gradient of {name!r} has shape {gradient.shape}, the array {array.shape}: they must agree")
    return gradient


def _worst(name, found, size, smallest):
    """The row of the coordinate with the largest error; NaN counts as the worst of all."""
    errors = [relative_error(analytic, numeric, smallest) for _, analytic, numeric in found]
    worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
    return GradientRow(name, len(found), size, *found[worst], errors[worst])
