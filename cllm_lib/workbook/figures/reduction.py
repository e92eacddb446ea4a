"""Figures about lattices and their bases, to stand beside what moves in :mod:`cllm_lib.workbook.widgets.reduction`."""

import itertools
import math

import numpy as np
from matplotlib.colors import ListedColormap

from cllm_lib.lattice.gauss import gauss_steps
from cllm_lib.workbook.figures.style import BLUE, GREY, LINE_STYLES, VERMILION, draw_lines, ink, new_axes, several_axes
from cllm_lib.workbook.widgets.reduction import between, lattice_points


def plane(basis, title="", reach=14, points=None, target=None):
    """A lattice in the plane, and where wanted some of its points by name and a target that is not of it.

    Parameters
    ----------
    basis : array_like of int, shape (2, 2)
    title : str
    reach : int
    points : dict of str to (int, int), optional
        Their names, and how many times each basis vector they are.
    target : (float, float), optional
        In the plane's own coordinates.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "first output", "second output", width=5.4, height=5.2)
    _lattice(axes, basis, reach)
    if target is not None:
        axes.plot(*[[x] for x in target], "x", color=VERMILION, markersize=11, markeredgewidth=3, label="_target")
        axes.annotate("wanted", target, xytext=(-10, 4), textcoords="offset points", ha="right", fontsize=10, color=ink(VERMILION))
    for name, coefficients in (points or {}).items():
        place = np.array(coefficients) @ np.array(basis)
        axes.plot(*place[:, None], "o", color=BLUE, markersize=9, label="_point")
        axes.annotate(name, place, xytext=(9, -13), textcoords="offset points", fontsize=10, color=ink(BLUE))
        if target is not None:  # nothing to be seen: for the words below the figure
            axes.plot([99], [math.dist(place, target)], " ", label=f"{name}, distance from what is wanted")
    return axes


def _lattice(axes, basis, reach):
    axes.plot(*lattice_points(basis, reach).T, "o", color=GREY, markersize=3, label="_lattice")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def gauss_pictures(basis, reach=14):
    """Gauss's reduction as pictures, one for the basis as given and one after each multiple that was taken away.

    Parameters
    ----------
    basis : array_like of int, shape (2, 2)
    reach : int

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    steps = gauss_steps(basis)
    shown = [steps[0], *(after for before, after in itertools.pairwise(steps) if not np.array_equal(before[::-1], after))]
    row = several_axes([""] * len(shown), "first output", "second output", len(shown), 3.6 * len(shown), 4.2)
    for i, (axes, vectors) in enumerate(zip(row, shown, strict=True)):
        _lattice(axes, basis, reach)
        for vector, colour, dash in zip(vectors.astype(np.int64), (VERMILION, BLUE), ("-", "--"), strict=True):
            axes.plot([0, vector[0]], [0, vector[1]], dash, color=colour, linewidth=2.5, marker="o", markevery=[1])
        when = "as given" if i == 0 else f"taken away {i} time{'s' if i > 1 else ''}"
        first, second = (f"({x}, {y})" for x, y in vectors)
        axes.set_title(f"{when}\n{first}, {second}\n{between(vectors):.1f} degrees", fontsize=11)
        axes.plot([99], [between(vectors)], " ", label=f"{first} and {second}, degrees between them")
    return row


