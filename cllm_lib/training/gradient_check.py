"""Is this gradient right? A tool to point at any function: it nudges the inputs and watches the loss.

    report = check_gradients(lambda arrays: model.loss_and_gradients(tokens, targets), model.parameters)
    print(report)

It needs weights off zero: where everything is zero, a wrong gradient is zero as well.
"""

from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import non_negative_number, positive_integer

SMALLEST_SHARE = 1e-3  # gradients below this share of the largest are compared with that share instead


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
    """Compare a function's gradients with central differences, (f(x + eps) - f(x - eps)) / 2 eps.

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
    limit = None if coordinates is None else positive_integer(coordinates, "coordinates")
    generator = np.random.default_rng(seed)
    _, gradients = function(arrays)
    gradients = {name: np.array(_gradient_of(name, array, gradients)) for name, array in arrays.items()}

    def loss():
        return float(function(arrays)[0])

    compared = {}
    for name, array in arrays.items():
        chosen = np.arange(array.size) if limit is None or limit >= array.size else np.sort(generator.permutation(array.size)[:limit])
        indices = [tuple(int(i) for i in np.unravel_index(flat, array.shape)) for flat in chosen]
        slopes = [central_difference(loss, array, eps, index) / (2.0 * eps) for index in indices]
        compared[name] = [(index, float(gradients[name][index]), slope) for index, slope in zip(indices, slopes, strict=True)]
    numbers = [abs(number) for found in compared.values() for _, *pair in found for number in pair]
    largest = max(numbers, default=0.0)
    rows = (_worst(name, found, arrays[name].size, SMALLEST_SHARE * largest) for name, found in compared.items())
    return GradientReport(tuple(rows), largest)


def central_difference(loss, array, step, where=...):
    """Loss after adding `step` to `array[where]`, minus loss after subtracting it; the array is left as it was.

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
    errors = [_relative_error(analytic, numeric, smallest) for _, analytic, numeric in found]
    worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
    return GradientRow(name, len(found), size, *found[worst], errors[worst])


def _relative_error(analytic, numeric, smallest):
    scale = max(abs(analytic), abs(numeric), smallest)
    return 0.0 if scale == 0.0 else abs(analytic - numeric) / scale
