"""Locality in numbers: how far apart neighbours on the plane lie in memory, and the reverse; and primes along a quadratic.

What lies at a place of the plane is stored where its number says, so the distance in memory of two places is the difference
of their numbers, counted in rows of a table. It depends on the curve that numbers the plane.
"""

from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import at_most, one_of, positive_integer, whole_numbers
from cllm_lib.lattice.primes import LARGEST_SIEVE, primes_below
from cllm_lib.lattice.spirals import (
    LARGEST_NUMBER,
    LARGEST_ON_ROUND_CURVES,
    hilbert_index,
    morton_index,
    row_major_index,
    ulam_index,
)

LARGEST_SIDE = 4_096  # 128 MiB of numbers
LARGEST_COEFFICIENT = 10**9


def _centred_ulam_index(x, y, side):
    middle = (side - 1) // 2  # the first side^2 numbers reach one cell further to the right and up where side is even
    return ulam_index(x - middle, y - middle)


_NUMBER_AT = {  # by curve: the number at the cell in column x and row y of a square that the curve fills with 1 to side^2
    "ulam": _centred_ulam_index,
    "hilbert": lambda x, y, side: hilbert_index(x, y),
    "morton": lambda x, y, side: morton_index(x, y),
    "row_major": row_major_index,
}
GRID_CURVES = tuple(_NUMBER_AT)
CONE = "cone"


@dataclass(frozen=True)
class Spread:
    """What is typical of many distances, and what is not rare.

    Attributes
    ----------
    mean, median : float
    most : float
        95 % of them are not larger.
    """

    mean: float
    median: float
    most: float


def spread(distances):
    """Return mean, median and 95 % point of some distances.

    Parameters
    ----------
    distances : array_like
        At least one.

    Returns
    -------
    Spread

    Raises
    ------
    ValueError
        If there is none, or one is not finite.
    """
    distances = np.asarray(distances, dtype=np.float64)
    if distances.size == 0 or not np.isfinite(distances).all():
        raise ValueError(f"{distances.size} distances, not all of them finite: give one at least, and finite ones")
    return Spread(float(distances.mean()), *(float(q) for q in np.quantile(distances, [0.5, 0.95])))


def curve_grid(curve, side):  # -> (side, side)
    """Return the number at each cell of a square that a curve fills with 1, 2, ..., side^2.

    Parameters
    ----------
    curve : str
        "ulam", "hilbert", "morton" or "row_major".
    side : int
        At most 4,096; for Hilbert's and Morton's curve a power of two, for these fill no other square.

    Returns
    -------
    ndarray of int64, shape (side, side)
        Row y and column x, as on the plane: row 0 is the lowest.

    Raises
    ------
    ValueError
        If the curve is unknown, or fills no such square.

    >>> curve_grid("ulam", 3)[::-1].tolist()
    [[5, 4, 3], [6, 1, 2], [7, 8, 9]]
    """
    number_at = one_of(curve, _NUMBER_AT, "curve")
    side = at_most(positive_integer(side, "side"), LARGEST_SIDE, "side", "the grid would take gigabytes")
    if curve in ("hilbert", "morton") and side & (side - 1):
        raise ValueError(f"side is {side}, and the curve {curve!r} fills only squares whose side is a power of two: give 1, 2, 4, 8, ...")
    y, x = np.indices((side, side), dtype=np.int64)
    return number_at(x, y, side)


def memory_distances(grid):  # (H, W) -> (pairs,)
    """Return |n - m| for every two numbers side by side, or one above the other.

    Parameters
    ----------
    grid : array_like of int, shape (H, W)
        The number at each cell; see :func:`curve_grid`.

    Returns
    -------
    ndarray of int64, shape (H (W - 1) + (H - 1) W,)
        How many rows of a table lie between neighbours on the plane; 1 is the next row.

    Raises
    ------
    ValueError
        If `grid` is no matrix of whole numbers.
    """
    grid = whole_numbers(grid, 0, 2**62, "grid")
    if grid.ndim != 2:
        raise ValueError(f"grid has shape {grid.shape}: give a number for each cell, (rows, columns)")
    return np.concatenate([np.abs(np.diff(grid, axis=axis)).ravel() for axis in (1, 0)])


def plane_distances(x, y, steps=1):  # (N,), (N,) -> (N - steps,)
    """Return how far the plane separates each number from the one `steps` later: the distance of n and n + steps.

    Parameters
    ----------
    x, y : array_like, shape (N,)
        Places of consecutive numbers, as the functions of :mod:`~cllm_lib.lattice.spirals` give them.
    steps : int
        Below N.

    Returns
    -------
    ndarray of float64, shape (N - steps,)
        In the plane's units, straight across.

    Raises
    ------
    ValueError
        If x and y are not alike, or there are no two numbers so far apart.
    """
    x, y, steps = np.asarray(x), np.asarray(y), positive_integer(steps, "steps")
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y has shape {y.shape}: give one row of each, equally long")
    if steps >= len(x):
        raise ValueError(f"steps is {steps}, and there are {len(x)} places: give more places or fewer steps")
    return np.hypot(x[steps:] - x[:-steps], y[steps:] - y[:-steps])


