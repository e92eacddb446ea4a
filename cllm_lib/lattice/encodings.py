"""Where a token stands, as a row of numbers or as a turn: tables to add to embeddings, and the rotation of rotary embedding.

A table has a row for each position. The angle of a position is all that tells one encoding from another. How CLLM made D
columns of one angle is not recorded; here the plainest way is taken, column pairs (sin, cos) of its multiples 1, 2, 3, ...
All rows have length 1, so that no encoding is louder than another.

Shapes: T positions, D width of a row, d width of what is turned.
"""

import math

import numpy as np

from cllm_lib.checks import at_most, non_negative_integer, one_of, positive_integer
from cllm_lib.lattice.primes import first_primes

GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))  # 2 pi / phi^2: no whole number of steps comes back to the same angle
HOURS = 12
PRIME_PERIOD = 1000
ROPE_BASE = 10_000.0  # of Su et al.
ROPE_PAIRS = {  # which columns of a row d wide are turned together: the first ones of all pairs, and the second ones
    "neighbours": lambda width: (slice(0, None, 2), slice(1, None, 2)),
    "halves": lambda width: (slice(0, width // 2), slice(width // 2, None)),
}
MOST_POSITIONS = 1_000_000  # beyond, an angle taken 500 times no longer has seven right digits


def sinusoidal_positions(time, width, start=0, unit_length=True):  # -> (T, D)
    """Sinusoidal positional encoding: each pair of columns turns at a speed of its own, from one radian a position to one in 10,000.

    Parameters
    ----------
    time, width : int
        How many positions, and how many columns, two at least.
    start : int
        The first position.
    unit_length : bool
        Whether each row is divided by its length.

    Returns
    -------
    ndarray, shape (T, D)

    Raises
    ------
    ValueError
        If a number is not whole, too small, or the positions pass a million.

    Notes
    -----
    Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    """
    positions = _positions(time, start)
    angles = positions[:, None] * frequencies(width)
    return _rows(angles, width, 1.0, unit_length)


def spiral_positions(time, width, start=0, unit_length=True):  # -> (T, D)
    """The angle grows by the golden angle, the length by a tenth of the root of the position; see :func:`sinusoidal_positions`.

    Dividing by the length takes the spiral out of it: what is left is a circle.

    Notes
    -----
    CLLM's "spiral" encoding. The golden angle is that of Vogel 1979, "A Better Way to Construct the Sunflower Head".
    """
    positions = _positions(time, start)
    angles = _multiples(positions * GOLDEN_ANGLE, width)
    return _rows(angles, width, 1.0 + 0.1 * np.sqrt(positions)[:, None], unit_length)


def clock_positions(time, width, start=0, unit_length=True):  # -> (T, D)
    """The hand of a clock with twelve hours: after twelve positions the same rows come again; see :func:`sinusoidal_positions`.

    Notes
    -----
    CLLM's "clock" encoding, whose length before division is 1 + 0.2 ln(position + 1).
    """
    positions = _positions(time, start)
    angles = _multiples(positions % HOURS * (2.0 * math.pi / HOURS), width)
    return _rows(angles, width, 1.0 + 0.2 * np.log1p(positions)[:, None], unit_length)


def prime_positions(time, width, start=0, unit_length=True):  # -> (T, D)
    """Position 0 is given the prime 2, position 1 the prime 3, and so on; its last three digits are the angle.

    See :func:`sinusoidal_positions`. Small primes differ by little, so early rows are much alike.

    Notes
    -----
    CLLM's "prime" encoding: the phase is 2 pi (p mod 1000) / 1000.
    """
    positions = _positions(time, start)
    primes = first_primes(int(positions[-1]) + 1)[positions[0] :]
    angles = _multiples(primes % PRIME_PERIOD * (2.0 * math.pi / PRIME_PERIOD), width)
    return _rows(angles, width, 1.0, unit_length)


def frequencies(width, base=ROPE_BASE):  # -> (D / 2,)
    """Rotary frequencies: radians a position for each pair of columns, from 1 down towards 1 / base, evenly in the logarithm.

    Raises
    ------
    ValueError
        If `width` is not a whole number of at least 1, or `base` no finite number above 0.
    """
    if not (isinstance(base, int | float) and 0.0 < base < math.inf):
        raise ValueError(f"base is {base!r}: give a finite number above 0, such as 10_000.0")
    return float(base) ** (-np.arange(0, positive_integer(width, "width"), 2, dtype=np.int64) / width)


def rotate(x, positions, base=ROPE_BASE, pairs="neighbours"):  # (..., T, d), (T,) -> (..., T, d)
    """Rotary position embedding (RoPE): turn each pair of columns of row t by an angle proportional to its position.

    The pair (a, b) becomes (a cos - b sin, a sin + b cos). Queries and keys turned like this have a dot product in which
    only the difference of their positions is left, for a rotation keeps angles between what it turns alike.

    Parameters
    ----------
    x : ndarray, shape (..., T, d)
        d even.
    positions : array_like, shape (T,)
        Of the rows; any numbers, negative ones turn backwards.
    base : float
        Pair i turns by base^(-2i / d) radians a position; see :func:`frequencies`.
    pairs : {"neighbours", "halves"}
        Pair i is columns 2i and 2i + 1, as in the paper, or columns i and i + d / 2, as in GPT-NeoX and in Llama's weights for
        transformers. It is the same turn of a row whose columns stand in another order: weights made for one are wrong for
        the other.

    Returns
    -------
    ndarray, shape (..., T, d)
        Of the type of `x`.

    Raises
    ------
    ValueError
        If d is odd, there is not one finite position for each row, or the name of the pairs is unknown.

    Notes
    -----
    Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", section 3.2.2. Halves are
    how the program of Black et al. 2022, "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", has it.
    """
    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    angles = rotation_angles(_positions_of_rows(x, positions), x.shape[-1], base)
    cosine, sine = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    one, other = one_of(pairs, ROPE_PAIRS, "pairs")(x.shape[-1])
    first, second = x[..., one], x[..., other]
    y = np.empty_like(x)
    y[..., one] = first * cosine - second * sine
    y[..., other] = first * sine + second * cosine
    return y


def rotate_backward(dy, positions, base=ROPE_BASE, pairs="neighbours"):  # (..., T, d), (T,) -> (..., T, d)
    """The gradient of x: turned back. A rotation's transpose is its inverse."""
    return rotate(dy, -np.asarray(positions), base, pairs)


def rotation_angles(positions, width, base=ROPE_BASE):  # (T,) -> (T, d / 2)
    """By how many radians :func:`rotate` turns each pair of each row."""
    if positive_integer(width, "width") % 2:
        raise ValueError(f"the rows are {width} wide: a rotation turns pairs of columns, so give an even width")
    return np.asarray(positions, dtype=np.float64)[:, None] * frequencies(width, base)


def _positions(time, start):  # -> (T,)
    time, start = positive_integer(time, "time"), non_negative_integer(start, "start")
    at_most(start + time, MOST_POSITIONS, "start + time", "angles of so many positions would be inexact")
    return np.arange(start, start + time, dtype=np.int64)


def _positions_of_rows(x, positions):
    positions = np.asarray(positions)
    if x.ndim < 2 or positions.shape != x.shape[-2:-1]:
        raise ValueError(
            f"positions have shape {positions.shape}, x {x.shape}: give x as (..., time, width), and one position for each row"
        )
    if positions.dtype.kind not in "iuf" or not np.isfinite(positions).all():
        raise ValueError("positions are not all finite numbers: a row without a place cannot be turned")
    return positions


def _multiples(angles, width):  # (T,) -> (T, ceil(D / 2))
    return angles[:, None] * np.arange(1, (positive_integer(width, "width") + 1) // 2 + 1, dtype=np.int64)


def _rows(angles, width, amplitude, unit_length):  # (T, ceil(D / 2)) -> (T, D)
    """Sine and cosine of each angle side by side; of an odd width the last cosine is left out."""
    if width < 2:
        raise ValueError(f"width is {width}: an angle shows as a sine and a cosine, so give two columns at least")
    rows = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), -1)[:, :width]
    rows *= amplitude
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit_length else rows
