"""Distance as something to subtract: what is far gets a lower score, before softmax, in every head by its own slope.

Shapes: B batch, H heads, T queries, S keys.
"""

import numpy as np

from cllm_lib.checks import non_negative_integer, positive_integer
from cllm_lib.lattice.spirals import ulam_coordinates


def alibi_slopes(n_heads):  # -> (H,)
    """ALiBi slopes, how much each head minds distance: a geometric sequence that ends at 2^-8.

    For a number of heads that is no power of two: the sequence of the power below, then every other slope of the one for
    twice as many heads, which lie between.

    Parameters
    ----------
    n_heads : int

    Returns
    -------
    ndarray, shape (H,)

    Raises
    ------
    ValueError
        If `n_heads` is not a whole number of at least 1.

    Notes
    -----
    Press, Smith, Lewis 2022, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
    Extrapolation", section 3; for other numbers of heads as in the code that came with it.
    """
    n_heads = positive_integer(n_heads, "n_heads")
    power = 1 << (n_heads.bit_length() - 1)
    between = _geometric(2 * power)[::2]
    return np.concatenate([_geometric(power), between[: n_heads - power]])


def _geometric(n):
    return 2.0 ** (-8.0 * np.arange(1, n + 1, dtype=np.int64) / n)


def token_distances(time, start=0):  # -> (T, start + T)
    """|i - j| between the queries at the positions from `start` on (rows) and the keys at those from 0 on (columns)."""
    time, start = positive_integer(time, "time"), non_negative_integer(start, "start")
    return np.abs(np.arange(start, start + time, dtype=np.int64)[:, None] - np.arange(start + time, dtype=np.int64))


def ulam_distances(time):  # -> (T, T)
    """How far apart two positions lie on Ulam's square spiral, position 0 at its centre."""
    x, y = ulam_coordinates(np.arange(1, time + 1, dtype=np.int64))
    return np.hypot(x[:, None] - x, y[:, None] - y)


def distance_bias(slopes, distances):  # (H,), (T, S) -> (H, T, S)
    """Distance bias: what is added to the scores of each head, minus slope times distance.

    A token's distance to itself is 0, so its own score stays as it is.

    Parameters
    ----------
    slopes : array_like of float, shape (H,)
        Of any sign: a head with a negative slope looks far.
    distances : array_like, shape (T, S)
        Of query and key, not negative: :func:`token_distances`, or any others, such as those of two places on a spiral.

    Returns
    -------
    ndarray, shape (H, T, S)
        Of the type of `slopes`.

    Raises
    ------
    ValueError
        If the shapes are others, or a distance is negative or not finite.
    """
    slopes = np.asarray(slopes)
    slopes = slopes if slopes.dtype.kind == "f" else slopes.astype(np.float64)
    if slopes.ndim != 1:
        raise ValueError(f"slopes have shape {slopes.shape}: give one number for each head")
    return -slopes[:, None, None] * checked_distances(distances).astype(slopes.dtype)


def distance_bias_backward(d_bias, distances):  # (B, H, T, S), (T, S) -> (H,)
    """The gradient of the slopes: each took part in all scores of its head, in every sequence."""
    return -np.tensordot(d_bias, checked_distances(distances).astype(d_bias.dtype), axes=2).sum(axis=0)


def checked_distances(distances):  # -> (T, S)
    """Return distances as an array, or say which of them is none.

    Raises
    ------
    ValueError
        If they are no matrix, or one is negative or not finite.
    """
    distances = np.asarray(distances)
    if distances.ndim != 2 or distances.dtype.kind not in "iuf":
        raise ValueError(f"distances have shape {distances.shape} and dtype {distances.dtype}: give numbers, (queries, keys)")
    wrong = ~(np.isfinite(distances) & (distances >= 0))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"distances{list(where)} is {distances[where]}: a distance is a finite number of at least 0")
    return distances
