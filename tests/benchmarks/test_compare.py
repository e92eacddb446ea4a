import os

import pytest

from benchmarks.compare import Missing, Worker, alternate, ratio, seconds_of


def test_a_ratio_compares_turns_of_the_same_round():
    """The second round was disturbed, for both; medians over everything would say 2 / 3."""
    result = ratio([[1.0, 1.0], [30.0, 10.0], [2.0, 2.0]], [[2.0, 2.0], [40.0, 40.0], [4.0, 4.0]])
    assert (result.value, result.low, result.high) == (0.5, 0.5, 0.5)
    assert (result.ours, result.peer) == (2.0, 4.0)


def test_quartiles_are_those_of_the_rounds():
    result = ratio([[1.0], [2.0], [3.0], [4.0], [5.0]], [[1.0]] * 5)
    assert (result.low, result.value, result.high) == (2.0, 3.0, 4.0)


def test_a_missing_contestant_gives_its_reason():
    missing = Missing("jax is not installed")
    assert ratio([[1.0], [1.0]], missing) is missing
    assert ratio(missing, [[1.0], [1.0]]) is missing


@pytest.mark.parametrize("peer", [[[1.0]], [[1.0]] * 3])
def test_rounds_must_pair(peer):
    with pytest.raises(ValueError, match=f"2 rounds against {len(peer)}"):
        ratio([[1.0]] * 2, peer)


def test_one_round_has_no_spread():
    with pytest.raises(ValueError, match="two at least"):
        ratio([[1.0]], [[1.0]])


def test_the_first_call_is_not_counted():
    calls, ticks = [], iter([10.0, 11.0, 20.0, 23.0])
    assert seconds_of(lambda: calls.append(len(calls)), 2, clock=lambda: next(ticks)) == [1.0, 3.0]
    assert calls == [0, 1, 2]


class Counter:
    """A contestant that says where it runs and how often it was asked."""

    def __init__(self, start):
        self.count = start

    def step(self):
        self.count += 1

    def where(self):
        return os.getpid(), self.count


def absent():
    import a_library_that_nobody_has  # noqa: F401


def test_each_contestant_takes_its_turns_in_a_process_of_its_own():
    workers = {"a": Worker(Counter, 0), "b": Worker(Counter, 100), "absent": Worker(absent)}
    seen = []
    times = alternate(workers, rounds=3, steps=4, pause=0.0, report=seen.append)
    (pid_a, count_a), (pid_b, count_b) = workers["a"].call("where"), workers["b"].call("where")
    for worker in workers.values():
        worker.close()
    assert seen == [1, 2, 3]
    assert len({pid_a, pid_b, os.getpid()}) == 3
    assert (count_a, count_b) == (15, 115)  # 3 rounds of 4 steps, and one before each that is not counted
    assert [len(turn) for turn in times["a"]] == [4, 4, 4]
    assert times["absent"] == Missing("a_library_that_nobody_has is not installed")
