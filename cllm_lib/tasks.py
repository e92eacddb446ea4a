"""Tasks made to measure: sequences whose answer stands in the context and nowhere else."""

import string
from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import positive_integer


@dataclass(frozen=True)
class AssociativeRecall:
    """Read pairs, then answer for each key with the value it came with.

        c2 a0 b1    a 0  c 2  b 1
        the pairs   the queries: each key again, in another order, and its value

    A pair is one token, "c2", and so are a key, "c", and a value, "2". Values and both orders are drawn anew for every
    sequence, so nothing can be remembered from one to the next: knowing which token follows which on average is worth
    nothing. A model that looks back answers every query; one that does not is right once in `n_pairs` times.

    Parameters
    ----------
    n_pairs : int
        K: how many keys there are, and values; each occurs once among the pairs.
    batches : int
        How many batches count as one epoch. Each is new.

    Notes
    -----
    After the associative recall of Graves, Wayne, Danihelka 2014, "Neural Turing Machines", section 4.3, and Ba et
    al. 2016, "Using Fast Weights to Attend to the Recent Past", section 4.1.
    """

    n_pairs: int = 8
    batches_in_epoch: int = 100

    def __post_init__(self):
        for name in ("n_pairs", "batches_in_epoch"):
            object.__setattr__(self, name, positive_integer(getattr(self, name), name))

    name = "associative recall"

    @property
    def vocabulary(self):
        """Keys, values, then all pairs of them."""
        keys = [string.ascii_lowercase[i] if self.n_pairs <= 26 else f"key{i}:" for i in range(self.n_pairs)]
        values = [str(i) for i in range(self.n_pairs)]
        return (*keys, *values, *(key + value for key in keys for value in values))

    @property
    def fingerprint(self):
        """Says which task it is; its sequences are drawn, so there is no text to compare."""
        return repr(self)

    @property
    def seq_len(self):
        """Input tokens of one sequence: pairs and queries, without the last token, which is only a target."""
        return 3 * self.n_pairs - 1

    @property
    def query_positions(self):
        """Where the input is a queried key, so that the target is its value."""
        return np.arange(self.n_pairs, 3 * self.n_pairs, 2)

    def sequences(self, count, generator):  # -> (count, 3 K)
        """Draw whole sequences."""
        n = self.n_pairs
        told, asked = generator.permuted(np.tile(np.arange(n), (2, count, 1)), axis=-1)
        value_of = generator.integers(n, size=(count, n))  # independent: or the values not yet asked for would help
        pairs = 2 * n + n * told + np.take_along_axis(value_of, told, axis=-1)
        answers = n + np.take_along_axis(value_of, asked, axis=-1)
        return np.concatenate([pairs, np.stack([asked, answers], axis=-1).reshape(count, 2 * n)], axis=1)

    def batches(self, batch_size, seq_len, generator):
        """One epoch of new sequences, as :meth:`cllm_lib.text.Corpus.batches` gives them."""
        for _ in range(self.batches_per_epoch(batch_size, seq_len)):
            tokens = self.sequences(batch_size, generator)
            yield tokens[:, :-1], tokens[:, 1:]

    def batches_per_epoch(self, batch_size, seq_len):
        """The number given; or a ValueError if the model's `seq_len` is not the length of a sequence."""
        positive_integer(batch_size, "batch_size")
        if seq_len != self.seq_len:
            raise ValueError(
                f"the model reads {seq_len} tokens, a sequence of {self.n_pairs} pairs has {self.seq_len}: set seq_len to that"
            )
        return self.batches_in_epoch

    def accuracy(self, model, generator, count=200):
        """Share of queries answered rightly on new sequences: 1 / `n_pairs` by chance."""
        tokens = self.sequences(count, generator)
        answers = model.logits(tokens[:, :-1])[:, self.query_positions].argmax(axis=-1)
        return float((answers == tokens[:, self.query_positions + 1]).mean())
