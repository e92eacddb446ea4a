"""Exercises of 02_half_a_repair."""

import math
from collections.abc import Set
from itertools import combinations

import numpy as np

from cllm_lib.casebook.patients import STUCK_FAULTS
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.workbook.exercises.forms import as_nothing, as_number, as_sets
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    brief,
    call,
    faults_by_letter,
    number,
    run,
    same,
    shown,
    told_apart,
)

OUTCOMES = {
    1: "it stands at 9.2103",
    2: "it falls, slowly",
    3: "it falls as in a healthy model",
    4: "it is no number any more",
}


def outcome(answer):
    """A prediction: 1 to 4."""
    value = number(answer, "your bet")
    if value not in OUTCOMES:
        raise NotYet(f"{shown(value)} is not in the table: write a number from 1 to 4.")
    return f"{OUTCOMES[int(value)]}. The program itself will decide."


def amplification(variance, n_layers, eps=1e-5):
    """Reference: one factor 1 / sqrt(variance + eps) for each layer."""
    return (1 / math.sqrt(variance + eps)) ** n_layers


def examine_amplification(answer):
    """Deep and shallow, with variances from 0 to above 1: nowhere but at one point do two mistakes give the same."""

    def look(variance, n_layers, *eps):
        value = number(call(answer, variance, n_layers, *eps), f"amplification({variance}, {n_layers})")
        expected, single = amplification(variance, n_layers, *eps), amplification(variance, 1, *eps)
        beside = eps[0] if eps else 1e-5
        mistakes = {
            "That is one layer short: n_layers layers give n_layers factors.": single ** (n_layers - 1),
            "You multiply by the number of layers. Each layer multiplies what the one above hands down: a power.": single * n_layers,
            "That is one layer. What happens when the next one multiplies again?": single,
            "You add eps after the square root. LayerNorm adds it before: 1 / sqrt(variance + eps).": (
                (1 / (math.sqrt(variance) + beside)) ** n_layers
            ),
            "The square root is missing: LayerNorm divides by the standard deviation.": single ** (2 * n_layers),
            "Upside down: the gradient is divided by a small number, so it grows.": 1 / expected,
            "That is right for eps = 1e-5 only. Use the argument eps; other libraries choose other values.": (
                amplification(variance, n_layers)
            ),
        }
        seen = f"amplification({', '.join(map(str, (variance, n_layers, *eps)))}) is {value:.3g}; {expected:.3g} was asked for."
        return seen, value, expected, mistakes

    cases = ((0.3, 3), (0.0, 6), (0.0, 1), (1.0, 6), (2.5, 2), (0.0, 2, 1e-4), (0.3, 2, 0.1))
    told_apart(look, cases, _within_a_thousandth, "One layer gives 1 / sqrt(variance + eps); the layers multiply.")


def _within_a_thousandth(first, second):
    return abs(first - second) <= 1e-3 * abs(second)


def examine_initialise(answer):
    """Fills in place, from the generator given, with the spread asked for; any distribution will do."""
    shapes = {
        "embedding": (300, 40),
        "layers.0.attention.query_weight": (90, 120),
        "layers.0.attention.query_bias": (120,),
        "layers.0.attention_norm.gain": (90,),
        "layers.0.attention_norm.bias": (90,),
        "layers.0.feed_forward.contract_weight": (160, 60),
        "layers.0.embedding_again.unbiased_weight": (120, 90),  # neither the embedding, nor ending in gain or bias
    }
    first, second, other = (_initialised(answer, shapes, seed) for seed in (3, 3, 4))
    for name in shapes:
        _examine_array(name, first[name])
    weights = [(name, array) for name, array in first.items() if not name.endswith(("bias", "gain"))]
    told_apart(_spread, weights, _same_spread, "0.02 for the embedding, 1 / sqrt(fan_in) for a matrix.")
    if not same(first, second):
        raise NotYet("the same seed gave two different models. Draw from the generator you are given, not from np.random.")
    if not same(first, _initialised(answer, shapes, 3, memory_holds=7.0)):
        raise NotYet("where memory was not zero before, your function leaves other weights. Write over what is there: array[...] = values.")
    if np.array_equal(first["embedding"], other["embedding"]):
        raise NotYet("another seed gave the same model. Draw from the generator you are given; do not make one inside.")


