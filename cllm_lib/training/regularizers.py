"""A second wish beside the cross-entropy: words that share features should have embeddings near each other.

    regularizer = LaplacianRegularizer(feature_similarities(feature_matrix(corpus.vocabulary)), strength=10.0)
    Trainer(model, corpus, regularizer=regularizer)

Below it, what document 004 wished for a lattice-aware loss (geometric constraints, symmetry preservation, prime structure),
each as a number that can be measured of any loss or similarity.

Shapes: V words, D d_model.
"""

import numpy as np

from cllm_lib.checks import non_negative_number
from cllm_lib.lattice.similarity import feature_similarity
from cllm_lib.special import scipys_or_plain


class LaplacianRegularizer:
    """Graph-Laplacian regulariser: strength / 2 times the mean over pairs of S_ij |e_i - e_j|^2, which pulls similar words together.

    Any object with :meth:`penalty` and :meth:`add_gradients` can take its place in a trainer.

    Parameters
    ----------
    similarities : array_like, shape (V, V)
        S: symmetric, not negative. The diagonal plays no part, for a word is at no distance from itself.
    strength : float
        With 0 there is no pull. A mean over pairs is small where few words are alike, so useful strengths are large.

    Raises
    ------
    ValueError
        If the similarities are not as said, or `strength` is negative.

    Notes
    -----
    The sum over pairs is tr(E^T L E) with the graph's Laplacian L = diag(sums of the rows of S) - S, and its gradient
    2 L E: Belkin, Niyogi 2003, "Laplacian Eigenmaps for Dimensionality Reduction and Data Representation", section 3;
    as a regulariser Belkin, Niyogi, Sindhwani 2006, "Manifold Regularization". L takes V^2 numbers, and each step a product
    of it with E: for some thousands of words.
    """

    def __init__(self, similarities, strength):
        self.strength = non_negative_number(strength, "strength")
        self.laplacian = laplacian(similarities)

    def penalty(self, parameters):
        """What the pull costs now, in the units of the loss.

        Parameters
        ----------
        parameters : dict of str to ndarray
            A model's; "embedding" is read, (V, D).

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If the embedding has not one row for each word of the similarities.
        """
        return self._penalty_and_gradient(parameters["embedding"])[0]

    def add_gradients(self, parameters, gradients):
        """Add the penalty's gradient to that of the embedding, in place; return the penalty."""
        penalty, gradient = self._penalty_and_gradient(parameters["embedding"])
        gradients["embedding"] += gradient.astype(gradients["embedding"].dtype, copy=False)
        return penalty

    def _penalty_and_gradient(self, embedding):  # (V, D) -> float, (V, D)
        n = len(self.laplacian)
        if embedding.shape[0] != n:
            raise ValueError(
                f"the similarities are of {n} words, and the embedding has {embedding.shape[0]} rows: give one for each, "
                "CLLMConfig(vocab_size=len(corpus.vocabulary), ...)"
            )
        pulled = self.laplacian @ embedding
        scale = self.strength / (n * (n - 1))  # strength / 2, over n (n - 1) / 2 pairs
        return float(scale * np.vdot(embedding, pulled)), 2.0 * scale * pulled


def laplacian(similarities):  # (V, V) -> (V, V)
    """Graph Laplacian: diag(sums of the rows) - S, of a graph whose edges weigh S_ij.

    Raises
    ------
    ValueError
        If S is not square, symmetric, finite and free of negative numbers, or has less than two rows.
    """
    similarities = _checked_similarities(similarities)
    if (similarities < 0).any():
        where = tuple(int(i) for i in np.argwhere(similarities < 0)[0])
        raise ValueError(f"similarities{list(where)} is {similarities[where]}: a negative one would push without end; give 0 or more")
    return np.diag(similarities.sum(axis=1)) - similarities


