"""What the checks of backward passes share: slopes measured by nudging, and the slip whose result is the one that was seen."""

import numpy as np

from cllm_lib.workbook.exercises.machinery import NotYet, Unexplained, matches, shown

GRADIENT_SHAPE = "a gradient has the shape of what it belongs to."


def measured_slope(function, at, step=1e-3):
    """Central difference of fourth order (Abramowitz and Stegun 1972, 25.3.6)."""
    near, far = (function(at + k * step) - function(at - k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


def several(result, count, names):
    """The `count` things a function was to return."""
    if isinstance(result, dict):
        raise NotYet(f"it returned a dictionary; the notebook unpacks {count} values, so end with `return {', '.join(names)}`.")
    try:
        results = list(result)
    except TypeError:
        raise NotYet(f"it returned one thing of type {type(result).__name__}; {', '.join(names)} were asked for.") from None
    if len(results) != count:
        raise NotYet(f"it returned {len(results)} things; {count} were asked for: {', '.join(names)}.")
    return results


def say_why(found, expected, slips, tolerance=1e-6):
    """Compare with what each slip would give, and raise with the reason of the first that fits."""
    name = next(name for name in found if not matches(np.asarray(found[name]), np.asarray(expected[name]), tolerance))
    worst = np.unravel_index(np.argmax(np.abs(np.asarray(found[name]) - expected[name])), np.shape(found[name]))
    where = f"{name}{list(map(int, worst))}" if worst else name
    seen = f"{where} is {shown(float(np.asarray(found[name])[worst]))}; {shown(float(np.asarray(expected[name])[worst]))} was asked for."
    for reason, results in slips.items():
        results = dict(zip(found, results, strict=True))
        fits = [n for n, result in results.items() if result is not None and matches(np.asarray(found[n]), np.asarray(result), tolerance)]
        if name in fits and len(fits) == sum(result is not None for result in results.values()):
            raise NotYet(f"{seen} {reason}")
    raise Unexplained(f"{seen} Take the forward pass line by line, the last line first.")
