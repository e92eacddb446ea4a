"""Exercises of 06_the_shortcut: back through attention, its middle and then the whole part."""

import functools
import itertools
import math
from functools import partial
from types import SimpleNamespace

import numpy as np

from cllm_lib.model.attention import PROJECTIONS, causal_mask, merge_heads, split_heads
from cllm_lib.model.layers import softmax, softmax_backward
from cllm_lib.workbook.exercises.forms import as_array
from cllm_lib.workbook.exercises.gradients import BACKWARDS, GRADIENT_SHAPE, measured_slope, same_results, several, worst_of
from cllm_lib.workbook.exercises.machinery import NotYet, Unexplained, array, call, told_apart
from cllm_lib.workbook.exercises.matrix_product import matmul_backward


def scaled_dot_product_backward(d_output, query, key, value, weights):
    """Reference: the forward pass in reverse."""
    d_value = weights.swapaxes(-1, -2) @ d_output
    d_scores = softmax_backward(d_output @ value.swapaxes(-1, -2), weights) / math.sqrt(query.shape[-1])
    return d_scores @ key, d_scores.swapaxes(-1, -2) @ query, d_value


def examine_scaled_dot_product_backward(answer):
    """Against slopes of a triple loop."""
    names = ("d_query", "d_key", "d_value")

    def look(*shape):
        query, key, value, d_output = np.random.default_rng(sum(shape)).standard_normal((4, *shape))
        _, weights = _attend_by_loops(query, key, value)
        results = several(call(answer, d_output, query, key, value, weights), 3, names)
        found = [array(result, shape, name, GRADIENT_SHAPE) for name, result in zip(names, results, strict=True)]
        right = _attention_slopes(d_output, query, key, value)
        slips = {reason: tuple(results) for reason, results in _slips(d_output, query, key, value, weights).items()}
        return worst_of(names, found, right, 1e-5), found, right, slips

    told_apart(look, ((1, 2, 4, 3), (2, 1, 3, 5), (1, 1, 1, 2)), partial(same_results, tolerance=1e-5), BACKWARDS)


def _attention_slopes(d_output, query, key, value):
    """The three gradients, by nudging each entry of what the loops read."""

    def loss(wanted, index, nudged):
        before, wanted[index] = wanted[index], nudged
        output, _ = _attend_by_loops(query, key, value)
        wanted[index] = before
        return np.sum(output * d_output)

    slopes = []
    for wanted in (query, key, value):
        flat = [measured_slope(partial(loss, wanted, index), wanted[index], 1e-2) for index in np.ndindex(wanted.shape)]
        slopes.append(np.reshape(flat, wanted.shape))
    return slopes


def _slips(d_output, query, key, value, weights):
    """What one gets by plausible mistakes: each a reason and the three results, right ones included."""
    d = query.shape[-1]

    def turned(a):
        return a.swapaxes(-1, -2)

    dw = d_output @ turned(value)
    true = softmax_backward(dw, weights)
    right = (true @ key / math.sqrt(d), turned(true) @ query / math.sqrt(d), turned(weights) @ d_output)
    plain = dw / math.sqrt(d)
    over_queries = weights * (dw - (weights * dw).sum(axis=-2, keepdims=True)) / math.sqrt(d)
    elementwise = weights * (1 - weights) * dw / math.sqrt(d)
    return {
        "You return zeros: did the work stay inside?": [np.zeros_like(query)] * 3,
        "1 / sqrt(d) is missing: the scores were divided on the way there, so their gradient is on the way back.": [
            right[0] * math.sqrt(d),
            right[1] * math.sqrt(d),
            right[2],
        ],
        "You divide by d; the forward pass divided by its square root.": [right[0] / math.sqrt(d), right[1] / math.sqrt(d), right[2]],
        "You multiply by sqrt(d); the scores were divided by it, so their gradient is too.": [right[0] * d, right[1] * d, right[2]],
        "The step through softmax is missing: d_weights is taken for d_scores.": [plain @ key, turned(plain) @ query, right[2]],
        "Each weight is taken on its own, w (1 - w) d_weights. Use your softmax_backward: a row shares one total.": [
            elementwise @ key,
            turned(elementwise) @ query,
            right[2],
        ],
        "softmax_backward sums over the queries; a row shares its total over the keys, the last axis.": [
            over_queries @ key,
            turned(over_queries) @ query,
            right[2],
        ],
        "Not transposed: query q took weight[q, k] of value k, so value k collects over all q: weights transposed @ d_output.": [
            right[0],
            right[1],
            weights @ d_output,
        ],
        "d_key uses d_scores untransposed: key k was asked by all queries q, so it collects over them.": [
            right[0],
            true @ query / math.sqrt(d),
            right[2],
        ],
        "d_query and d_key are exchanged: scores = query . key, so the query's slope holds the key, and the other way round.": [
            right[1],
            right[0],
            right[2],
        ],
        "The three are in another order; return d_query, d_key, d_value.": [right[2], right[0], right[1]],
        "The value path is missing: output = weights @ value, so value gets a gradient as well.": [
            right[0],
            right[1],
            np.zeros_like(value),
        ],
        "The value's gradient is d_output itself: as if each position looked only at itself.": [right[0], right[1], d_output],
    }


