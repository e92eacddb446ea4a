"""Entropies by counting: what a model can reach that knows only how often words, or pairs of words, occur."""

import numpy as np


def entropy(symbols):
    """Entropy of the frequencies of `symbols`, in nats: the mean of -ln(share).

    >>> round(entropy([0, 0, 1, 1]), 4)  # ln 2
    0.6931
    """
    _, counts = np.unique(np.asarray(symbols), return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def conditional_entropy(symbols, given):
    """H(symbol | given) = H(symbol, given) - H(given), in nats, from the counts of pairs.

    Parameters
    ----------
    symbols, given : array_like of int, the same shape

    Notes
    -----
    Cover and Thomas 2006, "Elements of Information Theory", 2nd ed., theorem 2.2.1 (chain rule).
    """
    symbols, given = np.ravel(symbols), np.ravel(given)
    pairs = np.stack([given, symbols], axis=1)
    _, pair_ids = np.unique(pairs, axis=0, return_inverse=True)
    return max(0.0, entropy(pair_ids.ravel()) - entropy(given))
