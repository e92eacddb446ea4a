"""Answers for chapter 20: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import raises, returns

from cllm_lib.casebook import three_cases
from cllm_lib.casebook.line_up import truth_of
from cllm_lib.workbook.exercises.chapter_20 import bayes, information, word

# 20.2


def by(mean, total):
    """A word by two comparisons."""
    return lambda reported, by_hand, targets: (
        "mean" if mean(reported, by_hand) else "sum" if total(reported, by_hand * targets) else "other"
    )


def near(a, b):
    return abs(a - b) <= 1e-3 * b


# 20.3


def products(belief, likelihood):
    return {name: belief[name] * likelihood[name] for name in belief}


def over(total):
    """Products divided by what `total` makes of belief, likelihood and products."""

    def answer(belief, likelihood):
        found = products(belief, likelihood)
        return {name: value / total(belief, likelihood, found) for name, value in found.items()}

    return answer


def in_place(belief, likelihood):
    for name in belief:
        belief[name] *= likelihood[name]
    total = sum(belief.values())
    return {name: value / total for name, value in belief.items()}


# 20.4


def entropy(weights):
    return -sum(p * math.log(p) for p in weights if p > 0)


def chance(belief, likelihood):
    return sum(belief[name] * likelihood[name] for name in belief)


def after(belief, answers):
    possible = [(chance(belief, one), bayes(belief, one)) for one in answers if chance(belief, one) > 0]
    return [(share, entropy(found.values())) for share, found in possible]


def unweighted(belief, answers):
    found = [left for _, left in after(belief, answers)]
    return entropy(belief.values()) - sum(found) / len(found)


def by_mutual_information(belief, answers):
    """The same by another road: the mean of ln p(answer | name) / p(answer)."""
    total = 0.0
    for one in answers:
        whole = chance(belief, one)
        for name, share in belief.items():
            if share * one[name] > 0:
                total += share * one[name] * math.log(one[name] / whole)
    return total


# 20.5

TRUTH = {letter: truth_of(case)[0] for letter, case in three_cases().items()}

WRONG = {
    "20.1": [
        ({"sick": 7}, "a whole number from 0 to 6"),
        ({"sick": -1}, "a whole number from 0 to 6"),
        ({"sick": 2.5}, "a whole number from 0 to 6"),
        ({"ill": 3}, "still open: 'sick'"),
        ({"sick": "many"}, "a number was asked for"),
        (3, "of type int"),
        (None, "of type NoneType"),
    ],
    "20.2": [
        (by(lambda a, b: a == b, lambda a, b: a == b), "You compare exactly"),
        (by(lambda a, b: abs(a - b) <= 1e-3, lambda a, b: abs(a - b) <= 1e-3), "whatever the loss"),
        (by(lambda a, b: a - b <= 1e-3 * b, near), "too low passes for right"),
        (by(near, lambda a, b: True), "Whatever is not the mean is a sum"),
        (by(near, lambda a, b: False), "You never say 'sum'"),
        (by(lambda a, b: abs(a - b) <= 1e-2 * b, lambda a, b: abs(a - b) <= 1e-2 * b), "Your limit is a hundredth"),
        (lambda r, h, t: "mean" if near(r, h) else "sum" if near(r, t) else "other", "with that number alone"),
        (lambda r, h, t: "mean" if near(r, h) else "sum" if abs(r - h / t) <= 1e-3 * h * t else "other", "you divide"),
        (lambda r, h, t: {"mean": "sum", "sum": "mean"}.get(word(r, h, t), "other"), "the other way round"),
        (returns(True), "a word was asked for"),
        (returns("average"), "the words are 'mean', 'sum' and 'other'"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        ("mean", "a function was asked for"),
    ],
    "20.3": [
        (products, "It sums to less than 1"),
        (lambda belief, likelihood: dict(likelihood), "the belief before counts for nothing"),
        (lambda belief, likelihood: dict(belief), "the answer changed nothing"),
        (over(lambda b, like, p: sum(like.values())), "You divide by the sum of the likelihoods"),
        (over(lambda b, like, p: max(p.values())), "You divide by the largest product"),
        (lambda belief, likelihood: {n: belief[n] + likelihood[n] for n in belief}, "You add belief and likelihood"),
        (lambda belief, likelihood: list(bayes(belief, likelihood).values()), "a dictionary from name to probability was asked for"),
        (lambda belief, likelihood: {"healthy": 1.0}, "one probability for each name"),
        (in_place, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
    ],
    "20.4": [
        (lambda b, a: -information(b, a), "The sign is turned round"),
        (lambda b, a: sum(share * left for share, left in after(b, a)), "the mean entropy after the answer"),
        (lambda b, a: entropy(b.values()), "whatever the question"),
        (unweighted, "the same weight"),
        (lambda b, a: entropy(b.values()) - sum(left for _, left in after(b, a)), "You add the entropies"),
        (lambda b, a: information(b, a) / math.log(2), "in bits"),
        (lambda b, a: entropy([chance(b, one) for one in a]), "the entropy of the answers"),
        (lambda b, a: entropy(b.values()) - max(after(b, a))[1], "what the likeliest answer would tell"),
        (returns(None), "returned None"),
        (returns([0.1, 0.2]), "one number was asked for"),
        (raises, "it raised KeyError"),
    ],
    "20.5": [
        (TRUTH | {"A": "healthy"}, "An acquittal needs more questions"),
        (TRUTH | {"A": "no causal mask"}, "A is not 'no causal mask'. What does"),
        (TRUTH | {"B": "rate zero"}, "B is not 'rate zero'"),
        (TRUTH | {"C": "dead units"}, "An instrument that says nothing is evidence"),
        (TRUTH | {"B": "bad luck"}, "which is no name of the list"),
        (TRUTH | {"B": ...}, "still open: B"),
        (["healthy"] * 3, "of type list"),
        (None, "of type NoneType"),
    ],
}

RIGHT = {
    "20.1": [{"sick": 0}, {"sick": 6.0}, {"Sick": np.int64(3)}, [("sick", 5)], {"sick": 2, "why": "no idea"}],
    "20.2": [
        by(near, near),
        lambda r, h, t: " MEAN" if near(r, h) else "Sum " if near(r, h * t) else "other",
        lambda r, h, t: "mean" if abs(r / h - 1) <= 1e-3 else "sum" if abs(r / (h * t) - 1) <= 1e-3 else "other",
    ],
    "20.3": [
        lambda belief, likelihood: {name: np.float64(value) for name, value in bayes(belief, likelihood).items()},
        lambda belief, likelihood: list(bayes(belief, likelihood).items()),
        lambda belief, likelihood: dict(reversed(bayes(belief, likelihood).items())),
    ],
    "20.4": [
        by_mutual_information,
        lambda b, a: np.array([information(b, a)]),
        lambda b, a: entropy(b.values()) - sum(s * e for s, e in after(b, a)),
    ],
    "20.5": [dict(TRUTH), list(TRUTH.items()), {letter.lower(): f" {name.upper()} " for letter, name in TRUTH.items()}],
}

TYPED_WRONG = {
    "20.1": 'my_bet = {"sick": 9}',
    "20.2": 'def word(reported, by_hand, targets):\n    return "mean" if reported == by_hand else "sum"',
    "20.3": "def bayes(belief, likelihood):\n    return {name: belief[name] * likelihood[name] for name in belief}",
    "20.4": "def information(belief, answers):\n    return 0.0",
    "20.5": 'accused = dict.fromkeys("ABC", "healthy")',
}
