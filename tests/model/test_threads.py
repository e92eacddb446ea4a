"""Threads of BLAS: read back from the library itself, inside a step."""

import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.model import threads
from cllm_lib.model.threads import BETWEEN, MANY, TRIALS, QuickerThreads, one_thread, threads_for


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    """As on a machine of two processors, whatever this test run was told."""
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(limits=2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("threadpoolctl cannot set the threads of the BLAS that this NumPy was built with")
        yield


@pytest.mark.parametrize(("size", "inside"), [(1, 1), (MANY - 1, 1), (MANY, 2), (10 * MANY, 2)])
def test_a_small_model_computes_in_one_thread_and_leaves_things_as_they_were(size, inside):
    with threads_for(size):
        assert blas_threads() == {inside}
    assert blas_threads() == {2}


def test_an_error_inside_leaves_things_as_they_were():
    with pytest.raises(KeyError), threads_for(1):
        raise KeyError
    assert blas_threads() == {2}


def test_every_blas_that_is_loaded_can_be_held_to_one_thread():
    with one_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_in_a_browser_there_is_no_blas_to_be_limited(monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    with threads_for(1), one_thread(), QuickerThreads().as_chosen():
        assert blas_threads() == {2}, "nobody touched it"
    assert threads.blas_threads() == set()
    assert [QuickerThreads().run(lambda i=i: i) for i in range(3)] == [0, 1, 2]


def test_a_large_model_keeps_a_limit_that_others_have_set():
    with threadpool_limits(limits=1, user_api="blas"), threads_for(MANY):
        assert blas_threads() == {1}


class Spy:
    """An optimiser that looks how many threads there are."""

    def __init__(self):
        self.seen = []

    def step(self, parameters, gradients):
        self.seen.append(blas_threads())


@pytest.mark.parametrize(("many", "inside"), [(MANY, 1), (0, 2)])
def test_a_trainer_steps_in_as_many_threads_as_its_model_is_worth(many, inside, monkeypatch):
    monkeypatch.setattr(threads, "MANY", many)
    spy, between = Spy(), []
    model = CLLM(CLLMConfig(280, d_model=8, n_heads=2, d_ff=8, seq_len=8))
    trainer = Trainer(model, load_corpus("sayings"), optimizer=spy)
    for _ in trainer.run(steps=2):
        between.append(blas_threads())
    trainer.step(*next(trainer.corpus.batches(2, 8, np.random.default_rng(0))))
    assert spy.seen == [{inside}] * 3
    assert between == [{2}] * 2  # whoever watches the training computes as he likes


def test_held_out_loss_is_measured_so_too(monkeypatch):
    seen = []
    model = CLLM(CLLMConfig(280, d_model=8, n_heads=2, d_ff=8, seq_len=8))
    corpus = load_corpus("sayings", validation_fraction=0.2)
    monkeypatch.setattr(model, "loss", lambda *batch: seen.append(blas_threads()) or 1.0)
    assert Trainer(model, corpus).evaluate() == 1.0
    assert set(map(frozenset, seen)) == {frozenset({1})}


def taken(seconds, n_steps):
    """In how many threads each step ran, if a step takes so many seconds by the number of threads and of the step."""
    now, seen = [0.0], []

    def step(i):
        (threads,) = blas_threads()
        seen.append(threads)
        now[0] += seconds(threads, i)
        return i

    quicker = QuickerThreads(lambda: now[0])
    assert [quicker.run(step, i) for i in range(n_steps)] == list(range(n_steps))
    assert blas_threads() == {2}
    return seen


def test_the_quicker_number_of_threads_is_kept_after_a_trial_of_both():
    trial = [1] * TRIALS + [2] * TRIALS
    assert taken(lambda threads, i: 1.0 / threads, 2 * TRIALS + BETWEEN + 2 * TRIALS) == trial + [2] * BETWEEN + trial
    assert taken(lambda threads, i: 1.0 + 0.1 * threads, 2 * TRIALS + 5) == trial + [1] * 5


def test_one_step_that_is_far_slower_is_trial_enough():
    assert taken(lambda threads, i: 1.0 if threads == 1 else 30.0, 12) == [1] * TRIALS + [2] + [1] * (11 - TRIALS)


def test_a_single_slow_step_does_not_decide():
    slow = {0, TRIALS + 1}
    assert taken(lambda threads, i: (1.9 if i in slow else 1.0) / threads, 2 * TRIALS + 2)[-2:] == [2, 2]


def test_what_was_quicker_is_asked_again():
    seen = taken(lambda threads, i: 1.0 / threads if i < 50 else 0.45 * threads, 4 * TRIALS + BETWEEN + 9)
    assert set(seen[2 * TRIALS : 2 * TRIALS + BETWEEN]) == {2}
    assert set(seen[-9:]) == {1}


def test_steps_that_have_become_far_slower_are_tried_at_once():
    since = 2 * TRIALS + 10
    seen = taken(lambda threads, i: (1.0 if i < since else threads**3) / threads, since + 3 * TRIALS)
    assert seen == [1] * TRIALS + [2] * (TRIALS + 10) + [2] * TRIALS + [1] * TRIALS + [2] + [1] * (TRIALS - 1)


def test_what_is_no_such_step_takes_as_many_threads_as_were_quicker():
    now = [0.0]
    quicker = QuickerThreads(lambda: now[0])
    with quicker.as_chosen():
        assert blas_threads() == {1}, "before that was tried"
    assert not quicker.is_tried
    for _ in range(2 * TRIALS):
        quicker.run(lambda: now.__setitem__(0, now[0] + 1.0 / max(blas_threads())))
    assert quicker.is_tried
    with quicker.as_chosen():
        assert blas_threads() == {2}


def test_where_there_is_one_thread_nothing_else_is_tried():
    with threadpool_limits(limits=1, user_api="blas"):
        quicker, seen = QuickerThreads(), []
        for _ in range(9):
            quicker.run(lambda: seen.append(blas_threads()))
        assert seen == [{1}] * 9


def test_a_step_that_fails_leaves_things_as_they_were():
    quicker = QuickerThreads()
    with pytest.raises(KeyError):
        quicker.run(lambda: {}["nothing"])
    assert blas_threads() == {2}
    assert quicker.run(lambda: 3) == 3
