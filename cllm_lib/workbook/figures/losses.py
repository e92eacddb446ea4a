"""Figures of losses: curves of a run over its epochs, ladders and pairs of repairs, bars, what a guess is worth."""

import itertools

import numpy as np

from cllm_lib.instruments.diagnosis import HEALTHY_UPDATES
from cllm_lib.workbook.figures.style import (
    BLACK,
    BLUE,
    LINE_STYLES,
    SKY,
    VERMILION,
    _number,
    draw_levels,
    draw_lines,
    ink,
    new_axes,
    several_axes,
)


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
            axes.annotate(text, (rung, drawn[f"_{name}"][1][rung]), **place, fontsize=10, color=ink(colour))
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
    right.axhspan(*HEALTHY_UPDATES, facecolor=(SKY, 0.25), edgecolor=BLUE)
    above = {"xycoords": ("axes fraction", "data"), "xytext": (0, 3), "textcoords": "offset points"}
    right.annotate("usual, where training goes well", (0.01, HEALTHY_UPDATES[1]), **above, fontsize=10)
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
