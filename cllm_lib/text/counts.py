"""Entropies by counting: what a model can reach that knows only how often words, or pairs of words, occur; and losses by the byte."""

import math

import numpy as np

TABLE = 4  # a table of counts is made where numbers are not spread wider than so many times as there are numbers
WIDEST = 2**31  # the product of two such numbers is one of 64 bits


def entropy(symbols):
    """Entropy of the frequencies of `symbols`, in nats: the mean of -ln(share).

    >>> round(entropy([0, 0, 1, 1]), 4)  # ln 2
    0.6931
    """
    counts = _counts(np.ravel(symbols))
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
    return max(0.0, entropy(_keys_of_pairs(given, symbols)) - entropy(given))


def bits_per_byte(loss, corpus, text=None):
    """Bits per byte: a loss on a text, shared out among its bytes, so that models with other vocabularies can be compared.

    A loss per token cannot be compared, nor its perplexity: longer tokens are fewer, and each is harder to guess. It is
    loss * tokens / (bytes * ln 2), and says to what share of 8 bits the model would compress the text.

    Parameters
    ----------
    loss : float
        Nats per token, the mean over the text.
    corpus : Corpus
        Of the model: how a text becomes tokens.
    text : str, optional
        What the loss was measured on; what the corpus holds out, or all of it if it holds nothing out, as the corpus has it.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the text has no token.

    Notes
    -----
    Exact for byte pairs, and for characters that are all known. With words it is too low, for the model was asked for less than the
    text has: capitals, punctuation and line ends are lost, and "<unk>" stands for any word at all. What it would cost to say which
    is not in the loss. Without `text` the bytes are those of what is left, words with single spaces between, "<unk>" with its five;
    with it, all bytes that the text had.
    The measure is that of Gao et al. 2020, "The Pile: An 800GB Dataset of Diverse Text for Language Modeling", section 3.1.
    """
    if text is None:
        tokens = corpus.validation_tokens if len(corpus.validation_tokens) else corpus.tokens
        count, size = len(tokens), corpus.byte_count(tokens)
    else:
        count, size = len(corpus.encode(text)), len(text.encode("utf-8"))
    if not count:
        raise ValueError("the text has no token: give the one that the loss was measured on")
    return float(loss) * count / (size * math.log(2))


def _keys_of_pairs(first, second):  # 2 x (n,) -> (n,)
    """One integer for each pair, in the order of the pairs: far quicker to sort than rows of two."""
    (first, _), (second, width) = _from_zero(first), _from_zero(second)
    keys = first * width
    keys += second
    return keys


def _from_zero(values):
    """Integers from 0 on in the same order, and how many there may be; where they are far apart, their ranks."""
    if values.dtype.kind in "iu" and values.size:
        low, high = int(values.min()), int(values.max())
        if low >= 0 and high < WIDEST:
            return values.astype(np.int64, copy=False), high + 1
    different, ranks = np.unique(values, return_inverse=True)
    return ranks.astype(np.int64), len(different)


def _counts(values):
    """How often each value occurs, in the order of the values."""
    if values.dtype.kind in "iu" and values.size and values.min() >= 0 and values.max() < TABLE * values.size:
        counts = np.bincount(values.astype(np.intp, copy=False))
        return counts[counts > 0]
    values = np.sort(values)
    ends = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.diff(ends, prepend=0, append=len(values)) if values.size else values.astype(np.int64)
