"""Whether gradients above 1 need clipping: a sound model with huge embeddings, with a clip and without."""

import itertools

import numpy as np

from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.questions import below, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, SEEDS, SMALL, loss_of_text
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

SPREADS = (2, 5)  # of the embedding, where 0.02 is usual
RULES, CLIPS = ("sgd", "adam"), {"clipped": 1.0, "unclipped": None}
HUGE = {f"{rule}, spread {spread}, {clip}": (rule, spread, CLIPS[clip]) for rule, spread, clip in itertools.product(RULES, SPREADS, CLIPS)}


@experiment(variants=HUGE, seeds=SEEDS, fast={"variants": ["adam, spread 5, clipped"], "seeds": [0, 1]})
def huge_gradients(variant, seed):
    """A sound model whose embedding is far too large, five epochs at 0.001: loss of the text after, largest gradient of the first batch."""
    rule, spread, clip = HUGE[variant]
    corpus = load_corpus("sayings")

    def init(parameters, generator):
        scaled_normal(parameters, generator)
        parameters["embedding"] *= spread / 0.02

    model = CLLM(CLLMConfig(len(corpus.vocabulary), **SMALL), seed=seed, init=init)
    rows = next(corpus.batches(BATCH, model.config.seq_len, np.random.default_rng(seed)))
    model.loss_and_gradients(*rows)
    largest = float(np.abs(model.flat_gradients).max())
    Trainer(model, corpus, rule, 1e-3, BATCH, seed, clip_norm=clip).fit(epochs=5)
    return {"after": loss_of_text(model, corpus), "largest": largest}


LOWER = {
    (rule, spread): below(f"clipped minus unclipped, {rule}, spread {spread}", 0.0, 0.05, "nats") for rule in RULES for spread in SPREADS
}


@measured(
    "18",
    "If gradients are huge (>1.0): Need gradient clipping",
    "002",
    section="Expected Outcomes, After Diagnostics",
    experiment=(
        "A small sound model whose embedding is drawn 100 or 250 times too large, so that gradients exceed 1: five epochs at 0.001 with a "
        "clip of 1.0, as was configured, and without. Needed: the loss ends lower with it."
    ),
    change_our_mind="Gradients above 1 from which every rule trains better with the clip.",
    asks=LOWER.values(),
)
def clip_above_one():
    """Of plain gradient descent and of Adam."""
    found = {}
    for (rule, spread), asked in LOWER.items():
        clipped, free = (values("huge_gradients", f"{rule}, spread {spread}, {clip}", "after") for clip in CLIPS)
        found[rule, spread] = asked(clipped - free)
    least = min(values("huge_gradients", name, "largest").min() for name in HUGE)
    told = "; ".join(f"{rule}, embeddings {spread / 0.02:.0f} times too large, {one:+.2f}" for (rule, spread), one in found.items())
    better = [rule for rule in RULES if every(found[rule, spread].answer for spread in SPREADS)]
    names = {"sgd": "plain gradient descent", "adam": "Adam"}
    only_if = f"the rule is {' or '.join(names[rule] for rule in better)}" if better else None
    effects = [*found.values(), exact("least of the largest gradients", least, "")]
    return (
        f"largest gradients of {least:.2g} and more; loss with the clip minus without: {told} nats",
        verdict(every(one.answer for one in found.values()) if least > 1.0 else None, only_if if least > 1.0 else None),
        effects,
    )
