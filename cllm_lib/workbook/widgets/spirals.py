"""The plane of numbers, to look around in: a curve, a colour, a window that moves, and one number with its neighbours."""

import base64
import io
from dataclasses import dataclass
from html import escape

import ipywidgets
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.image import imsave

from cllm_lib.checks import whole_numbers
from cllm_lib.lattice.locality import nearest_numbers
from cllm_lib.lattice.primes import factorize
from cllm_lib.workbook.figures.planes import CURVES, MOST_RESIDUES, POINT, PROPERTIES, checked_limit, colouring, halved, places, raster
from cllm_lib.workbook.widgets.controls import Panel, button, pick
from cllm_lib.workbook.widgets.svg import MARK, svg, text

PICTURE = 448  # pixels, and the most cells shown without taking means
LEFT, TOP = 8, 6
NARROWEST = 8  # units
DOTS = 100.0  # width of the window, in units, up to which the points of a round curve are drawn one by one
DIGIT = 6.8  # pixels; every number is written where there is room
NEIGHBOURS = 4


@dataclass(frozen=True)
class Plane:
    """All that is computed once for a curve and a colour; a window only cuts out of it.

    Attributes
    ----------
    curve : str
    x, y : ndarray, shape (limit,)
    colouring : Colouring
    levels : list of ndarray of uint8
        The whole picture, and the same with half as many pixels each way, again and again.
    origin : (int, int)
        Of the first pixel of `levels[0]`.
    """

    curve: str
    x: np.ndarray
    y: np.ndarray
    colouring: object
    levels: list
    origin: tuple

    @classmethod
    def of(cls, curve, kinds, limit):
        """Compute it: a few tenths of a second for a million numbers."""
        x, y = places(curve, limit)
        pixels, origin = raster(x, y, kinds)
        levels = [pixels]
        while max(levels[-1].shape) > PICTURE:
            levels.append(halved(levels[-1]))
        return cls(curve, x, y, kinds, levels, origin)

    @property
    def whole(self):
        """The window that shows everything: left, bottom, width. Every window begins and ends between two cells of a grid."""
        height, width, _ = self.levels[0].shape
        side = max(height, width, NARROWEST)
        return self.origin[0] - 0.5 - (side - width) // 2, self.origin[1] - 0.5 - (side - height) // 2, side

    def inside(self, window):
        """Positions of the numbers in a window."""
        left, bottom, width = window
        return np.flatnonzero((self.x >= left) & (self.x < left + width) & (self.y >= bottom) & (self.y < bottom + width))

    def neighbours(self, n):
        """The numbers nearest to n on the plane; on a grid those that share a side with its cell."""
        place = (self.x[n - 1], self.y[n - 1])
        near = nearest_numbers(self.x, self.y, place, NEIGHBOURS + 1)
        near = near[near != n - 1][:NEIGHBOURS]
        if self.curve not in POINT:
            near = near[np.abs(self.x[near] - place[0]) + np.abs(self.y[near] - place[1]) == 1]
        return (near + 1).tolist()


def spiral_explorer(limit=1_000_000, **settings):
    """An explorer; see :class:`SpiralExplorer`."""
    return SpiralExplorer(limit, **settings)


