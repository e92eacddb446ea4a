"""The lattice entry of each prime, and a cache of them that computes nothing before it is asked.

The program gave every prime 64 bytes of numbers and computed them all when it started. Its formulas, for the n-th prime:

    O = (n - 1) (pi / 6) / ln 3 + log3 nu + k pi (1 + sqrt 5)
    theta = k pi (1 + sqrt 5) + 2 pi n / 12 + log3 nu + w / 432 + (p^2 - q^2)
    L = 3^O (-1)^k nu log2(pi(d) / d) cos(theta phi_1) ... cos(theta phi_d)

with the same k, nu, w, p, q and d for all; so nothing in an entry but the prime itself depends on the prime, only on its
place n. 3^O does not fit a float from n = 1,355 on. Here everything that grows with it is kept as its logarithm.
"""

import math
import threading

import numpy as np

from cllm_lib.browser import in_browser, no_threads
from cllm_lib.checks import at_most, non_negative_integer
from cllm_lib.lattice.primes import prime_count, primes_below

LATTICE_ENTRY = np.dtype(
    [
        ("p", np.int64),  # the prime
        ("n", np.int64),  # its place: 1 for 2, 2 for 3, ...
        ("O", np.float64),
        ("theta", np.float64),
        ("L", np.float64),  # ln |L|
        ("radius", np.float64),  # ln 3^O
        ("angle", np.float64),  # theta, whole turns taken off
        ("sign", np.int32),  # of L
    ],
    align=True,  # as C lays out a struct: four bytes of padding at the end
)
K, NU, W, P, Q, D = 0, 3, 432, 3, 4, 12
PHI = (3.3, 7.3, 31.3, 1.2, 19.8, 11.3, 13.3, 17.3, 23.3, 29.3, 31.3, 59.3)  # as adjusted: + 0.3, but 12 / 10 for 12
LARGEST_LIMIT = 10**8  # 0.4 GB of entries


def growth_exponent(n):  # (N,) -> (N,)
    """Exponent O of the n-th prime: the lattice value grows like 3^O."""
    return (n - 1) * (math.pi / 6) / math.log(3) + math.log(NU, 3) + K * math.pi * (1 + math.sqrt(5))


def clock_angle(n):  # (N,) -> (N,)
    """Angle theta of the n-th prime, in radians: each prime stands an hour further on a clock of twelve."""
    return K * math.pi * (1 + math.sqrt(5)) + n * (2 * math.pi / 12) + math.log(NU, 3) + W / 432 + (P**2 - Q**2)


def build_lattice(primes):  # (N,) -> (N,)
    """Compute the lattice entries of the first primes, all at once.

    Parameters
    ----------
    primes : array_like of int, shape (N,)
        From 2 on, ascending: the n of an entry is its place among them. They are taken as they are, prime or not.

    Returns
    -------
    ndarray of LATTICE_ENTRY, shape (N,)
        64 bytes each. `L` and `radius` are natural logarithms, of |L| and 3^O; `sign` is that of L.

    Raises
    ------
    ValueError
        If `primes` are no sequence of integers.

    Notes
    -----
    The formulas stand at the top of this module; the values of phi are those of the program.
    """
    primes = np.asarray(primes)
    if primes.ndim != 1 or primes.dtype.kind not in "iu":
        raise ValueError(f"primes have shape {primes.shape} and dtype {primes.dtype}: give one row of integers, such as primes_below(100)")
    entries = np.zeros(len(primes), dtype=LATTICE_ENTRY)
    n = np.arange(1, len(primes) + 1, dtype=np.int64)
    theta = clock_angle(n)
    factor = np.full(len(primes), (-1) ** K * NU * math.log2(prime_count(D) / D))
    for phi in PHI[:D]:
        factor *= np.cos(theta * phi)
    entries["p"], entries["n"], entries["theta"] = primes, n, theta
    entries["O"] = growth_exponent(n)
    entries["radius"] = entries["O"] * math.log(3)
    entries["L"] = entries["radius"] + np.log(np.abs(factor))
    entries["angle"] = theta % (2 * math.pi)
    entries["sign"] = np.sign(factor)
    return entries


class LatticeCache:
    """The lattice entries of all primes below a limit, computed when they are first touched.

    However many threads touch it first, one of them builds and the others wait for it.

    Parameters
    ----------
    limit : int
        At most a hundred millions.
    sieve : callable
        From the limit to the primes below it; :func:`~cllm_lib.lattice.primes.primes_below`, or one to compare with.

    Raises
    ------
    ValueError
        If `limit` is not a whole number of at least 0, or is larger.

    >>> cache = LatticeCache(100)
    >>> cache.is_built, len(cache.entries), cache.is_built
    (False, 25, True)
    """

    def __init__(self, limit=200_000, sieve=primes_below):
        self.limit = at_most(non_negative_integer(limit, "limit"), LARGEST_LIMIT, "limit", "the entries would take gigabytes")
        self.sieve = sieve
        self._lock = threading.Lock()
        self._entries = None
        self._failure = None

    @property
    def is_built(self):
        """Whether the entries are there already. Looking does not build them."""
        return self._entries is not None

    @property
    def entries(self):  # -> (N,)
        """The entries, read-only; see :func:`build_lattice`.

        What went wrong in the background since the last touch is raised here, once; the touch after that tries anew.
        """
        if self._entries is None:
            with self._lock:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                self._build()
        return self._entries

    def warm_up(self):
        """Start building in a thread that ends when it is done, and return that thread at once.

        Who touches the entries in the meantime waits for them no longer than without it.

        Raises
        ------
        NotInABrowser
            There no thread can start.
        """
        if in_browser():
            raise no_threads("warm_up", "touch `entries`, which builds them then")
        thread = threading.Thread(target=self._build_aside, name="lattice cache")
        thread.start()
        return thread

    def _build_aside(self):
        with self._lock:
            try:
                self._build()
            except Exception as failure:  # a thread has nobody to raise it to: the next touch does
                self._failure = failure

    def _build(self):  # the caller holds the lock
        if self._entries is None:
            entries = build_lattice(self.sieve(self.limit))
            entries.flags.writeable = False  # all threads share them
            self._entries = entries
