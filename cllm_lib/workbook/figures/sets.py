"""Figures of sets: circles as large as what they hold."""

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.patches import Circle

from cllm_lib.workbook.figures.style import BLUE, GREY, VERMILION, ink, new_axes


def two_sets(first, second, names, title, notes=("", "")):
    """Two sets as circles, true to size: the circles as large as the sets, the part they share as large as what is in both.

    Parameters
    ----------
    first, second : array_like
        Their elements; neither may be empty.
    names : (str, str)
    title : str
    notes : (str, str)
        A line for what is in the first only, and in the second only.

    Returns
    -------
    matplotlib.axes.Axes
    """
    common = np.intersect1d(first, second).size
    sizes = [np.unique(numbers).size for numbers in (first, second)]
    radii = [np.sqrt(size / (np.pi * max(sizes))) for size in sizes]
    apart = _distance_of_circles(*radii, common / max(sizes))
    axes = new_axes(title, "", "", width=8.0, height=4.0)
    axes.axis("off")
    axes.set_aspect("equal")
    edges = (-radii[0], apart - radii[1], radii[0], apart + radii[1])  # of the three parts, from left to right
    axes.annotate(f"both: {common:,}", ((edges[1] + edges[2]) / 2, 0.0), ha="center", va="center", fontsize=11)
    looks = ((0.0, BLUE, edges[0] - 0.06, "right", edges[:2]), (apart, VERMILION, edges[3] + 0.06, "left", edges[2:]))
    for (x, colour, beside, side, part), radius, name, size, note in zip(looks, radii, names, sizes, notes, strict=True):
        label = f"{name}: {size:,}, of them {size - common:,} in no other"
        axes.add_collection(PatchCollection([Circle((x, 0.0), radius)], facecolor=colour, alpha=0.25, label=label))
        axes.add_patch(Circle((x, 0.0), radius, fill=False, edgecolor=colour, linewidth=2.0))
        axes.annotate(f"{name}\n{size:,}", (beside, 0.42), ha=side, va="center", fontsize=11, color=ink(colour))
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 1.0}
        words = f"only here: {size - common:,}\n{note}"
        axes.annotate(words, (sum(part) / 2, 0.0), (beside, 0.0), ha=side, va="center", fontsize=11, arrowprops=line)
    axes.set(xlim=(edges[0] - 0.75, edges[-1] + 0.75), ylim=(-max(radii) - 0.03, max(radii) + 0.03))
    return axes


def _distance_of_circles(first, second, common):
    """How far apart the middles of two circles are that share so large an area: found by halving, for a formula has none."""
    nearest, furthest = abs(first - second), first + second
    for _ in range(60):
        middle = (nearest + furthest) / 2
        nearest, furthest = (middle, furthest) if _shared_area(first, second, middle) > common else (nearest, middle)
    return (nearest + furthest) / 2


def _shared_area(first, second, apart):
    """Two sectors less two triangles."""
    angles = [2 * np.arccos(np.clip((apart**2 + r**2 - s**2) / (2 * apart * r), -1, 1)) for r, s in ((first, second), (second, first))]
    return sum(r**2 / 2 * (angle - np.sin(angle)) for r, angle in zip((first, second), angles, strict=True))
