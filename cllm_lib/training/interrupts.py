"""Ctrl-C, and interrupting a kernel, while a model trains: the step under way ends first, so that weights and optimiser fit together."""

import contextlib
import signal
import threading


class BrokenOff(KeyboardInterrupt):
    """A second interrupt while a step was under way: half of it is done, so this trainer is no good to save."""


@contextlib.contextmanager
def interrupts_after_the_step():
    """Gather the first interrupt, for whoever looks after each step, and raise it at the end; a second one breaks off at once.

    Yields
    ------
    list
        Empty until an interrupt has come. Outside the main thread, and where interrupts are turned off, none does.

    Raises
    ------
    KeyboardInterrupt
        At the end, if one has come; :class:`BrokenOff` at the second.
    """
    asked = []
    on_main_thread = threading.current_thread() is threading.main_thread()  # only there do interrupts arrive
    if not on_main_thread or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs in the background
        yield asked
        return

    def handler(number, frame):
        if asked:
            raise BrokenOff
        asked.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt
