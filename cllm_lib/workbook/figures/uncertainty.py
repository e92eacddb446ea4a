"""Figures of intervals, effects and curves of survival, for the chapter on evidence."""

import textwrap

import numpy as np

from cllm_lib.claims import multiverse
from cllm_lib.experiments.survival import kaplan_meier, restricted_mean
from cllm_lib.workbook.figures.style import BLUE, GREEN, GREY, LINE_STYLES, PURPLE, VERMILION, new_axes, several_axes

KINDS = {"holds": (GREEN, "o"), "holds only if": (PURPLE, "^"), "does not hold": (VERMILION, "s"), "undecided": (BLUE, "D")}


def coverage(intervals, truth, title):
    """Many intervals of one experiment done again and again, and the true value that they are to hold.

    Parameters
    ----------
    intervals : sequence of (float, float)
        From low to high.
    truth : float
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "the experiment, done again and again", "interval", width=9.0, height=3.6)
    lows, highs = np.transpose(intervals)
    holds = (lows <= truth) & (truth <= highs)
    for inside, colour, width, name in ((holds, BLUE, 1.6, "hold the truth"), (~holds, VERMILION, 3.0, "miss it")):
        at = np.flatnonzero(inside)
        axes.vlines(at, lows[inside], highs[inside], color=colour, linewidth=width, label=f"{len(at)} {name}")
    axes.axhline(truth, color=GREY, linestyle=(0, (5, 3)), linewidth=1.2, label="_the truth")
    axes.legend(frameon=False, fontsize=10, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return axes


def effects(rows, unit, title):
    """The first effect of each row that chance has a part in, largest fall first: 95 % thick, corrected thin.

    Effects that were the same in all seeds have no interval, and are left out.

    Parameters
    ----------
    rows : sequence of Row
    unit : str
        Only effects in this unit are drawn.
    title : str

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If no row has such an effect.
    """
    first = [(row, row.effects[0]) for row in rows if row.effects and row.effects[0].n_seeds is not None]
    drawn = [(row, one) for row, one in first if one.unit == unit and not one.is_constant]
    if not drawn:
        raise ValueError(f"no row has a first effect in {unit!r} that chance has a part in")
    drawn.sort(key=lambda pair: pair[1].interval.mean)
    axes = new_axes(title, f"effect ({unit})", "", width=10.0, height=1.5 + 0.45 * len(drawn))
    axes.axvline(0.0, color=GREY, linestyle=(0, (5, 3)), linewidth=1.2)
    for line, (row, effect) in enumerate(drawn):
        colour, marker = KINDS[row.kind]
        axes.hlines(line, effect.corrected.low, effect.corrected.high, color=colour, linewidth=1.4, label="_corrected")
        label = f"{effect.name}: {effect.interval:+.3f}, corrected {effect.corrected.low:+.3f} to {effect.corrected.high:+.3f}; {row.kind}"
        axes.hlines(line, effect.interval.low, effect.interval.high, color=colour, linewidth=5.0, label=label)
        axes.plot([effect.interval.mean], [line], marker, color=colour, markersize=7, markeredgecolor="white", label=f"_{row.kind}")
    names = [textwrap.fill(f"“{textwrap.shorten(row.claim, 70, placeholder=' …')}”: {effect.name}", 62) for row, effect in drawn]
    axes.set_yticks(range(len(drawn)), names, fontsize=8)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    first = {line.get_label().removeprefix("_"): line for line in axes.lines}
    handles = [first[kind] for kind in KINDS if kind in first]
    labels = [line.get_label().removeprefix("_") for line in handles]
    axes.figure.legend(handles, labels, frameon=False, fontsize=10, loc="outside lower center", ncols=len(KINDS))
    return axes


def specification_curve(ways, title, ylabel):
    """Answers to one question that was asked in many ways, in order of size, and below each the choices that led to it.

    Simonsohn, Simmons and Nelson, "Specification curve analysis", 2020.

    Parameters
    ----------
    ways : sequence of Way
        See :mod:`cllm_lib.claims.multiverse`.
    title, ylabel : str

    Returns
    -------
    list of matplotlib.axes.Axes
        Of the curve, and of the choices below.
    """
    ordered, found = sorted(ways, key=lambda way: way.difference.mean), multiverse.shares(ways)
    rows = [choice for choice in found if choice[0]]
    above, below = several_axes([title, ""], "", ylabel, 1, 10.0, 3.6 + 0.24 * len(rows))
    above.get_gridspec().set_height_ratios([3.0, 0.22 * len(rows)])
    at, sides = np.arange(len(ordered), dtype=np.intp), np.array([way.favours for way in ordered])
    means, lows, highs = np.transpose([(way.difference.mean, way.difference.low, way.difference.high) for way in ordered])
    for side, (colour, marker) in {"features": (GREEN, "v"), "neither": (GREY, "."), "control": (VERMILION, "^")}.items():
        mine = sides == side
        above.vlines(at[mine], lows[mine], highs[mine], color=colour, linewidth=0.6, alpha=0.45, label=f"_{side}")
        said = f"favours {side}: {mine.sum()} of {len(ordered)} ways"
        above.plot(at[mine], means[mine], marker, color=colour, markersize=3.5, linestyle="none", label=said)
    above.axhline(0.0, color="black", linewidth=1.0, label="_no difference")
    above.legend(frameon=False, fontsize=10, loc="upper left", markerscale=2.5)
    for line, (name, option) in enumerate(rows):
        here = at[[way.choices[name] == option for way in ordered]]
        said = ", ".join(f"{share:.0%} {side}" for side, share in found[name, option].items())
        below.vlines(here, line - 0.38, line + 0.38, color=BLUE, linewidth=0.5, label=f"{name}: {option}: {said}")
    below.set_yticks(range(len(rows)), [f"{name}: {option}" for name, option in rows], fontsize=8)
    below.set(ylim=(len(rows) - 0.4, -0.6), ylabel="", xlabel=f"{len(ordered):,} ways, in order of their answers")
    for axes in (above, below):
        axes.set_xlim(-len(ordered) * 0.01, len(ordered) * 1.01)
    return [above, below]


def seed_by_seed(values, title, xlabel, levels=None):
    """Every run as a point, one line of the figure for each variant, beside levels known beforehand.

    Parameters
    ----------
    values : dict of str to array_like
        One number a seed, by variant.
    title, xlabel : str
    levels : dict of str to float, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, xlabel, "", width=8.0, height=1.5 + 0.36 * len(values))
    for name, level in (levels or {}).items():
        axes.axvline(level, color=GREY, linestyle=(0, (5, 3)), linewidth=1.2)
        where = {"xycoords": axes.get_xaxis_transform(), "xytext": (3, 2), "textcoords": "offset points"}
        axes.annotate(name, (level, 0.0), fontsize=9, color=GREY, **where)
    for line, (name, found) in enumerate(values.items()):
        found = np.asarray(found, dtype=float)
        said = f"{name}: from {found.min():.3f} to {found.max():.3f}, {len(found)} seeds"
        axes.scatter(found, np.full(len(found), line), s=34, facecolors="none", edgecolors=BLUE, linewidths=1.4, label=said)
    axes.set_yticks(range(len(values)), list(values), fontsize=10)
    axes.set_ylim(len(values) - 0.4, -0.6)
    return axes


