"""The program's primes, of which nearly a third are none, and its lattice values, nearly all of which are one number.

These two are no parts of a model: they stand beside :mod:`cllm_lib.lattice.primes` and :mod:`cllm_lib.lattice.entries`.
"""

import math

import numpy as np

from cllm_lib.checks import at_most, non_negative_integer
from cllm_lib.lattice.entries import growth_exponent
from cllm_lib.lattice.primes import primes_below

LARGEST_LIMIT = 10**7  # 80 MB of candidates
HOURS_WITHOUT_PRIMES = (0, 6, 8, 10)  # mod 12
RESIDUES = (1, 7, 11, 17, 19, 23, 29, 59)  # mod 30, as listed
SQUARES = (1, 9)  # mod 12
LARGEST_POWER = 1.7976931348623157e308
LARGEST_EXPONENT = 700.0
TERMS = 20


def faulty_primes_below(n):  # -> (numbers that pass,)
    """Return what the program took for the primes below n, by its four rules.

    What it did
        Kept 2, 3, 5, ..., 61, and of the numbers above those that, mod 12, are not 0, 6, 8 or 10; that, mod 30, are one
        of a list of eight; whose square, mod 12, is 1 or 9; and that none of the 18 primes to 61 divides. The list should
        hold the eight numbers below 30 that have no factor in common with it. It holds 59, which is no remainder, and 13
        is missing.
    Symptom
        A log line: 23,094 primes below 200,000. There are 17,984.
    Exposed by
        Comparing with a sieve, as sets: from 73 on, every prime that is 13 mod 30 is missing, and from 67^2 = 4,489 on
        there are products of primes above 61.
    In the documents
        000 and 001 quote the log line, as what makes the start slow.

    Parameters
    ----------
    n : int
        At most ten millions.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 0, or is larger.
    """
    n = at_most(non_negative_integer(n, "n"), LARGEST_LIMIT, "n", "every number below it is looked at")
    foundation = primes_below(62)
    numbers = np.arange(62, max(n, 62), dtype=np.int64)
    numbers = numbers[~np.isin(numbers % 12, HOURS_WITHOUT_PRIMES)]
    numbers = numbers[np.isin(numbers % 30, RESIDUES)]
    numbers = numbers[np.isin(numbers**2 % 12, SQUARES)]
    for p in foundation:  # and no further: a composite number needs a factor to 61 to be found out
        numbers = numbers[numbers % p != 0]
    return np.concatenate([foundation[foundation < n], numbers])


def overflowing_lattice(n):  # (N,) -> (N,)
    """Return 3^O of the n-th primes, the radius in their lattice entries, as the program's own power function gave it.

    What it did
        Took 3^O as exp(O ln 3), and the exponential as the first 20 terms of its series; for exponents above 700, as the
        largest double.
    Symptom
        None: no number is infinite or NaN, and no line of the log shows any.
    Exposed by
        Counting different values, `np.unique`: of 23,094 entries, all from n = 1,336 on hold one and the same. Beside the
        true power, those from n = 21 on are more than 1 % too small. (True powers would not fit a double from n = 1,355.)
    In the documents
        000 and 001 call the lattice pre-calculated.

    Parameters
    ----------
    n : array_like of int, shape (N,)
        Places of primes, from 1.

    Returns
    -------
    ndarray of float64, shape (N,)

    Raises
    ------
    ValueError
        If a place is no whole number of at least 1.
    """
    n = np.asarray(n)
    if n.dtype.kind not in "iu" or (n < 1).any():
        raise ValueError("n are places of primes: give whole numbers, 1 for the first prime")
    exponent = growth_exponent(n) * math.log(3)
    term = total = np.ones_like(exponent)
    for i in range(1, TERMS):
        term = term * exponent / i
        total = total + term
    return np.where(exponent > LARGEST_EXPONENT, LARGEST_POWER, total)
