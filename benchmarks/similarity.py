"""What similarity by features does to held-out loss, and how fast similarities are: `python -m benchmarks.similarity`.

Writes SIMILARITY.md and evidence/measured/similarity.json. Some minutes on one processor; run it with
OPENBLAS_NUM_THREADS=1, for gcd has one thread as well. `--tiny` tries the whole path in seconds and writes nothing.
"""

import argparse
import functools
import json
import os
import time

import numpy as np

from benchmarks.compare import ratio, seconds_of
from benchmarks.run import describe_machine, describe_settings, say, table, two_digits
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.defects.lattice import gcd_similarity
from cllm_lib.experiments.intervals import interval, paired_difference
from cllm_lib.experiments.runs import run
from cllm_lib.files import shipped, write_atomically
from cllm_lib.lattice.primes import first_primes
from cllm_lib.lattice.similarity import feature_matrix, feature_similarities, feature_similarity, goedel_numbers
from cllm_lib.text.corpora import Corpus, windows
from cllm_lib.training.regularizers import LaplacianRegularizer, geometric_agreement

COMMAND = "OPENBLAS_NUM_THREADS=1 python -m benchmarks.similarity"
PAGE = shipped("evidence", "pages/SIMILARITY.md")
RESULTS = shipped("evidence", "measured/similarity.json")

TEXTS = ("prose", "sayings")
SEEDS = tuple(range(10))
NONE, FEATURES, SHUFFLED, UNIFORM = "none", "features", "features of another word", "all alike"
STRENGTHS = (100.0, 1_000.0, 10_000.0)
VARIANTS = ((NONE, 0.0), *((kind, strength) for kind in (FEATURES, SHUFFLED, UNIFORM) for strength in STRENGTHS))
MODEL = dict(d_model=32, n_layers=1, n_heads=2, d_ff=64, seq_len=16, positions="learned")
TRAINING = dict(learning_rate=3e-3, batch_size=16, patience=5)
EPOCHS = 60  # at most: the loss on the held-out tenth decides

WORDS, WIDTHS = (1_000, 10_000), (64, 512)
ROUNDS, STEPS = 15, 3
ROWS, FEW_ROWS = 500, 2  # tokens that are compared with all others at a time
FEATURE_WORDS = 2_000
CLAIMED = (10.0, 100.0)


def split(name):
    """A text whose last tenth judges, and whose tenth before that decides when training stops."""
    whole = load_corpus(name)
    tenth = len(whole.tokens) // 10
    return Corpus(name, whole.tokens[:-tenth], whole.vocabulary, n_validation=tenth), whole.tokens[-tenth:]


def similarities_of(kind, vocabulary, seed):  # -> (V, V)
    """Those of features; the same dealt out to other words; or one number, their mean, for all pairs."""
    found = feature_similarities(feature_matrix(vocabulary))
    if kind == SHUFFLED:
        order = np.random.default_rng(seed).permutation(len(found))
        return found[np.ix_(order, order)]
    if kind == UNIFORM:
        return np.full_like(found, found[np.triu_indices(len(found), 1)].mean())
    return found


def train(name, variant, seed):
    """Losses of one run on the tenth that decides and on the tenth that judges, and how its embedding agrees with the features.

    Returns
    -------
    dict of str to float
    """
    (kind, strength), (corpus, test) = variant, split(name)
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **MODEL), seed=seed)
    regularizer = None if kind == NONE else LaplacianRegularizer(similarities_of(kind, corpus.vocabulary, seed), strength)
    every = corpus.batches_per_epoch(TRAINING["batch_size"], MODEL["seq_len"])
    trainer = Trainer(model, corpus, **TRAINING, seed=seed, evaluate_every=every, regularizer=regularizer)
    trainer.fit(epochs=EPOCHS)
    trainer.restore_best()
    agreement = geometric_agreement(similarities_of(FEATURES, corpus.vocabulary, seed), model.parameters["embedding"])
    return {"decides": trainer.best.loss, "judges": model.loss(*windows(test, MODEL["seq_len"])), "agreement": agreement}


