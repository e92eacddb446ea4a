"""The second look of the gradient check, at an entry where gradient and slope disagree: is it the gradient, or the place?

A difference quotient is a witness with weak eyes. It sees no slope at a kink, none below the rounding of the loss, and
none where the loss is not a number. So the loss is read at four points on each side, and a parabola is laid through each
side: what the parabolas leave over is the noise of the loss, and where their slopes part there is a kink.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

DISAGREES = 1e-5  # relative error from which on a second look is taken
ROUGHLY = 1e-2  # two digits that agree, the others being noise, count as agreement
CERTAIN = 3.0  # a gradient so many error bars off is wrong; between one and this nobody can tell
ROUNDING = 2.0**-52  # of float64, relative
CLEAN = 1e3  # noise of so many roundings is that of float64, whatever was summed
QUARTERS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
USUAL = 1e-6  # a step that suits float64
LONGER = (30.0, 1e3, 3e4)
SPREADS = (1e-3, 1e-1)  # float16 moves in steps of 1e-3, float32 in steps of 1e-7
SPECKS = (3e-9, 1e-11)  # nudges that both do not see and float64 does

RIGHT, WRONG, HIDDEN, KINK, OUTSIDE = "right", "wrong", "hidden", "kink", "outside"


@dataclass(frozen=True)
class Look:
    """What the losses around one entry show, at one step length.

    Attributes
    ----------
    slope, bar : float
        The central difference, freed of its quadratic error (Richardson), and how far it may be off.
    left, right : float
        The slopes of both sides, at the entry.
    margin : float
        How far these may be off.
    rounding : float
        The slope that one rounding of the loss would look like.
    smooth : bool
        Whether the two sides meet without a kink.
    clean : bool
        Whether the loss moves, and with no more noise than float64 has.
    flat : bool
        Whether the loss does not move at all.
    """

    slope: float
    bar: float
    left: float
    right: float
    margin: float
    rounding: float
    smooth: bool
    clean: bool
    flat: bool


@dataclass(frozen=True)
class Verdict:
    """What a second look found: RIGHT, WRONG, or why it cannot tell; the slope, and the look it rests on (or None).

    It is certain if the first reading was smooth and clean already: then no doubt about the function itself is left.
    """

    finding: str
    slope: float
    look: Look | None
    certain: bool = False


def judge_entry(loss, array, index, analytic, eps, smallest):
    """Is the gradient of one entry right? The loss is read at shorter and shorter steps, until it can be told.

    Longer steps see through rounding; they come last, for what it hides.

    Parameters
    ----------
    loss : callable
        Without arguments; reads `array`.
    array : ndarray
        Nudged in place, and left as it was.
    index : tuple of int
    analytic : float
        The gradient handed in.
    eps : float
        The usual step, for an entry of at most 1; in proportion for a larger one.
    smallest : float
        Gradients below are compared with this.

    Returns
    -------
    Verdict
        At a kink any gradient between the slopes of the two sides may be right, and one beyond both is wrong.
    """
    short, long = _steps(float(array[index]), eps)
    shortest, smooth, certain = None, [], True
    for step in short:
        seen = look_at(loss, array, index, step)
        shortest, certain = seen or shortest, certain and seen is not None and seen.smooth and seen.clean
        if seen is not None and seen.smooth:
            smooth.append(seen)
            finding = _finding(analytic, seen, smallest, 0.0)
            if finding == RIGHT or (finding == WRONG and seen.clean):
                return Verdict(finding, seen.slope, seen, certain)
    if not smooth:
        return _at_a_kink(analytic, shortest)
    floor = smooth[0].rounding
    for step in long:
        seen = look_at(loss, array, index, step)
        if seen is not None and seen.smooth:
            smooth.append(seen)
            finding = _finding(analytic, seen, smallest, floor)
            if finding == RIGHT or (finding == WRONG and seen.clean):
                return Verdict(finding, seen.slope, seen)
    best = min(smooth, key=lambda seen: seen.bar)
    if abs(analytic) <= floor and abs(best.slope) <= best.bar <= 2.0 * CERTAIN * floor:
        return Verdict(RIGHT, best.slope, replace(best, bar=floor))
    constant = best.flat and _finding(analytic, best, smallest, floor) == WRONG
    return Verdict(WRONG if constant else HIDDEN, best.slope, replace(best, bar=max(best.bar, floor)))


def _finding(analytic, seen, smallest, floor):
    """RIGHT, WRONG, or HIDDEN: too near to the slope for a verdict, or within what one rounding at the usual step makes, `floor`."""
    off, scale = abs(analytic - seen.slope), max(abs(analytic), abs(seen.slope), smallest)
    if off > CERTAIN * seen.bar:
        if off <= DISAGREES * scale:
            return RIGHT
        return WRONG if off > 10.0 * floor else HIDDEN
    return RIGHT if off <= seen.bar <= ROUGHLY * scale else HIDDEN


def _at_a_kink(analytic, seen):
    """The verdict where no look was smooth; `seen` is the nearest, or None where there was none."""
    if seen is None:
        return Verdict(OUTSIDE, math.nan, None)
    low, high = sorted((seen.left, seen.right))
    between = low - seen.margin <= analytic <= high + seen.margin
    return Verdict(KINK if between else WRONG, seen.slope, seen)


def look_at(loss, array, index, step):
    """Read the loss at the quarters of `step` on both sides of one entry.

    Returns
    -------
    Look or None
        None where a loss is NaN or infinite.
    """
    x = float(array[index])
    below, above = x - step * QUARTERS, x + step * QUARTERS
    readings = _readings(loss, array, index, [*below, *above[1:]])
    if not np.isfinite(readings).all():
        return None
    left_side, right_side = readings[:5], np.concatenate([readings[:1], readings[5:]])
    left, left_noise = _parabola((below - x) / step, left_side)
    right, right_noise = _parabola((above - x) / step, right_side)
    ulp = ROUNDING * float(np.max(np.abs(readings))) or 5e-324
    quiet, loud = max(ulp, min(left_noise, right_noise)), max(ulp, left_noise, right_noise)
    left, right = left / step, right / step
    margin = 20.0 * quiet / step + DISAGREES / 10.0 * max(abs(left), abs(right))
    whole, half = ((right_side[k] - left_side[k]) / (above[k] - below[k]) for k in (4, 2))
    return Look(
        slope=float(half + (half - whole) / 3.0),
        bar=float(8.0 * loud / step + abs(whole - half)),
        left=float(left),
        right=float(right),
        margin=float(margin),
        rounding=ulp / step,
        smooth=bool(abs(left - right) <= margin),
        clean=bool(loud <= CLEAN * ulp and np.ptp(readings) > 0.0),
        flat=bool(np.ptp(readings) == 0.0),
    )


def moves_in_steps(loss, array, direction):
    """Does the loss move in steps where float64 would move smoothly? So it does if something inside is float32 or float16.

    At nine places along `direction` the array is moved by a speck that float64 sees. Where the loss moves from place to
    place, and does not move at all with the speck, it is a staircase.

    Parameters
    ----------
    loss : callable
        Without arguments; reads `array`.
    array : ndarray
        Moved in place, and left as it was.
    direction : ndarray of float, same shape
        -1, 0 or 1 for each entry.

    Returns
    -------
    bool
        False as well where the loss moves too little for anybody to tell.
    """
    before = array.copy()
    start = np.where((np.abs(before) < 1e-3) & (direction != 0.0), 1e-3 * direction, before)  # beside 0 a speck of a speck is seen by all
    width = np.abs(start) * direction

    def losses(places):
        found = []
        for place in places:
            array[...] = place
            found.append(loss())
        return np.array(found)

    try:
        for spread in SPREADS:
            stride = 0.2718 * spread  # no power of two: rounding to fewer digits must show
            places = [start + width * (stride * k) for k in range(-4, 5)]
            values = losses(places)
            if not np.isfinite(values).all():
                continue
            moves = np.abs(np.diff(values))
            for speck in SPECKS:
                near = losses([place + width * speck for place in places])
                expected = np.minimum(moves[1:], moves[:-1]) * (speck / stride)
                visible = expected > 8.0 * ROUNDING * np.max(np.abs(values))
                still = visible & (near == values)[1:-1]
                if visible.sum() >= 4 and 2 * still.sum() >= visible.sum():
                    return True
        return False
    finally:
        array[...] = before


def _steps(x, eps):
    """Step lengths up to `eps`, from the longest on, and longer ones; those only that change `x`, and in proportion to a large one."""
    if not math.isfinite(x):
        return [], []
    unit = max(1.0, abs(x))
    short = [eps * unit, eps * unit / 10.0, eps * unit / 100.0]
    if short[-1] > USUAL * unit:
        short.append(USUAL * unit)
    if 0.0 < abs(x) < eps:
        short += [abs(x) / 1e3, abs(x) / 1e4]
    long = [eps * unit * factor for factor in LONGER if eps * factor <= 0.1]
    visible = 64.0 * np.spacing(abs(x))
    return [step for step in short if step >= visible], [step for step in long if step >= visible]


def _readings(loss, array, index, values):
    before = np.copy(array[index])
    found = []
    try:
        for value in values:
            array[index] = value
            found.append(loss())
    finally:
        array[index] = before
    return np.array(found)


def _parabola(steps, values):
    """Slope at 0 of the parabola through five points, and how far they lie off it."""
    powers = np.vander(steps, 3, increasing=True)
    shifted = values - values[0]
    coefficients, *_ = np.linalg.lstsq(powers, shifted, rcond=None)
    return coefficients[1], float(np.sqrt(np.sum((shifted - powers @ coefficients) ** 2) / 2.0))
