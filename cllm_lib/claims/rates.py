"""Which learning rate is typical: the best of seven, at two widths."""

import math

import numpy as np

from cllm_lib.claims.judging import effect, measured, verdict
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, DOCUMENTED, LENGTH, SEEDS
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

WIDTHS = {"narrow": dict(d_model=32, n_heads=4, d_ff=128), "wide": dict(d_model=256, n_heads=8, d_ff=1024)}
RATES = ("3e-05", "0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03")
RATE_EPOCHS = 3


@experiment(variants=WIDTHS, seeds=SEEDS, fast={"variants": ["narrow"], "seeds": [0]})
def learning_rates(variant, seed):
    """Loss of the third epoch at each of seven rates; infinite where it diverged."""
    corpus = load_corpus("sayings")
    losses = {}
    for rate in RATES:
        model = CLLM(CLLMConfig(len(corpus.vocabulary), **WIDTHS[variant], seq_len=LENGTH, positions="learned"), seed=seed)
        trainer = Trainer(model, corpus, learning_rate=float(rate), batch_size=BATCH, seed=seed, stop_when_not_finite=False)
        with np.errstate(all="ignore"):
            loss = trainer.fit(epochs=RATE_EPOCHS).epoch_losses[-1]
        losses[rate] = loss if math.isfinite(loss) else math.inf
    return losses


def best_rates(variant):
    """For each seed the rate with the lowest loss."""
    losses = np.array([values("learning_rates", variant, rate) for rate in RATES])
    return np.array([float(RATES[row]) for row in losses.argmin(axis=0)])


@measured(
    "10",
    "Learning rate, typical for transformers: 1e-4 to 1e-3",
    "001",
    section="4. Learning Rate",
    experiment=f"Seven rates from 3e-5 to 0.03, Adam, two widths: which gives the lowest loss in epoch {RATE_EPOCHS}.",
    change_our_mind="A best rate on the other side of 1e-3, for the same widths, after a longer run or with a schedule.",
    comparisons=2,
)
def typical_learning_rate():
    """Where the best of seven lies, in powers of ten above 1e-3: from -1 to 0 is the range."""
    powers = {width: np.log10(best_rates(width)) + 3 for width in WIDTHS}
    effects = [effect(f"best rate, {width} model, above 1e-3", powers[width], "powers of ten") for width in WIDTHS]
    inside = [one.corrected.low >= -1 - 1e-9 and one.corrected.high <= 1e-9 for one in effects]
    found = "; ".join(
        f"width {sizes['d_model']}: the best of seven is {10 ** (one.interval.mean - 3):.2g} in the mean, in the range in "
        f"{((powers[width] >= -1 - 1e-9) & (powers[width] <= 1e-9)).sum()} of {one.n_seeds} seeds"
        for (width, sizes), one in zip(WIDTHS.items(), effects, strict=True)
    )
    where = [
        f"the model is {width} ({WIDTHS[width]['d_model']} numbers a word; the documented one has {DOCUMENTED['d_model']})"
        for width, yes in zip(WIDTHS, inside, strict=True)
        if yes
    ]
    return found, verdict(all(inside), where[0] if where else None), effects
