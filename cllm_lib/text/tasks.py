"""Tasks made to measure: sequences whose answer stands in the context and nowhere else."""

import string
from dataclasses import dataclass, fields

import numpy as np

from cllm_lib.checks import positive_integer


@dataclass(frozen=True)
class AssociativeRecall:
    """Associative recall task: read pairs, then answer for each key with the value it came with.

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
        return np.arange(self.n_pairs, 3 * self.n_pairs, 2, dtype=np.int64)

    def sequences(self, count, generator):  # -> (count, 3 K)
        """Draw whole sequences."""
        n = self.n_pairs
        told, asked = generator.permuted(np.tile(np.arange(n, dtype=np.int64), (2, count, 1)), axis=-1)
        value_of = generator.integers(n, size=(count, n))  # independent: or the values not yet asked for would help
        pairs = 2 * n + n * told + np.take_along_axis(value_of, told, axis=-1)
        answers = n + np.take_along_axis(value_of, asked, axis=-1)
        return np.concatenate([pairs, np.stack([asked, answers], axis=-1).reshape(count, 2 * n)], axis=1)

    def batches(self, batch_size, seq_len, generator):
        """One epoch of new sequences, as :meth:`cllm_lib.text.corpora.Corpus.batches` gives them."""
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


@dataclass(frozen=True)
class LetterTask:
    """Random letters, and at each position a question about those before it; a base for the tasks below.

    Every letter is drawn anew, so nothing but the context can answer. Where there is no answer yet, the target is "-",
    and the position does not count.

    Parameters
    ----------
    n_letters : int
        How many letters there are. Chance is 1 / `n_letters`.
    seq_len : int
        Letters of a sequence in training. The model may read longer ones: its `seq_len` may be larger.
    batches_in_epoch : int
        How many batches count as one epoch. Each is new.
    """

    n_letters: int = 6
    seq_len: int = 16
    batches_in_epoch: int = 100

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, positive_integer(getattr(self, field.name), field.name))

    @property
    def vocabulary(self):
        """The letters, then "-"."""
        letters = [string.ascii_lowercase[i] if self.n_letters <= 26 else f"letter{i}" for i in range(self.n_letters)]
        return (*letters, "-")

    @property
    def fingerprint(self):
        """Says which task it is; its sequences are drawn, so there is no text to compare."""
        return repr(self)

    def sequences(self, count, generator, length=None):  # -> 2 x (count, T)
        """Draw letters, and say the right answer at every position.

        Parameters
        ----------
        count : int
        generator : numpy.random.Generator
        length : int, optional
            T; `seq_len` by default.

        Returns
        -------
        letters, answers : ndarray of int, shape (count, T)
        """
        length = self.seq_len if length is None else positive_integer(length, "length")
        letters = generator.integers(self.n_letters, size=(count, length))
        return letters, self.answers(letters)

    def batches(self, batch_size, seq_len, generator):
        """One epoch of new sequences; each as long as the task says, which may be less than the model reads."""
        for _ in range(self.batches_per_epoch(batch_size, seq_len)):
            yield self.sequences(batch_size, generator)

    def batches_per_epoch(self, batch_size, seq_len):
        """The number given; or a ValueError if the model's `seq_len` is too small."""
        positive_integer(batch_size, "batch_size")
        if seq_len < self.seq_len:
            raise ValueError(f"the model reads {seq_len} tokens, a sequence of this task has {self.seq_len}: set seq_len to that, or more")
        return self.batches_in_epoch

    def accuracy(self, model, generator, count=200, length=None):
        """Share of questions answered rightly on new sequences."""
        letters, answers = self.sequences(count, generator, length)
        asked = self._asked(answers)
        return float((model.logits(letters).argmax(axis=-1) == answers)[asked].mean())

    def accuracy_without_order(self, generator, count=2_000, length=None):
        """The best one can do who knows which letters came before, and how often each, but not in what order.

        To whoever sees a heap, any letter of the heap may be the one asked for; the most frequent is the best guess.
        """
        letters, answers = self.sequences(count, generator, length)
        seen = np.cumsum(letters[..., None] == np.arange(self.n_letters, dtype=np.int64), axis=1, dtype=np.int64)[
            :, :-1
        ]  # (count, T - 1, n_letters)
        best = seen.max(axis=-1) / np.arange(1, letters.shape[1], dtype=np.int64)
        return float(best[self._asked(answers)[:, 1:]].mean())

    def _asked(self, answers):
        asked = answers < self.n_letters
        if not asked.any():
            raise ValueError(f"sequences of {answers.shape[1]} letters ask nothing yet: give a greater length")
        return asked


@dataclass(frozen=True)
class StepsBack(LetterTask):
    """Which letter stood `steps` positions before this one?

        letters   b a d c a b
        answers   - - - b a d     three steps back

    Only counting from here helps: what the letters are does not matter, and how often they came is worth little.
    """

    steps: int = 3
    name = "steps back"

    def answers(self, letters):  # (N, T) -> (N, T)
        """The letters, moved to the right."""
        answers = np.full_like(letters, self.n_letters)
        answers[:, self.steps :] = letters[:, : -self.steps]
        return answers


@dataclass(frozen=True)
class LastFollower(LetterTask):
    """A letter that has come before: which one followed it, the last time?

        letters   b a d b c b
        answers   - - - a - c     after "b" came "a" first, then "c"

    Where the place is in the sequence does not matter, so what is learnt on short sequences could serve for longer ones.
    Two things have to be known: what stands next to what, and which of several is the latest.

    Notes
    -----
    After the induction heads of Olsson et al. 2022, "In-context Learning and Induction Heads".
    """

    name = "last follower"

    def answers(self, letters):  # (N, T) -> (N, T)
        """Read from left to right, and remember for each letter who came after it last."""
        rows, answers = np.arange(len(letters), dtype=np.int64), np.empty_like(letters)
        follower = np.full((len(letters), self.n_letters), self.n_letters, dtype=np.int64)
        for t, letter in enumerate(letters.T):
            if t > 0:
                follower[rows, letters[:, t - 1]] = letter
            answers[:, t] = follower[rows, letter]
        return answers
