"""Answers to the exercises of chapter 10."""

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


def as_floats(tokens, seq_len):
    count = (len(tokens) - 1) // seq_len
    inputs, targets = np.zeros((count, seq_len)), np.zeros((count, seq_len))
    for i in range(count * seq_len):
        inputs.flat[i], targets.flat[i] = tokens[i], tokens[i + 1]
    return inputs, targets


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


def stopped(losses, patience, better=lambda loss, best: loss < best, since=0, first=1):
    best = 0
    for epoch, loss in enumerate(losses):
        if better(loss, losses[best]):
            best = epoch
        if epoch - best == patience + since:
            break
    return best + first, epoch + first


def best_of_all(losses, patience):
    return losses.index(min(losses)) + 1, stopped(losses, patience)[1]


def never_stopped(losses, patience):
    return losses.index(min(losses)) + 1, len(losses)


def beside_the_one_before(losses, patience):
    bad, last = 0, len(losses)
    for i in range(1, len(losses)):
        bad = bad + 1 if losses[i] >= losses[i - 1] else 0
        if bad == patience:
            last = i + 1
            break
    return losses[:last].index(min(losses[:last])) + 1, last


def at_the_first_rise(losses, patience):
    for i in range(1, len(losses)):
        if losses[i] >= losses[i - 1]:
            return i, i + 1
    return len(losses), len(losses)


def with_a_counter(losses, patience):
    best, at, bad = float("inf"), 0, 0
    for epoch, loss in enumerate(losses, start=1):
        best, at, bad = (loss, epoch, 0) if loss < best else (best, at, bad + 1)
        if bad >= patience:
            return at, epoch
    return at, len(losses)


def with_arrays(losses, patience):
    losses = np.asarray(losses)
    best = np.array([int(losses[: i + 1].argmin()) for i in range(len(losses))], dtype=np.intp)
    waited = np.arange(len(losses), dtype=np.int64) - best
    last = int(np.argmax(waited >= patience)) if (waited >= patience).any() else len(losses) - 1
    return np.array([best[last] + 1, last + 1], dtype=np.int64)


# -- 06.5 --
DIAGNOSIS = {"A": "own word", "B": "one file", "C": "leak", "D": "shared ids", "E": "sorted"}


WRONG = {
    "10.1": [
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
    "10.2": [
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
    "10.3": [
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
    "10.4": [
        (lambda losses, patience: stopped(losses, patience, first=0), "counted from 0"),
        (lambda losses, patience: stopped(losses, patience)[::-1], "changed places"),
        (best_of_all, "what comes after the stop"),
        (never_stopped, "what comes after the stop"),
        (beside_the_one_before, "epochs since the best one"),
        (lambda losses, patience: stopped(losses, patience, better=lambda loss, best: loss <= best), "is not better"),
        (lambda losses, patience: stopped(losses, patience, since=1), "One epoch too many"),
        (lambda losses, patience: stopped(losses, patience, since=-1), "One epoch too few"),
        (at_the_first_rise, "at the first rise"),
        (lambda losses, patience: tuple(losses[epoch - 1] for epoch in stopped(losses, patience)), "Those are losses"),
        (lambda losses, patience: stopped(losses, patience)[0], "two epochs were asked for"),
        (lambda losses, patience: (1, 2), "Stop once that is the patience"),
        (lambda losses, patience: (losses.sort(), (1, 1))[1], "changed its input"),
        (returns((1, float("nan"))), "finite number"),
        (returns(("one", "two")), "a number was asked for"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "10.5": [
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
}

RIGHT = {
    "10.1": [
        [8.4, 1.3, 0.3],
        (7.5, 5, 4),
        np.array([9, 8, 7], dtype=np.int64),
        {"epoch 1": 7.5, "epoch 10": 5.0, "epoch 30": 4.0},
        ["7.5", "5", 0],
    ],
    "10.2": [cut, by_loops, by_strides, as_floats],
    "10.3": [with_gaps, by_windows, by_counters],
    "10.4": [with_a_counter, with_arrays, lambda losses, patience: list(map(str, with_a_counter(losses, patience)))],
    "10.5": [
        dict(reversed(DIAGNOSIS.items())),
        {k.lower(): v.upper().replace(" ", "_") for k, v in DIAGNOSIS.items()},
        list(DIAGNOSIS.items()),
    ],
}

TYPED_WRONG = {
    "10.1": 'my_numbers = "lower"',
    "10.2": "def inputs_and_targets(tokens, seq_len):\n    used = len(tokens) // seq_len * seq_len\n"
    "    return tokens[:used].reshape(-1, seq_len), tokens[:used].reshape(-1, seq_len)",
    "10.3": "def seen_before(train, held_out, n):\n    return np.isin(held_out, train).mean()",
    "10.4": "def when_to_stop(losses, patience):\n    return losses.index(min(losses)), len(losses)",
    "10.5": 'diagnosis = {"A": "leak", "B": "leak", "C": "leak", "D": "leak", "E": "leak"}',
}
