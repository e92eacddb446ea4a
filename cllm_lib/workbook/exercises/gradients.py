"""What the checks of backward passes share: slopes measured by nudging, and which result is the first that is wrong."""

import numpy as np

from cllm_lib.workbook.exercises.machinery import NotYet, matches, side_by_side

GRADIENT_SHAPE = "a gradient has the shape of what it belongs to."


def measured_slope(function, at, step=1e-3):
    """Central difference of fourth order (Abramowitz and Stegun 1972, 25.3.6)."""
    near, far = (function(at + k * step) - function(at - k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


def several(result, count, names):
    """The `count` things a function was to return."""
    if isinstance(result, dict):
        raise NotYet(f"it returned a dictionary; the notebook unpacks {count} values, so end with `return {', '.join(names)}`.")
    if isinstance(result, np.ndarray) and len(np.atleast_1d(result)) != count:
        raise NotYet(f"it returned one array, of shape {result.shape}; {count} things were asked for: {', '.join(names)}.")
    try:
        results = list(result)
    except TypeError:
        raise NotYet(f"it returned one thing of type {type(result).__name__}; {', '.join(names)} were asked for.") from None
    if len(results) != count:
        raise NotYet(f"it returned {len(results)} things; {count} were asked for: {', '.join(names)}.")
    return results


BACKWARDS = "Take the forward pass line by line, the last line first."


def same_results(found, expected, tolerance=1e-6):
    """Whether several gradients are those that were expected."""
    return all(matches(np.asarray(f), np.asarray(e), tolerance) for f, e in zip(found, expected, strict=True))


def worst_of(names, found, right, tolerance=1e-6):
    """The largest error of the first result that is wrong, as the beginning of a sentence; nothing where none is."""
    for name, one, other in zip(names, map(np.asarray, found), map(np.asarray, right), strict=True):
        if not matches(one, other, tolerance):
            worst = np.unravel_index(np.argmax(np.abs(one - other)), one.shape)
            where = f"{name}{list(map(int, worst))}" if worst else name
            return f"{where} is {side_by_side(float(one[worst]), float(other[worst]))} was asked for."
    return ""
