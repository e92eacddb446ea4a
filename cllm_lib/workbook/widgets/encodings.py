"""Encodings of positions to look through, and two arrows that turn."""

import base64
import io
import math

import ipywidgets
import numpy as np

from cllm_lib.lattice.encodings import clock_positions, prime_positions, rotate, sinusoidal_positions, spiral_positions
from cllm_lib.workbook.widgets.controls import Panel, choice, pick
from cllm_lib.workbook.widgets.svg import MARK, SHADE, labels, svg, text

TABLES = {"sinusoidal": sinusoidal_positions, "spiral": spiral_positions, "clock": clock_positions, "prime": prime_positions}
LENGTHS, WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128), (2, 4, 8, 16, 32, 64)
BLUE, ORANGE = (0, 114, 178), (213, 94, 0)  # above and below 0: told apart by colour-blind readers, on white and on black
SIDE = 240  # pixels of a map
RADIUS = 110
QUERY, KEY = np.array([[0.94, 0.34]]), np.array([[0.34, 0.94]])  # one pair of columns of each, of length 1
SPEEDS = {"1 radian": 1.0, "30 degrees": math.pi / 6, "0.1 radian": 0.1, "0.01 radian": 0.01}
PLACES = range(0, 33)


def position_viewer(encoding="sinusoidal", length=32, width=16, position=0):
    """Choose an encoding, a length, a width and a position; see :class:`PositionViewer`."""
    return PositionViewer(encoding, length, width, position)


def rotation_viewer(query=5, key=2, later=0, speed="30 degrees"):
    """Move a query and a key to other positions; see :class:`RotationViewer`."""
    return RotationViewer(query, key, later, speed)


class PositionViewer(Panel):
    """The table of an encoding as a map, and beside it how alike any two positions are.

    Parameters
    ----------
    encoding : {"sinusoidal", "spiral", "clock", "prime"}
    length, width : int
        Positions and columns: of :data:`LENGTHS` and :data:`WIDTHS`.
    position : int
        The row that is compared with all others.

    Attributes
    ----------
    encoding : ipywidgets.ToggleButtons
    length, width, position : ipywidgets.SelectionSlider
    sentence, picture : ipywidgets.HTML

    Raises
    ------
    ValueError
        If there is no such encoding, length, width or position.
    """

    def __init__(self, encoding="sinusoidal", length=32, width=16, position=0):
        _known(length, LENGTHS, "length")
        _known(width, WIDTHS, "width")
        _known(position, range(length), "position")
        self.encoding = pick("encoding", TABLES, encoding)
        self.length, self.width = choice("length", LENGTHS, length), choice("width", WIDTHS, width)
        self.position = choice("position", range(length), position)
        self.sentence, self.picture = ipywidgets.HTML(), ipywidgets.HTML()
        self.length.observe(self._new_length, names="value")
        for control in (self.encoding, self.length, self.width, self.position):
            control.observe(self._redraw, names="value")
        self._redraw()
        super().__init__([self.encoding, self.length, self.width, self.position, self.sentence, self.picture])

    def __repr__(self):
        return "Encodings of positions, by length and width (run this cell in JupyterLab to move them)"

    @property
    def table(self):  # (T, D)
        """The rows on show."""
        return TABLES[self.encoding.value](self.length.value, self.width.value)

    def _new_length(self, change):
        chosen = min(self.position.value, self.length.value - 1)
        self.position.options = range(self.length.value)
        self.position.value = chosen

    def _redraw(self, change=None):
        position, table = self.position.value, self.table
        others = ", ".join(f"<b>{other}</b> ({product:.2f})" for other, product in alike(table, position))
        likeness = f"most like {others}" if others else "like no other"
        self.sentence.value = (
            f"<p>{self.encoding.value.capitalize()}, {len(table)} positions, {table.shape[1]} columns. Position <b>{position}</b> is "
            f"{likeness}: dot products of rows, 1 for the same row. Blue is above 0, orange below.</p>"
        )
        self.picture.value = maps_svg(table, position, self.encoding.value)


class RotationViewer(Panel):
    """One pair of columns of a query and of a key as arrows, turned by their positions as rotary embedding turns them.

    Parameters
    ----------
    query, key : int
        Their positions.
    later : int
        How much further on both are moved.
    speed : {"1 radian", "30 degrees", "0.1 radian", "0.01 radian"}
        How far the pair turns with each position.

    Attributes
    ----------
    query, key, later : ipywidgets.SelectionSlider
    speed : ipywidgets.ToggleButtons
    sentence, picture : ipywidgets.HTML

    Raises
    ------
    ValueError
        If there is no such position or speed.
    """

    def __init__(self, query=5, key=2, later=0, speed="30 degrees"):
        for name, place in (("query", query), ("key", key), ("later", later)):
            _known(place, PLACES, name)
        self.query, self.key = choice("query at", PLACES, query), choice("key at", PLACES, key)
        self.later, self.speed = choice("both later", PLACES, later), pick("turn", SPEEDS, speed)
        self.sentence, self.picture = ipywidgets.HTML(), ipywidgets.HTML()
        for control in (self.query, self.key, self.later, self.speed):
            control.observe(self._redraw, names="value")
        self._redraw()
        super().__init__([self.query, self.key, self.later, self.speed, self.sentence, self.picture])

    def __repr__(self):
        return "A query and a key, turned by their positions (run this cell in JupyterLab to move them)"

    @property
    def arrows(self):  # 2 x (2,)
        """Query and key after they were turned."""
        return turned_pair(self.query.value + self.later.value, self.key.value + self.later.value, SPEEDS[self.speed.value])

    def _redraw(self, change=None):
        m, n = self.query.value + self.later.value, self.key.value + self.later.value
        query, key = self.arrows
        self.sentence.value = (
            f"<p>Query at <b>{m}</b>, key at <b>{n}</b>, {m - n} apart: the angle between them is <b>{angle(query, key):.1f}</b> degrees, "
            f"their product <b>{query @ key:.3f}</b>. Moving both alike turns both alike, and changes neither number.</p>"
        )
        self.picture.value = arrows_svg(query, key, m, n)


