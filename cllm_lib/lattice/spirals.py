"""Curves that lay the numbers out on a plane: from a number to its place, and back.

Four curves step from cell to cell of a square grid, with y growing upwards: Ulam's spiral around the origin; Hilbert's curve,
Morton's and the rows of a page over the quadrant to the right and above. On each of them 1 lies at (0, 0), and where there
are numbers to 2^52 there is no rounding: the calculation is one of whole numbers. Two more, Sacks's and Vogel's, are round
and pass between the cells: their places are floats.

A single number gives single numbers, an array gives arrays of its shape.
"""

import numpy as np

from cllm_lib.checks import positive_integer, whole_numbers
from cllm_lib.lattice.encodings import GOLDEN_ANGLE

LARGEST_NUMBER = 2**52  # its root is the last that a float finds without a correction: see `ulam_coordinates`
LARGEST_ON_ROUND_CURVES = 10**8  # beyond, a rounded angle moves a point by more than a thousandth of a step
SIDE = 2**26  # of the square in one quadrant that holds so many cells
BLOCK = 16_384  # numbers at a time: what is used over and over should stay in the processor's cache


def ulam_coordinates(n):  # any shape -> 2 x the same shape
    """Return where n lies on Ulam's spiral: 1 at the origin, 2 to the right of it, then counter-clockwise.

    Parameters
    ----------
    n : int, or array_like of int
        From 1 to 2^52.

    Returns
    -------
    x, y : int, or ndarray of int64
        As `n`.

    Raises
    ------
    ValueError
        If a number is not whole or out of range; the error says which.

    Notes
    -----
    Stein, Ulam, Wells 1964, "A Visual Display of Some Properties of the Distribution of Primes". Count from 0, m = n - 1. Then
    m = r^2 is a corner: (-r/2, r/2) for even r, ((r + 1)/2, -(r - 1)/2) for odd r. The numbers to which r is the whole number
    nearest to their root lie on the two sides that meet there: on the one d = m - r^2 is negative, on the other positive. So

        x = s (ceil(r / 2) + min(d, 0)),  y = s (max(d, 0) - floor(r / 2)),  s = 1 for odd r and -1 for even r.

    A rounded root can take m = r^2 + r, which lies just below the middle between r and r + 1, for that middle: both give it
    the same place. It takes no other m for a middle below 2^52.

    >>> [ulam_coordinates(n) for n in (1, 2, 3, 4, 5)]
    [(0, 0), (1, 0), (1, 1), (0, 1), (-1, 1)]
    """
    n = whole_numbers(n, 1, LARGEST_NUMBER, "n")
    flat, x, y = n.ravel(), np.empty(n.size, dtype=np.int64), np.empty(n.size, dtype=np.int64)
    size = min(BLOCK, n.size)
    scratch = np.empty(size), *np.empty((3, size), dtype=np.int64)
    for start in range(0, n.size, BLOCK):
        block = slice(start, start + BLOCK)
        width = len(flat[block])
        _ulam_block(flat[block], x[block], y[block], *(array[:width] for array in scratch))
    return _as_given(x.reshape(n.shape)), _as_given(y.reshape(n.shape))


def _ulam_block(n, x, y, root, m, r, sign):
    np.subtract(n, 1, out=m)
    np.copyto(root, m)
    np.rint(np.sqrt(root, out=root), out=root)
    np.copyto(r, root, casting="unsafe")
    m -= np.multiply(r, r, out=x)  # d
    np.bitwise_and(r, 1, out=sign)  # 1 for odd r
    r >>= 1
    np.minimum(m, 0, out=x)
    x += r
    x += sign  # the half of r, rounded up
    np.maximum(m, 0, out=y)
    y -= r
    sign += sign
    sign -= 1
    x *= sign
    y *= sign


