"""Answers for chapter 00: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math
from fractions import Fraction

import numpy as np
import sympy
from workbook.answers.common import BROKEN_FUNCTIONS


def two_to_the(loss):
    return 2**loss


WRONG = {
    "00.1": [
        (36, "36 is 4 [+] 32"),
        (32, "counts one side only"),
        (1241, "whole text"),
        (124, "31 guesses"),
        (5, "how many boxes"),
        (None, "a number was asked for|finite"),
        (np.zeros(2), "one number"),
        (float("nan"), "finite"),
    ],
    "00.2": [
        (280, "If you meant 1 in 280"),
        (-0.1, "below 0"),
        ("1/280", "a number was asked for"),
        (float("nan"), "finite"),
        (None, "number|finite"),
        (np.zeros(2), "one number was asked for"),
        ("a third", "a number was asked for"),
    ],
    "00.3": [
        (two_to_the, "right for bits"),
        (lambda loss: 10**loss, "natural one"),
        (lambda loss: loss, "the loss itself"),
        (lambda loss: math.exp(-loss), "one over it"),
        (lambda loss: math.log(loss) if loss > 0 else 1, "logarithm once more"),
        (lambda loss: loss, "Which function undoes"),
        (lambda loss: round(math.exp(loss)), "Do not round"),
        (lambda loss: int(math.exp(loss)), "Do not round"),
        (lambda loss: math.ceil(math.exp(loss)), "Do not round"),
        (lambda loss: math.exp(loss) // 1, "Do not round"),
        *BROKEN_FUNCTIONS,
    ],
    "00.4": [
        ({"A"}, "A, a printed loss, must match"),
        ({"B", "C"}, "C, a count, must match"),
        ({"B"}, "the exact pixels"),
        ({"D"}, "how long a cell took"),
        ({"E"}, "none of the four"),
        ({2, 4}, "2, 4 is none of the four"),
        (set(), "an empty answer"),
        (None, "cannot make sense"),
        (float("nan"), "cannot make sense"),
    ],
}

RIGHT = {
    "00.1": [128.0, "128", np.int64(128), Fraction(128), np.array([128], dtype=np.int64)],
    "00.2": [0.5, 0, 1, Fraction(1, 280), sympy.Rational(1, 280), np.float32(0.003)],
    "00.3": [math.exp, np.exp, lambda loss: np.e**loss, lambda loss: np.float32(np.exp(loss)), lambda loss: sympy.exp(loss)],
    "00.4": [{"B", "D"}, {"B, D"}, "B and D", ["D", "B"], "BD", "b, d", ("b", "d")],
}

TYPED_WRONG = {
    "00.1": "tokens_per_step = 36",
    "00.2": "my_guess = 280",
    "00.3": "def perplexity(loss):\n    return 2 ** loss",
    "00.4": 'may_differ = {"A"}',
}