def _attend_by_loops(query, key, value):
    """Scaled dot-product attention, causal, one query and one key at a time."""
    output, weights = np.zeros(value.shape), np.zeros((*query.shape[:-1], key.shape[-2]))
    for b, h, q in itertools.product(*map(range, query.shape[:-1])):
        powers = [math.exp(query[b, h, q] @ key[b, h, k] / math.sqrt(query.shape[-1])) for k in range(q + 1)]
        for k, power in enumerate(powers):
            weights[b, h, q, k] = power / sum(powers)
            output[b, h, q] += weights[b, h, q, k] * value[b, h, k]
    return output, weights


def attention_backward(d_output, cache, parameters):
    """Reference: the output projection, the heads, and the three projections, whose paths meet in x."""
    x, query, key, value, weights, merged = cache
    d_merged, d_weight = matmul_backward(d_output, merged, parameters["output_weight"])
    gradients = {"x": 0.0, "output_weight": d_weight, "output_bias": d_output.sum(axis=(0, 1))}
    d_heads = scaled_dot_product_backward(split_heads(d_merged, query.shape[1]), query, key, value, weights)
    for name, d_head in zip(PROJECTIONS, d_heads, strict=True):
        d_projected = merge_heads(d_head)
        d_path, gradients[f"{name}_weight"] = matmul_backward(d_projected, x, parameters[f"{name}_weight"])
        gradients[f"{name}_bias"] = d_projected.sum(axis=(0, 1))
        gradients["x"] += d_path
    return gradients


ON_THE_WAY_BACK = (*(f"{name}_{kind}" for name in ("output", "value", "query", "key") for kind in ("weight", "bias")), "x")


def as_gradients(value):
    """The nine gradients as arrays, by name; what else a reader keeps in the dictionary is left out."""
    value = dict(value)
    return {name: as_array(value[name]) for name in ON_THE_WAY_BACK}


def random_attention(generator, batch, time, n_heads, d_head):
    """What the function is called with: a gradient of the output, what the forward pass kept, and parameters that are all off zero."""
    width = n_heads * d_head
    shapes = {f"{name}_{kind}": (width,) * n for name in (*PROJECTIONS, "output") for kind, n in (("weight", 2), ("bias", 1))}
    parameters = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    x, d_output = generator.standard_normal((2, batch, time, width))
    query, key, value = (split_heads(x @ parameters[f"{name}_weight"] + parameters[f"{name}_bias"], n_heads) for name in PROJECTIONS)
    weights = softmax(np.where(causal_mask(time), query @ key.swapaxes(-1, -2) / math.sqrt(d_head), -np.inf))
    return d_output, (x, query, key, value, weights, merge_heads(weights @ value)), parameters


def examine_attention_backward(answer):
    """Against slopes of loops over heads, queries and keys, at weights off zero."""

    def look(*sizes):
        given = random_attention(np.random.default_rng(sum(sizes)), *sizes)
        found, right = ([of[name] for name in ON_THE_WAY_BACK] for of in (_nine(_called(answer, given), given), _part_slopes(sizes)))
        seen = worst_of(ON_THE_WAY_BACK, found, right, 1e-5)
        if seen.startswith("key_bias"):  # and the weight beside it is right
            raise Unexplained(seen, "What does the key bias add to the scores of one query, key by key? What does softmax make of that?")
        return seen, found, right, _missteps(given)

    told_apart(
        look,
        ((2, 4, 3, 2), (3, 2, 1, 3)),
        partial(same_results, tolerance=1e-5),
        "It is the first that goes wrong on the way back, from the output to x.",
    )


def _called(answer, given):
    """What the function returns; where shapes did not fit, that is said in terms of heads."""
    try:
        return call(answer, *given)
    except Unexplained as reason:
        raised, _, _ = str(reason).partition(" The arguments were")
        if not raised.startswith("it raised ValueError"):
            raise
        raise NotYet(
            f"{raised} Which shapes meet there? Those of heads are (B, H, T, d), all others (B, T, D): split_heads and merge_heads lead "
            "there and back."
        ) from None


