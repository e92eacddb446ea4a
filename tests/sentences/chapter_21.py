"""Rules of the chapter on a real model. The model is fixed, so chance is in the sentences drawn, and in the words drawn anew."""

import functools
import re
from itertools import pairwise

import numpy as np
from scipy.stats import rankdata
from sentences.trials import rule

from cllm_lib import defects, load_corpus
from cllm_lib.experiments import bootstrap_interval
from cllm_lib.lattice import feature_matrix, feature_similarities
from cllm_lib.pretrained import load_encoder
from cllm_lib.text import data_file


@functools.cache
def encoder():
    return load_encoder()


@functools.cache
def prose():
    """The sentences of the chapter."""
    text = " ".join(data_file("prose.txt").read_text(encoding="utf-8").split())
    return [part for part in re.split(r"(?<=[.!?])\s+", text) if len(part.split()) > 3]


@functools.cache
def first_hundred():
    """The rows of those that the chapter looks up."""
    return encoder().embed(prose()[:100])


# What is alike?


def with_not(seed):
    """Twelve sentences of the prose with `is` or `are`: the cosine to themselves with `not`, and to the nearest of the first hundred."""
    able = [i for i, one in enumerate(prose()) if len(re.findall(r"\b(?:is|are)\b", one)) == 1 and " not " not in one]
    drawn = np.random.default_rng(seed).choice(able, 12, replace=False)
    rows = encoder().embed([prose()[i] for i in drawn])
    denied = encoder().embed([re.sub(r"\b(is|are)\b", r"\1 not", prose()[i]) for i in drawn])
    others = rows @ first_hundred().T
    others[drawn[:, None] == np.arange(100, dtype=np.intp)] = -1  # itself
    return {"not": (denied * rows).sum(axis=1).tolist(), "nearest other": others.max(axis=1).tolist()}


@rule("it leaves the sentence nearer to what it was than any of the hundred sentences below, almost always.", of=with_not)
def not_costs_little(found):
    return np.mean(np.greater(found["not"], found["nearest other"])) > 0.9


NOUNS = [
    "dog",
    "man",
    "cat",
    "child",
    "wolf",
    "sheep",
    "bird",
    "fish",
    "king",
    "queen",
    "nurse",
    "soldier",
    "farmer",
    "teacher",
    "horse",
    "boy",
    "girl",
    "lion",
    "doctor",
    "thief",
]
VERBS = ["bites", "sees", "follows", "helps", "hears", "calls", "feeds", "chases", "finds", "kicks", "loves", "fears"]


def who_whom(seed):
    """Twelve sentences of who does what to whom: the cosine to the one with both changed over, and with another verb."""
    rng, first, second, third = np.random.default_rng(seed), [], [], []
    for _ in range(12):
        (one, other), (verb, instead) = rng.choice(NOUNS, 2, replace=False), rng.choice(VERBS, 2, replace=False)
        first.append(f"The {one} {verb} the {other}.")
        second.append(f"The {other} {verb} the {one}.")
        third.append(f"The {one} {instead} the {other}.")
    rows, turned, done = (encoder().embed(those) for those in (first, second, third))
    return {"changed over": (rows * turned).sum(axis=1).tolist(), "another verb": (rows * done).sum(axis=1).tolist()}


@rule("with other people, animals and deeds it costs less than another verb", of=who_whom)
def who_whom_costs_less_than_another_verb(found):
    return np.greater(found["changed over"], found["another verb"]).all() and np.mean(found["changed over"]) > 0.95


