"""Ctrl-C while something works in steps: heard once it is looked for, raised at the end, at once the second time."""

import signal
import threading

import pytest

from cllm_lib.training import trainer
from cllm_lib.training.interrupts import BrokenOff, interrupts_after_the_step


@pytest.fixture
def ctrl_c():
    """Ctrl-C is heard, also where these tests run in the background, for which a shell has turned it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_without_an_interrupt_nothing_happens():
    with interrupts_after_the_step() as interrupts:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert not interrupts
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def interrupted(done, times=1):
    """Three steps, the second of which is interrupted."""
    with interrupts_after_the_step() as interrupts:
        for step in range(3):
            if step == 1:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            done.append(step)
            if interrupts:
                break


@pytest.mark.usefixtures("ctrl_c")
def test_the_step_under_way_ends_before_the_interrupt_is_raised():
    done = []
    with pytest.raises(KeyboardInterrupt) as raised:
        interrupted(done)
    assert done == [0, 1]
    assert type(raised.value) is KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_one_does_not_wait():
    done = []
    with pytest.raises(BrokenOff):
        interrupted(done, times=2)
    assert done == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def fails():
    with interrupts_after_the_step():
        signal.raise_signal(signal.SIGINT)
        _ = 1 / 0


@pytest.mark.usefixtures("ctrl_c")
def test_an_error_of_the_work_comes_through_and_the_old_handler_is_back():
    with pytest.raises(ZeroDivisionError):
        fails()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_in_another_thread_no_handler_is_set():
    seen = []

    def work():
        with interrupts_after_the_step() as interrupts:
            seen.extend([signal.getsignal(signal.SIGINT), list(interrupts)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler, []]


def test_where_interrupts_are_turned_off_they_stay_off():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = []
        interrupted(done)
        assert done == [0, 1, 2]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_is_found_where_it_was():
    assert trainer.BrokenOff is BrokenOff
