"""Answers that are wrong in every exercise that asks for a number, or an array, from a function."""

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


def broken_arrays(shape):
    return [
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (returns(np.full(shape, np.nan)), "NaN"),
        (returns(np.zeros(7)), r"has shape \(7,\)"),
        (returns(np.zeros((1, 9))), r"has shape \(1, 9\)"),
        (returns([[1.0]]), r"has shape \(1, 1\)"),
        (returns("an array"), "of type str; an array of numbers"),
        (3, "a function was asked for"),
        (None, "a function was asked for"),
    ]
