"""Timing side by side, fairly: each contestant in a process of its own, one after another, over and over."""

import itertools
import multiprocessing
import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Stands where a contestant's times would, when it cannot run here."""

    reason: str


@dataclass(frozen=True)
class Ratio:
    """Our times over a peer's.

    Attributes
    ----------
    ours, peer : float
        Medians over all steps, in seconds.
    value : float
        The median over the rounds of our median in a round divided by the peer's in the same round. Load that comes
        and goes meets both sides of such a pair.
    low, high : float
        Quartiles of the same.
    """

    ours: float
    peer: float
    value: float
    low: float
    high: float


def ratio(ours, peer):
    """Compare two contestants, or pass on why one is missing.

    Parameters
    ----------
    ours, peer : list of list of float, or Missing
        Seconds of each step, in rounds: both have the same number of rounds.

    Returns
    -------
    Ratio or Missing

    Raises
    ------
    ValueError
        If the rounds differ in number, or there are fewer than two.
    """
    for times in (ours, peer):
        if isinstance(times, Missing):
            return times
    if len(ours) != len(peer) or len(ours) < 2:
        raise ValueError(f"{len(ours)} rounds against {len(peer)}: a comparison needs the same number, two at least")
    rounds = [statistics.median(a) / statistics.median(b) for a, b in zip(ours, peer, strict=True)]
    low, middle, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return Ratio(*(statistics.median(itertools.chain(*times)) for times in (ours, peer)), middle, low, high)


class Worker:
    """A contestant in a process of its own, which sleeps while others run.

    Parameters
    ----------
    build : callable
        At the top level of a module, so that a new process can import it; returns the contestant.
    *arguments
        For `build`.

    Notes
    -----
    In one process the thread pools of two libraries disturb each other: idle threads spin for a while.
    """

    def __init__(self, build, *arguments):
        context = multiprocessing.get_context("spawn")  # a fork would inherit the parent's threads
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, build, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.missing = self._connection.recv()

    def call(self, name, *arguments):
        """Call a method of the contestant there, and return what it returns."""
        self._connection.send((name, arguments))
        return self._connection.recv()

    def times(self, steps):
        """Seconds of each of `steps` steps, after one that is not counted."""
        return self.call("times", steps)

    def close(self):
        """End the process."""
        self._connection.close()
        self._process.join()


def _serve(connection, build, arguments):
    try:
        contestant = build(*arguments)
    except ImportError as error:
        connection.send(Missing(f"{error.name} is not installed" if error.name else str(error)))
        return
    connection.send(None)
    try:
        while True:
            name, arguments = connection.recv()
            answer = seconds_of(contestant.step, *arguments) if name == "times" else getattr(contestant, name)(*arguments)
            connection.send(answer)
    except EOFError:
        pass  # the other side has closed


def seconds_of(step, count, clock=time.perf_counter):
    """Seconds of each of `count` calls, after one that is not counted."""
    step()
    seconds = []
    for _ in range(count):
        start = clock()
        step()
        seconds.append(clock() - start)
    return seconds


def alternate(workers, rounds, steps, pause=0.05, report=lambda done: None):
    """Let each worker take `steps` steps in turn, `rounds` times.

    Parameters
    ----------
    workers : dict of str to Worker
    rounds, steps : int
    pause : float
        Seconds before each turn, in which the idle threads of the last one fall asleep.
    report : callable
        Called with the number of rounds done.

    Returns
    -------
    dict of str to list of list of float, or to Missing
        Seconds of each step, a list for each round.
    """
    times = {name: worker.missing or [] for name, worker in workers.items()}
    present = {name: worker for name, worker in workers.items() if not worker.missing}
    for done in range(1, rounds + 1):
        for name, worker in present.items():
            time.sleep(pause)
            times[name].append(worker.times(steps))
        report(done)
    return times
