"""Threads where there are none: several callers of one function take turns, and locks say when a caller would have to wait.

In a browser no thread starts, and a lock that is taken twice would hold up the page for ever. So the check of exercise 12.4 plays:
one caller begins; in the middle of its work, or when it asks for its first lock, all others come in, one after another. One
that meets a lock in somebody's hands waits: it is broken off, and calls once more when the first has come back.
"""

import contextlib
import threading

from cllm_lib.workbook.exercises.patience import TooLong, within

TURN = 0.1  # seconds of one caller, after which it waits for another in a way of its own


class Waits(BaseException):
    """Who calls has to wait for another. No `Exception`: a reader's `except Exception` is not meant for it."""


class Callers:
    """Callers that take turns. `arrivals` are the moments at which the others may come in while the first is under way."""

    arrivals = ("at the build", "at the first lock")

    def __init__(self):
        self.calling, self.others, self.arrival = None, None, None

    def meanwhile(self, moment="at the build"):
        """All others call now, if this is their moment and they have not called yet."""
        if self.others and moment == self.arrival:
            others, self.others = self.others, None
            others()

    def touch(self, get, callers, arrival="at the build"):
        """What each caller gets: a value, or what was raised, :class:`Waits` if it waits for ever."""
        results = [Waits()] * callers

        def call(i):
            before, self.calling = self.calling, object()
            try:
                results[i] = within(TURN if i else TURN * (callers + 1), get)  # the others' turns are within that of the first
            except TooLong:
                results[i] = Waits()
            except BaseException as error:  # handed over, as by a thread
                results[i] = error
            finally:
                self.calling = before

        self.arrival, self.others = arrival, lambda: [call(i) for i in range(1, callers)]
        call(0)
        self.meanwhile(arrival)
        for i in range(1, callers):
            if isinstance(results[i], Waits):
                call(i)
        return results


class Lock:
    """A lock among callers that take turns; `again` where its holder may take it once more."""

    def __init__(self, callers, again=False):
        self.callers, self.again, self.holders = callers, again, []

    def acquire(self, blocking=True, timeout=-1):
        """Whether it was got; one who would wait for it, however long, is broken off."""
        self.callers.meanwhile("at the first lock")
        if self.holders and not (self.again and self._is_owned()):
            if blocking:
                raise Waits
            return False
        self.holders.append(self.callers.calling)
        return True

    def release(self):
        """Give it back; whoever was broken off before it had it has nothing to give."""
        if not self.holders:
            raise RuntimeError("release unlocked lock")
        if self._is_owned():
            self.holders.pop()

    def locked(self):
        """Whether somebody has it."""
        return bool(self.holders)

    def _is_owned(self):  # as `threading.Condition` asks
        return self.callers.calling in self.holders

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *error):
        self.release()


class Local:
    """Attributes that each caller has for itself."""

    def __init__(self, callers):
        vars(self).update(_callers=callers, _own={})

    def __getattr__(self, name):
        try:
            return self._own[self._callers.calling, name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self._own[self._callers.calling, name] = value


@contextlib.contextmanager
def played(function):
    """:class:`Callers` that take turns. Meanwhile `function` finds their locks where it looks for those of threads."""
    callers, here = Callers(), threading.get_ident()
    made = {
        "Lock": lambda: Lock(callers),
        "RLock": lambda: Lock(callers, again=True),
        "_allocate_lock": lambda: Lock(callers),
        "local": lambda: Local(callers),
    }
    originals = {name: getattr(threading, name) for name in made}
    # Where there are threads, as in a test, the others keep theirs.
    parts = {name: lambda name=name: (made if threading.get_ident() == here else originals)[name]() for name in made}
    kinds = {type(originals["Lock"]()): "Lock", type(originals["RLock"]()): "RLock"}

    def stand_in(value):
        if type(value) in kinds:
            return parts[kinds[type(value)]]()
        return next((parts[name] for name, original in originals.items() if value is original), value)

    names = getattr(function, "__globals__", None) or getattr(getattr(function, "__init__", None), "__globals__", {})
    with _put(names, {name: stand_in(value) for name, value in names.items()}), _put(vars(threading), parts):
        yield callers


@contextlib.contextmanager
def _put(names, others):
    """Other values for some names for a while."""
    before = {name: names[name] for name in others}
    names.update(others)
    try:
        yield
    finally:
        names.update(before)
