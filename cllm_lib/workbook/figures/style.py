"""The house style of the workbook's figures: a title, named axes, and a text that tells what a figure shows.

Colours are Okabe and Ito's, told apart by colour-blind readers; lines also differ in dash and marker, so that print
without colour loses nothing. Of the eight, orange and yellow are left out: they are too pale for a line on white, and orange,
darkened until it is not, is vermilion to many. Sky blue, as pale, fills bars with a black edge. The ground is white on purpose:
it stays legible on a dark page.
"""

import io
import itertools

import numpy as np
from IPython.display import Image, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

BLACK, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#555555"
LINE_STYLES = ((BLUE, "-", "o"), (VERMILION, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"), (BLACK, "-", "v"))


def ink(colour):
    """The same hue, dark enough for words: 4.5 to 1 against white, where a line needs 3 to 1 (WCAG 2.1, 1.4.3 and 1.4.11).

    Returns
    -------
    tuple of float
        Red, green and blue, from 0 to 1.
    """
    return tuple(0.72 * part for part in to_rgb(colour))


def new_axes(title, xlabel, ylabel, width=7.0, height=4.0):
    """One pair of axes in the house style.

    Returns
    -------
    matplotlib.axes.Axes
        Its figure is `axes.figure`.
    """
    return several_axes([title], xlabel, ylabel, 1, width, height)[0]


def several_axes(titles, xlabel, ylabel, columns, width, height):
    """Axes in one figure, in the house style, row by row; `width` and `height` are those of the whole figure.

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    figure = Figure(figsize=(width, height), dpi=90, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    all_axes = list(figure.subplots(len(titles) // columns, columns, squeeze=False).flat)
    for axes, title in zip(all_axes, titles, strict=True):
        axes.set_title(title, fontsize=12)
        axes.set_xlabel(xlabel, fontsize=11)
        axes.set_ylabel(ylabel, fontsize=11)
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return all_axes


def show(axes, caption):
    """Show a figure, with what to see in it as its alternative text and as words below it.

    Under the caption stand the numbers of every line, bar and map that was drawn, read back from the drawing: whoever
    cannot see the picture has them, and a changed picture changes this text.

    Parameters
    ----------
    axes : matplotlib.axes.Axes, or a list of them
        Of one figure.
    caption : str
        One sentence: what to see.
    """
    row = axes if isinstance(axes, list) else [axes]
    buffer = io.BytesIO()
    row[0].figure.savefig(buffer, format="png", metadata={"Software": None})
    display(Image(buffer.getvalue(), metadata={"alt": caption}))  # so that an IPython of 2021 takes it, too, as Colab has
    print("\n".join([f"What to see: {caption}", *itertools.chain.from_iterable(map(numbers_drawn, row))]))


def numbers_drawn(axes):
    """One line of text for each labelled line, bar and map in `axes`, from the numbers they were drawn with; other labels as they are."""
    texts = []
    for line in axes.lines:
        if not line.get_label().startswith("_"):
            y = np.asarray(line.get_ydata(), dtype=float)
            y = y[~np.isnan(y)]  # where a line breaks
            summary = f"at {_number(y[0])}" if (y == y[0]).all() else f"from {_number(y[0])} to {_number(y[-1])}, mean {_number(y.mean())}"
            texts.append(f"  {line.get_label()}: {summary}")
    names = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
    for bars in axes.containers:
        texts += [f"  {name}: {_number(bar.get_height())}" for name, bar in zip(names, bars, strict=True)]
    for artist in [*axes.images, *axes.collections]:  # what has a label says itself what it shows
        if not artist.get_label().startswith("_"):
            texts.append(f"  {artist.get_label()}")
    for image in axes.images:
        if not image.get_label().startswith("_"):
            continue
        rows = [label.get_text() for label in axes.get_yticklabels()]
        last = np.asarray(image.get_array(), dtype=float)[-1]
        best = int(np.argmax(last))
        texts.append(
            f"  {axes.get_title()}: the last row, {rows[-1]}, is largest at {names[best]} (column {best}): {_number(last[best], 2)}"
        )
    return texts


def _number(value, digits=4):
    return f"{value:.{digits}g}"


def draw_lines(axes, curves):
    """Draw named curves, each in a colour, dash and marker of its own.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : dict of str to (x, y)
        Sequences of equal length.
    """
    for (label, (x, y)), (colour, dash, marker) in zip(curves.items(), itertools.cycle(LINE_STYLES), strict=False):
        every = max(1, len(x) // 10)
        axes.plot(x, y, dash, color=colour, marker=marker, markevery=every, markersize=5, linewidth=1.8, label=label)


def draw_levels(axes, levels):
    """Draw named horizontal lines: numbers known before any training. The name stands at the line itself.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    levels : dict of str to float
    """
    for label, value in levels.items():
        axes.axhline(value, color=GREY, linestyle=(0, (5, 3)), linewidth=1.2, label=label)
        at_the_right = {"xycoords": axes.get_yaxis_transform(), "xytext": (-4, -4), "textcoords": "offset points"}
        axes.annotate(label, (1.0, value), **at_the_right, ha="right", va="top", fontsize=10, color=GREY)
