"""Figures of the workbook: one house style, a title, named axes, and a text that tells what a figure shows.

Colours are Okabe and Ito's, told apart by colour-blind readers; lines also differ in dash and marker, so that print
without colour loses nothing. The ground is white on purpose: it stays legible on a dark page.
"""

import io
import itertools

import numpy as np
from IPython.display import Image, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cllm_lib.instruments.diagnosis import HEALTHY_UPDATES
from cllm_lib.instruments.gradient_check import agreement
from cllm_lib.training.ravine import ravine_loss

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#555555"
LINE_STYLES = ((BLUE, "-", "o"), (VERMILION, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"), (ORANGE, "-", "v"))


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
    display(Image(buffer.getvalue(), alt=caption))
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


def loss_curves(curves, title, levels=None):
    """Losses against epochs, beside levels known beforehand.

    Parameters
    ----------
    curves : dict of str to sequence of float, or to dict of float to float
        Mean loss of epoch 1, 2, ..., in nats per token; or loss by epoch, where epochs are left out.
    title : str
    levels : dict of str to float, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "epoch", "loss (nats per token)")
    draw_levels(axes, levels or {})
    by_epoch = {label: losses if isinstance(losses, dict) else dict(enumerate(losses, 1)) for label, losses in curves.items()}
    draw_lines(axes, {label: (list(losses), list(losses.values())) for label, losses in by_epoch.items()})
    axes.set_ylim(bottom=0.0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    drawn = [line for line in axes.lines if line.get_label() in curves]
    axes.legend(handles=drawn, facecolor="white", edgecolor="none", framealpha=0.9, fontsize=10)  # it may lie over a level
    return axes


def repair_ladders(ladders, title, levels, ceiling):
    """Loss after each repair, for several orders of the same repairs. What lies above the ceiling is drawn on it, with an arrow.

    Parameters
    ----------
    ladders : dict of str to (sequence of str, sequence of float)
        By name: a letter for each repair in its order, and the losses, the first before any repair.
    title : str
    levels : dict of str to float
    ceiling : float

    Returns
    -------
    matplotlib.axes.Axes
        Its lines are told apart by the legend and not listed in words: a rung at which training is unstable has other
        digits on another machine.
    """
    axes = new_axes(title, "repairs made", "loss of the last epoch (nats per token)", width=8.0, height=4.8)
    draw_levels(axes, levels)
    drawn = {}
    sides = itertools.cycle([(0, 9), (0, -9), (8, 9)])  # above, below, above to the right: so that letters do not meet
    for (name, (letters, losses)), (colour, _, _), side in zip(ladders.items(), LINE_STYLES, sides, strict=False):
        exploded = ~(np.asarray(losses, dtype=float) <= ceiling)  # NaN is not below anything
        drawn[f"_{name}"] = (np.arange(len(losses), dtype=np.int64), np.where(exploded, ceiling, losses))
        for rung, letter in enumerate(letters, 1):
            text = f"{letter}\u2191" if exploded[rung] else letter
            place = {"xytext": side, "textcoords": "offset points", "ha": "center", "va": "center"}
            axes.annotate(text, (rung, drawn[f"_{name}"][1][rung]), **place, fontsize=10, color=colour)
    draw_lines(axes, drawn)
    last = max(len(losses) for _, losses in ladders.values()) - 1
    axes.set(ylim=(None, ceiling + 0.4), xlim=(-0.4, 1.25 * last), xticks=range(last + 1))  # the names of the levels stand at the right
    lines = {line.get_label(): line for line in axes.lines}
    axes.legend([lines[f"_{name}"] for name in ladders], list(ladders), facecolor="white", edgecolor="none", framealpha=0.9, fontsize=10)
    return axes


def pair_matrix(losses, names, title, ceiling, step=0.2):
    """Loss with each pair of repairs, on the diagonal with each alone, the number in its field. Dark is low.

    Parameters
    ----------
    losses : array_like, shape (n, n)
    names : sequence of str
    title : str
    ceiling : float
        What lies above counts as exploded, and is marked so.
    step : float
        Losses are rounded to multiples of it: an unruly run ends a few hundredths apart on different processors.

    Returns
    -------
    matplotlib.axes.Axes
    """
    losses = step * np.round(np.asarray(losses, dtype=float) / step)
    shown = np.where(losses <= ceiling, losses, ceiling)
    axes = new_axes(title, "and this one", "this repair", width=6.0, height=5.2)
    image = axes.imshow(shown, cmap="cividis", vmax=ceiling)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    middle = (shown.min() + ceiling) / 2
    for (row, column), loss in np.ndenumerate(losses):
        text = f"{loss:.1f}" if loss <= ceiling else "\u2191"
        axes.text(column, row, text, ha="center", va="center", fontsize=11, color=BLACK if shown[row, column] > middle else "white")
    axes.figure.colorbar(image, ax=axes, label=f"loss of the last epoch, to {step:g}", shrink=0.85)
    return axes


def training_report(history, batches_per_epoch, levels, moved):
    """A run at a glance, as the dashboard shows it: the loss over levels known beforehand, and how far a step moved each part.

    Parameters
    ----------
    history : History
    batches_per_epoch : int
    levels : dict of str to float
    moved : list of Movement
        As :func:`~cllm_lib.instruments.diagnosis.movements` gives them. A part that was all 0, or stood still, has no point.

    Returns
    -------
    list of matplotlib.axes.Axes
        The losses, and the update ratios with the healthy range shaded.
    """
    titles = ["Loss", "Change by the last step / weights"]
    left, right = row = several_axes(titles, "epoch", "loss (nats per token)", 2, 9.5, 3.8)
    draw_levels(left, levels)
    epochs = range(1, 1 + len(history.epoch_losses))
    validation = {step / batches_per_epoch: loss for step, loss in history.validation_losses.items()}
    curves = {"training": (epochs, history.epoch_losses), "held out": (list(validation), list(validation.values()))}
    draw_lines(left, {name: curve for name, curve in curves.items() if len(curve[0])})
    left.set_ylim(bottom=0.0)
    left.legend(handles=[line for line in left.lines if line.get_label() in curves], facecolor="white", edgecolor="none", fontsize=10)
    right.set(yscale="log", ylim=(1e-6, 1.0), xlabel="", ylabel="update ratio")
    right.axhspan(*HEALTHY_UPDATES, color=SKY, alpha=0.25)
    right.annotate(
        "healthy", (0.01, HEALTHY_UPDATES[1]), xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points", fontsize=10
    )
    for place, movement in enumerate(moved):
        if movement.update_ratio > 0.0:
            right.plot([place], [movement.update_ratio], "o", color=VERMILION, markersize=8, label=movement.part)
    right.set_xticks(range(len(moved)), [movement.part.replace(" ", "\n") for movement in moved], fontsize=10)
    right.set_xlim(-0.5, max(1, len(moved)) - 0.5)
    return row


def uniform_loss_curve(uniform_loss, marks):
    """Loss of a guess that gives every word the same chance, against the number of words.

    Parameters
    ----------
    uniform_loss : callable
        From V to the loss in nats: the reader's own.
    marks : dict of str to int
        Vocabularies to mark, by name.

    Returns
    -------
    matplotlib.axes.Axes
    """
    sizes = np.unique(np.round(np.logspace(0, 5.2, 80)).astype(np.int64))
    axes = new_axes("How wrong is a uniform guess?", "V, words to choose from", "loss (nats)")
    axes.set_xscale("log")
    axes.plot(sizes, [float(uniform_loss(int(size))) for size in sizes], color=BLUE, linewidth=1.8, label="uniform guess")
    for name, size in marks.items():
        loss = float(uniform_loss(size))
        axes.plot([size], [loss], "o", color=VERMILION, markersize=7, label=f"{name} (V = {size:,})")
        axes.annotate(f"{name}: {loss:.2f}", (size, loss), xytext=(9, -4), textcoords="offset points", va="top", fontsize=10)
    return axes


def bars(values, title, ylabel, log=False):
    """Named bars. On a logarithmic axis a bar of exactly 0 cannot stand; it is marked with the word zero instead.

    Parameters
    ----------
    values : dict of str to float
    title, ylabel : str
    log : bool

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "", ylabel)
    heights = [float(value) for value in values.values()]
    drawn = axes.bar(range(len(heights)), heights, color=SKY, edgecolor=BLACK, linewidth=0.8, width=0.6)
    axes.set_xticks(range(len(heights)), [name.replace(" ", "\n") for name in values], fontsize=10)
    if log:
        axes.set_yscale("log")
        positive = [height for height in heights if height > 0]
        axes.set_ylim(min(positive) / 10 if positive else 0.1, max(positive, default=1.0) * 10)
    for bar in drawn:
        height = bar.get_height()
        text = "zero" if height == 0 else _number(height, digits=2)
        anchor = axes.get_ylim()[0] if log and height == 0 else height
        axes.annotate(
            text, (bar.get_x() + bar.get_width() / 2, anchor), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=10
        )
    return axes


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


def attention_map(weights, words, title):
    """Where each word looks in one head, as a labelled map.

    Parameters
    ----------
    weights : array_like, shape (T, T)
        Query rows, key columns.
    words : sequence of str
        T of them.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    return attention_maps({title: weights}, words)[0]


def attention_maps(maps, words):
    """Maps side by side, in one scale of colours: before and after training, or all heads of a layer.

    Parameters
    ----------
    maps : dict of str to array_like, shape (T, T)
        Weights, query rows and key columns, by title. `{f"head {h}": w for h, w in enumerate(weights[0])}` shows a layer.
    words : sequence of str
        T of them.

    Returns
    -------
    list of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If a map is not T x T.
    """
    arrays = [np.asarray(weights, dtype=float) for weights in maps.values()]
    for title, weights in zip(maps, arrays, strict=True):
        if weights.shape != (len(words), len(words)):
            raise ValueError(f"the map {title!r} has shape {weights.shape}, and there are {len(words)} words: give weights[layer][head]")
    side = min(5.0, max(2.8, 0.24 * len(words)))
    titles, width, height = [str(title) for title in maps], len(maps) * side + 0.8, side + 0.4
    row = several_axes(titles, "key: what is looked at", "query: who looks", len(maps), width, height)
    scale = {"vmin": min(0.0, *(np.nanmin(a) for a in arrays)), "vmax": max(1.0, *(np.nanmax(a) for a in arrays))}
    for axes, weights in zip(row, arrays, strict=True):
        image = axes.imshow(weights, cmap="Blues", **scale)
        axes.set_xticks(range(len(words)), words, rotation=90, fontsize=9)
        axes.set_yticks(range(len(words)), words, fontsize=9)
        axes.grid(visible=False)
    for axes in row[1:]:
        axes.set_ylabel("")  # as at the first
    row[0].figure.colorbar(image, ax=row, label="weight", shrink=0.8)
    return row


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


def computation_graph(model, tokens, targets):
    """The whole computation with its shapes: forward on top, from left to right; backward below, from right to left.

    Parameters
    ----------
    model : CLLM
        Made of the sound parts; one layer, or two, keeps the picture legible.
    tokens, targets : ndarray of int, shape (B, T)

    Returns
    -------
    matplotlib.axes.Axes
        Every shape in it was read from arrays while the model ran; see :func:`~cllm_lib.workbook.figures.computation.record`.
    """
    from cllm_lib.workbook.figures.computation import record

    operations = record(model, tokens, targets)
    columns = {}
    for operation in operations:
        columns[id(operation)] = 1 + max((columns[id(source)] for source in operation.inputs), default=-1)
    rows = {"query": 1.35, "value": -1.35}
    users = {id(operation): sum(operation in other.inputs for other in operations) for operation in operations}
    width = 1 + max(columns.values())

    axes = new_axes("One step: forward on top, backward below", "", "", width=0.95 * width, height=6.2)
    axes.axis("off")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(-4.7, 4.7)
    for centre, way in ((2.4, 1), (-2.4, -1)):
        axes.text(width - 0.5, centre + 1.6, "forward \u2192" if way > 0 else "\u2190 backward", ha="right", fontsize=11, color=GREY)
        for operation in operations:
            x, y = columns[id(operation)], centre + rows.get(operation.name, 0.0)
            for source in operation.inputs:
                begin, end = (columns[id(source)], centre + rows.get(source.name, 0.0)), (x, y)
                _arrow(axes, *((begin, end) if way > 0 else (end, begin)), bend=1 if x - columns[id(source)] > 1 else 0)
            arrays, belonging, sign = (
                (operation.value, operation.parameters, "") if way > 0 else (operation.gradient, operation.parameter_gradients, "d ")
            )
            text = [sign + operation.name, _shape(arrays)]
            text += [f"{sign}{_SYMBOLS[name.rpartition('.')[2].rpartition('_')[2]]} {_shape(array)}" for name, array in belonging.items()]
            if way < 0 and users[id(operation)] > 1:
                text.append(f"sum of {users[id(operation)]}")
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": BLUE if way > 0 else VERMILION, "linewidth": 1.2}
            axes.text(x, y, "\n".join(text), ha="center", va="center", fontsize=8, bbox=box, zorder=3)
    return axes


_SYMBOLS = {"weight": "W", "bias": "b", "gain": "g", "embedding": "E"}


def _shape(array):
    return "\u00d7".join(map(str, np.shape(array))) or "1 number"


def _arrow(axes, begin, end, bend):
    """From one box to another; a road that passes over others is bent outwards."""
    style = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 22, "shrinkB": 22, "linewidth": 1.0}
    axes.annotate("", end, begin, arrowprops=style | {"connectionstyle": f"arc3,rad={-0.35 * bend}"}, zorder=1)


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
        axes.annotate(f"{name}\n{size:,}", (beside, 0.42), ha=side, va="center", fontsize=11, color=colour)
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
