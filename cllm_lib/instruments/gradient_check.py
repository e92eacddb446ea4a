"""Is this gradient right? A tool to point at any function: it nudges the inputs and watches the loss.

    report = check_gradients(lambda arrays: model.loss_and_gradients(tokens, targets), model.parameters)
    print(report)

It needs weights off zero: where everything is zero, a wrong gradient is zero as well.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from cllm_lib.checks import positive_integer
from cllm_lib.instruments.second_look import DISAGREES, HIDDEN, KINK, OUTSIDE, RIGHT, ROUNDING, WRONG, judge_entry, moves_in_steps
from cllm_lib.instruments.watched_function import WatchedFunction, checked_step

SMALLEST_SHARE = 1e-3  # gradients below this share of the largest are compared with that share instead
NOISE = 1e-8  # a loss near 10 is known to 2e-15; divided by 2 eps = 2e-6, that is a slope of 1e-9


@dataclass(frozen=True)
class GradientRow:
    """The worst coordinate of one array.

    Attributes
    ----------
    name : str
    checked, size : int
        Coordinates judged, of how many.
    index : tuple of int
        Where the two disagree most.
    analytic, numeric : float
        The gradient handed in, and the slope measured.
    relative_error : float
        NaN if no coordinate could be judged.
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
    notes : tuple of str
        What could not be judged, and why; empty as a rule.
    """

    rows: tuple
    largest_gradient: float
    notes: tuple = field(default=(), repr=False)

    @property
    def max_relative_error(self):
        """The largest relative error of all rows; NaN if nothing is wrong and no entry of some array could be judged."""
        errors = [row.relative_error for row in self.rows]
        largest = max((error for error in errors if not math.isnan(error)), default=0.0)
        return math.nan if largest <= DISAGREES and any(map(math.isnan, errors)) else float(largest)

    def __str__(self):
        lines = [f"{'array':38} {'checked':>13} {'analytic':>11} {'numeric':>11} {'relative error':>15}  worst at"]
        for row in self.rows:
            checked, where = f"{row.checked:,}/{row.size:,}", list(row.index)
            lines.append(f"{row.name!s:38} {checked:>13} {row.analytic:11.3e} {row.numeric:11.3e} {row.relative_error:15.1e}  {where}")
        lines.extend(self.notes)
        if self.largest_gradient == 0.0:
            lines.append("Every gradient and every slope is 0: this proves nothing. Move the inputs off zero and check again.")
        return "\n".join(lines)


def check_gradients(function, arrays, eps=1e-6, coordinates=None, seed=0):
    """Gradient check: compare a function's gradients with central differences, (f(x + eps) - f(x - eps)) / 2 eps.

    Where the two disagree, the loss is looked at once more around that entry, before the gradient is called wrong: at a
    kink, below the rounding of the loss and beside a loss that is not finite, a difference is no judge. Such entries
    do not count as checked, and the report names them.

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
        of the largest gradient of all where both are smaller than that and nothing is wrong. It is 0 where a second
        look finds no more between them than the slope's own error; infinite for a gradient that is not finite.

    Raises
    ------
    ValueError
        If an array is not float64, or a gradient is missing or has another shape than its array. If the function
        changes an array it was given, is random, or computes in float32 or float16: nothing can be said of its
        gradients then.

    Notes
    -----
    Why a kink or too short a step deceives: Stanford CS231n, "Gradient checks", in "Neural Networks Part 3". Noise read off
    nearby losses: More and Wild 2011, "Estimating Computational Noise".
    """
    eps = checked_step(eps)
    watched = WatchedFunction(function, arrays)
    generator = np.random.default_rng(seed)
    try:
        base, gradients = watched.start()
        compared = {}
        for name, array in watched.arrays.items():
            indices = drawn_entries(array.shape, coordinates, generator)
            compared[name] = [_measured(watched.loss, array, gradients[name], index, eps, base) for index in indices]
        numbers = (abs(number) for found in compared.values() for entry in found for number in (entry.analytic, entry.numeric))
        largest = max(filter(math.isfinite, numbers), default=0.0)
        judged = [_judged(watched, name, found, eps, base, SMALLEST_SHARE * largest) for name, found in compared.items()]
        watched.same_loss(base)
    finally:
        watched.restore()
    return GradientReport(tuple(row for row, _ in judged), largest, tuple(note for _, notes in judged for note in notes))


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
    """Gradients of some entries as handed in, and as central differences measure them: numbers to look at, without a verdict.

    A kink, or a slope below the rounding of the loss, makes the two differ as well; :func:`check_gradients` tells these apart.

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


