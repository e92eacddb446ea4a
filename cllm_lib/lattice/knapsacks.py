"""Subset-sum problems, made at random: the knapsacks that LLL breaks."""

import numpy as np


def knapsack(n, bits, seed):
    """Draw weights of so many bits, and the sum of half of them.

    Parameters
    ----------
    n, bits : int
    seed : int

    Returns
    -------
    weights : list of int
    total : int
    chosen : list of int
        0 or 1 for each weight: the secret.

    Notes
    -----
    Merkle and Hellman 1978 hid messages so; Lagarias and Odlyzko 1985, "Solving Low-Density Subset Sum Problems", found
    them by LLL.
    """
    generator = np.random.default_rng(seed)
    weights = [int(w) for w in generator.integers(2 ** (bits - 1), 2**bits, n)]
    chosen = [int(c) for c in generator.permutation(np.arange(n, dtype=np.int64) % 2)]
    return weights, sum(w for w, c in zip(weights, chosen, strict=True) if c), chosen
