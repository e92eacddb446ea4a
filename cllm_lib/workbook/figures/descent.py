"""Figures of the way down: what optimisers do in a ravine, to stand beside what moves in :mod:`cllm_lib.workbook.widgets`."""

import numpy as np

from cllm_lib.training.ravine import ravine_loss
from cllm_lib.workbook.figures.style import BLACK, draw_lines, several_axes


def ravine(paths, curvature, title):
    """Paths down a ravine over lines of equal loss, and the loss at each step.

    Parameters
    ----------
    paths : dict of str to array_like, shape (n, 2)
        By name, as :func:`~cllm_lib.training.ravine.ravine_path` gives them; all from one start.
    curvature : float
    title : str

    Returns
    -------
    list of matplotlib.axes.Axes
        The map, and the losses. A path that diverges leaves both.
    """
    paths = {name: np.asarray(path, dtype=float) for name, path in paths.items()}
    start = next(iter(paths.values()))[0]
    reach = 1.25 * max(abs(start[0]), 2.5 * abs(start[1]))
    above, below = several_axes([title, ""], "step", "loss", 1, 7.0, 5.6)
    x, y = np.meshgrid(np.linspace(-reach, reach, 201), np.linspace(-reach / 2.5, reach / 2.5, 81))
    levels = ravine_loss(start, curvature) * 4.0 ** np.arange(-4, 2, dtype=np.int64)
    above.contour(x, y, ravine_loss(np.stack([x, y], axis=-1), curvature), levels=levels, colors="#999999", linewidths=0.8)
    inside = {name: np.where(np.abs(path) < 10 * reach, path, np.nan) for name, path in paths.items()}
    draw_lines(above, {f"_{name}": tuple(path.T) for name, path in inside.items()})
    above.grid(visible=False)
    above.plot(*start, "o", color=BLACK, markersize=9, fillstyle="none", label="_start")
    above.plot(0, 0, "+", color=BLACK, markersize=10, label="_minimum")
    above.set(xlabel="x, along the ravine", ylabel="y, across", xlim=(-reach, reach), ylim=(-reach / 2.5, reach / 2.5), aspect="equal")
    first = float(ravine_loss(start, curvature))
    below.set(yscale="log", ylim=(1e-6 * first, 10 * first))  # before what may be infinite
    losses = {name: ravine_loss(path, curvature) for name, path in paths.items()}
    draw_lines(below, {name: (np.arange(len(loss), dtype=np.int64), loss) for name, loss in losses.items()})
    below.legend(frameon=False, fontsize=10)
    return [above, below]
