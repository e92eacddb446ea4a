"""Answers for chapter 01: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math
from collections import OrderedDict

import numpy as np
import sympy
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns


def signed_mean(parameters):
    return {name: array.mean() for name, array in parameters.items()}


def late_abs(parameters):
    return {name: abs(array.mean()) for name, array in parameters.items()}


def summed(parameters):
    return {name: np.abs(array).sum() for name, array in parameters.items()}


def largest(parameters):
    return {name: np.abs(array).max() for name, array in parameters.items()}


def first_hundred(parameters):
    return {name: np.abs(array.ravel()[:100]).mean() for name, array in parameters.items()}


def embedding_only(parameters):
    return {"embedding": np.abs(parameters["embedding"]).mean()}


def changes_input(parameters):
    for array in parameters.values():
        np.abs(array, out=array)
    return {name: array.mean() for name, array in parameters.items()}


def magnitudes_as_pairs(parameters):
    return [(name, np.float32(abs(array).sum() / array.size)) for name, array in parameters.items()]


def magnitudes_reversed(parameters):
    return OrderedDict((name, np.mean(np.abs(parameters[name]), keepdims=True)) for name in reversed(list(parameters)))


VERDICTS = {
    "initialisation": "convicted",
    "gradients too small": "acquitted",
    "attention": "acquitted",
    "no clipping": "acquitted",
    "threads": "acquitted",
}

WRONG = {
    "01.1": [
        (6, "not on the list"),
        (2.5, "not on the list"),
        ("the compiler", "a number was asked for"),
        (None, "number|finite"),
        (np.zeros(3), "one number"),
        (-1, "not on the list"),
        ([1, 2], "one number was asked for"),
    ],
    "01.2": [
        (math.log10, "base 10"),
        (lambda size: round(math.log(size), 4), "Do not round"),
        (math.log2, "in bits"),
        (lambda size: -math.log(size), "The sign"),
        (lambda size: 1 / size, "the probability itself"),
        (lambda size: size, "perplexity"),
        (returns(9.2103403719), "does your function use its argument"),
        (lambda size: math.log(size + 1), "math.log1p"),
        *BROKEN_FUNCTIONS,
    ],
    "01.3": [
        (signed_mean, "both signs cancel"),
        (lambda p: {k: round(float(abs(v).mean()), 4) for k, v in p.items()}, "Do not round"),
        (late_abs, "absolute value after the mean"),
        (lambda p: {k: float(abs(v[v != 0]).mean()) for k, v in p.items()}, "leave out the zeros"),
        (lambda p: {k: float(abs(v).sum() / max(1, np.count_nonzero(v))) for k, v in p.items()}, "leave out the zeros"),
        (summed, "That is the sum"),
        (largest, "That is the largest"),
        (first_hundred, "first 100"),
        (embedding_only, "nothing for 'layers.0.attention.query_weight'"),
        (changes_input, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (returns(0.5), "a dictionary was asked for"),
        (lambda p: dict.fromkeys(p, float("nan")), "finite"),
        (lambda p: dict.fromkeys(p, np.zeros(2)), "one number"),
        (0.1, "a function was asked for"),
    ],
    "01.4": [
        ({"embedding", "bias"}, "'bias' is none of the kinds"),
        (3, "is no set of names"),
        (None, "is no set of names"),
        ("the compiler", "none of the kinds"),
        (["query", None], "'none' is none of the kinds"),
        (np.zeros(3), "'0.0' is none of the kinds"),
        ({"gain": True, "matrix": False}, "'matrix' is none of the kinds"),
    ],
    "01.5": [
        (VERDICTS | {"attention": "convicted"}, "Real attention in the patient"),
        (VERDICTS | {"initialisation": "acquitted"}, "the one experiment after which the loss moved"),
        (VERDICTS | {"gradients too small": "convicted"}, "1,000 times 0 is 0"),
        (VERDICTS | {"no clipping": "convicted"}, "These have length 0"),
        (VERDICTS | {"threads": "convicted"}, "not one digit"),
        (VERDICTS | {"threads": "guilty"}, "write 'acquitted' or 'convicted'"),
        (VERDICTS | {"threads": ..., "attention": ...}, "still open: attention, threads"),
        (None, "a dictionary from suspect"),
        ("convicted", "a dictionary from suspect"),
        (["convicted"] * 5, "a dictionary from suspect"),
        ({"attention": float("nan")}, "still open"),
    ],
}

RIGHT = {
    "01.1": [0, 3, 5.0, np.int64(1), "3", "attention"],
    "01.2": [
        math.log,
        np.log,
        lambda v: -math.log(1 / v) + 0.0,
        lambda v: np.array([np.log(v)], dtype=np.float32),
        lambda v: sympy.log(v),
        lambda v: -np.mean(np.log(np.full(v, 1 / v))),
        lambda size: str(math.log(size)),
        lambda size: np.array([[math.log(size)]]),
    ],
    "01.3": [
        magnitudes_as_pairs,
        magnitudes_reversed,
        lambda parameters: {k: abs(v).mean() for k, v in parameters.items()},
        lambda parameters: {k: str(abs(v).mean()) for k, v in parameters.items()},
        lambda parameters: {k: [abs(v).mean()] for k, v in parameters.items()},
    ],
    "01.4": [set(), {"embedding"}, ["gains", "Query_weight"], "expand, contract", ("key", "value"), {"output": 1}],
    "01.5": [dict(reversed(VERDICTS.items())), {name: word.upper() for name, word in VERDICTS.items()}, list(VERDICTS.items())],
}

TYPED_WRONG = {
    "01.1": 'my_suspect = "the weather"',
    "01.2": "def uniform_loss(vocab_size):\n    return 1 / vocab_size",
    "01.3": "def weight_magnitudes(parameters):\n    return [abs(array).mean() for array in parameters.values()]",
    "01.4": 'my_zeros = {"the whole layer"}',
    "01.5": 'verdicts = {"attention": "convicted", "initialisation": None}',
}
