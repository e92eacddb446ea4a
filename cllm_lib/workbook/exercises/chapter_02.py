"""Exercises of 02_real_attention."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np

from cllm_lib.casebook.patients import ATTENTION_FAULTS
from cllm_lib.workbook.exercises.forms import as_array, as_number, as_positions
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, Unexplained, call, close, compared, faults_by_letter, number, shown

# 02.1
V_SAYINGS = 280


def examine_bet(answer):
    """Any loss that a model can rest at."""
    value = number(answer, "your bet")
    if value < 0:
        raise NotYet(f"{shown(value)} is below 0: a loss is minus the logarithm of a probability, and those are at most 1.")
    if value > math.log(V_SAYINGS) + 0.005:
        raise NotYet(f"{shown(value)} is above ln 280 = 5.63: such a model would be worse than one that knows nothing.")
    return f"{shown(value)}. The count below will tell, before any training."


# 02.2
def bigram_floor(inputs, targets):
    """Reference: each kind of pair weighs its share and costs -ln(count of the pair / count of the first)."""
    current, following = inputs.ravel().tolist(), targets.ravel().tolist()
    singles, pairs = Counter(current), Counter(zip(current, following, strict=True))
    return -sum(n / len(current) * np.log(n / singles[a]) for (a, _), n in pairs.items())


def entropy_in_loops(symbols):
    """Entropy of the frequencies of anything that can be compared, in nats."""
    return -sum(symbols.count(s) / len(symbols) * math.log(symbols.count(s) / len(symbols)) for s in set(symbols))


def examine_bigram_floor(answer):
    """On a small text with known answer, then on random ones, against H(pair) - H(current)."""
    generator = np.random.default_rng(3)
    text = generator.integers(4, size=31) * generator.integers(1, 3, size=31)
    for tokens in (
        np.array([0, 1, 0, 1, 0, 2, 0, 2, 0], dtype=np.int64),
        text,
        np.array([1, 12, 11, 2, 1, 12, 11, 2, 7, 11, 2, 1, 2, 1, 12], dtype=np.int64),
    ):
        inputs, targets = tokens[:-1].reshape(2, -1), tokens[1:].reshape(2, -1)
        current, following = inputs.ravel().tolist(), targets.ravel().tolist()
        pairs = list(zip(current, following, strict=True))
        joint, first, second = entropy_in_loops(pairs), entropy_in_loops(current), entropy_in_loops(following)
        value = number(call(answer, inputs, targets), "the floor")
        if close(value, joint - first):
            continue
        text_shown = "the text 0 1 0 1 0 2 0 2 0" if len(tokens) == 9 else "a text of other ids"
        seen = compared(f"the floor of {text_shown}", value, joint - first)
        by_word = [entropy_in_loops([b for a, b in pairs if a == word]) for word in set(current)]
        reasons = {
            "That is the entropy of the pairs, H(current, next): the current word is known, so its share must go.": joint,
            "That is H(next), the unigram entropy: it does not use the current word.": second,
            "That is H(current | next), the other way round: divide by the count of the first word of the pair.": joint - second,
            "That is in bits, logarithm to base 2; losses here are in nats.": (joint - first) / math.log(2),
            "The sign: -ln of a share, so that the sum is positive.": first - joint,
            "That is a perplexity, exp of the entropy; the entropy itself was asked for.": math.exp(joint - first),
            "You average over different words; a word that occurs often must count often.": float(np.mean(by_word)),
            "That is a sum over all pairs; divide by how many there are.": (joint - first) * len(pairs),
        }
        for reason, candidate in reasons.items():
            if close(value, candidate):
                raise NotYet(f"{seen} {reason}")
        raise Unexplained(f"{seen} Each pair (a, b) weighs count(a, b) / all pairs and costs -ln(count(a, b) / count(a)).")


# 02.3
def attention_weights(query, key):
    """Reference: softmax of query . key / sqrt(d) over the keys, later ones masked."""
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
    scores = np.where(np.tri(query.shape[-2], dtype=bool), scores, -np.inf)
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
    """One sequence against loops; then leading axes, one token, and scores of 10,000."""
    generator = np.random.default_rng(5)
    query, key = generator.standard_normal((2, 5, 3))
    expected = weights_in_loops(query, key)
    weights = array_of(call(answer, query, key), (5, 5), "five queries and five keys")
    if not same_numbers(weights, expected):
        _explain_weights(weights, query, key, expected)
    many_query, many_key = generator.standard_normal((2, 2, 3, 4, 6))
    stacked = np.array([[weights_in_loops(q, k) for q, k in zip(*pair, strict=True)] for pair in zip(many_query, many_key, strict=True)])
    weights = array_of(call(answer, many_query, many_key), (2, 3, 4, 4), "arrays of shape (2, 3, 4, 6), with batch and heads,")
    if not same_numbers(weights, stacked):
        raise NotYet("right for one sequence, wrong for arrays of shape (2, 3, 4, 6): use the last two axes, as in swapaxes(-1, -2).")
    query[:, 0] = np.abs(query[:, 0]) + 0.5
    key[0] = [-3.0, 0.0, 0.0]  # the first key answers so badly that a mask of -1e4 would stand above it
    large = array_of(call(answer, 100.0 * query, 100.0 * key), (5, 5), "five queries and five keys")
    if not np.isfinite(large).all():
        raise NotYet(
            "right for small scores, not a number for scores of 10,000: subtract each row's maximum before np.exp, and after "
            "masking, for the largest score of all may belong to a masked key."
        )
    if not same_numbers(large, weights_in_loops(100.0 * query, 100.0 * key)):
        raise NotYet(
            "right for small scores, wrong for scores of 10,000. Is the maximum taken of each row, after masking? Is what is masked -inf?"
        )
    alone = array_of(call(answer, query[:1], key[:1]), (1, 1), "one query and one key")
    if not same_numbers(alone, [[1.0]]):
        raise NotYet(f"a single word must look at itself with weight 1; yours is {shown(alone.item())}.")


def _explain_weights(weights, query, key, expected):
    """Say which step went wrong, by computing what each slip would give."""
    time, d = query.shape
    if not np.isfinite(weights).all():
        raise NotYet(
            "there are NaN or infinite numbers among the weights. Is a whole row masked, 0 divided by 0, or 0 multiplied by infinity?"
        )
    lower = np.tri(time, dtype=bool)
    scaled = np.exp(query @ key.T / math.sqrt(d))
    everything = scaled / scaled.sum(axis=-1, keepdims=True)
    masked = scaled * lower
    slips = {
        "no score was divided by the root of d.": weights_in_loops(query, key, scale=1.0),
        "you divide by d; its square root was asked for.": weights_in_loops(query, key, scale=d),
        "you multiply by the root of d; divide.": weights_in_loops(query, key, scale=1 / math.sqrt(d)),
        "you divide by the root of T, the number of words; d is the length of a query.": weights_in_loops(
            query, key, scale=math.sqrt(time)
        ),
        "nothing is masked: words look at later words.": everything,
        "you mask after softmax, so rows no longer sum to 1: mask the scores, with -inf.": everything * lower,
        "you mask with 0 before softmax, and exp(0) is 1: mask with -inf.": _softmax(np.where(lower, np.log(scaled), 0.0)),
        "the mask is upside down: each word looks at itself and what comes later.": _softmax(np.where(lower.T, np.log(scaled), -np.inf)),
        "columns sum to 1: softmax ran over the queries. It runs over the keys, the last axis.": masked / masked.sum(axis=0, keepdims=True),
        "rows and columns are swapped: queries are rows, keys are columns.": expected.T,
        "these are exponentials; divide each row by its sum.": masked,
    }
    for reason, candidate in slips.items():
        if same_numbers(weights, candidate):
            raise NotYet(f"not the weights of the loops: {reason}")
    if (weights < 0).any():
        raise NotYet(f"a weight is {shown(weights.min())}: weights lie between 0 and 1. Is an exponential missing?")
    if not same_numbers(weights.sum(axis=-1), np.ones(time)):
        raise NotYet(f"the rows sum to {', '.join(shown(s, 2) for s in weights.sum(axis=-1))}; each should sum to 1.")
    if np.abs(weights[~lower]).max() > 1e-9:
        raise NotYet("a word looks at a later word: above the diagonal every weight should be exactly 0.")
    raise Unexplained(
        "rows sum to 1 and nothing looks ahead, but the numbers differ from the loops. Are scores query @ key.T / sqrt(d), and is the "
        "maximum that of each row?"
    )


def _softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# 02.4
def split_heads(x, n_heads):
    """Reference: cut the last axis in two, move the head axis in front of time."""
    batch, time, width = x.shape
    return x.reshape(batch, time, n_heads, width // n_heads).transpose(0, 2, 1, 3)


def examine_split_heads(answer):
    """All axes of different length, and entries that tell where they came from."""
    for batch, time, n_heads, width in ((2, 5, 3, 4), (1, 4, 4, 1), (3, 2, 1, 6)):
        x = np.arange(batch * time * n_heads * width, dtype=float).reshape(batch, time, n_heads * width)
        expected = np.array([[[row[h * width : (h + 1) * width] for row in one] for h in range(n_heads)] for one in x])
        result = array_of(call(answer, x, n_heads), None, "")
        if result.shape == expected.shape and (result == expected).all():
            continue
        seen = f"x of shape {x.shape} in {n_heads} heads became {result.shape}"
        if result.shape == (batch, time, n_heads, width):
            raise NotYet(f"{seen}: the head axis is still behind time. Move it in front of it: transpose(0, 2, 1, 3).")
        if result.shape != expected.shape:
            raise NotYet(f"{seen}; {expected.shape} was asked for: batch, heads, time, width of a head.")
        if (result == x.reshape(expected.shape)).all():
            raise NotYet(
                f"the shape {result.shape} fits, the numbers do not: reshape alone lays rows end to end, and head 0 got whole "
                "early positions instead of the first columns of every position. Cut D, then move the axis."
            )
        if (result == x.reshape(batch, time, width, n_heads).transpose(0, 3, 1, 2)).all():
            raise NotYet(
                "head 0 got every H-th column; it should get the first d columns side by side: reshape to (B, T, H, d), not (d, H)."
            )
        if (result == expected[:, ::-1]).all():
            raise NotYet("the heads come in reverse order: head 0 gets the first d columns.")
        raise Unexplained("the shape fits, the numbers do not: head 0 should hold columns 0 to d of every position.")


# 02.5
def reach(model, tokens, query):
    """Reference: change one token at a time."""
    before, found = model.logits(tokens)[0, query], set()
    for t in range(tokens.shape[1]):
        changed = tokens.copy()
        changed[0, t] = (changed[0, t] + 1) % model.config.vocab_size
        if np.abs(model.logits(changed)[0, query] - before).max() > 1e-9:
            found.add(t)
    return found


class _Reacher:
    """A model whose output at a position depends on exactly the positions that `sources` names."""

    def __init__(self, sources, vocab_size=5):
        self.config, self.sources = SimpleNamespace(vocab_size=vocab_size, seq_len=99), sources
        self.table = np.random.default_rng(1).standard_normal((99, vocab_size, 4))
        self.table[1] *= 1e-5  # position 1 matters little, and it matters

    def __repr__(self):
        return "a small model"

    def logits(self, tokens):
        tokens = np.asarray(tokens)
        if tokens.ndim != 2:
            raise ValueError(f"tokens have shape {tokens.shape}: give (batch, time)")
        if tokens.min() < 0 or tokens.max() >= self.config.vocab_size:
            raise ValueError(f"an id is outside 0 to {self.config.vocab_size - 1}")
        rows = [[sum(self.table[s, row[s]] for s in self.sources(t, len(row))) for t in range(len(row))] for row in tokens]
        return np.array([[np.zeros(4) + cell for cell in row] for row in rows])


_MODELS = {
    "a causal model": lambda t, time: range(t + 1),
    "a model that sees everything": lambda t, time: range(time),
    "a model that sees itself only": lambda t, time: [t],
    "a model that sees the first two": lambda t, time: [0, 1],
    "a model that sees nothing": lambda t, time: [],
}


def examine_reach(answer):
    """On small models whose reach is known."""
    tokens = np.array([[4, 0, 0, 3, 1, 2]], dtype=np.int64)
    for name, sources in _MODELS.items():
        for query in (2, 5, 0):
            result = call(answer, _Reacher(sources), tokens, query)
            try:
                found = {int(t) for t in np.ravel(list(result)).tolist()}
                flags = np.asarray(list(result)).dtype == bool
            except (TypeError, ValueError):
                raise NotYet(f"it returned something of type {type(result).__name__}; a set of positions was asked for.") from None
            expected = set(sources(query, 6))
            if flags:
                raise NotYet("it returned True and False; a set of the positions themselves was asked for.")
            if found == expected:
                continue
            seen = f"{name}, output at {query}: yours is {sorted(found)}; {sorted(expected)} was asked for."
            if any(t not in range(6) for t in found):
                raise NotYet(f"{seen} These are not positions: were ids or differences collected?")
            if found == {t for t in expected if t <= query}:
                raise NotYet(f"{seen} You look at earlier positions only; whether a later one matters is the question.")
            if found == expected - {query} and query in expected:
                raise NotYet(f"{seen} A position may depend on its own token, too.")
            if found == {t for t in expected if tokens[0, t] != 0}:
                raise NotYet(f"{seen} Where the token is 0 already, setting it to 0 changes nothing: take (id + 1) modulo V.")
            if found == {t for t in range(6) if any(t in sources(q, 6) for q in range(6))}:
                raise NotYet(
                    f"{seen} Either the outputs of all positions are compared, or an earlier change was never undone: take a "
                    "fresh copy for each t, and compare outputs at `query` only."
                )
            raise Unexplained(
                f"{seen} Is one token changed at a time, on a fresh copy, always to a new id? Does a decrease count, and a change of 1e-6?"
            )


# 02.6
_WOULD_SHOW = {
    "no mask": "its outputs would depend on later words: instrument 1.",
    "head stride": "position 8 would depend on the first few words and itself, and on none between: instrument 1.",
    "blocks": "most of its query weights would never get a gradient: instrument 3.",
    "no residual": "nothing would come through with attention silenced: instrument 4.",
    "exponential": "its weights would leave the range from 0 to 1: instrument 2.",
}


def examine_diagnosis(answer):
    """One name for each letter; a wrong one is told what that fault would have shown."""
    faults_by_letter(answer, ATTENTION_FAULTS, _WOULD_SHOW)
    return "Five faults, each found by a measurement that was not the loss."


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
    "02.1": Exercise(None, examine_bet, bet=True),
    "02.2": Exercise(bigram_floor, examine_bigram_floor, form=as_number),
    "02.3": Exercise(attention_weights, examine_attention_weights, form=as_array),
    "02.4": Exercise(split_heads, examine_split_heads, form=as_array),
    "02.5": Exercise(reach, examine_reach, form=as_positions),
    "02.6": Exercise(ATTENTION_FAULTS, examine_diagnosis, only_one=True),
}
