"""Figures about positions, to stand beside what moves in :mod:`cllm_lib.workbook.widgets.encodings`."""

import numpy as np

from cllm_lib.workbook.figures.style import BLUE, GREY, LINE_STYLES, VERMILION, new_axes, several_axes
from cllm_lib.workbook.widgets.encodings import SPEEDS, TABLES, angle, turned_pair


def position_maps(encoding, length=24, width=16):
    """The table of an encoding, and the dot products of its rows.

    Parameters
    ----------
    encoding : {"sinusoidal", "spiral", "clock", "prime"}
    length, width : int

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    table = TABLES[encoding](length, width)
    row = several_axes([f"{encoding}: the table", "dot products of its rows"], "", "position", 2, 9.0, 4.2)
    for axes, values, xlabel in zip(row, (table, table @ table.T), ("column", "position"), strict=True):
        image = axes.imshow(values, cmap="PuOr", vmin=-np.abs(values).max(), vmax=np.abs(values).max(), aspect="auto")
        axes.set_xticks(range(values.shape[1]), range(values.shape[1]), fontsize=6)
        axes.set_yticks(range(length), range(length), fontsize=6)
        axes.set_xlabel(xlabel, fontsize=11)
        axes.grid(visible=False)
        axes.figure.colorbar(image, ax=axes, shrink=0.85)
    return row


def likeness_by_distance(encodings, length=64, width=32):
    """How alike position 0 and each later position are: one curve for each encoding.

    Parameters
    ----------
    encodings : sequence of str
    length, width : int

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes("How alike are position 0 and a later one?", "the later position", "dot product of their rows")
    for encoding, (colour, dash, marker) in zip(encodings, LINE_STYLES, strict=False):
        table = TABLES[encoding](length, width)
        axes.plot(table @ table[0], dash, color=colour, marker=marker, markevery=8, markersize=5, linewidth=1.8, label=encoding)
    axes.set_ylim(top=1.2)
    axes.legend(frameon=False, fontsize=10, ncols=4, loc="upper center")
    return axes


def turned_arrows(query=5, key=2, later=(0, 4), speed="30 degrees"):
    """One pair of columns of query and key, as turned at their positions, and again with both moved on alike.

    Parameters
    ----------
    query, key : int
        Positions.
    later : sequence of int
        How much further on both stand in each of the pictures.
    speed : str
        A key of :data:`~cllm_lib.workbook.widgets.encodings.SPEEDS`.

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    titles = [f"query at {query + more}, key at {key + more}" for more in later]
    row = several_axes(titles, "first column of the pair", "second", len(later), 4.2 * len(later), 4.2)
    around = np.linspace(0.0, 2.0 * np.pi, 200)
    for axes, more in zip(row, later, strict=True):
        axes.plot(np.cos(around), np.sin(around), color=GREY, linewidth=0.8)
        arrows = turned_pair(query + more, key + more, SPEEDS[speed])
        for arrow, name, colour, dash in zip(arrows, ("query", "key"), (VERMILION, BLUE), ("-", "--"), strict=True):
            axes.plot([0, arrow[0]], [0, arrow[1]], dash, color=colour, linewidth=2.5, marker="o", markevery=[1])
            axes.annotate(name, 1.1 * arrow, ha="left" if arrow[0] >= 0 else "right", va="center", fontsize=11)
        numbers = {"degrees from key to query": angle(*arrows), "product": arrows[0] @ arrows[1]}
        for label, number in numbers.items():  # nothing to be seen: for the words below the figure
            axes.plot([9.0], [number], " ", label=f"query at {query + more}, key at {key + more}, {label}")
        axes.set_title(f"{axes.get_title()}\n{angle(*arrows):.1f} degrees apart, product {arrows[0] @ arrows[1]:.3f}", fontsize=11)
        axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
    return row


def intervals(rows, title, xlabel, levels=None):
    """Means with their intervals, one line of the figure for each name, beside levels known beforehand.

    Parameters
    ----------
    rows : dict of str to dict of str to Interval
        By name and by what was measured, the same in every row.
    title, xlabel : str
    levels : dict of str to float, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, xlabel, "", width=8.0, height=1.6 + 0.42 * len(rows))
    for name, value in (levels or {}).items():
        axes.axvline(value, color=GREY, linestyle=(0, (5, 3)), linewidth=1.2)
        axes.annotate(
            name, (value, 0.0), xycoords=axes.get_xaxis_transform(), xytext=(3, 3), textcoords="offset points", fontsize=9, color=GREY
        )
    series = list(dict.fromkeys(label for row in rows.values() for label in row))
    for at, (label, (colour, _, marker)) in enumerate(zip(series, LINE_STYLES, strict=False)):
        for line, (name, row) in enumerate(rows.items()):
            place, found = line + 0.22 * (at - (len(series) - 1) / 2), row[label]
            said = ", ".join([name, *([label] if len(series) > 1 else [])])
            axes.hlines(place, found.low, found.high, color=colour, linewidth=2.2, label=f"{said}: {found:.3f}")
            axes.plot([found.mean], [place], marker, color=colour, markersize=6, label=f"_{label}")
    axes.set_yticks(range(len(rows)), list(rows), fontsize=10)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if len(series) > 1:
        first = {line.get_label(): line for line in axes.lines}
        handles = [first[f"_{label}"] for label in series]
        axes.legend(handles, series, frameon=False, fontsize=10, loc="upper center", bbox_to_anchor=(0.5, -0.5 / len(rows) - 0.06), ncols=2)
    return axes
