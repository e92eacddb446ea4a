"""Exercises of 12_the_primes_of_a_log."""

import math
import operator
from collections.abc import KeysView

import numpy as np

from cllm_lib.workbook.exercises.first_touch import examine_lazy, lazy
from cllm_lib.workbook.exercises.forms import as_ids
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, Unexplained, brief, call, number, shown
from cllm_lib.workbook.exercises.patience import processor_time

N_OF_THE_PAGE = 200_000
SLOW = 0.1  # seconds for the primes below 20,000: a sieve takes a thousandth, the page goes on to 200,000


def count_bet(answer):
    """A prediction: how many primes lie below 200,000?"""
    if answer is None or isinstance(answer, bool):
        raise NotYet(f"your count is {answer}; a number was asked for, such as 20_000.")
    value = number(answer, "your count")
    if not 0 <= value < 200_000:
        raise NotYet(f"{value:,.0f} is no count of numbers below 200,000: write one from 0 to 199,999.")
    if value < 1:
        raise NotYet("that reads like a share. How many are they, of 200,000?")
    return f"{value:,.0f}, or one number in {200_000 / value:.1f}. A sieve will count them."


# Lists of numbers


def _numbers(result, what):
    """The whole numbers in what a reader's function returned, as a list; anything else is named."""
    if isinstance(result, (set, frozenset)):
        raise NotYet(f"{what} is a set, which has no order; they were asked for ascending: sorted(...) makes a list.")
    if isinstance(result, tuple) and len(result) == 1 and isinstance(result[0], np.ndarray):
        raise NotYet(f"{what} is a tuple with one array in it, as np.where and np.nonzero return it: take [0].")
    try:
        array = np.asarray(list(result) if isinstance(result, (tuple, list, range, KeysView)) else result)
    except ValueError:
        raise NotYet(f"{what} is ragged; one row of numbers was asked for.") from None
    if array.dtype == bool:
        raise NotYet(f"{what} is a row of flags, True or False. Which numbers are True? np.flatnonzero tells.")
    if array.ndim != 1:
        raise NotYet(f"{what} has shape {array.shape} and is a {type(result).__name__}; one row of numbers was asked for.")
    if array.dtype == object:
        array = _unboxed(array)
    if array.size and array.dtype.kind not in "iuf":
        raise NotYet(f"{what} holds {brief(array.tolist()[0])}; whole numbers were asked for.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotYet(f"{what} holds NaN or infinity; whole numbers were asked for.")
    if array.dtype.kind == "f" and (array != np.rint(array)).any():
        raise NotYet(f"{what} holds {shown(float(array[array != np.rint(array)][0]))}; whole numbers were asked for.")
    return [int(value) for value in array.tolist()]


def _unboxed(array):
    """Whole numbers that Python or SymPy keeps as objects, as NumPy's own; anything else as it is."""
    try:
        return np.array([operator.index(value) for value in array.tolist()], dtype=np.int64)
    except (TypeError, OverflowError):
        return array


def _smallest_divisor(m):
    return next((d for d in range(2, math.isqrt(m) + 1) if m % d == 0), m)


def sieve(n):
    """Reference: Eratosthenes' sieve, a flag for each number below n."""
    flags = np.ones(n, dtype=bool)
    flags[:2] = False
    for p in range(2, math.isqrt(max(n - 1, 0)) + 1):
        if flags[p]:
            flags[p * p :: p] = False
    return np.flatnonzero(flags)


def examine_sieve(answer):
    """Against trial division; at the squares, where a sieve that stops too early lets them through, and at 0, 1 and 2.

    Whoever divides by everything is right, and is told what that costs before the next cell asks for ten times as many numbers;
    who is quick is asked for these here.
    """
    for n in (30, 31, 50, 122, 1000, *range(130), 20_000):
        started = processor_time()
        result = call(answer, n)
        seconds = processor_time() - started  # a busy machine makes nobody slow
        _compare_primes(_numbers(result, f"sieve({n})"), [m for m in range(2, n) if _smallest_divisor(m) == m], n)
    if seconds > SLOW:
        return (
            f"But sieve({n:,}) took {seconds:.1f} s, and the next cell goes ten times as far: that may take a minute or more. "
            "Striking multiples takes milliseconds."
        )
    try:
        large = call(answer, N_OF_THE_PAGE)
    except NotYet as reason:
        if "had not come back" not in str(reason):
            raise
        return f"But sieve({N_OF_THE_PAGE:,}), which the next cell asks for, takes more than some seconds. Striking takes milliseconds."
    _compare_primes(_numbers(large, f"sieve({N_OF_THE_PAGE})"), sieve(N_OF_THE_PAGE).tolist(), N_OF_THE_PAGE)
    return None


def _compare_primes(seen, right, n):
    """Nothing if they are the same; otherwise say of one number why it does not belong, or is missing."""
    if seen == right:
        return
    strangers, missing = sorted(set(seen) - set(right)), sorted(set(right) - set(seen))
    if not strangers and not missing:
        raise NotYet(f"sieve({n}) holds {'some numbers twice' if len(seen) > len(right) else 'the right numbers, but not ascending'}.")
    if seen and set(seen) == set(range(n)) - set(right) - {0, 1}:
        raise NotYet(f"sieve({n}) holds just the numbers that are struck, {seen[:3]} ...; those that are left are the primes.")
    if not strangers:
        if missing == [n - 1]:
            raise NotYet(f"sieve({n}) lacks {n - 1}, the last number below {n}. Your list ends one too early.")
        if missing == right[: len(missing)] and len(missing) <= 2 < len(right):
            raise NotYet(f"sieve({n}) lacks {missing[0]}. Your list begins too late: 2 is the first prime, and the only even one.")
        raise Unexplained(f"sieve({n}) lacks {missing[0]}.", "Nothing divides it: strike from p * p on, or 2 * p, but never p itself.")
    if strangers[0] < 2:
        raise NotYet(f"sieve({n}) holds {_why_no_prime(strangers[0], n)}")
    if n > 9 and set(range(3, n, 2)) <= set(seen) <= {2, *range(3, n, 2)}:
        raise NotYet(f"sieve({n}) holds 9 = 3 x 3, and all that is odd: only multiples of 2 were struck. Go on with 3, 5, ...")
    if strangers[0] == 8:
        raise NotYet(f"sieve({n}) holds {_why_no_prime(8, n)} Did you strike twice each prime only? 3 p, 4 p, ... are multiples, too.")
    raise Unexplained(f"sieve({n}) holds {_why_no_prime(strangers[0], n)}", "Strike with all primes to the root of n, itself too.")


def _why_no_prime(m, n):
    if m >= n:
        return f"{m}{' itself' if m == n else ''}; the primes *below* {n} were asked for."
    if m < 2:
        return f"{m}. A prime has exactly two divisors, 1 and itself; 0 and 1 are none."
    d = _smallest_divisor(m)
    return f"{m} = {d} x {m // d}, which is no prime."


# The program's rules

_FOUNDATION = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)
_BREAKS = {
    1: lambda m: m % 12 in (0, 6, 8, 10),
    2: lambda m: m % 30 not in (1, 7, 11, 17, 19, 23, 29, 59),
    3: lambda m: m * m % 12 not in (1, 9),
    4: lambda m: any(m % p == 0 for p in _FOUNDATION),
}


