"""A time limit on a reader's function, so that a loop without end does not hold up the notebook."""

import signal
import sys
import threading
import time

SECONDS = 5.0


class TooLong(BaseException):
    """The time is up. No `Exception`: a reader's `except Exception` is not meant for it."""


def within(seconds, function, *arguments):
    """What `function(*arguments)` returns, if it does so in time.

    Raises
    ------
    TooLong
        If it does not.
    """
    alarm = hasattr(signal, "setitimer") and sys.platform != "emscripten" and threading.current_thread() is threading.main_thread()
    return (_by_alarm if alarm else _by_tracing)(seconds, function, *arguments)


def _by_alarm(seconds, function, *arguments):
    """Where there are alarms, which reach the main thread only; this one rings again, should a bare `except` swallow it."""

    def ring(number, frame):
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
        return function(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _by_tracing(seconds, function, *arguments):
    """On Windows, in a browser and in other threads: look at the clock at each line of Python, as a debugger would."""
    deadline = time.monotonic() + seconds

    def look(frame, event, argument):
        if time.monotonic() > deadline:
            raise TooLong
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        return function(*arguments)
    finally:
        sys.settrace(before)
