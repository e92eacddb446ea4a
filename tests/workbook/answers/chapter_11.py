"""Answers to the exercises of chapter 11."""

import math

import numpy as np
from workbook.answers.common import raises, returns

# -- 11.2 --


def keep(probabilities, ids):
    kept = np.zeros_like(probabilities)
    kept[ids] = probabilities[ids]
    return kept


def best(probabilities, k):
    return np.argsort(probabilities)[-k:]


def normalised(array):
    return array / array.sum()


def softmax(array):
    return np.exp(array) / np.exp(array).sum()


def softmax_of_the_kept(p, k):
    kept = np.zeros_like(p)
    kept[best(p, k)] = softmax(p[best(p, k)])
    return kept


def keep_in_place(probabilities, k):
    probabilities[np.argsort(probabilities)[:-k]] = 0
    return probabilities / probabilities.sum()


def minus_infinity_for_the_rest(p, k):
    kept = normalised(keep(p, best(p, k)))
    return np.where(kept > 0, kept, -np.inf)


def keep_by_threshold(probabilities, k):
    worst = sorted(probabilities, reverse=True)[min(k, len(probabilities)) - 1]
    return normalised(np.where(probabilities >= worst, probabilities, 0.0)).tolist()


def keep_by_loop(probabilities, k):
    left, chosen = dict(enumerate(probabilities)), []
    while left and len(chosen) < k:
        chosen.append(max(left, key=left.get))
        del left[chosen[-1]]
    return normalised(keep(probabilities, chosen))


# -- 11.4 --


def attend(query, keys, values, scale=None, safe=True):
    scores = keys @ query / (math.sqrt(len(query)) if scale is None else scale)
    powers = np.exp(scores - scores.max()) if safe else np.exp(scores)
    return powers / powers.sum() @ values


def attend_without_itself(query, keys, values):
    return attend(query, keys[:-1], values[:-1]) if len(keys) > 1 else attend(query, keys, values)


def attend_weights(query, keys, values):
    return softmax(keys @ query / math.sqrt(len(query)))


def attend_with_sum_missing(query, keys, values):
    return np.exp(keys @ query / math.sqrt(len(query))) @ values


def attend_by_logs(query, keys, values):
    scores = np.array([key.dot(query) for key in keys]) * len(query) ** -0.5
    logs = scores - np.logaddexp.reduce(scores)
    return sum(math.exp(log) * value for log, value in zip(logs, values, strict=True))


def attend_in_batches(query, keys, values):
    scores = np.einsum("d,nd->n", query, keys)[None] / np.sqrt(query.shape[-1])
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("bn,ne->e", powers / powers.sum(axis=-1, keepdims=True), values).astype(np.float64).tolist()


def shifted_by_the_mean(query, keys, values):
    scores = keys @ query / math.sqrt(len(query))
    powers = np.exp(scores - scores.mean())
    return powers / powers.sum() @ values


# -- 11.3 --
SPOKEN = {"A": "ten best", "B": "other pass", "C": "first five", "D": "bold", "E": "likeliest"}

