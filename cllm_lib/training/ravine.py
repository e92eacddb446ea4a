"""A ravine in two dimensions: steep across, flat along. The smallest landscape on which optimisers differ.

    f(x, y) = (x^2 + c y^2) / 2,    minimum 0 at the origin

c, the curvature across, is the condition number. Plain gradient descent diverges for rates above 2 / c, and along x
it goes no faster than that rate allows (Nesterov 2004, "Introductory Lectures on Convex Optimization", section 1.2.3).
"""

import numpy as np

from cllm_lib.checks import non_negative_number, positive_integer

START = (-4.0, 1.0)
CURVATURE = 25.0
STEPS = 60


def ravine_loss(points, curvature=CURVATURE):  # (..., 2) -> (...)
    """Height of the ravine at each point."""
    with np.errstate(over="ignore"):  # far out it is infinite, as a diverged loss is
        return (points[..., 0] ** 2 + curvature * points[..., 1] ** 2) / 2.0


def ravine_gradient(points, curvature=CURVATURE):  # (..., 2) -> (..., 2)
    """Its gradient, (x, c y)."""
    return points * np.array([1.0, curvature])


def ravine_path(optimizer, start=START, curvature=CURVATURE, steps=STEPS):  # -> (steps + 1, 2)
    """Where an optimiser goes.

    Parameters
    ----------
    optimizer : object
        A fresh one, with `step(parameters, gradients)` that changes flat arrays in place: one of
        :mod:`cllm_lib.training.optimizers` or your own.
    start : sequence of float
        x and y.
    curvature : float
    steps : int

    Returns
    -------
    ndarray, shape (steps + 1, 2)
        The start first. Infinite or NaN where a diverging path leaves the range of float64.

    Raises
    ------
    ValueError
        If the start is not two numbers, the curvature is negative, or there is no step to take.
    """
    point = np.array(start, dtype=float)
    if point.shape != (2,) or not np.isfinite(point).all():
        raise ValueError(f"start is {start!r}: give two finite numbers, x and y")
    curvature, steps = non_negative_number(curvature, "curvature"), positive_integer(steps, "steps")
    path = [point.copy()]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            optimizer.step(point, ravine_gradient(point, curvature))
            path.append(point.copy())
    return np.array(path)
