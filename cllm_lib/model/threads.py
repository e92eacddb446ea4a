"""Threads of BLAS, the library behind NumPy's matrix products: one for a small model, all there are for a large one."""

import contextlib
import functools

MANY = 1_000_000  # parameters: with fewer, a second thread gains little, and costs much beside a busy program


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
    if size >= MANY:
        return contextlib.nullcontext()
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller():
    """Finding the libraries that are loaded takes a quarter of a millisecond: once is enough, for NumPy's does not change."""
    from threadpoolctl import ThreadpoolController  # here, not above: `import cllm_lib` shall stay light

    return ThreadpoolController()
