"""Exercises of 10_training_a_language_model."""

import numpy as np

from cllm_lib.casebook.patients import TEXT_FAULTS
from cllm_lib.workbook.exercises.forms import as_ids, as_integer, as_number, several
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    brief,
    call,
    close,
    compared,
    faults_by_letter,
    number,
    shown,
    told_apart,
)
from cllm_lib.workbook.scores import EPOCHS

# 10.1


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


# 10.2
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


# 10.3
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


# 10.4
def when_to_stop(losses, patience):
    """Reference: the epoch of the best loss, and the last one before patience ends, both from 1."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best == patience:
            break
    return best + 1, epoch + 1


_HELD_OUT = [
    ([5.0, 4.0, 6.0, 7.0, 3.0], 2),
    ([7.6, 7.0, 6.9, 7.1, 7.2, 7.4, 7.9, 8.1], 3),
    ([6.0, 5.0, 5.5, 4.5, 4.8, 4.2, 4.3, 4.4, 4.5, 4.1], 3),  # bumps that patience outlives
    ([3.0, 2.0, 2.0, 2.0, 1.0], 2),  # as good is not better
    ([4.0, 3.0, 2.5, 2.6], 3),  # the list ends first
    ([9.0, 8.0, 7.0], 1),
    ([2.0, 3.0, 4.0, 5.0], 2),
    ([5.0, 4.0, 4.5, 4.4, 4.3, 4.2, 3.0], 3),  # falling again, and still no new best
    ([6.1], 4),
]


def _by_looking_back(losses, patience):
    """The reference by another road: epoch by epoch, how long ago the first of the best stood."""
    for last in range(1, len(losses) + 1):
        best = 1 + losses[:last].index(min(losses[:last]))
        if last - best >= patience:
            break
    return best, last


def _stopped_by_slips(losses, patience):
    """What slips make of one list: two epochs, by the sentence that names the slip."""
    best, last = _by_looking_back(losses, patience)
    whole = 1 + losses.index(min(losses))
    rises, first_rise = [i for i in range(1, len(losses)) if losses[i] >= losses[i - 1]], len(losses)
    run = 0
    for i in range(1, len(losses)):
        run = run + 1 if losses[i] >= losses[i - 1] else 0
        if run == patience:
            first_rise = i + 1
            break
    seen = losses[:first_rise]
    late = _late_ties(losses, patience)
    return {
        "Those are counted from 0; the first epoch is 1.": [(best - 1, last - 1), (best - 1, last), (best, last - 1)],
        "They have changed places: first the epoch whose weights are kept.": (last, best),
        "You look at the whole list for the best; what comes after the stop nobody has seen.": [(whole, last), (whole, len(losses))],
        "You compare with the epoch before. Patience counts epochs since the best one.": (1 + seen.index(min(seen)), first_rise),
        "As good as the best is not better: the first of them stays the best, and patience runs on.": late,
        "One epoch too many: it ends with the epoch that is the last of its patience.": _by_looking_back(losses, patience + 1),
        "One epoch too few: patience counts the epochs after the best one.": (
            _by_looking_back(losses, patience - 1) if patience > 1 else (1, 1)
        ),
        "You stop at the first rise, whatever the patience.": ((rises[0], rises[0] + 1) if rises else (best, last)),
        "Those are losses; the numbers of the epochs were asked for.": (losses[best - 1], losses[last - 1]),
    }


def _late_ties(losses, patience):
    best = 0
    for epoch, loss in enumerate(losses):
        if loss <= losses[best]:
            best = epoch
        if epoch - best == patience:
            break
    return best + 1, epoch + 1


def examine_when_to_stop(answer):
    """On short lists, against looking back from every epoch."""

    def look(losses, patience):
        result = call(answer, list(losses), patience)
        if isinstance(result, str) or np.ndim(result) != 1 or len(result) != 2:
            raise NotYet(f"it returned {brief(result)}; two epochs were asked for: return best, last.")
        found = tuple(number(epoch, name) for epoch, name in zip(result, ("the best epoch", "the last epoch"), strict=True))
        right = _by_looking_back(losses, patience)
        told = f"for losses {losses} and patience {patience} it gives {shown(found[0])} and {shown(found[1])};"
        return f"{told} {right[0]} and {right[1]} were asked for.", found, right, _stopped_by_slips(losses, patience)

    hint = "After each epoch: is it a new best? If not, how many epochs ago was the best? Stop once that is the patience."
    told_apart(look, _HELD_OUT, lambda first, second: tuple(first) == tuple(second), hint)


# 10.5
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


EXERCISES = {
    "10.1": Exercise(None, examine_numbers, bet=True),
    "10.2": Exercise(inputs_and_targets, examine_inputs_and_targets, form=several(as_ids, as_ids)),
    "10.3": Exercise(seen_before, examine_seen_before, form=as_number),
    "10.4": Exercise(when_to_stop, examine_when_to_stop, form=several(as_integer, as_integer)),
    "10.5": Exercise(TEXT_FAULTS, examine_diagnosis, only_one=True),
}