def _nine(result, given):
    """The nine gradients out of what was returned, each of its array's shape."""
    try:
        result = dict(result)
    except (TypeError, ValueError):
        raise NotYet(
            f"it returned a thing of type {type(result).__name__}; a dictionary of nine gradients was asked for, "
            '"x" and the names of `parameters`.'
        ) from None
    missing = [name for name in ON_THE_WAY_BACK if name not in result]
    if missing:
        raise NotYet(f'no gradient has the name {", ".join(missing)}: nine were asked for, "x" and the names of `parameters`.')
    _, (x, *_), parameters = given
    why = {"x": GRADIENT_SHAPE, "bias": "one bias served all positions of all sequences: sum over both."}
    why["weight"] = "one weight served all positions of all sequences, so it collects over both."
    shapes = {name: array.shape for name, array in ({"x": x} | parameters).items()}
    return {name: array(result[name], shapes[name], name, why[name.rpartition("_")[2]]) for name in ON_THE_WAY_BACK}


@functools.cache
def _part_slopes(sizes):
    """All nine gradients by nudging each entry of what the loops read."""
    d_output, (x, *_), parameters = random_attention(np.random.default_rng(sum(sizes)), *sizes)
    arrays, n_heads = {"x": x} | parameters, sizes[2]

    def loss(wanted, index, nudged):
        before, wanted[index] = wanted[index], nudged
        output = _part_by_loops(arrays, n_heads)
        wanted[index] = before
        return np.sum(output * d_output)

    slopes = {}
    for name, wanted in arrays.items():
        flat = [measured_slope(partial(loss, wanted, index), wanted[index], 1e-2) for index in np.ndindex(wanted.shape)]
        slopes[name] = np.round(np.reshape(flat, wanted.shape), 9) + 0.0  # nudging leaves rounding where nothing answers
    return slopes


def _part_by_loops(arrays, n_heads):
    """Multi-head attention, a head after the other: it reads its own columns of each projection."""
    query, key, value = (arrays["x"] @ arrays[f"{name}_weight"] + arrays[f"{name}_bias"] for name in PROJECTIONS)
    d_head = query.shape[-1] // n_heads
    heads = []
    for columns in (slice(h * d_head, (h + 1) * d_head) for h in range(n_heads)):
        output, _ = _attend_by_loops(*(of[:, None, :, columns] for of in (query, key, value)))
        heads.append(output[:, 0])
    return np.concatenate(heads, axis=-1) @ arrays["output_weight"] + arrays["output_bias"]


def _missteps(given):
    """What one gets by plausible mistakes: by the sentence for each, the nine gradients of all that it covers."""
    mistakes = {}
    for reason, changed in _MISSTEPS:
        with np.errstate(all="ignore"):
            results = _backward(*given, **changed)
        mistakes.setdefault(reason, []).append([results[name] for name in ON_THE_WAY_BACK])
    return mistakes


def _backward(d_output, cache, parameters, **changed):
    """The nine gradients, step by step, with some steps changed."""
    x, query, key, value, weights, merged = cache
    step = SimpleNamespace(**(_STEPS | changed))
    gradients = {"output_weight": step.of_weight(step.met_output(x, merged), d_output)}
    d_merged = step.through_output(d_output, parameters["output_weight"])
    gradients["output_bias"] = step.of_bias(step.reaches_output_bias(d_output, d_merged))
    d_attended = step.split(d_merged, query.shape[1])
    d_scores = step.through_softmax(d_attended @ value.swapaxes(-1, -2), weights) / step.scale(query.shape[-1], query.shape[1])
    d_heads = [d_scores @ key, d_scores.swapaxes(-1, -2) @ query, step.of_value(weights) @ d_attended]
    paths = {"": step.besides(d_output)}
    for name, place in zip(PROJECTIONS, step.order, strict=True):
        d_projected = step.reaches(step.merge(d_heads[place]), d_output)
        gradients[f"{name}_weight"] = step.of_weight(step.met(x, merged), d_projected)
        gradients[f"{name}_bias"] = step.of_bias(d_projected)
        paths[name] = step.through(d_projected, parameters[f"{name}_weight"])
    return gradients | {"x": sum(paths[name] for name in ("", *step.paths))}


def _collected(x, dy):
    return np.einsum("btd,bte->de", x, dy)


def _back(dy, weight):
    return dy @ weight.T


_STEPS = {
    "met_output": lambda x, merged: merged,
    "through_output": _back,
    "reaches_output_bias": lambda d_output, d_merged: d_output,
    "split": split_heads,
    "through_softmax": softmax_backward,
    "scale": lambda d, n_heads: math.sqrt(d),
    "of_value": lambda weights: weights.swapaxes(-1, -2),
    "order": (0, 1, 2),
    "merge": merge_heads,
    "reaches": lambda d_projected, d_output: d_projected,
    "met": lambda x, merged: x,
    "of_weight": _collected,
    "of_bias": lambda dy: dy.sum(axis=(0, 1)),
    "through": _back,
    "besides": lambda d_output: 0.0,
    "paths": PROJECTIONS,
}


