"""Lattice reduction to step through: Gauss's of two vectors, and LLL's of several."""

import math

import ipywidgets
import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.lattice.gauss import gauss_steps
from cllm_lib.lattice.lll import lll_steps
from cllm_lib.workbook.widgets.controls import WRAPPED, Panel, button, choice, pick
from cllm_lib.workbook.widgets.svg import MARK, SHADE, labels, svg, text

COORDINATES = range(-12, 13)
REACH, SCALE = 14, 13  # of the plane: whole numbers on each side of 0, and pixels for each
BASES = {
    "three": ((1, 1, 1), (-1, 0, 2), (3, 5, 6)),
    "four": ((12, 7, -3, 4), (11, 8, -2, 4), (5, -9, 2, 7), (23, 6, -5, 9)),
    "knapsack": ((1, 0, 0, 316), (0, 1, 0, 437), (0, 0, 1, 523), (0, 0, 0, 839)),
}
DELTAS = {"3/4": 0.75, "0.99": 0.99}
ROW = 26
CHART = (420, 150)  # width and height of the potential's curve


def gauss_viewer(first=(7, 7), second=(5, 3), step=0):
    """Choose two vectors and reduce them; see :class:`GaussViewer`."""
    return GaussViewer(first, second, step)


def lll_viewer(basis="knapsack", step=0, delta="3/4"):
    """Step through LLL on one of three bases; see :class:`LLLViewer`."""
    return LLLViewer(basis, step, delta)


class _Steps(Panel):
    """A slider through the steps of a reduction, with buttons for one on and one back."""

    def __init__(self, controls, step):
        self.step = choice("step", [0], 0)
        self.next = button("next step", "go one step on", lambda: self._go(1))
        self.undo = button("undo", "go one step back", lambda: self._go(-1))
        self.sentence, self.picture = ipywidgets.HTML(), ipywidgets.HTML()
        self._renew()
        if step not in self.step.options:
            raise ValueError(f"step is {step!r}: give one of 0 to {len(self.step.options) - 1}, which is the last")
        self.step.value = step
        for control in controls:
            control.observe(self._renew, names="value")
        self.step.observe(self._redraw, names="value")
        self._redraw()
        buttons = ipywidgets.HBox([self.next, self.undo], layout=WRAPPED)
        super().__init__([*controls, self.step, buttons, self.sentence, self.picture])

    def _go(self, by):
        self.step.value = min(max(self.step.value + by, 0), len(self.step.options) - 1)

    def _renew(self, change=None):
        self.steps = self._reduction()
        self.step.options = range(max(1, len(self.steps)))  # which chooses the first
        self._redraw()

    def _redraw(self, change=None):
        here, last = self.step.value, len(self.step.options) - 1
        self.next.disabled, self.undo.disabled = here == last, here == 0
        self.sentence.value, self.picture.value = self._drawn(here)


class GaussViewer(_Steps):
    """Two vectors, the lattice they make, and Gauss's reduction of them step by step.

    Parameters
    ----------
    first, second : (int, int)
        From -12 to 12 each.
    step : int
        The one on show at first.

    Attributes
    ----------
    coordinates : list of ipywidgets.SelectionSlider
        x and y of the first vector, x and y of the second.
    step : ipywidgets.SelectionSlider
    next, undo : ipywidgets.Button
    sentence, picture : ipywidgets.HTML
    steps : list of ndarray
        As `gauss_steps` gives them; empty if both vectors lie on one line.

    Raises
    ------
    ValueError
        If a coordinate or a step does not exist.
    """

    def __init__(self, first=(7, 7), second=(5, 3), step=0):
        given = [*first, *second]
        names = ("first, x", "first, y", "second, x", "second, y")
        for name, value in zip(names, given, strict=True):
            if value not in COORDINATES:
                raise ValueError(f"{name} is {value!r}: give whole numbers from {COORDINATES[0]} to {COORDINATES[-1]}")
        self.coordinates = [choice(name, COORDINATES, value) for name, value in zip(names, given, strict=True)]
        super().__init__(self.coordinates, step)

    def __repr__(self):
        return "Two vectors, their lattice, and Gauss's reduction (run this cell in JupyterLab to move them)"

    def _reduction(self):
        a, b, c, d = (slider.value for slider in self.coordinates)
        return [] if a * d == b * c else gauss_steps([[a, b], [c, d]])

    def _drawn(self, here):
        if not self.steps:
            return "<p>These two lie on one line and make no lattice of the plane. <b>Move one of them.</b></p>", ""
        before, basis = self.steps[max(here - 1, 0)], self.steps[here]
        left = len(self.steps) - 1 - here
        goes_on = f"{left} more to go." if left else "<b>Reduced</b>: no multiple of the one makes the other shorter."
        sentence = f"<p>{gauss_sentence(before, basis)} {goes_on}<br>{shape_in_words(basis)}</p>"
        return sentence, lattice_svg(self.steps[0], basis)