def chosen(found, kind):
    """The test losses of a kind when each seed takes the strength, none among them, that did best on the tenth that decides."""
    offered = [found[NONE, 0.0], *(found[kind, strength] for strength in STRENGTHS)]
    return [min(runs, key=lambda run: run["decides"])["judges"] for runs in zip(*offered, strict=True)]


def losses_of(name, seeds, report=say):
    """Every variant with every seed on one text, and what follows: rows for the page, and numbers to keep."""
    started = time.monotonic()
    found = run(functools.partial(train, name), VARIANTS, seeds)
    plain = [one["judges"] for one in found[NONE, 0.0]]
    rows, kept = [], []
    for (kind, strength), runs in found.items():
        losses = [one["judges"] for one in runs]
        less = "" if kind == NONE else f"{paired_difference(losses, plain):.3f}"
        agreement = f"{interval([one['agreement'] for one in runs]):.3f}"
        rows.append([kind, f"{strength:,.0f}" if strength else "", f"{interval(losses):.3f}", less, agreement])
        kept.append({"kind": kind, "strength": strength, **{key: [one[key] for one in runs] for key in runs[0]}})
    best = {kind: chosen(found, kind) for kind in (FEATURES, SHUFFLED, UNIFORM)}
    for kind, losses in best.items():
        rows.append([kind, "chosen", f"{interval(losses):.3f}", f"{paired_difference(losses, plain):.3f}", ""])
    against = {kind: f"{paired_difference(best[FEATURES], best[kind]):.3f}" for kind in (SHUFFLED, UNIFORM)}
    words = "; ".join(f"minus {kind!r}: {difference}" for kind, difference in against.items())
    report(f"{name}: {time.monotonic() - started:.0f} s; features, strength chosen: {words}")
    return rows, {"text": name, "seeds": list(seeds), "plain": plain, "chosen": best, "runs": kept}, words


def contestants(words, width):
    """Functions that compare some tokens with all, each with its number of pairs.

    Returns
    -------
    dict of str to (callable, int)
    """
    ids, primes = np.arange(words, dtype=np.int64), first_primes(words)
    embedding = np.random.default_rng(0).standard_normal((words, width)).astype(np.float32)
    few = slice(0, min(ROWS, words))
    pairs = len(ids[few]) * words
    return {
        "dot products": (lambda: embedding[few] @ embedding.T, pairs),
        "gcd of primes": (lambda: np.where(np.gcd(primes[few, None], primes) > 1, 1.0, 0.5), pairs),
        "gcd of ids": (lambda: gcd_similarity(ids[few, None], ids), pairs),
        "equal ids": (lambda: np.where(ids[few, None] == ids, 1.0, 0.5), pairs),
    }


def feature_contestants(vocabulary, width):
    """The same for similarity by features: all pairs by matrix products, and pair by pair by Goedel numbers."""
    words = len(vocabulary)
    matrix, numbers = feature_matrix(vocabulary), goedel_numbers(vocabulary)
    embedding = np.random.default_rng(0).standard_normal((words, width)).astype(np.float32)
    few = numbers[:FEW_ROWS]
    return {
        "dot products": (lambda: embedding @ embedding.T, words**2),
        "features, matrix products": (lambda: feature_similarities(matrix), words**2),
        "features, Goedel numbers": (lambda: [feature_similarity(a, b) for a in few for b in numbers], len(few) * words),
    }


def speeds(group, rounds, steps):
    """Time each for a pair, in turns, and compare with dot products.

    Returns
    -------
    dict of str to Ratio
        Of each other contestant: its time over that of dot products.
    """
    times = {name: [] for name in group}
    for _ in range(rounds):
        for name, (work, pairs) in group.items():
            times[name].append([seconds / pairs for seconds in seconds_of(work, steps)])
    return {name: ratio(times[name], times["dot products"]) for name in group if name != "dot products"}


def speed_rows(words, width, group, rounds, steps):
    """Rows for the page, and numbers to keep."""
    rows, kept = [], []
    for name, found in speeds(group, rounds, steps).items():
        quartiles = f"{two_digits(found.low)} to {two_digits(found.high)}"
        times = [f"{1e9 * seconds:.2f}" for seconds in (found.ours, found.peer)]
        rows.append([f"{words:,}", f"{width}", name, *times, two_digits(found.value), quartiles])
        kept.append(
            {"words": words, "width": width, "similarity": name, "ratio": found.value, "low": found.low, "high": found.high}
            | {"nanoseconds": 1e9 * found.ours, "nanoseconds_dot": 1e9 * found.peer}
        )
    return rows, kept


