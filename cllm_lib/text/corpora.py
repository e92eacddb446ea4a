"""Text in, token ids and batches out; and what can be counted from a text before any training."""

import math
import string
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cllm_lib.checks import positive_integer
from cllm_lib.files import shipped
from cllm_lib.text.counts import conditional_entropy, entropy

UNKNOWN = "<unk>"
PATTERN_LETTERS = "abcdefgh"


def tokenize(text):
    """Word tokeniser: split at white space, lower case, punctuation stripped from both ends.

    A word of nothing but punctuation stays as it is, so there are as many tokens as `text.split()` has words.

    >>> tokenize("The sky, it's said, is blue = true.")
    ['the', 'sky', "it's", 'said', 'is', 'blue', '=', 'true']
    """
    return [word.strip(string.punctuation) or word for word in text.lower().split()]


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus: a text as token ids, with its vocabulary.

    Attributes
    ----------
    name : str
    tokens : ndarray of int64, shape (n,)
        All ids, in reading order; the last `n_validation` are held out.
    vocabulary : tuple of str
        Word of each id. Id 0 is "<unk>", the others follow by falling frequency.
    n_validation : int
    best_loss : float or None
        The lowest loss any model can reach on unseen text, in nats per token, where it is known exactly.
    """

    name: str
    tokens: np.ndarray
    vocabulary: tuple
    n_validation: int = 0
    best_loss: float | None = None

    @property
    def train_tokens(self):
        """The ids that training may see."""
        return self.tokens[: len(self.tokens) - self.n_validation]

    @property
    def validation_tokens(self):
        """The ids held out; empty unless a `validation_fraction` was asked for."""
        return self.tokens[len(self.tokens) - self.n_validation :]

    @property
    def fingerprint(self):
        """SHA-256 of words, ids and how many are held out: the same for the same text, cut and numbered the same way."""
        import hashlib  # here, not above: few need it, and it brings OpenSSL

        content = "\0".join(self.vocabulary).encode() + self.tokens.astype("<i8").tobytes() + str(self.n_validation).encode()
        return hashlib.sha256(content).hexdigest()

    def encode(self, text):
        """Ids of the words of `text`; a word that the corpus does not know becomes id 0."""
        id_of = {word: i for i, word in enumerate(self.vocabulary)}
        return np.array([id_of.get(word, 0) for word in tokenize(text)], dtype=np.int64)

    def decode(self, ids):
        """The words of `ids`, with spaces between. Ids beyond the vocabulary, which no text has, show as <id 9999>."""
        known = len(self.vocabulary)
        return " ".join(self.vocabulary[i] if 0 <= i < known else f"<id {i}>" for i in np.asarray(ids).ravel().tolist())

    def batches(self, batch_size, seq_len, generator):
        """One epoch: all training sequences in random order, `batch_size` at a time.

        Parameters
        ----------
        batch_size, seq_len : int
        generator : numpy.random.Generator
            Shuffles.

        Yields
        ------
        inputs, targets : ndarray of int64, shape (batch_size, seq_len)
            targets is inputs, one token later. A last batch that would not be full is left out; because of the
            shuffle, the sequences left out differ from epoch to epoch.

        Raises
        ------
        ValueError
            If the text is shorter than one sequence, or holds fewer sequences than one batch takes.
        """
        count = self.batches_per_epoch(batch_size, seq_len)
        inputs, targets = windows(self.train_tokens, seq_len)
        order = generator.permutation(len(inputs))
        for rows in order[: count * batch_size].reshape(count, batch_size):
            yield inputs[rows], targets[rows]

    def random_batches(self, batch_size, seq_len, generator):
        """As many batches as :meth:`batches` makes, of sequences that begin anywhere: they overlap, and some tokens are left out.

        Parameters
        ----------
        batch_size, seq_len : int
        generator : numpy.random.Generator
            Draws where each sequence begins, all places alike, all of them before the first batch.

        Yields
        ------
        inputs, targets : ndarray of int64, shape (batch_size, seq_len)

        Raises
        ------
        ValueError
            As :meth:`batches`.
        """
        count, tokens = self.batches_per_epoch(batch_size, seq_len), self.train_tokens
        within = np.arange(seq_len, dtype=np.intp)
        for starts in generator.integers(len(tokens) - seq_len, size=(count, batch_size)):
            places = starts[:, None] + within
            yield tokens[places], tokens[places + 1]

    def batches_per_epoch(self, batch_size, seq_len):
        """How many full batches an epoch has; at least 1, or a ValueError as :meth:`batches` raises it."""
        sequences = len(windows(self.train_tokens, seq_len)[0])
        batch_size = positive_integer(batch_size, "batch_size")
        if batch_size > sequences:
            raise ValueError(
                f"batch_size is {batch_size}, but {self.name!r} has only {sequences} training sequences "
                f"of {seq_len} tokens: take a smaller batch, shorter sequences or more text"
            )
        return sequences // batch_size

    def unigram_entropy(self, seq_len):
        """H(next), in nats, over the training targets: the loss of a model that knows only how often words occur."""
        _, targets = windows(self.train_tokens, seq_len)
        return entropy(targets)

    def bigram_entropy(self, seq_len):
        """H(next | current) over the training pairs: no model that sees one word only can go below it."""
        inputs, targets = windows(self.train_tokens, seq_len)
        return conditional_entropy(targets, given=inputs)

    def positional_entropy(self, seq_len):
        """H(next | current, position in the sequence) over the training pairs."""
        inputs, targets = windows(self.train_tokens, seq_len)
        positions = np.broadcast_to(np.arange(seq_len, dtype=np.int64), inputs.shape)
        return conditional_entropy(targets, given=inputs * seq_len + positions)


def windows(tokens, seq_len):  # (n,) -> 2 x (m, T)
    """Training windows: cut a text into sequences side by side, each with its targets, the same text one token later.

    Raises
    ------
    ValueError
        If there are not `seq_len` + 1 tokens: a sequence, and the target of its last token.
    """
    seq_len = positive_integer(seq_len, "seq_len")
    count = (len(tokens) - 1) // seq_len
    if count < 1:
        raise ValueError(
            f"the text has {len(tokens)} tokens; one sequence of {seq_len} and its last target need {seq_len + 1}: "
            "take more text or a shorter seq_len"
        )
    used = count * seq_len
    return tokens[:used].reshape(count, seq_len), tokens[1 : used + 1].reshape(count, seq_len)


def load_corpus(source, vocab_size=10_000, validation_fraction=0.0, seed=0):
    """Load a corpus: read a text, or several, and give every word an id.

    Parameters
    ----------
    source : str, path, or sequence of them
        "sayings", "prose", "patterns", "python-docs", or a UTF-8 text file. Several are added, in the order given.
    vocab_size : int
        The most ids to use. Of a richer text the most frequent `vocab_size` - 1 words keep an id of their own, and
        the rest share id 0, "<unk>".
    validation_fraction : float
        Share of the tokens, from the end, held out of training; at least 0 and below 1.
    seed : int
        Of "patterns"; the others are read, not made.

    Returns
    -------
    Corpus

    Raises
    ------
    FileNotFoundError
        If a path leads to no file.
    ValueError
        If a name is unknown, a text is empty or not UTF-8, or a number makes no sense.
    """
    vocab_size = positive_integer(vocab_size, "vocab_size")
    if not 0.0 <= validation_fraction < 1.0:
        raise ValueError(f"validation_fraction is {validation_fraction!r}: give a share from 0 to below 1")
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise ValueError(f"no text was named: give one of {corpus_names()}, a path, or several")

    words = [word for one in sources for word in tokenize(read_text(one, seed))]
    counts = Counter(words)
    by_frequency = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = (UNKNOWN, *by_frequency[: vocab_size - 1])
    id_of = {word: i for i, word in enumerate(vocabulary)}
    return Corpus(
        name=" + ".join(str(one) for one in sources),
        tokens=np.array([id_of.get(word, 0) for word in words], dtype=np.int64),
        vocabulary=vocabulary,
        n_validation=int(len(words) * validation_fraction),
        best_loss=PATTERNS_BEST_LOSS if sources == ["patterns"] else None,
    )


def corpus_names():
    """The names that :func:`load_corpus` knows, for a sentence."""
    return ", ".join(map(repr, TEXTS))


def read_text(source, seed=0):
    """The text behind a corpus name or a path. Raises as :func:`load_corpus` does."""
    if isinstance(source, str) and source in TEXTS:
        return TEXTS[source](seed)
    path = Path(source)
    if path.is_dir():
        raise ValueError(f"{source!s} is a folder: name the text files in it, one by one")
    if not path.exists():
        if isinstance(source, str) and path.suffix == "" and path.name == source:
            raise ValueError(f"unknown corpus {source!r}: choose one of {corpus_names()}, or give the path of a text file")
        raise FileNotFoundError(f"no text file at {source!s}: check the path (relative paths start at {Path.cwd().name!r})")
    return decoded(path.read_bytes(), path.name)


def decoded(data, name):
    """UTF-8 bytes as text, or an error that says where they stop being UTF-8, or that there is nothing."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}): save it as UTF-8") from None
    if not text.strip():
        raise ValueError(f"{name} is empty: a corpus needs at least one word")
    return text


