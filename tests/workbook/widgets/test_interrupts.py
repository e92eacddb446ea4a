import signal
import threading

import pytest

from cllm_lib.workbook.widgets.interrupts import Interrupts


@pytest.fixture(autouse=True)
def as_in_a_kernel_between_cells():
    """There interrupts pass unheard."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def run():
    made = Interrupts()
    yield made
    made.end()


def test_an_interrupt_is_heard_once(run):
    run.listen()
    assert not run.heard()
    interrupt()
    assert run.heard()
    assert not run.heard()


def test_every_run_under_way_hears_it(run):
    other = Interrupts()
    run.listen()
    other.listen()
    interrupt()
    assert run.heard()
    assert other.heard()
    other.end()
    interrupt()
    assert run.heard()
    assert not other.heard()


def test_after_the_last_run_interrupts_pass_as_before(run):
    run.listen()
    run.end()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    interrupt()
    assert not run.heard()


def test_while_a_cell_runs_an_interrupt_is_for_the_cell(run):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run.listen()
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert not run.heard()


def test_listening_again_mends_what_a_cell_left_behind(run):
    run.listen()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run.listen()
    interrupt()
    assert run.heard()


def test_beside_the_main_thread_nothing_is_set(run):
    thread = threading.Thread(target=lambda: (run.listen(), run.end()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
