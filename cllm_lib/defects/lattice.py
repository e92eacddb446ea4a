"""The crystalline parts of the model as they were coded: similarities, a loss, an attention and a rotation.

What may stand in their place: :mod:`cllm_lib.lattice.similarity`, the regulariser made of it
(:class:`~cllm_lib.training.regularizers.LaplacianRegularizer`), a distance as a bias and rotary embedding
(:class:`~cllm_lib.model.attention.DistanceBiasAttention`, :class:`~cllm_lib.model.attention.RotarySelfAttention`).
"""

import math

import numpy as np

from cllm_lib.checks import whole_numbers
from cllm_lib.defects.catalogue import exhibit
from cllm_lib.lattice.encodings import HOURS, rotate, rotate_backward
from cllm_lib.lattice.primes import first_primes
from cllm_lib.lattice.spirals import LARGEST_ON_ROUND_CURVES, cone_coordinates
from cllm_lib.model.attention import CausalSelfAttention, causal_mask, scores_backward
from cllm_lib.model.layers import softmax
from cllm_lib.model.transformer import CLLM

PRIMES_OF_TOKENS = 1_000
LARGEST_ID = LARGEST_ON_ROUND_CURVES - 1
SIMILARITY_OF_DIFFERENT_PRIMES = 0.5
GCD_SHARE, DISTANCE_SHARE = 0.7, 0.3


def token_primes(ids):  # any shape -> the same shape
    """Return the prime of each token: the i-th, of a thousand. (Which ids share one is not recorded; here i and i + 1,000.)"""
    return first_primes(PRIMES_OF_TOKENS)[whole_numbers(ids, 0, LARGEST_ID, "ids") % PRIMES_OF_TOKENS]


def prime_similarity(i, j, different=SIMILARITY_OF_DIFFERENT_PRIMES):  # any shapes that fit each other -> their common shape
    """Return what the program took for the similarity of two tokens, by their primes.

    What it did
        Gave token i the i-th prime. Similarity was 1 for equal primes, and for others a matter of their greatest common
        divisor. That of two different primes is always 1: so it came to a constant, 0.5 in one place of the program and 0 in
        another.
    Symptom
        None: numbers between 0 and 1, as a similarity's are.
    Exposed by
        Counting different values of all pairs, `np.unique`: two of them. Each pair of different tokens is as alike as any
        other, and ids that are a thousand apart are the same.
    In the documents
        000 and 001, "Prime-based similarity", not yet in use; 003 expects it to be 10 to 100 times faster.

    Parameters
    ----------
    i, j : array_like of int
        Token ids.
    different : float
        The constant: 0.5 or 0.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    ValueError
        If an id is not a whole number of at least 0.
    """
    return np.where(token_primes(i) == token_primes(j), 1.0, different)


def prime_similarity_in_attention(p, q):  # any shapes that fit each other -> their common shape
    """The same once more as attention had it, from primes: 1/p for the same prime, and so *less* than the 0.5 for others."""
    return np.where(np.equal(p, q), 1.0 / np.asarray(p), SIMILARITY_OF_DIFFERENT_PRIMES)


def gcd_similarity(i, j):  # any shapes that fit each other -> their common shape
    """Return gcd(i + 1, j + 1) / max(i + 1, j + 1) for two token ids.

    What it did
        Took the place of a word in the vocabulary for a number that says something about the word.
    Symptom
        None: 1 for a token with itself, less for others, symmetric.
    Exposed by
        Numbering the vocabulary in another order: the same two words are alike now, or no longer.
    In the documents
        None by name. 004 plans "Prime-based distances".

    Parameters
    ----------
    i, j : array_like of int

    Returns
    -------
    ndarray of float64

    Raises
    ------
    ValueError
        If an id is not a whole number of at least 0.
    """
    i, j = (whole_numbers(ids, 0, LARGEST_ID, name) + 1 for ids, name in ((i, "i"), (j, "j")))
    return np.gcd(i, j) / np.maximum(i, j)


def spiral_distance(i, j):  # any shapes that fit each other -> their common shape
    """Return how far two numbers lie apart on the spiral that the program called Ulam's: Vogel's, on a cone."""
    ends = (np.stack(cone_coordinates(whole_numbers(ids, 0, LARGEST_ID, name)), axis=-1) for ids, name in ((i, "i"), (j, "j")))
    return np.linalg.norm(np.subtract(*ends), axis=-1)


def lattice_loss(tokens, targets):  # 2 x any shape -> a number
    """Return the loss that was to know the lattice: the mean of -ln(0.7 gcd similarity + 0.3 / (1 + distance)).

    What it did
        Compared the id of each token with that of the next, by :func:`gcd_similarity` and :func:`spiral_distance`. What the
        model had said of the next token does not occur in it, nor does any weight.
    Symptom
        One and the same number for the same text, whatever is trained.
    Exposed by
        The gradient check: every slope is exactly 0. And numbering the vocabulary in another order, which changes no model
        and no text, changes it.
    In the documents
        004 wishes for a "Lattice-aware loss". The number it stood at, 4.1855, is in none of them.

    Parameters
    ----------
    tokens, targets : array_like of int, the same shape

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an id is not a whole number of at least 0, or the shapes differ.
    """
    if np.shape(tokens) != np.shape(targets) or np.size(tokens) == 0:
        raise ValueError(f"tokens have shape {np.shape(tokens)}, targets {np.shape(targets)}: give a target for each token, one at least")
    alike = GCD_SHARE * gcd_similarity(tokens, targets) + DISTANCE_SHARE / (1.0 + spiral_distance(tokens, targets))
    return float(-np.log(alike).mean())


