"""Answers to the exercises of chapter 06."""

import math
from collections import Counter

import numpy as np
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns

# -- 06.2 --


def cut(tokens, seq_len, first=0, later=1, count=None):
    count = (len(tokens) - 1) // seq_len if count is None else count
    used = count * seq_len
    return tuple(np.resize(tokens[s : s + used], used).reshape(count, seq_len) for s in (first, first + later))


def cut_then_rolled(tokens, seq_len):
    inputs, _ = cut(tokens, seq_len)
    return inputs, np.roll(inputs, -1, axis=1)


def rolled_then_cut(tokens, seq_len):
    used = (len(tokens) - 1) // seq_len * seq_len
    return tokens[:used].reshape(-1, seq_len), np.roll(tokens[:used], -1).reshape(-1, seq_len)


def overlapping(tokens, seq_len):
    starts = range(len(tokens) - seq_len)
    return np.array([tokens[s : s + seq_len] for s in starts]), np.array([tokens[s + 1 : s + seq_len + 1] for s in starts])


def one_too_many(tokens, seq_len):
    count = (len(tokens) - 1) // seq_len + 1
    padded = np.append(tokens, np.zeros(seq_len + 1, tokens.dtype))
    return padded[: count * seq_len].reshape(count, seq_len), padded[1 : count * seq_len + 1].reshape(count, seq_len)


def in_columns(tokens, seq_len):
    return tuple(part.T for part in cut(tokens, seq_len))


def scrambled(tokens, seq_len):
    return tuple(part.ravel().reshape(part.shape[::-1]).T for part in cut(tokens, seq_len))


def in_place(tokens, seq_len):
    tokens[0] += 1
    return cut(tokens, seq_len)


def by_loops(tokens, seq_len):
    rows = [tokens[s : s + seq_len + 1].tolist() for s in range(0, len(tokens) - seq_len, seq_len)]
    return [row[:-1] for row in rows], [row[1:] for row in rows]


def by_strides(tokens, seq_len):
    both = np.lib.stride_tricks.sliding_window_view(tokens, seq_len + 1)[::seq_len]
    return [both[:, :-1].astype(np.int32), both[:, 1:]]


# -- 06.3 --


def runs(tokens, n, step=1):
    return [tuple(np.asarray(tokens)[i : i + n].tolist()) for i in range(0, len(tokens) - n + 1, step)]


def share(found, among):
    return sum(found) / len(among)


def seen(train, held_out, n):
    known = set(runs(train, n))
    return [run in known for run in runs(held_out, n)]


def as_text(train, held_out, n):
    text = "".join(map(str, train))
    return np.mean(["".join(map(str, run)) in text for run in runs(held_out, n)])


def with_gaps(train, held_out, n):
    text = f" {' '.join(map(str, train))} "
    return np.mean([f" {' '.join(map(str, run))} " in text for run in runs(held_out, n)])


def by_windows(train, held_out, n):
    known, asked = (np.lib.stride_tricks.sliding_window_view(part, n) for part in (train, held_out))
    return (asked[:, None] == known[None]).all(-1).any(-1).mean()


def by_counters(train, held_out, n):
    known, asked = Counter(runs(train, n)), Counter(runs(held_out, n))
    return np.float32(sum(count for run, count in asked.items() if run in known) / sum(asked.values()))


# -- 06.4 --
DIAGNOSIS = {"A": "own word", "B": "one file", "C": "leak", "D": "shared ids", "E": "sorted"}

# -- 06.5 --


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


# -- 06.6 --


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


def as_floats(tokens, seq_len):
    count = (len(tokens) - 1) // seq_len
    inputs, targets = np.zeros((count, seq_len)), np.zeros((count, seq_len))
    for i in range(count * seq_len):
        inputs.flat[i], targets.flat[i] = tokens[i], tokens[i + 1]
    return inputs, targets


def shifted_by_the_mean(query, keys, values):
    scores = keys @ query / math.sqrt(len(query))
    powers = np.exp(scores - scores.mean())
    return powers / powers.sum() @ values


