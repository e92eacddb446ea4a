import subprocess
import sys
import threading

import mpmath
import numpy as np
import pytest
from patience import PATIENCE

from cllm_lib import defects
from cllm_lib.lattice.entries import LATTICE_ENTRY, LatticeCache, build_lattice
from cllm_lib.lattice.primes import primes_below


class CountingSieve:
    """Counts its calls; may wait in the middle of one."""

    def __init__(self, wait=None):
        self.calls, self.wait = 0, wait

    def __call__(self, limit):
        self.calls += 1
        if self.wait is not None:
            assert self.wait.wait(timeout=PATIENCE)
        return primes_below(limit)


def in_many_threads(work, count=16):
    """Let threads begin `work` at the same moment; what each got."""
    barrier, answers = threading.Barrier(count), [None] * count

    def one(i):
        barrier.wait(timeout=PATIENCE)
        answers[i] = work()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    return answers


def test_an_entry_has_64_bytes_and_those_of_the_program_the_size_in_its_log():
    assert LATTICE_ENTRY.itemsize == 64
    assert LATTICE_ENTRY.names == ("p", "n", "O", "theta", "L", "radius", "angle", "sign")
    assert build_lattice(primes_below(200_000)).nbytes == 17_984 * 64
    assert f"{LatticeCache(sieve=defects.faulty_primes_below).entries.nbytes / 2**20:.2f}" == "1.41"


@pytest.mark.parametrize("n", [1, 2, 10, 77, 1354, 1355, 17_984])
def test_entries_follow_the_formulas_in_fifty_digits(n):
    entry = build_lattice(primes_below(200_000))[n - 1]
    with mpmath.workdps(50):
        pi, three = mpmath.pi, mpmath.mpf(3)
        exponent = (n - 1) * (pi / 6) / mpmath.ln(3) + 1
        theta = n * 2 * pi / 12 + 1 + mpmath.mpf(432) / 432 + (9 - 16)
        phis = [mpmath.mpf(phi) for phi in (3, 7, 31, 12, 19.5, 11, 13, 17, 23, 29, 31, 59)]
        phis = [phi / 10 if phi == 12 else phi + mpmath.mpf("0.3") for phi in phis]
        value = three**exponent * 3 * mpmath.log(mpmath.mpf(5) / 12, 2) * mpmath.fprod(mpmath.cos(theta * phi) for phi in phis)
        assert entry["O"] == pytest.approx(float(exponent), rel=1e-12)
        assert entry["theta"] == pytest.approx(float(theta), rel=1e-12)
        assert entry["radius"] == pytest.approx(float(mpmath.ln(three**exponent)), rel=1e-12)
        assert entry["L"] == pytest.approx(float(mpmath.ln(abs(value))), rel=1e-9)
        assert entry["sign"] == mpmath.sign(value)
        assert entry["angle"] == pytest.approx(float(mpmath.fmod(theta, 2 * pi)), abs=1e-10)


def test_entries_hold_primes_and_places_and_nothing_infinite():
    entries = build_lattice(primes_below(200_000))
    np.testing.assert_array_equal(entries["p"], primes_below(200_000))
    np.testing.assert_array_equal(entries["n"], np.arange(1, len(entries) + 1, dtype=np.int64))
    assert all(np.isfinite(entries[name]).all() for name in LATTICE_ENTRY.names)
    assert len(np.unique(entries["radius"])) == len(entries)


@pytest.mark.parametrize("primes", [np.array([], dtype=np.int64), [2], (2, 3, 5)])
def test_few_primes(primes):
    np.testing.assert_array_equal(build_lattice(primes), build_lattice(primes_below(100))[: len(primes)])


@pytest.mark.parametrize("primes", [2, [], [[2, 3]], [2.0, 3.0], ["2"]])
def test_what_is_no_row_of_integers_is_turned_away(primes):
    with pytest.raises(ValueError, match="primes have shape .*: give one row of integers"):
        build_lattice(primes)


