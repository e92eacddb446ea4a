"""Which learning rate is typical: the best of seven, at two widths."""

import math

import numpy as np

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import below, every
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


MIDDLE, HALF = -3.5, 0.5  # of the range, in powers of ten: from 1e-4 to 1e-3
INSIDE = {  # the rates tried stand half a power of ten apart, so half a step more is still inside
    width: below(f"best rate, {width} model, from the middle of 1e-4 to 1e-3", HALF + 0.25, 0.0, "powers of ten") for width in WIDTHS
}


@measured(
    "18",
    "Typical for transformers: 1e-4 to 1e-3",
    "001",
    about="of learning rates",
    section="4. Learning Rate",
    experiment=f"Seven rates from 3e-5 to 0.03, Adam, two widths: which gives the lowest loss in epoch {RATE_EPOCHS}.",
    change_our_mind="A best rate on the other side of 1e-3, for the same widths, after a longer run or with a schedule.",
    asks=INSIDE.values(),
)
def typical_learning_rate():
    """How far the best of seven lies from the middle of the range, in powers of ten."""
    best = {width: best_rates(width) for width in WIDTHS}
    found = {width: INSIDE[width](np.abs(np.log10(rates) - MIDDLE)) for width, rates in best.items()}
    told = "; ".join(
        f"width {sizes['d_model']}: the best of seven is {np.exp(np.log(best[width]).mean()):.2g} in the (geometric) mean, in the range in "
        f"{(np.abs(np.log10(best[width]) - MIDDLE) <= HALF + 1e-9).sum()} of {len(best[width])} seeds"
        for width, sizes in WIDTHS.items()
    )
    where = [
        f"the model is {width} ({WIDTHS[width]['d_model']} numbers a word; the documented one has {DOCUMENTED['d_model']})"
        for width, one in found.items()
        if one.answer
    ]
    judged = verdict(every(one.answer for one in found.values()), where[0] if where else None)
    return told, judged, list(found.values())