class SpiralExplorer(Panel):
    """Choose a curve and a colour, move and zoom the window, and ask for a number or a place.

    Nothing is computed before the explorer is shown or one of its controls is moved. The static figure of the same is
    :func:`~cllm_lib.workbook.figures.planes.number_plane`.

    Parameters
    ----------
    limit : int
        The numbers go from 1 to this; at most four millions.
    curve : str
        "Ulam", "Sacks", "Vogel", "Hilbert", "Morton" or "row-major".
    colour : str
        "prime", "factors", "residue" or "frequency".
    number : int
        The one chosen at first.
    modulus : int
        For the residues.
    frequencies : array_like of int, optional
        How often each token occurs, by id; the token of n has the id n - 1. Otherwise those of "python-docs".

    Attributes
    ----------
    curve, colour : ipywidgets.ToggleButtons
    modulus, number, x, y : ipywidgets.BoundedIntText
    buttons : dict of str to ipywidgets.Button
    sentence, picture, table : ipywidgets.HTML
        What is in the window, the window, and the number with its neighbours.

    Raises
    ------
    ValueError
        If a name is unknown, or a number makes no sense.
    """

    def __init__(self, limit=1_000_000, curve="Ulam", colour="prime", number=1, modulus=12, frequencies=None):
        self.limit, self.frequencies = checked_limit(limit), frequencies
        self.curve, self.colour = pick("curve", CURVES, curve), pick("colour", PROPERTIES, colour)
        self.modulus = _whole("modulus", modulus, 2, MOST_RESIDUES)
        self.number = _whole("number", number, 1, limit)
        self.x, self.y = _whole("x", 0, -limit, limit), _whole("y", 0, -limit, limit)
        self.buttons = {
            name: button(name, tooltip, action)
            for name, tooltip, action in (
                ("find", "choose the number nearest to x and y", self._find),
                ("zoom in", "halve the window, around its middle", lambda: self.zoom(0.5)),
                ("zoom out", "double the window, around its middle", lambda: self.zoom(2.0)),
                ("left", "move the window by a quarter to the left", lambda: self.pan(-1, 0)),
                ("right", "move the window by a quarter to the right", lambda: self.pan(1, 0)),
                ("up", "move the window up by a quarter", lambda: self.pan(0, 1)),
                ("down", "move the window down by a quarter", lambda: self.pan(0, -1)),
                ("to the number", "move the window so that the number is in its middle", self._centre),
                ("all", "show all numbers", self.show_all),
            )
        }
        self.sentence, self.picture, self.table = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.plane, self.window = None, None
        for control in (self.curve, self.colour, self.modulus):
            control.observe(self._renew, names="value")
        self.number.observe(self._choose, names="value")
        find, *move = self.buttons.values()
        row = {"flex_flow": "row wrap"}
        super().__init__(
            [
                self.curve,
                ipywidgets.HBox([self.colour, self.modulus], layout=row),
                ipywidgets.HBox([self.number, ipywidgets.Label(f"whole numbers from 1 to {limit:,}")], layout=row),
                ipywidgets.HBox([self.x, self.y, find], layout=row),
                ipywidgets.HBox(move, layout=row),
                self.sentence,
                ipywidgets.HBox([self.picture, self.table], layout=row),
            ]
        )

    def __repr__(self):
        return "The plane of numbers: curve, colour, window, a number and its neighbours (run this cell in JupyterLab to move around)"

    def _repr_mimebundle_(self, **kwargs):
        if self.plane is None:
            self._renew()
        return super()._repr_mimebundle_(**kwargs)

    def show_all(self):
        """Make the window so wide that it holds every number."""
        self._ready()
        self.window = self.plane.whole
        self._redraw()

    def zoom(self, factor):
        """Make the window wider or narrower around its middle, between eight cells and all of them."""
        self._ready()
        left, bottom, width = self.window
        new = min(max(round(width * factor), NARROWEST), self.plane.whole[2])
        self._look_at(left + width / 2, bottom + width / 2, new)
        self._redraw()

    def pan(self, right, up):
        """Move the window by quarters of its width; its middle stays where there may be numbers."""
        self._ready()
        left, bottom, width = self.window
        self._look_at(left + width / 2 + right * width / 4, bottom + width / 2 + up * width / 4)
        self._redraw()

    def _look_at(self, x, y, width=None):
        """A window with that place in its middle, as near as it can begin between two cells."""
        left, bottom, side = self.plane.whole
        width = width or self.window[2]
        if width == side:
            self.window = self.plane.whole
            return
        x, y = min(max(x, left), left + side), min(max(y, bottom), bottom + side)
        self.window = np.floor(x - width / 2) + 0.5, np.floor(y - width / 2) + 0.5, width

    def _centre(self):
        self._ready()
        self._look_at(*self._place())
        self._redraw()

    def _find(self):
        self._ready()
        self.number.value = 1 + int(nearest_numbers(self.plane.x, self.plane.y, (self.x.value, self.y.value), 1)[0])
        self._choose()  # also where it was chosen already: x and y are to say where it is

    def _place(self):
        return self.plane.x[self.number.value - 1].item(), self.plane.y[self.number.value - 1].item()

    def _ready(self):
        if self.plane is None:
            self._renew()

    def _renew(self, change=None):
        """Another curve or colour: compute its plane; another curve also begins with all of it."""
        settings = {"residue": {"modulus": self.modulus.value}, "frequency": {"frequencies": self.frequencies}}.get(self.colour.value, {})
        self.modulus.disabled = self.colour.value != "residue"
        before = self.plane
        self.plane = Plane.of(self.curve.value, colouring(self.colour.value, self.limit, **settings), self.limit)
        if before is None or before.curve != self.plane.curve:
            self.window = self.plane.whole
        self._choose()

    def _choose(self, change=None):
        """Another number: say where it is, and move the window there if it does not show it."""
        self._ready()
        x, y = self._place()
        self.x.value, self.y.value = round(x), round(y)
        left, bottom, width = self.window
        if not (left <= x < left + width and bottom <= y < bottom + width):
            self._look_at(x, y)
        self.table.value = neighbours_html(self.plane, self.number.value)
        self._redraw()

    def _redraw(self):
        inside = self.plane.inside(self.window)
        words = description_of(self.plane, self.window, inside)
        self.sentence.value = f'<p role="status" style="max-width:720px">{legend_html(self.plane.colouring, inside)}{escape(words)}</p>'
        self.picture.value = window_svg(self.plane, self.window, inside, self.number.value, words)