def _initialised(function, shapes, seed, memory_holds=0.0):
    """What `function` leaves in memory that held one number everywhere."""
    memory = {name: np.full(shape, memory_holds) for name, shape in shapes.items()}
    handed = dict(memory)
    run(function, handed, np.random.default_rng(seed))
    rebound = [name for name in shapes if handed.get(name) is not memory[name]]
    if rebound:
        raise NotYet(
            f"parameters[{rebound[0]!r}] is now another array, and the model still holds the old zeros: the incident itself. "
            "Fill it in place: parameters[name][...] = values."
        )
    return memory


def _examine_array(name, array):
    if not np.isfinite(array).all():
        raise NotYet(f"{name!r} holds NaN or infinite numbers. Was a spread divided by 0?")
    if name.endswith("bias"):
        if array.any():
            raise NotYet(f"{name!r} is not 0. Biases were to start at 0: nothing is known yet that would call for a shift.")
        return
    if name.endswith("gain"):
        if not array.any():
            raise NotYet(f"{name!r} is 0, and multiplies everything that flows through its LayerNorm by 0. Gains start at 1.")
        if not np.allclose(array, 1.0):
            raise NotYet(f"{name!r} is not 1. A gain of 1 leaves what LayerNorm made as it is.")
        return
    if not array.any():
        raise NotYet(f"{name!r} is still zero. Is it never filled, as in the incident, or filled with 0?")
    spread, mean = array.std(), array.mean()
    if spread < 1e-12:
        raise NotYet(f"every weight of {name!r} is {shown(mean)}. Equal weights get equal gradients and stay equal: draw them at random.")
    for axis, what in enumerate(("column", "row")):
        if array.std(axis=axis).min() < 0.1 * spread:
            raise NotYet(f"in a {what} of {name!r} the weights are (nearly) all the same. Draw every weight by itself, in no order.")
    for axis, what in enumerate(("row", "column")):
        if np.unique(array, axis=axis).shape != array.shape:
            raise NotYet(f"a {what} of {name!r} stands there twice. Equal weights get equal gradients and stay equal: draw each by itself.")
    if abs(mean) > 0.1 * max(_asked_for(name, array), spread):
        raise NotYet(f"the mean of {name!r} is {shown(mean)}; weights should lie around 0. Does your draw take both signs?")


def _asked_for(name, array):
    return 0.02 if name == "embedding" else 1 / math.sqrt(array.shape[0])


def _spread(name, array):
    """The spread of one array of weights, beside what was asked for and what plausible mistakes give; None where they say nothing."""
    fan_in, fan_out, right = *array.shape, _asked_for(name, array)
    embedding = name == "embedding"
    mistakes = {
        "You divide by fan_in; its square root was asked for.": None if embedding else 1 / fan_in,
        "That is 1 / sqrt(fan_out): fan_in is the first axis, the numbers that each sum adds up.": None if embedding else fan_out**-0.5,
        "That is a plain standard normal: nothing scales it.": 1.0,
        "That is a plain uniform draw from -1 to 1: nothing scales it.": 3**-0.5,
        "That is He's rule, sqrt(2 / fan_in), a good one with ReLU; here 1 / sqrt(fan_in) was asked for.": (
            None if embedding else math.sqrt(2 / fan_in)
        ),
        "That is Glorot's rule, sqrt(2 / (fan_in + fan_out)); here 1 / sqrt(fan_in) was asked for.": (
            None if embedding else math.sqrt(2 / (fan_in + fan_out))
        ),
        "That is the embedding's spread; a matrix wants 1 / sqrt(fan_in).": 0.02,
        "That is the spread of a matrix, 1 / sqrt(fan_in); the embedding wants 0.02.": fan_in**-0.5,
    }
    seen = f"the standard deviation of {name!r} is {shown(array.std())}; {shown(right)} was asked for."
    return seen, array.std(), right, mistakes


def _same_spread(first, second):
    return abs(first - second) <= 0.04 * second  # 10,000 draws know it to 1 %


def smallest_repairs(fall, suspects, enough):
    """Reference: all sets of one repair, of two, and so on, until some are enough."""
    for size in range(1, len(suspects) + 1):
        freed = [set(some) for some in combinations(suspects, size) if fall(set(some)) >= enough]
        if freed:
            return freed
    return []


def _patient(*cures, spoilt_by=(), by=1.0, crawl=0.0):
    """A made-up patient: its loss falls `by` so much where all of one of `cures` is repaired and nothing that spoils it, else by little.

    `crawl` is the little that any repair makes, however many there are.
    """

    def fall(repairs):
        if isinstance(repairs, str):
            raise NotYet(f"fall was called with the text {repairs[:20]!r}. Give it a set of names, even of one: {{name}}.")
        if not isinstance(repairs, Set):
            raise NotYet(f"fall was called with something of type {type(repairs).__name__}. Give it a set of names: set(...).")
        unknown = sorted(map(str, repairs - set("abcd")))
        if unknown:
            raise NotYet(f"fall was called with {unknown[0][:30]!r}, which is none of the names in suspects. Give it a set of names.")
        freed = any(set(cure) <= repairs for cure in cures) and not repairs & set(spoilt_by)
        return (by if freed else 0.01 * len(repairs) + crawl * bool(repairs)) + 0.02 * ("c" in repairs)

    return fall