@exhibit("lattice loss", "model", CLLM, 23)
class LatticeLoss(CLLM):
    """A model that is trained on :func:`lattice_loss`: on a number that it has no part in.

    What it did
        Took greatest common divisors and distances of token ids for a loss, and went backward through it.
    Symptom
        The loss of a batch is the same in every epoch, and no weight ever moves.
    Exposed by
        The gradient check: its gradient is right, and exactly 0, as every slope is.
    In the documents
        004 wishes for a "Lattice-aware loss".
    """

    def loss(self, tokens, targets):
        """See :func:`lattice_loss`."""
        return lattice_loss(*self._checked_pair(tokens, targets))

    def forward_backward(self, tokens, targets):
        """Return the loss and leave its true gradient: zeros."""
        self.flat_gradients.fill(0.0)
        return self.loss(tokens, targets)


@exhibit("lattice-aware attention", "attention", CausalSelfAttention, 22)
class LatticeAwareAttention(CausalSelfAttention):
    """Attention whose scores are multiplied by distances and primes, and bent by a Moebius map.

    What it did
        Multiplied each score by 1 / (1 + distance on the spiral), by 1 + similarity of primes and by half of 1 + cos(2 pi (p -
        q) / (p + q)), and put the product z into (z + b) / (z / 2 + 1), with b = 1 or -1 as the position is even or odd. (In
        the program distances and primes were those of tokens; attention is not handed their ids here, so they are those of
        positions: position t has the t-th prime. The parity is that of the query, in our reading. Further factors are left out.)
    Symptom
        What must be looked up in the context is hardly learnt, and the gradient's length leaps, for scores come near -2.
    Exposed by
        Scores against z: the map has a pole at z = -2. Right of it no score reaches 2, left of it every score is above 2: the
        keys that fit worst beat all others. And a factor below 1 lowers a score above 0 and *raises* one below.
    In the documents
        004 plans it: "Use lattice coordinates", "Prime-based distances", "Symmetry operations".
    """

    of_2017 = True

    def attend(self, query, key, value):
        """As the sound part, with :func:`lattice_factors` and :func:`moebius` between scores and softmax."""
        time = query.shape[2]
        factors, shift = (array.astype(query.dtype) for array in (lattice_factors(time), moebius_shift(time)))
        z = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1]) * factors
        weights = softmax(np.where(causal_mask(time), moebius(z, shift), -np.inf))
        return weights @ value, (query, key, value, factors, moebius_slope(z, shift), weights)

    def attend_backward(self, d_output, cache):
        """The true gradient of this wrong forward pass."""
        query, key, value, factors, slope, weights = cache
        d_scores = scores_backward(d_output, (query, key, value, weights)) * slope * factors / math.sqrt(query.shape[-1])
        return d_scores @ key, d_scores.swapaxes(-1, -2) @ query, weights.swapaxes(-1, -2) @ d_output


def lattice_factors(time):  # -> (T, T)
    """By what :class:`LatticeAwareAttention` multiplies the score of each query (row) and key (column)."""
    positions, primes = np.arange(time, dtype=np.int64), first_primes(time)
    distance = spiral_distance(positions[:, None], positions)
    similarity = prime_similarity_in_attention(primes[:, None], primes)
    clock = (1.0 + np.cos(2.0 * np.pi * (primes[:, None] - primes) / (primes[:, None] + primes))) / 2.0
    return (1.0 + similarity) * clock / (1.0 + distance)


def moebius_shift(time):  # -> (T, 1)
    """The b of each query: 1 at even positions, -1 at odd ones."""
    return 1.0 - 2.0 * (np.arange(time, dtype=np.int64)[:, None] % 2)


def moebius(z, shift):  # any shapes that fit each other -> their common shape
    """Return (z + b) / (z / 2 + 1), which is infinite at z = -2.

    It is 2 - (2 - b) / (z / 2 + 1): it rises on either side of the pole, to 2 on the right, and from 2 on the left.
    """
    with np.errstate(divide="ignore"):  # as in C
        return (z + shift) / (np.asarray(z) / 2.0 + 1.0)


def moebius_slope(z, shift):  # any shapes that fit each other -> their common shape
    """The derivative of :func:`moebius` with respect to z."""
    with np.errstate(divide="ignore"):
        return (1.0 - shift / 2.0) / (np.asarray(z) / 2.0 + 1.0) ** 2


def symmetry_rotation(x, prime):  # (..., T, d) -> (..., T, d)
    """Return rows turned by the program's symmetry operation of a prime: the same turn for all of them.

    What it did
        Took prime mod 12 for a group g, and turned each pair of columns by 2 pi g / 12, of queries and keys alike. (Some groups
        also mirrored, or stretched by 1.1; which ones did is not recorded, and it is left out.)
    Symptom
        None: lengths stay, and the model trains.
    Exposed by
        Comparing attention scores before and after: equal to rounding, for a rotation keeps the angle between what it turns
        alike. And counting groups: above 3, every prime is 1, 5, 7 or 11 mod 12.
    In the documents
        004 plans "Symmetry operations" in attention and training.

    Parameters
    ----------
    x : ndarray, shape (..., T, d)
        d even.
    prime : int
        Whose group it is.

    Returns
    -------
    ndarray, shape (..., T, d)

    Raises
    ------
    ValueError
        If d is odd, or `prime` not a whole number of at least 0.
    """
    return rotate(x, _turn(x, prime), base=1.0)  # base 1: all pairs by the same angle


def symmetry_rotation_backward(dy, prime):  # (..., T, d) -> (..., T, d)
    """Turned back."""
    return rotate_backward(dy, _turn(dy, prime), base=1.0)


def _turn(x, prime):
    group = int(whole_numbers(prime, 0, 2**62, "prime")) % HOURS
    return np.full(np.shape(x)[-2:-1], 2.0 * np.pi * group / HOURS)
