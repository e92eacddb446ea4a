"""Threads of BLAS, the library behind NumPy's matrix products: one for a small model, all for a large one, or the quicker by measuring."""

import contextlib
import functools
import time

from cllm_lib.browser import in_browser

MANY = 1_000_000  # parameters: with fewer, a second thread gains little, and costs much beside a busy program
TRIALS = 3  # steps with each number of threads, of which the quickest counts
BETWEEN = 60  # steps before the next trial
FAR_SLOWER = 2.0  # times the other's: one such step is trial enough


def threads_for(size):
    """A context in which BLAS computes in one thread, if the model is small; otherwise nothing is changed.

    Two threads end a product together. Where another program keeps a processor busy, one of them waits for its turn, some
    milliseconds, at every product: some steps of a millisecond then take a hundred. Measured in evidence/pages/BUSY.md. One thread
    adds in the same order on every machine, so that a small model learns the same to the last bit however many processors
    there are.

    Parameters
    ----------
    size : int
        Number of parameters.

    Returns
    -------
    context manager
        Entering and leaving it takes a few microseconds.
    """
    return contextlib.nullcontext() if size >= MANY else _limited(1)


def one_thread():
    """A context in which each BLAS that is loaded by now computes in one thread, whatever the model's size."""
    if in_browser():
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits  # here, not above: `import cllm_lib` shall stay light

    return threadpool_limits(limits=1, user_api="blas")


class QuickerThreads:
    """As many threads of BLAS as made a step quicker of late: one, or all there are.

    A step that goes through hundreds of megabytes of weights once, as a model does for a single token, waits for memory more
    than for arithmetic. A second thread may halve its time, or, where other programs keep the processors busy, multiply it. So
    both are tried, three steps each, and again after sixty, or sooner where steps with all threads have become far slower. What
    is computed is the same to rounding.

    Parameters
    ----------
    clock : callable
        Seconds; for tests.

    Attributes
    ----------
    chosen : int
        How many threads were quicker; one before that was tried.
    is_tried : bool
        Whether it was.
    """

    def __init__(self, clock=time.perf_counter):
        self.clock, self.left, self.chosen, self.is_tried = clock, 0, 1, False
        self.seconds, self.usual, self.slow = {}, 0.0, 0

    def run(self, step, *arguments):
        """Take a step, and return what it returns."""
        threads = self._next()
        with _limited(threads):
            started = self.clock()
            found = step(*arguments)
            self._note(threads, self.clock() - started)
        return found

    def as_chosen(self):
        """A context in which BLAS computes in as many threads as were quicker, for what is no step of that kind."""
        return _limited(self.chosen)

    def _next(self):
        """How many threads the next step takes."""
        if self.left:
            return self.chosen
        if not self.seconds:
            self.seconds = {threads: [] for threads in (1, max(blas_threads(), default=1))}
        return next(threads for threads, seconds in self.seconds.items() if len(seconds) < TRIALS)

    def _note(self, threads, seconds):
        """Keep how long a step took, and choose when each number of threads has had its trial."""
        if self.left:
            self.slow = self.slow + 1 if threads > 1 and seconds > FAR_SLOWER * self.usual else 0
            self.left = 0 if self.slow == TRIALS else self.left - 1
            return
        self.seconds[threads].append(seconds)
        best = {threads: min(tried) for threads, tried in self.seconds.items() if tried}
        far_slower = threads > 1 and seconds > FAR_SLOWER * best[1]
        if far_slower or all(len(tried) == TRIALS for tried in self.seconds.values()):
            self.chosen = 1 if far_slower else min(best, key=best.get)
            self.left, self.is_tried, self.seconds, self.usual, self.slow = BETWEEN, True, {}, best[self.chosen], 0


def blas_threads():
    """In how many threads each BLAS that is loaded computes now. In a browser there is none."""
    if in_browser():
        return set()
    return {library["num_threads"] for library in _controller().info() if library["user_api"] == "blas"}


def _limited(threads):
    """A context in which BLAS computes in so many threads; nothing where there is no BLAS, in a browser."""
    return contextlib.nullcontext() if in_browser() else _controller().limit(limits=threads, user_api="blas")


@functools.cache
def _controller():
    """Finding the libraries that are loaded takes a quarter of a millisecond: once is enough, for NumPy's does not change."""
    from threadpoolctl import ThreadpoolController  # here, not above, as in :func:`one_thread`

    return ThreadpoolController()
