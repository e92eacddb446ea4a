"""Whoever finds other primes is no faster."""

import time

import numpy as np
import pytest
import sympy

from benchmarks import lattice, run
from benchmarks.compare import Missing, Ratio
from cllm_lib.lattice.entries import build_lattice
from cllm_lib.lattice.primes import primes_below


@pytest.mark.parametrize("build", [lattice.our_primes, lattice.sympy_primerange, lattice.sympy_sieve])
@pytest.mark.parametrize("limit", [10, 1000, 1009, 1010])
def test_all_find_the_same_primes_every_time(build, limit):
    contestant = build(limit)
    for _ in range(2):
        assert lattice.agree(primes_below(limit), contestant.answer())
    seconds, answer = contestant.once()
    assert seconds > 0
    assert lattice.agree(primes_below(limit), answer)


@pytest.mark.slow
def test_the_compiled_sieve_finds_the_same():
    pytest.importorskip("numba", reason="a peer; `make test-all` installs it")
    for limit in (10, 1000, 1010, 1_000_000):
        assert lattice.agree(primes_below(limit), lattice.numba_sieve(limit).answer())


def test_sympys_function_starts_cold_each_time():
    sympy.sieve.extend(100_000)
    lattice.sympy_primerange(1000).step()
    assert len(sympy.sieve._list) < 10


def test_entries_made_one_by_one_are_those_of_the_library_and_a_wrong_one_is_found_out():
    primes = primes_below(5000)
    entries, slow = build_lattice(primes), lattice.entries_one_by_one(primes.tolist())
    assert lattice.agree(entries, slow)
    for name in entries.dtype.names:
        wrong = slow.copy()
        wrong[name][7] += 1
        assert not lattice.agree(entries, wrong)


@pytest.mark.parametrize("other", [[2, 3], [2, 3, 7], [2.0, 3.0, 5.0], [[2, 3, 5]]])
def test_other_numbers_do_not_agree(other):
    assert lattice.agree(np.array([2, 3, 5], dtype=np.int64), np.array([2, 3, 5], dtype=np.int64))
    assert not lattice.agree(np.array([2, 3, 5], dtype=np.int64), np.array(other))


def test_the_measure_is_ten_passes(monkeypatch):
    calls = []
    monkeypatch.setattr(lattice, "SPIRAL_SIZE", 5)
    measure = lattice.square_roots()
    monkeypatch.setattr(np, "sqrt", lambda x, out: calls.append((x.size, out.size)))
    measure.step()
    assert calls == [(5, 5)] * 10


def test_the_spiral_is_of_all_numbers(monkeypatch):
    monkeypatch.setattr(lattice, "SPIRAL_SIZE", 25)
    x, y = lattice.our_spiral().answer()
    assert sorted(zip(x.tolist(), y.tolist(), strict=True)) == [(i, j) for i in range(-2, 3) for j in range(-2, 3)]


def test_memory_beyond_the_result_grows_little():
    """In this process, whose peak may lie higher: at most what it says there."""
    assert isinstance(lattice.SieveMemory(1000).report(), int)


@pytest.mark.slow
def test_memory_beyond_the_primes_in_a_fresh_process():
    worker = run.Worker(lattice.SieveMemory, lattice.FAR_LIMIT)
    assert worker.call("report") < run.SIEVE_MEMORY_TO_REACH * 2**20
    worker.close()


class Fixed:
    """Stands for a worker: answers from a table."""

    def __init__(self, numbers, missing=None):
        self.numbers, self.missing = np.array(numbers), missing

    def call(self, name):
        return {"answer": self.numbers}[name]


@pytest.mark.parametrize(("numbers", "ok"), [([2, 3, 5], True), ([2, 3, 7], False), ([2, 3], False)])
def test_nothing_is_timed_unless_the_numbers_are_the_same(numbers, ok):
    workers = {run.OUR_PRIMES: Fixed([2, 3, 5]), run.NUMBA: Fixed([], Missing("no numba")), run.SYMPY_SIEVE: Fixed(numbers)}
    if ok:
        run.check_same_numbers("primes", workers)
    else:
        with pytest.raises(SystemExit, match="SymPy, its sieve, cold finds something else than ours, primes. Nothing was timed"):
            run.check_same_numbers("primes", workers)


def test_every_contestant_is_compared():
    for contestants, turns, pairs in run.NUMBERS.values():
        assert {name for work, peer, _ in pairs for name in (work, peer)} - run.LIMITS.keys() == contestants.keys()
        assert turns["rounds"] >= 2


def test_a_row_without_a_goal_has_no_verdict():
    assert run.speed_row("a", "b", Ratio(1.0, 2.0, 0.5, 0.4, 0.6), None)[-2:] == ["", ""]
    assert run.speed_row("a", "b", Missing("numba is not installed"), None)[-4:] == ["numba is not installed", "", "", ""]


def test_importing_takes_some_time_in_seconds():
    began = time.perf_counter()
    seconds = lattice.import_seconds("cllm_lib.lattice.entries", after="cllm_lib", rounds=1)
    assert 0 < seconds < time.perf_counter() - began  # in which a Python was started too