def alike(table, position, count=3, least=0.05):
    """The positions whose rows have the largest dot product with that of `position`, itself left out, and all below `least`.

    Returns
    -------
    list of (int, float)
        Of equal ones the nearest first.
    """
    products = table @ table[position]
    others = [t for t in range(len(table)) if t != position and products[t] >= least]
    best = sorted(others, key=lambda t: (-round(products[t], 9), abs(t - position)))[:count]
    return [(t, float(products[t])) for t in best]


def turned_pair(query_position, key_position, speed):  # -> 2 x (2,)
    """The pair of columns of query and key, each turned by its position times `speed` radians."""
    return rotate(QUERY, [speed * query_position])[0], rotate(KEY, [speed * key_position])[0]


def angle(first, second):
    """From the second arrow to the first, in degrees from -180 to 180, counter-clockwise."""
    return float(np.degrees(np.arctan2(second[0] * first[1] - second[1] * first[0], first @ second)))


def maps_svg(table, position, name):
    """The table and the dot products of its rows, one row of both framed.

    Parameters
    ----------
    table : ndarray, shape (T, D)
    position : int
    name : str
        Of the encoding.

    Returns
    -------
    str
    """
    time, width = table.shape
    nearest = ", ".join(f"position {other} {product:.2f}" for other, product in alike(table, position)) or "no other"
    row, left, right = SIDE / time, 20, 20 + SIDE + 40
    frames = [
        f'<rect x="{x - 1}" y="{19 + position * row:.1f}" width="{SIDE + 2}" height="{row + 2:.1f}" stroke-width="1.5"/>'  # around the row
        for x in (left, right)
    ]
    return svg(
        f"Two maps of the {name} encoding: the table with {time} positions as rows and {width} columns, and the dot products of any two "
        f"rows. Most like position {position}: {nearest}",
        right + SIDE + 10,
        SIDE + 46,
        _map(table / np.abs(table).max(), left),
        _map(table @ table.T, right),
        *(f'<rect x="{x}" y="20" width="{SIDE}" height="{SIDE}"/>' for x in (left, right)),
        *frames,
        text(left, 14, f"table: {width} columns"),
        text(right, 14, "dot products of positions"),
        text(left, SIDE + 36, f"rows: positions 0 to {time - 1}, downwards"),
    )


def _map(values, x):
    """A map as an image whose see-through parts are zeros: it lies on a light and on a dark page."""
    from matplotlib.image import imsave  # here, not above: half a second that the sliders alone need not wait

    pixels = np.empty((*values.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(values[..., None] > 0, BLUE, ORANGE)
    pixels[..., 3] = np.round(255 * np.clip(np.abs(values), 0.0, 1.0))
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<image x="{x}" y="20" width="{SIDE}" height="{SIDE}" preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{data}"/>'
    )


def arrows_svg(query, key, query_position, key_position):
    """Two arrows from the centre of a circle, and their names at their ends.

    Parameters
    ----------
    query, key : ndarray, shape (2,)
    query_position, key_position : int

    Returns
    -------
    str
    """
    across, down = RADIUS + 90, RADIUS + 24  # the centre; the names stand at the sides
    drawn, names = [], []
    for arrow, name, colour, dash in (
        (query, f"query, {query_position}", MARK, ""),
        (key, f"key, {key_position}", SHADE, ' stroke-dasharray="7 4"'),
    ):
        x, y = across + RADIUS * arrow[0], down - RADIUS * arrow[1]
        drawn.append(f'<path d="M{across},{down} L{x:.1f},{y:.1f}" stroke="{colour}" stroke-width="3"{dash}/>')
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}" stroke="none"/>')
        x, y = across + (RADIUS + 14) * arrow[0], down - (RADIUS + 14) * arrow[1]
        names.append((x, y + 4, name, "start" if arrow[0] >= 0 else "end"))
    return svg(
        f"A circle with two arrows: the query at position {query_position} and the key at position {key_position}; from key to query "
        f"{angle(query, key):.1f} degrees, product {query @ key:.3f}",
        2 * across,
        2 * down,
        f'<circle cx="{across}" cy="{down}" r="{RADIUS}" stroke-opacity="0.4"/>',
        *drawn,
        *labels(names),
    )


def _known(value, options, name):
    if value not in options:
        raise ValueError(f"{name} is {value!r}: give one of {', '.join(map(str, options))}")