@dataclass(frozen=True)
class _Entry:
    """One entry as first measured, by the losses above and below it.

    `bend` is how far the slopes of its two sides part, `nudged` whether eps moved it by eps, `floor` a slope that is rounding.
    """

    index: tuple
    analytic: float
    numeric: float
    losses: tuple
    bend: float
    nudged: bool
    floor: float

    def error(self, smallest):
        """Its relative error; a gradient or slope that is not finite is the worst of all."""
        error = relative_error(self.analytic, self.numeric, smallest)
        return error if math.isfinite(error) else math.inf

    def needs_another_look(self, smallest, own):
        """Whether gradient and slope disagree, also beside the largest of their `own` array, or the slope may be no judge."""
        scale = max(abs(self.analytic), abs(self.numeric), smallest)
        apart = abs(self.analytic - self.numeric) > max(self.floor, SMALLEST_SHARE * own)
        bent = self.bend > max(self.floor, SMALLEST_SHARE * scale)
        return self.error(smallest) > DISAGREES or not self.nudged or apart or bent or self.is_rounding(smallest)

    def is_rounding(self, smallest):
        """Whether nothing here, nor in the scale, stands out from the rounding of the loss, and the numbers differ."""
        return self.analytic != self.numeric and max(abs(self.analytic), abs(self.numeric), smallest) <= self.floor


def _measured(loss, array, gradient, index, eps, base):
    """The central difference of one entry, as :func:`central_difference` takes it, and what the two losses say besides."""
    above, below, width = _two_losses(loss, array, index, eps)
    floor = 100.0 * ROUNDING * max(abs(base), abs(above), abs(below)) / eps
    nudged = abs(width - 2.0 * eps) <= SMALLEST_SHARE * eps
    bend = abs((above - base) - (base - below)) / eps
    return _Entry(index, float(gradient[index]), (above - below) / (2.0 * eps), (above, below), bend, nudged, floor)


def _two_losses(loss, array, index, eps):
    """The losses above and below an entry, and how far these two places are apart."""
    before = np.copy(array[index])
    try:
        array[index] = high = float(before) + eps
        above = loss()
        array[index] = low = float(before) - eps
        below = loss()
    finally:
        array[index] = before
    return above, below, high - low