WRONG = {
    "06.1": [
        (7.5, "three numbers were asked for"),
        ([7.5, -1, 2], "below 0"),
        ([9000, 5, 1], "more than twice ln 10,000"),
        ([7.5, 5.0], "three numbers were asked for"),
        ([7.5, float("nan"), 4], "finite number"),
        ([7.5, 5.0, ...], "your loss of epoch 30 is still open"),
        (["low", "lower", "lowest"], "a number was asked for"),
        (None, "three numbers were asked for"),
        ("7.5", "three numbers were asked for"),
        (np.zeros((3, 1)), "three numbers were asked for"),
    ],
    "06.2": [
        (lambda tokens, seq_len: cut(tokens, seq_len, later=0), "the word itself"),
        (lambda tokens, seq_len: cut(tokens, seq_len)[::-1], "changed places"),
        (overlapping, "begin at every word and overlap"),
        (lambda tokens, seq_len: cut(tokens, seq_len, later=2), "two words later"),
        (cut_then_rolled, "shift the text, then cut"),
        (rolled_then_cut, "np.roll"),
        (one_too_many, "one sequence too many"),
        (lambda tokens, seq_len: cut(tokens, seq_len, count=(len(tokens) - 1) // seq_len - 1), "A full sequence was dropped"),
        (in_columns, "Sequences are rows"),
        (scrambled, "in another order"),
        (
            lambda tokens, seq_len: (cut(tokens, seq_len)[0], np.append(0, tokens)[: cut(tokens, seq_len)[0].size].reshape(-1, seq_len)),
            "before",
        ),
        (lambda tokens, seq_len: cut(tokens, seq_len)[0], "two arrays were asked for"),
        (lambda tokens, seq_len: (tokens[:-1], tokens[1:]), "How many full sequences fit"),
        (lambda tokens, seq_len: tokens.reshape(-1, seq_len), "it raised ValueError|two arrays"),
        (lambda tokens, seq_len: tuple(part / 7 for part in cut(tokens, seq_len)), "no ids"),
        (lambda tokens, seq_len: tuple(part * np.nan for part in cut(tokens, seq_len)), "no ids"),
        (lambda tokens, seq_len: ([[1, 2], [3]], [[2, 3], [4]]), "different lengths"),
        (lambda tokens, seq_len: cut(tokens + 1, seq_len), "one word later"),
        (in_place, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "06.3": [
        (lambda train, held_out, n: sum(seen(train, held_out, n)), "divide by all of them"),
        (lambda train, held_out, n: np.mean(seen(held_out, train, n)), "other way round"),
        (lambda train, held_out, n: np.isin(held_out, train).mean(), "single words"),
        (lambda train, held_out, n: 100 * np.mean(seen(train, held_out, n)), "In percent"),
        (lambda train, held_out, n: 1 - np.mean(seen(train, held_out, n)), "not seen"),
        (
            lambda train, held_out, n: len(set(runs(train, n)) & set(runs(held_out, n))) / len(set(runs(held_out, n))),
            "each distinct run once",
        ),
        (lambda train, held_out, n: np.mean([run in runs(train, n) for run in runs(held_out, n, n)]), "Your runs do not overlap"),
        (lambda train, held_out, n: np.mean([run in runs(train, n, n) for run in runs(held_out, n)]), "training runs do not overlap"),
        (
            lambda train, held_out, n: np.mean([sorted(run) in [sorted(r) for r in runs(train, n)] for run in runs(held_out, n)]),
            "A run has an order",
        ),
        (lambda train, held_out, n: sum(seen(train, held_out, n)) / len(held_out), "the last words begin no whole run"),
        (lambda train, held_out, n: sum(seen(train, held_out, n)) / (len(held_out) - n), "one place too few"),
        (as_text, "You compare digits"),
        (lambda train, held_out, n: 0.123, "At each place"),
        *BROKEN_FUNCTIONS,
    ],
    "06.4": [
        (DIAGNOSIS | {"A": "leak", "C": "own word"}, "A as 'leak': then all runs of four"),
        (DIAGNOSIS | {"B": "shared ids"}, "far fewer different ones"),
        (DIAGNOSIS | {"D": "one file"}, "fewer words in all"),
        (DIAGNOSIS | {"E": "own word"}, "far below the bigram entropy"),
        (DIAGNOSIS | {"C": "sorted"}, "rise from left to right"),
        (DIAGNOSIS | {"A": "off by one"}, "not in the table"),
        (DIAGNOSIS | {"C": ..., "E": ...}, "still open: C, E"),
        (None, "a dictionary from letter to name"),
        ({"A": float("nan")}, "still open"),
        ("leak", "a dictionary from letter to name"),
        (list(DIAGNOSIS.values()), "a dictionary from letter to name"),
    ],
    "06.5": [
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
    "06.6": [
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
    "06.1": [
        [8.4, 1.3, 0.3],
        (7.5, 5, 4),
        np.array([9, 8, 7], dtype=np.int64),
        {"epoch 1": 7.5, "epoch 10": 5.0, "epoch 30": 4.0},
        ["7.5", "5", 0],
    ],
    "06.2": [cut, by_loops, by_strides, as_floats],
    "06.3": [with_gaps, by_windows, by_counters],
    "06.4": [
        dict(reversed(DIAGNOSIS.items())),
        {k.lower(): v.upper().replace(" ", "_") for k, v in DIAGNOSIS.items()},
        list(DIAGNOSIS.items()),
    ],
    "06.5": [
        keep_by_loop,
        lambda p, k: normalised(keep(p, np.argpartition(-p, min(k, len(p)) - 1)[:k])).astype(np.float32),
    ],
    "06.6": [attend_by_logs, attend_in_batches, lambda q, k, v: attend(q, k, v).astype(np.float32)],
}

TYPED_WRONG = {
    "06.1": 'my_numbers = "lower"',
    "06.2": "def inputs_and_targets(tokens, seq_len):\n    used = len(tokens) // seq_len * seq_len\n"
    "    return tokens[:used].reshape(-1, seq_len), tokens[:used].reshape(-1, seq_len)",
    "06.3": "def seen_before(train, held_out, n):\n    return np.isin(held_out, train).mean()",
    "06.4": 'diagnosis = {"A": "leak", "B": "leak", "C": "leak", "D": "leak", "E": "leak"}',
    "06.5": "def keep_best(probabilities, k):\n    return probabilities[:k] / probabilities[:k].sum()",
    "06.6": "def attend_one(query, keys, values):\n    return values.mean(axis=0)",
}
