"""Figures of case files: curves of patients, what each instrument can tell, beliefs after each question, the trunk of the tree."""

import math

import numpy as np

from cllm_lib.workbook.figures.style import BLUE, GREY, VERMILION, draw_levels, draw_lines, new_axes, several_axes

GROUPS = {  # of defects, by the module that plants them
    "initial_weights": "initial\nweights",
    "attention": "attention",
    "layers": "layers",
    "losses": "losses,\ngradients",
    "optimizers": "optimizer,\nrate",
    "texts": "text",
    "checkpoints": "check-\npoint",
}


def case_curves(cases):
    """Loss curves of several patients, a panel each, with ln V.

    Parameters
    ----------
    cases : dict of str to Case
        By title; a multiple of three.

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    panels = several_axes(list(cases), "step", "loss (nats)", 3, 9.5, 2.4 * len(cases) / 3)
    for axes, case in zip(panels, cases.values(), strict=True):
        held_out = case.validation_losses
        axes.plot(range(1, len(case.losses) + 1), case.losses, color=BLUE, linewidth=1.2, label="training")
        axes.plot(list(held_out), list(held_out.values()), "--", color=VERMILION, linewidth=1.6, label="held out")
        draw_levels(axes, {"ln V": math.log(case.settings.vocab_size)})
    panels[0].legend(frameon=False, fontsize=8, loc="lower left")
    return panels


def before_and_after(verdict, title):
    """The losses of a patient, and of the same training with the sound part in its place.

    Parameters
    ----------
    verdict : CaseVerdict
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "step", "loss (nats per token)")
    curves = {"as it was": verdict.before, "repaired": verdict.after}
    draw_lines(axes, {label: (range(1, len(losses) + 1), losses) for label, losses in curves.items()})
    axes.legend(frameon=False, fontsize=10)
    return axes


def what_instruments_tell(shares, groups):
    """Which instrument speaks up for which defect, as a map.

    Parameters
    ----------
    shares : dict of str to dict of str to float
        By instrument and defect: the share of patients for which it says a word that no healthy patient shows.
    groups : dict of str to str
        The group of each defect, in the order in which they are to stand.

    Returns
    -------
    matplotlib.axes.Axes
    """
    names = list(groups)
    axes = new_axes("What each instrument can tell", "defects, by the place they stand at", "", width=9.5, height=6.2)
    grid = np.array([[row[name] for name in names] for row in shares.values()])
    told = [f"{instrument}: {int((row >= 0.5).sum())} of {len(names)}" for instrument, row in zip(shares, grid, strict=True)]
    axes.imshow(grid, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", label="\n  ".join(told))
    axes.set_yticks(range(len(shares)), list(shares), fontsize=9)
    kinds = list(groups.values())
    edges = [i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]]
    for edge in edges:
        axes.axvline(edge - 0.5, color=GREY, linewidth=0.8)
    middles = [(start + stop - 1) / 2 for start, stop in zip([0, *edges], [*edges, len(kinds)], strict=True)]
    axes.set_xticks(middles, [GROUPS[kind] for kind in dict.fromkeys(kinds)], fontsize=9)
    axes.grid(visible=False)
    return axes


def beliefs(steps, title, least=0.05):
    """The belief after each question, as a map: a row a question, a column a defect that was ever likely.

    Parameters
    ----------
    steps : list of (str, dict of str to float)
        What was asked, and the belief afterwards.
    title : str
    least : float
        Belief at which a defect counts as likely.

    Returns
    -------
    matplotlib.axes.Axes
    """
    names = [name for name in steps[0][1] if any(belief[name] >= least for _, belief in steps)]
    grid = np.array([[belief[name] for name in names] for _, belief in steps])
    axes = new_axes(title, "", "", width=8.0, height=1.6 + 0.42 * len(steps))
    rows = [_likeliest(question, belief) for question, belief in steps]
    axes.imshow(grid, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", label="\n  ".join(rows))
    axes.set_yticks(range(len(steps)), [question for question, _ in steps], fontsize=10)
    axes.set_xticks(range(len(names)), names, fontsize=9, rotation=30, ha="right")
    for (i, j), share in np.ndenumerate(grid):
        if share >= least:
            axes.annotate(f"{share:.2f}", (j, i), ha="center", va="center", fontsize=9, color="white" if share > 0.6 else "black")
    axes.grid(visible=False)
    return axes


def _likeliest(question, belief):
    """A row in words: the two likeliest defects."""
    best = sorted(belief, key=belief.get, reverse=True)[:2]
    return f"{question}: " + ", ".join(f"{name} {belief[name]:.2f}" for name in best)


def question_tree(steps, title):
    """The trunk of the tree of questions: at each question the defects that branch off, and the belief in "healthy" that is left.

    Parameters
    ----------
    steps : list of (str, tuple of str, float)
        As :func:`cllm_lib.casebook.trunk` gives them.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(title, "", "", width=9.0, height=0.62 * len(steps) + 0.8)
    axes.axis("off")
    rows = [f"{question}: {len(found)} branch off, healthy {left:.2f}" for question, found, left in steps]
    axes.plot([0.0, 0.0], [0.0, -len(steps)], color=GREY, linewidth=2.0)
    axes.scatter([0.0] * len(steps), [-i for i in range(len(steps))], s=60, color=BLUE, zorder=3, label="\n  ".join(rows))
    for i, (question, found, left) in enumerate(steps):
        axes.annotate(question, (-0.03, -i), ha="right", va="center", fontsize=10)
        shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        axes.annotate(f"{len(found)}: {shown}" if found else "none", (0.06, -i), ha="left", va="center", fontsize=9)
        axes.annotate(f"silent: healthy {left:.2f}", (0.02, -i - 0.5), ha="left", va="center", fontsize=8, color=GREY)
    axes.set(xlim=(-0.42, 1.2), ylim=(-len(steps) - 0.2, 0.6))
    return axes
