"""The settings a patient was meant to have, drawn at random: text, size, dtype, optimizer, rate, schedule, positions."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cllm_lib.model.config import CLLMConfig
from cllm_lib.text.corpora import Corpus, by_frequency, read_text
from cllm_lib.text.normalization import UNKNOWN, tokenize
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.schedules import warmup, warmup_cosine

TEXTS = (("sayings", "prose"), ("prose", "python-docs"), ("sayings", "python-docs"))
SEQ_LEN = 16
HEALTHY_SHARE = 1 / 7  # of all cases
HELD_OUT = 0.15  # of the words
RATES = {"sgd": 0.5, "momentum": 0.1, "rmsprop": 4e-3, "adam": 6e-3, "adamw": 6e-3}  # each with room for half and double
WARM_UP = 20  # steps
EVALUATE_EVERY = 10  # steps


@dataclass(frozen=True)
class Settings:
    """What a patient was meant to be: all that a reader is told.

    Attributes
    ----------
    texts : tuple of str
        Two, of each the first half of the words.
    n_words : int
        Of both together.
    vocab_size, d_model, n_layers, n_heads : int
    dtype, positions : str
    tie_embeddings : bool
    optimizer : str
    learning_rate : float
    schedule : {"constant", "warmup", "warmup_cosine"}
    clip_norm : float or None
    batch_size, steps : int
    seed : int
        Of weights and shuffling.
    """

    texts: tuple
    n_words: int
    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    dtype: str
    positions: str
    tie_embeddings: bool
    optimizer: str
    learning_rate: float
    schedule: str
    clip_norm: float | None
    batch_size: int
    steps: int
    seed: int

    @property
    def config(self):
        """The model's."""
        return CLLMConfig(
            self.vocab_size,
            self.d_model,
            self.n_layers,
            self.n_heads,
            2 * self.d_model,
            SEQ_LEN,
            self.dtype,
            self.tie_embeddings,
            self.positions,
        )

    @property
    def has_moments(self):
        """Whether the optimizer divides by the size of past gradients: then the length of a gradient does not count."""
        return self.optimizer in ("rmsprop", "adam", "adamw")

    def make_optimizer(self):
        """The optimizer as it was meant."""
        return OPTIMIZERS[self.optimizer](self.learning_rate)

    def make_schedule(self):
        """The schedule as it was meant, or None."""
        if self.schedule == "constant":
            return None
        return warmup(WARM_UP) if self.schedule == "warmup" else warmup_cosine(WARM_UP, self.steps, floor=0.1)

    def rate(self, step):
        """The learning rate that a step was meant to have."""
        schedule = self.make_schedule()
        return self.learning_rate * (1.0 if schedule is None else schedule(step))

    def corpus(self):
        """The text as it was meant to be read."""
        return corpus_of(words_of(self.texts, self.n_words), self.vocab_size, " + ".join(self.texts))

    def __str__(self):
        tied = "tied to the embedding" if self.tie_embeddings else "of its own"
        clip = "no clipping" if self.clip_norm is None else f"gradients clipped at {self.clip_norm:g}"
        schedule = {
            "constant": "constant",
            "warmup": f"warm-up over {WARM_UP} steps",
            "warmup_cosine": f"warm-up over {WARM_UP} steps, cosine",
        }
        return "\n".join(
            [
                f"text       {self.n_words:,} words of {' and '.join(self.texts)}, the last {HELD_OUT:.0%} held out",
                f"model      V {self.vocab_size}, width {self.d_model}, {self.n_layers} layer{'s' * (self.n_layers > 1)}, "
                f"{self.n_heads} heads, positions {self.positions}, output {tied}, {self.dtype}",
                f"training   {self.optimizer}, rate {self.learning_rate:.2g}, {schedule[self.schedule]}, {clip}",
                f"           {self.steps} steps, {self.batch_size} sequences of {SEQ_LEN} words each",
            ]
        )


def draw_settings(generator):
    """Draw settings at random.

    Parameters
    ----------
    generator : numpy.random.Generator

    Returns
    -------
    Settings
    """

    def one_of(*choices):
        return choices[int(generator.integers(len(choices)))]

    optimizer = one_of(*RATES)
    return Settings(
        texts=one_of(*TEXTS),
        n_words=int(generator.integers(1_600, 2_400)),
        vocab_size=int(generator.integers(100, 301)),
        d_model=one_of(16, 24, 32),
        n_layers=one_of(1, 2),
        n_heads=one_of(2, 4),
        dtype=one_of("float32", "float64"),
        positions=one_of("none", "sinusoidal", "learned"),
        tie_embeddings=one_of(True, False),
        optimizer=optimizer,
        learning_rate=float(f"{RATES[optimizer] * 2.0 ** generator.uniform(-1.0, 1.0):.2g}"),
        schedule=one_of("constant", "warmup", "warmup_cosine"),
        clip_norm=one_of(None, 1.0),
        batch_size=one_of(4, 6, 8),
        steps=int(generator.integers(120, 201)),
        seed=int(generator.integers(2**31)),
    )


@lru_cache(maxsize=8)
def _all_words(text):
    return tuple(tokenize(read_text(text)))


def words_of(texts, n_words):
    """The words of several texts, of each an equal share of its beginning.

    Parameters
    ----------
    texts : sequence of str
    n_words : int
        Together.

    Returns
    -------
    list of str
    """
    share = -(-n_words // len(texts))
    return [word for text in texts for word in _all_words(text)[:share]][:n_words]


def corpus_of(words, vocab_size, name, vocabulary=None):
    """A corpus of these words: the most frequent `vocab_size` - 1 have ids of their own, the rest share that of "<unk>"."""
    if vocabulary is None:
        vocabulary = (UNKNOWN, *by_frequency(Counter(words))[: vocab_size - 1])
    ids = {word: i for i, word in enumerate(vocabulary)}
    tokens = np.array([ids.get(word, 0) for word in words], dtype=np.int64)
    return Corpus(name, tokens, vocabulary, n_validation=int(len(tokens) * HELD_OUT))
