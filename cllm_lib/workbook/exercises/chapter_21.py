"""Exercises of 21_a_real_model."""

import math
from functools import partial

import numpy as np

from cllm_lib.casebook.encoders import ENCODER_FAULTS
from cllm_lib.special import scipys_or_plain
from cllm_lib.workbook.exercises.forms import as_array
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    array,
    by_letter,
    call,
    faults_by_letter,
    is_open,
    matches,
    side_by_side,
    told_apart,
)

PAIRS = {
    "A": ("car", "automobile"),
    "B": ("king", "queen"),
    "C": ("king", "banana"),
    "D": ("sea", "tea"),
    "E": ("sea", "water"),
    "F": ("hot", "cold"),
}
PLACES = ("MOST ALIKE", "LEAST ALIKE")
EPS = 1e-12


def examine_bets(answer):
    """A prediction: a letter for the pair that is most alike, and one for the pair that is least."""
    given = by_letter(
        answer, PLACES, f"this is of type {type(answer).__name__}; a dictionary with 'most alike' and 'least alike' was asked for."
    )
    letters = {}
    for place, letter in given.items():
        if not isinstance(letter, str):
            raise NotYet(f"for {place.lower()!r} you gave something of type {type(letter).__name__}; a letter in quotes was asked for.")
        letters[place] = letter.strip(" `'\"").upper()
        if letters[place] not in PAIRS:
            raise NotYet(f"{letter[:20]!r} is not in the table: take one of {', '.join(PAIRS)}.")
    if len(set(letters.values())) == 1:
        raise NotYet("one pair cannot be both the most and the least alike. Take two letters.")
    most, least = (" and ".join(PAIRS[letters[place]]) for place in PLACES)
    return f"{most} most alike, {least} least. *What is alike?* will show."


# GELU


def gelu(x):
    """Reference: x times the share of a normal distribution below x."""
    return 0.5 * x * (1.0 + scipys_or_plain("erf")(x / math.sqrt(2.0)))


def _tail(x):
    """Apply erf, Python's own, to each element."""
    return np.reshape([math.erf(value) for value in np.ravel(x)], np.shape(x))


def examine_gelu(answer):
    """Against Python's erf, on arrays of several shapes, far from zero too."""
    generator = np.random.default_rng(12)

    def look(*shape):
        x = generator.normal(0, 2, shape)
        found = array(call(answer, x), shape, "the result", "GELU works on each number by itself.")
        below = 0.5 * (1.0 + _tail(x / math.sqrt(2.0)))
        expected = x * below
        inside = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
        known = {
            "That is the gate alone, the share below x. GELU is x times it.": below,
            "Half is missing, or a 2 too much: the gate runs from 0 to 1, so (1 + erf) / 2.": 2.0 * expected,
            "erf takes x / sqrt(2): it belongs to a normal distribution of variance 1/2.": 0.5 * x * (1.0 + _tail(x)),
            "1 is missing: erf runs from -1 to 1, the gate from 0 to 1.": 0.5 * x * _tail(x / math.sqrt(2.0)),
            "That is ReLU. GELU lets a little through below 0.": np.maximum(x, 0.0),
            "That is tanh, as in the earlier chapters.": np.tanh(x),
            "That is the approximation by tanh, right to three digits only; this model was trained with erf itself.": (
                0.5 * x * (1.0 + np.tanh(inside))
            ),
            "That is x times a logistic function, the quick approximation; this model was trained with erf itself.": x
            / (1.0 + np.exp(-1.702 * x)),
            "That is SiLU, x times a logistic function. The gate here is the normal distribution.": x / (1.0 + np.exp(-x)),
            "That is x times the height of the bell curve; its *area* to the left of x was asked for.": (
                x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
            ),
            "The other way round: yours is open to the left.": x * (1.0 - below),
        }
        return _worst("GELU", found, expected), found, expected, known

    told_apart(look, ((3, 5), (7,), (2, 3, 4)), _nearly, "(1 + erf(x / sqrt 2)) / 2 is the gate; times x.")


# A layer


def encoder_layer(x, layer, attention):
    """Reference: post-LayerNorm, twice."""
    from cllm_lib.model.layers import layer_norm_forward, linear_forward

    x, _ = layer_norm_forward(x + attention(x, layer["attention"]), **layer["attention_norm"], eps=EPS)
    weights = layer["feed_forward"]
    inside, _ = linear_forward(x, weights["expand_weight"], weights["expand_bias"])
    fed, _ = linear_forward(gelu(inside), weights["contract_weight"], weights["contract_bias"])
    return layer_norm_forward(x + fed, **layer["feed_forward_norm"], eps=EPS)[0]