def _judged(watched, name, found, eps, base, smallest):
    """The row of one array, and what is to be said of entries that could not be judged.

    The entries that disagree most are looked at first. The first that is wrong for certain decides: nobody needs the others.
    """
    array, errors, unjudged, zeros = watched.arrays[name], [entry.error(smallest) for entry in found], {}, None
    own = max((abs(size) for entry in found for size in (entry.analytic, entry.numeric) if math.isfinite(size)), default=0.0)
    doubted, entries = False, list(found)
    for k in sorted(range(len(found)), key=lambda k: -errors[k]):
        entry = found[k]
        if not math.isfinite(entry.analytic):
            return GradientRow(name, len(found) - len(unjudged), array.size, entry.index, entry.analytic, entry.numeric, math.inf), ()
        if not entry.needs_another_look(smallest, own):
            continue
        for loss, other in zip(entry.losses, _two_losses(watched.loss, array, entry.index, eps), strict=False):
            watched.same_loss(loss, other)  # chance seldom strikes twice in one place
        verdict = judge_entry(watched.probe, array, entry.index, entry.analytic, eps, min(smallest, own))
        if not (verdict.certain or doubted):
            _doubt_the_function(watched, name, found, base)
            doubted = True
        numeric = _numeric(entry, verdict)
        if verdict.finding == WRONG:
            _share_no_memory(watched.arrays, name)
            error = relative_error(entry.analytic, numeric)
            row = GradientRow(name, len(found) - len(unjudged), array.size, entry.index, entry.analytic, numeric, error)
            return row, _notes(name, found, unjudged, None)
        if verdict.finding == RIGHT:
            if errors[k] > DISAGREES or not entry.nudged or entry.is_rounding(smallest):
                off = abs(entry.analytic - verdict.slope) > verdict.look.bar
                errors[k] = relative_error(entry.analytic, verdict.slope, smallest) if off else 0.0
                entries[k] = replace(entry, numeric=numeric)
            zeros = verdict.look.bar if abs(entry.analytic) <= verdict.look.bar and smallest <= verdict.look.bar else zeros
        else:
            unjudged[k] = verdict
    seen = [k for k in range(len(found)) if k not in unjudged]
    worst = max(seen, key=lambda k: errors[k]) if seen else 0
    error = errors[worst] if seen else math.nan
    row = GradientRow(name, len(seen), array.size, entries[worst].index, entries[worst].analytic, entries[worst].numeric, error)
    return row, _notes(name, found, unjudged, zeros)


def _numeric(entry, verdict):
    """The slope as first measured, unless the second look knows better."""
    bar = verdict.look.bar if verdict.look else 0.0
    return entry.numeric if abs(entry.numeric - verdict.slope) <= bar or not math.isfinite(verdict.slope) else verdict.slope


def _doubt_the_function(watched, name, found, base):
    """Before an entry is called wrong or not smooth: say so, if it is the function that cannot be checked."""
    for _ in range(8):  # also where each entry seems to bend, because chance struck at the first loss
        watched.same_loss(base)
    direction = np.zeros(watched.arrays[name].shape)
    for entry in found:
        direction[entry.index] = math.copysign(1.0, entry.analytic or entry.numeric or 1.0)
    if moves_in_steps(watched.probe, watched.arrays[name], direction):
        raise ValueError(
            f"as {name!r} moves, the loss moves in steps: it is rounded by float32 or float16 inside the function, or by large numbers "
            "that cancel; compute in float64 throughout, where a nudge of 1e-6 is not lost in rounding"
        )


def _share_no_memory(arrays, name):
    for other, values in arrays.items():
        if other != name and np.may_share_memory(arrays[name], values) and np.shares_memory(arrays[name], values):
            raise ValueError(f"{name!r} and {other!r} share memory, and a nudge of one moves the other: give each a .copy()")


def _notes(name, found, unjudged, zeros):
    """One sentence for each reason why entries of an array were not judged."""
    notes = []
    for finding in (KINK, HIDDEN, OUTSIDE):
        which = sorted(k for k, verdict in unjudged.items() if verdict.finding == finding)
        if which:
            where = f"{name!r} at {len(which):,} of {len(found):,} entries, first {list(found[which[0]].index)}"
            notes.append(f"{where}: {_reason(finding, unjudged[which[0]].look)}")
    if zeros is not None:
        notes.append(f"{name!r}: rounding of the loss hides slopes below {zeros:.1e}; smaller ones count as 0.")
    return tuple(notes)


def _reason(finding, look):
    if finding == KINK:
        sides = f"the loss has a slope of {look.left:.3g} on one side, {look.right:.3g} on the other"
        return f"not smooth here, not judged: {sides}. Move the inputs off the kink, or take a smaller eps."
    if finding == HIDDEN:
        hidden = f"rounding or noise of the loss hides slopes below {look.bar:.1e}"
        return f"cannot tell: {hidden}. A smaller loss, or another eps, shows more."
    return "not judged: the loss beside it is NaN or infinite. Move the inputs away from there."