def ulam_index(x, y):  # 2 x any shape -> the same shape
    """Return which number lies at a place of Ulam's spiral: the inverse of :func:`ulam_coordinates`.

    Parameters
    ----------
    x, y : int, or array_like of int, of equal shape
        From -2^25 to 2^25, where the numbers to 2^52 lie.

    Returns
    -------
    int, or ndarray of int64

    Raises
    ------
    ValueError
        If a place is not whole, or holds a number beyond 2^52.

    Notes
    -----
    With k = max(|x|, |y|), the number in the upper left corner of the ring is 4 k^2 + 1. From there 2 k + x - y counts the
    steps to (x, y): back over the top and the right side, forth down the left side and along the bottom.
    """
    x, y = _pair(x, y, -SIDE // 2, SIDE // 2)
    k = np.maximum(np.abs(x), np.abs(y))
    steps = 2 * k + x - y
    n = 1 + 4 * k**2 + np.where(x + y > 0, -steps, steps)
    whole_numbers(n, 1, LARGEST_NUMBER, "the number at (x, y)")
    return _as_given(n)


def hilbert_coordinates(n):  # any shape -> 2 x the same shape
    """Return where n lies on Hilbert's curve: neighbours on the curve are neighbours on the plane.

    The numbers to 4^k fill the square of side 2^k at the origin, for any k, and the curve goes on from there without end. The
    first step leads to the right.

    Parameters
    ----------
    n : int, or array_like of int
        From 1 to 2^52.

    Returns
    -------
    x, y : int, or ndarray of int64
        From 0 on.

    Raises
    ------
    ValueError
        If a number is not whole or out of range.

    Notes
    -----
    Hilbert 1891, "Ueber die stetige Abbildung einer Linie auf ein Flaechenstueck". Two bits of n - 1 name the quadrant at each
    size, in the order lower left, upper left, upper right, lower right. What was laid in the first is turned over its
    diagonal, in the last over the other one. Hence the curve of a square lies turned over in the next larger one and, turned
    over twice, as it was in the one after that: an even number of sizes makes all of them agree.
    """
    n = whole_numbers(n, 1, LARGEST_NUMBER, "n")
    rest, x, y = n - 1, np.zeros_like(n), np.zeros_like(n)
    for size in _sizes(int(rest.max(initial=0)).bit_length() / 2):
        right, up = (rest >> 1) & 1, ((rest >> 1) ^ rest) & 1
        x, y = _turned(x, y, size, right, up)
        x, y, rest = x + size * right, y + size * up, rest >> 2
    return _as_given(x), _as_given(y)


def hilbert_index(x, y):  # 2 x any shape -> the same shape
    """Return which number lies at a place of Hilbert's curve: the inverse of :func:`hilbert_coordinates`.

    Parameters
    ----------
    x, y : int, or array_like of int, of equal shape
        From 0 to 2^26 - 1.

    Returns
    -------
    int, or ndarray of int64

    Raises
    ------
    ValueError
        If a place is not whole or out of range.
    """
    x, y = _pair(x, y, 0, SIDE - 1)
    n = np.ones_like(x)
    for size in _sizes(int(np.maximum(x, y).max(initial=0)).bit_length())[::-1]:
        right, up = (x & size) // size, (y & size) // size
        n = n + size**2 * ((3 * right) ^ up)
        x, y = _turned(x & (size - 1), y & (size - 1), size, right, up)
    return _as_given(n)


def _sizes(levels):
    """1, 2, 4, ...: an even number of them, at least as many as asked for."""
    return [1 << level for level in range(2 * int(np.ceil(levels / 2)))]


def _turned(x, y, size, right, up):
    """What lies in a square of that size, turned over its diagonal for the first quadrant, over the other one for the last."""
    mirror = (size - 1) * (right & ~up)  # v ^ (size - 1) is size - 1 - v
    return np.where(up, x, y ^ mirror), np.where(up, y, x ^ mirror)


def morton_coordinates(n):  # any shape -> 2 x the same shape
    """Return where n lies on Morton's curve: n - 1 in binary, its digits dealt in turn to x and y.

    The numbers to 4^k fill the square of side 2^k at the origin, for any k.

    Parameters
    ----------
    n : int, or array_like of int
        From 1 to 2^52.

    Returns
    -------
    x, y : int, or ndarray of int64
        From 0 on; x has the last digit of n - 1.

    Raises
    ------
    ValueError
        If a number is not whole or out of range.

    Notes
    -----
    Morton 1966, "A Computer Oriented Geodetic Data Base"; also known as Z-order. The digits are moved in groups, halves first,
    as in Warren 2013, "Hacker's Delight", 2nd ed., section 7-2.
    """
    bits = whole_numbers(n, 1, LARGEST_NUMBER, "n") - 1
    return _as_given(_every_other(bits)), _as_given(_every_other(bits >> 1))


def morton_index(x, y):  # 2 x any shape -> the same shape
    """Return which number lies at a place of Morton's curve: the inverse of :func:`morton_coordinates`.

    Parameters
    ----------
    x, y : int, or array_like of int, of equal shape
        From 0 to 2^26 - 1.

    Returns
    -------
    int, or ndarray of int64

    Raises
    ------
    ValueError
        If a place is not whole or out of range.
    """
    x, y = _pair(x, y, 0, SIDE - 1)
    return _as_given(1 + (_spread(x) | _spread(y) << 1))


_GROUPS = {16: 0x0000FFFF0000FFFF, 8: 0x00FF00FF00FF00FF, 4: 0x0F0F0F0F0F0F0F0F, 2: 0x3333333333333333, 1: 0x5555555555555555}


def _spread(bits):
    """Put a 0 before each binary digit."""
    for shift, mask in _GROUPS.items():
        bits = (bits | bits << shift) & mask
    return bits


def _every_other(bits):
    """The last binary digit, the one before the one before it, and so on."""
    bits = bits & _GROUPS[1]
    for shift, mask in zip(reversed(_GROUPS), [*reversed(_GROUPS.values()), 0xFFFFFFFF][1:], strict=True):
        bits = (bits | bits >> shift) & mask
    return bits


def row_major_coordinates(n, width):  # any shape -> 2 x the same shape
    """Return where n lies when numbers are written row by row, from left to right, each row above the last.

    Parameters
    ----------
    n : int, or array_like of int
        From 1 to 2^52.
    width : int
        Numbers in a row.

    Returns
    -------
    x, y : int, or ndarray of int64
        From 0 on.

    Raises
    ------
    ValueError
        If a number is not whole or out of range.
    """
    y, x = np.divmod(whole_numbers(n, 1, LARGEST_NUMBER, "n") - 1, _width(width))
    return _as_given(x), _as_given(y)


def row_major_index(x, y, width):  # 2 x any shape -> the same shape
    """Return which number lies at a place of the page: the inverse of :func:`row_major_coordinates`.

    Parameters
    ----------
    x, y : int, or array_like of int, of equal shape
        From 0 on; x below `width`.
    width : int

    Returns
    -------
    int, or ndarray of int64

    Raises
    ------
    ValueError
        If a place is not whole, lies beside the page, or holds a number beyond 2^52.
    """
    width = _width(width)
    x, y = whole_numbers(x, 0, width - 1, "x"), whole_numbers(y, 0, (LARGEST_NUMBER - 1) // width, "y")
    n = _same_shape(x, y)[1] * width + x + 1
    whole_numbers(n, 1, LARGEST_NUMBER, "the number at (x, y)")
    return _as_given(n)


def vogel_coordinates(n):  # any shape -> 2 x the same shape
    """Return where n lies on Vogel's spiral, as the seeds of a sunflower do: each turned by the golden angle from the one before.

    x = sqrt(n) cos(n g), y = sqrt(n) sin(n g), with g = 2 pi / phi^2, about 137.5 degrees: every point has the same share of
    the plane. This is what CLLM's documents call "Ulam spiral"; see :func:`cone_coordinates`.

    Parameters
    ----------
    n : int, or array_like of int
        From 0, at the origin, to 10^8.

    Returns
    -------
    x, y : float, or ndarray of float64

    Raises
    ------
    ValueError
        If a number is not whole or out of range.

    Notes
    -----
    Vogel 1979, "A Better Way to Construct the Sunflower Head", Mathematical Biosciences 44.
    """
    n = whole_numbers(n, 0, LARGEST_ON_ROUND_CURVES, "n")
    return _round_place(np.sqrt(n), n * GOLDEN_ANGLE)


def sacks_coordinates(n):  # any shape -> 2 x the same shape
    """Return where n lies on Sacks's spiral: at the distance sqrt(n), after sqrt(n) turns, so that the squares lie on a line.

    Parameters
    ----------
    n : int, or array_like of int
        From 0, at the origin, to 10^8.

    Returns
    -------
    x, y : float, or ndarray of float64

    Raises
    ------
    ValueError
        If a number is not whole or out of range.

    Notes
    -----
    Robert Sacks, 1994: an Archimedean spiral.
    """
    root = np.sqrt(whole_numbers(n, 0, LARGEST_ON_ROUND_CURVES, "n"))
    return _round_place(root, 2.0 * np.pi * (root - np.floor(root)))


def cone_coordinates(n):  # any shape -> 3 x the same shape
    """Return where CLLM put n on what it called the Ulam spiral: Vogel's spiral, raised by z = ln(n + 1).

    Parameters
    ----------
    n : int, or array_like of int
        From 0 to 10^8.

    Returns
    -------
    x, y, z : float, or ndarray of float64

    Raises
    ------
    ValueError
        If a number is not whole or out of range.
    """
    x, y = vogel_coordinates(n)
    return x, y, _as_given(np.log1p(np.asarray(n)))


def _round_place(radius, angle):
    return _as_given(radius * np.cos(angle)), _as_given(radius * np.sin(angle))


def _width(width):
    return int(whole_numbers(positive_integer(width, "width"), 1, LARGEST_NUMBER, "width"))


def _pair(x, y, least, most):
    return _same_shape(whole_numbers(x, least, most, "x"), whole_numbers(y, least, most, "y"))


def _same_shape(x, y):
    if x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y has shape {y.shape}: give one y for each x")
    return x, y


def _as_given(array):
    """A single number out where a single number came in."""
    return array.item() if np.ndim(array) == 0 else array
