"""Byte-pair encoding: the most frequent pair of neighbouring tokens becomes a token, again and again.

The first tokens are the 256 bytes, so there is no text, in whatever language, that has no tokens.

>>> tokenizer = train_bpe("low lower lowest new newer newest", vocab_size=262)
>>> tokenizer.merges[:3]
((b' ', b'n'), (b'e', b'w'), (b'l', b'o'))
>>> tokenizer.decode(tokenizer.encode("newer, größer 🙂"))
'newer, größer 🙂'
"""

import re
from collections import Counter
from functools import lru_cache

import numpy as np

from cllm_lib.checks import positive_integer, token_ids
from cllm_lib.text.merging import BYTES, N_VISIBLE, PLACES, join_by_rank, learn_merges
from cllm_lib.text.pretokens import pretokenize, pretokenize_chunks

PIECES_KEPT, LONGEST_KEPT = 2_048, 32  # of a text in chunks: frequent pieces, whose ids are looked up; longer ones, in characters, are rare
HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


def train_bpe(text, vocab_size, special_tokens=(), *, ties="smaller ids", min_count=1, progress=True):
    """Byte-level byte-pair encoding, learnt from a text.

    Parameters
    ----------
    text : str
        It is read as it stands: nothing is normalised, nothing put in small letters.
    vocab_size : int
        The most tokens: special ones, the 256 bytes, and one for each merge. A text that has no more pairs gets fewer.
    special_tokens : sequence of str
        Such as "<|endoftext|>". They get the first ids. Where they stand in the text it is cut, and they are not counted.
    ties : {"smaller ids", "greater bytes"}
        Which of several pairs that are equally frequent is merged first: the one whose ids are smaller, those of the first
        token before those of the second, as the package tokenizers has it, or the one whose bytes come later in the alphabet.
    min_count : int
        Pairs that are rarer are never merged.
    progress : bool
        Whether a bar is shown where it takes more than two seconds.

    Returns
    -------
    BytePairTokenizer

    Raises
    ------
    ValueError
        If the text is no string or has half a character, a special token is none, or a number makes no sense.

    Notes
    -----
    Sennrich, Haddow, Birch 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2; on bytes: Radford
    et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2. Training takes time in proportion to the
    different pieces of the text, and reading it to its length; :func:`~cllm_lib.text.merging.merges_by_recounting` is the
    definition, and has the same result. Tokens and ids are those of the package tokenizers, trained with its byte-level
    alphabet, but for special tokens that stand in the text, which are letters to it while it trains.
    """
    special_tokens = checked_special_tokens(special_tokens)
    most = positive_integer(vocab_size, "vocab_size") - len(special_tokens) - len(BYTES)
    if most < 0:
        others = f" and {len(special_tokens)} special tokens" if special_tokens else ""
        raise ValueError(f"vocab_size is {vocab_size}: 256 bytes{others} have ids already, so give {vocab_size - most} at least")
    counts = Counter(pretokenize(checked_text(text), special_tokens))
    words = {piece.encode("utf-8"): count for piece, count in counts.items() if piece not in special_tokens}
    return BytePairTokenizer(learn_merges(words, most, ties, min_count, progress), special_tokens)


