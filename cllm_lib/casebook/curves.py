"""Whether a loss curve looks healthy: what a glance at it would say, written down."""

import math

import numpy as np

NEAR = 0.25  # of ln V, at the start
FALLS = 0.25  # nats at least, from the start to the end
BACK = 0.5  # nats above its lowest, at the end: more is a curve that has turned


def looks_healthy(losses, vocab_size):
    """Whether a curve begins near ln V, falls, does not turn round, and has no gap: by the means over a tenth of its steps.

    Parameters
    ----------
    losses : sequence of float
        Of every step, ten at least.
    vocab_size : int

    Returns
    -------
    bool
    """
    losses = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(losses).all():
        return False
    window = max(3, len(losses) // 10)
    means = np.convolve(losses, np.full(window, 1.0 / window), "valid")
    begin, uniform = losses[:3].mean(), math.log(vocab_size)
    near, falls = abs(begin - uniform) <= NEAR * uniform, means[-1] <= begin - FALLS
    return bool(near and falls and means[-1] <= means.min() + BACK)
