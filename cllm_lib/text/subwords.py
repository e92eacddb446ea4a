"""A text in byte pairs as a corpus holds it: ids from 0, "<unk>", which no text needs, and a vocabulary of strings that says all.

In such a vocabulary each byte is one visible character, as in GPT-2's files: "Ġsky" is " sky".
"""

import codecs
import itertools
from collections import defaultdict
from functools import lru_cache

import numpy as np

from cllm_lib.text.bpe import BytePairTokenizer, bytes_as_characters, characters_as_bytes, merges_of
from cllm_lib.text.merging import BYTES, learn_merges
from cllm_lib.text.normalization import UNKNOWN
from cllm_lib.text.pretokens import pretokenize_chunks

MIN_COUNT = 2  # what occurs once is no pattern; with the code of Sennrich et al. it is two as well


def numbered_subwords(chunks, vocab_size, validation_fraction=0.0, vocabulary=None, progress=True):
    """A text by byte-pair encoding, learnt from the part that is not held out.

    Parameters
    ----------
    chunks : iterable of str
    vocab_size : int
        The most ids, of "<unk>", the bytes and the merges.
    validation_fraction : float
        Share of the bytes, from the end, that is held out: whole pieces. Nothing there is counted when merges are learnt.
    vocabulary : sequence of str, optional
        In place of learning.
    progress : bool

    Returns
    -------
    vocabulary : tuple of str
    tokens : ndarray of int64, shape (n,)
    n_validation : int
        How many of them are held out.

    Raises
    ------
    ValueError
        If `vocab_size` has no room for the bytes, or the vocabulary is none of byte pairs.
    """
    most = vocab_size - len(BYTES) - 1
    if vocabulary is None and most < 0:
        raise ValueError(f'vocab_size is {vocab_size}: of byte pairs, "<unk>" and the 256 bytes have ids already, so give 257 at least')
    pieces, order = _numbered_pieces(chunks)
    read = np.array([len(piece.encode("utf-8")) for piece in pieces], dtype=np.int64)[order].cumsum()
    trained = np.searchsorted(read, (1.0 - validation_fraction) * read[-1], side="right") if len(read) else 0
    if vocabulary is None:
        often = np.bincount(order[:trained].astype(np.intp), minlength=len(pieces)).tolist()
        words = {piece.encode("utf-8"): count for piece, count in zip(pieces, often, strict=True) if piece != UNKNOWN}
        tokenizer = BytePairTokenizer(learn_merges(words, most, min_count=MIN_COUNT, progress=progress), [UNKNOWN])
        vocabulary = (UNKNOWN, *map(bytes_as_characters, tokenizer.vocabulary[1:]))
    else:
        tokenizer = tokenizer_of(vocabulary)
    parts = [[0] if piece == UNKNOWN else tokenizer.ids_of_piece(piece.encode("utf-8")) for piece in pieces]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    tokens = np.fromiter(itertools.chain.from_iterable(map(parts.__getitem__, order.tolist())), np.int64, int(lengths[order].sum()))
    return vocabulary, tokens, int(lengths[order[trained:]].sum())


def _numbered_pieces(chunks):
    """The different pieces of a text, "<unk>" among them, and the number of each in reading order."""
    numbers, parts = defaultdict(itertools.count().__next__), []
    for found in pretokenize_chunks(chunks, [UNKNOWN]):
        parts.append(np.fromiter(map(numbers.__getitem__, found), np.int32, len(found)))
    return list(numbers), np.concatenate(parts)


@lru_cache(maxsize=4)
def tokenizer_of(vocabulary):
    """The tokenizer behind a vocabulary of byte pairs, a tuple of strings. Raises ValueError if it is none."""
    tokens = [characters_as_bytes(token) for token in vocabulary[1:]]
    return BytePairTokenizer(merges_of(tokens), [UNKNOWN], [UNKNOWN.encode("utf-8"), *tokens])


def bytes_of(ids, vocabulary):
    """Bytes of ids, one after the other; ids beyond the vocabulary, which no text has, as <id 9999>."""
    tokens = tokenizer_of(vocabulary).vocabulary
    for i in ids:
        yield tokens[i] if 0 <= i < len(tokens) else f"<id {i}>".encode()


def as_they_come(parts):
    """The text of bytes that come bit by bit, never half a character; what is no UTF-8 is U+FFFD, as `bytes.decode` has it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for part in parts:
        yield decoder.decode(part)
    yield decoder.decode(b"", final=True)