WRONG = {
    "11.1": [
        ({"by heart": "E", "stopped in time": "C"}, "not in the table"),
        ({"by heart": "D"}, "still open: STOPPED IN TIME"),
        ("C", "a dictionary with 'by heart'"),
        ({"by heart": 3, "stopped in time": "C"}, "a letter in quotes"),
        ({"by heart": "greedy", "stopped in time": "C"}, "'greedy' is not in the table"),
        (None, "a dictionary with 'by heart'"),
        (["C", "D"], "a dictionary with 'by heart'"),
    ],
    "11.2": [
        (lambda p, k: normalised(keep(p, np.arange(min(k, len(p)), dtype=np.int64))), "the program's own slip"),
        (lambda p, k: normalised(keep(p, np.argsort(p)[:k])), "the worst k"),
        (lambda p, k: keep(p, best(p, k)), "divide by their sum"),
        (lambda p, k: p.copy(), "Nothing was taken away"),
        (lambda p, k: normalised(keep(np.ones(len(p)), best(p, k))), "equally likely"),
        (softmax_of_the_kept, "A second softmax: these"),
        (lambda p, k: softmax(keep(p, best(p, k))), "what was taken away came back"),
        (lambda p, k: normalised(keep(p, best(p, k + 1))), "3 are kept; 2 of 5"),
        (lambda p, k: np.sort(p)[-k:] / np.sort(p)[-k:].sum(), "one number for each of the 5 words"),
        (lambda p, k: normalised(np.sort(keep(p, best(p, k)))), "at their own places"),
        (minus_infinity_for_the_rest, "for logits, before a softmax"),
        (keep_by_threshold, "Of equally good ones"),
        (lambda p, k: p * np.nan, "NaN or infinity"),
        (keep_in_place, "changed its input"),
        (returns(None), "returned None"),
        (returns("nine"), "an array of probabilities"),
        (returns(np.zeros((2, 2))), r"shape \(2, 2\)"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "11.3": [
        (SPOKEN | {"A": "likeliest", "E": "ten best"}, "A as 'likeliest': then its pairs would come again and again"),
        (SPOKEN | {"B": "bold"}, "next to all pairs would be new"),
        (SPOKEN | {"C": "other pass"}, "hardly a pair would stand in the text"),
        (SPOKEN | {"D": "first five"}, "no more than five different words"),
        (SPOKEN | {"E": "ten best"}, "both shares well above a half"),
        (SPOKEN | {"D": "drunk"}, "not in the table"),
        (SPOKEN | {"C": ..., "E": ...}, "still open: C, E"),
        (None, "a dictionary from letter to name"),
        ({"A": float("nan")}, "still open"),
        ("bold", "a dictionary from letter to name"),
        (list(SPOKEN.values()), "a dictionary from letter to name"),
    ],
    "11.4": [
        (shifted_by_the_mean, "subtract their maximum first"),
        (lambda q, k, v: attend(q, k, v, scale=1.0), "not divided by sqrt"),
        (lambda q, k, v: v.mean(axis=0), "plain mean"),
        (attend_without_itself, "does not look at itself"),
        (lambda q, k, v: attend(q, k, v, scale=len(q)), "divided by d"),
        (lambda q, k, v: v[-1], "Only the newest word"),
        (lambda q, k, v: k @ q / math.sqrt(len(q)) @ v, "softmax is missing"),
        (attend_with_sum_missing, "do not sum to 1"),
        (attend_weights, "Are those weights"),
        (lambda q, k, v: attend(q, k, v, safe=False), "subtract their maximum"),
        (lambda q, k, v: attend(q, k, v)[None], r"shape \(1, 4\)"),
        (lambda q, k, v: attend(q, k, v) if v.shape != k.shape else attend(q, v, v), "The values made the scores"),
        (lambda q, k, v: attend(q, k, v) if v.shape != k.shape else attend(q, k, k), "The keys were averaged"),
        (lambda q, k, v: attend(q, k, v) + 1, r"@ values . 1"),
        (lambda q, k, v: attend(q, k, v) * np.nan, "NaN or infinity"),
        (lambda q, k, v: q @ k @ v, "it raised ValueError"),
        (returns(None), "returned None"),
        (returns("nine"), "an array was asked for"),
        (returns(np.zeros(3)), r"shape \(3,\)"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (lambda q, k, v: np.nan_to_num(attend(q, k, v, safe=False)), "was asked for"),
    ],
}

RIGHT = {
    "11.1": [
        {"by heart": "D", "stopped in time": "C"},
        {"BY HEART": "c", "Stopped in time": " c "},
        [("by heart", "A"), ("stopped in time", "B")],
    ],
    "11.2": [
        keep_by_loop,
        lambda p, k: normalised(keep(p, np.argpartition(-p, min(k, len(p)) - 1)[:k])).astype(np.float32),
    ],
    "11.3": [
        dict(reversed(SPOKEN.items())),
        {k.lower(): v.upper().replace(" ", "_") for k, v in SPOKEN.items()},
        list(SPOKEN.items()),
    ],
    "11.4": [attend_by_logs, attend_in_batches, lambda q, k, v: attend(q, k, v).astype(np.float32)],
}

TYPED_WRONG = {
    "11.1": 'my_bets = "C"',
    "11.2": "def keep_best(probabilities, k):\n    return probabilities[:k] / probabilities[:k].sum()",
    "11.3": 'spoken_by = {"A": "bold", "B": "bold", "C": "bold", "D": "bold", "E": "bold"}',
    "11.4": "def attend_one(query, keys, values):\n    return values.mean(axis=0)",
}
