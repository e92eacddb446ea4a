"""Figures of gradients: how large they are, where they point, where they lie in memory, and how far measured slopes agree."""

import itertools

import numpy as np

from cllm_lib.instruments.gradient_check import agreement
from cllm_lib.workbook.figures.style import GREY, LINE_STYLES, VERMILION, draw_levels, draw_lines, new_axes


def gradient_by_layer(measured, predicted, title):
    """Gradient that reaches each layer, from the top down, on a logarithmic axis, beside what was predicted.

    Parameters
    ----------
    measured, predicted : sequence of float
        One number a layer, the top layer first.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "layers below the output", "largest gradient")
    axes.set_yscale("log")
    depth = np.arange(1, len(measured) + 1, dtype=np.int64)
    axes.plot(depth, predicted, color=GREY, linestyle=(0, (5, 3)), linewidth=1.2, label="predicted")
    axes.plot(depth, measured, "o", color=VERMILION, markersize=8, label="measured")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=10)
    return axes


def gradient_scatter(analytic, numeric, title):
    """Gradients handed in, against slopes measured: one point an entry, over the diagonal where right ones lie.

    Parameters
    ----------
    analytic, numeric : array_like of equal size
        As :func:`~cllm_lib.instruments.gradient_check.compare_entries` gives them.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
        The label of the points says how far they agree: :func:`~cllm_lib.instruments.gradient_check.agreement`.
    """
    analytic, numeric = np.ravel(analytic), np.ravel(numeric)
    reach = 1.1 * max(np.nanmax(np.abs(numeric)), np.nanmax(np.abs(analytic))) or 1.0
    axes = new_axes(title, "slope measured by central differences", "gradient of the backward pass", width=5.5, height=4.6)
    axes.plot([-reach, reach], [-reach, reach], color=GREY, linestyle=(0, (5, 3)), linewidth=1.2, label="where right ones lie")
    label = f"{len(numeric)} entries: {agreement(analytic, numeric)}"
    axes.plot(numeric, analytic, "o", color=VERMILION, markersize=6, label=label)
    axes.legend(frameon=False, fontsize=10)
    return axes


def buffer_layout(spans, title):
    """Where each part lives in one flat buffer: a row for each part, a block for each stretch of memory.

    Parameters
    ----------
    spans : dict of str to list of (int, int)
        First position and length of each of the part's stretches.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "position in the buffer (numbers)", "", height=2.8)
    for row, (stretches, (colour, _, _)) in enumerate(zip(spans.values(), itertools.cycle(LINE_STYLES), strict=False)):
        axes.broken_barh(stretches, (row - 0.35, 0.7), facecolors=colour, edgecolor=colour, linewidth=1.0)
    axes.set_yticks(range(len(spans)), list(spans), fontsize=10)
    axes.invert_yaxis()
    return axes


def error_against_step(measured, predicted, title):
    """Error of a measured slope against the size of the nudge, on logarithmic axes, beside lines drawn beforehand.

    Parameters
    ----------
    measured, predicted : dict of str to (steps, errors)
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "eps, the size of the nudge", "largest error of the slope", height=4.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for (label, (steps, errors)), dash in zip(predicted.items(), itertools.cycle([(5, 3), (1, 2), (7, 2, 1, 2)]), strict=False):
        axes.plot(steps, errors, color=GREY, linestyle=(0, dash), linewidth=1.4, label=label)
    draw_lines(axes, measured)
    every = [error for _, errors in measured.values() for error in errors]
    axes.set_ylim(min(every) / 10, max(every) * 10)
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return axes


def angles_on_the_way_back(angles, places, title):
    """Angle to the true gradient, place by place from the output down; a gradient of zero has none, and the line breaks.

    Parameters
    ----------
    angles : dict of str to sequence of float
        Degrees; NaN where there is no gradient.
    places : sequence of str
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "from the output down to the input", "angle to the true gradient (degrees)", width=8.0)
    draw_levels(axes, {"right angle": 90.0})
    for (label, series), (colour, dash, marker) in zip(angles.items(), LINE_STYLES, strict=False):
        axes.plot(range(len(series)), series, dash, color=colour, marker=marker, markersize=6, linewidth=1.5, label=label)
    axes.set_xticks(range(len(places)), places, fontsize=9)
    axes.set_ylim(-5, 120)
    handles = [line for line in axes.lines if line.get_label() in angles]
    axes.legend(handles=handles, frameon=False, fontsize=10, loc="upper center", ncols=len(handles))
    return axes
