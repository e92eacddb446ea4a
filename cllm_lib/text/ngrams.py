"""Counting instead of training: the interpolated Kneser-Ney trigram, for twenty years the model to beat.

Shapes: n tokens, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import positive_integer, token_ids


@dataclass(frozen=True)
class _Order:
    """Counts of n-grams of one length, and what is left over by discounting.

    Attributes
    ----------
    counts : dict of int to int
        By the n-gram's number.
    totals : dict of int to (int, int)
        Of each context's number: the sum of its counts, and how many different words follow it.
    discount : float
        Taken from every count.
    """

    counts: dict
    totals: dict
    discount: float


class KneserNeyTrigram:
    """Interpolated Kneser-Ney trigram model: counts of three, two and one word, each order falling back on the next.

        p(w | u v) = max(c(u v w) - D, 0) / c(u v .)  +  D n(u v .) / c(u v .)  p(w | v)

    c counts, n counts *different* words. What the discount D takes from the counts that were seen goes to the shorter
    context. There, and this is the idea, a word counts once for each word it was seen after, not once for each time:
    "Francisco" is frequent, but follows one word only, and is a poor guess after any other. At the end stands 1 / V, so
    that every word has a chance.

    Parameters
    ----------
    tokens : array_like of int, shape (n,)
        The text to count, at least three tokens.
    vocab_size : int

    Raises
    ------
    ValueError
        If there are fewer than three tokens, or an id is out of range.

    Notes
    -----
    Kneser and Ney 1995, "Improved backing-off for m-gram language modeling"; the interpolated form is that of Chen and
    Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3, and D = n1 / (n1 + 2 n2),
    n1 and n2 being how many n-grams were counted once and twice, that of Ney, Essen, Kneser 1994.
    """

    def __init__(self, tokens, vocab_size):
        self.vocab_size = positive_integer(vocab_size, "vocab_size")
        tokens = token_ids(tokens, self.vocab_size)
        if tokens.ndim != 1 or len(tokens) < 3:
            raise ValueError(f"tokens have shape {tokens.shape}: a trigram model counts one text of three tokens at least")
        tokens = tokens.astype(np.int64)
        trigrams, trigram_counts = np.unique(self._numbers(tokens, 3), return_counts=True)
        bigrams, bigram_counts = np.unique(trigrams % self.vocab_size**2, return_counts=True)  # words seen before each pair
        words, word_counts = np.unique(bigrams % self.vocab_size, return_counts=True)  # and before each word
        self.orders = [self._order(*pair) for pair in ((trigrams, trigram_counts), (bigrams, bigram_counts), (words, word_counts))]

    def _numbers(self, tokens, n):
        """A number for each n-gram of a text: its ids as digits to the base V."""
        numbers = np.zeros(len(tokens) - n + 1, np.int64)
        for i in range(n):
            numbers = numbers * self.vocab_size + tokens[i : len(tokens) - n + 1 + i]
        return numbers

    def _order(self, grams, counts):
        contexts, starts = np.unique(grams // self.vocab_size, return_index=True)  # sorted, so equal contexts stand together
        sums, different = np.add.reduceat(counts, starts), np.diff([*starts, len(grams)])
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once else 0.0
        totals = dict(zip(contexts.tolist(), zip(sums.tolist(), different.tolist(), strict=True), strict=True))
        return _Order(dict(zip(grams.tolist(), counts.tolist(), strict=True)), totals, discount)

    def probability(self, word, context):
        """Chance of a word after two others.

        Parameters
        ----------
        word : int
        context : sequence of int
            The two words before it; with fewer, shorter counts decide.

        Returns
        -------
        float
            Above 0; over all words they sum to 1.
        """
        result = 1.0 / self.vocab_size
        for n in range(1, min(len(context), 2) + 2):  # from single words up to trigrams
            order, number = self.orders[3 - n], 0
            for token in context[len(context) - n + 1 :]:
                number = number * self.vocab_size + int(token)
            if number not in order.totals:
                break  # never seen: what the shorter context says stands
            total, different = order.totals[number]
            count = order.counts.get(number * self.vocab_size + int(word), 0)
            result = (max(count - order.discount, 0.0) + order.discount * different * result) / total
        return result

    def probabilities(self, tokens):
        """Chance of each token of a text after the two before it; the first has no context, the second one word.

        Parameters
        ----------
        tokens : array_like of int, shape (n,)

        Returns
        -------
        ndarray, shape (n,)
        """
        tokens = token_ids(tokens, self.vocab_size).tolist()
        return np.array([self.probability(word, tokens[max(0, i - 2) : i]) for i, word in enumerate(tokens)])
