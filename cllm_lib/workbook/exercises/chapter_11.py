"""Exercises of 11_letting_it_speak."""

import math

import numpy as np

from cllm_lib.casebook.voices import VOICES
from cllm_lib.workbook.exercises.forms import as_array
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, Unexplained, by_letter, call, faults_by_letter, told_apart

# 11.1
MODELS = ("BY HEART", "STOPPED IN TIME")
WAYS = {"A": "another forward pass", "B": "the first five", "C": "always the likeliest", "D": "as the probabilities say"}


def examine_bets(answer):
    """A prediction: a letter for each of the two models; the same letter for both is a bet, too."""
    given = by_letter(
        answer, MODELS, f"this is of type {type(answer).__name__}; a dictionary with 'by heart' and 'stopped in time' was asked for."
    )
    letters = []
    for model, letter in given.items():
        if not isinstance(letter, str):
            raise NotYet(f"for {model.lower()!r} you gave something of type {type(letter).__name__}; a letter in quotes was asked for.")
        letters.append(letter.strip(" `'\"").upper())
        if letters[-1] not in WAYS:
            raise NotYet(f"{letter[:20]!r} is not in the table: take one of {', '.join(WAYS)}.")
    known, stopped = (WAYS[letter] for letter in letters)
    return f"{known} for the one that knows its text, {stopped} for the other. *Always the likeliest* will show."


# 11.2
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


# 11.3
_WOULD_SHOW = {
    "likeliest": "its pairs would come again and again, and nearly all would stand in the text.",
    "ten best": "pairs would be varied and mostly stand in the text: both shares well above a half.",
    "bold": "next to all pairs would be new, and few of them would stand in the text.",
    "first five": "it would say no more than five different words.",
    "other pass": "it would repeat itself, and yet hardly a pair would stand in the text.",
}


def examine_voices(answer):
    """One way of speaking for each letter; a wrong one is told what that way would have shown."""
    faults_by_letter(answer, VOICES, _WOULD_SHOW)
    return "Five voices, one set of weights: what differs is how the words were chosen, and that can be counted."


# 11.4
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
    "11.1": Exercise(None, examine_bets, bet=True),
    "11.2": Exercise(keep_best, examine_keep_best, form=as_array),
    "11.3": Exercise(VOICES, examine_voices, only_one=True),
    "11.4": Exercise(attend_one, examine_attend_one, form=as_array),
}
