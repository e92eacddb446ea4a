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
    "aaa|aaa|ba|ba|ba",  # two places that share a letter
)


def examine_merge_once(answer):
    """Against counting in strings of characters, step after step until nothing is left to merge."""
    told_apart(lambda words: _look(answer, words), [(words,) for text in _TEXTS for words in _stages(text)], _same, _HINT)


_HINT = "Each place counts, as often as its word occurs; of equals take the greater pair; join it from left to right, wherever it stands."


def _stages(text, most=3):
    """The words of a text, and what they are after one merge and after two: then tokens have several bytes."""
    words = words_of(text)
    for _ in range(most):
        if all(len(parts) == 1 for parts in words):
            return
        yield words
        words = _join_all(words, _best(_counted(words)))


def _look(answer, words):
    result = call(answer, words)
    if isinstance(result, bytes):
        raise NotYet(f"it returned {result!r}, one thing; best and merged were asked for.")
    best, merged = several(result, 2, ("best", "merged"))
    found = _as_pair(best), _as_words(merged)
    right = _step(words)
    if found[0] != right[0]:
        counts = _counted(words)
        often = [f"{_pair(pair)} ({_times(counts[pair])})" for pair in (found[0], right[0])]
        seen = f"of {_written(words)} it merges {often[0]}; {often[1]} was asked for."
    else:
        seen = f"merging {_pair(right[0])}: {_first_that_differs(words, found[1], right[1])}"
    return seen, found, right, _slips(words, right)


def _slips(words, right):
    return _slips_in_best(words) | _slips_in_merged(words, right[0])


def _slips_in_best(words):
    """What one gets by counting or choosing otherwise."""
    counts = _counted(words)
    most = max(counts.values())
    equals = [pair for pair in counts if counts[pair] == most]
    first_met, last_met = equals[0], equals[-1]
    chosen = {
        "You count each word once; a pair counts as often as its word occurs, words[parts].": _best(
            _pairs(words, weigh=lambda parts, n: 1)
        ),
        "You count a pair once in a word that has it twice; each place counts.": _best(_pairs(words, set)),
        "You count a pair once in each word, and each word once; each place counts, as often as its word occurs.": (
            _best(_pairs(words, set, lambda parts, n: 1))
        ),
        "Of three alike you count one pair; each place counts, and those of a.a.a are two.": _best(_pairs(words, _apart)),
        "You count every second pair; the neighbours of a word are pairwise(parts), which overlap.": _best(
            _pairs(words, lambda ps: ps[::2])
        ),
        "The last pair of each word is not counted.": _best(_pairs(words, lambda pairs: pairs[:-1])),
        "You count across the border of two words; a pair stands within one.": _best(_across(words)),
        "You count each pair as often as its word is long.": _best(_pairs(words, weigh=lambda parts, n: n * len(parts))),
        "You join the two tokens that are most frequent; count pairs of neighbours.": _two_most_frequent(words),
        "You count a pair and its mirror as one; order matters in a pair.": _best(
            _pairs(words, lambda pairs: [tuple(sorted(p)) for p in pairs])
        ),
        "Of pairs that are equally frequent yours is the one met first; the greater one was asked for: max by (count, pair).": first_met,
        "Of pairs that are equally frequent yours is the one met last; the greater one was asked for: max by (count, pair).": last_met,
        "Of pairs that are equally frequent yours is the smaller one; the greater one was asked for: max by (count, pair).": min(equals),
        "Of pairs that are equally frequent you take the one that is greater when joined; compare the pairs, token by token.": (
            max(equals, key=b"".join)
        ),
        "Of pairs that are equally frequent you take the longer one; the greater one was asked for: max by (count, pair).": (
            max(equals, key=lambda pair: len(b"".join(pair)))
        ),
        "Of pairs that are equally frequent you compare the second tokens first; Python compares pairs from the left.": (
            max(equals, key=lambda pair: pair[::-1])
        ),
        "That is the greatest pair, however rare it is: max(counts) compares pairs. The count comes first.": max(counts),
        "That is the rarest pair; the most frequent one was asked for.": min(counts, key=lambda pair: (counts[pair], pair)),
    }
    return {reason: _step(words, best) for reason, best in chosen.items() if best is not None}


