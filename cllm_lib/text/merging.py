"""What byte-pair encoding does with the bytes of words: which pairs to merge, and merging them.

:func:`merges_by_recounting` is the definition, to be read; :func:`learn_merges` finds the same merges without counting anything
twice. Both take `words`, a dict: how often each word occurs, by its bytes.
"""

from collections import Counter, defaultdict
from heapq import heapify, heappop, heappush
from itertools import pairwise

from cllm_lib.checks import one_of, positive_integer
from cllm_lib.progress import progress_bar

# The bytes in GPT-2's order: first those that are visible characters of Latin-1, then the others.
_VISIBLE = (*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1))
BYTES = tuple(bytes([byte]) for byte in (*_VISIBLE, *sorted(set(range(256)) - set(_VISIBLE))))
PLACES = {token[0]: i for i, token in enumerate(BYTES)}
N_VISIBLE = len(_VISIBLE)
SHOW_AFTER = 2.0  # seconds


def smaller_ids(id, token):
    """The pair of the smaller ids first: tokens that are older."""
    return id


def greater_bytes(id, token):
    """The pair that comes later in the alphabet first. For a heap, whose first is its least, the alphabet runs backwards."""
    return bytes(255 - byte for byte in token).decode("latin-1") + "\u0100"  # the mark: of "a" and "ab", "ab" is the greater


TIES = {"smaller ids": smaller_ids, "greater bytes": greater_bytes}


def merges_by_recounting(words, most, ties="smaller ids", min_count=1):
    """Byte-pair encoding as it is defined: count all pairs of neighbours, merge the most frequent one everywhere, and begin again.

    Parameters
    ----------
    words : dict of bytes to int
        How often each word occurs.
    most : int
        How many merges.
    ties : {"smaller ids", "greater bytes"}
    min_count : int

    Returns
    -------
    list of pairs of bytes
        In the order in which they were found.

    Notes
    -----
    Sennrich, Haddow, Birch 2016, section 3.2, algorithm 1.
    """
    key, ids = one_of(ties, TIES, "ties"), {token: i for i, token in enumerate(BYTES)}
    split, merges = {word: [bytes([byte]) for byte in word] for word in words}, []
    while len(merges) < most:
        counts = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                counts[pair] += words[word]
        best = min(counts, key=lambda pair: (-counts[pair], *(key(ids[token], token) for token in pair)), default=None)
        if best is None or counts[best] < min_count:
            break
        merges.append(best)
        ids[best[0] + best[1]] = len(ids)
        split = {word: merged(parts, best) for word, parts in split.items()}
    return merges


def merged(parts, pair):
    """A row of tokens in which a pair is merged wherever it stands, from left to right.

    >>> merged([b"a", b"a", b"a", b"b"], (b"a", b"a"))
    [b'aa', b'a', b'b']
    """
    found = []
    for part in parts:
        if found and (found[-1], part) == pair:
            found[-1] += part
        else:
            found.append(part)
    return found


def learn_merges(words, most, ties="smaller ids", min_count=1, progress=True):
    """The merges of :func:`merges_by_recounting`, in time that grows with the bytes of the different words, and not with their square.

    All words stand in one row. Of every pair it is known how often it occurs and at which places, so a merge looks at these
    places only, and changes the counts of what stands beside them. The most frequent pair is the first in a heap.

    Parameters
    ----------
    words, most, ties, min_count
        As there.
    progress : bool
        Whether a bar is shown where it takes more than two seconds.

    Returns
    -------
    list of pairs of bytes
    """
    key, min_count, tokens = one_of(ties, TIES, "ties"), positive_integer(min_count, "min_count"), list(BYTES)
    keys, pairs, merges = [key(i, token) for i, token in enumerate(tokens)], _Pairs(words), []

    def entry(pair):
        return -pairs.counts[pair], keys[pair[0]], keys[pair[1]], pair

    queue = [entry(pair) for pair in pairs.counts]
    heapify(queue)
    with progress_bar(total=most, unit="merge", desc="byte pairs", visible=progress, delay=SHOW_AFTER) as bar:
        while queue and len(merges) < most:
            count, _, _, pair = heappop(queue)
            if -count != pairs.counts[pair]:  # merges since have taken some of it
                heappush(queue, entry(pair))
                continue
            if -count < min_count:
                break
            merges.append((tokens[pair[0]], tokens[pair[1]]))
            tokens.append(b"".join(merges[-1]))
            keys.append(key(len(keys), tokens[-1]))
            for neighbours in pairs.merge(pair, len(tokens) - 1):
                heappush(queue, entry(neighbours))
            bar.update()
        bar.total = len(merges)  # a short text has no more
    return merges


