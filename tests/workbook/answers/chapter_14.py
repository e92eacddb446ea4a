"""Answers for chapter 14: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import BROKEN_FUNCTIONS, broken_arrays

# 14.1


def bets(values=2, fast=0.04, nats=0.3):
    return {"different values": values, "times as fast": fast, "nats": nats}


# 14.2


def exponents(n):
    found, p = {}, 2
    while n > 1:
        while n % p == 0:
            found[p], n = found.get(p, 0) + 1, n // p
        p += 1
    return found


def by_exponents(weight=math.log, count=lambda k: k):
    def likeness(a, b):
        a, b = exponents(a), exponents(b)
        shared, either = (sum(weight(p) * count(one(a.get(p, 0), b.get(p, 0))) for p in a.keys() | b.keys()) for one in (min, max))
        return shared / either

    return likeness


def logs_of_numpy(a, b):
    return np.log(float(math.gcd(a, b))) / np.log(float(math.lcm(a, b)))


# 14.3


def pull_in_loops(embedding, similarities):
    gradient = np.zeros_like(embedding)
    for i in range(len(embedding)):
        for j in range(len(embedding)):
            gradient[i] += similarities[i, j] * (embedding[i] - embedding[j])
    return gradient


def pull_by_broadcasting(embedding, similarities):
    return (similarities[:, :, None] * (embedding[:, None] - embedding[None])).sum(axis=1).astype(np.float32)


def pull_by_laplacian(embedding, similarities):
    similarities = similarities - np.diag(np.diag(similarities))
    return (np.diag(similarities.sum(axis=0)) - similarities) @ embedding


def pull_of_later_words(embedding, similarities, half):
    return pull_in_loops(embedding, half(similarities))


def pull_in_place(embedding, similarities):
    embedding *= similarities.sum(axis=1, keepdims=True)
    return embedding - similarities @ embedding


# 14.4


def dealt(similarities, order):
    return np.array([[similarities[i, j] for j in order] for i in order])


def dealt_in_place(similarities, order):
    similarities[:] = similarities[np.ix_(order, order)]
    return similarities


def entries_dealt(similarities, order):
    return np.random.default_rng(0).permutation(similarities.ravel()).reshape(similarities.shape)


WRONG = {
    "14.1": [
        (bets(values=0), "at least 1, and at most a million"),
        (bets(fast=-20), "above 0. Half as fast is 0.5"),
        (bets(nats=43), "more than the whole loss"),
        ({"different values": 2}, "still open: 'times as fast', 'nats'"),
        (bets(nats=...), "still open: 'nats'"),
        (bets(fast="much"), "a number was asked for"),
        (bets(values=2e6), "at most a million"),
        (bets(nats=float("nan")), "finite number"),
        (bets(fast=None), "a number was asked for"),
        ([2, 0.04, 0.3], "a dictionary with three numbers"),
        (None, "a dictionary with three numbers"),
        (np.zeros(3), "a dictionary"),
    ],
    "14.2": [
        (lambda a, b: math.gcd(a, b) / math.lcm(a, b), "without logarithms"),
        (lambda a, b: math.log(math.gcd(a, b) / math.lcm(a, b)), "log of the quotient"),
        (lambda a, b: round(math.log(math.gcd(a, b)) / math.log(math.lcm(a, b)), 3), "Do not round"),
        (lambda a, b: math.log(math.gcd(a, b)) / math.log(a * b), "counts what they share twice"),
        (lambda a, b: 2 * math.log(math.gcd(a, b)) / math.log(a * b), "Dice"),
        (lambda a, b: math.log(math.gcd(a, b)), "log gcd alone"),
        (lambda a, b: math.log(math.gcd(a, b)) / math.log(max(a, b)), "larger number"),
        (lambda a, b: math.log(math.gcd(a, b)) / math.log(min(a, b)), "smaller number"),
        (lambda a, b: 1 - math.log(math.gcd(a, b)) / math.log(math.lcm(a, b)), "1 - likeness"),
        (lambda a, b: math.gcd(a, b) / max(a, b), "the program's formula"),
        (by_exponents(weight=lambda p: 1), "Every prime counts the same"),
        (by_exponents(count=lambda k: k > 0), "however often it divides"),
        (lambda a, b: math.log(math.lcm(a, b)) / math.log(math.gcd(a, b)), "Upside down|above the line"),
        (lambda a, b: math.log(math.lcm(a, b), math.gcd(a, b)) if math.gcd(a, b) > 1 else 1 / 0, "Upside down|above the line"),
        (logs_of_numpy, "with hundreds of digits it fails"),
        (lambda a, b: np.log(np.gcd(a, b)) / np.log(np.lcm(a, b)), "with hundreds of digits it fails"),
        (lambda a, b: math.log(math.gcd(a, b)) / math.log(a * b / math.gcd(a, b)), "with hundreds of digits it fails"),
        (lambda a, b: round(math.log(math.gcd(a, b)) / math.log(math.lcm(a, b)), 4), "Do not round"),
        (lambda a, b: 0.7, "Two functions of math"),
        *BROKEN_FUNCTIONS,
    ],
    "14.3": [
        (lambda e, s: s @ e, "Only the share of the others"),
        (lambda e, s: -pull_in_loops(e, s), "pushes words apart"),
        (lambda e, s: 2 * pull_in_loops(e, s), "Twice what was asked for"),
        (lambda e, s: pull_in_loops(e, s) / 2, "Half of what was asked for"),
        (lambda e, s: np.zeros_like(e), "the loss made of ids"),
        (lambda e, s: -s @ e, "minus the share of the others"),
        (lambda e, s: s.sum(axis=1, keepdims=True) * e, "Only e_i's own share"),
        (lambda e, s: (s.sum(axis=1, keepdims=True) - 1) * e - s @ e, "The diagonal stands in one"),
        (lambda e, s: s.sum(axis=1, keepdims=True) * e - (s - np.eye(len(s))) @ e, "The diagonal stands in one"),
        (lambda e, s: e - s @ e / s.sum(axis=1, keepdims=True), "each row divided by its sum"),
        (lambda e, s: len(e) * e - e.sum(axis=0), "S_ij is missing"),
        (lambda e, s: pull_in_loops(e, s) / len(e), "a mean over the words"),
        (lambda e, s: pull_of_later_words(e, s, np.triu), "for its first word only"),
        (lambda e, s: pull_of_later_words(e, s, np.tril), "for its first word only"),
        (lambda e, s: s.sum(axis=1) * e - s @ e, "without keepdims"),
        (lambda e, s: np.ones_like(e), "For each word i"),
        (lambda e, s: np.sum(pull_in_loops(e, s) * e), r"has shape \(\)"),
        (pull_in_place, "changed its input"),
        *broken_arrays((5, 3)),
    ],
    "14.4": [
        (lambda s, order: s[order], "moved the rows only"),
        (lambda s, order: s[:, order], "moved the columns only"),
        (lambda s, order: dealt(s, np.argsort(order)), "the other way round"),
        (lambda s, order: s.copy(), "still has its own features"),
        (lambda s, order: np.full_like(s, s[np.triu_indices(len(s), 1)].mean() if len(s) > 1 else 1.0), "the other control"),
        (lambda s, order: dealt(dealt(s, order), order), "You dealt twice"),
        (lambda s, order: s[order][:, np.argsort(order)], "one way and your columns the other"),
        (entries_dealt, "deal out words, not entries"),
        (lambda s, order: s[order, order], r"has shape \(5,\)"),
        (lambda s, order: 1 - dealt(s, order), "Entry .i, j. is what"),
        (lambda s, order: np.round(dealt(s, order), 1), "Do not round"),
        (dealt_in_place, "changed its input"),
        *broken_arrays((5, 5)),
    ],
}

RIGHT = {
    "14.1": [
        bets(),
        bets("1000", 10, -0.1),
        bets(np.int64(2), 1e-3, 0),
        {key.upper(): value for key, value in bets().items()},
        [*bets(1_000_000, 100, 0.43).items(), ("and", "more")],
    ],
    "14.2": [
        lambda a, b: math.log(math.gcd(a, b), math.lcm(a, b)),
        lambda a, b: math.log2(math.gcd(a, b)) / math.log2(a * b // math.gcd(a, b)),
        lambda a, b: np.float64(math.log(math.gcd(a, b))) / (math.log(a) + math.log(b) - math.log(math.gcd(a, b))),
        by_exponents(),
    ],
    "14.3": [lambda e, s: pull_in_loops(e, s).tolist(), pull_in_loops, pull_by_broadcasting, pull_by_laplacian],
    "14.4": [
        dealt,
        lambda s, order: dealt(s, order).tolist(),
        lambda s, order: s[order][:, order].astype(np.float32),
        lambda s, order: np.eye(len(s))[order] @ s @ np.eye(len(s))[order].T,
        lambda s, order: s.take(order, axis=0).take(order, axis=1),
    ],
}

TYPED_WRONG = {
    "14.1": 'my_bets = {"different values": 0, "times as fast": 10, "nats": 0.5}',
    "14.2": "def feature_likeness(a, b):\n    return math.gcd(a, b) / max(a, b)",
    "14.3": "def pull_gradient(embedding, similarities):\n    return similarities @ embedding",
    "14.4": "def dealt_out(similarities, order):\n    return similarities[order]",
}
