"""Answers for chapter 21: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from scipy.special import erf, ndtr
from scipy.stats import norm
from workbook.answers.common import broken_arrays

EPS = 1e-12


def bets(most="A", least="C"):
    return {"most alike": most, "least alike": least}


# 21.2


def gelu(x):
    return x * ndtr(x)


def gelu_in_place(x):
    x *= ndtr(x)
    return x


def gelu_in_loops(x):
    return np.array([value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in np.ravel(x)]).reshape(np.shape(x)).tolist()


# 21.3


def normed(x, gain, bias, eps=EPS):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * gain + bias


def fed(x, layer, gate=gelu):
    weights = layer["feed_forward"]
    return gate(x @ weights["expand_weight"] + weights["expand_bias"]) @ weights["contract_weight"] + weights["contract_bias"]


def encoder_layer(x, layer, attention, gate=gelu, eps=EPS, first="attention_norm", second="feed_forward_norm"):
    x = normed(x + attention(x, layer["attention"]), **layer[first], eps=eps)
    return normed(x + fed(x, layer, gate), **layer[second], eps=eps)


def pre_norm(x, layer, attention):
    x = x + attention(normed(x, **layer["attention_norm"]), layer["attention"])
    return x + fed(normed(x, **layer["feed_forward_norm"]), layer)


def no_way_around_attention(x, layer, attention):
    x = normed(attention(x, layer["attention"]), **layer["attention_norm"])
    return normed(x + fed(x, layer), **layer["feed_forward_norm"])


def no_way_around_feed_forward(x, layer, attention):
    x = normed(x + attention(x, layer["attention"]), **layer["attention_norm"])
    return normed(fed(x, layer), **layer["feed_forward_norm"])


def around_both(x, layer, attention):
    middle = normed(x + attention(x, layer["attention"]), **layer["attention_norm"])
    return normed(x + fed(middle, layer), **layer["feed_forward_norm"])


def no_second_norm(x, layer, attention):
    x = normed(x + attention(x, layer["attention"]), **layer["attention_norm"])
    return x + fed(x, layer)


def no_first_norm(x, layer, attention):
    x = x + attention(x, layer["attention"])
    return normed(x + fed(x, layer), **layer["feed_forward_norm"])


def no_attention(x, layer, attention):
    x = normed(x, **layer["attention_norm"])
    return normed(x + fed(x, layer), **layer["feed_forward_norm"])


def added_after_the_norm(x, layer, attention):
    x = x + normed(attention(x, layer["attention"]), **layer["attention_norm"])
    return x + normed(fed(x, layer), **layer["feed_forward_norm"])


def other_eps_in_the_second(x, layer, attention):
    x = normed(x + attention(x, layer["attention"]), **layer["attention_norm"])
    return normed(x + fed(x, layer), **layer["feed_forward_norm"], eps=1e-5)


def without(name):
    def layer_without(x, layer, attention):
        return encoder_layer(x, layer | {"feed_forward": layer["feed_forward"] | {name: 0.0}}, attention)

    return layer_without


def layer_in_place(x, layer, attention):
    x += attention(x, layer["attention"])
    x = normed(x, **layer["attention_norm"])
    return normed(x + fed(x, layer), **layer["feed_forward_norm"])


def layer_by_positions(x, layer, attention):
    y = x + attention(x, layer["attention"])
    for index in np.ndindex(y.shape[:2]):
        middle = normed(y[index], **layer["attention_norm"])
        y[index] = normed(middle + fed(middle, layer), **layer["feed_forward_norm"])
    return y


# 21.4


def mean_in_loops(hidden, is_token):
    return [
        np.mean([row for row, kept in zip(rows, keeps, strict=True) if kept], axis=0) for rows, keeps in zip(hidden, is_token, strict=True)
    ]


def mean_by_where(hidden, is_token):
    return hidden.mean(axis=1, where=is_token[..., None])


def mean_in_place(hidden, is_token):
    hidden[~is_token] = 0.0
    return hidden.sum(axis=1) / is_token.sum(axis=1, keepdims=True)


def counted(hidden, is_token):
    return is_token.sum(axis=1, keepdims=True)


# 21.5

FAULTS = {"A": "no positions", "B": "norm first", "C": "causal mask", "D": "mean over padding"}

WRONG = {
    "21.1": [
        (bets("G"), "not in the table: take one of A, B"),
        (bets("A", "A"), "cannot be both"),
        (bets(3), "a letter in quotes"),
        (bets(least=...), "still open: LEAST ALIKE"),
        ({"most alike": "A"}, "still open"),
        ("A", "a dictionary with 'most alike'"),
        (None, "a dictionary with 'most alike'"),
        (np.zeros(3), "a dictionary"),
    ],
    "21.2": [
        (ndtr, "the gate alone"),
        (lambda x: x * (1 + erf(x / math.sqrt(2))), "a 2 too much"),
        (lambda x: 0.5 * x * (1 + erf(x)), "variance 1/2"),
        (lambda x: 0.5 * x * erf(x / math.sqrt(2)), "1 is missing"),
        (lambda x: np.maximum(x, 0), "That is ReLU"),
        (np.tanh, "That is tanh"),
        (lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), "approximation by tanh"),
        (lambda x: x / (1 + np.exp(-1.702 * x)), "quick approximation"),
        (lambda x: x / (1 + np.exp(-x)), "SiLU"),
        (lambda x: x * norm.pdf(x), "height of the bell curve"),
        (lambda x: x * (1 - ndtr(x)), "open to the left"),
        (lambda x: x + 1, "GELU at"),
        (lambda x: float(np.sum(x)), r"has shape \(\)"),
        (gelu_in_place, "changed its input"),
        (lambda x: np.array([[gelu(value) for value in row] for row in x]), "it raised TypeError|it raises"),
        *broken_arrays((3, 5)),
    ],
    "21.3": [
        (pre_norm, "That is pre-norm"),
        (no_way_around_attention, "way around attention is missing"),
        (no_way_around_feed_forward, "way around the feed-forward part is missing"),
        (around_both, "its own input, not the layer's"),
        (
            lambda x, layer, attention: encoder_layer(x, layer, attention, first="feed_forward_norm", second="attention_norm"),
            "changed places",
        ),
        (no_second_norm, "The second norm is missing"),
        (no_first_norm, "The first norm is missing"),
        (lambda x, layer, attention: encoder_layer(x, layer, attention, gate=np.tanh), "tanh stands where"),
        (lambda x, layer, attention: encoder_layer(x, layer, attention, gate=lambda y: np.maximum(y, 0)), "ReLU stands where"),
        (lambda x, layer, attention: encoder_layer(x, layer, attention, gate=lambda y: y), "Nothing stands between"),
        (other_eps_in_the_second, "1e-12 in both"),
        (without("expand_bias"), "expand_bias is missing"),
        (without("contract_bias"), "contract_bias is missing"),
        (lambda x, layer, attention: encoder_layer(x, layer, lambda y, _: attention(y, layer)), "something else than its own parameters"),
        (no_attention, "Attention is not in it"),
        (added_after_the_norm, "normalise first and add afterwards"),
        (lambda x, layer, attention: encoder_layer(x, layer, attention, eps=1e-5), "eps=1e-12"),
        (lambda x, layer, attention: x, "the layer at"),
        (lambda x, layer: x, "it raised TypeError"),
        (layer_in_place, "changed its input"),
        *broken_arrays((2, 5, 6)),
    ],
    "21.4": [
        (lambda hidden, is_token: hidden.mean(axis=1), "What fills up"),
        (lambda hidden, is_token: (hidden * is_token[..., None]).mean(axis=1), "divide by the longest length"),
        (lambda hidden, is_token: (hidden * is_token[..., None]).sum(axis=1), "That is the sum"),
        (lambda hidden, is_token: hidden[:, 0], "state of the first token"),
        (lambda hidden, is_token: np.where(is_token[..., None], hidden, -np.inf).max(axis=1), "largest of each column"),
        (lambda hidden, is_token: (hidden * is_token[..., None]).sum(axis=1) / is_token.sum(), "all the tokens of all sentences"),
        (
            lambda hidden, is_token: np.array(
                [h[~k].mean(axis=0) if not k.all() else 0 * h[0] for h, k in zip(hidden, is_token, strict=True)]
            ),
            "mean over what fills up",
        ),
        (
            lambda hidden, is_token: (lambda y: y / np.linalg.norm(y, axis=1, keepdims=True))(np.array(mean_in_loops(hidden, is_token))),
            "of length 1 already",
        ),
        (lambda hidden, is_token: hidden[:, 1], "it raised IndexError|the mean at"),
        (lambda hidden, is_token: hidden.mean(axis=0), "has shape"),
        (mean_in_place, "changed its input"),
        (lambda hidden, is_token: [h[: t.sum()].mean(axis=0) for h, t in zip(hidden, is_token, strict=True)], "You take the first ones"),
        (
            lambda hidden, is_token: (
                (hidden * is_token[..., None]).sum(axis=1) / np.maximum((hidden * is_token[..., None] != 0).sum(axis=1), 1)
            ),
            "A token's state may be 0",
        ),
        *broken_arrays((3, 4)),
    ],
    "21.5": [
        (FAULTS | {"A": "norm first"}, "A as 'norm first'"),
        (FAULTS | {"B": "no positions"}, "B as 'no positions': then the two sentences"),
        (FAULTS | {"C": "mean over padding"}, "C as 'mean over padding': then a row would be right alone"),
        (FAULTS | {"D": "causal mask"}, "D as 'causal mask': then the first token could not see"),
        (FAULTS | {"D": "dropout"}, "not in the table"),
        ({"A": "no positions"}, "still open: B, C, D"),
        ("no positions", "a dictionary from letter to name"),
        (None, "a dictionary from letter to name"),
        (3, "a dictionary from letter to name"),
    ],
}

RIGHT = {
    "21.1": [bets(), bets("d", " `F` "), [("most alike", "B"), ("least alike", "E")], {"Most alike": "A", "LEAST ALIKE": "B"}],
    "21.2": [
        gelu,
        gelu_in_loops,
        lambda x: (x * norm.cdf(x)).astype(np.float32),
        lambda x: x / 2 + x / 2 * erf(x * 0.5**0.5),
    ],
    "21.3": [encoder_layer, layer_by_positions, lambda x, layer, attention: encoder_layer(x, layer, attention).astype(np.float32)],
    "21.4": [
        mean_in_loops,
        mean_by_where,
        lambda hidden, is_token: np.einsum("btd,bt->bd", hidden, is_token) / counted(hidden, is_token),
        lambda hidden, is_token: ((hidden * is_token[..., None]).sum(axis=1) / counted(hidden, is_token)).astype(np.float32),
    ],
    "21.5": [
        FAULTS,
        {letter.lower(): name.upper() for letter, name in FAULTS.items()},
        list(FAULTS.items()),
        {k: f"`{v}`" for k, v in FAULTS.items()},
    ],
}

TYPED_WRONG = {
    "21.1": 'my_bets = {"most alike": "Z", "least alike": "A"}',
    "21.2": "def gelu(x):\n    return np.maximum(x, 0)",
    "21.3": "def encoder_layer(x, layer, attention):\n    return x + attention(x, layer['attention'])",
    "21.4": "def mean_of_words(hidden, is_token):\n    return hidden.mean(axis=1)",
    "21.5": 'faults = {"A": "causal mask", "B": "norm first", "C": "no positions", "D": "mean over padding"}',
}