class BytePairTokenizer:
    """Byte-level byte-pair encoding by given merges: text to ids and back, without loss.

    A text is cut at special tokens and then into pieces (:func:`~cllm_lib.text.pretokens.pretokenize`). Of the neighbours in a
    piece, those are merged first that were learnt first, and of these the leftmost, until no merge fits.

    Parameters
    ----------
    merges : sequence of pairs of bytes
        In the order in which they were learnt, such as ``[(b"t", b"h"), (b"th", b"e")]``.
    special_tokens : sequence of str
    vocabulary : sequence of bytes, or dict of int to bytes, optional
        Bytes of each id, to number the tokens as someone else did. By default special tokens come first, then the bytes in
        GPT-2's order, then the merges. Special tokens that it does not have get the ids after its last.
    single_digits : bool
        How a text is cut: see :func:`~cllm_lib.text.pretokens.pretokenize`.
    skip_missing_bytes : bool
        Whether a vocabulary may lack bytes, as SmolLM2's lacks some control characters. They are then left out of a text
        without a word, as by the package tokenizers, and what comes back is not all that went in.

    Attributes
    ----------
    merges : tuple of pairs of bytes
    special_tokens : tuple of str
    vocabulary : tuple of bytes
        Bytes of each id.

    Raises
    ------
    ValueError
        If a merge is of something that is neither a byte nor merged before, the vocabulary lacks a token or has one twice, or a
        special token is none.

    Notes
    -----
    GPT-2's `vocab.json` and `merges.txt` write bytes as visible characters; :func:`characters_as_bytes` reads them.
    """

    def __init__(self, merges, special_tokens=(), vocabulary=None, single_digits=False, skip_missing_bytes=False):
        self.single_digits = single_digits
        self.merges, self.special_tokens = checked_merges(merges), checked_special_tokens(special_tokens)
        tokens = dict.fromkeys([*BYTES, *(first + second for first, second in self.merges)])
        special = [token.encode("utf-8") for token in self.special_tokens]
        if vocabulary is None:
            self.vocabulary, special_ids = (*special, *tokens), range(len(special))
            ids = {token: i for i, token in enumerate(tokens, len(special))}
        else:
            used = {part for merge in self.merges for part in merge}
            needed = [token for token in tokens if len(token) > 1 or token in used] if skip_missing_bytes else tokens
            given = checked_vocabulary(vocabulary, needed)
            self.vocabulary = (*given, *(token for token in special if token not in set(given)))
            ids = {token: i for i, token in enumerate(self.vocabulary)}
            special_ids = [ids[token] for token in special]
        self._special_ids = dict(zip(self.special_tokens, special_ids, strict=True))
        self._byte_ids = [ids.get(bytes([byte])) for byte in range(256)]
        self._ranks = {(ids[a], ids[b]): (rank, ids[a + b]) for rank, (a, b) in enumerate(self.merges)}

    def __len__(self):
        return len(self.vocabulary)

    def __repr__(self):
        return f"BytePairTokenizer of {len(self):,} tokens, {len(self.merges):,} of them merged"

    def encode(self, text, special=True):
        """Ids of a text.

        Parameters
        ----------
        text : str
        special : bool
            Whether special tokens in the text get their ids, as with the package tokenizers; tiktoken wants to be asked. A text
            of strangers, who might pretend the end of a document, is read with False: then they are characters like others.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        ValueError
            If it is no string, or has half a surrogate pair, for which UTF-8 has no bytes.
        """
        return self._ids(pretokenize(checked_text(text), self.special_tokens if special else (), self.single_digits), special)

    def encode_chunks(self, chunks, special=True):
        """The same for a text that comes in chunks, such as the lines of a file, in memory that does not grow with the text.

        Parameters
        ----------
        chunks : iterable of str
            Cut anywhere. A file that is open for reading is one: it is read as it is asked for.
        special : bool

        Yields
        ------
        ndarray of int64, shape (n,)
            Ids that are certain, whatever comes after; one after the other they are those of the whole.
        """
        kept = lru_cache(PIECES_KEPT)(self._ids_of_text)
        known = {token: [i] for token, i in self._special_ids.items()} if special else {}
        for pieces in pretokenize_chunks(map(checked_text, chunks), self.special_tokens if special else (), self.single_digits):
            parts = (known.get(piece) or (kept if len(piece) <= LONGEST_KEPT else self._ids_of_text)(piece) for piece in pieces)
            yield np.array([i for part in parts for i in part], dtype=np.int64)

    def encode_bytes(self, data, special=True):
        """Ids of any bytes; of those of a text, the ids of the text. What is no UTF-8 is cut like punctuation."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ValueError(f"data is {type(data).__name__}: give bytes, or a text to encode()")
        text = bytes(data).decode("utf-8", "surrogateescape")  # a byte that is none of a character becomes half a pair, and back
        return self._ids(pretokenize(text, self.special_tokens if special else (), self.single_digits), special)

    def decode(self, ids):
        """The text of ids; bytes that are no UTF-8, as when a character was cut through, show as U+FFFD, the replacement character."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids):
        """The bytes of ids, without loss.

        Parameters
        ----------
        ids : array_like of int, any shape

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            If one is no id of the vocabulary; the error says where.
        """
        ids = np.asarray(ids)
        ids = token_ids(ids if ids.size else ids.astype(np.int64), len(self.vocabulary), "ids")
        return b"".join([self.vocabulary[i] for i in ids.ravel().tolist()])

    def ids_of_piece(self, piece):  # bytes -> list of int
        """Ids of one piece, which is not cut any further."""
        ids = [self._byte_ids[byte] for byte in piece]
        return join_by_rank([i for i in ids if i is not None], self._ranks)

    def _ids(self, pieces, special):
        known = {token: [i] for token, i in self._special_ids.items()} if special else {}
        for piece in set(pieces) - known.keys():
            known[piece] = self._ids_of_text(piece)
        return np.array([i for piece in pieces for i in known[piece]], dtype=np.int64)

    def _ids_of_text(self, piece):
        return self.ids_of_piece(piece.encode("utf-8", "surrogateescape"))


def bytes_as_characters(data):
    """Bytes as visible characters, one for each, as GPT-2's files write tokens: "Ġ" is the space, "Ċ" the end of a line.

    >>> bytes_as_characters(" größer".encode())
    'ĠgrÃ¶ÃŁer'
    """
    return "".join([CHARACTERS[byte] for byte in data])