def description_of(plane, window, inside):
    """What a window shows, in words and numbers."""
    left, bottom, width = window
    return (
        f"{plane.curve}, 1 to {len(plane.x):,}, coloured by {plane.colouring.name}. In view: x from {left + 0.5:.0f} to "
        f"{left + width - 0.5:.0f}, y from {bottom + 0.5:.0f} to {bottom + width - 0.5:.0f}, {len(inside):,} numbers: "
        f"{plane.colouring.counts(inside)}."
    )


def legend_html(colouring, inside):
    """A patch of each colour in view, with its name."""
    patches = [
        f'<span style="white-space:nowrap; margin-right:10px"><span style="display:inline-block; width:12px; height:12px; '
        f'border:1px solid currentColor; background:{to_hex(colouring.colours[k])}"></span> {escape(colouring.labels[k])}</span>'
        for k in np.unique(colouring.kinds[inside])
    ]
    return f'<span aria-hidden="true">{" ".join(patches)}<br></span>'  # the words that follow have the same names, with numbers


def neighbours_html(plane, number):
    """A number and its neighbours on the plane: where each is, its prime factors, and how many rows of a table lie between."""
    rows = []
    for n in (number, *plane.neighbours(number)):
        x, y = plane.x[n - 1].item(), plane.y[n - 1].item()
        place = f"({x:.2f}, {y:.2f})" if plane.curve in POINT else f"({x}, {y})"
        away = "chosen" if n == number else f"{abs(n - number):,}"
        rows.append(f'<tr><th scope="row">{n:,}</th><td>{place}</td><td>{factors_text(n)}</td><td>{away}</td></tr>')
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("number", "place", "factors", "rows apart"))
    caption = f"<caption>{number:,} and its neighbours on the plane</caption>"
    return f'<table style="border-collapse:separate; border-spacing:12px 2px">{caption}<tr>{heads}</tr>{"".join(rows)}</table>'


def factors_text(n):
    """A number as a product of primes, in words where it is none."""
    factors = factorize(n)
    if not factors:
        return "none"
    if factors == {n: 1}:
        return "prime"
    return " × ".join(f"{p:,}<sup>{power}</sup>" if power > 1 else f"{p:,}" for p, power in factors.items())