class LLLViewer(_Steps):
    """The steps of LLL on a small basis: the rows, what is done to them, and how the potential falls at each swap.

    Parameters
    ----------
    basis : {"three", "four", "knapsack"}
    step : int
        The one on show at first.
    delta : {"3/4", "0.99"}

    Attributes
    ----------
    basis, delta : ipywidgets.ToggleButtons
    step : ipywidgets.SelectionSlider
    next, undo : ipywidgets.Button
    sentence, picture : ipywidgets.HTML
    steps : list of Step
        As `lll_steps` gives them.

    Raises
    ------
    ValueError
        If a basis, a delta or a step does not exist.
    """

    def __init__(self, basis="knapsack", step=0, delta="3/4"):
        self.basis, self.delta = pick("basis", BASES, basis), pick("delta", DELTAS, delta)
        super().__init__([self.basis, self.delta], step)

    def __repr__(self):
        return "LLL step by step: rows, what is done to them, and the potential (run this cell in JupyterLab to move through it)"

    def _reduction(self):
        return steps_of(self.basis.value, self.delta.value)

    def _drawn(self, here):
        sentence = f"<p>Step {here} of {len(self.steps) - 1}: <b>{step_sentence(self.steps, here)}</b>.</p>"
        return sentence, lll_svg(self.steps, here)


def steps_of(basis, delta="3/4"):
    """The steps of LLL on one of :data:`BASES`, with one of :data:`DELTAS`, both by name."""
    return list(lll_steps(one_of(basis, BASES, "basis"), one_of(delta, DELTAS, "delta")))


def gauss_sentence(before, after):
    """What led from one basis to the next, in words."""
    if np.array_equal(before, after):
        return "As given."
    if np.array_equal(before[::-1], after):
        return "The two change places, so that the shorter stands first."
    return f"From the longer {multiple_of(before[1] - after[1], before[0])} times the shorter was taken."


def multiple_of(difference, vector):
    """How many times `vector` the `difference` is."""
    at = int(np.flatnonzero(vector)[0])
    return difference[at] // vector[at]


def shape_in_words(basis):
    """Both vectors, their lengths, their angle, and the area between them."""
    (a, b), (c, d) = basis.tolist()
    first, second, area = math.hypot(a, b), math.hypot(c, d), abs(a * d - b * c)
    return (
        f"({a}, {b}) of length {first:.2f} and ({c}, {d}) of length {second:.2f}, at {between(basis):.2f} degrees. "
        f"Area {area}, lengths multiplied {first * second:.1f}."
    )


def between(basis):
    """The angle between two vectors of the plane, in degrees from 0 to 180."""
    (a, b), (c, d) = np.asarray(basis, dtype=float)
    return float(np.degrees(np.arctan2(abs(a * d - b * c), a * c + b * d)))


def lattice_points(basis, reach):
    """All points of a lattice in the plane with whole coordinates of at most `reach`, as rows."""
    (a, b), (c, d) = np.asarray(basis, dtype=np.int64)
    x, y = (each.ravel() for each in np.meshgrid(*[np.arange(-reach, reach + 1, dtype=np.int64)] * 2))
    inside = ((d * x - c * y) % (a * d - b * c) == 0) & ((a * y - b * x) % (a * d - b * c) == 0)
    return np.stack([x[inside], y[inside]], axis=1)