def _norm(x, norm, eps=EPS):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps) * norm["gain"] + norm["bias"]


def _feed(x, weights, gate=gelu):
    return gate(x @ weights["expand_weight"] + weights["expand_bias"]) @ weights["contract_weight"] + weights["contract_bias"]


def random_layer(generator, size=1.0, width=6, inner=10):
    """A layer's parameters; `size` is that of what reaches the second norm."""

    def norm():
        return {"gain": generator.normal(1, 0.3, width), "bias": generator.normal(0, 0.3, width)}

    layer = {"attention": {"matrix": generator.normal(size=(width, width))}, "attention_norm": norm(), "feed_forward_norm": norm()}
    layer["feed_forward"] = {
        "expand_weight": generator.normal(size=(width, inner)),
        "expand_bias": generator.normal(size=inner),
        "contract_weight": generator.normal(size=(inner, width)),
        "contract_bias": generator.normal(size=width),
    }
    for part, names in (("attention_norm", ("gain", "bias")), ("feed_forward", ("contract_weight", "contract_bias"))):
        for name in names:
            layer[part][name] *= size
    return layer


def _mixing(x, parameters):
    """What stands in attention's place; it mixes the positions."""
    if "matrix" not in parameters:
        raise NotYet("attention was handed something else than its own parameters: attention(x, layer['attention']).")
    return (np.cumsum(x, axis=1) + x.sum(axis=1, keepdims=True)) @ parameters["matrix"]


def examine_encoder_layer(answer):
    """Against the formulas written out, with another function in attention's place; small numbers before a norm show its eps."""
    generator = np.random.default_rng(13)

    def look(first_size, second_size, shape):
        layer, x = random_layer(generator, second_size), first_size * generator.normal(size=shape)
        found = array(call(answer, x, layer, _mixing), shape, "the result", "a layer keeps the shape of x.")
        first, second, feed = layer["attention_norm"], layer["feed_forward_norm"], partial(_feed, weights=layer["feed_forward"])
        attended = _mixing(x, layer["attention"])

        def bare(name):
            return partial(_feed, weights=layer["feed_forward"] | {name: 0.0})

        middle = _norm(x + attended, first)
        expected = _norm(middle + feed(middle), second)
        before = x + _mixing(_norm(x, first), layer["attention"])
        loose = _norm(x + attended, first, 1e-5)
        known = {
            "That is pre-norm: you normalise before attention and before the feed-forward part. Here the norm comes after, on the sum.": (
                before + feed(_norm(before, second))
            ),
            "The way around attention is missing: the first norm takes x + attended.": _norm(
                _norm(attended, first) + feed(_norm(attended, first)), second
            ),
            "The way around the feed-forward part is missing: the second norm takes its input plus its output.": _norm(
                feed(middle), second
            ),
            "The second sum goes around both parts: what is added to the feed-forward's output is its own input, not the layer's.": _norm(
                x + feed(middle), second
            ),
            "The two norms have changed places.": _norm(_norm(x + attended, second) + feed(_norm(x + attended, second)), first),
            "The second norm is missing: a layer ends with one.": middle + feed(middle),
            "The first norm is missing: one follows attention, too.": _norm(x + attended + feed(x + attended), second),
            "tanh stands where GELU should.": _norm(middle + feed(middle, gate=np.tanh), second),
            "ReLU stands where GELU should.": _norm(middle + feed(middle, gate=lambda y: np.maximum(y, 0.0)), second),
            "Nothing stands between the two matrices of the feed-forward part: your gelu belongs there.": _norm(
                middle + feed(middle, gate=lambda y: y), second
            ),
            "expand_bias is missing: it is added before the gelu.": _norm(middle + bare("expand_bias")(middle), second),
            "contract_bias is missing: it is added last in the feed-forward part.": _norm(middle + bare("contract_bias")(middle), second),
            "Attention is not in it: call attention(x, layer['attention']).": _norm(_norm(x, first) + feed(_norm(x, first)), second),
            "You normalise first and add afterwards. Here the norm takes the sum.": (
                (x + _norm(attended, first)) + _norm(feed(x + _norm(attended, first)), second)
            ),
            "For small numbers the eps of the norms shows. It is 1e-12 in both: eps=1e-12.": [
                _norm(loose + feed(loose), second, 1e-5),
                _norm(loose + feed(loose), second),
                _norm(middle + feed(middle), second, 1e-5),
            ],
        }
        return _worst("the layer", found, expected), found, expected, known

    cases = ((1.0, 1.0, (2, 5, 6)), (1.0, 1.0, (1, 3, 6)), (1e-4, 1.0, (2, 4, 6)), (1.0, 1e-4, (2, 4, 6)))
    told_apart(look, cases, _nearly, "Norm of x + attention; then norm of that + feed-forward of that.")


