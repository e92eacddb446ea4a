"""Pictures of the numbers on their curves: where each lies, what it is coloured by, and the figure of both.

Two colours where there are two kinds; else one scale from dark to light, viridis, whose steps stay in order for
colour-blind readers and in a grey print. The ground is white, as in all figures.
"""

from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from cllm_lib.checks import at_most, one_of, positive_integer, whole_numbers
from cllm_lib.lattice.primes import count_prime_factors, smallest_factors
from cllm_lib.lattice.spirals import (
    hilbert_coordinates,
    morton_coordinates,
    row_major_coordinates,
    sacks_coordinates,
    ulam_coordinates,
    vogel_coordinates,
)
from cllm_lib.text.corpora import load_corpus
from cllm_lib.workbook.figures.style import BLACK, BLUE, GREEN, GREY, VERMILION, new_axes, several_axes

LARGEST_LIMIT = 4_000_000  # numbers in a picture: beyond, a picture takes seconds and hundreds of megabytes
MOST_RESIDUES = 24
MANY_FACTORS = 7
FEW = 20_000  # points of a round curve that a figure draws one by one

CURVES = {
    "Ulam": ulam_coordinates,
    "Sacks": sacks_coordinates,
    "Vogel": vogel_coordinates,
    "Hilbert": hilbert_coordinates,
    "Morton": morton_coordinates,
    "row-major": lambda n: row_major_coordinates(n, int(np.ceil(np.sqrt(len(n))))),
}
POINT = {"Sacks": 0.45, "Vogel": 0.8}  # radius of a point of the round curves: nearly half the distance of neighbours


def checked_limit(limit):
    """Return a limit, or say why there can be no picture of the numbers to it."""
    return at_most(positive_integer(limit, "limit"), LARGEST_LIMIT, "limit", "the picture would take long")


def places(curve, limit):  # -> 2 x (limit,)
    """Return where 1, 2, ..., limit lie on a curve.

    Parameters
    ----------
    curve : str
        A key of `CURVES`.
    limit : int
        At most four millions.

    Returns
    -------
    x, y : ndarray, shape (limit,)
        Integers on a grid, floats on a round curve.

    Raises
    ------
    ValueError
        If the curve is unknown, or `limit` is not a whole number of at least 1, or larger.
    """
    return one_of(curve, CURVES, "curve")(np.arange(1, checked_limit(limit) + 1, dtype=np.int64))


@dataclass(frozen=True)
class Colouring:
    """Numbers sorted into kinds, and a colour for each kind.

    Attributes
    ----------
    name : str
    kinds : ndarray of uint8, shape (limit,)
        Of 1, 2, ..., limit: each an index into the other two.
    labels : tuple of str
    colours : ndarray of float, shape (len(labels), 3)
        Red, green and blue from 0 to 1.
    """

    name: str
    kinds: np.ndarray
    labels: tuple
    colours: np.ndarray

    def counts(self, chosen=slice(None)):
        """How many numbers there are of each kind, among those chosen by an index: a sentence that leaves out empty kinds."""
        found = np.bincount(self.kinds[chosen].astype(np.intp), minlength=len(self.labels))
        return "; ".join(f"{label}: {count:,}" for label, count in zip(self.labels, found, strict=True) if count) or "no number"


def by_prime(limit):
    """Colour primes dark and all else light."""
    table = smallest_factors(checked_limit(limit) + 1)
    kinds = (table == np.arange(limit + 1, dtype=np.int64)) & (table > 1)
    return Colouring("prime", kinds[1:].astype(np.uint8), ("not prime", "prime"), np.array([to_rgb("#dddddd"), to_rgb(BLUE)]))


def by_factors(limit):
    """Colour by the number of prime factors, equal ones counted: the darker, the fewer."""
    kinds = np.minimum(count_prime_factors(checked_limit(limit) + 1)[1:], MANY_FACTORS).astype(np.uint8)
    labels = ("no prime factor", "1 prime factor", *(f"{k} prime factors" for k in range(2, MANY_FACTORS)))
    return _graded("number of prime factors", kinds, (*labels, f"{MANY_FACTORS} or more prime factors"))


def by_residue(limit, modulus=12):
    """Colour by the remainder of the division by a number from 2 to 24."""
    modulus = int(whole_numbers(modulus, 2, MOST_RESIDUES, "modulus"))
    kinds = (np.arange(1, checked_limit(limit) + 1, dtype=np.int64) % modulus).astype(np.uint8)
    return _graded(f"residue mod {modulus}", kinds, tuple(f"{r} mod {modulus}" for r in range(modulus)))


def by_frequency(limit, frequencies=None):
    """Colour by how often the token with the id n - 1 occurs in a text; each step of the scale is twice as often.

    Parameters
    ----------
    limit : int
    frequencies : array_like of int, optional
        By id; otherwise those of "python-docs". Beyond the last id no token is there, so none occurs.

    Returns
    -------
    Colouring

    Raises
    ------
    ValueError
        If `frequencies` are not whole numbers of at least 0, or `limit` makes no sense.
    """
    if frequencies is None:
        corpus = load_corpus("python-docs")
        frequencies = np.bincount(corpus.tokens.astype(np.intp), minlength=len(corpus.vocabulary))
    counts = whole_numbers(frequencies, 0, 2**50, "frequencies").ravel()[: checked_limit(limit)]
    kinds = np.zeros(limit, dtype=np.uint8)
    kinds[: len(counts)] = np.frexp(counts)[1]  # bits of the count: 0 for 0, 1 for 1, 2 for 2 and 3, ...
    ranges = (f"occurs {2**bits:,} to {2 ** (bits + 1) - 1:,} times" for bits in range(1, int(kinds.max())))
    return _graded("token frequency", kinds, ("does not occur", "occurs once", *ranges)[: int(kinds.max()) + 1], reverse=True)


