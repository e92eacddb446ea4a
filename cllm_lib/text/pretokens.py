r"""Pre-tokenisation: a text is cut into pieces, mostly words with the space before them, before byte-pair encoding looks at it.

No token ever reaches from one piece into the next. Without that, "dog." and "dog!" would soon be tokens of their own beside "dog".

>>> pretokenize("She'll say: it's 42  times  blue!\n")
['She', "'ll", ' say', ':', ' it', "'s", ' 42', ' ', ' times', ' ', ' blue', '!', '\n']
"""

import re
import sys
import unicodedata
from functools import lru_cache
from itertools import groupby

LETTER, NUMBER, SPACE, SEEN = "L", "N", "space", "seen"
NO_SPACES = "\x1c\x1d\x1e\x1f"  # for Unicode and GPT-2; for Python they are
FIRST_HIGH = 0x10000
LONGEST_CONTRACTION = 3  # characters, 're
LONG = 1_000  # characters, for a piece


def pretokenize(text, special_tokens=(), single_digits=False):
    r"""Pre-tokenisation as for GPT-2: cut a text into pieces which, one after the other, are the text again.

    A piece is, whichever fits first: one of 's 't 're 've 'm 'll 'd; letters; digits and other numbers; anything else that can
    be seen; each of these three with at most one space in front; white space. Of white space before something that can be
    seen, the last character stays apart, and is that one space if it is one.

    Parameters
    ----------
    text : str
    special_tokens : sequence of str
        They are pieces of their own, wherever they stand; of several that begin at one place, the longest.
    single_digits : bool
        Whether each digit, and other number, is a piece of its own, with no space in front, as for SmolLM2.

    Returns
    -------
    list of str

    Notes
    -----
    The pattern is that of the code published with Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
    section 2.2: ``'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+``. The classes \p{L} and \p{N} are
    those of `unicodedata`, so a character that is younger than Python's Unicode counts as neither letter nor number.
    """
    found = []
    for i, part in enumerate(parted(text, special_tokens)):
        found += [part] if i % 2 else pattern(single_digits).findall(part)
    return found


def pretokenize_chunks(chunks, special_tokens=(), single_digits=False):
    """The same for a text that comes in chunks, cut anywhere: as if it had come at once, with little of it kept.

    Parameters
    ----------
    chunks : iterable of str
    special_tokens : sequence of str
    single_digits : bool

    Yields
    ------
    list of str
        The pieces that are certain, whatever comes after.
    """
    cut = pattern(single_digits).findall
    special, reach, rest = _any_of(special_tokens), max(map(len, special_tokens), default=1), ""
    enough = 0  # characters, before it is looked at again
    for chunk in chunks:
        rest += chunk
        if len(rest) < enough:
            yield []
            continue
        found, done, known = [], 0, len(rest) - reach + 1  # what begins before `known` lies here as a whole, if it is special
        for match in special.finditer(rest):
            if match.start() >= known:
                break
            found += [*cut(rest, done, match.start()), match[0]]
            done = match.end()
        pieces, end = cut(rest, done, max(done, known)), max(done, known)
        while pieces and (end >= known or end - len(pieces[-1]) + LONGEST_CONTRACTION > known):  # more may come to it
            end -= len(pieces.pop())
        rest = rest[done + sum(map(len, pieces)) :]
        enough = 2 * len(rest) if len(rest) > LONG else 0  # a piece that goes on and on is not gone through at each chunk
        yield found + pieces
    yield pretokenize(rest, special_tokens, single_digits)


def parted(text, special_tokens):
    """A text cut at special tokens: what stands before the first, the first, what stands between, and so on."""
    return _any_of(special_tokens, group=True).split(text) if special_tokens else [text]


def _any_of(special_tokens, group=False):
    """A pattern that finds special tokens, the longest where several begin at one place; of none, nothing."""
    longest_first = "|".join(re.escape(token) for token in sorted(special_tokens, key=len, reverse=True))
    return re.compile((f"({longest_first})" if group else longest_first) or "(?!)")


@lru_cache(maxsize=2)
def pattern(single_digits=False):
    r"""GPT-2's pattern for `re`, which has no \p{L}: the classes are written out, once, when first asked for."""
    kinds = [_kind(chr(code)) for code in range(sys.maxunicode + 1)]
    letters, numbers, seen = (_run(kinds, kind) for kind in (LETTER, NUMBER, SEEN))
    space = _ranges(kinds, SPACE)
    if single_digits:  # white space before a number ends there, as before the end of the text
        number = _ranges(kinds, NUMBER)
        return re.compile(f"[{number}]|'(?:[sdmt]|ll|ve|re)| ?{letters}| ?{seen}|[{space}]+(?![^{space}{number}])|[{space}]+")
    return re.compile(f"'(?:[sdmt]|ll|ve|re)| ?{letters}| ?{numbers}| ?{seen}|[{space}]+(?![^{space}])|[{space}]+")


def _kind(character):
    kind = unicodedata.category(character)[0]
    if kind in (LETTER, NUMBER):
        return kind
    return SPACE if character.isspace() and character not in NO_SPACES else SEEN


def _run(kinds, kind):
    """One character or more of a kind; two classes, for `re` looks up low characters in a table, and goes through ranges of high ones."""
    low, high = _ranges(kinds[:FIRST_HIGH], kind), _ranges(kinds[FIRST_HIGH:], kind, FIRST_HIGH)
    return f"(?:[{low}]+|(?=[{chr(FIRST_HIGH)}-{chr(sys.maxunicode)}])[{high}]+)+"


def _ranges(kinds, kind, start=0):
    """All characters of a kind, as `re` wants a class written; the first of `kinds` is that of character number `start`."""
    found = []
    for one, run in groupby(kinds):
        stop = start + sum(1 for _ in run)
        if one == kind:
            found.append(f"\\U{start:08x}-\\U{stop - 1:08x}")
        start = stop
    return "".join(found)