def answers(seed):
    """Of twenty questions of the sayings the share whose own answer is the nearest of the twenty answers."""
    lines = [line.strip() for line in data_file("sayings.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
    asks = re.compile("(why|where|what|when|who|how|which|does|do|is|are|can) ")
    pairs = [(one, two) for one, two in pairwise(lines) if asks.match(one) and not asks.match(two)]
    drawn = np.random.default_rng(seed).choice(len(pairs), 20, replace=False)
    ours, theirs = (encoder().embed([pairs[i][k] for i in drawn]) for k in (0, 1))
    return {"found": float(((ours @ theirs.T).argmax(axis=1) == np.arange(20, dtype=np.intp)).mean()), "pairs": len(pairs)}


@rule("of twenty questions from the sayings eighteen or more have their own answer nearest, whichever are drawn", of=answers)
def questions_find_their_answers(found):
    return round(20 * found["found"]) >= 18


# Where a real model looks


def looks(seed):
    """Of twelve sentences of the prose: the share for the two marks, layer by layer, and what the chapter's two heads do."""
    sentences = [one for one in prose() if 8 <= len(one.split()) <= 20]
    found = []
    for one in np.random.default_rng(seed).choice(sentences, 12, replace=False):
        weights = encoder().trace(str(one)).weights
        marks = weights[..., [0, -1]].sum(axis=-1).mean(axis=(1, 2))
        before, after = (np.diagonal(weights, offset, axis1=2, axis2=3).mean(axis=-1) for offset in (-1, 1))
        found.append(
            {
                "marks": marks.tolist(),
                "even": 2 / weights.shape[-1],
                "before": float(before[0, 2]),
                "most before": [int(i) for i in np.unravel_index(before.argmax(), before.shape)],
                "after": float(after[1, 8]),
                "most after": [int(i) for i in np.unravel_index(after.argmax(), after.shape)],
            }
        )
    return found


@rule("over other sentences of the prose these four together give them more than half, too", of=looks)
def the_marks_get_half(found):
    return np.mean([one["marks"][1:5] for one in found]) > 0.5


@rule("in other sentences of the prose they are the same two", of=looks)
def they_are_the_same_heads(found):
    return all(one["most before"] == [0, 2] and one["most after"] == [1, 8] and one["after"] >= 0.495 for one in found)


@rule("each token looks one to the left, in other sentences of the prose, too", of=looks)
def it_is_a_shift_register(found):
    return min(one["before"] for one in found) > 0.99


# Primes and GCDs beside a real model


@functools.cache
def tables():
    """The ranks of the chapter's similarities of 300 words, and of the model's cosines."""
    words, ids, pairs = load_corpus("prose").vocabulary[1:301], np.arange(1, 301, dtype=np.int64), np.triu_indices(300, 1)
    rows = load_encoder(dtype="float64").embed(list(words))
    found = {
        "model": np.round(rows @ rows.T, 9),
        "GCD of ids": defects.gcd_similarity(ids[:, None], ids),
        "spelling": np.round(feature_similarities(feature_matrix(words)), 9),
    }
    for name, table in found.items():
        ranks = np.zeros((300, 300))
        ranks[pairs] = rankdata(table[pairs])
        found[name] = ranks + ranks.T
    return found


def agreements(seed):
    """The intervals with other draws of the words, and with the similarities dealt out otherwise."""
    found, dealt = {}, np.random.default_rng(seed + 1).permutation(300)
    for name in ("GCD of ids", "spelling"):
        for how, table in (("its own", tables()[name]), ("dealt out", tables()[name][np.ix_(dealt, dealt)])):

            def of_words(drawn, table=table):
                apart = drawn[:, None] != drawn
                ours, theirs = (of[np.ix_(drawn, drawn)][apart] for of in (table, tables()["model"]))
                return np.corrcoef(ours, theirs)[0, 1]

            interval = bootstrap_interval(of_words, 300, np.random.default_rng(seed), rounds=500)
            found[f"{name}, {how}"] = [float(interval.low), float(interval.high)]
    return found


@rule(
    "For the GCD of ids the interval holds 0, by a hair, and with most other draws of the words it does, too", of=agreements, together=True
)
def no_order_is_shown(those):
    lows = np.array([found["GCD of ids, its own"][0] for found in those])
    return (lows <= 0).sum() > len(those) / 2 and abs(lows).max() < 0.015


@rule("For the sound version it lies above 0, by a hair again, with other draws as well", of=agreements)
def a_hair_above_0(found):
    return 0 < found["spelling, its own"][0] < 0.01


@rule("the intervals of the controls hold 0, with nearly every other deal", of=agreements, together=True)
def the_controls_hold_0(those):
    controls = [found[f"{name}, dealt out"] for found in those for name in ("GCD of ids", "spelling")]
    return sum(low <= 0 <= high for low, high in controls) >= 0.8 * len(controls)
