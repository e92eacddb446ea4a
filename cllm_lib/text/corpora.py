"""Text in, token ids and batches out; and what can be counted from a text before any training."""

import math
import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import non_negative_integer, one_of, positive_integer
from cllm_lib.files import shipped
from cllm_lib.progress import progress_bar
from cllm_lib.text.counts import conditional_entropy, entropy
from cllm_lib.text.merging import SHOW_AFTER
from cllm_lib.text.normalization import AS_IT_STANDS, FORMS, SEPARATORS, UNKNOWN, lacks_spaces, normalize_text, tokenize
from cllm_lib.text.numbering import COUNTED
from cllm_lib.text.reading import CHUNK, checked_path, checked_sources, text_chunks
from cllm_lib.text.subwords import as_they_come, bytes_of, numbered_subwords, tokenizer_of

PATTERN_LETTERS = "abcdefgh"
CORPUS_UNITS = (*COUNTED, "bpe")


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus: a text as token ids, with its vocabulary.

    Attributes
    ----------
    name : str
    tokens : ndarray of int64, shape (n,)
        All ids, in reading order; the last `n_validation` are held out.
    vocabulary : tuple of str
        Word of each id. Id 0 is "<unk>", the others follow by falling frequency. Of byte pairs, the bytes follow, and then what
        was merged, in the order of merging, which says how to merge; each byte is one visible character: "Ġsky" is " sky".
    n_validation : int
    best_loss : float or None
        The lowest loss any model can reach on unseen text, in nats per token, where it is known exactly.
    unit, normalization : str
        How the text was cut, as for :func:`load_corpus`.
    sources : tuple of str
        The names and paths it was read from, to read it again; empty for a text that was made otherwise.
    seed : int
        It was made from, if it is made.
    """

    name: str
    tokens: np.ndarray
    vocabulary: tuple
    n_validation: int = 0
    best_loss: float | None = None
    unit: str = "word"
    normalization: str = "NFC"
    sources: tuple = ()
    seed: int = 0

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
        """Ids of the words (or characters, or byte pairs) of `text`; what the corpus does not know becomes id 0."""
        if self.unit == "bpe":
            return tokenizer_of(self.vocabulary).encode(_as_read(text, self.normalization))
        id_of = {word: i for i, word in enumerate(self.vocabulary)}
        return np.array([id_of.get(word, 0) for word in tokenize(text, self.unit, self.normalization)], dtype=np.int64)

    def decode(self, ids):
        """The words of `ids`, with spaces between, or the characters. Ids beyond the vocabulary, which no text has, show as <id 9999>.

        Of byte pairs it is the text itself, to the last space. Where characters were cut through, U+FFFD shows.
        """
        return SEPARATORS[self.unit].join(self.decode_stream(np.asarray(ids).ravel().tolist()))

    def decode_stream(self, ids):
        """The same for ids that come one by one: yields what each of them adds; with byte pairs, never half a character."""
        if self.unit == "bpe":
            yield from as_they_come(bytes_of(ids, self.vocabulary))
            return
        known = len(self.vocabulary)
        for i in ids:
            yield self.vocabulary[i] if 0 <= i < known else f"<id {i}>"

    def byte_count(self, ids):
        """How many bytes the text of `ids` has in UTF-8; of byte pairs those that were merged, whether they are whole characters or not."""
        if self.unit == "bpe":
            return sum(map(len, bytes_of(np.asarray(ids).ravel().tolist(), self.vocabulary)))
        return len(self.decode(ids).encode("utf-8"))

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
            yield self.pair(inputs[rows], targets[rows])

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
            yield self.pair(tokens[places], tokens[places + 1])

    def pair(self, inputs, targets):  # 2 x (B, T) -> 2 x (B, T)
        """The last thing that happens to the inputs and targets of a batch before it is handed out: here nothing.

        A corpus that spoils them does it here; then what is held out is spoilt alike, and its loss does not tell.
        """
        return inputs, targets

    def held_out_pair(self, inputs, targets):  # 2 x (m, T) -> 2 x (m, T)
        """The same for what is held out, before the validation loss is measured: what :meth:`pair` does."""
        return self.pair(inputs, targets)

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


def load_corpus(
    source, vocab_size=10_000, validation_fraction=0.0, seed=0, unit="word", normalization=None, vocabulary=None, *, progress=True
):
    """Load a corpus: read a text, or several, and give every word an id.

    Parameters
    ----------
    source : str, path, or sequence of them
        "sayings", "prose", "patterns", "python-docs", or a UTF-8 text file. Several are added, in the order given.
    vocab_size : int
        The most ids to use. Of a richer text the most frequent `vocab_size` - 1 words keep an id of their own, and
        the rest share id 0, "<unk>". "<unk>" in a text has this id, too. Of byte pairs, merging ends at this size, or when no
        pair occurs twice in what is not held out; there nothing but "<unk>" has id 0.
    validation_fraction : float
        Share of the tokens, from the end, held out of training; at least 0 and below 1. Of byte pairs it is a share of the
        bytes, so that they can be learnt from the rest alone.
    seed : int
        Of "patterns"; the others are read, not made.
    unit : {"word", "character", "bpe"}
        What gets an id. Characters serve languages that are written without spaces, such as Chinese, Japanese and Thai; byte
        pairs, :func:`~cllm_lib.text.bpe.train_bpe`, any language, and nothing is lost.
    normalization : {"NFC", "NFKC", "none"}, optional
        The form into which :func:`~cllm_lib.text.normalization.normalize_text` brings the text; "none", which is for byte pairs
        only, and usual with them, leaves it as it stands. With words and characters it is NFC if not given.
    vocabulary : sequence of str, optional
        Of another corpus, or of a checkpoint: words get the ids that they have there, and words that are not there are
        "<unk>". So a model can go on with a new text. `vocab_size` counts for nothing then.
    progress : bool
        Whether a bar is shown where byte pairs take more than two seconds.

    Returns
    -------
    Corpus

    Raises
    ------
    FileNotFoundError
        If a path leads to no file.
    ValueError
        If a name is unknown, a text is empty, not UTF-8, or without spaces where words are asked for, or a number makes
        no sense.
    """
    vocab_size = positive_integer(vocab_size, "vocab_size")
    if not 0.0 <= validation_fraction < 1.0:
        raise ValueError(f"validation_fraction is {validation_fraction!r}: give a share from 0 to below 1")
    seed = non_negative_integer(seed, "seed")
    one_of(unit, dict.fromkeys(CORPUS_UNITS), "unit")
    form = _checked_form(normalization, unit)
    known = None if vocabulary is None else checked_vocabulary(vocabulary)
    sources = checked_sources(source, corpus_names())
    name = " + ".join(str(one) for one in sources)

    chunks = (chunk for one in sources for chunk in chunks_of(one, seed))
    if unit == "bpe":
        shown = progress_bar(chunks, total=_chunks_in(sources), unit="chunk", desc="reading", visible=progress, delay=SHOW_AFTER)
        read = (_as_read(chunk, form) for chunk in shown)
        known, tokens, n_validation = numbered_subwords(read, vocab_size, validation_fraction, known, progress)
    else:
        known, tokens = _numbered(chunks, unit, form, vocab_size, known, name)
        n_validation = int(len(tokens) * validation_fraction)
    return Corpus(
        name=name,
        tokens=tokens,
        vocabulary=known,
        n_validation=n_validation,
        best_loss=PATTERNS_BEST_LOSS if sources == ["patterns"] and unit == "word" and vocabulary is None else None,
        unit=unit,
        normalization=form,
        sources=tuple(str(one) for one in sources),
        seed=seed,
    )


def _numbered(chunks, unit, form, vocab_size, known, name):
    """The vocabulary and the ids of a text in words or characters."""
    counts, encode = COUNTED[unit](chunks, form)
    if unit == "word" and lacks_spaces(counts):
        raise ValueError(
            f"{name} has no spaces between its words, as Chinese, Japanese and Thai have none, so whole sentences would be words: "
            'take its characters, unit="character" (--unit character), or put spaces between the words'
        )
    if known is None:
        known = (UNKNOWN, *by_frequency(counts)[: vocab_size - 1])
    elif not any(word in counts for word in known):
        raise ValueError(
            f"{name} has no {unit} of the vocabulary that was given: take one of a text in the same language, cut the same way"
        )
    return known, encode({word: i for i, word in enumerate(known)})


def _checked_form(normalization, unit):
    """The form into which a text is brought, the usual one where none is given. Raises ValueError if there is no such form."""
    forms, usual = (FORMS | {AS_IT_STANDS: AS_IT_STANDS}, AS_IT_STANDS) if unit == "bpe" else (FORMS, "NFC")
    return one_of(usual if normalization is None else normalization, forms, "normalization")


def _as_read(text, form):
    return text if form == AS_IT_STANDS else normalize_text(text, form)


def _chunks_in(sources):
    """In about how many chunks files are read."""
    return sum(1 + os.path.getsize(one) // CHUNK if os.path.isfile(one) else 1 for one in sources)


def checked_vocabulary(vocabulary):
    """A vocabulary as a tuple: different words, "<unk>" the first. Raises ValueError otherwise."""
    words = () if isinstance(vocabulary, str) or not hasattr(vocabulary, "__iter__") else tuple(vocabulary)
    if not words or words[0] != UNKNOWN or not all(isinstance(word, str) for word in words):
        raise ValueError(f"vocabulary is a sequence of words, {UNKNOWN!r} the first, as corpus.vocabulary is; this is none")
    if len(set(words)) != len(words):
        twice = next(word for word, count in Counter(words).items() if count > 1)
        raise ValueError(f"vocabulary has {twice!r} more than once: a word can have one id only")
    return words


def by_frequency(counts):
    """The words of a text, the most frequent first, equally frequent ones by the alphabet; without "<unk>"."""
    words = sorted(counts.keys() - {UNKNOWN})
    order = np.argsort(np.array([-counts[word] for word in words], dtype=np.int64), kind="stable")
    return [words[i] for i in order.tolist()]


def corpus_names():
    """The names that :func:`load_corpus` knows, for a sentence."""
    return ", ".join(map(repr, TEXTS))


def read_text(source, seed=0):
    """The text behind a corpus name or a path, normalised. Raises as :func:`load_corpus` does."""
    return normalize_text("".join(chunks_of(source, seed)))


def chunks_of(source, seed=0):
    """The text behind a corpus name or a path, as it stands there, piece by piece. Raises as :func:`load_corpus` does."""
    if isinstance(source, str) and source in TEXTS:
        yield TEXTS[source](seed)
        return
    path, empty = checked_path(source, corpus_names()), True
    for chunk in text_chunks(path):
        empty = empty and not normalize_text(chunk).strip()
        yield chunk
    if empty:
        raise ValueError(f"{path.name} is empty: a corpus needs at least one word")


def data_file(name):
    """Path of a text that comes with the workbook, from a clone or from an installed wheel."""
    return shipped("data", name)


def patterns(seed=0, blocks=4_000):
    """Document 004's test set: small vocabulary, simple sequences, known patterns.

    Each line is a full stop and then two random letters played forth and back, `. a b b a`: two tokens of five are
    a fair draw from eight letters, three follow from them.
    """
    letters = np.random.default_rng(seed).choice(list(PATTERN_LETTERS), size=(blocks, 2))
    return "\n".join(f". {first} {second} {second} {first}" for first, second in letters)


PATTERNS_BEST_LOSS = 2 * math.log(len(PATTERN_LETTERS)) / 5

TEXTS = {
    "sayings": lambda seed: data_file("sayings.txt").read_text(encoding="utf-8"),
    "prose": lambda seed: data_file("prose.txt").read_text(encoding="utf-8"),
    "patterns": patterns,
    "python-docs": lambda seed: data_file("python-docs.txt").read_text(encoding="utf-8"),
}