class _Pairs:
    """The words of a text in one row, and of every pair of neighbours in a word, how often it occurs and where.

    Attributes
    ----------
    row : Row
    weights : list of int
        By place in the row: how often its word occurs.
    counts : dict
        By pair of ids.
    places : dict of list of int
        By pair of ids: where it stands, or stood before one of the two was merged with another.
    """

    def __init__(self, words):
        ids, self.weights = [], []
        for word, count in words.items():
            if count:
                ids += [EDGE, *(PLACES[byte] for byte in word)]
                self.weights += [count] * (len(word) + 1)
        self.row, self.counts, self.places = Row([*ids, EDGE]), Counter(), defaultdict(list)
        for i in range(1, len(ids)):
            self._add(i)

    def _add(self, i):
        """Count the pair that begins at place i; nothing, where a word begins or ends."""
        pair = self.row.pair(i)
        if EDGE not in pair:
            self.counts[pair] += self.weights[i]
            self.places[pair].append(i)
        return pair

    def merge(self, pair, new):
        """Put `new` in the place of a pair wherever it stands; returns the pairs that there are since."""
        row, made = self.row, set()
        for i in sorted(self.places.pop(pair)):  # from left to right: of three alike, the first two
            if row.pair(i) == pair:
                left = row.before[i]
                for place in (left, row.after[i]):
                    self.counts[row.pair(place)] -= self.weights[i]
                row.join(i, new)
                made |= {self._add(left), self._add(i)}
        del self.counts[pair]
        return [neighbours for neighbours in made if self.counts[neighbours] > 0]


EDGE, GONE = -1, -2  # before and after a word; the place of a token that has become a part of the one before it


class Row:
    """Ids in a row, in which two neighbours become one in a step, however long the row is: a doubly linked list."""

    def __init__(self, ids):
        self.ids, self.before, self.after = ids, list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))

    def pair(self, i):
        """The ids at place i and behind it."""
        return self.ids[i], self.ids[self.after[i]]

    def join(self, i, new):
        """Put `new` at place i, for what stood there and behind it."""
        gone = self.after[i]
        right = self.after[gone]
        self.ids[i], self.ids[gone] = new, GONE
        self.after[i], self.before[right] = right, i


def join_by_rank(ids, ranks):
    """Merge neighbours, those of the lowest rank first and of these the leftmost, until there are none that have a rank.

    Parameters
    ----------
    ids : list of int
        Of the bytes of one word.
    ranks : dict
        By pair of ids, the rank of its merge and the id that it makes.

    Returns
    -------
    list of int
    """
    row = Row([EDGE, *ids, EDGE])
    queue = [(*ranks[row.pair(i)], i, row.pair(i)) for i in range(1, len(ids)) if row.pair(i) in ranks]
    heapify(queue)
    while queue:
        _, new, i, pair = heappop(queue)
        if row.pair(i) == pair:
            row.join(i, new)
            for place in (row.before[i], i):
                found = row.pair(place)
                if found in ranks:
                    heappush(queue, (*ranks[found], place, found))
    return [id for id in row.ids if id >= 0]