def window_svg(plane, window, inside, number, words):
    """The window as SVG: pixels cut from the plane, or points one by one; the chosen number framed.

    Parameters
    ----------
    plane : Plane
    window : (float, float, float)
        Left, bottom, width.
    inside : ndarray of int
        Positions of the numbers in it.
    number : int
        The chosen one.
    words : str
        What it shows; the chosen number's place is added.

    Returns
    -------
    str
    """
    left, bottom, width = window
    unit = PICTURE / width

    def at(x, y):
        return (x - left) * unit, (bottom + width - y) * unit

    single = plane.curve in POINT and width <= DOTS
    drawn = _points(plane, inside, at, POINT[plane.curve] * unit) if single else _pixels(plane, window, at)
    if len(inside) and len(str(inside.max() + 1)) * DIGIT <= unit:
        drawn += _written(plane, inside, at)
    place = plane.x[number - 1].item(), plane.y[number - 1].item()
    x, y = at(*place)
    radius = max(5.0, 0.62 * unit)
    mark = (
        ""
        if not (0 <= x < PICTURE and 0 <= y < PICTURE)
        else (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" stroke="white" stroke-width="5"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" stroke="{MARK}" stroke-width="2.5"/>'
        )
    )
    where = f"{number:,} at ({place[0]:.4g}, {place[1]:.4g}), {'framed' if mark else 'not in view'}"
    size = f'width="{PICTURE}" height="{PICTURE}"'
    below = TOP + PICTURE + 16
    return svg(
        f"Numbers on the plane: {words} Chosen: {where}.",
        PICTURE + 2 * LEFT,
        PICTURE + TOP + 22,
        f'<svg x="{LEFT}" y="{TOP}" {size}><rect {size} fill="white" stroke="none"/>{drawn}{mark}</svg>',
        f'<rect x="{LEFT}" y="{TOP}" {size}/>',
        text(LEFT, below, f"x {left + 0.5:.0f} to {left + width - 0.5:.0f}"),
        text(LEFT + PICTURE, below, f"y {bottom + 0.5:.0f} to {bottom + width - 0.5:.0f}, upwards", "end"),
    )


def _pixels(plane, window, at):
    """The part of the plane in the window, as one picture with no more pixels than can be told apart."""
    left, bottom, width = window
    level = next((k for k in range(len(plane.levels)) if width / 2**k <= PICTURE), len(plane.levels) - 1)
    pixels, size = plane.levels[level], 2**level
    edge = plane.origin[0] - 0.5, plane.origin[1] - 0.5
    columns, rows = (_cut(start - low, width, size, n) for start, low, n in zip((left, bottom), edge, pixels.shape[1::-1], strict=True))
    part = pixels[slice(*rows), slice(*columns)]
    if part.size == 0:
        return ""
    x, y = at(edge[0] + size * columns[0], edge[1] + size * rows[1])
    right, low = at(edge[0] + size * columns[1], edge[1] + size * rows[0])
    return (
        f'<image x="{x:.2f}" y="{y:.2f}" width="{right - x:.2f}" height="{low - y:.2f}" preserveAspectRatio="none" '
        f'style="image-rendering:{"pixelated" if level == 0 else "auto"}" href="data:image/png;base64,{png(part)}"/>'
    )


def _cut(offset, width, size, n):
    """The first pixel that reaches into the window, and the one after the last."""
    first = min(max(int(np.floor(offset / size)), 0), n)
    return first, min(max(int(np.ceil((offset + width) / size)), first), n)


def png(pixels):  # (H, W, 3)
    """Pixels, row 0 at the bottom, as a PNG in base 64."""
    buffer = io.BytesIO()
    upright = np.ascontiguousarray(pixels[::-1])
    imsave(buffer, upright, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _points(plane, inside, at, radius):
    """Circles, by colour."""
    groups = []
    kinds = plane.colouring.kinds[inside]
    x, y = at(plane.x[inside], plane.y[inside])
    for kind in np.unique(kinds):
        circles = "".join(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius:.1f}"/>' for a, b in zip(x[kinds == kind], y[kinds == kind], strict=True)
        )
        groups.append(f'<g fill="{to_hex(plane.colouring.colours[kind])}" stroke="none">{circles}</g>')
    return "".join(groups)


def _written(plane, inside, at):
    """Every number at its place, in black or white, whichever its colour lets one read."""
    words = []
    for i in inside.tolist():
        x, y = at(plane.x[i], plane.y[i])
        ink = "black" if plane.colouring.colours[plane.colouring.kinds[i]] @ (0.3, 0.59, 0.11) > 0.45 else "white"
        words.append(f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11" fill="{ink}" stroke="none">{i + 1}</text>')
    return "".join(words)


def _whole(name, value, least, most):
    value = int(whole_numbers(value, least, most, name))
    return ipywidgets.BoundedIntText(value, min=least, max=most, description=name, layout={"width": "190px"})
