"""Answers for chapter 08: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math
from collections import Counter

import numpy as np
import sympy
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns

# 08.2


def shares(targets):
    return np.unique(targets, return_counts=True)[1] / np.size(targets)


# 08.3


def schedule(
    up=lambda s, w, n: (s + 1) / w,
    down=lambda share: (1 + math.cos(math.pi * share)) / 2,
    share=lambda s, w, n: min(1.0, (s - w) / (n - w)),
    rises=lambda s, w: s < w,
):
    return lambda step, rise, total: up(step, rise, total) if rises(step, rise) else down(share(step, rise, total))


# 08.4


def scaled(gradients, factor):
    return {name: factor * array for name, array in gradients.items()}


def length(gradients):
    return np.sqrt(sum((array**2).sum() for array in gradients.values()))


def clip_in_place(gradients, max_norm):
    factor = min(1.0, max_norm / length(gradients))
    for array in gradients.values():
        array *= factor
    return gradients


def clip_by_flattening(gradients, max_norm):
    flat = np.concatenate([array.ravel() for array in gradients.values()])
    flat /= max(1.0, np.linalg.norm(flat) / max_norm)
    cuts = np.cumsum([array.size for array in gradients.values()])[:-1]
    return {name: part.reshape(gradients[name].shape) for name, part in zip(gradients, np.split(flat, cuts), strict=True)}


def clip_as_lists(gradients, max_norm):
    return {name: array.tolist() for name, array in scaled(gradients, min(1.0, max_norm / (length(gradients) + 1e-12))).items()}


WRONG = {
    "08.1": [
        ("the optimiser", "not on the list"),
        (3, "is of type int"),
        (None, "is of type NoneType"),
        ("", "not on the list"),
        (["warm-up"], "is of type list"),
        (("clipping", "warm-up"), "is of type tuple"),
    ],
    "08.2": [
        (lambda targets: math.log(len(np.unique(targets))), "same chance"),
        (lambda targets: -np.log(shares(targets)).mean(), "counts each word once"),
        (lambda targets: -(shares(targets) * np.log2(shares(targets))).sum(), "in bits"),
        (lambda targets: (shares(targets) * np.log(shares(targets))).sum(), "The sign"),
        (lambda targets: -math.log(shares(targets).max()), "most frequent word alone"),
        (lambda targets: -np.log(shares(targets)).sum(), "sum over the words"),
        (lambda targets: -(shares(targets) * np.log(shares(targets))).sum() * np.size(targets), "sum over all positions"),
        (lambda targets: -sum(c / len(targets) * math.log(c / len(targets)) for c in Counter(targets.ravel()).values()), "counts the rows"),
        (lambda targets: (-(shares(targets) * np.log(shares(targets))).sum(),), "a tuple with one number in it"),
        (lambda targets: str(-(shares(targets) * np.log(shares(targets))).sum()), "is the text"),
        (lambda targets: math.exp(-(shares(targets) * np.log(shares(targets))).sum()), "the perplexity"),
        (lambda targets: math.log(10_000), "Give each word its share"),
        (lambda targets: np.bincount(targets.astype(np.intp)).max(), "it raised ValueError"),
        *BROKEN_FUNCTIONS,
    ],
    "08.3": [
        (schedule(up=lambda s, w, n: s / w), "moves nothing"),
        (schedule(share=lambda s, w, n: min(1.0, s / n)), "cosine began at step 0"),
        (schedule(down=lambda share: math.cos(math.pi * share)), "Add 1 and halve"),
        (lambda s, w, n: min(1.0, (s + 1) / w), "There is no fall"),
        (lambda s, w, n: (1 + math.cos(math.pi * min(1.0, s / n))) / 2, "There is no rise"),
        (lambda s, w, n: min(1.0, (s + 1) / w) * (1 + math.cos(math.pi * min(1.0, s / n))) / 2, "multiplies rise and fall"),
        (lambda s, w, n: (s + 1) / w, "rises for ever"),
        (schedule(up=lambda s, w, n: (s + 1) / (w + 1)), "one step too many"),
        (schedule(down=lambda share: 1 + math.cos(math.pi * share)), "Halve it"),
        (schedule(down=lambda share: (1 + math.cos(2 * math.pi * share)) / 2), "A whole turn"),
        (schedule(down=lambda share: math.cos(math.pi / 2 * share)), "A quarter of the cosine"),
        (schedule(down=lambda share: 1 - share), "a straight line"),
        (schedule(down=lambda share: (1 - math.cos(math.pi * share)) / 2), "climbs where it should fall"),
        (schedule(down=lambda share: (1 + math.cos(math.radians(math.pi * share))) / 2), "radians"),
        (schedule(share=lambda s, w, n: (s - w) / (n - w)), "for a cosine does"),
        (schedule(share=lambda s, w, n: min(1.0, (s - w) / n)), "as long as the whole run"),
        (lambda s, w, n: schedule()(s, w, n) if s < n else 1.0, "the rate comes back"),
        (lambda s, w, n: schedule()(s, w, n) + 0.01, "share = "),
        (lambda step: 1.0, "it raised TypeError"),
        (lambda s, w, n: (schedule()(s, w, n),), "a tuple with one number in it"),
        (lambda s, w, n: str(schedule()(s, w, n)), "is the text"),
        *BROKEN_FUNCTIONS,
    ],
    "08.4": [
        (lambda g, limit: {name: array * min(1.0, limit / np.linalg.norm(array)) for name, array in g.items()}, "by its own length"),
        (lambda g, limit: {name: np.clip(array, -limit, limit) for name, array in g.items()}, "Each number was clipped by itself"),
        (lambda g, limit: scaled(g, limit / length(g)), "clip, do not normalise"),
        (lambda g, limit: scaled(g, min(1.0, limit / sum(np.linalg.norm(a) for a in g.values()))), "lengths of the arrays were added"),
        (lambda g, limit: scaled(g, min(1.0, limit / length(g) ** 2)), "root is missing"),
        (lambda g, limit: scaled(g, 1 / length(g)), "length 1, whatever max_norm"),
        (lambda g, limit: scaled(g, min(1.0, limit / sum(abs(a).sum() for a in g.values()))), "sum of absolute values"),
        (lambda g, limit: scaled(g, min(1.0, limit / max(abs(a).max() for a in g.values()))), "the largest number"),
        (lambda g, limit: scaled(g, max(1.0, length(g) / limit)), "upside down"),
        (lambda g, limit: dict(g), "came back as they were"),
        (lambda g, limit: scaled(g, limit / max(limit, length(g))) if length(g) else scaled(g, np.nan), "NaN"),
        (
            lambda g, limit: scaled(g, limit / length(g) if length(g) > limit else 1.0) if length(g) else {n: a + 1 for n, a in g.items()},
            "of 0",
        ),
        (lambda g, limit: scaled(g, 0.5 * limit / length(g)), "by one factor for all numbers"),
        (clip_in_place, "changed its input"),
        (lambda g, limit: length(g), "a dictionary with the names"),
        (lambda g, limit: {"embedding": g["embedding"]}, "a dictionary with the names"),
        (lambda g, limit: {name: array.ravel() for name, array in g.items()}, "came back with shape"),
        (lambda g, limit: scaled(g, np.nan), "NaN"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
}

RIGHT = {
    "08.1": ["clipping", "Warm-up", " weight_decay ", "none", "warmup"],
    "08.2": [
        lambda targets: sum(-math.log(n / np.size(targets)) * n for n in Counter(np.ravel(targets).tolist()).values()) / np.size(targets),
        lambda targets: -np.mean(np.log([(targets == token).mean() for token in targets.ravel()])),
    ],
    "08.3": [
        schedule(down=lambda share: math.cos(math.pi / 2 * share) ** 2),
        lambda s, w, n: np.where(s < w, (s + 1) / w, (1 + np.cos(np.pi * np.clip((s - w) / (n - w), 0, 1))) / 2),
        lambda s, w, n: sympy.Rational(s + 1, w) if s < w else 0 if s >= n else (1 + sympy.cos(sympy.pi * (s - w) / (n - w))) / 2,
        lambda s, w, n: np.float32((s + 1) / w if s < w else 0.5 + 0.5 * math.cos(math.pi * min(s - w, n - w) / (n - w))),
    ],
    "08.4": [clip_by_flattening, clip_as_lists],
}

TYPED_WRONG = {
    "08.1": "my_remedy = 3",
    "08.2": "def best_constant_loss(targets):\n    return 9.2103",
    "08.3": "def warm_cosine(step, rise, total):\n    return min(1.0, (step + 1) / rise)",
    "08.4": "def clip_gradients(gradients, max_norm):\n    return max_norm",
}