def _split_alone(x, n_heads):
    return x.reshape(len(x), n_heads, x.shape[1], -1)


def _split_by_turns(x, n_heads):
    return x.reshape(*x.shape[:2], -1, n_heads).transpose(0, 3, 1, 2)


def _merge_alone(x):
    return x.reshape(len(x), x.shape[2], -1)


_RESHAPED = "The heads are cut or joined by reshape alone, which carries no axis past another: split_heads on the way in, merge_heads back."
_MISSTEPS = [
    *(
        (_RESHAPED, changed)
        for changed in ({"split": _split_alone}, {"merge": _merge_alone}, {"split": _split_alone, "merge": _merge_alone})
    ),
    ("Head 0 has every H-th column; its columns stand side by side: reshape to (B, T, H, d), not (d, H).", {"split": _split_by_turns}),
    ("The way back through output_weight is missing: d_output is not yet the gradient of the heads.", {"through_output": lambda dy, w: dy}),
    ("output_weight is not transposed on the way back.", {"through_output": lambda dy, w: dy @ w}),
    ("output_weight met the merged heads in the forward pass, not x.", {"met_output": lambda x, merged: x}),
    ("The projections met x in the forward pass, not the merged heads.", {"met": lambda x, merged: merged}),
    ("output_bias was added in the last step: nothing but d_output reaches it.", {"reaches_output_bias": lambda dy, d_merged: d_merged}),
    (
        "Turned on its side: a weight's rows belong to what went in, its columns to what came out.",
        {"of_weight": lambda x, dy: _collected(dy, x)},
    ),
    ("You take the mean over the sequences; they collect.", {"of_weight": lambda x, dy: _collected(x, dy) / len(x)}),
    ("You take the mean over sequences and positions; they collect.", {"of_weight": lambda x, dy: _collected(x, dy) / x[..., 0].size}),
    ("That is one sequence alone; all of them used it.", {"of_weight": lambda x, dy: _collected(x[:1], dy[:1])}),
    ("You take the mean over the sequences; they collect.", {"of_bias": lambda dy: dy.sum(axis=1).mean(axis=0)}),
    ("You take the mean over the positions; they collect.", {"of_bias": lambda dy: dy.mean(axis=1).sum(axis=0)}),
    ("You take the mean over sequences and positions; they collect.", {"of_bias": lambda dy: dy.mean(axis=(0, 1))}),
    ("That is one sequence alone; all of them used it.", {"of_bias": lambda dy: dy[0].sum(axis=0)}),
    ("1 / sqrt(d) is missing: the scores were divided on the way there. d is the width of a head.", {"scale": lambda d, n_heads: 1.0}),
    ("You divide by d; the forward pass divided by its square root.", {"scale": lambda d, n_heads: d}),
    (
        "You divide by the square root of the whole width D; each head divided by that of its own, d.",
        {"scale": lambda d, n_heads: math.sqrt(d * n_heads)},
    ),
    ("The step through softmax is missing: d_weights is taken for d_scores.", {"through_softmax": lambda dw, w: dw}),
    ("The step through softmax takes each weight on its own; a row shares one total.", {"through_softmax": lambda dw, w: w * (1 - w) * dw}),
    ("The attention weights are not transposed: value k collects over all queries.", {"of_value": lambda weights: weights}),
    ("The gradients of query and key are exchanged.", {"order": (1, 0, 2)}),
    ("The gradients of query and value are exchanged.", {"order": (2, 1, 0)}),
    ("The gradients of key and value are exchanged.", {"order": (0, 2, 1)}),
    ("The three heads' gradients come in another order: query, key, value.", {"order": (1, 2, 0)}),
    ("The three heads' gradients come in another order: query, key, value.", {"order": (2, 0, 1)}),
    ("That is the shortcut of the bet: the outer product of x and d_output.", {"reaches": lambda d_projected, d_output: d_output}),
    ("The weights of the projections are not transposed on the way back to x.", {"through": lambda dy, w: dy @ w}),
    ("The way back through the projections' weights is missing.", {"through": lambda dy, w: dy}),
    ("d_output itself was added to x: the residual road belongs to the layer around, not to this part.", {"besides": lambda dy: dy}),
    *(
        (
            f"x made queries, keys and values, so it collects from all three; yours has the path of {' and '.join(some)} only.",
            {"paths": some},
        )
        for n in (1, 2)
        for some in itertools.combinations(PROJECTIONS, n)
    ),
    ("x collects from three paths, and yours has none.", {"paths": (), "besides": np.zeros_like}),
]
