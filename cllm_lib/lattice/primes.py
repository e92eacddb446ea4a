"""Primes: those below a number, how many there are, and what a number is made of."""

import math

import numpy as np

from cllm_lib.checks import at_most, non_negative_integer, positive_integer

LARGEST_SIEVE = 10**9  # its 51 million primes take 0.4 GB
LARGEST_COUNT = 10**12  # about a second
LARGEST_TABLE = 10**8  # 0.8 GB
MOST_FIRST_PRIMES = 40_000_000
LARGEST_TO_FACTORIZE = 2**52  # its root is 67 million, which a sieve reaches in a fraction of a second
SEGMENT = 1 << 20  # flags: what is struck over and over should stay in the processor's cache


def primes_below(n):  # -> (number of primes below n,)
    """Sieve of Eratosthenes: return the primes below n, ascending.

    The sieve of Eratosthenes, of odd numbers only and a stretch at a time: flag i stands for 2 i + 1, and a prime p strikes
    every p-th flag from p^2 on, for what lies lower has a smaller factor and is struck already.

    Parameters
    ----------
    n : int
        At most a thousand millions; n itself is not among them.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 0, or is larger.

    Notes
    -----
    By stretches: Bays and Hudson 1977, "The Segmented Sieve of Eratosthenes and Primes in Arithmetic Progressions to
    10^12", BIT 17.

    >>> primes_below(20).tolist()
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    n = at_most(non_negative_integer(n, "n"), LARGEST_SIEVE, "n", "the primes below it would take gigabytes")
    return _sieve(n)


def _sieve(n):
    if n <= 2:
        return np.empty(0, dtype=np.int64)
    primes = np.empty(_no_fewer_primes(n), dtype=np.int64)
    primes[0], found = 2, 1
    strikers = _sieve(math.isqrt(n - 1) + 1)[1:]
    squares = strikers**2 // 2  # the flags of p^2
    flags = np.empty(min(SEGMENT, n // 2), dtype=bool)
    for start in range(0, n // 2, SEGMENT):
        flags = flags[: n // 2 - start]
        flags.fill(True)
        flags[0] = start > 0  # 1 is no prime
        active = np.searchsorted(squares, start + len(flags))
        ahead = squares[:active] - start
        firsts = np.where(ahead >= 0, ahead, ahead % strikers[:active])
        for p, first in zip(strikers[:active].tolist(), firsts.tolist(), strict=True):
            flags[first::p] = False
        left = flags.nonzero()[0]
        primes[found : found + len(left)] = 2 * (start + left) + 1
        found += len(left)
    primes.resize(found, refcheck=False)  # gives back the rest, without a copy
    return primes


def _no_fewer_primes(n):
    """A bound from above of how many primes there are to n, at least 2: Rosser and Schoenfeld 1962, corollary 1 of theorem 2."""
    return int(1.25506 * n / math.log(n)) + 1


def prime_count(n):
    """Prime-counting function pi(n): how many primes there are up to n, n included, without finding them.

    Start with all numbers from 2 on, and strike the multiples of 2, 3, 5, ... up to the root of n, as the sieve does, but
    keep only *how many* are left up to v, for each v that is a whole part n // i. Striking p takes away the numbers p m
    for which m has no factor below p: as many as are left up to v // p, less the primes below p. And v // p is again such
    a whole part, so nothing else need be known.

    Parameters
    ----------
    n : int
        At most a million millions.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 0, or is larger.

    Notes
    -----
    Legendre's idea of counting what a sieve leaves; in this form, of n^(3/4) steps, known as Lucy Hedgehog's (Project
    Euler, problem 10).
    """
    n = at_most(non_negative_integer(n, "n"), LARGEST_COUNT, "n", "counting would take long")
    if n < 2:
        return 0
    root = math.isqrt(n)
    quotients = np.append(0, n // np.arange(1, root + 1, dtype=np.int64))  # the v above the root, by i
    low = np.arange(-1, root, dtype=np.int64)  # how many are left up to v, for v = 0 to root
    high = quotients - 1  # and up to n // i, for i = 1 to root
    for p in _sieve(root + 1).tolist():
        before = int(low[p - 1])
        changed = min(root, n // p**2)  # where v >= p^2: a smaller v loses nothing
        within = min(changed, root // p)  # (n // i) // p = n // (i p), which is among the high ones as far as this
        from_high = high[p : within * p + 1 : p] - before
        from_low = low[quotients[within + 1 : changed + 1] // p] - before
        high[1 : within + 1] -= from_high
        high[within + 1 : changed + 1] -= from_low
        low[p**2 :] -= low[np.arange(min(p**2, root + 1), root + 1, dtype=np.int64) // p] - before
    return int(high[1])


def first_primes(count):  # -> (count,)
    """Return the first primes, as many as are asked for.

    Parameters
    ----------
    count : int
        At most 40 millions.

    Returns
    -------
    ndarray of int64, shape (count,)

    Raises
    ------
    ValueError
        If `count` is not a whole number of at least 0, or is larger.

    Notes
    -----
    The k-th prime lies below k (ln k + ln ln k) for k >= 6: Rosser and Schoenfeld 1962, "Approximate Formulas for Some
    Functions of Prime Numbers", corollary of theorem 3.

    >>> first_primes(5).tolist()
    [2, 3, 5, 7, 11]
    """
    count = at_most(non_negative_integer(count, "count"), MOST_FIRST_PRIMES, "count", "so many primes would take gigabytes")
    k = max(count, 6)
    return _sieve(math.ceil(k * (math.log(k) + math.log(math.log(k)))))[:count]


def smallest_factors(n):  # -> (n,)
    """Smallest prime factors: a table whose entry m is the smallest prime that divides m, for m from 0 to n - 1.

    A prime is its own entry, which makes the table a test of primality too; 0 and 1 have no prime factor that would be the
    smallest, and hold themselves.

    Parameters
    ----------
    n : int
        At most a hundred millions.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 0, or is larger.

    >>> smallest_factors(10).tolist()
    [0, 1, 2, 3, 2, 5, 2, 7, 2, 3]
    """
    table = np.arange(_checked_table(n), dtype=np.int64)
    for p in _sieve(math.isqrt(len(table)) + 1)[::-1].tolist():
        table[p * p :: p] = p  # descending: the smallest has the last word
    return table


def count_prime_factors(n):  # -> (n,)
    """Return a table whose entry m says of how many primes m is the product, equal ones counted: Omega(m).

    Parameters
    ----------
    n : int
        At most a hundred millions; the table is of 0 to n - 1.

    Returns
    -------
    ndarray of int64, shape (n,)
        1 for primes, 2 for 4, 6, 9, ..., and 0 for 1. For 0, which is no product of primes, 0 too.

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 0, or is larger.

    >>> count_prime_factors(10).tolist()
    [0, 0, 1, 1, 2, 1, 2, 1, 3, 2]
    """
    rest = np.arange(_checked_table(n), dtype=np.int64)
    counts = np.zeros_like(rest)
    for p in _sieve(math.isqrt(len(rest)) + 1).tolist():
        power = p
        while power < len(rest):
            counts[power::power] += 1
            rest[power::power] //= p
            power *= p
    counts[rest > 1] += 1  # above the root of m there is room for one prime
    return counts


def factorize(n):
    """Return the primes whose product n is, with their exponents.

    By trial division: a composite number has a prime factor that does not pass its root.

    Parameters
    ----------
    n : int
        From 1 to 2^52.

    Returns
    -------
    dict of int to int
        Ascending; empty for 1.

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 1, or is larger.

    >>> factorize(360)
    {2: 3, 3: 2, 5: 1}
    """
    n = at_most(positive_integer(n, "n"), LARGEST_TO_FACTORIZE, "n", "trial division would take long")
    primes = _sieve(math.isqrt(n) + 1)
    factors = {}
    for p in primes[n % primes == 0].tolist():
        factors[p] = 0
        while n % p == 0:
            n //= p
            factors[p] += 1
    return factors | ({n: 1} if n > 1 else {})


def _checked_table(n):
    return at_most(non_negative_integer(n, "n"), LARGEST_TABLE, "n", "the table would take gigabytes")