def all_speeds(sizes, widths, vocabulary, rounds=ROUNDS, steps=STEPS):
    """Every size and width, then the features of a real vocabulary."""
    rows, kept = [], []
    for words in sizes:
        for width in widths:
            more, numbers = speed_rows(words, width, contestants(words, width), rounds, steps)
            rows, kept = rows + more, kept + numbers
    for width in widths:
        more, numbers = speed_rows(len(vocabulary), width, feature_contestants(vocabulary, width), max(2, rounds // 5), 1)
        rows, kept = rows + more, kept + numbers
    return rows, kept


def page(losses, speed, conditions):
    """The whole of SIMILARITY.md."""
    sizes = ", ".join(f"{name} {value}" for name, value in MODEL.items())
    how = (
        f"Written by `{COMMAND}`, with every number in evidence/measured/{RESULTS.name}. {' '.join(conditions)}\n\n"
        f"Loss on the last tenth of a text, in nats a word; mean over {len(SEEDS)} seeds and its 95 % interval. Model: {sizes}; Adam at "
        f"{TRAINING['learning_rate']:g}, batches of {TRAINING['batch_size']}, stopped by the loss on the tenth before, which gives the "
        "strength as well where it says chosen. Difference: to the same seeds without a regulariser; below 0 is better. Agreement: rank "
        "correlation between similarity by features and cosine of embeddings. Two controls say whether features matter: the same "
        "similarities dealt out to other words, and one similarity for all pairs."
    )
    header = ["similarity", "strength", "held-out loss", "difference", "agreement"]
    parts = ["# Similarity by features", how]
    for name, (rows, _, words) in losses.items():
        parts += [f"## {name}", "\n".join(table(header, rows)), f"With the strength chosen, features {words}."]
    told = (
        f"Time for a pair, all pairs of {ROWS} tokens with all others (of all with all, for features, which are those of the commonest "
        "words of python-docs), one thread. Ratio: its time over that of dot products of float32 embeddings, the median over rounds with "
        f"quartiles; to be {CLAIMED[0]:g} to {CLAIMED[1]:g} times faster it "
        f"would be {1 / CLAIMED[0]:g} to {1 / CLAIMED[1]:g}. Equal ids: what gcd of primes computes, without the gcd."
    )
    header = ["words", "width", "similarity", "ns a pair", "dot products, ns", "ratio", "quartiles"]
    parts += ["## Speed", told, "\n".join(table(header, speed))]
    return "\n\n".join(parts) + "\n"


def main(arguments=None):
    """Measure, print as it goes, and write page and numbers at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="try the whole path; write nothing")
    tiny = parser.parse_args(arguments).tiny
    conditions = [describe_machine(), describe_settings(os.environ)]
    started = time.monotonic()
    losses = {name: losses_of(name, SEEDS[:2] if tiny else SEEDS) for name in (TEXTS[1:] if tiny else TEXTS)}
    vocabulary = load_corpus("sayings" if tiny else "python-docs").vocabulary[:FEATURE_WORDS]
    speed, timings = all_speeds((50,) if tiny else WORDS, WIDTHS, vocabulary, rounds=2 if tiny else ROUNDS)
    conditions.append(f"The whole run took {(time.monotonic() - started) / 60:.0f} minutes.")
    text = page(losses, speed, conditions)
    say(text)
    if tiny:
        return
    numbers = {"command": COMMAND, "conditions": " ".join(conditions), "model": MODEL, "training": TRAINING}
    numbers |= {"losses": [kept for _, kept, _ in losses.values()], "speed": timings}
    write_atomically(PAGE, text.encode("utf-8"))
    write_atomically(RESULTS, (json.dumps(numbers, indent=1) + "\n").encode("utf-8"))
    say(f"Written to evidence/pages/{PAGE.name} and evidence/measured/{RESULTS.name}.")


if __name__ == "__main__":
    main()
