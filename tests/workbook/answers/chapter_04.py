"""Answers for chapter 04: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns

from cllm_lib.model import cross_entropy_forward


# -- 04.2 --
def reaching(model, tokens, query, positions=None, new=None, compare=None, change=None):
    compare = compare or (lambda logits: logits[0, query])
    before, found = compare(model.logits(tokens)), set()
    for t in range(tokens.shape[1]) if positions is None else positions:
        changed = tokens.copy()
        changed[0, t] = (changed[0, t] + 1) % model.config.vocab_size if new is None else new
        after = compare(model.logits(changed))
        if (np.abs(after - before).max() if change is None else change(after, before)) > 1e-9:
            found.add(t)
    return found


def at_the_changed_one(model, tokens, query):
    return {t for t in range(tokens.shape[1]) if t in reaching(model, tokens, t)}


def in_place(model, tokens, query):
    before, found = model.logits(tokens)[0, query], set()
    for t in range(tokens.shape[1]):
        tokens[0, t] = (tokens[0, t] + 1) % model.config.vocab_size
        if (model.logits(tokens)[0, query] != before).any():
            found.add(t)
    return found


def never_undone(model, tokens, query):
    before, changed, found = model.logits(tokens)[0, query], tokens.copy(), set()
    for t in range(tokens.shape[1]):
        changed[0, t] = (changed[0, t] + 1) % model.config.vocab_size
        if np.abs(model.logits(changed)[0, query] - before).max() > 1e-9:
            found.add(t)
    return found


def without_abs(model, tokens, query):
    return reaching(model, tokens, query, change=lambda after, before: (after - before)[0])


def coarse(model, tokens, query):
    return reaching(model, tokens, query, change=lambda after, before: np.abs(after - before).max() * 1e-6)


def without_modulo(model, tokens, query):
    before = model.logits(tokens)[0, query]
    return {
        t for t in range(tokens.shape[1]) if (model.logits(tokens + np.eye(tokens.shape[1], dtype=np.int64)[t])[0, query] != before).any()
    }


def as_flags(model, tokens, query):
    found = reaching(model, tokens, query)
    return [t in found for t in range(tokens.shape[1])]


def in_one_batch(model, tokens, query):
    time = tokens.shape[1]
    changed = (tokens + np.eye(time, dtype=np.int64)) % model.config.vocab_size
    return np.flatnonzero(np.abs(model.logits(changed)[:, query] - model.logits(tokens)[0, query]).max(axis=-1) > 1e-9)


# -- 04.3 --
DIAGNOSIS = {"A": "head stride", "B": "exponential", "C": "no residual", "D": "no mask", "E": "blocks"}


# -- 04.4 --
def spoken(model, inputs, targets, given=lambda inputs, t: inputs[:, : t + 1], at=-1, start=0):
    losses = []
    for t in range(start, inputs.shape[1]):
        row = model.logits(given(inputs, t))[:, at]
        losses.append(cross_entropy_forward(row[:, None], targets[:, t : t + 1])[0])
    return np.array(losses)


def printed(model, inputs, targets):
    return cross_entropy_forward(model.logits(inputs), targets)[0]


def in_loops(model, inputs, targets):
    total = 0.0
    for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
        for t, word in enumerate(wanted):
            logits = model.logits(np.array([row[: t + 1]], dtype=np.int64))[0, -1].tolist()
            total += math.log(sum(map(math.exp, logits))) - logits[word]
    return total / inputs.size


def all_at_once(model, inputs, targets):
    rows = np.stack([model.logits(inputs[:, : t + 1])[:, -1] for t in range(inputs.shape[1])], axis=1)
    return np.float32(cross_entropy_forward(rows, targets)[0])


WRONG = {
    "04.1": [
        (6, "of five models cannot be"),
        (1.5, "no whole number"),
        ("some", "a number was asked for"),
        (-1, "of five models cannot be"),
        (None, "number|finite"),
        (float("nan"), "finite"),
        (np.zeros(2), "one number"),
    ],
    "04.2": [
        (lambda m, t, q: reaching(m, t, q, positions=range(q + 1)), "earlier positions only"),
        (lambda m, t, q: reaching(m, t, q, new=0), "is 0 already"),
        (lambda m, t, q: reaching(m, t, q, compare=lambda logits: logits[0]), "outputs of all positions are compared"),
        (lambda m, t, q: reaching(m, t, q, positions=[p for p in range(6) if p != q]), "its own token"),
        (at_the_changed_one, "output at the changed position"),
        (in_place, "changed its input"),
        (never_undone, "never undone"),
        (without_abs, "Does a decrease count"),
        (coarse, "a change of 1e-6"),
        (without_modulo, "it raised ValueError: an id is outside"),
        (as_flags, "True and False"),
        (lambda m, t, q: {int(i) + 40 for i in t[0]}, "not positions"),
        (lambda m, t, q: set(range(1, t.shape[1])), "one token changed at a time"),
        (returns(5), "a set of positions was asked for"),
        (returns({float("nan")}), "a set of positions was asked for|cannot make sense"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (None, "a function was asked for"),
        (lambda m, t, q: reaching(m, t, q, compare=lambda logits: logits[0, q].sum()), r"yours is .0, 1.; .0, 1, 2."),
    ],
    "04.3": [
        (DIAGNOSIS | {"A": "no mask", "D": "head stride"}, "A as 'no mask': then its outputs would depend on later words"),
        (DIAGNOSIS | {"B": "blocks"}, "B as 'blocks'"),
        (DIAGNOSIS | {"C": "exponential"}, "leave the range"),
        (DIAGNOSIS | {"E": "no residual"}, "nothing would come through"),
        (DIAGNOSIS | {"D": "head stride"}, "position 8 would depend"),
        (DIAGNOSIS | {"A": "stride"}, "not in the table"),
        (DIAGNOSIS | {"C": ..., "E": ...}, "still open: C, E"),
        (None, "a dictionary from letter to name"),
        ({"A": float("nan")}, "still open"),
        ("no mask", "a dictionary from letter to name"),
        (list(DIAGNOSIS.values()), "a dictionary from letter to name"),
    ],
    "04.4": [
        (printed, "the loss as printed"),
        (lambda m, x, y: spoken(m, x, y)[-1], "at the last position alone"),
        (lambda m, x, y: spoken(m, x, y).sum(), "That is a sum"),
        (lambda m, x, y: spoken(m, x, y, given=lambda x, t: x[:, :t], start=1).mean(), "was left out"),
        (lambda m, x, y: spoken(m, x, y, at=0).mean(), "the last one, -1, speaks"),
        (lambda m, x, y: spoken(m, x, x).mean(), "comes after"),
        (lambda m, x, y: spoken(m, x, y).mean() / math.log(2), "in bits"),
        (lambda m, x, y: math.exp(spoken(m, x, y).mean()), "a perplexity"),
        (lambda m, x, y: spoken(m, x[:1], y[:1]).mean(), "For each t"),
        (lambda m, x, y: spoken(m, x, y, given=lambda x, t: x[:, :t]).mean(), "it raised"),
        (lambda m, x, y: m.loss(x, y), "it raised AttributeError"),
        (lambda m, x, y: round(in_loops(m, x, y), 2), "Do not round"),
        *BROKEN_FUNCTIONS,
    ],
}

RIGHT = {
    "04.1": [0, 2, "3", np.float32(5), 1.0],
    "04.2": [reaching, in_one_batch, lambda m, t, q: sorted(reaching(m, t, q))],
    "04.3": [dict(reversed(DIAGNOSIS.items())), {k.lower(): v.upper() for k, v in DIAGNOSIS.items()}, list(DIAGNOSIS.items())],
    "04.4": [in_loops, all_at_once, lambda m, x, y: [spoken(m, x, y).mean()]],
}

TYPED_WRONG = {
    "04.1": "my_bet = 7",
    "04.2": "def reach(model, tokens, query):\n    return set(range(query + 1))",
    "04.3": 'diagnosis = {"A": "no mask", "B": "no mask", "C": "no mask", "D": "no mask", "E": "no mask"}',
    "04.4": "def loss_in_use(model, inputs, targets):\n    return cross_entropy_forward(model.logits(inputs), targets)[0]",
}