def rounding_cells(bases, reach=8.0, cells=160):
    """Where in the plane rounding finds the nearest lattice point, for several bases of one lattice.

    A target is written as multiples of the basis vectors, and the multiples are rounded. The share of all targets is that of one
    cell, since the plane repeats itself from cell to cell; what is drawn ends somewhere inside of one.

    Parameters
    ----------
    bases : dict of str to array_like of int, shape (2, 2)
    reach : float
    cells : int
        Targets tried along each side, of the picture and of one cell.

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    row = several_axes(list(bases), "first output", "second output", len(bases), 4.2 * len(bases), 4.6)
    along = (np.arange(cells, dtype=np.int64) + 0.5) / cells * 2 * reach - reach
    targets = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    for axes, (name, basis) in zip(row, bases.items(), strict=True):
        basis = np.array(basis, dtype=float)
        points = lattice_points(basis, int(2 * reach))
        found = _found(targets, basis, points)
        share = _found((targets / (2 * reach)) @ basis, basis, points).mean()
        axes.imshow(
            found.reshape(cells, cells),
            origin="lower",
            extent=(-reach, reach, -reach, reach),
            cmap=ListedColormap(["#f3c9a5", "white"]),
            vmin=0,
            vmax=1,
            label=f"{name}: the nearest is found for {share:.0%} of the targets",
        )
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]]) @ basis
        axes.plot(*corners.T, color=BLUE, linewidth=1.8, label="_cell")
        axes.grid(visible=False)
        _lattice(axes, basis, reach)
        axes.set_title(f"{name}\nfound for {share:.0%}", fontsize=11)
    return row


def _found(targets, basis, points):
    """For each target whether rounding its multiples of the basis vectors leads to a nearest one of the points."""
    multiples = np.round(targets @ np.linalg.inv(basis), 9)  # a half is a half on every processor, and goes to the even number
    rounded = np.rint(multiples) @ basis
    nearest = np.min(np.linalg.norm(targets[:, None] - points, axis=2), axis=1)
    return np.linalg.norm(targets - rounded, axis=1) < nearest + 1e-9


def shadow(first, second):
    """The second of two vectors in the plane, taken apart: what lies along the first, and the rest, at a right angle to it.

    Parameters
    ----------
    first, second : (float, float)

    Returns
    -------
    matplotlib.axes.Axes
    """
    first, second = np.array(first, dtype=float), np.array(second, dtype=float)
    mu = (second @ first) / (first @ first)
    axes = new_axes("What the second vector has of the first, and what is its own", "x", "y", width=6.4, height=4.0)
    for end, name, colour, dash in (
        (first, "b1", VERMILION, "-"),
        (second, "b2", BLUE, "-"),
        (second - mu * first, "b2*, its own", BLUE, "--"),
    ):
        axes.plot([0, end[0]], [0, end[1]], dash, color=colour, linewidth=2.5, marker="o", markevery=[1], label=f"_{name}")
        axes.annotate(name, end, xytext=(6, 6), textcoords="offset points", fontsize=11, color=ink(colour))
    foot = mu * first
    axes.plot([foot[0], second[0]], [foot[1], second[1]], ":", color=GREY, linewidth=1.5, label="_down")
    axes.plot([foot[0]], [foot[1]], "s", color=GREY, markersize=6, label="_foot")
    axes.annotate(f"{mu:.2f} times b1", foot, xytext=(4, -16), textcoords="offset points", fontsize=11, color=GREY)
    axes.plot([99], [mu], " ", label="mu, what b2 has of b1")
    axes.plot([99], [np.linalg.norm(second - foot)], " ", label="length of b2*")
    corners = np.array([first, second, second - foot, [0, 0]])
    axes.set(xlim=(corners[:, 0].min() - 1.5, corners[:, 0].max() + 2.5), ylim=(corners[:, 1].min() - 1.5, corners[:, 1].max() + 1.5))
    axes.set_aspect("equal")
    return axes


def potential_curve(steps, title):
    """The potential after each step of LLL, on a logarithmic axis, with the swaps marked.

    Parameters
    ----------
    steps : list of Step
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "step", "log10 of the potential")
    heights = np.array([math.log10(step.potential) for step in steps])
    axes.step(range(len(steps)), heights, where="post", color=BLUE, linewidth=1.8, label="log10 of the potential")
    swaps = [i for i, step in enumerate(steps) if step.kind == "swap"]
    axes.plot(swaps, heights[swaps], "o", color=VERMILION, markersize=7, label="_swaps")
    axes.legend(handles=axes.lines[1:], labels=[f"swap ({len(swaps)} of {len(steps) - 1} steps)"], frameon=False, fontsize=10)
    axes.set_xlim(-0.5, len(steps) - 0.5)
    return axes


def lengths_by_dimension(lengths, title):
    """Lengths of several vectors against the dimension of the lattice.

    Parameters
    ----------
    lengths : dict of str to dict of int to float
        By name and dimension.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "dimension of the lattice", "length (mean over lattices)")
    draw_lines(axes, {name: (list(row), list(row.values())) for name, row in lengths.items()})
    axes.set_yscale("log")
    axes.legend(facecolor="white", edgecolor="none", fontsize=10)
    return axes


def cliff(rows, title, ylabel, levels=None, top=None):
    """What a model is worth against the bits its weights are stored in, with intervals, one line for each method.

    Parameters
    ----------
    rows : dict of str to dict of int to Interval
        By method and by bits.
    title, ylabel : str
    levels : dict of str to float, optional
    top : float, optional
        Where the picture ends; what lies above is named at its edge.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "bits for each weight", ylabel, width=7.6, height=4.4)
    bits = sorted({b for row in rows.values() for b in row}, reverse=True)
    for level, value in (levels or {}).items():
        axes.axhline(value, color=GREY, linestyle=(0, (5, 3)), linewidth=1.2, label=level)
    for at, ((name, row), (colour, dash, marker)) in enumerate(zip(rows.items(), LINE_STYLES, strict=False)):
        x = np.array([bits.index(b) for b in row]) + 0.06 * (at - (len(rows) - 1) / 2)
        means = np.array([row[b].mean for b in row])
        axes.plot(x, means, dash, color=colour, marker=marker, markersize=6, linewidth=1.6, label=f"_{name}")
        for place, (b, found) in zip(x, row.items(), strict=True):
            axes.vlines(place, found.low, found.high, color=colour, linewidth=2.2, label=f"{name}, {b} bits: {found:.3f}")
    axes.set_xticks(range(len(bits)), bits)
    if top is not None:
        axes.set_ylim(top=top)
    drawn = {line.get_label()[1:]: line for line in axes.lines if line.get_label().startswith("_")}
    axes.legend([drawn[name] for name in rows], list(rows), facecolor="white", edgecolor="none", fontsize=10, loc="upper left")
    for level, value in (levels or {}).items():
        axes.annotate(level, (len(bits) - 1, value), xytext=(0, 4), textcoords="offset points", ha="right", fontsize=9, color=GREY)
    return axes
