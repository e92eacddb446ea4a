"""Answers for chapter 12: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import functools
import math
import threading

import numpy as np
import sympy
from workbook.answers.common import raises, returns

from cllm_lib.defects import faulty_primes_below
from cllm_lib.lattice.primes import primes_below

BROKEN_LISTS = [
    (returns(None), "returned None"),
    (raises, "it raised KeyError"),
    (returns(float("nan")), r"shape \(\) and is a float; one row"),
    (returns([2.0, float("nan")]), "NaN or infinity"),
    (returns(np.zeros((2, 3))), r"shape \(2, 3\)"),
    (returns("2, 3, 5"), "is a str; one row"),
    (returns([[2], [3, 5]]), "is ragged"),
    (returns([2.5, 3]), "holds 2.5"),
    (lambda n: np.where(np.arange(4, dtype=np.int64) > 1), r"as np.where and np.nonzero return it: take \[0\]"),
    (lambda n: np.array(["2", 3], dtype=object), "holds '2'"),
    ([2, 3, 5], "a function was asked for"),
    (None, "a function was asked for"),
]


# 12.2


def flags_below(n, last=lambda n: math.isqrt(max(n - 1, 0)) + 1, start=lambda p: p * p):
    flags = np.ones(n, dtype=bool)
    flags[:2] = False
    for p in range(2, last(n)):
        if flags[p]:
            flags[start(p) :: p] = False
    return flags


def sieve_with(**slip):
    return lambda n: np.flatnonzero(flags_below(n, **slip))


def by_trial_division(n):
    return [m for m in range(2, n) if all(m % d for d in range(2, math.isqrt(m) + 1))]


def strikes_twice_each_only(n):
    flags = np.ones(n, dtype=bool)
    flags[:2] = False
    for p in range(2, (n + 1) // 2):
        if flags[p]:
            flags[2 * p] = False
    return np.flatnonzero(flags)


def by_every_number(n):
    return [m for m in range(2, n) if all(m % d for d in range(2, m))]


def of_sympy(n):
    return np.array([sympy.Integer(m) for m in sympy.primerange(n)], dtype=object)


def with_plain_lists(n):
    left, found = list(range(2, n)), []
    while left:
        found.append(left[0])
        left = [m for m in left if m % found[-1]]
    return tuple(found)


# 12.3

FOUNDATION = tuple(primes_below(62).tolist())
LIST = (1, 7, 11, 17, 19, 23, 29, 59)


def program(remainders=LIST, primes=FOUNDATION, first=62, built_in=FOUNDATION, last=0, kind=np.int64):
    def program_primes(n):
        m = np.arange(first, max(n + last, first), dtype=kind)
        m = m[~np.isin(m % 12, (0, 6, 8, 10)) & np.isin(m % 30, remainders) & np.isin(m * m % 12, (1, 9))]
        m = m[(m[:, None] % np.array(primes) != 0).all(axis=1)]
        return np.concatenate([[p for p in built_in if p < n], m]).astype(np.int64)

    return program_primes


def program_in_plain_python(n):
    kept = [p for p in FOUNDATION if p < n]
    for m in range(62, n):
        if m % 30 in LIST and all(m % p for p in FOUNDATION):
            kept.append(float(m))
    return kept


# 12.4


def eager(build):
    value = build()
    return lambda: value


def forgetful(build):
    return lambda: build()


def unlocked(build):
    kept = []

    def get():
        if not kept:
            kept.append(build())
        return kept[0]

    return get


def lock_around_the_building_only(build):
    lock, kept = threading.Lock(), []

    def get():
        if not kept:
            with lock:
                kept[:] = [build()]
        return kept[0]

    return get


def a_lock_of_ones_own(build):
    kept = []

    def get():
        with threading.Lock():
            if not kept:
                kept.append(build())
        return kept[0]

    return get


def flag_before_the_building(build):
    state = {"built": False, "value": None}

    def get():
        if not state["built"]:
            state["built"] = True
            state["value"] = build()
        return state["value"]

    return get


def none_means_not_yet(build):
    lock, state = threading.Lock(), {"value": None}

    def get():
        with lock:
            if state["value"] is None:
                state["value"] = build()
            return state["value"]

    return get


def never_given_back(build):
    lock, kept = threading.Lock(), []

    def get():
        lock.acquire()
        if not kept:
            kept.append(build())
            lock.release()
        return kept[0]

    return get


def marked_though_it_failed(build):
    lock, state = threading.Lock(), {"built": False, "value": None}

    def get():
        with lock:
            if not state["built"]:
                state["built"] = True
                state["value"] = build()
            return state["value"]

    return get


def swallows_errors(build):
    lock, kept = threading.Lock(), []

    def get():
        with lock:
            if not kept:
                try:
                    kept.append(build())
                except Exception:
                    return "sorry"
        return kept[0]

    return get


SHARED = []


def shared_memory(build):
    SHARED.clear() if len(SHARED) > 1 else None

    def get():
        if not SHARED:
            SHARED.append(build())
        return SHARED[0]

    return get


def one_for_each_thread(build):
    own = threading.local()

    def get():
        if not hasattr(own, "value"):
            own.value = build()
        return own.value

    return get


def others_get_none(build):
    lock, state = threading.Lock(), {}

    def get():
        if lock.acquire(blocking=False):
            state["value"] = state["value"] if "value" in state else build()
            lock.release()
        return state.get("value")

    return get


ONE_LOCK = threading.Lock()


def one_lock_for_all(build):
    kept = []

    def get():
        # an end after some seconds, so that a test leaves no thread behind that holds it
        if not ONE_LOCK.acquire(timeout=5):
            raise TimeoutError
        try:
            if not kept:
                kept.append(build())
            return kept[0]
        finally:
            ONE_LOCK.release()

    return get


def returns_build(build):
    return lambda: build


def double_checked(build):
    lock, kept = threading.RLock(), {}

    def get():
        if "value" not in kept:
            with lock:
                if "value" not in kept:
                    kept["value"] = build()
        return kept["value"]

    return get


class LazyValue:
    def __init__(self, build):
        self.build, self.lock, self.built = build, threading.Lock(), False

    def __call__(self):
        with self.lock:
            if not self.built:
                self.value = self.build()
                self.built = True
            return self.value


def cached_behind_a_lock(build):
    lock, once = threading.Lock(), functools.cache(build)

    def get():
        with lock:
            return once()

    return get


WRONG = {
    "12.1": [
        (-5, "no count of numbers below 200,000"),
        (0.09, "reads like a share"),
        ("many", "a number was asked for"),
        (200_000, "no count of numbers below 200,000"),
        (None, "your count is None; a number"),
        (True, "your count is True; a number"),
        (float("nan"), "finite number"),
        (np.zeros(3), "one number"),
    ],
    "12.2": [
        (lambda n: [m for m in range(1, n) if all(m % d for d in range(2, m))], "holds 1. A prime has exactly"),
        (lambda n: by_trial_division(n + 1), "sieve.31. holds 31 itself"),
        (sieve_with(last=lambda n: math.isqrt(max(n - 1, 0))), "holds 25 = 5 x 5"),
        (lambda n: by_trial_division(n)[1:], "lacks 2. Your list begins too late"),
        (flags_below, "a row of flags"),
        (lambda n: np.flatnonzero(~flags_below(n))[2:], "just the numbers that are struck"),
        (lambda n: np.arange(2, n, dtype=np.int64)[::-1][flags_below(n)[2:][::-1]], "but not ascending"),
        (lambda n: set(by_trial_division(n)), "which has no order"),
        (lambda n: sorted(by_trial_division(n) * 2), "some numbers twice"),
        (sieve_with(start=lambda p: p), "lacks 2. It does what"),
        (lambda n: by_trial_division(n - 1), "lacks 29, the last number below 30. Your list ends one too early"),
        (lambda n: [m for m in by_trial_division(n) if m > 4], "Your list begins too late"),
        (lambda n: [2, *range(3, n, 2)][: max(n // 2, 0)] if n > 2 else [], "only multiples of 2 were struck"),
        (lambda n: list(range(3, n, 2)), "only multiples of 2 were struck"),
        (lambda n: [m for m in range(n) if all(m % d for d in range(2, math.isqrt(m) + 1))], "holds 0. A prime has exactly"),
        (strikes_twice_each_only, "3 p, 4 p, ... are multiples"),
        (lambda n: [2, *range(3, n, 2)], "holds 9 = 3 x 3|holds 15 = 3 x 5"),
        (lambda n: [m for m in range(2, n) if pow(2, m, m) == 2 % m], "holds 341 = 11 x 31"),
        *BROKEN_LISTS,
        (lambda n: by_trial_division(n) if n > 3 else [], "sieve.3. lacks 2"),
        (lambda n: by_trial_division(n) if n != 8 else [2, 3, 5], "sieve.8. lacks 7"),
        (sieve_with(last=lambda n: min(200, math.isqrt(max(n - 1, 0)) + 1)), "sieve.200000. holds 44521 = 211 x 211"),
    ],
    "12.3": [
        (by_trial_division, "the true primes"),
        (program(remainders=(*LIST, 13)), "73, which is 13 mod 30, and rule 2"),
        (program(remainders=sorted(set(range(30)) - set(LIST))), "and rule 2 .* is it turned round"),
        (program(built_in=()), "lacks 2. The numbers to 61 pass no rules"),
        (lambda n: [m for m in program()(n) if m in primes_below(n)], "lacks 4489 = 67 x 67"),
        (program(built_in=[p for p in FOUNDATION if p % 30 in LIST]), "lacks 2. The numbers to 61 pass no rules"),
        (program(primes=FOUNDATION[:-1]), "3721 = 61 x 61, and rule 4"),
        (program(primes=(2,)), "holds 77 = 7 x 11, and rule 4"),
        (program(remainders=range(30)), "13 mod 30, and rule 2 throws that out. The"),
        (program(remainders=(1, 7, 11, 17, 19, 29)), "lacks 83, and all that is 23 mod 30: rule 2's list holds 23"),
        (program(last=1), "holds 4489 itself"),
        (lambda n: program()(n)[::-1], "not ascending"),
        (program(remainders=LIST[1:]), "all that is 1 mod 30"),
        (lambda n: [m for m in program()(n) if m <= 61 or m % 12 in (0, 6, 8, 10)], "nothing above 61"),
        (program(kind=np.int32), "more than 31 bits"),
        (lambda n: program()(n) if n != 60 else [2], "program_primes.60. lacks 3"),
        (lambda n: [1, *program()(n)], "holds 1; to 61 there are the 18"),
        *BROKEN_LISTS,
    ],
    "12.4": [
        (eager, "called build at once"),
        (forgetful, "each touch builds anew"),
        (unlocked, "build ran 2 times"),
        (functools.cache, "build ran 2 times"),
        (lock_around_the_building_only, "build ran 2 times"),
        (a_lock_of_ones_own, "build ran 2 times"),
        (flag_before_the_building, "They have to wait"),
        (none_means_not_yet, "None can be a value"),
        (never_given_back, "never came back"),
        (marked_though_it_failed, "did not try again"),
        (swallows_errors, "did not pass it on"),
        (shared_memory, "share one memory"),
        (one_for_each_thread, "each thread builds its own"),
        (others_get_none, "some got None before"),
        (one_lock_for_all, "one for each value"),
        (returns_build, "returns build itself"),
        (lambda build: lambda: None, "returns None. Is there a `return`"),
        (returns(float("nan")), "a function was asked for, which returns"),
        (returns([1, 2]), r"returned \[1, 2\]; a function"),
        (returns(lambda: 7), "the touches gave 7 and 7"),
        (returns(lambda wrong: wrong), "a touch raised TypeError"),
        (returns(None), "returned None. The inner function"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (None, "a function was asked for"),
    ],
}

RIGHT = {
    "12.1": [17_984, 23_094, 100_000, "18000", np.int64(16_000), 16_385.3],
    "12.2": [
        lambda n: iter(by_every_number(n)),
        lambda n: dict.fromkeys(by_every_number(n)).keys(),
        by_trial_division,
        by_every_number,
        with_plain_lists,
        of_sympy,
        lambda n: primes_below(n).astype(float),
    ],
    "12.3": [program(), program_in_plain_python, lambda n: faulty_primes_below(n).astype(np.int32)],
    "12.4": [double_checked, LazyValue, cached_behind_a_lock],
}

TYPED_WRONG = {
    "12.1": 'my_count = "about a tenth"',
    "12.2": "def sieve(n):\n    return [m for m in range(1, n) if all(m % d for d in range(2, int(m**0.5) + 1))]",
    "12.3": "def program_primes(n):\n    return sieve(n)",
    "12.4": "def lazy(build):\n    value = build()\n    return lambda: value",
}