# The mean over the words


def mean_of_words(hidden, is_token):
    """Reference: weights 1 and 0."""
    weights = is_token[..., None].astype(hidden.dtype)
    return (hidden * weights).sum(axis=1) / weights.sum(axis=1)


def examine_mean_of_words(answer):
    """Against a loop over sentences, with sentences of several lengths."""
    generator = np.random.default_rng(14)

    def look(lengths, width, first=True):
        is_token = np.arange(max(lengths), dtype=np.int64) < np.array(lengths)[:, None]
        hidden = generator.normal(size=(*is_token.shape, width))
        if not first:  # tokens anywhere, and a state may be 0
            is_token, hidden = is_token[:, ::-1], np.rint(hidden)
        shape = (len(lengths), width)
        found = array(call(answer, hidden, is_token), shape, "the result", "one row for each sentence: the mean runs over the tokens.")
        expected = np.stack([rows[kept].mean(axis=0) for rows, kept in zip(hidden, is_token, strict=True)])
        kept = hidden * is_token[..., None]
        known = {
            "What fills up the shorter sentences is in the mean, too. Leave it out by is_token.": hidden.mean(axis=1),
            "You leave out what fills up, and divide by the longest length. Divide by the number of tokens of each sentence.": kept.mean(
                axis=1
            ),
            "That is the sum; divide by the number of tokens of each sentence.": kept.sum(axis=1),
            "That is the state of the first token, as BERT itself takes it. This model was trained with the mean.": hidden[:, 0],
            "That is the largest of each column; the mean was asked for.": np.where(is_token[..., None], hidden, -np.inf).max(axis=1),
            "You divide by all the tokens of all sentences. Each sentence has a count of its own: is_token.sum(axis=1).": (
                kept.sum(axis=1) / is_token.sum()
            ),
            "You take the first ones, as many as there are tokens. Which ones are tokens, is_token says.": np.stack(
                [rows[:n].mean(axis=0) for rows, n in zip(hidden, lengths, strict=True)]
            ),
            "You count the numbers that are not 0. A token's state may be 0: count tokens, is_token.sum(axis=1).": (
                kept.sum(axis=1) / np.maximum((kept != 0).sum(axis=1), 1)
            ),
            "That is the mean over what fills up: is_token is True where a token stands.": (hidden * ~is_token[..., None]).sum(axis=1)
            / np.maximum((~is_token).sum(axis=1), 1)[:, None],
        }
        unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        known["You have made the rows of length 1 already; the page does that in the next step."] = unit
        return _worst("the mean", found, expected), found, expected, known

    cases = (((5, 2, 3), 4), ((1, 7), 3), ((4,), 2), ((5, 2, 3), 4, False))
    told_apart(look, cases, _nearly, "Sum over the tokens of a sentence, divided by how many there are.")


_nearly = partial(matches, tolerance=1e-5)


def _worst(what, found, expected):
    """The largest error, as the beginning of a sentence."""
    where = np.unravel_index(np.abs(found - expected).argmax(), expected.shape)
    at = ", ".join(str(int(i)) for i in where)
    return f"{what} at [{at}] is {side_by_side(found[where], expected[where])} was asked for."


# Four encoders, each with one fault

_WOULD_SHOW = {
    "no positions": "the two sentences of the same words would be exactly alike, 1.000.",
    "norm first": "nothing but the rows themselves would be wrong, and they would be far from the right ones in any company.",
    "causal mask": "the first token could not see the last, and its state would move by exactly 0.",
    "mean over padding": "a row would be right alone, and wrong beside a long sentence.",
}


def examine_suspects(answer):
    """One fault a letter."""
    if is_open(answer):
        raise NotYet("still open.")
    faults_by_letter(answer, ENCODER_FAULTS, _WOULD_SHOW)
    return "Each fault has a sign of its own, and none of them is a crash."


EXERCISES = {
    "21.1": Exercise(None, examine_bets, bet=True),
    "21.2": Exercise(gelu, examine_gelu, form=as_array),
    "21.3": Exercise(encoder_layer, examine_encoder_layer, form=as_array),
    "21.4": Exercise(mean_of_words, examine_mean_of_words, form=as_array),
    "21.5": Exercise(ENCODER_FAULTS, examine_suspects, only_one=True),
}
