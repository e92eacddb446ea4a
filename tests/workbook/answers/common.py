"""Answers that are wrong in every exercise that asks for a number from a function."""

import numpy as np


def returns(value):
    return lambda *arguments: value


def raises(*arguments):
    raise KeyError("x")


BROKEN_FUNCTIONS = [
    (returns(None), "returned None"),
    (raises, "it raised KeyError"),
    (returns(float("nan")), "a finite number was asked for"),
    (returns(np.zeros(3)), r"shape \(3,\); one number was asked for"),
    (returns("nine"), "a number was asked for"),
    (3, "a function was asked for"),
]
