"""Exercises of 04_which_one_is_sound."""

import math
import operator
from types import SimpleNamespace

import numpy as np

from cllm_lib.casebook.patients import ATTENTION_FAULTS
from cllm_lib.model.layers import cross_entropy_forward
from cllm_lib.workbook.exercises.forms import as_number, as_positions
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    call,
    close,
    compared,
    faults_by_letter,
    number,
    shown,
    told_apart,
)


# 04.1
def examine_bet(answer):
    """How many of five."""
    value = number(answer, "your bet")
    if value != round(value):
        raise NotYet(f"{shown(value)} is no whole number: how many of the five?")
    if not 0 <= value <= len(ATTENTION_FAULTS):
        raise NotYet(f"{shown(value)} of five models cannot be: take a number from 0 to 5.")
    return f"{shown(value)} of five. The losses below will tell."


# 04.2
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
        self.table[2] = 9 * (self.table[2] - self.table[2].mean(axis=-1, keepdims=True))  # 2 raises some logits by what it lowers others

    def __repr__(self):
        return "a small model"

    def logits(self, tokens):
        tokens = np.asarray(tokens)
        if tokens.ndim != 2:
            raise ValueError(f"tokens have shape {tokens.shape}: give (batch, time)")
        if tokens.min() < 0 or tokens.max() >= self.config.vocab_size:
            raise ValueError(f"an id is outside 0 to {self.config.vocab_size - 1}")
        rows = [[sum(self.table[s, row[s]] for s in self.sources(t, len(row))) for t in range(len(row))] for row in tokens]
        nothing = np.zeros(self.table.shape[-1])
        return np.array([[nothing + cell for cell in row] for row in rows])


_MODELS = {
    "a causal model": lambda t, time: range(t + 1),
    "a model that sees everything": lambda t, time: range(time),
    "a model that sees itself only": lambda t, time: [t],
    "a model that sees the first two": lambda t, time: [0, 1],
    "a model that sees nothing": lambda t, time: [],
    "a model that sees the word before": lambda t, time: [t - 1] if t else [],
}


def examine_reach(answer):
    """On small models whose reach is known."""

    def look(name, sources, query):
        found, right = _positions(call(answer, _Reacher(sources), tokens, query)), set(sources(query, 6))
        seen = f"{name}, output at {query}: yours is {sorted(found)}; {sorted(right)} was asked for."
        if any(t not in range(6) for t in found):
            raise NotYet(f"{seen} These are not positions: were ids or differences collected?")
        mistakes = {
            "You look at earlier positions only; whether a later one matters is the question.": {t for t in right if t <= query},
            "A position may depend on its own token, too.": right - {query},
            "Where the token is 0 already, setting it to 0 changes nothing: take (id + 1) modulo V.": {
                t for t in right if tokens[0, t] != 0
            },
            "You compare the output at the changed position; the one at `query` was asked for.": {
                t for t in range(6) if t in sources(t, 6)
            },
            "The outputs of all positions are compared; the one at `query` was asked for.": (
                {t for t in range(6) if any(t in sources(q, 6) for q in range(6))}
            ),
            "An earlier change was never undone: take a fresh copy for each t.": {t for t in range(6) if right and t >= min(right)},
        }
        return seen, found, right, mistakes

    tokens = np.array([[4, 0, 0, 3, 1, 2]], dtype=np.int64)
    hint = "Is one token changed at a time, on a fresh copy, always to a new id? Does a decrease count, and a change of 1e-6?"
    told_apart(look, [(name, sources, query) for name, sources in _MODELS.items() for query in (2, 5, 0)], operator.eq, hint)


def _positions(result):
    """The positions in what a reader returned."""
    try:
        found = {int(t) for t in np.ravel(list(result)).tolist()}
        flags = np.asarray(list(result)).dtype == bool
    except (TypeError, ValueError):
        raise NotYet(f"it returned something of type {type(result).__name__}; a set of positions was asked for.") from None
    if flags:
        raise NotYet("it returned True and False; a set of the positions themselves was asked for.")
    return found


# 04.3
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


# 04.4
def loss_in_use(model, inputs, targets):
    """Reference: for each t, the words up to t go in, and the last output counts."""
    losses = []
    for t in range(inputs.shape[1]):
        logits = model.logits(inputs[:, : t + 1])[:, -1:]
        losses.append(cross_entropy_forward(logits, targets[:, t : t + 1])[0])
    return float(np.mean(losses))


class _Speaker(_Reacher):
    """A model that gives each word of its vocabulary a logit, out of the positions that `sources` names."""

    def __init__(self, sources, vocab_size=5, seed=2):
        super().__init__(sources, vocab_size)
        self.table = np.random.default_rng(seed).standard_normal((99, vocab_size, vocab_size))


def _surprises(model, tokens, targets, last=-1):
    """-ln of the chance of each sequence's target, at one position of what is given."""
    rows = model.logits(tokens)[:, last]
    return [math.log(sum(math.exp(logit) for logit in row)) - row[target] for row, target in zip(rows, targets, strict=True)]


def examine_loss_in_use(answer):
    """On small models that peek, that do not, and that see one word; in loops."""

    def look(name, sources):
        model, time = _Speaker(sources), inputs.shape[1]
        value = number(call(answer, model, inputs, targets), "the loss in use")
        in_use = [_surprises(model, inputs[:, : t + 1], targets[:, t]) for t in range(time)]
        printed = [_surprises(model, inputs, targets[:, t], t) for t in range(time)]
        right = float(np.mean(in_use))
        mistakes = {
            "That is the loss as printed: the model was given later words, too.": float(np.mean(printed)),
            "That is the loss at the last position alone.": float(np.mean(in_use[-1])),
            "The word at t itself was left out: give inputs[:, : t + 1].": float(
                np.mean([_surprises(model, inputs[:, :t], targets[:, t]) for t in range(1, time)])
            ),
            "Each time the output at position 0 was taken; the last one, -1, speaks.": float(
                np.mean([_surprises(model, inputs[:, : t + 1], targets[:, t], 0) for t in range(time)])
            ),
            "The targets are those of the inputs: targets[:, t] comes after inputs[:, t].": float(
                np.mean([_surprises(model, inputs[:, : t + 1], inputs[:, t]) for t in range(time)])
            ),
            "That is a sum; the mean was asked for.": [float(np.sum(in_use)), right * time, right * len(inputs)],
            "That is in bits, logarithm to base 2; losses here are in nats.": right / math.log(2),
            "That is a perplexity, exp of the loss; the loss itself was asked for.": math.exp(right),
        }
        return compared(f"{name}: the loss in use", value, right), value, right, mistakes

    generator = np.random.default_rng(4)
    inputs, targets = generator.integers(5, size=(2, 3, 6))
    hint = "For each t: inputs[:, : t + 1] goes in, the last output is held against targets[:, t]; then the mean over all t."
    told_apart(look, [(name, _MODELS[name]) for name in _SPEAKING], close, hint)
    return "What is printed and what is used may differ now, and you would see it."


_SPEAKING = ("a model that sees everything", "a causal model", "a model that sees itself only")

EXERCISES = {
    "04.1": Exercise(None, examine_bet, bet=True),
    "04.2": Exercise(reach, examine_reach, form=as_positions),
    "04.3": Exercise(ATTENTION_FAULTS, examine_diagnosis, only_one=True),
    "04.4": Exercise(loss_in_use, examine_loss_in_use, form=as_number),
}
