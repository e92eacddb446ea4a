"""From text to numbers, in one reading: what it consists of is counted, and the text kept small until every word has its id.

Both functions take a text in chunks that begin and end at white space, and return

* `counts`, a dict: how often each token occurs;
* `encode(id_of)`, a function: the ids of all tokens, in reading order, by a dict; what it lacks becomes 0.
"""

import itertools
from collections import Counter, defaultdict

import numpy as np

from cllm_lib.text.normalization import UNKNOWN, normalize_text, small_letters, words_in

CODE_POINTS = 0x110000


def counted_words(chunks, form):
    """The words of a text; see the top of this module.

    What stands between white space, such as `"Sky,` with its quotation mark and comma, has many occurrences and few
    different forms. So each form gets a number when it is met, and is cut into its words (mostly one) only once.
    """
    pieces, parts = defaultdict(itertools.count().__next__), []
    for chunk in chunks:
        found = chunk.split()
        parts.append(np.fromiter(map(pieces.__getitem__, found), np.int32, len(found)))
    words, lengths = [], np.zeros(len(pieces), dtype=np.intp)  # the words in all pieces, one piece after the other
    for i, line in enumerate(small_letters("\n".join(pieces), form).split("\n") if pieces else []):
        found = [word for piece in line.split() for word in words_in(piece)]  # of no piece, where nothing was to be seen
        lengths[i] = len(found)
        words += found
    often = sum((np.bincount(part.astype(np.intp), minlength=len(pieces)) for part in parts), np.zeros(len(pieces), dtype=np.int64))
    counts = Counter()
    for word, count in zip(words, np.repeat(often, lengths).tolist(), strict=True):
        counts[word] += count

    def encode(id_of):
        ids = np.array([id_of.get(word, 0) for word in words], dtype=np.int64)
        return _joined((ids[_places(part, lengths)] for part in parts), int(lengths @ often))

    return counts, encode


def counted_characters(chunks, form):
    """The characters of a text; see the top of this module."""
    texts = [normalize_text(chunk, form).replace(UNKNOWN, "\0") for chunk in chunks]  # no normalised text has a NUL of its own
    often = sum(
        (np.bincount(_codes(text).astype(np.intp, copy=False), minlength=CODE_POINTS) for text in texts),
        np.zeros(CODE_POINTS, dtype=np.int64),
    )
    counts = {chr(code) if code else UNKNOWN: int(often[code]) for code in np.flatnonzero(often).tolist()}

    def encode(id_of):
        ids = np.zeros(CODE_POINTS, dtype=np.int64)
        for character, i in id_of.items():
            if len(character) == 1:
                ids[ord(character)] = i
        return _joined((ids[_codes(text)] for text in texts), sum(map(len, texts)))

    return counts, encode


COUNTED = {"word": counted_words, "character": counted_characters}


def _places(part, lengths):
    """Where the words of each piece of a text stand in a list of the words of all pieces, one piece after the other."""
    starts, ours = (lengths.cumsum() - lengths)[part], lengths[part].astype(np.intp, copy=False)
    if (ours == 1).all():
        return starts
    within = np.arange(ours.sum(), dtype=np.int64) - np.repeat(ours.cumsum() - ours, ours)
    return np.repeat(starts, ours) + within


def _codes(text):
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)


def _joined(parts, length):
    """Arrays one after the other, without a moment in which all of them are there twice."""
    tokens, done = np.empty(length, dtype=np.int64), 0
    for part in parts:
        tokens[done : done + len(part)] = part
        done += len(part)
    return tokens
