"""Interrupt Kernel, heard by a run that goes on between cells: there the kernel itself lets it pass without a word."""

import signal
import threading

_under_way = set()


class Interrupts:
    """Whether the kernel was interrupted since the run asked last."""

    def __init__(self):
        self._heard = False

    def listen(self):
        """Hear interrupts from now on; to be said again between steps, for whatever ran meanwhile may have put its own ear there.

        Only where nobody else listens: while a cell runs, an interrupt is for the cell.
        """
        _under_way.add(self)
        if _on_main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, _hear)

    def heard(self):
        """Whether there was one; it counts once."""
        was, self._heard = self._heard, False
        return was

    def end(self):
        """Hear no more; when nobody does, interrupts pass as they did before."""
        _under_way.discard(self)
        if not _under_way and _on_main_thread() and signal.getsignal(signal.SIGINT) is _hear:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _hear(number, frame):
    """Note it for every run: Python calls this between any two instructions, so nothing else is done here."""
    for run in tuple(_under_way):
        run._heard = True


def _on_main_thread():
    """Where alone Python lets signals be set."""
    return threading.current_thread() is threading.main_thread()
