"""Exercises of 03_real_attention."""

import math
from collections import Counter
from functools import partial

import numpy as np

from cllm_lib.workbook.exercises.forms import as_array, as_number
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    call,
    close,
    compared,
    number,
    shown,
    told_apart,
)

# 03.1
V_SAYINGS = 280


def examine_bet(answer):
    """Any loss that a model can rest at."""
    value = number(answer, "your bet")
    if value < 0:
        raise NotYet(f"{shown(value)} is below 0: a loss is minus the logarithm of a probability, and those are at most 1.")
    if value > math.log(V_SAYINGS) + 0.005:
        raise NotYet(f"{shown(value)} is above ln 280 = 5.63: such a model would be worse than one that knows nothing.")
    return f"{shown(value)}. The count below will tell, before any training."


# 03.2
def bigram_floor(inputs, targets):
    """Reference: each kind of pair weighs its share and costs -ln(count of the pair / count of the first)."""
    current, following = inputs.ravel().tolist(), targets.ravel().tolist()
    singles, pairs = Counter(current), Counter(zip(current, following, strict=True))
    return -sum(n / len(current) * np.log(n / singles[a]) for (a, _), n in pairs.items())


def entropy_in_loops(symbols):
    """Entropy of the frequencies of anything that can be compared, in nats."""
    return -sum(symbols.count(s) / len(symbols) * math.log(symbols.count(s) / len(symbols)) for s in set(symbols))


_PAIRS_OF_WORDS = (  # counted by hand; another; words that look alike when glued; ids beyond the vocabulary of the page
    (0, 1, 0, 1, 0, 2, 0, 2, 0),
    (3, 6, 1, 4, 2, 3, 3, 1, 0, 2, 6, 2, 1, 1, 3, 0, 2, 2, 4, 3, 1, 1, 0, 6, 3, 2, 4, 1, 2, 0, 3),
    (1, 12, 11, 2, 1, 12, 11, 2, 7, 11, 2, 1, 2, 1, 12),
    (400, 3, 400, 900, 3, 400, 400, 3, 900, 3, 3),
)


def examine_bigram_floor(answer):
    """On small texts, against H(pair) - H(current)."""

    def look(*tokens):
        tokens = np.array(tokens, dtype=np.int64)
        inputs, targets = tokens[:-1].reshape(2, -1), tokens[1:].reshape(2, -1)
        current, following = inputs.ravel().tolist(), targets.ravel().tolist()
        pairs = list(zip(current, following, strict=True))
        joint, first, second = entropy_in_loops(pairs), entropy_in_loops(current), entropy_in_loops(following)
        value, right = number(call(answer, inputs, targets), "the floor"), joint - first
        by_word = [entropy_in_loops([b for a, b in pairs if a == word]) for word in set(current)]
        mistakes = {
            "That is the entropy of the pairs, H(current, next): the current word is known, so its share must go.": joint,
            "That is H(next), the unigram entropy: it does not use the current word.": second,
            "That is H(current | next), the other way round: divide by the count of the first word of the pair.": joint - second,
            "That is in bits, logarithm to base 2; losses here are in nats.": right / math.log(2),
            "The sign: -ln of a share, so that the sum is positive.": -right,
            "That is a perplexity, exp of the entropy; the entropy itself was asked for.": math.exp(right),
            "You average over different words; a word that occurs often must count often.": float(np.mean(by_word)),
            "That is a sum over all pairs; divide by how many there are.": right * len(pairs),
        }
        text = "the text 0 1 0 1 0 2 0 2 0" if len(tokens) == 9 else "a text of other ids"
        return compared(f"the floor of {text}", value, right), value, right, mistakes

    told_apart(look, _PAIRS_OF_WORDS, close, "Each pair (a, b) weighs count(a, b) / all pairs and costs -ln(count(a, b) / count(a)).")


