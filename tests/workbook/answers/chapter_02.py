"""Answers for chapter 02: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math
from itertools import chain, combinations, permutations, product

import numpy as np
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns


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


def by_parts_of_names(parameters, generator):
    for name, array in parameters.items():
        matrix = 0.02 if "embedding" in name else array.shape[0] ** -0.5
        array[...] = 0.0 if name.endswith("bias") else 1.0 if name.endswith("gain") else matrix * generator.standard_normal(array.shape)


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


def _all_sets(suspects, smallest=1):
    return [set(some) for some in chain(*(combinations(suspects, n) for n in range(smallest, len(suspects) + 1)))]


def one_at_a_time(fall, suspects, enough):
    return [{name} for name in suspects if fall({name}) >= enough]


def singles_and_pairs(fall, suspects, enough):
    return one_at_a_time(fall, suspects, enough) or [{a, b} for a, b in combinations(suspects, 2) if fall({a, b}) >= enough]


def whatever_frees(fall, suspects, enough):
    return [some for some in _all_sets(suspects) if fall(some) >= enough]


def the_first_that_frees(fall, suspects, enough):
    return whatever_frees(fall, suspects, enough)[:1]


def no_part_would_do(fall, suspects, enough):
    kept = []
    for some in _all_sets(suspects):
        if fall(some) >= enough and not any(smaller <= some for smaller in kept):
            kept.append(some)
    return kept


def each_left_out(fall, suspects, enough):
    needed = {name for name in suspects if fall(set(suspects) - {name}) < enough}
    return [needed] if needed else []


def the_best_first(fall, suspects, enough):
    mended, left = set(), list(suspects)
    while left and fall(mended) < enough:
        best = max(left, key=lambda name: fall(mended | {name}))
        left.remove(best)
        mended.add(best)
    return [mended] if fall(mended) >= enough else []


def only_smallest(fall, suspects, enough, wanted=lambda fell, enough: fell >= enough, choose=combinations, make=set, first=1, beyond=1):
    for size in range(first, len(suspects) + beyond):
        freed = [make(some) for some in choose(suspects, size) if wanted(fall(set(some)), enough)]
        if freed:
            return freed
    return []


def by_size(fall, suspects, enough):
    freed = whatever_frees(fall, suspects, enough)
    return {frozenset(some) for some in freed if len(some) == min(map(len, freed))}


def by_binary_numbers(fall, suspects, enough):
    masks = [mask for mask in product([0, 1], repeat=len(suspects)) if any(mask)]
    tried = {mask: fall({name for name, taken in zip(suspects, mask, strict=True) if taken}) for mask in masks}
    least = min((sum(mask) for mask, fell in tried.items() if fell >= enough), default=0)
    return [
        [name for name, taken in zip(suspects, mask, strict=True) if taken]
        for mask in masks
        if sum(mask) == least and tried[mask] >= enough
    ]


def in_tuples_one_by_one(fall, suspects, enough):
    found = 0
    for some in _all_sets(suspects):
        if found and len(some) > found:
            return
        if fall(some) >= enough:
            found = len(some)
            yield tuple(some)


STUCK = {"A": "clip", "B": "zero embedding", "C": "copy", "D": "rate"}

WRONG = {
    "02.1": [
        (5, "is not in the table"),
        (0, "is not in the table"),
        (2.5, "is not in the table"),
        ("it explodes", "a number was asked for"),
        (None, "a number was asked for"),
        (np.zeros(3), "one number"),
        ([1, 2], "one number was asked for"),
    ],
    "02.2": [
        (lambda variance, n, eps=1e-5: (variance + eps) ** (-(n - 1) / 2), "one layer short"),
        (lambda variance, n, eps=1e-4: (variance + 1e-5) ** (-n / 2), "Use the argument eps"),
        (lambda variance, n: (variance + 1e-5) ** (-n / 2), "it raised TypeError"),
        (lambda variance, n, eps=1e-5: n / math.sqrt(variance + eps), "a power"),
        (lambda variance, n, eps=1e-5: 1 / math.sqrt(variance + eps), "That is one layer"),
        (lambda variance, n, eps=1e-5: (variance + eps) ** -n, "square root is missing"),
        (lambda variance, n, eps=1e-5: (1 / (math.sqrt(variance) + eps)) ** n, "eps after the square root"),
        (lambda variance, n, eps=1e-5: math.sqrt(variance + eps) ** n, "Upside down"),
        (lambda variance, n, eps=1e-5: (1 / math.sqrt(variance)) ** n, "ZeroDivisionError"),
        (lambda variance, n, eps=1e-5: int((variance + eps) ** (-n / 2)), "Do not round"),
        *BROKEN_FUNCTIONS,
    ],
    "02.3": [
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
        (lambda p, g: _fill(p, g, draw=lambda shape: np.tile(g.standard_normal(shape[1]), (shape[0], 1))), "in a column of"),
        (lambda p, g: _fill(p, g, draw=lambda shape: np.tile(g.standard_normal((shape[0], 1)), shape[1])), "in a row of"),
        (lambda p, g: _fill(p, g, draw=lambda shape: np.tile(g.standard_normal((shape[0], shape[1] // 2)), 2)), "stands there twice"),
        (lambda p, g: _fill(p, g, draw=lambda shape: np.sort(g.standard_normal(shape), axis=None).reshape(shape)), "in no order"),
        (
            lambda p, g: _fill(p, g, draw=lambda shape: g.standard_normal(shape) * (np.arange(shape[0], dtype=np.int64) > 0)[:, None]),
            "in a row of",
        ),
        (by_parts_of_names, "layers.0.embedding_again.unbiased_weight"),
        (global_draws, "the same seed gave two different models"),
        (own_generator, "another seed gave the same model"),
        (lambda p, g: _fill(p, g, matrix=lambda a: float("nan")), "holds NaN"),
        (lambda parameters: parameters.clear(), "it raised TypeError"),
        (raises, "it raised KeyError"),
        (np.zeros(3), "a function was asked for"),
        (None, "a function was asked for"),
    ],
    "02.4": [
        (one_at_a_time, "you mend one at a time"),
        (whatever_frees, "you list every set that frees"),
        (the_first_that_frees, "Another of the same size"),
        (singles_and_pairs, "no further than pairs"),
        (no_part_would_do, "sets of several sizes"),
        (each_left_out, "leave out one repair at a time"),
        (the_best_first, "the best of them says nothing"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, beyond=0), "sizes end one short"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, first=2), "you begin with pairs"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, first=0, wanted=lambda fell, much: True), "the empty set"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, wanted=lambda fell, much: fell > much), "exactly `enough`"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, wanted=lambda fell, much: fell > 0), "any fall at all"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, wanted=lambda fell, much: fell <= much), "turned round"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, 0.5), "a number of your own"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, choose=permutations), "lists a set twice"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, first=0), "the empty set"),
        (lambda fall, suspects, enough: only_smallest(lambda some: fall(tuple(some)), suspects, enough), "of type tuple"),
        (lambda fall, suspects, enough: only_smallest(lambda some: sum(fall({one}) for one in some), suspects, enough), "add up"),
        (lambda fall, suspects, enough: sorted(only_smallest(fall, suspects, enough), key=fall)[-1:], "the best of that size"),
        (lambda fall, suspects, enough: only_smallest(lambda some: abs(fall(some)), suspects, enough), "without abs"),
        (lambda fall, suspects, enough: (only_smallest(fall, suspects, enough) or [set()])[0], "it returned a set with"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, 0.1), "a number of your own|does what the solution|that"),
        (lambda fall, suspects, enough: [set(suspects)], "the whole list of suspects"),
        (lambda fall, suspects, enough: only_smallest(fall, suspects, enough, make="+".join), "a list of sets was asked for"),
        (lambda fall, suspects, enough: [name for name in suspects if fall(name) >= enough], "even of one"),
        (lambda fall, suspects, enough: only_smallest(fall, ["rate", "attention"], enough), "none of the names in suspects"),
        (lambda fall, suspects, enough: [{"rate"}], "none of the names in suspects"),
        (lambda fall, suspects, enough: len(suspects), "a list of sets was asked for"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (returns([None]), "a list with None in it"),
        ([{"initialisation", "rate"}], "a function was asked for"),
    ],
    "02.5": [
        (dict.fromkeys("ABCD", "all zero"), "A as 'all zero': then every array would have mean"),
        (STUCK | {"A": "rate"}, "A as 'rate': then the gradients would reach the optimiser whole"),
        (STUCK | {"D": "clip"}, "D as 'clip': then model.gradients"),
        (STUCK | {"C": "rate"}, "history.learning_rates would be next to nothing"),
        (STUCK | {"D": "copy"}, "no weight would differ afterwards"),
        (STUCK | {"C": "zero embedding"}, "C as 'zero embedding': then the loss would be ln V at every batch"),
        (STUCK | {"B": "no backward"}, "B as 'no backward': then loss_and_gradients would give zeros"),
        (STUCK | {"B": "all zero"}, "the gains too"),
        (STUCK | {"B": "initialisation"}, "B is 'initialisation', which is not in the table"),
        (STUCK | {"A": ..., "C": ...}, "still open: A, C"),
        ({"A": "clip"}, "still open: B, C, D"),
        (["clip", "zero embedding", "copy", "rate"], "a dictionary from letter to name was asked for"),
        (None, "a dictionary from letter to name was asked for"),
    ],
}

RIGHT = {
    "02.1": [1, 4.0, np.int64(3), "2"],
    "02.2": [
        lambda variance, n_layers, eps=1e-5: (variance + eps) ** (-n_layers / 2),
        lambda variance, n, eps=1e-5: math.prod([1 / math.sqrt(variance + eps)] * n),
        lambda variance, n, eps=1e-5: np.float32(1 / np.sqrt(variance + eps)) ** n,
        lambda variance, n, eps=1e-5: str((variance + eps) ** (-n / 2)),
        lambda variance, n, eps=1e-5: np.array([(variance + eps) ** (-n / 2)]),
    ],
    "02.3": [uniform_with_the_same_spread, filled_through_out],
    "02.4": [by_size, by_binary_numbers, in_tuples_one_by_one, lambda *given: only_smallest(*given, make=frozenset)],
    "02.5": [
        dict(reversed(STUCK.items())),
        list(STUCK.items()),
        {letter.lower(): name.upper().replace(" ", "_") for letter, name in STUCK.items()},
    ],
}

TYPED_WRONG = {
    "02.1": 'my_outcome = "half the trouble"',
    "02.2": "def amplification(variance, n_layers, eps=1e-5):\n    return n_layers / (variance + eps)",
    "02.3": "def initialise(parameters, generator):\n    parameters = {name: generator.random(a.shape) for name, a in parameters.items()}",
    "02.4": "def smallest_repairs(fall, suspects, enough):\n    return [{name} for name in suspects if fall({name}) >= enough]",
    "02.5": 'diagnosis = {letter: "all zero" for letter in "ABCD"}',
}
