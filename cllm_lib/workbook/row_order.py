"""Does it matter in which order the rows of an embedding are stored? The same look-ups, timed in every order in turn.

The words keep their ids; only the place of their rows changes. So the table stays one piece of memory, and an order is
nothing but another list of rows to fetch.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cllm_lib.checks import one_of, positive_integer, token_ids
from cllm_lib.lattice.locality import CONE, locality_order
from cllm_lib.model.layers import embedding_backward

LINUX_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNKNOWN_CACHE = 32 * 2**20  # taken where the system does not tell
BATCH_NUMBERS = 65_536  # floats fetched by one call: 128 rows of 512, as in the program
AS_IT_IS = "id"
DOCUMENTS = "spiral of the documents"


def last_level_cache():
    """Size of the processor's largest cache in bytes, and whether the system told it; otherwise 32 MiB is taken."""
    sizes = [path.read_text(encoding="ascii").strip() for path in sorted(LINUX_CACHES.glob("index*/size"))]
    known = [int(size[:-1]) * 2**10 for size in sizes if size[:-1].isdigit() and size.endswith("K")]
    return (max(known), True) if known else (UNKNOWN_CACHE, False)


def zipf_stream(rows, length, seed=0):  # -> (length,)
    """Draw words as often as in a natural text: the k-th most frequent with a chance proportional to 1/k.

    Parameters
    ----------
    rows : int
        Different words.
    length, seed : int

    Returns
    -------
    ndarray of int64, shape (length,)
        Ranks from 0.

    Notes
    -----
    Zipf 1949, "Human Behavior and the Principle of Least Effort".
    """
    rows, length = positive_integer(rows, "rows"), positive_integer(length, "length")
    cumulated = np.cumsum(1.0 / np.arange(1, rows + 1, dtype=np.int64))
    return np.searchsorted(cumulated, np.random.default_rng(seed).random(length) * cumulated[-1], side="right")


def numbered_as_met(tokens):  # (n,) -> (n,)
    """Give the words new ids, 0, 1, 2, ... in the order in which they first occur, as a program does that reads on."""
    _, first, inverse = np.unique(np.asarray(tokens), return_index=True, return_inverse=True)
    ids = np.empty(len(first), dtype=np.int64)
    ids[np.argsort(first)] = np.arange(len(first), dtype=np.int64)
    return ids[inverse.ravel()]


def row_orders(tokens, rows, seed=0):
    """The orders to compare: for each, which id's row is stored first, second, ...

    Parameters
    ----------
    tokens : array_like of int
        The text whose words' frequencies count.
    rows : int
        Of the table.
    seed : int
        Of the random order.

    Returns
    -------
    dict of str to ndarray of int64, shape (rows,)
        The first is by id. That of the documents' spiral is the same: it shows how much two equal ones differ.
    """
    frequencies = np.bincount(token_ids(tokens, rows).astype(np.intp), minlength=rows)
    return {
        AS_IT_IS: np.arange(rows, dtype=np.int64),
        DOCUMENTS: locality_order(CONE, rows),
        "Ulam's spiral": locality_order("ulam", rows),
        "Hilbert's curve": locality_order("hilbert", rows),
        "frequency": np.argsort(-frequencies, kind="stable"),
        "random": np.random.default_rng(seed).permutation(rows),
    }


class LookUp:
    """`table[ids]`, into a new array."""

    def __init__(self, rows, width, batch):
        self.table = np.ones((rows, width), dtype=np.float32)

    def __call__(self, ids):
        """Fetch one batch."""
        return self.table[ids]


class LookUpInto(LookUp):
    """`np.take(table, ids, out=...)`, into one array again and again; with the mode that needs no copy between."""

    def __init__(self, rows, width, batch):
        super().__init__(rows, width, batch)
        self.out = np.empty((batch, width), dtype=np.float32)

    def __call__(self, ids):
        """Fetch one batch."""
        return np.take(self.table, ids.astype(np.intp, copy=False), axis=0, out=self.out[: len(ids)], mode="clip")


class Gradient:
    """The way back: each row's gradient is added where the row came from."""

    def __init__(self, rows, width, batch):
        self.gradient = np.zeros((rows, width), dtype=np.float32)
        self.dx = np.ones((batch, width), dtype=np.float32)

    def __call__(self, ids):
        """Add one batch."""
        return embedding_backward(self.dx[: len(ids)], (ids, len(self.gradient)), out=self.gradient)


WORK = {"table[ids]": LookUp, "np.take into a buffer": LookUpInto, "gradient": Gradient}


@dataclass(frozen=True)
class Timing:
    """How one order did.

    Attributes
    ----------
    seconds : float
        Median time of a stretch of the text.
    ratio, low, high : float
        Median and quartiles, over the rounds, of the time divided by that by id in the same round: below 1 is faster.
    """

    seconds: float
    ratio: float
    low: float
    high: float


def compare(tokens, rows, width, work="table[ids]", rounds=9, seed=0, orders=None, clock=time.perf_counter):
    """Time one kind of work on one text, with the table stored in every order.

    Parameters
    ----------
    tokens : array_like of int, shape (n,)
        Ids in reading order, below `rows`; see :func:`numbered_as_met`. Each round reads another stretch of them, so that what
        lies in the cache is what the text before has left there.
    rows, width : int
        Of the table, in float32.
    work : str
        A key of `WORK`.
    rounds : int
        At least two. In each the orders take turns, in another sequence; each first reads the end of the stretch before,
        which is not counted.
    seed : int
        Of the random order, and of the sequence of turns.
    orders : dict of str to ndarray, optional
        Those of :func:`row_orders`, where they are at hand already.
    clock : callable

    Returns
    -------
    dict of str to Timing
        By order, as :func:`row_orders` names them.

    Raises
    ------
    ValueError
        If an id is outside the table, there is no token, or a number makes no sense.
    """
    tokens = token_ids(np.ravel(tokens), positive_integer(rows, "rows"))
    if positive_integer(rounds, "rounds") < 2 or len(tokens) < rounds:
        raise ValueError(f"{len(tokens)} tokens in {rounds} rounds: give two rounds at least, and a token for each")
    batch = max(1, BATCH_NUMBERS // positive_integer(width, "width"))
    act = one_of(work, WORK, "work")(rows, width, batch)
    places = {name: _places(order) for name, order in (orders or row_orders(tokens, rows, seed)).items()}
    seconds = {name: [] for name in places}
    generator, names = np.random.default_rng(seed), list(places)
    stretches = np.array_split(tokens, rounds)
    for before, stretch in zip([stretches[-1], *stretches], stretches, strict=False):
        for i in generator.permutation(len(names)):
            place = places[names[i]]
            lead_in, text = _batches(place[before[-(len(before) // 4 + 1) :]], batch), _batches(place[stretch], batch)
            _read(act, lead_in)
            start = clock()
            _read(act, text)
            seconds[names[i]].append(clock() - start)
    return {name: _timing(times, seconds[AS_IT_IS]) for name, times in seconds.items()}


def _places(order):
    """Where the row of each id is: the inverse of which id's row is where."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order), dtype=np.int64)
    return places


def _batches(ids, batch):
    return [ids[start : start + batch] for start in range(0, len(ids), batch)]


def _read(act, batches):
    for ids in batches:
        act(ids)


def _timing(times, reference):
    ratios = [ours / by_id for ours, by_id in zip(times, reference, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Timing(statistics.median(times), middle, low, high)