def lattice_svg(given, basis):
    """A lattice as dots, the basis it was given by as thin lines, the present one as thick ones with the cell between them.

    Parameters
    ----------
    given, basis : ndarray of int, shape (2, 2)

    Returns
    -------
    str
    """
    side = 2 * REACH * SCALE + 2 * SCALE
    middle = side / 2

    def place(vector):
        return middle + SCALE * float(vector[0]), middle - SCALE * float(vector[1])

    dots = "".join('<circle cx="{:.1f}" cy="{:.1f}" r="2.2"/>'.format(*place(point)) for point in lattice_points(basis, REACH))
    corners = " ".join("{:.1f},{:.1f}".format(*place(corner)) for corner in (basis[0] * 0, basis[0], basis[0] + basis[1], basis[1]))
    lines = [f'<path d="M{middle},{middle} L{x:.1f},{y:.1f}" stroke-opacity="0.6"/>' for x, y in map(place, given)]
    names = []
    for name, vector, colour, dash in (("first", basis[0], MARK, ""), ("second", basis[1], SHADE, ' stroke-dasharray="7 4"')):
        x, y = place(vector)
        lines.append(f'<path d="M{middle},{middle} L{x:.1f},{y:.1f}" stroke="{colour}" stroke-width="3"{dash}/>')
        lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}" stroke="none"/>')
        names.append((x + (8 if vector[0] >= 0 else -8), y - 6, name, "start" if vector[0] >= 0 else "end"))
    return svg(
        f"A lattice in the plane; its basis now: {shape_in_words(basis)}",
        side,
        side,
        f'<polygon points="{corners}" fill="{SHADE}" fill-opacity="0.15" stroke="none"/>',
        f'<g fill="currentColor" stroke="none">{dots}</g>',
        *lines,
        *labels(names),
    )


def step_sentence(steps, here):
    """What a step of LLL does, with its rows counted from 1."""
    step = steps[here]
    if step.kind == "start":
        return "the basis as given"
    if step.kind == "swap":
        return f"rows {step.other + 1} and {step.row + 1} change places"
    multiple = multiple_of(steps[here - 1].basis[step.row] - step.basis[step.row], step.basis[step.other])
    return f"row {step.row + 1} {'minus' if multiple > 0 else 'plus'} {abs(multiple)} times row {step.other + 1}"


def lll_svg(steps, here):
    """The rows after a step with their lengths as bars, and the curve of the potential with the step marked.

    Parameters
    ----------
    steps : list of Step
    here : int

    Returns
    -------
    str
    """
    step = steps[here]
    rows, width = step.basis.tolist(), 52
    lengths = [math.sqrt(step.basis[i] @ step.basis[i]) for i in range(len(rows))]
    longest = max(math.log10(math.sqrt(row @ row)) for each in steps for row in each.basis)
    bars, touched = 40 + width * len(rows[0]) + 16, {"start": (), "reduce": (step.row,), "swap": (step.row, step.other)}[step.kind]
    table = []
    for i, row in enumerate(rows):
        y = 20 + ROW * i
        table.append(text(4, y + 18, f"row {i + 1}"))
        table += [text(40 + width * (j + 1), y + 18, str(entry), "end") for j, entry in enumerate(row)]
        if i in touched:
            table.append(f'<rect x="40" y="{y + 2}" width="{width * len(row) + 8}" height="{ROW - 4}" stroke="{MARK}" stroke-width="2"/>')
        long = 8 + 120 * math.log10(max(lengths[i], 1.0)) / max(longest, 1e-9)
        table.append(f'<rect x="{bars}" y="{y + 6}" width="{long:.1f}" height="{ROW - 12}" fill="{SHADE}" stroke="none"/>')
        table.append(text(bars + long + 6, y + 18, f"{lengths[i]:.1f}"))
    top = 20 + ROW * len(rows) + 34
    return svg(
        f"LLL, step {here} of {len(steps) - 1}: {step_sentence(steps, here)}; "
        f"rows {'; '.join(' '.join(map(str, row)) for row in rows)}; log10 of the potential {math.log10(step.potential):.4g}",
        max(bars + 190, CHART[0] + 60),
        top + CHART[1] + 30,
        text(4, 14, "the basis"),
        text(bars, 14, "lengths (logarithmic)"),
        *table,
        *_potential_curve(steps, here, top),
    )


def _potential_curve(steps, here, top):
    """The logarithm of the potential against steps, as a staircase."""
    heights = [math.log10(step.potential) for step in steps]
    width, height = CHART
    most = max(max(heights), 1e-9)

    def place(i):
        return 40 + width * i / max(1, len(steps) - 1), top + height * (1 - heights[i] / most)

    stairs = ["M{:.1f},{:.1f}".format(*place(0))]
    stairs += ["H{:.1f} V{:.1f}".format(*place(i)) for i in range(1, len(steps))]
    x, y = place(here)
    return [
        text(4, top - 12, "potential (logarithmic)"),
        text(36, top + 6, f"1e{most:.0f}", "end", 11),
        text(36, top + height + 4, "1", "end", 11),
        f'<path d="M40,{top} V{top + height} H{40 + width}"/>',
        f'<path d="{" ".join(stairs)}" stroke="{SHADE}" stroke-width="2"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{MARK}" stroke="none"/>',
        text(40, top + height + 18, "step 0"),
        text(40 + width, top + height + 18, f"step {len(steps) - 1}", "end"),
    ]