_PATIENTS = [  # fall, suspects, enough
    (_patient("ab"), ["a", "b", "c"], 0.5),
    (_patient("b"), ["a", "b", "c"], 0.5),
    (_patient("a", "c"), ["a", "b", "c"], 0.5),
    (_patient("a", "bc"), ["a", "b", "c"], 0.5),
    (_patient("bd", "ac"), ["d", "c", "b", "a"], 0.5),
    (_patient("abd"), ["a", "b", "c", "d"], 0.5),
    (_patient("abcd"), ["a", "b", "c", "d"], 0.5),
    (_patient("ab", spoilt_by="c"), ["a", "b", "c"], 0.5),
    (_patient(), ["a", "b", "c"], 0.5),
    (_patient("ab", by=0.5), ["a", "b", "c"], 0.5),
    (_patient("ab", by=0.3), ["a", "b", "c"], 0.25),
    (_patient("ab", by=0.7), ["a", "b"], 0.75),
    (_patient("abc", crawl=0.3), ["a", "b", "c", "d"], 0.5),
    (_patient("ab", by=-1.0), ["a", "b", "c"], 0.5),
]


def _freed(fall, suspects, enough, sizes=None):
    """All sets that free the patient, of all sizes or of these."""
    sizes = range(1, len(suspects) + 1) if sizes is None else sizes
    return [set(some) for size in sizes for some in combinations(suspects, size) if fall(set(some)) >= enough]


def _best_first(fall, suspects, enough):
    """Whichever helps most is kept, and the next one added to it."""
    mended = set()
    while len(mended) < len(suspects) and not (mended and fall(mended) >= enough):
        mended |= {max((name for name in suspects if name not in mended), key=lambda name: fall(mended | {name}))}
    return [mended] if fall(mended) >= enough else []


def _none_in_vain(fall, suspects, enough):
    """Sets of any size that free it, and of which no part would."""
    freed = _freed(fall, suspects, enough)
    return [some for some in freed if not any(other < some for other in freed)]


def _left_out(fall, suspects, enough):
    """Those without whose repair all others together are not enough."""
    return [name for name in suspects if not fall(set(suspects) - {name}) >= enough]


_REPAIR_SLIPS = {
    "you add up what single repairs bring. Repairs made together may do more than their sum, or less: ask fall for the whole set.": (
        lambda fall, suspects, enough: smallest_repairs(lambda some: sum(fall({name}) for name in some), suspects, enough)
    ),
    "you list the best of that size alone. Any other of the same size after which the loss falls by `enough` belongs there too.": (
        lambda fall, suspects, enough: [max(freed, key=fall)] if (freed := smallest_repairs(fall, suspects, enough)) else []
    ),
    "a loss that rises by much has not fallen: take the fall as it is, without abs.": (
        lambda fall, suspects, enough: smallest_repairs(lambda some: abs(fall(some)), suspects, enough)
    ),
    "you mend one at a time. Where two causes hold the loss still, neither repair moves it alone: go on to pairs, and to more.": (
        lambda *given: _freed(*given, sizes=[1])
    ),
    "you go no further than pairs. It may take three, or all of them: sizes from 1 to len(suspects).": (
        lambda *given: _freed(*given, sizes=[1]) or _freed(*given, sizes=[2])
    ),
    "your sizes end one short: range(1, n) stops before n, and all repairs together may be needed.": (
        lambda fall, suspects, enough: (
            smallest_repairs(fall, suspects, enough) if _freed(fall, suspects, enough, range(1, len(suspects))) else []
        )
    ),
    "you begin with pairs. One repair alone may be enough.": (
        lambda fall, suspects, enough: next(filter(None, (_freed(fall, suspects, enough, [n]) for n in range(2, len(suspects) + 1))), [])
    ),
    "you list every set that frees the patient. Whatever holds a smallest one frees it too: stop at the first size that does.": _freed,
    "you stop at the first set that frees the patient. Another of the same size may free it too: list all of that size.": (
        lambda *given: smallest_repairs(*given)[:1]
    ),
    "you keep sets of several sizes. One of a single repair is smaller than a pair: only the smallest size was asked for.": _none_in_vain,
    "you keep the repair that helps most and add to it. Where no single one moves the loss, the best of them says nothing.": _best_first,
    "you leave out one repair at a time. That misleads too: a repair may do harm, or two sets may each be enough.": (
        lambda *given: [set(_left_out(*given))] if _left_out(*given) else []
    ),
    "you return the whole list of suspects as one set. Which of them are needed?": lambda fall, suspects, enough: [set(suspects)],
    "a fall of exactly `enough` is enough: >=.": (
        lambda fall, suspects, enough: smallest_repairs(fall, suspects, np.nextafter(enough, math.inf))
    ),
    "any fall at all passes for enough. A patient that crawls is not freed: compare with `enough`.": (
        lambda fall, suspects, enough: smallest_repairs(fall, suspects, 1e-12)
    ),
    "the comparison is turned round: you keep the sets after which the loss falls too little.": (
        lambda fall, suspects, enough: smallest_repairs(lambda repairs: -fall(repairs), suspects, -enough)
    ),
    "you compare with a number of your own. Use the argument `enough`.": (
        lambda fall, suspects, enough: smallest_repairs(fall, suspects, 0.5)
    ),
}