# 03.3
def attention_weights(query, key):
    """Reference: softmax of query . key / sqrt(d) over the keys, later ones masked."""
    time, d = query.shape[-2:]
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(d)
    scores = np.where(np.tri(time, dtype=bool), scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def weights_in_loops(query, key, scale=None):
    """One (T, T) map, entry by entry: an independent way to the same numbers."""
    time, d = query.shape
    weights = np.zeros((time, time))
    for q in range(time):
        seen = range(q + 1)
        scores = [sum(query[q, i] * key[k, i] for i in range(d)) / (math.sqrt(d) if scale is None else scale) for k in seen]
        powers = [math.exp(score - max(scores)) for score in scores]
        for k, power in zip(seen, powers, strict=True):
            weights[q, k] = power / sum(powers)
    return weights


def examine_attention_weights(answer):
    """Sequences against loops; then leading axes, scores of 10,000, and one token."""
    generator = np.random.default_rng(5)
    query, key = generator.standard_normal((2, 5, 3))
    told_apart(
        partial(_look_at_weights, answer),
        ((query, key), tuple(generator.standard_normal((2, 4, 6)))),
        same_numbers,
        "Are scores query @ key.T / sqrt(d), masked with -inf, and is the maximum that of each row?",
    )
    many_query, many_key = generator.standard_normal((2, 2, 3, 4, 6))
    stacked = np.array([[weights_in_loops(q, k) for q, k in zip(*pair, strict=True)] for pair in zip(many_query, many_key, strict=True)])
    weights = array_of(call(answer, many_query, many_key), (2, 3, 4, 4), "arrays of shape (2, 3, 4, 6), with batch and heads,")
    if not same_numbers(weights, stacked):
        raise Unexplained(
            "right for one sequence, wrong for arrays of shape (2, 3, 4, 6).", "Use the last two axes, as in swapaxes(-1, -2)."
        )
    query[:, 0] = np.abs(query[:, 0]) + 0.5
    key[0] = [-3.0, 0.0, 0.0]  # the first key answers so badly that a mask of -1e4 would stand above it
    large = array_of(call(answer, 100.0 * query, 100.0 * key), (5, 5), "five queries and five keys")
    if not np.isfinite(large).all():
        raise NotYet(
            "right for small scores, not a number for scores of 10,000: subtract each row's maximum before np.exp, and after "
            "masking, for the largest score of all may belong to a masked key."
        )
    if not same_numbers(large, weights_in_loops(100.0 * query, 100.0 * key)):
        raise Unexplained(
            "right for small scores, wrong for scores of 10,000.",
            "Is the maximum taken of each row, after masking? Is what is masked -inf?",
        )
    alone = array_of(call(answer, query[:1], key[:1]), (1, 1), "one query and one key")
    if not same_numbers(alone, [[1.0]]):
        raise Unexplained(f"a single word must look at itself with weight 1; yours is {shown(alone.item())}.")


def _look_at_weights(answer, query, key):
    """The weights of one sequence, those of the loops, and what slips would make of them."""
    time, d = query.shape
    weights = array_of(call(answer, query, key), (time, time), f"{time} queries and {time} keys")
    if np.isneginf(weights[~np.tri(time, dtype=bool)]).all() and np.isfinite(weights[np.tri(time, dtype=bool)]).all():
        raise NotYet("what is masked is -inf and the rest is finite: these are the scores, and softmax of each row is still to come.")
    if not np.isfinite(weights).all():
        raise Unexplained(
            "there are NaN or infinite numbers among the weights.", "Is a whole row masked, 0 divided by 0, or 0 multiplied by infinity?"
        )
    lower, scaled = np.tri(time, dtype=bool), np.exp(query @ key.T / math.sqrt(d))
    everything, masked = scaled / scaled.sum(axis=-1, keepdims=True), scaled * lower
    expected = weights_in_loops(query, key)
    mistakes = {
        "No score was divided by the root of d.": weights_in_loops(query, key, scale=1.0),
        "You divide by d; its square root was asked for.": weights_in_loops(query, key, scale=d),
        "Here you multiply by the root of d; divide.": weights_in_loops(query, key, scale=1 / math.sqrt(d)),
        "You divide by the root of T, the number of words; d is the length of a query.": weights_in_loops(query, key, math.sqrt(time)),
        "Nothing is masked.": everything,
        "Do you mask after softmax? Mask the scores, with -inf.": everything * lower,
        "Do you mask with 0 before softmax? exp(0) is 1: mask with -inf.": _softmax(np.where(lower, np.log(scaled), 0.0)),
        "The mask is upside down: each word looks at itself and what comes later.": _softmax(np.where(lower.T, np.log(scaled), -np.inf)),
        "Columns sum to 1: softmax ran over the queries. It runs over the keys, the last axis.": masked / masked.sum(axis=0, keepdims=True),
        "Rows and columns are swapped: queries are rows, keys are columns.": expected.T,
        "These are exponentials; divide each row by its sum.": [masked, _exponentials_below_1(np.where(lower, np.log(scaled), -np.inf))],
    }
    return _what_shows(weights, lower), weights, expected, mistakes


def _exponentials_below_1(scores):
    return np.exp(scores - scores.max(axis=-1, keepdims=True))


def _what_shows(weights, lower):
    """What is wrong with weights at first sight."""
    if (weights < 0).any():
        return f"a weight is {shown(weights.min())}; weights lie between 0 and 1."
    if not same_numbers(weights.sum(axis=-1), np.ones(len(weights))):
        sums = weights.sum(axis=-1)
        digits = 2 if np.abs(sums - 1).max() >= 0.01 else 7
        return f"the rows sum to {', '.join(shown(s, digits) for s in sums)}; each should sum to 1."
    if np.abs(weights[~lower]).max(initial=0.0) > 1e-9:
        return "a word looks at a later word: above the diagonal every weight should be exactly 0."
    return "rows sum to 1 and nothing looks ahead, but the numbers differ from the loops."


def _softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# 03.4
def split_heads(x, n_heads):
    """Reference: cut the last axis in two, move the head axis in front of time."""
    batch, time, width = x.shape
    return x.reshape(batch, time, n_heads, width // n_heads).transpose(0, 2, 1, 3)


def examine_split_heads(answer):
    """All axes of different length, and entries that tell where they came from."""

    def look(batch, time, n_heads, width):
        x = np.arange(batch * time * n_heads * width, dtype=float).reshape(batch, time, n_heads * width)
        right = np.array([[[row[h * width : (h + 1) * width] for row in one] for h in range(n_heads)] for one in x])
        found = array_of(call(answer, x, n_heads), None, "")
        mistakes = {
            "The head axis is still behind time. Move it in front of it: transpose(0, 2, 1, 3).": x.reshape(batch, time, n_heads, width),
            "Reshape alone lays rows end to end, and head 0 got whole early positions. Cut D, then move the axis.": x.reshape(right.shape),
            "Head 0 got every H-th column; it should get the first d, side by side: reshape to (B, T, H, d), not (d, H).": (
                x.reshape(batch, time, width, n_heads).transpose(0, 3, 1, 2)
            ),
            "The heads come in reverse order: head 0 gets the first d columns.": right[:, ::-1],
        }
        seen = f"x of shape {x.shape} in {n_heads} heads became {found.shape}; {right.shape} was asked for: batch, heads, time, width."
        return seen if found.shape != right.shape else "the shape fits, the numbers do not.", found, right, mistakes

    told_apart(look, ((2, 5, 3, 4), (1, 4, 4, 1), (3, 2, 1, 6)), np.array_equal, "Head 0 should hold columns 0 to d of every position.")


# 03.5
def equal_weights(query, key):
    """Reference: each row of what may be seen, divided by how much that is."""
    time = query.shape[-2]
    visible = np.tri(time)
    shares = visible / visible.sum(axis=-1, keepdims=True)
    return np.broadcast_to(shares, (*query.shape[:-2], time, time))


def examine_equal_weights(answer):
    """Sequences of several lengths against shares counted by hand; then leading axes."""

    def look(time, d):
        query, key = np.random.default_rng(time).standard_normal((2, time, d))
        weights = array_of(call(answer, query, key), (time, time), f"{time} queries and {time} keys")
        if not np.isfinite(weights).all():
            raise Unexplained("there are NaN or infinite numbers among the weights.", "Does a row sum to 0? A word sees itself, too.")
        lower, counts = np.tri(time), np.arange(1.0, time + 1)
        expected = np.array([[1 / (q + 1) if k <= q else 0.0 for k in range(time)] for q in range(time)])
        mistakes = {
            "Each word shares its look among all T words, later ones too.": np.full((time, time), 1 / time),
            "These are ones and zeros; divide each row by how many keys its word sees.": lower,
            "Every row is divided by T; divide each by how many keys its word sees.": lower / time,
            "You divide by d, the width of a query; how many keys a word sees was asked for.": lower / d,
            "Columns sum to 1; each row should.": lower / counts[::-1],
            "The mask is upside down: each word looks at itself and what comes later.": expected[::-1, ::-1],
            "Each word looks at itself only.": np.eye(time),
            "These are attention's weights: queries and keys have a say. Here they have none.": weights_in_loops(query, key),
        }
        return _what_shows(weights, lower.astype(bool)), weights, expected, mistakes

    hint = "Row q should hold 1 / (q + 1) up to column q, and 0 after it."
    told_apart(look, ((5, 3), (4, 6), (1, 2)), same_numbers, hint)
    many = np.random.default_rng(3).standard_normal((2, 3, 4, 6))
    weights = array_of(call(answer, many, many), (2, 3, 4, 4), "arrays of shape (2, 3, 4, 6), with batch and heads,")
    if not same_numbers(weights, np.broadcast_to(np.tri(4) / np.arange(1.0, 5)[:, None], (2, 3, 4, 4))):
        raise Unexplained("right for one sequence, wrong for arrays of shape (2, 3, 4, 6).", "T is the last axis but one.")
    return "It is your control: what it reaches, nobody's query has earned."


def array_of(value, shape, given):
    """An array of floats out of what a reader returned; of that shape, if one is named."""
    if isinstance(value, list | tuple):
        raise NotYet("it returned a list; an array was asked for: np.array around it makes one.")
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise NotYet(f"it returned something of type {type(value).__name__}; an array was asked for.") from None
    if shape is not None and array.shape != shape:
        raise NotYet(f"for {given} it returned shape {array.shape}; {shape} was asked for.")
    return array


def same_numbers(first, second, tolerance=1e-6):
    """Whether two arrays agree; NaN agrees with nothing."""
    return bool(np.allclose(first, second, rtol=tolerance, atol=tolerance))


EXERCISES = {
    "03.1": Exercise(None, examine_bet, bet=True),
    "03.2": Exercise(bigram_floor, examine_bigram_floor, form=as_number),
    "03.3": Exercise(attention_weights, examine_attention_weights, form=as_array),
    "03.4": Exercise(split_heads, examine_split_heads, form=as_array),
    "03.5": Exercise(equal_weights, examine_equal_weights, form=as_array),
}
