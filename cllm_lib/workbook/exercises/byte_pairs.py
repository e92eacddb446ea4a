"""An exercise of 22_what_changed_since_2017: one step of byte-pair encoding."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from cllm_lib.workbook.exercises.gradients import several
from cllm_lib.workbook.exercises.machinery import NotYet, brief, call, told_apart


def merge_once(words):
    """Reference: count pairs of neighbours, and join the most frequent one wherever it stands, from left to right."""
    counts = Counter()
    for parts, times in words.items():
        for pair in pairwise(parts):
            counts[pair] += times
    best = max(counts, key=lambda pair: (counts[pair], pair))
    merged = {}
    for parts, times in words.items():
        row = []
        for part in parts:
            if row and (row[-1], part) == best:
                row[-1] += part
            else:
                row.append(part)
        merged[tuple(row)] = times
    return best, merged


def merge_form(result):
    """A tuple of two tokens, and a dictionary with tuples for keys."""
    best, merged = result
    return tuple(best), {tuple(parts): int(times) for parts, times in dict(merged).items()}


def words_of(text):
    """The words of a text, as tuples of bytes, with their counts."""
    return {tuple(bytes([byte]) for byte in word.encode()): times for word, times in Counter(text.split("|")).items()}


_TEXTS = (
    "low|low|low|low|lower|lower|newest|newest|newest|widest",
    "aaab|aab|ba|aaaaa",  # a run of letters that are alike
    " hug| hug| pug|pun| bun|hugs",
    "ab|ab|ba|ba|cc",  # two that are equally frequent
    "xyz|zz|xy|yz|yz",
    "aab|aab|ab|cab",
    "größer|größe|groß",
    "abab|abab|bc|bc|bc",  # a pair that stands twice in a word
)


def examine_merge_once(answer):
    """Against counting in strings of characters, step after step until nothing is left to merge."""
    told_apart(lambda words: _look(answer, words), [(words,) for text in _TEXTS for words in _stages(text)], _same, _HINT)


_HINT = "Each pair counts as often as its words occur; the most frequent one becomes one token everywhere."


def _stages(text, most=3):
    """The words of a text, and what they are after one merge and after two: then tokens have several bytes."""
    words = words_of(text)
    for _ in range(most):
        if all(len(parts) == 1 for parts in words):
            return
        yield words
        words = _join_all(words, _best(_counted(words)))


def _look(answer, words):
    best, merged = several(call(answer, words), 2, ("best", "merged"))
    found = _as_pair(best), _as_words(merged)
    right = _step(words)
    if found[0] != right[0]:
        seen = f"of {_written(words)} it merges {_pair(found[0])}; {_pair(right[0])} was asked for."
    else:
        seen = f"merging {_pair(right[0])}: {_first_that_differs(words, found[1], right[1])}"
    return seen, found, right, _slips(words, right)


def _slips(words, right):
    best, _ = right
    counts = _counted(words)
    times_left_out = Counter(pair for parts in words for pair in pairwise(parts))
    once_a_word = Counter()
    for parts, times in words.items():
        for pair in set(pairwise(parts)):
            once_a_word[pair] += times
    rarest = min(counts, key=lambda pair: (counts[pair], pair))
    first_met = max(counts, key=lambda pair: counts[pair])
    least = min(counts, key=lambda pair: (-counts[pair], pair))
    single = Counter()
    for parts, times in words.items():
        for part in parts:
            single[part] += times
    return {
        "You count each word once; a pair counts as often as its word occurs, words[parts].": _step(words, _best(times_left_out)),
        "You count a pair once in a word that has it twice; each place counts.": _step(words, _best(once_a_word)),
        "Of pairs that are equally frequent yours is the one met first; the greater one was asked for: max by (count, pair).": (
            _step(words, first_met)
        ),
        "Of pairs that are equally frequent yours is the smaller one; the greater one was asked for: max by (count, pair).": (
            _step(words, least)
        ),
        "That is the greatest pair, however rare it is: max(counts) compares pairs. The count comes first.": _step(words, max(counts)),
        "That is the rarest pair; the most frequent one was asked for.": _step(words, rarest),
        "The words came back as they were: the pair has still to become one token in them.": (best, dict(words)),
        "You merge the first place of each word only; every place was asked for.": (best, _join_all(words, best, _join_first)),
        "You merge from right to left; of three alike the first two become one.": (best, _join_all(words, best, _join_from_the_right)),
        "Of three alike yours uses the middle one twice; a token that was merged is gone.": (best, _join_all(words, best, _join_twice)),
        "A pair was found across the border of a token: 'a b' also stands in 'aa b'. Compare tokens, not text.": (
            best,
            _join_all(words, best, _join_as_text),
        ),
        "The two tokens were joined the wrong way round.": (best, _join_all(words, best, _join_reversed)),
        "The counts of the words are lost: each merged word keeps its times.": (best, dict.fromkeys(_join_all(words, best), 1)),
        "The words came back as counts of tokens; words cut into tokens were asked for.": (
            best,
            {(part,): n for part, n in single.items()},
        ),
    }


def _step(words, best=None):
    best = _best(_counted(words)) if best is None else best
    return best, _join_all(words, best)


def _counted(words):
    """Pairs by place, each place as often as its word occurs."""
    return Counter(parts[i : i + 2] for parts, times in words.items() for _ in range(times) for i in range(len(parts) - 1))


def _best(counts):
    return sorted(counts, key=lambda pair: (counts[pair], pair))[-1]


def _join_all(words, pair, join=None):
    return {tuple((join or _join)(list(parts), pair)): times for parts, times in words.items()}


def _join(parts, pair):
    """Walk with an index, which skips what was merged."""
    row, i = [], 0
    while i < len(parts):
        step = 2 if tuple(parts[i : i + 2]) == pair else 1
        row.append(b"".join(parts[i : i + step]))
        i += step
    return row


def _join_first(parts, pair):
    for i in range(len(parts) - 1):
        if tuple(parts[i : i + 2]) == pair:
            return [*parts[:i], b"".join(pair), *parts[i + 2 :]]
    return parts


def _join_from_the_right(parts, pair):
    row, i = [], len(parts)
    while i:
        step = 2 if tuple(parts[max(0, i - 2) : i]) == pair else 1
        row.insert(0, b"".join(parts[i - step : i]))
        i -= step
    return row


def _join_twice(parts, pair):
    row = []
    for i, part in enumerate(parts):
        if tuple(parts[i : i + 2]) == pair:
            row.append(b"".join(pair))
        elif i == 0 or tuple(parts[i - 1 : i + 1]) != pair:
            row.append(part)
    return row


def _join_as_text(parts, pair):
    return b"\0".join(parts).replace(b"\0".join(pair), b"".join(pair)).split(b"\0")


def _join_reversed(parts, pair):
    return [pair[1] + pair[0] if part == b"".join(pair) and part not in parts else part for part in _join(parts, pair)]


def _as_pair(best):
    if isinstance(best, bytes):
        raise NotYet(f"best is {best!r}, one token; a pair of two was asked for, such as (b'l', b'o').")
    try:
        pair = tuple(best)
    except TypeError:
        raise NotYet(f"best is of type {type(best).__name__}; a pair of tokens was asked for, such as (b'l', b'o').") from None
    if len(pair) != 2 or not all(isinstance(token, bytes) for token in pair):
        raise NotYet(f"best is {brief(best)}; a pair of tokens was asked for, such as (b'l', b'o').")
    return pair


def _as_words(merged):
    if not isinstance(merged, Mapping):
        raise NotYet(f"merged is of type {type(merged).__name__}; a dictionary like `words` was asked for.")
    for parts in merged:
        if isinstance(parts, bytes) or not all(isinstance(part, bytes) for part in _parts(parts)):
            raise NotYet(f"a word in merged is {brief(parts)}; a tuple of tokens was asked for, such as (b'lo', b'w').")
    try:
        return {tuple(parts): int(times) for parts, times in merged.items()}
    except (TypeError, ValueError):
        raise NotYet("a count in merged is no number; each word keeps its times.") from None


def _parts(parts):
    if not isinstance(parts, tuple):
        raise NotYet(f"a word in merged is of type {type(parts).__name__}; a tuple of tokens was asked for, such as (b'lo', b'w').")
    return parts


def _written(words):
    """A dictionary of words in a few characters."""
    text = ", ".join(f"{_word(parts)} x{times}" for parts, times in words.items())
    return f"'{text}'" if len(text) <= 50 else f"'{text[:47]}...'"


def _word(parts):
    """A word with its tokens parted by points."""
    return b".".join(parts).decode("utf-8", "backslashreplace")


def _pair(pair):
    return f"'{_word(pair)}'"


def _first_that_differs(words, found, right):
    if len(found) != len(right):
        return f"{len(found)} words came back; {len(right)} were asked for."
    for before, one, other in zip(words, found.items(), right.items(), strict=True):
        if one != other:
            given, asked = (f"'{_word(parts)}' x{times}" for parts, times in (one, other))
            return f"'{_word(before)}' became {given}; {asked} was asked for."
    return ""


def _same(found, right):
    return found == right


def random_words(generator):
    """Words of few letters, so that pairs come often, overlap, and are equally frequent; some are tokens of two letters."""
    letters = [b"a", b"b", b"c", b" ", b"xa", b"by"][: int(generator.integers(2, 7))]
    words = {(b"a", letters[generator.integers(len(letters))]): int(generator.integers(1, 4))}
    for length in generator.integers(1, 9, int(generator.integers(0, 6))):
        words[tuple(letters[i] for i in generator.integers(len(letters), size=length))] = int(generator.integers(1, 6))
    return (words,)


def readable(result, given):
    """A merge as text, which can be compared."""
    best, merged = result
    return [token.decode() for token in best], {" . ".join(token.decode() for token in parts): times for parts, times in merged.items()}
