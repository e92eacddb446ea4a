"""Exercise 12.4: a value that is built on first touch, once, whoever comes."""

import contextlib
import itertools
import threading
import time

from cllm_lib.browser import in_browser
from cllm_lib.workbook.exercises.by_turns import Waits, played
from cllm_lib.workbook.exercises.machinery import NotYet, brief, run

PATIENCE = 3.0  # seconds after which threads that have not come back count as stuck


def lazy(build):
    """Reference: a lock around the look and the building, so that the second thread looks again when its turn comes."""
    lock, kept = threading.Lock(), []

    def get():
        with lock:
            if not kept:
                kept.append(build())
        return kept[0]

    return get


class _Broken(Exception):
    """What a build of the check raises on purpose."""


def examine_lazy(answer):
    """Count how often it builds: when it is made, when one touches it twice, when many touch it at once, and after a failure."""
    with played(answer) if in_browser() else contextlib.nullcontext(Threads()) as callers:
        _examine_alone(answer, callers)
        _examine_many(answer, callers)
        _examine_odd_builds(answer, callers)
        _examine_one_in_another(answer, callers)
    return "The page keeps the program's lattice in your lazy value."


def _examine_alone(answer, callers):
    calls = []

    def build():
        calls.append(None)
        return len(calls)

    get = run(answer, build)
    if calls:
        raise NotYet("it called build at once, when `lazy` was called. Nothing may be computed before the first touch, `get()`.")
    if get is None:
        raise NotYet("it returned None. The inner function is what should come back: return get.")
    if not callable(get):
        raise NotYet(f"it returned {brief(get)}; a function was asked for, which returns the value when it is called.")
    first, second = (_touched(callers, get, 1)[0] for _ in range(2))
    if first is None:
        raise NotYet("the function that came back returns None. Is there a `return` in it?")
    if callable(first):
        raise NotYet("the function that came back returns build itself. Call it: build().")
    if len(calls) > 1:
        calls.clear()
        again = run(answer, build)
        _touched(callers, lambda: (again(), again()), 1)
        if len(calls) == 1:
            raise NotYet("each thread builds its own: two touches in one thread share a value, and a second thread builds anew.")
        raise NotYet("each touch builds anew. Build once, and keep what the first touch built.")
    if first != 1 or second != 1:
        raise NotYet(f"build returned 1, and the touches gave {brief(first)} and {brief(second)}.")
    other = run(answer, lambda: "another")
    if _touched(callers, other, 1) != ["another"]:
        raise NotYet("two lazy values share one memory: the second gave what the first had built. Keep the value inside `lazy`.")


def _examine_many(answer, callers):
    for threads, arrival in itertools.product((2, 8), callers.arrivals):
        building = []

        def slow_build(building=building):
            building.append(None)
            callers.meanwhile()
            return object()

        values = _touched(callers, run(answer, slow_build), threads, arrival)
        if len(building) > 1:
            raise NotYet(
                f"{threads} threads touched it at once, and build ran {len(building)} times. While one builds, the others look too, "
                "and find nothing yet: hold one lock around look and build."
            )
        if any(value is not values[0] for value in values):
            other = next(value for value in values if value is None or value is not values[0])
            got = "None" if any(value is None for value in values) else f"something of type {type(other).__name__}"
            raise NotYet(f"{threads} threads touched it at once, and some got {got} before it was there. They have to wait.")


def _examine_odd_builds(answer, callers):
    calls = []
    get = run(answer, lambda: calls.append(None))  # a build may return None
    _touched(callers, get, 1), _touched(callers, get, 1)
    if len(calls) > 1:
        raise NotYet("a build that returns None ran twice. None can be a value: remember *that* it was built, in a list or with a flag.")
    attempts = []

    def fails_once():
        attempts.append(None)
        if len(attempts) == 1:
            raise _Broken("no disk")
        return "built"

    get = run(answer, fails_once)
    outcome = _touched(callers, get, 1)[0]
    if not isinstance(outcome, _Broken):
        raise NotYet("build raised an error, and the touch did not pass it on. Whoever touches has to hear of it.")
    if _touched(callers, get, 1) != ["built"]:
        raise NotYet("after a build that failed, the next touch did not try again. Mark it as built only when it is.")


def _examine_one_in_another(answer, callers):
    """A build may touch another lazy value, as a table does that is made of another table."""
    inner = run(answer, lambda: "inner")
    outer = run(answer, lambda: ("outer", inner()))
    try:
        found = _touched(callers, outer, 1)
    except NotYet:
        raise NotYet(
            "a build that touches another lazy value never came back: both wait for one lock. "
            "Make the lock inside `lazy`, one for each value."
        ) from None
    if found != [("outer", "inner")]:
        raise NotYet(f"a build touched another lazy value, and the touch gave {brief(found[0])}.")


def _touched(callers, get, *arguments):
    """What each of several callers gets when all touch at the same moment: values, or a build's own errors."""
    results = callers.touch(get, *arguments)
    if any(isinstance(result, Waits) for result in results):
        raise NotYet("a touch never came back. Does somebody hold the lock for ever? `with lock:` gives it back, even after an error.")
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, _Broken):
            raise NotYet(f"a touch raised {type(result).__name__}: {result}.")
    return results


class Threads:
    """Callers that are threads."""

    arrivals = ("at the build",)

    def meanwhile(self):
        """A pause, long enough for all others to arrive."""
        time.sleep(0.05)

    def touch(self, get, threads, arrival="at the build"):
        """What each caller gets: a value, or what was raised, :class:`Waits` if it waits for ever.

        Threads of their own, even for one touch: a lock that is never given back would hold up the notebook for ever.
        """
        barrier, results = threading.Barrier(threads), [Waits()] * threads

        def touch(i):
            barrier.wait()
            try:
                results[i] = get()
            except BaseException as error:  # handed over to whoever waits below
                results[i] = error

        workers = [threading.Thread(target=touch, args=(i,), daemon=True) for i in range(threads)]
        for worker in workers:
            worker.start()
        deadline = time.monotonic() + PATIENCE
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        return results