def program_primes(n):
    """Reference: the 18 primes, and above them what rules 1 to 4 let through."""
    built_in = np.array(sieve(62), dtype=np.int64)
    m = np.arange(62, max(n, 62), dtype=np.int64)
    m = m[~np.isin(m % 12, [0, 6, 8, 10])]
    m = m[np.isin(m % 30, [1, 7, 11, 17, 19, 23, 29, 59])]
    m = m[np.isin(m**2 % 12, [1, 9])]
    for p in built_in:
        m = m[m % p != 0]
    return np.concatenate([built_in[built_in < n], m])


def examine_program_primes(answer):
    """Against the rules, number by number, in plain Python."""
    last = 50_000  # squares of more than 32 bits
    everything = [m for m in range(2, last) if (m in _FOUNDATION if m <= 61 else not any(breaks(m) for breaks in _BREAKS.values()))]
    for n in (4600, 4489, 62, 63, 20, 0, *range(100), 12_000, last, N_OF_THE_PAGE):
        right = [m for m in everything if m < n] if n <= last else program_primes(n).tolist()
        seen = _numbers(call(answer, n), f"program_primes({n})")
        if seen == right:
            continue
        what, given, wanted = f"program_primes({n})", set(seen), set(right)
        if n > 100 and seen == [m for m in range(2, n) if _smallest_divisor(m) == m]:
            raise NotYet(
                f"{what} holds the true primes. Be as the program is: rule 2's list has no 13, and rule 4 divides by 18 primes only."
            )
        if given == wanted:
            raise NotYet(f"{what} holds the right numbers, but not ascending, or some of them twice.")
        strangers, missing = sorted(given - wanted), sorted(wanted - given)
        if strangers:
            turned = n > 100 and not any(m > 61 for m in given & wanted)
            more = " None of those that it lets through is there: is it turned round?" if turned else ""
            raise NotYet(f"{what} holds {strangers[0]}{_thrown_out(strangers[0], n)}.{more}")
        m, d = missing[0], _smallest_divisor(missing[0])
        if m * m >= 2**31 and n > 12_000:
            raise Unexplained(f"{what} lacks {m}.", "Its square has more than 31 bits: np.arange(..., dtype=np.int64).")
        if m <= 61:
            raise Unexplained(f"{what} lacks {m}.", "The numbers to 61 pass no rules: the 18 primes are built in.")
        if d < m:
            raise NotYet(
                f"{what} lacks {m} = {d} x {m // d}. The program would not notice: it divides by the 18 primes to 61 and no others."
            )
        if n > 100 and max(given) <= 61:
            raise NotYet(f"{what} holds nothing above 61: the rules throw out everything. Is one of them turned round?")
        if len({one % 30 for one in missing}) == 1 < len(missing):
            raise NotYet(f"{what} lacks {m}, and all that is {m % 30} mod 30: rule 2's list holds {m % 30}.")
        raise Unexplained(f"{what} lacks {m}, which no rule throws out: {m} mod 12 = {m % 12}, mod 30 = {m % 30}.")


def _thrown_out(m, n):
    """Why the program does not have a number, as the end of a sentence."""
    if m >= n:
        return f"{' itself' if m == n else ''}; the numbers *below* {n} were asked for"
    if m <= 61:
        return "; to 61 there are the 18 built-in primes and nothing else"
    rule, d = next(rule for rule, breaks in _BREAKS.items() if breaks(m)), _smallest_divisor(m)
    shows = {1: f", which is {m % 12} mod 12", 2: f", which is {m % 30} mod 30", 3: f", whose square is {m * m % 12} mod 12"}
    return f"{shows.get(rule, f' = {d} x {m // d}')}, and rule {rule} throws that out"


EXERCISES = {
    "12.1": Exercise(None, count_bet, bet=True),
    "12.2": Exercise(sieve, examine_sieve, form=as_ids),
    "12.3": Exercise(program_primes, examine_program_primes, form=as_ids),
    "12.4": Exercise(lazy, examine_lazy),
}