def geometric_agreement(similarities, embedding):  # (V, V), (V, D) -> a number
    """Geometric constraints, measured: whether words that are more alike have embeddings at a smaller angle.

    Returns
    -------
    float
        Spearman's rank correlation, over all pairs of different words, between their similarity and the cosine of their
        embeddings: 1 for the same order, 0 for none.

    Raises
    ------
    ValueError
        If shapes do not fit, an embedding is all zero, or all pairs are equally similar: then there is no order to agree with.
    """
    similarities, embedding = _checked_similarities(similarities), np.asarray(embedding, dtype=np.float64)
    if embedding.ndim != 2 or len(embedding) != len(similarities):
        raise ValueError(f"embedding has shape {embedding.shape}, and similarities are of {len(similarities)} words: give a row for each")
    lengths = np.linalg.norm(embedding, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"row {int(np.argmin(lengths))} of the embedding is zero: it has no direction")
    pairs = np.triu_indices(len(embedding), 1)
    alike, unit = similarities[pairs], embedding / lengths
    if np.ptp(alike) == 0.0:
        raise ValueError(f"all pairs have the similarity {alike[0]:g}: there is no order to agree with")
    return float(scipys_or_plain("spearmanr")(alike, (unit @ unit.T)[pairs]).statistic)


def renaming_gap(loss, words, embedding, tokens, targets, seed=0):
    """Symmetry preservation, measured: how much a loss changes when only the numbering of the words does.

    Every word takes its embedding along, and the text is the same text, so nothing that could matter is changed.

    Parameters
    ----------
    loss : callable
        From `words, embedding, tokens, targets` to a number.
    words : sequence of str
    embedding : ndarray, shape (V, D)
    tokens, targets : ndarray of int
    seed : int
        Of the new numbering.

    Returns
    -------
    float
        The change, as a share of the loss.
    """
    order = np.random.default_rng(seed).permutation(len(words))  # the old number of each new one
    number = np.argsort(order)
    renamed = loss([words[i] for i in order], embedding[order], number[tokens], number[targets])
    return _gap(loss(words, embedding, tokens, targets), renamed)


def rotation_gap(loss, words, embedding, tokens, targets, seed=0):
    """How much a loss changes when all embeddings are turned together, which keeps every distance and angle.

    Parameters and result as for :func:`renaming_gap`.
    """
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((embedding.shape[1],) * 2))
    return _gap(loss(words, embedding, tokens, targets), loss(words, embedding @ rotation, tokens, targets))


def goedel_gap(similarities, numbers):  # (V, V), V whole numbers -> a number
    """Prime structure, measured: how far similarities are from log gcd / log lcm of the words' Goedel numbers.

    Returns
    -------
    float
        The largest difference of any pair.

    Raises
    ------
    ValueError
        If there is not one number for each row.
    """
    similarities = _checked_similarities(similarities)
    if len(numbers) != len(similarities):
        raise ValueError(f"{len(numbers)} Goedel numbers for {len(similarities)} words: give one for each")
    return max(
        abs(similarities[i, j] - feature_similarity(numbers[i], numbers[j])) for i, j in zip(*np.triu_indices(len(numbers)), strict=True)
    )


def _gap(before, after):
    return 0.0 if before == after else abs(after - before) / max(abs(before), abs(after))


def _checked_similarities(similarities):
    similarities = np.asarray(similarities)
    if (
        similarities.ndim != 2
        or similarities.shape[0] != similarities.shape[1]
        or len(similarities) < 2
        or similarities.dtype.kind not in "biuf"
    ):
        raise ValueError(
            f"similarities have shape {similarities.shape} and dtype {similarities.dtype}: give (words, words), of two words at least"
        )
    similarities = similarities.astype(np.float64)
    if not np.isfinite(similarities).all():
        raise ValueError(f"similarities{[int(i) for i in np.argwhere(~np.isfinite(similarities))[0]]} is not finite")
    if not np.allclose(similarities, similarities.T, rtol=1e-9, atol=1e-12):
        i, j = (int(k) for k in np.unravel_index(np.argmax(np.abs(similarities - similarities.T)), similarities.shape))
        raise ValueError(f"similarities[{i}, {j}] is {similarities[i, j]}, and [{j}, {i}] is {similarities[j, i]}: give a symmetric matrix")
    return similarities
