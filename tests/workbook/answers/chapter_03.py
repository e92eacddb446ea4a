"""Answers for chapter 03: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math
from collections import Counter, defaultdict

import numpy as np
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns


# -- 02.2 --
def entropy_of(counts):
    shares = np.array(list(counts), dtype=float)
    shares /= shares.sum()
    return float(-(shares * np.log(shares)).sum())


def joint(inputs, targets):
    return entropy_of(Counter(zip(inputs.ravel().tolist(), targets.ravel().tolist(), strict=True)).values())


def single(ids):
    return entropy_of(Counter(ids.ravel().tolist()).values())


def floor(inputs, targets):
    return joint(inputs, targets) - single(inputs)


def glued(inputs, targets):
    pairs = Counter(f"{a}{b}" for a, b in zip(inputs.ravel(), targets.ravel(), strict=True))
    return entropy_of(pairs.values()) - single(inputs)


def unweighted(inputs, targets):
    following = defaultdict(Counter)
    for a, b in zip(inputs.ravel().tolist(), targets.ravel().tolist(), strict=True):
        following[a][b] += 1
    return np.mean([entropy_of(counts.values()) for counts in following.values()])


def weighted(inputs, targets):
    following = defaultdict(list)
    for a, b in zip(inputs.ravel(), targets.ravel(), strict=True):
        following[a].append(b)
    return sum(len(words) * entropy_of(Counter(words).values()) for words in following.values()) / inputs.size


def by_matrix(inputs, targets):
    counts = np.zeros((1 + inputs.max(), 1 + targets.max()))
    np.add.at(counts, (inputs, targets), 1)
    chances = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.float32(-(counts[counts > 0] * np.log(chances[counts > 0])).sum() / counts.sum())


# -- 02.3 --
def weights(query, key, scale=None, masked=True, fill=-np.inf, shift=True, axis=-1, mask=None):
    scores = query @ key.swapaxes(-1, -2) / (math.sqrt(query.shape[-1]) if scale is None else scale)
    mask = np.tri(query.shape[-2], dtype=bool) if mask is None else mask
    scores = np.where(mask, scores, fill) if masked else scores
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True) if shift else scores)
    return powers / powers.sum(axis=axis, keepdims=True)


def masks_late(query, key):
    return weights(query, key, masked=False) * np.tri(query.shape[-2])


def two_axes_only(query, key):
    return weights(query.reshape(-1, query.shape[-1]), key.reshape(-1, key.shape[-1]))


def transposes_everything(query, key):
    scores = query @ key.T / math.sqrt(query.shape[-1])
    scores = np.where(np.tri(query.shape[-2], dtype=bool), scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def shifts_by_one_maximum(query, key):
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
    powers = np.exp(np.where(np.tri(query.shape[-2], dtype=bool), scores, -np.inf) - scores.max())
    return powers / powers.sum(axis=-1, keepdims=True)


def strictly_earlier(query, key):
    return weights(query, key, mask=np.tri(query.shape[-2], k=-1, dtype=bool))


def spoils_its_input(query, key):
    query /= math.sqrt(query.shape[-1])
    return weights(query, key, scale=1.0)


def by_einsum(query, key):
    scores = np.einsum("...qd,...kd->...qk", query, key) * query.shape[-1] ** -0.5
    scores = scores + np.triu(np.full(scores.shape[-2:], -1e30), k=1)
    scores = scores - scores.max(-1, keepdims=True)
    return np.exp(scores - np.log(np.exp(scores).sum(-1, keepdims=True)))


def scaled_beforehand(query, key):
    return weights(query * query.shape[-1] ** -0.25, key * query.shape[-1] ** -0.25, scale=1.0).astype(np.float32)


# -- 02.4 --
def heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).transpose(0, 2, 1, 3)


def by_slices(x, n_heads):
    return np.stack(np.split(x, n_heads, axis=-1), axis=1)


# -- 02.5 --
def rows(shares):
    """Weights of every sequence, out of those of one."""
    return lambda query, key: np.broadcast_to(shares(query.shape[-2]), (*query.shape[:-1], query.shape[-2]))


def in_turn(query, key):
    found = np.zeros((*query.shape[:-1], query.shape[-2]))
    for q in range(query.shape[-2]):
        found[..., q, : q + 1] = 1 / (q + 1)
    return found


BROKEN_ARRAYS = [
    (returns(None), "returned None"),
    (raises, "it raised KeyError"),
    (returns("nine"), "an array was asked for"),
    (3, "a function was asked for"),
]


def by_table(size):
    def bigram_floor(inputs, targets):
        counts = np.zeros((size, size))
        np.add.at(counts, (inputs, targets), 1)
        chances = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return -(counts[counts > 0] * np.log(chances[counts > 0])).sum() / counts.sum()

    return bigram_floor


def only_scores(query, key):
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
    return np.where(np.tri(query.shape[-2], dtype=bool), scores, -np.inf)


WRONG = {
    "03.1": [
        (-1, "below 0"),
        (9.21, "above ln 280"),
        ("low", "a number was asked for"),
        (None, "number|finite"),
        (float("nan"), "finite"),
        (np.zeros(2), "one number"),
    ],
    "03.2": [
        (joint, "entropy of the pairs"),
        (lambda x, y: single(y), "the unigram entropy"),
        (lambda x, y: joint(x, y) - single(y), "the other way round"),
        (unweighted, "must count often"),
        (glued, "a text of other ids"),
        (lambda x, y: floor(x, y) / math.log(2), "in bits"),
        (lambda x, y: -floor(x, y), "The sign"),
        (lambda x, y: math.exp(floor(x, y)), "a perplexity"),
        (lambda x, y: floor(x, y) * x.size, "a sum over all pairs"),
        (lambda x, y: round(floor(x, y), 4), "Do not round"),
        (lambda x, y: single(x) / 2, "Each pair"),
        *BROKEN_FUNCTIONS,
        (by_table(280), "index 400 is out of bounds"),
    ],
    "03.3": [
        (lambda q, k: weights(q, k, scale=1.0), "No score was divided"),
        (only_scores, "softmax of each row is still to come"),
        (lambda q, k: weights(q, k) / (1 + 1e-5), "sum to 0.99999"),
        (masks_late, "you mask after softmax"),
        (lambda q, k: weights(q, k, fill=-1e4), "Is what is masked -inf"),
        (lambda q, k: weights(q, k).tolist(), "it returned a list"),
        (lambda q, k: weights(q, k, axis=-2), "over the queries"),
        (lambda q, k: weights(q, k, scale=q.shape[-1]), "its square root"),
        (lambda q, k: weights(q, k, scale=q.shape[-1] ** -0.5), "you multiply"),
        (lambda q, k: weights(q, k, scale=q.shape[-2] ** 0.5), "root of T"),
        (lambda q, k: weights(q, k, masked=False), "Nothing is masked"),
        (lambda q, k: weights(q, k, fill=0.0), "exp.0. is 1"),
        (lambda q, k: weights(q, k, mask=~np.tri(q.shape[-2], k=-1, dtype=bool)), "upside down"),
        (lambda q, k: weights(q, k).swapaxes(-1, -2), "Rows and columns are swapped"),
        (lambda q, k: np.exp(q @ k.T / q.shape[-1] ** 0.5) * np.tri(len(q)), "divide each row by its sum"),
        (lambda q, k: weights(q, k, shift=False), "subtract each row's maximum"),
        (two_axes_only, "shape"),
        (transposes_everything, "it raised ValueError"),
        (shifts_by_one_maximum, "scores of 10,000"),
        (strictly_earlier, "NaN or infinite"),
        (spoils_its_input, "changed its input"),
        (lambda q, k: q @ k.swapaxes(-1, -2), "weights lie between 0 and 1"),
        (lambda q, k: weights(q * 1.3, k), "the numbers differ from the loops"),
        (lambda q, k: weights(q, k) * 0.5, "each should sum to 1"),
        (lambda q, k: np.full((5, 5), np.nan), "NaN or infinite"),
        (returns(np.zeros(3)), r"shape \(3,\); \(5, 5\) was asked for"),
        *BROKEN_ARRAYS,
    ],
    "03.4": [
        (lambda x, n: x.reshape(x.shape[0], n, x.shape[1], -1), "Reshape alone lays rows"),
        (lambda x, n: x.reshape(*x.shape[:2], n, -1), "still behind time"),
        (lambda x, n: x.reshape(*x.shape[:2], -1, n).transpose(0, 3, 1, 2), "every H-th column"),
        (lambda x, n: heads(x, n)[:, ::-1], "reverse order"),
        (lambda x, n: x, "was asked for: batch, heads"),
        (lambda x, n: heads(x[:, ::-1], n), "the shape fits"),
        (lambda x, n: np.full(heads(x, n).shape, np.nan), "the shape fits"),
        (returns(np.zeros(3)), r"became \(3,\)"),
        *BROKEN_ARRAYS,
    ],
    "03.5": [
        (rows(lambda t: np.full((t, t), 1 / t)), "later ones too"),
        (rows(np.tri), "These are ones and zeros"),
        (weights, "queries and keys have a say"),
        (rows(lambda t: np.tri(t) / t), "Every row is divided by T"),
        (rows(lambda t: np.tri(t) / np.tri(t).sum(axis=0)), "Columns sum to 1"),
        (rows(lambda t: np.tri(t).T / np.tri(t).T.sum(axis=1, keepdims=True)), "upside down"),
        (rows(np.eye), "looks at itself only"),
        (lambda q, k: np.tri(q.shape[-2]) / q.shape[-1], "the width of a query"),
        (rows(lambda t: np.tri(t, k=-1) / np.tri(t, k=-1).sum(axis=-1, keepdims=True)), "NaN or infinite"),
        (lambda q, k: rows(lambda t: np.tri(t) / np.tri(t).sum(-1, keepdims=True))(q, k)[0], r"shape \(5,\)"),
        (lambda q, k: np.tri(q.shape[-2]) / np.arange(1, q.shape[-2] + 1, dtype=np.int64)[:, None], r"\(2, 3, 4, 4\) was asked for"),
        (lambda q, k: in_turn(q, k).tolist(), "it returned a list"),
        (lambda q, k: in_turn(q, k) * 0.5, "each should sum to 1"),
        *BROKEN_ARRAYS,
    ],
}

RIGHT = {
    "03.1": [0, 1.53, "2", np.float32(1.5), 5.63],
    "03.2": [floor, weighted, by_matrix],
    "03.3": [lambda q, k: weights(q.astype(np.float32), k.astype(np.float32)), weights, by_einsum, scaled_beforehand],
    "03.4": [heads, by_slices, lambda x, n: np.moveaxis(x.reshape(*x.shape[:2], n, -1), 2, 1)],
    "03.5": [in_turn, lambda q, k: weights(0 * q, k), lambda q, k: in_turn(q, k).astype(np.float32)],
}

TYPED_WRONG = {
    "03.1": 'my_bet = "low"',
    "03.2": "def bigram_floor(inputs, targets):\n    return np.log(len(np.unique(targets)))",
    "03.3": "def attention_weights(query, key):\n    return np.exp(query @ key.T)",
    "03.4": "def split_heads(x, n_heads):\n    return x.reshape(x.shape[0], n_heads, x.shape[1], -1)",
    "03.5": "def equal_weights(query, key):\n    return np.tri(query.shape[-2])",
}
