"""The contestants of primes, spirals and the lattice cache: each returns the same numbers as ours, found another way."""

import itertools
import math
import statistics
import subprocess
import sys
import time

import numpy as np
import psutil

from benchmarks.memory import peak_bytes
from cllm_lib.lattice import entries as cache
from cllm_lib.lattice.entries import LATTICE_ENTRY, LatticeCache
from cllm_lib.lattice.primes import primes_below

LIMIT, FAR_LIMIT = 200_000, 10**8
SPIRAL_SIZE, PASSES = 10_000_000, 10
TIME_LIMIT = 0.010  # seconds, for the lattice cache of LIMIT
EXPLORED, COLOUR_LIMIT = 1_000_000, 0.100  # numbers, and seconds for their colours


class Call:
    """A call without arguments, made over and over."""

    def __init__(self, function):
        self.step = function

    def answer(self):
        """What it returns, as an array."""
        return np.asarray(self.step())

    def once(self):
        """Seconds of a single call, with nothing before it, and what it returned: for what takes a minute."""
        start = time.perf_counter()
        answer = self.step()
        return time.perf_counter() - start, np.asarray(answer)


def our_primes(limit):
    """Ours."""
    return Call(lambda: primes_below(limit))


def sympy_primerange(limit):
    """SymPy's function of that name, cold: the sieve behind it, which remembers what it has found, is emptied first."""
    from sympy import primerange, sieve

    def call():
        sieve._reset()
        return list(primerange(limit))

    return Call(call)


def sympy_sieve(limit):
    """SymPy's sieve called directly, a new one each time: quicker than the function, which does not let it grow."""
    from sympy import Sieve

    return Call(lambda: list(Sieve().primerange(limit)))


def numba_sieve(limit):
    """The same sieve by stretches, of loops that numba compiles; its compilation is not timed."""
    from numba import njit

    @njit
    def odd_primes(n, strikers, segment, room):
        primes = np.empty(room, np.int64)
        primes[0], found = 2, 1
        flags = np.empty(segment, np.bool_)
        following = strikers * strikers // 2
        for start in range(0, n // 2, segment):
            size = min(segment, n // 2 - start)
            flags[:size] = True
            for i in range(len(strikers)):
                p, k = strikers[i], following[i] - start
                while k < size:
                    flags[k] = False
                    k += p
                following[i] = k + start
            for k in range(1 if start == 0 else 0, size):
                if flags[k]:
                    primes[found] = 2 * (start + k) + 1
                    found += 1
        return primes[:found]

    room = int(1.26 * limit / math.log(limit)) + 1
    return Call(lambda: odd_primes(limit, primes_below(math.isqrt(limit) + 1)[1:], 1 << 18, room))


def our_spiral():
    """Ours: the places of so many numbers on Ulam's spiral."""
    from cllm_lib.lattice.spirals import ulam_coordinates

    numbers = np.arange(1, SPIRAL_SIZE + 1, dtype=np.int64)
    return Call(lambda: ulam_coordinates(numbers))


def square_roots():
    """No spiral, a measure: ten square roots of each of so many numbers, into an array that stands ready."""
    numbers, roots = np.arange(1.0, SPIRAL_SIZE + 1), np.empty(SPIRAL_SIZE)

    def call():
        for _ in range(PASSES):
            np.sqrt(numbers, out=roots)
        return roots

    return Call(call)


def explorer_recoloured():
    """The explorer of all so many numbers: of which kind each is, in one colour or the other, computed and handed to the page."""
    from cllm_lib.workbook.widgets import spiral_explorer

    explorer, colours = spiral_explorer(EXPLORED), itertools.cycle(("residue", "prime"))
    return Call(lambda: setattr(explorer.colour, "value", next(colours)))


def our_lattice():
    """Ours: a new cache, touched; its primes are found anew."""
    return Call(lambda: LatticeCache(LIMIT).entries)


def lattice_in_a_loop():
    """The same entries one after another, with the functions of Python's math, as the program built them."""
    return Call(lambda: entries_one_by_one(primes_below(LIMIT).tolist()))


def entries_one_by_one(primes):  # (N,) -> (N,)
    """See :func:`~cllm_lib.lattice.entries.build_lattice`."""
    entries = np.zeros(len(primes), dtype=LATTICE_ENTRY)
    constant = (-1) ** cache.K * cache.NU * math.log2(5 / 12)
    for i, p in enumerate(primes):
        n = i + 1
        exponent, theta = cache.growth_exponent(n), cache.clock_angle(n)
        factor = constant * math.prod(math.cos(theta * phi) for phi in cache.PHI)
        radius = exponent * math.log(3)
        sign = 1 if factor > 0 else -1
        entries[i] = (p, n, exponent, theta, radius + math.log(abs(factor)), radius, theta % (2 * math.pi), sign)
    return entries


class SieveMemory:
    """The primes below `limit`, found in a fresh process."""

    def __init__(self, limit):
        primes_below(1000)  # what the first call loads is no part of it
        before = psutil.Process().memory_info().rss
        primes = primes_below(limit)
        self.beyond = peak_bytes() - before - primes.nbytes

    def report(self):
        """Bytes held at the peak beyond the result and what was held before."""
        return self.beyond


def import_seconds(what, after, rounds=9):
    """Seconds of importing `what` where `after` is loaded already: the median of fresh processes."""
    program = f"import time, {after}; start = time.perf_counter(); import {what}; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True) for _ in range(rounds)]
    return statistics.median(float(run.stdout) for run in runs)


def agree(ours, theirs):
    """Whether two arrays are the same: whole numbers exactly, others to nine digits."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    fields = [(ours[name], theirs[name]) for name in ours.dtype.names] if ours.dtype.names else [(ours, theirs)]
    return all(np.array_equal(a, b) if a.dtype.kind in "iu" else np.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in fields)
