"""Exercises of 08_when_a_right_optimiser_still_fails."""

import math
from collections import Counter

import numpy as np

from cllm_lib.workbook.exercises.forms import as_array, as_number, by_name
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    call,
    close,
    compared,
    plain_number,
    shown,
    told_apart,
)

REMEDIES = ("clipping", "weight decay", "warm-up", "none")


def remedy(answer):
    """A prediction: which of the three unused settings frees the deep model?"""
    listed = f"write one of {', '.join(repr(name) for name in REMEDIES)}."
    if not isinstance(answer, str):
        raise NotYet(f"your remedy is of type {type(answer).__name__}; {listed}")
    name = answer.strip().lower().replace("_", " ").replace("warm up", "warm-up").replace("warmup", "warm-up")
    if name not in REMEDIES:
        raise NotYet(f"{answer.strip()[:40]!r} is not on the list; {listed}")
    return f"{name}. Four runs will show."


# The stuck number


def best_constant_loss(targets):
    """Reference: the entropy of how often each id occurs."""
    _, counts = np.unique(targets, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def examine_best_constant_loss(answer):
    """Against the mean of -ln(share), token by token."""
    skewed = np.array([[0, 0, 0, 5], [0, 5, 0, 9]], dtype=np.int64)

    def look(targets):
        counts, total = Counter(targets.ravel().tolist()), targets.size
        expected = sum(-math.log(counts[token] / total) for token in targets.ravel().tolist()) / total
        what = f"best_constant_loss of {targets.tolist()}" if targets is skewed else "best_constant_loss of a longer text"
        value = plain_number(call(answer, targets), what)
        losses, of_rows = [-math.log(count / total) for count in counts.values()], [count / len(targets) for count in counts.values()]
        mistakes = {
            "That gives each word the same chance. Frequent words deserve more.": math.log(len(counts)),
            "That is in bits, the logarithm to base 2; losses here are in nats.": expected / math.log(2),
            "Your mean counts each word once. The loss counts each position: a frequent word counts as often as it occurs.": (
                sum(losses) / len(losses)
            ),
            "That is the loss at the most frequent word alone; average over all positions.": min(losses),
            "The sign: a logarithm of a share is negative, and the loss is minus that.": -expected,
            "That is a sum over the words; weigh each by its share.": sum(losses),
            "len(targets) counts the rows; the positions are targets.size.": -sum(share * math.log(share) for share in of_rows),
            "That is the sum over all positions; the loss is their mean.": expected * total,
            "That is the perplexity; the loss is its logarithm.": math.exp(expected),
        }
        return compared(what, value, expected), value, expected, mistakes

    texts = (skewed, np.random.default_rng(14).zipf(1.6, (6, 50)) % 40, np.full((2, 3), 7, dtype=np.int64))
    hint = "Give each word its share of all positions, and average minus the logarithm over the positions."
    told_apart(look, [(targets,) for targets in texts], close, hint)
    return "Here is its value for this text, beside the loss the deep model stands at."


# A schedule


def warm_cosine(step, rise, total):
    """Reference: up in a straight line over `rise` steps, then down along half a cosine until `total`, and 0 from there on."""
    if step < rise:
        return (step + 1) / rise
    share = min(1.0, (step - rise) / (total - rise))
    return (1 + math.cos(math.pi * share)) / 2


def _schedule_slips(step, rise, total):
    """What usual slips make of a step; None where one cannot say."""
    climbs, share = step < rise, (step - rise) / (total - rise)
    up, down = (step + 1) / rise, (1 + math.cos(math.pi * min(1.0, max(0.0, share)))) / 2
    whole = (1 + math.cos(math.pi * min(1.0, step / total))) / 2
    return {
        "The first step has the factor 0 there, and moves nothing. Step 0 is the first of the rise: 1 / rise.": step / rise
        if climbs
        else down,
        "The rise takes one step too many: step rise - 1 is its last, with a factor of 1.": (step + 1) / (rise + 1) if climbs else down,
        "That rises for ever: from step `rise` on the factor falls.": up,
        "There is no fall: after the rise the factor stays at 1.": up if climbs else 1.0,
        "There is no rise: the first steps have nearly the whole rate.": whole,
        "The cosine began at step 0. It begins where the rise ends: share = (step - rise) / (total - rise).": up if climbs else whole,
        "It multiplies rise and fall. One after the other: the fall begins where the rise ends.": min(1.0, up) * whole,
        "The fall takes as long as the whole run. It has total - rise steps.": (
            up if climbs else (1 + math.cos(math.pi * min(1.0, (step - rise) / total))) / 2
        ),
        "That is the cosine itself, which goes down to -1. Add 1 and halve.": up if climbs else math.cos(math.pi * min(1.0, share)),
        "Halve it: (1 + cosine) / 2 goes from 1 to 0.": up if climbs else 2 * down,
        "A whole turn of the cosine comes back up to 1: half a turn, pi, is enough.": (
            up if climbs else (1 + math.cos(2 * math.pi * min(1.0, share))) / 2
        ),
        "A quarter of the cosine goes from 1 to 0 too, but arrives at full speed: (1 + cos(pi * share)) / 2.": (
            up if climbs else math.cos(math.pi / 2 * min(1.0, share))
        ),
        "The fall is a straight line. Half a cosine begins and ends gently.": up if climbs else 1 - min(1.0, share),
        "That is in degrees: math.cos takes radians, and half a turn is pi.": (
            up if climbs else (1 + math.cos(math.radians(math.pi * min(1.0, share)))) / 2
        ),
        "After `total` it climbs again, for a cosine does. From there on the factor stays 0.": (
            up if climbs else (1 + math.cos(math.pi * share)) / 2
        ),
        "After `total` the rate comes back. From there on the factor stays 0.": up if climbs else down if step < total else 1.0,
        "It climbs where it should fall: 1 + cosine, not 1 - cosine.": up if climbs else 1 - down,
    }


def examine_warm_cosine(answer):
    """Step by step, against the two laws, in the rise, at its end, in the fall, and after the run."""

    def look(step, rise, total):
        what = f"warm_cosine({step}, {rise}, {total})"
        value = plain_number(call(answer, step, rise, total), what)
        fallen = (step - rise) / (total - rise)
        falling = math.cos(math.pi / 2 * fallen) ** 2 if step < total else 0.0  # by another road: half the angle
        expected = (step + 1) / rise if step < rise else falling
        return compared(what, value, expected), value, expected, _schedule_slips(step, rise, total)

    steps = (0, 1, 4, 5, 6, 9, 15, 24, 25, 29, 40)
    hint = "Rise: (step + 1) / rise. From step `rise` on: (1 + cos(pi * share)) / 2 with share = (step - rise) / (total - rise), at most 1."
    told_apart(look, [*((step, 5, 25) for step in steps), (0, 1, 2), (2, 3, 70), (33, 3, 70), (8, 1, 3)], close, hint)


# Clipping


def clip_gradients(gradients, max_norm):
    """Reference: one factor for all arrays."""
    norm = math.sqrt(sum(float((array**2).sum()) for array in gradients.values()))
    factor = min(1.0, max_norm / norm) if norm else 1.0
    return {name: factor * array for name, array in gradients.items()}


def _length(gradients):
    """Root of the sum of all squares, one number at a time."""
    return math.sqrt(math.fsum(x * x for array in gradients.values() for x in np.ravel(array).tolist()))


def _scaled(gradients, factor):
    return {name: factor * array for name, array in gradients.items()}


_NORMALISED = "What is within the limit stays as it is: clip, do not normalise."
_UNTOUCHED = "They came back as they were, though their length is above the limit."


def _clip_slips(gradients, limit):
    """What usual slips make of gradients longer than the limit, and of shorter ones what two of them do."""
    either = {_UNTOUCHED: gradients, _NORMALISED: _scaled(gradients, limit / _length(gradients))}
    if _length(gradients) <= limit:
        return either
    length, lengths = _length(gradients), {name: _length({name: array}) for name, array in gradients.items()}
    values = np.concatenate([np.ravel(array) for array in gradients.values()])
    return either | {
        "Each array was clipped by its own length. One length for all arrays together, or the direction changes.": {
            name: array * min(1.0, limit / lengths[name]) for name, array in gradients.items()
        },
        "Each number was clipped by itself. That turns the direction: multiply all by the same factor.": {
            name: np.clip(array, -limit, limit) for name, array in gradients.items()
        },
        "The lengths of the arrays were added. Add the squares of all numbers, then take the root.": _scaled(
            gradients, limit / sum(lengths.values())
        ),
        "The root is missing: you divide by the sum of squares, the square of the length.": _scaled(gradients, limit / length**2),
        "The result has length 1, whatever max_norm is: multiply by max_norm / length.": _scaled(gradients, 1 / length),
        "You divide by the sum of absolute values; the length is the root of the sum of squares.": _scaled(
            gradients, limit / np.abs(values).sum()
        ),
        "You divide by the largest number; the length is the root of the sum of all squares.": _scaled(
            gradients, limit / np.abs(values).max()
        ),
        "They became longer: the factor is upside down. max_norm / length is below 1 here.": _scaled(gradients, length / limit),
    }


def examine_clip_gradients(answer):
    """Longer than the limit, shorter, and nothing at all."""
    generator = np.random.default_rng(13)
    gradients = {
        "embedding": generator.standard_normal((7, 3)),
        "layers.0.norm.gain": 5.0 * generator.standard_normal(4),
        "layers.0.norm.bias": 0.1 * generator.standard_normal(4),
    }

    def look(limit, scale):
        given = _scaled(gradients, scale)
        length, seen = _length(given), _clipped(answer, given, limit)
        wanted = _scaled(given, min(1.0, limit / length))
        told = f"from length {shown(length)} to {shown(_length(seen))}; {limit} was the limit, by one factor for all numbers."
        return told, seen, wanted, _clip_slips(given, limit)

    told_apart(look, ((2.5, 1.0), (4.0, 0.5), (20.0, 1.0)), _alike, "max_norm / length where that is below 1.")
    nothing = _scaled(gradients, 0.0)
    if not _alike(_clipped(answer, nothing, 2.5), nothing):
        raise Unexplained("gradients of 0 came back as something else.", "Their length is 0: do not divide by it.")


def _clipped(answer, gradients, limit):
    result = call(answer, gradients, limit)
    if not isinstance(result, dict) or set(result) != set(gradients):
        raise NotYet(f"a dictionary with the names of the gradients was asked for, and this is {_kind(result)}.")
    for name, array in gradients.items():
        if np.shape(result[name]) != array.shape:
            raise NotYet(f"{name!r} came back with shape {np.shape(result[name])}; it went in with {array.shape}.")
    result = {name: np.asarray(array, dtype=float) for name, array in result.items()}
    if not all(np.isfinite(array).all() for array in result.values()):
        raise NotYet(f"NaN or infinity in what came back, for gradients of length {shown(_length(gradients))}. Was something divided by 0?")
    return result


def _kind(result):
    return f"one with the names {sorted(map(str, result))[:3]}" if isinstance(result, dict) else f"of type {type(result).__name__}"


def _alike(first, second):
    return all(np.allclose(first[name], second[name], rtol=1e-6, atol=1e-12) for name in second)


EXERCISES = {
    "08.1": Exercise(None, remedy, bet=True),
    "08.2": Exercise(best_constant_loss, examine_best_constant_loss, form=as_number),
    "08.3": Exercise(warm_cosine, examine_warm_cosine, form=as_number),
    "08.4": Exercise(clip_gradients, examine_clip_gradients, form=by_name(as_array)),
}
