"""Rules of the chapter on the loss that never moves."""

from dataclasses import replace

import numpy as np
from sentences.trials import rule

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.instruments.diagnosis import examine

CONFIG = CLLMConfig(vocab_size=10_000, d_model=32, n_layers=1, n_heads=4, d_ff=64)
TWO_LAYERS = replace(CONFIG, n_layers=2)
SGD = {"optimizer": "sgd", "learning_rate": 0.001}
ADAM = {"optimizer": "adam", "learning_rate": 0.01}
STUCK = "9.2103"
MATRICES = ("query", "key", "value", "output", "expand", "contract")


def one_epoch(model, seed, settings):
    """The loss of one fixed batch before and after an epoch; the batch, and the order of the others, are the seed's."""
    corpus = load_corpus("sayings")
    inputs, targets = next(corpus.batches(4, 32, np.random.default_rng(seed)))
    before = model.loss(inputs, targets)
    Trainer(model, corpus, seed=seed, **settings).fit(1)
    return [float(before), float(model.loss(inputs, targets))]


def without(kinds, seed, config=TWO_LAYERS):
    model = CLLM(config, seed=seed)
    for name, array in model.parameters.items():
        if name.removesuffix("_weight").endswith(tuple(kinds)):
            array[...] = 0.0
    return one_epoch(model, seed, ADAM)


# The suspects


def suspects(seed):
    """A healthy model, one with the stand-in, the patient with initial weights; the frozen one's losses, batch by batch."""
    stand_in = CLLM(CONFIG, seed=seed, attention=defects.SimplifiedAttention())
    still = Trainer(CLLM(CONFIG, seed=seed), load_corpus("sayings"), optimizer="sgd", learning_rate=0.0, seed=seed).fit(1)
    return {
        "healthy": one_epoch(CLLM(CONFIG, seed=seed), seed, ADAM),
        "stand-in": one_epoch(stand_in, seed, ADAM),
        "initialised": one_epoch(defects.incident(CONFIG, seed, init="scaled_normal"), seed, SGD),
        "frozen": [float(loss) for loss in still.losses],
    }


@rule("a loss near ln V is exactly what a healthy, untrained model shows", of=suspects)
def it_starts_near_ln_v(found):
    return abs(found["healthy"][0] - np.log(CONFIG.vocab_size)) < 0.1


@rule("One epoch is enough to see a healthy model move.", of=suspects)
def a_healthy_model_moves(found):
    before, after = found["healthy"]
    return after < before - 1


@rule("Simplified attention makes a healthy model slower, and does not stop it.", of=suspects)
def the_stand_in_slows(found):
    before, after = found["stand-in"]
    return found["healthy"][1] + 0.3 < after < before - 0.3


@rule("The frozen model's loss changes from batch to batch", of=suspects)
def the_frozen_one_is_another_with_each_batch(found):
    return len({f"{loss:.4f}" for loss in found["frozen"]}) == len(found["frozen"])


@rule("repaired, the patient moves", of=suspects)
def initialised_it_moves(found):
    before, after = (f"{loss:.4f}" for loss in found["initialised"])
    return float(after) < float(before)


@rule("It moves by little.", of=suspects)
def it_moves_by_little(found):
    before, after = found["initialised"]
    return before - after < 0.01


def verdict(seed):
    """What the tool says of the initialised model with `output = 2 * input`."""
    batch = next(load_corpus("sayings").batches(4, 32, np.random.default_rng(seed)))
    return examine(CLLM(CONFIG, seed=seed, attention=defects.SimplifiedAttention()), *batch).verdict


@rule("it finds nothing wrong with the stand-in", of=verdict)
def the_tool_finds_nothing(said):
    return said.startswith("Nothing wrong")


# Which of the zeros


def zeros(seed):
    """One kind of array at zero, or several, in a healthy model of two layers."""
    alone = {kind: without([kind], seed) for kind in ("embedding", *MATRICES, "gain")}
    return alone | {"matrices": without(MATRICES, seed), "all but the embedding": without([*MATRICES, "gain"], seed)}


def learns(before_and_after):
    before, after = before_and_after
    return after < before - 1


@rule("One kind alone reproduces the symptom: the embedding.", of=zeros)
def the_embedding_alone(found):
    return {kind for kind, losses in found.items() if {f"{loss:.4f}" for loss in losses} == {STUCK}} == {"embedding"}


@rule("Each of the six matrices may be zero, all six together may be, and the model learns", of=zeros)
def the_matrices_may_be_zero(found):
    return all(learns(found[kind]) for kind in (*MATRICES, "matrices"))


@rule("Without the gains the loss starts at 9.2103 exactly ... and then it moves", of=zeros)
def the_gains_move(found):
    return all(f"{before:.4f}" == STUCK and after < before - 0.1 for before, after in (found["gain"], found["all but the embedding"]))


def untied_without(name, seed):
    model = CLLM(replace(TWO_LAYERS, tie_embeddings=False), seed=seed)
    model.parameters[name][...] = 0.0
    return one_epoch(model, seed, ADAM)


def untied(seed):
    return [untied_without(name, seed) for name in ("embedding", "output_weight")]


@rule("either of the two may be zero, and the model learns", of=untied)
def either_may_be_zero(found):
    return all(map(learns, found))


# Beside zero


def nudged(seed):
    """The incident moved off zero by a thousandth in every weight: its loss in the last batch of two epochs."""
    found = {}
    for name, settings in (("descent", SGD), ("Adam", ADAM)):
        model = defects.incident(CONFIG)
        model.flat_parameters += 0.001 * np.random.default_rng(seed).standard_normal(model.flat_parameters.size)
        found[name] = float(Trainer(model, load_corpus("sayings"), seed=seed, **settings).fit(2).losses[-1])
    return found


@rule(
    "Gradient descent, whose step is as small as the gradient, still stands after two epochs; "
    "Adam, whose step hardly depends on the gradient's size, gets away.",
    of=nudged,
)
def adam_gets_away(losses):
    return f"{losses['descent']:.4f}" == STUCK and losses["Adam"] < np.log(CONFIG.vocab_size) - 1
