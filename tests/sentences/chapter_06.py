"""Rules of the chapter on the shortcut."""

from dataclasses import replace

import numpy as np
from defects.mixed_gradients import Mixed
from sentences.trials import fallen, rule

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.casebook import gradient_patients
from cllm_lib.text import AssociativeRecall

TWELVE = range(12)
P, Q, R, T, S = "PQRTS"
LOOKING = [f"layers.{i}.attention.{name}_weight" for i in (1, 0) for name in ("value", "query")]


def corpus_and_config():
    corpus = load_corpus("sayings")
    return corpus, CLLMConfig(len(corpus.vocabulary), d_model=48, n_layers=2, n_heads=4, d_ff=96)


def angle(gradient, true):
    cosine = np.sum(gradient * true) / (np.linalg.norm(gradient) * np.linalg.norm(true))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def first_gradients(patients, letters):
    batch = next(corpus_and_config()[0].batches(4, 32, np.random.default_rng(0)))
    return [patients[letter].loss_and_gradients(*batch)[1] for letter in letters]


def pairs():
    """The loss of a model that knows which word follows which."""
    return corpus_and_config()[0].bigram_entropy(32)


def last_epoch(model, seed):
    return float(Trainer(model, corpus_and_config()[0], learning_rate=3e-3, seed=seed).fit(epochs=24).epoch_losses[-1])


# Four patients


def angles(seed):
    """R's angles at value and query of both layers, the lengths of P's embedding's gradient, tied and untied, and its angle."""
    config = corpus_and_config()[1]
    shortcut, long, true = first_gradients(gradient_patients(config, seed), (R, P, S))
    apart, right = first_gradients(gradient_patients(replace(config, tie_embeddings=False), seed), (P, S))
    times = {
        "tied": np.linalg.norm(long["embedding"]) / np.linalg.norm(true["embedding"]),
        "untied": np.linalg.norm(apart["embedding"]) / np.linalg.norm(right["embedding"]),
    }
    return {
        "looking": [angle(shortcut[name], true[name]) for name in LOOKING],
        "times": {name: float(value) for name, value in times.items()},
        "embedding": angle(apart["embedding"], right["embedding"]),
        "output": angle(apart["output_weight"], right["output_weight"]),
    }


@rule("between 80 and 100 with each of twelve seeds", of=angles, seeds=TWELVE)
def at_about_right_angles(found):
    return all(80 <= degrees <= 100 for degrees in found["looking"])


@rule("a thousandfold or more with each of the twelve", of=angles, seeds=TWELVE)
def far_too_long(found):
    return found["times"]["tied"] >= 1000


@rule("one share is right", of=angles, seeds=TWELVE)
def the_output_matrix_gets_the_truth(found):
    return found["output"] < 0.5


@rule("with twelve seeds 30 to 50 degrees, 1,500 to 5,000 times", of=angles, seeds=TWELVE)
def the_other_is_turned_and_too_long(found):
    return 30 <= found["embedding"] <= 50 and 1500 <= found["times"]["untied"] <= 5000


@fallen(
    "with twelve seeds 32 to 41 degrees",
    of=angles,
    seeds=TWELVE,
    instead="with twelve seeds 30 to 50 degrees, 1,500 to 5,000 times",
)
def turned_by_less(found):
    return 31.5 <= found["embedding"] < 41.5


def ends(seed):
    """The mean loss of the last of 24 epochs, of every patient and of the sound model."""
    patients = gradient_patients(corpus_and_config()[1], seed)
    return {letter: last_epoch(model, seed) for letter, model in patients.items()}


@rule("the true gradient is ahead of all four, by 0.4 and more", of=ends)
def the_truth_is_ahead(found):
    return min(found[letter] for letter in (P, Q, R, T)) - found[S] >= 0.4


@rule('"missing" ends below the shortcut, by less than 0.15', of=ends)
def nothing_is_better_than_the_shortcut(found):
    return 0 < found[R] - found[T] < 0.15


@rule('"missing" always below it', of=ends)
def missing_is_below_the_line(found):
    return found[T] < pairs()


@rule("the shortcut within 0.15 of it", of=ends)
def the_shortcut_is_near_the_line(found):
    return abs(found[R] - pairs()) <= 0.15


@rule("It ends on either side of the line.", of=ends, together=True)
def lost_embedding_is_on_either_side(runs):
    return 0 < sum(found[Q] < pairs() for found in runs) < len(runs)


@rule("is the worst by far, each time", of=ends)
def layer_norm_is_the_worst(found):
    return found[P] - max(found[letter] for letter in (Q, R, T)) > 1


# The shortcut, taken apart


def recalled(seed, weights, handed_down, width=32, n_layers=2, rate=5e-3, steps=200):
    """The share of queries answered."""
    task = AssociativeRecall(n_pairs=6, batches_in_epoch=steps)
    shape = {"d_model": width, "n_layers": n_layers, "d_ff": 2 * width, "n_heads": 4}
    shape |= {"seq_len": task.seq_len, "positions": "learned", "tie_embeddings": False}
    model = CLLM(CLLMConfig(len(task.vocabulary), **shape), seed=seed, attention=Mixed(weights, handed_down))
    Trainer(model, task, learning_rate=rate, batch_size=16, seed=seed).fit(epochs=1)
    return float(task.accuracy(model, np.random.default_rng(9)))


def answers(seed):
    """Of the four of the bet."""
    models = {"A": ("true", "true"), "B": ("nothing", "true"), "C": ("true", "nothing"), "D": ("shortcut", "as it came")}
    return {name: recalled(seed, *model) for name, model in models.items()}


@rule("A and B learn the task (0.9 and more from ten beginnings of ten)", of=answers)
def two_learn(found):
    return min(found["A"], found["B"]) >= 0.9


@rule("C and D do not (0.3 and less)", of=answers)
def two_do_not(found):
    return max(found["C"], found["D"]) <= 0.3


def five_times_as_long(seed):
    """C, D and the shortcut with the truth handed down, after 1,000 steps."""
    models = {"C": ("true", "nothing"), "D": ("shortcut", "as it came"), "shortcut": ("shortcut", "true")}
    return {name: recalled(seed, *model, steps=1000) for name, model in models.items()}


@rule("C arrives too, at 0.8 and more from ten beginnings", of=five_times_as_long)
def the_handing_down_alone_costs_time(found):
    return found["C"] >= 0.8


@rule("D from none of them (0.3 and less)", of=five_times_as_long)
def both_errors_cost_the_task(found):
    return found["D"] <= 0.3


@rule("with ten beginnings it was at 0.9 and more after 1,000 steps", of=five_times_as_long)
def the_weights_alone_cost_time(found):
    return found["shortcut"] >= 0.9


def smaller(seed):
    """One layer of width 24, with the truth handed down."""
    return {weights: recalled(seed, weights, "true", 24, 1, 1e-2) for weights in ("true", "nothing", "shortcut")}


@rule("only the true gradient arrives (at 0.8 and more from ten beginnings", of=smaller)
def the_truth_arrives(found):
    return found["true"] >= 0.8


@rule("the others below 0.75", of=smaller)
def the_others_are_on_the_way(found):
    return max(found["nothing"], found["shortcut"]) < 0.75
