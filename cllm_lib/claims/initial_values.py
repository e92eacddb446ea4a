"""What weights may start from: zeros, one constant, and random values of a usual size."""

import math

from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.questions import above, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, EPOCHS_OF_SMALL, SEEDS, SMALL, change_of, loss_of_text
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.initializers import zeros
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

CONSTANT = 0.02


def constant(parameters, generator):
    """Every matrix and embedding one and the same number; gains 1 and biases 0, as usual."""
    for name, array in parameters.items():
        array[...] = 0.0 if name.endswith("bias") else 1.0 if name.endswith("gain") else CONSTANT


def xavier(parameters, generator):
    """Glorot and Bengio 2010: uniform in +-sqrt(6 / (fan_in + fan_out)); gains 1 and biases 0."""
    for name, array in parameters.items():
        if name.endswith(("bias", "gain")):
            array[...] = float(name.endswith("gain"))
        else:
            reach = math.sqrt(6.0 / sum(array.shape))
            array[...] = generator.uniform(-reach, reach, array.shape)


STARTS = {"Xavier": xavier, "zeros": zeros, "constant": constant}


@experiment(variants=STARTS, seeds=SEEDS, fast={"variants": ["Xavier"], "seeds": [0, 1]})
def initial_values(variant, seed):
    """A small sound model, its weights from one of three rules, by Adam at 0.001: loss of the text before and after ten epochs."""
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **SMALL), seed=seed, init=STARTS[variant])
    before = loss_of_text(model, corpus)
    Trainer(model, corpus, batch_size=BATCH, seed=seed).fit(EPOCHS_OF_SMALL)
    return {"before": before, "after": loss_of_text(model, corpus)}


WORSE = {name: above(f"{name} minus Xavier, loss after ten epochs", 0.0, 0.05, "nats") for name in ("zeros", "constant")}


@measured(
    "18",
    "Should be: Xavier/He initialization ... NOT: zeros or constant values",
    "001",
    section="2. Weight Initialization",
    experiment=f"A small sound model, ten epochs by Adam: weights by Xavier's rule, all zero, or all {CONSTANT:g} (gains 1, biases 0).",
    change_our_mind="Zeros or a constant that end as low as Xavier's rule.",
    asks=WORSE.values(),
)
def not_constant():
    """Each of the two against Xavier's rule."""
    found = [asked(values("initial_values", name, "after") - values("initial_values", "Xavier", "after")) for name, asked in WORSE.items()]
    told = ", ".join(f"{name} {change_of('initial_values', name).mean():+.2f}" for name in STARTS)
    moved = float(abs(change_of("initial_values", "zeros")).max())
    effects = [*found, exact("largest change from zeros", moved, "nats")]
    return f"change of loss in ten epochs: {told} nats", verdict(every(one.answer for one in found)), effects
