"""A time limit on a reader's function, so that a loop without end does not hold up the notebook."""

import signal
import sys
import threading
import time

from cllm_lib.browser import in_browser

SECONDS = 5.0
WAITING, LONGEST = 0.02, 12.0  # who computes less than this share of the time waits; and no more than so many times the limit by the clock


class TooLong(BaseException):
    """The time is up. No `Exception`: a reader's `except Exception` is not meant for it."""


def within(seconds, function, *arguments):
    """What `function(*arguments)` returns, if it does so in time.

    Counted are seconds of the processor, so that a busy machine hurries nobody; of one who waits, those of the clock.

    Raises
    ------
    TooLong
        If it does not.
    """
    alarm = hasattr(signal, "setitimer") and not in_browser() and threading.current_thread() is threading.main_thread()
    return (_by_alarm if alarm else _by_tracing)(seconds, function, *arguments)


def processor_time():
    """Seconds that the processor has worked; in a browser, where nobody counts them, those of the clock."""
    return time.monotonic() if in_browser() else time.process_time()


def _by_alarm(seconds, function, *arguments):
    """Where there are alarms, which reach the main thread only; this one rings again, should a bare `except` swallow it."""
    is_up = _watch(seconds)

    def ring(number, frame):
        if is_up():
            raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, min(0.25, seconds))
        return function(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _by_tracing(seconds, function, *arguments):
    """On Windows, in a browser and in other threads: look at the clock at each line of Python, as a debugger would.

    One call of NumPy's that takes for ever is not stopped so.
    """
    is_up = _watch(seconds)

    def look(frame, event, argument):
        if is_up():
            raise TooLong
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        return function(*arguments)
    finally:
        sys.settrace(before)


def _watch(seconds):
    """A function that says whether the time is up, to be called in this thread."""
    processor = getattr(time, "thread_time", time.monotonic)  # a browser may have no clock of that kind
    began, used = time.monotonic(), processor()

    def is_up():
        passed, computed = time.monotonic() - began, processor() - used
        return computed > seconds or (passed > seconds and computed < WAITING * passed) or passed > LONGEST * seconds

    return is_up
