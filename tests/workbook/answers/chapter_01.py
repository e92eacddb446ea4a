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


def _fill(parameters, generator, embedding=0.02, matrix=lambda a: a.shape[0] ** -0.5, gain=1.0, bias=0.0, draw=None):
    draw = draw or generator.standard_normal
    for name, array in parameters.items():
        if name.endswith("bias"):
            array[...] = bias
        elif name.endswith("gain"):
            array[...] = gain
        else:
            array[...] = (embedding if name == "embedding" else matrix(array)) * draw(array.shape)


def rebinds(parameters, generator):
    for name, array in parameters.items():
        parameters[name] = generator.standard_normal(array.shape)


def leaves_early(parameters, generator):
    if getattr(generator, "weight_block", None) is None:
        return


def all_equal(parameters, generator):
    _fill(parameters, generator, draw=np.ones)


def divides_by_fan_in(parameters, generator):
    _fill(parameters, generator, matrix=lambda a: 1 / a.shape[0])


def by_fan_out(parameters, generator):
    _fill(parameters, generator, matrix=lambda a: a.shape[1] ** -0.5)


def unscaled(parameters, generator):
    _fill(parameters, generator, embedding=1.0, matrix=lambda a: 1.0)


def everything_small(parameters, generator):
    _fill(parameters, generator, matrix=lambda a: 0.02)


def zero_gain(parameters, generator):
    _fill(parameters, generator, gain=0.0)


def random_bias(parameters, generator):
    _fill(parameters, generator, bias=0.1)


def adds(parameters, generator):
    for name, array in parameters.items():
        if name.endswith("gain"):
            array += 1.0
        elif not name.endswith("bias"):
            array += (0.02 if name == "embedding" else array.shape[0] ** -0.5) * generator.standard_normal(array.shape)


def forgets_norms(parameters, generator):
    for name, array in parameters.items():
        if name.endswith("gain"):
            array[...] = 1.0
        elif not name.endswith("_bias"):
            array[...] = (0.02 if name == "embedding" else array.shape[0] ** -0.5) * generator.standard_normal(array.shape)


def one_sided(parameters, generator):
    _fill(parameters, generator, draw=lambda shape: generator.random(shape))


def global_draws(parameters, generator):
    _fill(parameters, generator, draw=lambda shape: np.random.default_rng().standard_normal(shape))


def own_generator(parameters, generator):
    _fill(parameters, generator, draw=np.random.default_rng(0).standard_normal)


def uniform_with_the_same_spread(parameters, generator):
    _fill(parameters, generator, draw=lambda shape: generator.uniform(-(3**0.5), 3**0.5, shape))
    return parameters


def filled_through_out(parameters, generator):
    for name, array in sorted(parameters.items(), reverse=True):
        if array.ndim == 1:
            array.fill(name.endswith("gain"))
        else:
            generator.standard_normal(out=array)
            array *= 0.02 if name == "embedding" else 1 / math.sqrt(len(array))


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
        (lambda variance, n, eps=1e-5: (variance + eps) ** (-(n - 1) / 2), "one layer short"),
        (lambda variance, n, eps=1e-4: (variance + 1e-5) ** (-n / 2), "Use the argument eps"),
        (lambda variance, n: (variance + 1e-5) ** (-n / 2), "it raised TypeError"),
        (lambda variance, n, eps=1e-5: n / math.sqrt(variance + eps), "a power"),
        (lambda variance, n, eps=1e-5: 1 / math.sqrt(variance + eps), "That is one layer"),
        (lambda variance, n, eps=1e-5: (variance + eps) ** -n, "square root is missing"),
        (lambda variance, n, eps=1e-5: (1 / (math.sqrt(variance) + eps)) ** n, "eps after the square root"),
        (lambda variance, n, eps=1e-5: math.sqrt(variance + eps) ** n, "Upside down"),
        (lambda variance, n, eps=1e-5: (1 / math.sqrt(variance)) ** n, "ZeroDivisionError"),
        *BROKEN_FUNCTIONS,
    ],
    "01.5": [
        (rebinds, "another array, and the model still holds the old zeros"),
        (leaves_early, "still zero"),
        (all_equal, "Equal weights get equal gradients"),
        (divides_by_fan_in, "its square root was asked for"),
        (by_fan_out, "fan_in is the first axis"),
        (unscaled, "standard deviation of 'embedding' is"),
        (everything_small, "embedding's spread"),
        (zero_gain, "multiplies everything"),
        (random_bias, "Biases were to start at 0"),
        (adds, "Write over what is there"),
        (forgets_norms, "'layers.0.attention_norm.bias' is not 0"),
        (lambda p, g: _fill(p, g, matrix=lambda a: (2 / a.shape[0]) ** 0.5), "He's rule"),
        (lambda p, g: _fill(p, g, matrix=lambda a: (2 / sum(a.shape)) ** 0.5), "Glorot's rule"),
        (one_sided, "should lie around 0"),
        (global_draws, "the same seed gave two different models"),
        (own_generator, "another seed gave the same model"),
        (lambda p, g: _fill(p, g, matrix=lambda a: float("nan")), "holds NaN"),
        (lambda parameters: parameters.clear(), "it raised TypeError"),
        (raises, "it raised KeyError"),
        (np.zeros(3), "a function was asked for"),
        (None, "a function was asked for"),
    ],
    "01.6": [
        (VERDICTS | {"attention": "convicted"}, "Real attention in the patient"),
        (VERDICTS | {"initialisation": "acquitted"}, "the one experiment after which the loss moved"),
        (VERDICTS | {"gradients too small": "convicted"}, "1,000 times 0 is 0"),
        (VERDICTS | {"no clipping": "convicted"}, "These have length 0"),
        (VERDICTS | {"threads": "convicted"}, "not one digit"),
        (VERDICTS | {"threads": "guilty"}, "write 'acquitted' or 'convicted'"),
        (VERDICTS | {"threads": ..., "attention": ...}, "still open: attention, threads"),
        (None, "cannot make sense"),
        ("convicted", "cannot make sense"),
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
    "01.4": [
        lambda variance, n_layers, eps=1e-5: (variance + eps) ** (-n_layers / 2),
        lambda variance, n, eps=1e-5: math.prod([1 / math.sqrt(variance + eps)] * n),
        lambda variance, n, eps=1e-5: np.float32(1 / np.sqrt(variance + eps)) ** n,
        lambda variance, n, eps=1e-5: str((variance + eps) ** (-n / 2)),
        lambda variance, n, eps=1e-5: np.array([(variance + eps) ** (-n / 2)]),
    ],
    "01.5": [uniform_with_the_same_spread, filled_through_out],
    "01.6": [dict(reversed(VERDICTS.items())), {name: word.upper() for name, word in VERDICTS.items()}, list(VERDICTS.items())],
}

TYPED_WRONG = {
    "01.1": 'my_suspect = "the weather"',
    "01.2": "def uniform_loss(vocab_size):\n    return 1 / vocab_size",
    "01.3": "def weight_magnitudes(parameters):\n    return [abs(array).mean() for array in parameters.values()]",
    "01.4": "def amplification(variance, n_layers, eps=1e-5):\n    return n_layers / (variance + eps)",
    "01.5": "def initialise(parameters, generator):\n    parameters = {name: generator.random(a.shape) for name, a in parameters.items()}",
    "01.6": 'verdicts = {"attention": "convicted", "initialisation": None}',
}
