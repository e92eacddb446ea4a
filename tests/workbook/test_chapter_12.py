"""What the checks of chapter 12 say of a right answer that is too slow for the page, and in a browser, which has no threads."""

import re
import sys
import threading

import numpy as np
import pytest
from words import words
from workbook.answers import RIGHT, WRONG

from cllm_lib.lattice.primes import primes_below
from cllm_lib.workbook.exercises import check
from cllm_lib.workbook.exercises.by_turns import Callers, Waits, played
from cllm_lib.workbook.exercises.chapter_12 import SLOW
from cllm_lib.workbook.exercises.patience import processor_time


@pytest.mark.parametrize(("work", "warned"), [(0.0, False), (SLOW + 0.05, True)])
def test_a_slow_sieve_passes_and_is_told_what_the_next_cell_will_cost(work, warned, capsys):
    def sieve(n):
        until = processor_time() + (work if n == 20_000 else 0.0)
        while processor_time() < until:
            pass
        return primes_below(n)

    np.testing.assert_array_equal(check("12.2", sieve)(100), primes_below(100))
    said = capsys.readouterr().out
    assert said.startswith("12.2 passed.")
    assert ("a minute or more" in said) == warned


@pytest.fixture
def browser(monkeypatch):
    """No thread starts, and one lock that is not free holds up everything."""
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread was started"))


@pytest.mark.parametrize(("answer", "said_to_it"), WRONG["12.4"], ids=[f"{said}: {words(one, 'answer')}" for one, said in WRONG["12.4"]])
def test_where_there_are_no_threads_a_lazy_value_gets_the_same_messages(browser, answer, said_to_it, capsys):
    check("12.4", answer)
    assert re.search(said_to_it, capsys.readouterr().out)


def waits_by_looking(build):
    lock, state = threading.Lock(), {}

    def get():
        while "value" not in state:
            if lock.acquire(blocking=False):
                try:
                    if "value" not in state:
                        state["value"] = build()
                finally:
                    lock.release()
        return state["value"]

    return get


def behind_a_condition(build):
    condition, kept = threading.Condition(), []

    def get():
        with condition:
            if not kept:
                kept.append(build())
            condition.notify_all()
        return kept[0]

    return get


LOCK = threading.RLock()


def behind_a_lock_of_the_page(build):
    kept = []

    def get():
        with LOCK:
            if not kept:
                kept.append(build())
        return kept[0]

    return get


@pytest.mark.parametrize("answer", [*RIGHT["12.4"], waits_by_looking, behind_a_condition, behind_a_lock_of_the_page])
def test_where_there_are_no_threads_a_right_lazy_value_passes(browser, answer, capsys):
    original = threading.Lock, LOCK
    check("12.4", answer)
    assert capsys.readouterr().out == "12.4 passed. The page keeps the program's lattice in your lazy value.\n"
    assert (threading.Lock, LOCK) == original


def test_the_others_come_at_the_moment_that_was_named():
    def behind_a_lock():
        lock, came = threading.Lock(), []

        def get():
            came.append("asks")
            with lock:
                came.append("has it")
                callers.meanwhile()
                came.append("goes")
            return list(came)

        return get

    with played(behind_a_lock) as callers:
        first, second = callers.touch(behind_a_lock(), 2, "at the build")
        assert first == ["asks", "has it", "asks", "goes"]
        assert second[-3:] == ["asks", "has it", "goes"]
        first, second = callers.touch(behind_a_lock(), 2, "at the first lock")
        assert second == ["asks", "asks", "has it", "goes"]
        assert first == ["asks", "asks", "has it", "goes", "has it", "goes"]
    assert isinstance(threading.Lock(), type(threading._allocate_lock()))


def test_one_who_waits_for_himself_waits_for_ever():
    with played(test_one_who_waits_for_himself_waits_for_ever):
        lock, again = threading.Lock(), threading.RLock()
    assert isinstance(Callers().touch(lambda: (lock.acquire(), lock.acquire()), 1)[0], Waits)
    assert Callers().touch(lambda: (again.acquire(), again.acquire(), again.locked()), 1) == [(True, True, True)]