def _slips_in_merged(words, best):
    """What one gets by joining otherwise."""
    whole = _join_all(words, best)
    ways = {
        "You merge the first place of each word only; every place was asked for.": _join_first,
        "You merge the last place of each word only; every place was asked for.": _join_last,
        "You merge where a word begins only; every place was asked for.": _join_at_the_beginning,
        "You merge from right to left; of three alike the first two become one.": _join_from_the_right,
        "Of three alike yours uses the middle one twice; a token that was merged is gone.": _join_twice,
        "The second of the two stays behind the merged token; both become one.": _join_and_keep,
        "The last token of a word is lost where no pair ends in it.": _join_without_the_last,
        "A pair was found across the border of a token: 'a b' also stands in 'aa b'. Compare tokens, not text.": _join_as_text,
        "The two tokens were joined the wrong way round.": _join_reversed,
    }
    return {reason: (best, _join_all(words, best, join)) for reason, join in ways.items()} | {
        "The words came back as they were: the pair has still to become one token in them.": (best, dict(words)),
        "The words without the pair are gone; they belong to merged as they are.": (
            best,
            {parts: n for parts, n in whole.items() if b"".join(best) in parts},
        ),
        "The counts of the words are lost: each merged word keeps its times.": (best, dict.fromkeys(whole, 1)),
        "The counts have grown by 1; each merged word keeps its times.": (best, {parts: n + 1 for parts, n in whole.items()}),
        "The counts became shares; each merged word keeps its times.": (
            best,
            {parts: n / sum(words.values()) for parts, n in whole.items()},
        ),
        "The words came back as counts of tokens; words cut into tokens were asked for.": (
            best,
            {(part,): n for part, n in _tokens(words).items()},
        ),
    }


def _pairs(words, of=lambda pairs: pairs, weigh=lambda parts, times: times):
    """Pairs counted otherwise: those of a word that `of` keeps, each by its weight."""
    counts = Counter()
    for parts, times in words.items():
        for pair in of([parts[i : i + 2] for i in range(len(parts) - 1)]):
            counts[pair] += weigh(parts, times)
    return counts


def _apart(pairs):
    """Pairs that share no token with the same pair before them."""
    kept, last = [], None
    for i, pair in enumerate(pairs):
        if not (last == i - 1 and pair == pairs[last]):
            kept.append(pair)
            last = i
    return kept


def _across(words):
    """Pairs of the words in one row, each as often as it occurs."""
    return Counter(pairwise([part for parts, times in words.items() for _ in range(times) for part in parts]))


def _tokens(words):
    counts = Counter()
    for parts, times in words.items():
        for part in parts:
            counts[part] += times
    return counts


def _two_most_frequent(words):
    found = _tokens(words).most_common(2)
    return tuple(part for part, _ in found) if len(found) == 2 else None


def _step(words, best=None):
    best = _best(_counted(words)) if best is None else best
    return best, _join_all(words, best)


def _counted(words):
    """Pairs by place, each place as often as its word occurs."""
    return Counter(parts[i : i + 2] for parts, times in words.items() for _ in range(times) for i in range(len(parts) - 1))


def _best(counts):
    return max(sorted(counts, reverse=True), key=counts.get, default=None)


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


def _join_last(parts, pair):
    for i in range(len(parts) - 2, -1, -1):
        if tuple(parts[i : i + 2]) == pair:
            return [*parts[:i], b"".join(pair), *parts[i + 2 :]]
    return parts


def _join_at_the_beginning(parts, pair):
    return [b"".join(pair), *parts[2:]] if tuple(parts[:2]) == pair else parts


def _join_and_keep(parts, pair):
    return [b"".join(pair) if tuple(parts[i : i + 2]) == pair else part for i, part in enumerate(parts)]


def _join_without_the_last(parts, pair):
    row, i = [], 0
    while i < len(parts) - 1:
        found = tuple(parts[i : i + 2]) == pair
        row.append(b"".join(pair) if found else parts[i])
        i += 2 if found else 1
    return row


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
    if isinstance(best, Mapping):
        raise NotYet("best is a dictionary; a pair of tokens was asked for. Return best first, then merged.")
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
        return {tuple(parts): _whole(times) for parts, times in merged.items()}
    except (TypeError, ValueError):
        raise NotYet("a count in merged is no number; each word keeps its times.") from None


def _whole(times):
    """A count, which may come as a float or a number of NumPy's; a fraction stays one, to be shown."""
    return int(times) if int(times) == float(times) else float(times)


def _parts(parts):
    if not isinstance(parts, tuple):
        raise NotYet(f"a word in merged is of type {type(parts).__name__}; a tuple of tokens was asked for, such as (b'lo', b'w').")
    return parts


def _times(count):
    return {0: "in no word", 1: "once", 2: "twice"}.get(count, f"{count} times")


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
            given, asked = (f"'{_word(parts)}' x{times:g}" for parts, times in (one, other))
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
