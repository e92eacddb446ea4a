"""Learning rates that are too small or too large: what the weights and the loss do then."""

import numpy as np

from cllm_lib.claims.backward import CONFIG, batch
from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.questions import above, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, EPOCHS_OF_SMALL, SMALL
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.optimizers import SGD
from cllm_lib.training.trainer import Trainer

LARGE = {f"{rule} {rate:g}": (rule, rate) for rule, rates in {"sgd": (10.0, 100.0), "adam": (0.1, 1.0)}.items() for rate in rates}
EITHER = 0.25  # share of rising epochs that is called oscillation: one in four


@experiment(variants=LARGE, seeds=range(20), fast={"variants": ["sgd 10"], "seeds": [0]})
def large_rates(variant, seed):
    """A small sound model at a rate that is too large, ten epochs.

    Returns
    -------
    dict of str to float
        "diverged", whether a mean of an epoch is not finite or above twice that of uniform guesses; "rising", the share of
        epochs above the one before; "last", the mean of the last, in nats.
    """
    corpus = load_corpus("sayings")
    rule, rate = LARGE[variant]
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **SMALL), seed=seed)
    with np.errstate(all="ignore"):
        trainer = Trainer(model, corpus, rule, rate, BATCH, seed, stop_when_not_finite=False)
        losses = np.array(trainer.fit(EPOCHS_OF_SMALL).epoch_losses)
        diverged = not (losses <= 2 * np.log(len(corpus.vocabulary))).all()
        return {"diverged": float(diverged), "rising": float((np.diff(losses) > 0).mean()), "last": float(losses[-1])}


TROUBLE = {name: above(f"diverged or oscillating at {name}", 0.5, 0.0, "share of seeds", "yes or no") for name in LARGE}


@measured(
    "18",
    "Too large: Divergence or oscillation",
    "001",
    section="4. Learning Rate",
    experiment=(
        "A small sound model at two rates far above the best for either rule, ten epochs. Divergence: an epoch above twice the loss of "
        "uniform guesses, or not finite; oscillation: more than one epoch in four above the one before."
    ),
    change_our_mind="A rate far too large at which most seeds do neither.",
    asks=TROUBLE.values(),
    about="of a learning rate",
)
def too_large():
    """One of the two, in most seeds, at each rate."""
    seen = {name: {part: values("large_rates", name, part) for part in ("diverged", "rising")} for name in LARGE}
    found = {name: TROUBLE[name]((one["diverged"] > 0) | (one["rising"] > EITHER)) for name, one in seen.items()}
    told = "; ".join(
        f"{name}: diverged in {one['diverged'].sum():.0f}, oscillating in {(one['rising'] > EITHER).sum()} of {len(one['rising'])} seeds"
        for name, one in seen.items()
    )
    so = [name for name, one in found.items() if one.answer]
    return (
        told,
        verdict(every(one.answer for one in found.values()), f"the rate is {' or '.join(so)}" if so else None),
        list(found.values()),
    )


SMALLEST = tuple(10.0**power for power in range(-3, -13, -1))


def moved(rate, dtype):
    """Share of the weights, those with a gradient, that one step of plain gradient descent changes."""
    model = CLLM(CONFIG)
    _, _ = model.loss_and_gradients(*batch())
    before, gradient = model.flat_parameters.astype(dtype), model.flat_gradients.astype(dtype)
    after = before.copy()
    SGD(rate).step(after, gradient)
    asked = (gradient != 0) & (before != 0)
    return float((after != before)[asked].mean())


@measured(
    "18",
    "Too small: No weight updates",
    "001",
    section="4. Learning Rate",
    experiment=f"One step of a sound model, rates from {SMALLEST[0]:g} to {SMALLEST[-1]:g}: which weights change, in float32 and float64.",
    change_our_mind="The program's rate of 0.001, or one a thousand times smaller, at which no weight changes.",
    about="of a learning rate",
)
def too_small():
    """Weights of float32 stand still when a step is less than half their last digit."""
    shares = {dtype: [moved(rate, dtype) for rate in SMALLEST] for dtype in (np.float32, np.float64)}
    single, double = shares.values()
    still = [rate for rate, share in zip(SMALLEST, single, strict=True) if share < 0.01]
    found = (
        f"at {SMALLEST[0]:g} a step changes {single[0]:.0%} of the float32 weights, at {SMALLEST[3]:g} {single[3]:.0%}, at "
        f"{SMALLEST[-1]:g} {single[-1]:.0%}; of the float64 ones {double[-1]:.0%}"
    )
    only_if = f"weights are float32 and the rate is {max(still):g} or less" if still else None
    judged = verdict(max(still, default=0.0) >= SMALLEST[0] / 1000, only_if)
    return found, judged, [exact(f"float32 weights that change at {SMALLEST[3]:g}", single[3], "share")]