def characters_as_bytes(text):
    """Bytes of what :func:`bytes_as_characters` wrote. Raises ValueError at a character that stands for none."""
    try:
        return bytes([CODES[character] for character in text])
    except KeyError as missing:
        raise ValueError(
            f"{text!r} has {missing.args[0]!r}, which stands for no byte: bytes_as_characters() writes what is read here"
        ) from None


def merges_of(tokens):
    """The merges behind a vocabulary whose tokens stand in the order in which they were learnt.

    What a token was merged from is what the merges before it make of its bytes: two tokens. So a list of tokens says all.

    Parameters
    ----------
    tokens : sequence of bytes
        Without special ones.

    Returns
    -------
    list of pairs of bytes

    Raises
    ------
    ValueError
        If one is not made of two that come before it.
    """
    known, ranks, merges = list(BYTES), {}, []
    for token in tokens:
        if len(token) != 1:
            parts = join_by_rank([PLACES[byte] for byte in token], ranks)
            if len(parts) != 2:
                raise ValueError(
                    f"the vocabulary has {bytes_as_characters(token)!r}, of which the tokens before it make {len(parts)}, not two: "
                    "give all tokens, in the order in which they were learnt"
                )
            merges.append((known[parts[0]], known[parts[1]]))
            ranks[tuple(parts)] = len(ranks), len(known)
            known.append(token)
    return merges


def checked_text(text):
    """A string without half a surrogate pair. Raises ValueError otherwise."""
    if not isinstance(text, str):
        raise ValueError(f"a text is a string, and this is {type(text).__name__}: for bytes there is encode_bytes()")
    half = HALF_A_CHARACTER.search(text)
    if half:
        raise ValueError(
            f"text[{half.start()}] is {half[0]!r}, half of a surrogate pair and no character, so UTF-8 has no bytes for it: "
            "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace') joins halves, and replaces single ones"
        )
    return text


def checked_special_tokens(tokens):
    """Special tokens as a tuple: different strings, none empty. Raises ValueError otherwise."""
    found = [""] if isinstance(tokens, str | bytes) or not hasattr(tokens, "__iter__") else list(tokens)
    if not all(isinstance(token, str) and token for token in found) or len(set(found)) != len(found):
        raise ValueError(f'special_tokens is {tokens!r}: give different texts, none empty, such as ["<|endoftext|>"]')
    return tuple(map(checked_text, found))


def checked_merges(merges):
    """Merges as a tuple of pairs of bytes, each of which is there when it is needed. Raises ValueError otherwise."""
    known, found = set(BYTES), []
    for i, pair in enumerate(merges):
        if len(pair) != 2 or not all(isinstance(part, bytes) for part in pair):
            raise ValueError(f'merges[{i}] is {pair!r}: give pairs of bytes, such as (b"t", b"h")')
        for part in pair:
            if part not in known:
                raise ValueError(
                    f"merges[{i}] is {tuple(pair)!r}, and {part!r} is neither a byte nor merged before: "
                    "give all merges, in the order in which they were learnt"
                )
        known.add(pair[0] + pair[1])
        found.append((pair[0], pair[1]))
    return tuple(found)


def checked_vocabulary(vocabulary, needed):
    """Bytes of each id as a tuple, all tokens that are needed among them. Raises ValueError otherwise."""
    if isinstance(vocabulary, dict):
        if sorted(vocabulary) != list(range(len(vocabulary))):
            raise ValueError(
                f"vocabulary has {len(vocabulary)} ids, which are not 0 to {len(vocabulary) - 1}: a gap has no bytes to decode to"
            )
        vocabulary = [vocabulary[i] for i in range(len(vocabulary))]
    found, has = tuple(vocabulary), set(vocabulary)
    if not all(isinstance(token, bytes) for token in found):
        raise ValueError("vocabulary is the bytes of each id, a sequence or a dict of int to bytes; this is none")
    if missing := set(needed) - has:
        one = min(missing, key=lambda token: (len(token), token))
        raise ValueError(f"vocabulary has no {one!r}, which is a byte or made by a merge: give the one that belongs to the merges")
    if len(has) != len(found):
        twice = next(token for token, count in Counter(found).items() if count > 1)
        raise ValueError(f"vocabulary has {twice!r} more than once: a token can have one id only")
    return found


def _visible():
    """By byte the character that stands for it: itself if it can be seen, or else the next from number 256 on."""
    others = iter(range(256, 512))
    return {byte[0]: chr(byte[0] if i < N_VISIBLE else next(others)) for i, byte in enumerate(BYTES)}


CHARACTERS = _visible()
CODES = {character: byte for byte, character in CHARACTERS.items()}
