"""Answers for chapter 17: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import broken_arrays, raises, returns

from cllm_lib.lattice.orthogonalization import gram_schmidt
from cllm_lib.lattice.search import babai_nearest_plane

# 17.1


def bets(bits=4, left=0.5):
    return {"bits": bits, "error left": left}


# 17.2


def scaled(most=lambda bits: 2 ** (bits - 1) - 1, largest=lambda row: np.abs(row).max(), rounding=np.rint):
    def in_few_bits(row, bits):
        scale = largest(row) / most(bits)
        return rounding(row / scale), scale

    return in_few_bits


def scaled_in_loops(row, bits):
    scale = max(max(row), -min(row)) / ((1 << (bits - 1)) - 1)
    return [round(float(weight / scale)) for weight in row], float(scale)


def scaled_in_place(row, bits):
    row /= np.abs(row).max()
    return scaled()(row, bits)


# 17.3


def babai(rounding=np.rint, order=reversed, update=True, starred=True, length=lambda along, basis: along @ along):
    def nearest_plane(basis, target):
        own, _ = gram_schmidt(basis, exact=False)
        along = own if starred else basis
        left, integers = np.array(target, dtype=float), np.zeros(len(basis))
        for i in order(range(len(basis))):
            integers[i] = rounding((left @ along[i]) / length(along[i], basis[i]))
            if update:
                left = left - integers[i] * basis[i]
        return integers

    return nearest_plane


def coordinates(basis, target):
    return np.linalg.lstsq(basis.T, target, rcond=None)[0]


def plane_in_place(basis, target):
    target -= basis[0]
    return babai()(basis, target)


# 17.4


def faults(a="wrong sign", b="forgets the error", c="rounds down"):
    return {"A": a, "B": b, "C": c}


# 17.5


def search(judge, bits=(2, 3, 4, 8), otherwise=16, seeds=range(10), paired=True):
    def fewest_bits(loss, allowed):
        full = np.array([loss(None, seed) for seed in seeds])
        for b in bits:
            rises = np.array([loss(b, seed) for seed in seeds]) - (full if paired else full.mean())
            if judge(rises, allowed):
                return b
        return otherwise

    return fewest_bits


def surely_below(rises, allowed):
    return rises.mean() + 2.262 * rises.std(ddof=1) / math.sqrt(len(rises)) < allowed


def downwards(loss, allowed):
    full, answer = np.array([loss(None, seed) for seed in range(10)]), 16
    for bits in (8, 4, 3, 2):
        if not surely_below(np.array([loss(bits, seed) for seed in range(10)]) - full, allowed):
            break
        answer = bits
    return np.int64(answer)


def against_eight_bits(loss, allowed):
    return search(surely_below)(lambda bits, seed: loss(8 if bits is None else bits, seed), allowed)


WRONG = {
    "17.1": [
        (bets(bits=6), "6 bits were not tried: take one of 8, 4, 3 and 2"),
        (bets(left=50), "write it as a share: 0.5"),
        (bets(left=-0.1), "below nothing"),
        (bets(bits=32), "32 bits were not tried"),
        (bets(bits=2.5), "2.5 bits were not tried"),
        ({"bits": 4}, "still open: 'error left'"),
        (bets(bits=...), "still open: 'bits'"),
        (bets(left="half"), "'error left' is 'half'; a number was asked for|'error left' is of type str"),
        (bets(bits=None), "'bits' is None"),
        (bets(left=float("inf")), "a finite number"),
        (4, "a dictionary with 'bits' and 'error left'"),
        (None, "a dictionary with"),
        (np.zeros(3), "a dictionary with"),
    ],
    "17.2": [
        (scaled(most=lambda bits: 2 ** (bits - 1)), "one too many"),
        (scaled(largest=np.max), "take the largest of np.abs"),
        (scaled(rounding=np.floor), "Rounded down"),
        (scaled(rounding=np.trunc), "Cut off after the point"),
        (scaled(rounding=lambda x: x), "Not whole"),
        (scaled(most=lambda bits: 2**bits - 1), "half are negative"),
        (scaled(most=lambda bits: 2**bits), "half are negative"),
        (scaled(largest=np.ptp), "not the span"),
        (lambda row, bits: scaled()(row, bits)[::-1], "changed places"),
        (lambda row, bits: scaled()(row, bits)[0], "two things were asked for"),
        (lambda row, bits: (np.multiply(*scaled()(row, bits)), scaled()(row, bits)[1]), "that the whole numbers stand for"),
        (lambda row, bits: (scaled()(row, bits)[0], 1 / scaled()(row, bits)[1]), "upside down"),
        (lambda row, bits: (np.rint(row), scaled()(row, bits)[1]), "First divide them by the scale"),
        (scaled(largest=lambda weights: np.abs(weights).mean()), "The scale takes the largest weight"),
        (scaled_in_place, "changed its input"),
        (lambda row, bits: (scaled()(row, bits)[0][:-1], 1.0), "one whole number for each weight"),
        (lambda row, bits: (scaled()(row, bits)[0], np.ones(len(row))), "one number was asked for"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (returns((np.full(3, np.nan), 1.0)), "NaN"),
        (3, "a function was asked for"),
        (None, "a function was asked for"),
    ],
    "17.3": [
        (lambda b, t: np.rint(coordinates(b, t)), "the coordinates, rounded"),
        (babai(starred=False), "You measure along basis"),
        (babai(length=lambda along, basis: basis @ basis), "You measure along basis"),
        (babai(length=lambda along, basis: math.sqrt(along @ along)), "and not by its square"),
        (babai(order=iter), "begin with the last row"),
        (babai(update=False), "begin with the last row"),
        (babai(rounding=lambda x: x), "Not whole"),
        (coordinates, "Not whole"),
        (babai(rounding=np.floor), "Rounded down"),
        (babai(rounding=np.trunc), "Cut off after the point"),
        (lambda b, t: babai()(b, t) @ b, "the lattice point itself|as long as the target"),
        (lambda b, t: -babai()(b, t), "signs turned round"),
        (lambda b, t: babai()(b, t) + 1, "From the last row to the first"),
        (plane_in_place, "changed its input"),
        *broken_arrays(3),
    ],
    "17.4": [
        (faults("forgets the error", "wrong sign"), "A as 'forgets the error'"),
        (faults(b="half of it"), "B as 'half of it'"),
        (faults(c="wrong sign"), "C as 'wrong sign'"),
        (faults(a="rounds down", c="wrong sign"), "errors up to a whole step"),
        (faults(a="clips"), "not in the table"),
        ({"A": "wrong sign"}, "still open: B, C"),
        (faults(b=...), "still open: B"),
        ("wrong sign", "a dictionary from letter to name"),
        (None, "a dictionary from letter to name"),
        (faults(None), "not in the table"),
        (np.zeros(3), "a dictionary from letter"),
    ],
    "17.5": [
        (search(surely_below, paired=False), "you say 16 bits; 4 was asked for"),
        (search(lambda rises, allowed: rises.mean() < allowed), "One seed in ten is ruined"),
        (search(lambda rises, allowed: rises.max() < allowed), "the mean over ten is known better"),
        (search(lambda rises, allowed: rises.mean() + 2 * rises.std(ddof=1) < allowed), "the mean over ten is known better"),
        (search(lambda rises, allowed: rises.mean() + 1.96 * rises.std(ddof=1) / math.sqrt(10) < allowed), "further than 1.96"),
        (search(surely_below, otherwise=9), "return 16"),
        (against_eight_bits, "in full, loss.None, seed."),
        (search(lambda rises, allowed: np.median(rises) < allowed), "One seed in ten is ruined"),
        (search(surely_below, seeds=range(1)), "the result|nan|breaks|widely|you say"),
        (search(lambda rises, allowed: rises[0] < allowed), "you say"),
        (search(surely_below, bits=(8, 4, 3, 2)), "Begin at 2 bits"),
        (search(lambda rises, allowed: True), "you say 2 bits"),
        (search(surely_below, bits=range(2, 9)), "bits are 2, 3, 4 or 8"),
        (search(surely_below, seeds=range(20)), "seeds go from 0 to 9"),
        (search(surely_below, otherwise=None), "returned None"),
        (returns(4), "you say 4 bits"),
        (returns(float("nan")), "a finite number"),
        (returns(np.zeros(3)), "one number was asked for"),
        (returns("four"), "a number was asked for"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (None, "a function was asked for"),
        (search(lambda rises, allowed: (rises < allowed).sum() >= 9), "One seed in ten is ruined"),
        (search(surely_below, seeds=range(9)), "you say|the solution gives"),
        (downwards, "whatever more bits do"),
        (search(lambda rises, allowed: surely_below(rises, allowed) and surely_below(-rises, allowed)), "without abs"),
        (search(lambda rises, allowed: surely_below(np.sort(rises)[:-1], allowed)), "One seed in ten is ruined"),
    ],
}

RIGHT = {
    "17.1": [
        bets(),
        bets(np.int64(3), "0.7"),
        [("bits", 8), ("error left", 0)],
        {"BITS": 2.0, "Error left": np.array([1.0]), "why": "a guess"},
    ],
    "17.2": [
        scaled(),
        lambda row, bits: [scaled()(row, bits)[0].tolist(), np.array([scaled()(row, bits)[1]])],
        scaled_in_loops,
        scaled(rounding=lambda x: np.floor(x + 0.5)),
    ],
    "17.3": [
        babai(),
        lambda b, t: list(babai()(b, t)),
        lambda b, t: babai_nearest_plane(b, t),
        lambda b, t: babai()(b, t).astype(np.float32),
    ],
    "17.4": [
        faults(),
        faults("Wrong sign", "forgets_the_error", "`rounds down`"),
        {"c": "rounds down", "b": "forgets the error", "a": "wrong sign"},
    ],
    "17.5": [search(surely_below), lambda loss, allowed: float(search(surely_below)(loss, allowed))],
}

TYPED_WRONG = {
    "17.1": 'my_bets = {"bits": 5, "error left": 0.5}',
    "17.2": "def in_few_bits(row, bits):\n    return np.rint(row), 1.0",
    "17.3": "def nearest_plane(basis, target):\n    return np.rint(np.linalg.lstsq(basis.T, target, rcond=None)[0])",
    "17.4": 'my_findings = {"A": "rounds down", "B": "half of it", "C": "wrong sign"}',
    "17.5": "def fewest_bits(loss, allowed):\n    return 4",
}