PROPERTIES = {"prime": by_prime, "factors": by_factors, "residue": by_residue, "frequency": by_frequency}


def colouring(name, limit, **settings):
    """A colouring by name: "prime", "factors", "residue" (`modulus=`) or "frequency" (`frequencies=`)."""
    return one_of(name, PROPERTIES, "property")(limit, **settings)


def raster(x, y, colouring):  # (N,), (N,) -> (H, W, 3), (left, bottom)
    """Paint every number into the cell of the plane it lies in; where several lie in one, the mean of their colours.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Cells are one unit wide, with whole coordinates in their middle.
    colouring : Colouring
        Of N numbers.

    Returns
    -------
    pixels : ndarray of uint8, shape (H, W, 3)
        Row 0 is the lowest; white where there is no number.
    origin : (int, int)
        Coordinates of the middle of the pixel in row 0, column 0.
    """
    columns, rows = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    left, bottom = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - left + 1, int(rows.max()) - bottom + 1
    cells = ((rows - bottom) * width + (columns - left)).astype(np.intp)
    occupied = np.bincount(cells, minlength=width * height)
    pixels = np.empty((height * width, 3), dtype=np.uint8)
    for channel, shades in enumerate(np.rint(255 * colouring.colours).T):
        sums = np.bincount(cells, weights=shades[colouring.kinds], minlength=width * height)
        pixels[:, channel] = np.where(occupied > 0, sums / np.maximum(occupied, 1), 255.0)
    return pixels.reshape(height, width, 3), (left, bottom)


def halved(pixels):  # (H, W, 3) -> (ceil(H / 2), ceil(W / 2), 3)
    """The same picture with half as many pixels each way: means of two by two, white beyond the edge."""
    height, width, _ = pixels.shape
    padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=255).astype(np.uint16)
    rows = padded[0::2] + padded[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) // 4).astype(np.uint8)


def number_plane(curve, limit=10_000, colour="prime", marked=None, title=None, **settings):
    """The numbers from 1 to a limit on a curve, coloured by a property.

    Parameters
    ----------
    curve : str
        "Ulam", "Sacks", "Vogel", "Hilbert", "Morton" or "row-major".
    limit : int
    colour : str
        "prime", "factors", "residue" (with `modulus=`) or "frequency" (with `frequencies=`).
    marked : dict of str to sequence of int, optional
        Numbers to ring, by the name of their kind; those beyond the limit are left out, and the label says how many.
    title : str, optional
    **settings
        Of the property.

    Returns
    -------
    matplotlib.axes.Axes
        What is printed below it, by :func:`~cllm_lib.workbook.figures.style.show`, is how many numbers there are of each kind.

    Raises
    ------
    ValueError
        If a name is unknown, or a number makes no sense.
    """
    (x, y), kinds = places(curve, limit), colouring(colour, limit, **settings)
    axes = new_axes(title or f"{curve}: 1 to {limit:,}", "x", "y", width=8.2, height=5.0)
    axes.grid(visible=False)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    label = f"{curve}, {kinds.name}: {kinds.counts()}"
    if curve in POINT and limit <= FEW:
        radius = max(1.0, 120.0 * POINT[curve] / np.sqrt(limit))  # in points, on axes of about 250
        axes.scatter(x, y, s=(2 * radius) ** 2 / 2, c=kinds.colours[kinds.kinds], linewidths=0, label=label)
    else:
        pixels, (left, bottom) = raster(x, y, kinds)
        extent = (left - 0.5, left + pixels.shape[1] - 0.5, bottom - 0.5, bottom + pixels.shape[0] - 0.5)
        axes.imshow(pixels, origin="lower", extent=extent, interpolation="nearest" if limit <= FEW else "antialiased", label=label)
    present = np.unique(kinds.kinds)
    handles = [Patch(facecolor=kinds.colours[k], edgecolor=BLACK, linewidth=0.5, label=kinds.labels[k]) for k in present]
    for name, numbers in (marked or {}).items():
        numbers = whole_numbers(numbers, 1, 2**52, name)
        inside = numbers[numbers <= limit]
        text = f"{name}: {len(inside):,} of {len(numbers):,} in the picture"
        handles.append(
            axes.scatter(x[inside - 1], y[inside - 1], s=22, facecolors="none", edgecolors=VERMILION, linewidths=1.1, label=text)
        )
    axes.legend(handles=handles, frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return axes


def numbers_written(paths, bold=()):
    """The numbers 1, 2, 3, ... written where each lies, and a line from each to the next; one picture beside the other.

    Parameters
    ----------
    paths : dict of str to (x, y)
        By title, the places of 1, 2, 3, ...; a few dozen can be read.
    bold : array_like of int
        Numbers to write in bold, and in another colour.

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    row = several_axes(list(paths), "x", "y", len(paths), 4.0 * len(paths), 4.2)
    for axes, (x, y) in zip(row, paths.values(), strict=True):
        axes.plot(x, y, color=GREEN, linewidth=1.0, label="_path")
        for n, place in enumerate(zip(x, y, strict=True), 1):
            look = {"color": BLUE, "weight": "bold"} if n in bold else {"color": GREY}
            around = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(*place, n, ha="center", va="center", fontsize=9, bbox=around, **look)
        reach = np.abs([x, y]).max() + 0.8
        axes.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
        axes.grid(visible=False)
    return row


def _graded(name, kinds, labels, reverse=False):
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 1.0, len(labels)))[:, :3]
    return Colouring(name, kinds, labels, shades[::-1] if reverse else shades)
