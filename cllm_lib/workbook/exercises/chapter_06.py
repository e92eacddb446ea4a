"""Exercises of 06_training_a_language_model."""

import math

import numpy as np

from cllm_lib.casebook.patients import TEXT_FAULTS
from cllm_lib.workbook.exercises.forms import as_array, as_ids, as_number, several
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    call,
    close,
    compared,
    faults_by_letter,
    number,
    shown,
    told_apart,
)
from cllm_lib.workbook.scores import EPOCHS

# 06.1


def examine_numbers(answer):
    """Three losses, in the order of the epochs; none is wrong, some are no losses."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, str) or np.ndim(answer) != 1 or len(answer) != 3:
        raise NotYet("three numbers were asked for, such as [7.5, 5.0, 4.0]: the loss of epoch 1, of epoch 10, of epoch 30.")
    for epoch, entry in zip(EPOCHS, answer, strict=True):
        value = number(entry, f"your loss of epoch {epoch}")
        if value < 0:
            raise NotYet(f"{shown(value)} is below 0: a loss is minus the logarithm of a probability, and those are at most 1.")
        if value > 20:
            raise NotYet(f"{shown(value)} is more than twice ln 10,000 = 9.21, the loss of who knows nothing. Losses, in nats, please.")
    return "before the run. The score stands below it."


# 06.2
def inputs_and_targets(tokens, seq_len):
    """Reference: sequences side by side, each with the same text one word later."""
    count = (len(tokens) - 1) // seq_len
    return tokens[: count * seq_len].reshape(count, seq_len), tokens[1 : count * seq_len + 1].reshape(count, seq_len)


def _pairs_in_loops(tokens, seq_len):
    starts = [s for s in range(0, len(tokens), seq_len) if s + seq_len < len(tokens)]
    return [[[tokens[s + t + later] for t in range(seq_len)] for s in starts] for later in (0, 1)]


def examine_inputs_and_targets(answer):
    """On texts of several lengths, against loops; two full sequences need their last target too."""

    def look(length, seq_len):
        tokens = np.arange(length, dtype=np.int64) * 7 % 23 + 100
        result = call(answer, tokens, seq_len)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise NotYet(f"it returned a {type(result).__name__}; two arrays were asked for: return inputs, targets.")
        found = tuple(_integers(part, name) for part, name in zip(result, ("inputs", "targets"), strict=True))
        right = tuple(np.array(part) for part in _pairs_in_loops(tokens.tolist(), seq_len))
        seen = f"for a text of {length} words in sequences of {seq_len} "
        if any(part.shape != right[0].shape for part in found):
            seen += f"the shapes are {found[0].shape} and {found[1].shape}; {right[0].shape} was asked for, twice."
            more = len(found[0]) - len(right[0]) if all(np.shape(part)[1:] == (seq_len,) for part in found) else 0
            seen += {1: " That is one sequence too many: the last word of each needs a target.", -1: " A full sequence was dropped."}.get(
                more, ""
            )
        else:
            seen += f"the first row reads {found[0][0].tolist()}, its targets {found[1][0].tolist()}."
        return seen, found, right, _text_slips(tokens, seq_len, *right)

    hint = "How many full sequences fit, if one word is left for the last target? Targets are one word later."
    told_apart(look, ((13, 4), (12, 4), (9, 4), (20, 3), (5, 4)), _same_arrays, hint)


def _same_arrays(first, second):
    return all(map(np.array_equal, first, second))


def _text_slips(tokens, seq_len, inputs, targets):
    """What slips make of a text: inputs and targets, by the sentence that names the slip."""
    count, length = len(inputs), len(tokens)
    overlapping = np.lib.stride_tricks.sliding_window_view(tokens, seq_len)
    end = count * seq_len

    def cut(ids):
        return ids[:end].reshape(count, seq_len)

    rolled, own_last, turned = targets.copy(), targets.copy(), (inputs.T, targets.T)
    rolled[-1, -1] = tokens[0]
    own_last[:, -1] = inputs[:, 0]
    along = (tokens[:end].reshape(seq_len, count), tokens[1 : end + 1].reshape(seq_len, count))
    return {
        "They have changed places: the target is the word that comes after, not before.": (targets, inputs),
        "Each target is the word itself: shift by one, or the model learns to repeat.": (inputs, inputs),
        "The very last target is wrong: np.roll brings the first word of the text there.": (
            [(inputs, rolled), (inputs, cut(np.roll(tokens, -1)))] if end + 1 == length else None
        ),
        "Only last targets are wrong. They are the first words of the sequences after: shift the text, then cut.": (inputs, own_last),
        "The targets are two words later; one was asked for.": (inputs, cut(tokens[2:])) if end + 2 <= length else None,
        "The targets are the words before; the next ones were asked for.": [
            (inputs, cut(np.roll(tokens, 1))),
            (inputs, cut(np.append(0, tokens))),
        ],
        "The right words, in another order. Rows run along the text: reshape(count, seq_len), with no transpose.": [
            tuple(part.T.reshape(part.shape) for part in along),
            tuple(part.T for part in along),
        ],
        "Sequences are rows: reshape(count, seq_len).": [along, turned],
        "Yours begin at every word and overlap; here each begins where the last one ended.": (overlapping[:-1], overlapping[1:]),
    }


def _integers(part, name):
    try:
        array = np.asarray(part)
        if array.dtype.kind not in "iu" and not np.array_equal(array, np.round(array)):
            raise NotYet(f"{name} hold numbers that are no ids; ids were asked for. Were they scaled, or is one NaN?")
    except (TypeError, ValueError):
        raise NotYet(
            f"{name} are of type {type(part).__name__} with rows of different lengths, or no numbers; an array was asked for."
        ) from None
    return array


# 06.3
def seen_before(train, held_out, n):
    """Reference: share of the places in the held-out text whose next n words stand somewhere in the training text."""

    def runs(tokens):
        return [tuple(tokens[i : i + n].tolist()) for i in range(len(tokens) - n + 1)]

    known = set(runs(train))
    return np.mean([run in known for run in runs(held_out)])


def _runs(tokens, n):
    tokens = np.asarray(tokens).tolist()
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


_TEXTS = [
    ([3, 3, 4, 3, 1, 12, 4, 1, 12], [4, 1, 4, 3, 1, 12, 4, 2, 1, 1, 4, 1], 2),  # here every slip below gives another share
    ([1, 2, 3, 4, 5, 6, 1, 2, 9], [1, 2, 3, 1, 2, 7, 2, 1, 1, 2], 2),
    ([1, 2, 3, 4, 2, 3], [3, 2, 4, 3, 2, 3, 9, 9], 2),
    ([5, 1, 2, 3, 5, 1], [1, 2, 3, 5, 1, 4, 5, 1, 2], 3),
    ([1, 12, 3, 1, 1], [11, 2, 3, 1, 12, 3], 2),
    ([4, 4, 1, 2], [1, 2, 4, 4, 8, 1], 1),
    ([7, 1, 2, 7], [7, 7, 1, 2], 2),
]


def examine_seen_before(answer):
    """On small texts whose runs can be counted by hand, against slices compared one by one."""

    def look(train, held_out, n):
        value = number(call(answer, np.array(train), np.array(held_out), n), "the share")
        places, seen_at = _places(train, held_out, n)
        right = len(seen_at) / len(places)
        told = f"{compared('the share', value, right)} Training {_line(train)}, held out {_line(held_out)}, runs of {n}."
        return told, value, right, _seen_slips(train, held_out, n, places, seen_at)

    told_apart(look, _TEXTS, close, "At each place of the held-out text: do its next n words stand in the training text?")


def _line(tokens):
    return " ".join(map(str, tokens))


def _places(train, held_out, n):
    windows = [train[i : i + n] for i in range(len(train) - n + 1)]
    places = range(len(held_out) - n + 1)
    return places, [i for i in places if held_out[i : i + n] in windows]


def _seen_slips(train, held_out, n, places, seen_at):
    """What slips make of one example: the value by the sentence that names the slip."""
    distinct, known = set(_runs(held_out, n)), set(_runs(train, n))
    back_places, back = _places(held_out, train, n)
    chunks = [tuple(held_out[i : i + n]) for i in range(0, len(held_out) - n + 1, n)]
    cut = {tuple(train[i : i + n]) for i in range(0, len(train) - n + 1, n)}
    loose = {tuple(sorted(run)) for run in known}
    text = f" {_line(train)} ".replace(" ", "")
    return {
        "That is a number of places; divide by all of them.": len(seen_at),
        "In percent? A share, from 0 to 1, was asked for.": 100 * len(seen_at) / len(places),
        "That is the share that was not seen.": 1 - len(seen_at) / len(places),
        "The other way round: you ask which training runs stand in the held-out text.": len(back) / len(back_places),
        "You count each distinct run once; every place counts, as every place has its loss.": len(distinct & known) / len(distinct),
        "Your runs do not overlap: one begins at every word of the held-out text.": sum(c in known for c in chunks) / max(1, len(chunks)),
        "The training runs do not overlap: one begins at every word there too.": sum(r in cut for r in _runs(held_out, n)) / len(places),
        "You look at single words, not at runs.": sum(w in train for w in held_out) / len(held_out),
        "A run has an order: the same words in another order are another run.": (
            sum(tuple(sorted(run)) in loose for run in _runs(held_out, n)) / len(places)
        ),
        "You divide by the number of words; there are fewer places, for the last words begin no whole run.": len(seen_at) / len(held_out),
        "You divide by one place too few: length - n + 1 runs fit.": len(seen_at) / max(1, len(places) - 1),
        "You compare digits: 1, 12 and 11, 2 are different words and look alike without a gap.": (
            sum("".join(map(str, held_out[i : i + n])) in text for i in places) / len(places)
        ),
    }


# 06.4
_WOULD_SHOW = {
    "own word": "its training loss would fall far below the bigram entropy, to next to 0, and each target would be its own input.",
    "sorted": "its inputs would rise from left to right, and hardly a target would be the next input.",
    "shared ids": "it would have as many words as the two files, and far fewer different ones.",
    "one file": "it would have fewer words in all than the two files together.",
    "leak": "all runs of four held-out words would stand in its training text.",
}


def examine_diagnosis(answer):
    """One name for each letter; a wrong one is told what that fault would have shown."""
    faults_by_letter(answer, TEXT_FAULTS, _WOULD_SHOW)
    return "Five faults, none of them in the model, each found by counting."


# 06.5
def keep_best(probabilities, k):
    """Reference: the k best, sharing all probability in the old ratio."""
    best = np.argsort(probabilities)[-k:]
    kept = np.zeros_like(probabilities)
    kept[best] = probabilities[best]
    return kept / kept.sum()


def _kept_in_loops(probabilities, ids):
    total = sum(probabilities[i] for i in ids)
    return np.array([p / total if i in ids else 0.0 for i, p in enumerate(probabilities)])


def examine_keep_best(answer):
    """Against loops, with the best at the end, in the middle, and fewer words than k."""

    def look(given, k):
        ids, p = sorted(range(len(given)), key=lambda i: -given[i]), np.array(given)
        right = _kept_in_loops(given, ids[:k])
        found = _distribution(call(answer, p, k), len(given), f"{given} and k = {k}")
        kept, powers = int((found != 0).sum()), np.exp(np.where(right > 0, p, 0.0))
        best = powers * (right > 0)
        mistakes = {
            "Those are the first k ids, whatever they are: the program's own slip. The best k were asked for.": (
                _kept_in_loops(given, range(min(k, len(given))))
            ),
            "Those are the worst k. argsort sorts upwards: its last entries are the best.": _kept_in_loops(given, ids[-k:]),
            "The right ones, and they do not sum to 1. They share all probability: divide by their sum.": np.where(right > 0, p, 0.0),
            "Nothing was taken away: all but the best k must become 0.": p,
            "Now the best k are equally likely. They keep their old ratio.": np.where(right > 0, 1 / min(k, len(given)), 0.0),
            "A second softmax: these are probabilities already. Dividing by their sum keeps the ratio.": best / best.sum(),
            "A second softmax, and exp(0) is 1: what was taken away came back. Divide by the sum instead.": powers / powers.sum(),
        }
        seen = f"for {given} and k = {k} it is {found.round(3).tolist()}."
        if kept != min(k, len(given)):
            seen += f" {kept} {'is' if kept == 1 else 'are'} kept; {min(k, len(given))} of {len(given)} were asked for."
        return seen, found, right, mistakes

    cases = (([0.25, 0.1, 0.2, 0.4, 0.05], 2), ([0.02, 0.3, 0.08, 0.6], 1), ([0.15, 0.25, 0.05, 0.1, 0.35, 0.1], 3), ([0.3, 0.7], 5))
    told_apart(look, cases, _near, "The best k, divided by their sum, at their own places.")
    for given, k, right in (([0.25] * 4, 2, [0.0, 0.0, 0.5, 0.5]), ([0.3, 0.1, 0.3, 0.3], 2, [0.0, 0.0, 0.5, 0.5])):
        found = _distribution(call(answer, np.array(given), k), len(given), f"{given} and k = {k}")
        if not _near(np.sort(found), np.array(right)):
            seen = f"for {given} and k = {k} it is {found.round(3).tolist()}."
            raise Unexplained(seen, "Of equally good ones, too, only as many stay as make k; which of them is all one.")


def _near(first, second):
    return first.shape == second.shape and np.allclose(first, second, rtol=1e-6, atol=1e-9)


def _distribution(result, size, given):
    try:
        array = np.asarray(result, dtype=float)
    except (TypeError, ValueError):
        raise NotYet(f"it returned something of type {type(result).__name__}; an array of probabilities was asked for.") from None
    if array.shape != (size,):
        raise NotYet(
            f"for {given} it returned shape {array.shape}; one number for each of the {size} words was asked for, 0 for those left out."
        )
    if np.isneginf(array).any():
        raise NotYet(f"for {given} it holds minus infinity, which is for logits, before a softmax. A probability left out is 0.")
    if not np.isfinite(array).all():
        raise Unexplained(f"for {given} it holds NaN or infinity.", "Was something divided by a sum of 0?")
    return array


# 06.6
def attend_one(query, keys, values):
    """Reference: one query looks at all keys."""
    scores = keys @ query / math.sqrt(len(query))
    powers = np.exp(scores - scores.max())
    return powers / powers.sum() @ values


def _attend_in_loops(query, keys, values, scale=None, scores=None):
    scale = math.sqrt(len(query)) if scale is None else scale
    scores = [sum(q * k for q, k in zip(query, key, strict=True)) / scale for key in keys] if scores is None else scores
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return np.array([sum(p * v[j] for p, v in zip(powers, values, strict=True)) / sum(powers) for j in range(len(values[0]))])


def examine_attend_one(answer):
    """Against loops, on odd sizes, one key alone, and scores that overflow."""
    generator = np.random.default_rng(17)

    def look(n, d, width, size):
        query, keys, values = (size * generator.standard_normal(shape) for shape in (d, (n, d), (n, width)))
        result, given = call(answer, query, keys, values), f"{n} keys of {d} numbers and {n} values of {width}"
        try:
            found = np.asarray(result, dtype=float)
        except (TypeError, ValueError):
            raise NotYet(f"it returned something of type {type(result).__name__}; an array was asked for.") from None
        if found.shape != (width,):
            hint = "Are those weights, one for each key? Average the values with them." if found.shape == (n,) else ""
            raise Unexplained(f"for {given} it returned shape {found.shape}; ({width},) was asked for.", hint)
        if not np.isfinite(found).all():
            raise _not_finite(f"for {given} it holds NaN or infinity.", size > 1.0)
        right = _attend_in_loops(query, keys, values)
        seen = f"for {given} it begins with {found[0]:.4f}; {right[0]:.4f} was asked for."
        return seen, found, right, _attend_slips(query, keys, values) if size == 1.0 else {}

    cases = ((5, 3, 4, 1.0), (1, 2, 3, 1.0), (7, 9, 9, 1.0), (4, 4, 4, 30.0), (9, 9, 2, 300.0))
    told_apart(look, cases, _near, "Scores keys @ query / sqrt(d), softmax over the keys, then the average of the values.")


def _not_finite(seen, large):
    """What to raise; of scores up to 900 it has one reason where it was right of small ones."""
    return NotYet(f"{seen} Large scores overflow exp: subtract their maximum first.") if large else Unexplained(seen)


def _attend_slips(query, keys, values):
    d, n = len(query), len(keys)
    scores = keys @ query / math.sqrt(d)
    powers = np.exp(np.minimum(scores, 700.0))
    return {
        "The scores were not divided by sqrt(d).": _attend_in_loops(query, keys, values, scale=1.0),
        "The scores were divided by d; its square root was asked for.": _attend_in_loops(query, keys, values, scale=d),
        "That is the plain mean of the values: the weights do not depend on the query.": values.mean(axis=0),
        "The newest word does not look at itself: its own key and value are the last rows.": (
            _attend_in_loops(query, keys[:-1], values[:-1]) if n > 1 else None
        ),
        "Only the newest word is looked at. The point of keeping the others is to look at them too.": values[-1] if n > 1 else None,
        "The scores weigh the values as they are: softmax is missing.": scores @ values,
        "The powers do not sum to 1: divide by their sum.": powers @ values,
        "The values made the scores; the keys are for that.": (
            _attend_in_loops(query, values, values) if values.shape == keys.shape else None
        ),
        "The keys were averaged; the values are what is handed over.": (
            _attend_in_loops(query, keys, keys) if values.shape == keys.shape else None
        ),
    }


EXERCISES = {
    "06.1": Exercise(None, examine_numbers, bet=True),
    "06.2": Exercise(inputs_and_targets, examine_inputs_and_targets, form=several(as_ids, as_ids)),
    "06.3": Exercise(seen_before, examine_seen_before, form=as_number),
    "06.4": Exercise(TEXT_FAULTS, examine_diagnosis, only_one=True),
    "06.5": Exercise(keep_best, examine_keep_best, form=as_array),
    "06.6": Exercise(attend_one, examine_attend_one, form=as_array),
}