def test_nothing_is_computed_before_the_first_touch_and_once_after():
    sieve, before = CountingSieve(), threading.active_count()
    cache = LatticeCache(1000, sieve)
    assert (sieve.calls, cache.is_built, threading.active_count()) == (0, False, before)
    first = cache.entries
    assert (sieve.calls, cache.is_built) == (1, True)
    assert cache.entries is first
    assert sieve.calls == 1


def test_importing_and_making_a_cache_computes_nothing():
    program = """
import threading, tracemalloc
import cllm_lib.lattice.primes as primes
primes._sieve = primes.prime_count = None  # whoever computes a prime now fails
from cllm_lib.lattice.entries import LatticeCache
tracemalloc.start()
cache = LatticeCache()
print(cache.is_built, threading.active_count(), tracemalloc.get_traced_memory()[1] < 10_000)
"""
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout.split() == ["False", "1", "True"]


def test_many_threads_that_touch_at_once_build_once_and_get_the_same():
    go = threading.Event()
    sieve = CountingSieve(go)
    cache = LatticeCache(1000, sieve)
    threading.Timer(0.1, go.set).start()  # the builder is kept busy until the others are waiting
    answers = in_many_threads(lambda: cache.entries)
    assert sieve.calls == 1
    assert all(answer is cache.entries for answer in answers)
    assert len(answers[0]) == 168


def test_nobody_can_change_what_all_share():
    with pytest.raises(ValueError, match="read-only"):
        LatticeCache(100).entries["p"] = 0


def test_warming_up_returns_at_once_and_its_thread_ends_by_itself():
    go = threading.Event()
    sieve = CountingSieve(go)
    cache = LatticeCache(1000, sieve)
    thread = cache.warm_up()  # would hang here if it built in this thread
    assert not cache.is_built
    go.set()
    thread.join(timeout=PATIENCE)
    assert not thread.is_alive()
    assert cache.is_built
    assert (len(cache.entries), sieve.calls) == (168, 1)


def test_in_a_browser_warming_up_says_what_to_do_instead(monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    cache = LatticeCache(100)
    with pytest.raises(ValueError, match="touch `entries`"):
        cache.warm_up()
    assert len(cache.entries) == 25


def test_warming_up_from_many_threads_and_again_builds_once():
    sieve = CountingSieve()
    cache = LatticeCache(1000, sieve)
    for thread in [*in_many_threads(cache.warm_up), cache.warm_up()]:
        thread.join(timeout=PATIENCE)
    assert sieve.calls == 1


def test_a_touch_while_it_warms_up_waits_for_that():
    go = threading.Event()
    sieve = CountingSieve(go)
    cache = LatticeCache(1000, sieve)
    cache.warm_up()
    threading.Timer(0.1, go.set).start()
    assert len(cache.entries) == 168
    assert sieve.calls == 1


def test_a_failure_in_the_background_is_raised_at_the_next_touch_once():
    failures = [OSError("no primes today")]

    def fail_once(limit):
        if failures:
            raise failures.pop()
        return primes_below(limit)

    cache = LatticeCache(100, fail_once)
    cache.warm_up().join(timeout=PATIENCE)
    assert not cache.is_built
    with pytest.raises(OSError, match="no primes today"):
        cache.entries
    assert len(cache.entries) == 25


def test_a_failure_at_a_touch_leaves_nothing_behind():
    cache = LatticeCache(100, lambda limit: [0.5])
    for _ in range(2):
        with pytest.raises(ValueError, match="integers"):
            cache.entries
    cache.sieve = primes_below
    assert len(cache.entries) == 25


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_a_cache_of_no_or_one_prime(limit):
    assert len(LatticeCache(limit).entries) == max(limit - 2, 0)


@pytest.mark.parametrize(("limit", "words"), [(-1, "whole number"), (1.5, "whole number"), (True, "whole number"), (10**9, "at most")])
def test_a_bad_limit_is_turned_away_before_anything_is_computed(limit, words):
    with pytest.raises(ValueError, match=words):
        LatticeCache(limit)