def examine_smallest_repairs(answer):
    """On patients made up for it: one cause, two, three, two ways out, a repair that does harm, none that helps."""
    seen = [_sets(call(answer, *given), given[1]) for given in _PATIENTS]
    wanted = [as_sets(smallest_repairs(*given)) for given in _PATIENTS]
    if seen == wanted:
        _sets(call(answer, _patient("a"), ["a", "b"], 0.0), ["a", "b"])  # where even nothing is enough, sets of one come first
        return
    for reason, slip in _REPAIR_SLIPS.items():
        if seen == [as_sets(slip(*given)) for given in _PATIENTS]:
            raise NotYet(reason)
    found, right = next(pair for pair in zip(seen, wanted, strict=True) if pair[0] != pair[1])
    what = f"that {_listed(right)} would free, and no smaller or other set of that size," if right else "that nothing would free"
    raise Unexplained(f"for a patient {what} it gave {_listed(found)}.")


def _sets(result, suspects):
    """The sets that a reader's function returned, in the one form."""
    if isinstance(result, str | dict) or not hasattr(result, "__iter__"):
        raise NotYet(f"it returned {brief(result)}; a list of sets was asked for, such as [{{'a', 'b'}}].")
    kind, result = type(result).__name__, list(result)
    flat = [one for one in result if isinstance(one, str) or not hasattr(one, "__iter__")]
    if flat:
        raise NotYet(f"it returned a {kind} with {brief(flat[0])} in it; a list of sets was asked for, such as [{{'a', 'b'}}].")
    sets = as_sets(result)
    if any(not one for one in sets):
        raise NotYet("it lists the empty set: without any repair the patient stands still. Where nothing frees it, return [].")
    if any(not one <= set(suspects) for one in sets):
        raise NotYet("it lists something that is none of the names in suspects.")
    if len(set(sets)) < len(sets):
        raise NotYet("it lists a set twice. The order of two repairs does not matter: combinations(suspects, 2), not permutations.")
    return sets


def _listed(sets):
    return "[" + ", ".join("{" + ", ".join(map(repr, sorted(one))) + "}" for one in sets) + "]"


_WOULD_SHOW = {
    "all zero": "every array would have mean |weight| 0, the gains too.",
    "zero embedding": "the loss would be ln V at every batch, and the gradients exactly 0.",
    "no backward": "loss_and_gradients would give zeros although the weights are sound and the loss is not ln V.",
    "clip": "model.gradients, as the optimiser got them, would be far below those of loss_and_gradients.",
    "rate": "the gradients would reach the optimiser whole, and history.learning_rates would be next to nothing.",
    "copy": "a whole gradient would meet an ordinary rate, and no weight would differ afterwards, to the last bit.",
}


def examine_diagnosis(answer):
    """One of six causes for each letter."""
    faults_by_letter(answer, STUCK_FAULTS, _WOULD_SHOW)
    return "Four that stand still, four causes, and none of them the one of this chapter."


EXERCISES = {
    "02.1": Exercise(None, outcome, bet=True),
    "02.2": Exercise(amplification, examine_amplification, form=as_number),
    "02.3": Exercise(scaled_normal, examine_initialise, form=as_nothing),
    "02.4": Exercise(smallest_repairs, examine_smallest_repairs, form=as_sets),
    "02.5": Exercise(STUCK_FAULTS, examine_diagnosis, only_one=True),
}