def survival(times, horizons, title):
    """The share of seeds still short of the target, as epochs go by: a picture for each text, a curve for each variant.

    Parameters
    ----------
    times : dict of str to dict of str to array_like
        By text, then by variant: epochs until the target, one a seed; infinite where the horizon came first.
    horizons : dict of str to float
        By text.
    title : str

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    row = several_axes([f"{title}{text}" for text in times], "epochs", "share still short of the target", len(times), 3.6 * len(times), 4.0)
    for axes, (text, curves) in zip(row, times.items(), strict=True):
        horizon, handles = horizons[text], []
        for at, ((name, epochs), (colour, dash, _)) in enumerate(zip(curves.items(), LINE_STYLES, strict=False)):
            reached = np.isfinite(epochs)
            stopped = np.where(reached, epochs, horizon)
            moments, shares = kaplan_meier(stopped, reached)
            x, y = np.concatenate([[0.0], moments, [horizon]]), np.concatenate([[1.0, *shares], [shares[-1] if len(shares) else 1.0]])
            handles += axes.step(x, y + 0.008 * at, dash, color=colour, linewidth=2.0, where="post", label=f"_{name}")
            mean = restricted_mean(stopped, reached, horizon)
            said = f"{text}, {name}: {reached.sum()} of {len(reached)} seeds arrive; mean {mean:.2f} epochs, none counted beyond {horizon}"
            axes.vlines([], 0, 0, label=said)  # nothing to be seen: for the words below the figure
        axes.set(xlim=(0, horizon), ylim=(-0.03, 1.08))
        axes.legend(handles, curves, frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.18))
        axes.set_ylabel(axes.get_ylabel() if axes is row[0] else "")
    return row