def cone_distance(n):  # any shape -> the same shape
    """Return the distance from the origin at which CLLM's "Ulam spiral" has n: sqrt(n + ln(n + 1)^2).

    x^2 + y^2 is n, whatever the angle, and z is ln(n + 1). Both grow with n: to sort by this distance is to sort by n.

    Parameters
    ----------
    n : int, or array_like of int
        From 0 to 10^8.

    Returns
    -------
    float, or ndarray of float64

    Raises
    ------
    ValueError
        If a number is not whole or out of range.
    """
    n = whole_numbers(n, 0, LARGEST_ON_ROUND_CURVES, "n")
    return np.sqrt(n + np.log1p(n) ** 2)[()]


def locality_order(curve, count):  # -> (count,)
    """Return in which order to store the rows of a table, so that a curve runs through them from the first to the last.

    The ids are written on a square row by row, and the square is walked along the curve.

    Parameters
    ----------
    curve : str
        "ulam", "hilbert", "morton" or "row_major", which leaves all as it is; or "cone", which sorts by :func:`cone_distance`
        as CLLM's documents would.
    count : int
        Of rows; at most 4,096 squared.

    Returns
    -------
    ndarray of int64, shape (count,)
        Element i is the id of the row to store as the i-th: `table[order]` is the table so stored.

    Raises
    ------
    ValueError
        If the curve is unknown, or `count` is not a whole number of at least 1, or too large.

    >>> locality_order("ulam", 9).tolist()
    [4, 5, 8, 7, 6, 3, 0, 1, 2]
    """
    one_of(curve, _NUMBER_AT | {CONE: None}, "curve")
    count = at_most(positive_integer(count, "count"), LARGEST_SIDE**2, "count", "the square would take gigabytes")
    if curve == CONE:
        return np.argsort(cone_distance(np.arange(count, dtype=np.int64)), kind="stable")
    side = int(np.ceil(np.sqrt(count)))
    if curve in ("hilbert", "morton"):
        side = 1 << (side - 1).bit_length()
    return np.argsort(curve_grid(curve, side).ravel()[:count], kind="stable")


def quadratic_values(count, a=1, b=1, c=41):  # -> (count,)
    """Return a k^2 + b k + c for k = 0, 1, ..., count - 1; as it stands, Euler's k^2 + k + 41, which begins with 40 primes.

    On Ulam's spiral the values of a quadratic gather on rays: those with a = 4 on a single one, from some k on.

    Parameters
    ----------
    count : int
        At least 1.
    a, b, c : int
        Such that no value lies below 1 or beyond 2^52.

    Returns
    -------
    ndarray of int64, shape (count,)

    Raises
    ------
    ValueError
        If a number is not whole, or a value is out of range.

    Notes
    -----
    Euler 1772, letter to Bernoulli, gave k^2 - k + 41; that is the same sequence with its first value twice.
    """
    count = at_most(positive_integer(count, "count"), 10**8, "count", "so many values would take gigabytes")
    for name, value in (("a", a), ("b", b), ("c", c)):
        whole_numbers(value, -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT, name)
    k = np.arange(count, dtype=np.int64)
    roughly = a * k.astype(np.float64) ** 2 + float(b) * k + c
    if np.abs(roughly).max() < 2.0**62:  # int64 holds them all
        return whole_numbers(a * k**2 + b * k + c, 1, LARGEST_NUMBER, "a k^2 + b k + c")
    raise ValueError(f"a k^2 + b k + c reaches {roughly[np.abs(roughly).argmax()]:.3g}: give whole numbers whose values lie from 1 to 2^52")


def prime_density(values):
    """Return the share of primes among some numbers, and the share to expect of any numbers of that size.

    Parameters
    ----------
    values : array_like of int, shape (N,)
        From 2 to 10^9, at least one.

    Returns
    -------
    share, expected : float
        `expected` is the mean of 1 / ln(value).

    Raises
    ------
    ValueError
        If a value is not whole or out of range, or there is none.

    Notes
    -----
    Near v one number in ln v is prime: the prime number theorem (Hadamard and de la Vallee Poussin 1896). By how much a
    quadratic exceeds that, Hardy and Littlewood 1923 conjectured ("Some Problems of Partitio Numerorum III", conjecture F).
    """
    values = whole_numbers(values, 2, LARGEST_SIEVE - 1, "values")
    if values.size == 0:
        raise ValueError("values are empty: a share needs at least one number")
    is_prime = np.isin(values, primes_below(int(values.max()) + 1))
    return float(is_prime.mean()), float((1.0 / np.log(values)).mean())


def nearest_numbers(x, y, place, count=4):  # (N,), (N,) -> (count,)
    """Return the positions, in `x` and `y`, of what lies nearest to a place.

    Parameters
    ----------
    x, y : array_like, shape (N,)
    place : (float, float)
    count : int
        At least 1; fewer come back where there are not so many.

    Returns
    -------
    ndarray of int64
        Nearest first; of two equally near ones the first.

    Raises
    ------
    ValueError
        If there are no places, x and y are not alike, or `count` is not a whole number of at least 1.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise ValueError(f"x has shape {x.shape} and y has shape {y.shape}: give one row of each, equally long, with one place at least")
    squares = np.subtract(x, place[0], dtype=np.float64) ** 2 + np.subtract(y, place[1], dtype=np.float64) ** 2
    count = min(positive_integer(count, "count"), squares.size)
    bound = np.partition(squares, count - 1)[count - 1]
    near = np.flatnonzero(squares <= bound)
    return near[np.argsort(squares[near], kind="stable")][:count]
