"""Answers for chapter 16: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import itertools
import math
from fractions import Fraction

import numpy as np
from workbook.answers.common import broken_arrays, raises, returns

from cllm_lib.lattice.gauss import gauss_reduce
from cllm_lib.lattice.lll import lll_reduce
from cllm_lib.lattice.orthogonalization import gram_schmidt

# 16.1


def bets(right=80, faster=3):
    return {"right of 100": right, "times as fast": faster}


# 16.2


def taken(multiple):
    return lambda short, long: long - multiple(short, long) * short


def take_in_place(short, long):
    long -= round((long @ short) / (short @ short)) * short
    return long


def by_trying(short, long):
    return min((long - m * short for m in range(-100, 100)), key=np.linalg.norm).tolist()


# 16.3


def step(rounding=round, reduce=True, lovasz=None, back=lambda k: max(k - 1, 1), order=reversed, renew=True, swap=True, only_last=False):
    lovasz = lovasz or (lambda own, mu, k, delta, basis: own[k] @ own[k] >= (delta - mu[k, k - 1] ** 2) * (own[k - 1] @ own[k - 1]))

    def lll_step(basis, k, delta):
        basis = basis.copy()
        mu = gram_schmidt(basis)[1]
        for j in order(range(k)) if reduce else ():
            if only_last and j != k - 1:
                continue
            if renew:
                mu = gram_schmidt(basis)[1]
            basis[k] = basis[k] - rounding(mu[k, j]) * basis[j]
        own, mu = gram_schmidt(basis)
        if lovasz(own, mu, k, delta, basis):
            return basis, k + 1
        if swap:
            basis[[k - 1, k]] = basis[[k, k - 1]]
        return basis, back(k)

    return lll_step


def unsquared(own, mu, k, delta, basis):
    return math.sqrt(own[k] @ own[k]) >= (delta - mu[k, k - 1] ** 2) * math.sqrt(own[k - 1] @ own[k - 1])


def step_in_floats(basis, k, delta):
    basis = basis.copy()
    for j in reversed(range(k)):
        basis[k] = basis[k] - round(gram_schmidt(basis, exact=False)[1][k, j]) * basis[j]
    own, mu = gram_schmidt(basis, exact=False)
    if own[k] @ own[k] >= (float(delta) - mu[k, k - 1] ** 2) * (own[k - 1] @ own[k - 1]):
        return basis, k + 1
    basis[[k - 1, k]] = basis[[k, k - 1]]
    return basis, max(k - 1, 1)


def swapped_without_a_copy(basis, k, delta):
    new, after = step()(basis, k, delta)
    if after != k + 1:
        new[k] = new[k - 1]
    return new, after


def swapped_as_tuples(basis, k, delta):
    new, after = step(swap=False)(basis, k, delta)
    if after != k + 1:
        new[k - 1], new[k] = new[k], new[k - 1]
    return new, after


def step_of_zeros(basis, k, delta):
    return np.arange(basis.size, dtype=np.int64).reshape(basis.shape) ** 3, k + 1


def indices_exchanged(basis, k, delta):
    basis = basis.copy()
    for j in reversed(range(k)):
        basis[k] = basis[k] - round(gram_schmidt(basis)[1][j, k]) * basis[j]
    return step(reduce=False)(basis, k, delta)


def never_past_the_last(basis, k, delta):
    new, after = step()(basis, k, delta)
    return new, min(after, len(basis) - 1)


def step_in_place(basis, k, delta):
    basis[k] = basis[k] - basis[0]
    return basis, k + 1


def reduces_every_row(basis, k, delta):
    return lll_reduce(basis, delta)[0], k + 1


def lazy_step(basis, k, delta):
    """As in the paper: before a swap only the row just before is taken."""
    basis = [list(row) for row in basis]

    def mu_of(j):
        return gram_schmidt(basis)[1][k, j]

    basis[k] = [a - round(mu_of(k - 1)) * b for a, b in zip(basis[k], basis[k - 1], strict=True)]
    own, mu = gram_schmidt(basis)
    if own[k] @ own[k] < (delta - mu[k, k - 1] ** 2) * (own[k - 1] @ own[k - 1]):
        return [*basis[: k - 1], basis[k], basis[k - 1], *basis[k + 1 :]], max(k - 1, 1)
    for j in range(k - 2, -1, -1):
        basis[k] = [a - round(mu_of(j)) * b for a, b in zip(basis[k], basis[j], strict=True)]
    return basis, k + 1


def rounds_halves_away(basis, k, delta):
    return step(rounding=lambda mu: math.floor(mu + Fraction(1, 2)))(basis, k, delta)


def of_floats(basis, k, delta):
    new, after = step()(basis, k, delta)
    return new.astype(float) + 0.25, after


# 16.4


def knapsack_rows(weights, total, scale):
    n = len(weights)
    return [*([int(i == j) for j in range(n)] + [scale * w] for i, w in enumerate(weights)), [0] * n + [-scale * total]]


def by_hand(weights, total):
    choices = np.array(list(itertools.product((0, 1), repeat=len(weights))), dtype=np.int64)
    weights = np.array(weights, dtype=object)
    for choice in choices[choices @ (weights % 2**40).astype(np.int64) % 2**40 == total % 2**40].tolist():
        if np.array(choice, dtype=object) @ weights == total:
            return choice
    return None


def flipped(change):
    return lambda weights, total: [change(c) for c in by_hand(weights, total)]


def by_halves(weights, total):
    """With twice the unit vectors and ones below: a choice has entries of 1 and -1 only."""
    n = len(weights)
    rows = [[2 * int(i == j) for j in range(n)] + [n * w] for i, w in enumerate(weights)]
    for row in lll_reduce([*rows, [1] * n + [n * total]], Fraction(99, 100))[0]:
        for sign in (1, -1):
            chosen = np.array([(1 - sign * x) // 2 for x in row[:-1]])
            if row[-1] == 0 and set(map(abs, row[:-1])) == {1} and chosen @ np.array(weights, dtype=object) == total:
                return chosen
    return None


def first_row_only(weights, total):
    row = lll_reduce(knapsack_rows(weights, total, len(weights)), Fraction(99, 100))[0][0]
    return [int(entry != 0) for entry in row[:-1]]


WRONG = {
    "16.1": [
        (bets(right=130), "the count lies from 0 to 100"),
        (bets(right=0.8), "out of a hundred: 80"),
        (bets(faster=0), "is no speed"),
        (bets(faster=-2), "is no speed"),
        ({"right of 100": 50}, "still open: 'times as fast'"),
        (bets(right=...), "still open: 'right of 100'"),
        (bets(faster="twice"), "'times as fast' is of type str|'times as fast' is 'twice'; a number was asked for"),
        (bets(right=None), "'right of 100' is None"),
        (bets(faster=float("nan")), "a finite number"),
        (3, "a dictionary with 'right of 100' and 'times as fast'"),
        (None, "a dictionary with"),
        (np.zeros(3), "a dictionary with"),
    ],
    "16.2": [
        (taken(lambda s, v: 0), "the longer one as it came"),
        (taken(lambda s, v: (v @ s) / (s @ s)), "The multiple was not rounded"),
        (taken(lambda s, v: (v @ s) // (s @ s)), "was rounded down"),
        (taken(lambda s, v: int((v @ s) / (s @ s))), "was cut off"),
        (taken(lambda s, v: math.ceil((v @ s) / (s @ s))), "rounded up"),
        (taken(lambda s, v: -round((v @ s) / (s @ s))), "Added instead"),
        (taken(lambda s, v: 1), "Taken once"),
        (lambda s, v: s - round((v @ s) / (s @ s)) * v, "Taken from the shorter one"),
        (taken(lambda s, v: round((v @ s) / (v @ v))), "the square of the longer one"),
        (taken(lambda s, v: round((v @ s) / math.sqrt(s @ s))), "and not by its square"),
        (taken(lambda s, v: round(math.sqrt(v @ v) / math.sqrt(s @ s))), "quotient of lengths"),
        (lambda s, v: gauss_reduce([s, v])[0], r"has shape \(2, 2\)"),
        (lambda s, v: v * 0 + 1, "Try all multiples"),
        (take_in_place, "changed its input"),
        *broken_arrays(2),
    ],
    "16.3": [
        (step(reduce=False), "row k stayed as it was: half of"),
        (step(lovasz=lambda own, mu, k, delta, b: True), "yours goes on to k"),
        (step(lovasz=lambda own, mu, k, delta, b: False), "yours swaps, or does not go on: Lovasz's condition holds"),
        (step(lovasz=lambda own, mu, k, delta, b: own[k] @ own[k] >= Fraction(3, 4) * (own[k - 1] @ own[k - 1])), "yours swaps"),
        (
            step(lovasz=lambda own, mu, k, delta, b: own[k] @ own[k] >= (Fraction(3, 4) - mu[k, k - 1] ** 2) * (own[k - 1] @ own[k - 1])),
            "delta used",
        ),
        (step(lovasz=lambda own, mu, k, delta, b: b[k] @ b[k] >= (delta - mu[k, k - 1] ** 2) * (b[k - 1] @ b[k - 1])), "yours goes on"),
        (step(back=lambda k: k - 1), "the next k is 0; 1 was asked for"),
        (step(back=lambda k: k), "the next k is 2; 1 was asked for"),
        (step(back=lambda k: k + 1), "rows are swapped, and the next k is 2. It does"),
        (step(swap=False), "the rows stand where they stood|half of it|other rows"),
        (step(only_last=True), "not beside earlier ones"),
        (
            step(lovasz=lambda own, mu, k, delta, b: own[k] @ own[k] > (delta - mu[k, k - 1] ** 2) * (own[k - 1] @ own[k - 1])),
            "equality is enough",
        ),
        (
            step(lovasz=lambda own, mu, k, delta, b: own[k] @ own[k] >= (delta - mu[k, 0] ** 2) * (own[k - 1] @ own[k - 1])),
            "condition holds there",
        ),
        (step(lovasz=unsquared), r"lengths those of b\*, squared"),
        (step_in_floats, "give integers|more digits than a float holds"),
        (lambda basis, k, delta: (step()(basis, k, delta)[0], step()(basis, k, delta)[1] + 0.5), "a whole number was asked for"),
        (step(renew=False), "not beside earlier ones. Go from j = k - 1 down to 0, and find mu anew"),
        (step(order=iter), "not beside earlier ones. Go from"),
        (step(rounding=lambda mu: mu), "give integers, not Fraction"),
        (step(rounding=math.floor), "half of it at most"),
        (step(rounding=lambda mu: round(float(mu) * 1.001)), "more digits than a float holds"),
        (swapped_without_a_copy, "one row stands there twice"),
        (swapped_as_tuples, "one row stands there twice"),
        (step_of_zeros, "another lattice"),
        (indices_exchanged, "row k stayed as it was.*k comes first"),
        (never_past_the_last, "the rows are right, and the next k is 2; 3 was asked for"),
        (
            step(lovasz=lambda own, mu, k, delta, b: b[k] @ b[k] >= b[k - 1] @ b[k - 1]),
            "yours swaps.*It is about the lengths|yours goes on",
        ),
        (step_in_place, "changed its input"),
        (reduces_every_row, "other rows than row k|yours goes on"),
        (of_floats, "holds fractions"),
        (lambda basis, k, delta: basis, "a basis and the next k"),
        (lambda basis, k, delta: (basis, 99), "the next k is 99"),
        (lambda basis, k, delta: (basis, "next"), "the next k is 'next'"),
        (lambda basis, k, delta: (np.full(basis.shape, np.nan), k), "NaN"),
        (lambda basis, k, delta: (basis[:1], k + 1), "has shape"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (None, "a function was asked for"),
        (step(rounding=lambda mu: round(mu) if abs(mu) > 1 else 0), "row k stayed as it was"),
        (step(rounding=lambda mu: round(mu) if abs(mu) > Fraction(3, 4) else 0), "row k stayed as it was"),
        (step(lovasz=lambda own, mu, k, delta, b: own[k] @ own[k] >= delta * (own[k - 1] @ own[k - 1])), "yours swaps"),
        (step(lovasz=lambda own, mu, k, delta, b: b[k] @ b[k] >= delta * (b[k - 1] @ b[k - 1])), "yours goes on"),
        (step(lovasz=lambda own, mu, k, delta, b: own[k] @ own[k] >= (delta - mu[k, k - 1] ** 2) * (own[0] @ own[0])), "yours swaps"),
        (step(lovasz=lambda own, mu, k, delta, b: own[k] @ own[k] >= (delta - mu[k, k - 1] ** 2) * (b[k - 1] @ b[k - 1])), "yours swaps"),
        (step(lovasz=lambda own, mu, k, delta, b: b[k] @ b[k] >= (delta - mu[k, k - 1] ** 2) * (own[k - 1] @ own[k - 1])), "yours goes on"),
    ],
    "16.4": [
        (flipped(lambda c: 1 - c), "the ones left out"),
        (lambda w, t: by_hand(w, t)[::-1], "those you chose make .*Does your last column"),
        (flipped(lambda c: -c), "your numbers are 0 and -1"),
        (lambda w, t: lll_reduce(knapsack_rows(w, t, len(w)), Fraction(99, 100))[0][0], "leave out its last entry"),
        (lambda w, t: lll_reduce(knapsack_rows(w, t, 1))[0][-1][:-1], "0 or 1 was asked for. Not the first row"),
        (lambda w, t: [0] * len(w), "those you chose make 0"),
        (lambda w, t: [1] * len(w), "minus the total"),
        (lambda w, t: [c * x for c, x in zip(by_hand(w, t), w, strict=True)], "Not the first row"),
        (lambda w, t: t, "1 numbers; 5 were asked for"),
        (lambda w, t: np.full(len(w), np.nan), "NaN"),
        (lambda w, t: ["yes"] * len(w), "a list of 5 numbers"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (None, "a function was asked for"),
        (first_row_only, "two of them alike, those you chose"),
    ],
}

RIGHT = {
    "16.1": [
        bets(),
        bets(0, 1),
        bets(np.int64(47), "2.5"),
        [("right of 100", 100), ("times as fast", np.array([3.0]))],
        {"Right of 100": 60, " TIMES AS FAST ": 0.9, "why": "a guess"},
    ],
    "16.2": [
        taken(lambda s, v: np.rint((v @ s) / (s @ s))),
        taken(lambda s, v: math.floor((v @ s) / (s @ s) + 0.5)),
        by_trying,
    ],
    "16.3": [step(), lazy_step, rounds_halves_away, lambda basis, k, delta: list(step()(basis, k, delta))],
    "16.4": [
        by_hand,
        by_halves,
        lambda w, t: np.array(by_hand(w, t), dtype=bool),
        lambda w, t: list(np.array(by_hand(w, t), dtype=bool)),
        lambda w, t: [Fraction(int(c)) for c in by_halves(w, t)],
    ],
}

TYPED_WRONG = {
    "16.1": 'my_bets = {"right of 100": 0.5, "times as fast": 3}',
    "16.2": "def take_away(short, long):\n    return long - short",
    "16.3": "def lll_step(basis, k, delta):\n    return basis, k + 1",
    "16.4": "def break_knapsack(weights, total):\n    return [1] * len(weights)",
}