def data_file(name):
    """Path of a text that comes with the workbook, from a clone or from an installed wheel."""
    return shipped("data", name)


def python_docs(seed=0):
    """The language reference that ships with Python itself; `prose`, with a sentence saying so, where it does not."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        print("This Python ships without its documentation (pydoc_data.topics): using 'prose' instead of 'python-docs'.")
        return TEXTS["prose"](seed)
    return "\n".join(topics[name] for name in sorted(topics))


def patterns(seed=0, blocks=4_000):
    """Document 004's test set: small vocabulary, simple sequences, known patterns.

    Each line is a full stop and then two random letters played forth and back, `. a b b a`: two tokens of five are
    a fair draw from eight letters, three follow from them.
    """
    letters = np.random.default_rng(seed).choice(list(PATTERN_LETTERS), size=(blocks, 2))
    return "\n".join(f". {first} {second} {second} {first}" for first, second in letters)


PATTERNS_BEST_LOSS = 2 * math.log(len(PATTERN_LETTERS)) / 5

TEXTS = {
    "sayings": lambda seed: decoded(data_file("sayings.txt").read_bytes(), "sayings.txt"),
    "prose": lambda seed: decoded(data_file("prose.txt").read_bytes(), "prose.txt"),
    "patterns": patterns,
    "python-docs": python_docs,
}
