"""Answers for chapter 06: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import raises, returns

from cllm_lib.casebook.patients import GRADIENT_FAULTS as VERDICTS
from cllm_lib.model.attention import PROJECTIONS, merge_heads, split_heads
from cllm_lib.model.layers import softmax_backward
from cllm_lib.workbook.exercises.attention_backward import attention_backward, scaled_dot_product_backward


def attend_with(d_scores=None, d_query=None, d_key=None, d_value=None, order=lambda q, k, v: (q, k, v)):
    """scaled_dot_product_backward with one line replaced."""

    def scores_of(dw, w, d):
        return softmax_backward(dw, w) / math.sqrt(d)

    def backward(d_output, query, key, value, weights):
        ds = (d_scores or scores_of)(d_output @ value.swapaxes(-1, -2), weights, query.shape[-1])
        dq = (d_query or (lambda ds, key: ds @ key))(ds, key)
        dk = (d_key or (lambda ds, query: ds.swapaxes(-1, -2) @ query))(ds, query)
        dv = (d_value or (lambda w, d_output: w.swapaxes(-1, -2) @ d_output))(weights, d_output)
        return order(dq, dk, dv)

    return backward


def attend_by_einsum(d_output, query, key, value, weights):
    d_weights = np.einsum("bhqd,bhkd->bhqk", d_output, value)
    d_scores = weights * (d_weights - np.einsum("bhqd,bhqd->bhq", d_output, weights @ value)[..., None])
    d_scores *= query.shape[-1] ** -0.5
    return [
        np.einsum("bhqk,bhkd->bhqd", d_scores, key),
        np.einsum("bhqk,bhqd->bhkd", d_scores, query),
        np.einsum("bhqk,bhqd->bhkd", weights, d_output),
    ]


def collected(x, dy):
    return np.tensordot(x, dy, ((0, 1), (0, 1)))


def part_with(
    met_output=lambda merged, x: merged,
    through_output=lambda dy, w: dy @ w.T,
    split=split_heads,
    middle=scaled_dot_product_backward,
    merge=merge_heads,
    reaches=lambda d_projected, d_output: d_projected,
    met=lambda x, merged: x,
    of_weight=lambda x, dy: collected(x, dy),
    of_bias=lambda dy: dy.sum(axis=(0, 1)),
    through=lambda dy, w: dy @ w.T,
    paths=PROJECTIONS,
    besides=lambda dy: 0.0,
    end=lambda gradients, d_merged: gradients,
):
    """attention_backward with one line replaced."""

    def backward(d_output, cache, parameters):
        x, query, key, value, weights, merged = cache
        gradients = {"output_weight": of_weight(met_output(merged, x), d_output), "output_bias": of_bias(d_output)}
        d_merged = through_output(d_output, parameters["output_weight"])
        d_heads = middle(split(d_merged, query.shape[1]), query, key, value, weights)
        d_projected = [reaches(merge(d_head), d_output) for d_head in d_heads]
        for name, dy in zip(PROJECTIONS, d_projected, strict=True):
            gradients |= {f"{name}_weight": of_weight(met(x, merged), dy), f"{name}_bias": of_bias(dy)}
        several = [through(dy, parameters[f"{name}_weight"]) for name, dy in zip(PROJECTIONS, d_projected, strict=True) if name in paths]
        return end(gradients | {"x": sum(several) + besides(d_output)}, d_merged)

    return backward


def middle_with(scale=math.sqrt, softmax=softmax_backward, order=lambda q, k, v: (q, k, v)):
    def middle(d_output, query, key, value, weights):
        d_scores = softmax(d_output @ value.swapaxes(-1, -2), weights) / scale(query.shape[-1])
        return order(d_scores @ key, d_scores.swapaxes(-1, -2) @ query, weights.swapaxes(-1, -2) @ d_output)

    return middle


def changed(**entries):
    """attention_backward with entries of what it returns replaced: each made of the nine right ones."""

    def backward(*given):
        right = attention_backward(*given)
        return right | {name: make(right) for name, make in entries.items()}

    return backward


def named(wanted):
    return lambda gradients, d_merged: {name: gradients[name] for name in gradients if wanted(name)}


def part_by_einsum(d_output, cache, parameters):
    """One index a letter: b sequences, t and s positions, n heads, h the width of a head, d and e that of the part."""
    x, query, key, value, weights, merged = cache
    heads, d_head = query.shape[1], query.shape[-1]
    d_attended = (d_output @ parameters["output_weight"].T).reshape(*x.shape[:2], heads, d_head)
    d_weights = np.einsum("btnh,bnsh->bnts", d_attended, value)
    d_scores = weights * (d_weights - np.einsum("bnts,bnts->bnt", d_weights, weights)[..., None]) / d_head**0.5
    found = {"output_weight": np.einsum("btd,bte->de", merged, d_output), "output_bias": np.einsum("bte->e", d_output)}
    d_heads = {
        "query": np.einsum("bnts,bnsh->btnh", d_scores, key),
        "key": np.einsum("bnts,bnth->bsnh", d_scores, query),
        "value": np.einsum("bnts,btnh->bsnh", weights, d_attended),
    }
    found["x"] = np.zeros(x.shape)
    for name, d_head in d_heads.items():
        d_projected = d_head.reshape(x.shape)
        found[f"{name}_weight"] = np.einsum("btd,bte->de", x, d_projected)
        found[f"{name}_bias"] = d_projected.sum(axis=1).sum(axis=0)
        found["x"] += np.einsum("bte,de->btd", d_projected, parameters[f"{name}_weight"])
    return found


WRONG = {
    "06.1": [
        ({"A", "E"}, "E: none of the four"),
        (2, "no set of letters"),
        ("the true gradient", "the true gradient.*none of the four|THE TRUE GRADIENT"),
        (None, "no set of letters"),
        (float("nan"), "no set of letters"),
        (np.zeros(2), "none of the four"),
    ],
    "06.2": [
        (attend_with(d_scores=lambda dw, w, d: softmax_backward(dw, w)), "1 / sqrt.d. is missing"),
        (attend_with(d_key=lambda ds, query: ds @ query), "d_key uses d_scores untransposed"),
        (attend_with(d_value=lambda w, d_output: np.zeros_like(d_output)), "The value path is missing"),
        (attend_with(d_value=lambda w, d_output: w @ d_output), "Not transposed"),
        (attend_with(d_value=lambda w, d_output: d_output), "looked only at itself"),
        (attend_with(d_scores=lambda dw, w, d: softmax_backward(dw, w) / d), "You divide by d"),
        (attend_with(d_scores=lambda dw, w, d: softmax_backward(dw, w) * math.sqrt(d)), "You multiply by sqrt"),
        (attend_with(d_scores=lambda dw, w, d: dw / math.sqrt(d)), "step through softmax is missing"),
        (attend_with(d_scores=lambda dw, w, d: w * (1 - w) * dw / math.sqrt(d)), "Each weight is taken on its own"),
        (attend_with(d_scores=lambda dw, w, d: softmax_backward(dw, w, axis=-2) / math.sqrt(d)), "sums over the queries"),
        (attend_with(order=lambda q, k, v: (k, q, v)), "exchanged"),
        (attend_with(order=lambda q, k, v: (v, q, k)), "another order"),
        (attend_with(order=lambda q, k, v: (0 * q, 0 * k, 0 * v)), "You return zeros"),
        (attend_with(order=lambda q, k, v: (q, k + q, v)), "line by line"),
        (attend_with(order=lambda q, k, v: (q, k)), "2 things; 3 were asked for"),
        (attend_with(order=lambda q, k, v: (q, k[0], v)), "d_key has shape"),
        (attend_with(order=lambda q, k, v: (q, k, v * np.nan)), "d_value holds NaN"),
        (returns(3), "one thing of type int"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (lambda *a: dict(zip("qkv", scaled_dot_product_backward(*a), strict=True)), "the notebook unpacks 3 values"),
    ],
    "06.3": [
        (part_with(paths=("query", "key")), "x made queries, keys and values.*query and key only"),
        (part_with(split=lambda d, n: d.reshape(len(d), n, d.shape[1], -1)), "by reshape alone"),
        (changed(key_bias=lambda right: right["query_bias"]), "What does the key bias add to the scores of one query"),
        (part_with(paths=("value",)), "the path of value only"),
        (part_with(paths=(), besides=lambda dy: 0 * dy), "yours has none"),
        (part_with(besides=lambda dy: dy), "the residual road belongs to the layer around"),
        (part_with(merge=lambda d: d.reshape(len(d), d.shape[2], -1)), "by reshape alone"),
        (part_with(through_output=lambda dy, w: dy), "The way back through output_weight is missing"),
        (part_with(through_output=lambda dy, w: dy @ w), "output_weight is not transposed"),
        (part_with(through=lambda dy, w: dy @ w), "weights of the projections are not transposed"),
        (part_with(through=lambda dy, w: dy), "through the projections' weights is missing"),
        (part_with(met_output=lambda merged, x: x), "output_weight met the merged heads"),
        (part_with(met=lambda x, merged: merged), "The projections met x"),
        (part_with(of_weight=lambda x, dy: collected(dy, x)), "Turned on its side"),
        (part_with(of_weight=lambda x, dy: x.swapaxes(-1, -2) @ dy), "output_weight has shape .2, 6, 6.*collects over both"),
        (part_with(of_weight=lambda x, dy: (x.swapaxes(-1, -2) @ dy).mean(axis=0)), "mean over the sequences"),
        (part_with(of_weight=lambda x, dy: x[0].T @ dy[0]), "one sequence alone"),
        (part_with(of_bias=lambda dy: dy.sum(axis=0)), "output_bias has shape .4, 6.*sum over both"),
        (part_with(of_bias=lambda dy: dy.sum(axis=-1)), "output_bias has shape .2, 4.*sum over both"),
        (part_with(of_bias=lambda dy: dy.mean(axis=(0, 1))), "mean over sequences and positions"),
        (
            part_with(end=lambda gradients, d_merged: gradients | {"output_bias": d_merged.sum(axis=(0, 1))}),
            "nothing but d_output reaches it",
        ),
        (part_with(middle=middle_with(scale=lambda d: 1.0)), "1 / sqrt.d. is missing"),
        (part_with(middle=middle_with(scale=lambda d: d)), "You divide by d;"),
        (part_with(middle=middle_with(scale=lambda d: math.sqrt(3 * d) if d == 2 else math.sqrt(d))), "the whole width D"),
        (part_with(split=lambda d, n: d), "it raised ValueError.*Those of heads are .B, H, T, d."),
        (part_with(merge=lambda d: d), "it raised ValueError.*split_heads and merge_heads lead"),
        (part_with(split=lambda d, n: d.reshape(*d.shape[:2], -1, n).transpose(0, 3, 1, 2)), "every H-th column"),
        (part_with(middle=middle_with(softmax=lambda dw, w: dw)), "The step through softmax is missing"),
        (part_with(middle=middle_with(order=lambda q, k, v: (k, q, v))), "query and key are exchanged"),
        (part_with(middle=middle_with(order=lambda q, k, v: (v, k, q))), "query and value are exchanged"),
        (part_with(middle=middle_with(order=lambda q, k, v: (k, v, q))), "in another order"),
        (part_with(reaches=lambda d_projected, d_output: d_output), "That is the shortcut of the bet"),
        (part_with(middle=middle_with(scale=lambda d: 1.0), paths=("query", "key")), "query_weight.*the first that goes wrong"),
        (part_with(end=named(lambda name: name != "key_bias")), "no gradient has the name key_bias"),
        (part_with(end=named(lambda name: name.endswith("weight"))), "the name output_bias, value_bias, query_bias, key_bias, x"),
        (part_with(end=lambda gradients, d_merged: tuple(gradients.values())), "of type tuple; a dictionary of nine gradients"),
        (changed(key_bias=lambda right: 0.0), "key_bias has shape ..; .6,. was asked for"),
        (changed(x=lambda right: right["x"] * np.nan), "x holds NaN"),
        (changed(value_weight=lambda right: right["value_weight"] + right["value_bias"]), "the first that goes wrong on the way back"),
        (changed(query_weight=lambda right: None), "query_weight has shape"),
        (returns(3), "of type int"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "06.4": [
        (VERDICTS | {"P": "outer product", "R": "LayerNorm"}, "P is not 'outer product'.*first step back"),
        (VERDICTS | {"R": "missing"}, "R is not 'missing'.*right angles"),
        (VERDICTS | {"T": "outer product"}, "T is not 'outer product'.*no gradient at all"),
        (VERDICTS | {"Q": "missing"}, "Q is not 'missing'.*everywhere except"),
        (VERDICTS | {"Q": "guilty"}, "write one of"),
        (VERDICTS | {"Q": None}, "write one of"),
        (VERDICTS | {"Q": ..., "R": ...}, "still open: Q, R"),
        (None, "a dictionary was asked for"),
        ("missing", "a dictionary was asked for"),
        ({"P": float("nan")}, "still open"),
    ],
}

RIGHT = {
    "06.1": [{"A"}, "A", "ABC", "A and B", ["a", "d"], set(), {"A", "B", "C", "D"}],
    "06.2": [
        attend_by_einsum,
        lambda *a: [g.astype(np.float32) for g in scaled_dot_product_backward(*a)],
        attend_with(),
        lambda *a: [g.tolist() for g in scaled_dot_product_backward(*a)],
    ],
    "06.3": [
        part_by_einsum,
        part_with(),
        changed(key_bias=lambda right: np.zeros_like(right["key_bias"])),
        changed(merged=lambda right: "kept for later"),
        lambda *given: list(attention_backward(*given).items()),
        lambda *given: {name: gradient.astype(np.float32).tolist() for name, gradient in attention_backward(*given).items()},
    ],
    "06.4": [dict(reversed(VERDICTS.items())), {k.lower(): word.upper() for k, word in VERDICTS.items()}, list(VERDICTS.items())],
}

TYPED_WRONG = {
    "06.1": 'my_bet = {"X"}',
    "06.2": "def scaled_dot_product_backward(d_output, query, key, value, weights):\n    return query, key, value",
    "06.3": "def attention_backward(d_output, cache, parameters):\n    return {name: 0 * array for name, array in parameters.items()}",
    "06.4": 'verdicts = {"P": "missing", "Q": "embedding", "R": "outer product", "T": None}',
}
