"""Gradients summed over a batch, or the last one taken: what is lost without the sum."""

from cllm_lib import defects
from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import above, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS, trained
from cllm_lib.model.transformer import CLLM

ACCUMULATIONS = {
    "summed": CLLM,
    "last place of a word": lambda config, seed: CLLM(config, seed, embedding=defects.LastOneWins()),
    "last sequence of a batch": defects.LastSequenceWins,
}


@experiment(variants=ACCUMULATIONS, seeds=SEEDS)
def accumulation(variant, seed):
    """Gradients summed over a batch, or the last one taken: loss of the text before and after ten epochs."""
    return trained(ACCUMULATIONS[variant], seed, "adam", 1e-3)


LOST = {name: above(f"share of the fall lost, {name}", 0.5, 0.0, "share") for name in ACCUMULATIONS if name != "summed"}
WORSE = {name: above(f"share of the fall lost at all, {name}", 0.0, 0.02, "share") for name in LOST}


@measured(
    "18",
    "Gradient Accumulation: Essential for batch training",
    "004",
    section="What We Learned",
    experiment=(
        "A small sound model, ten epochs: gradients of a batch summed; of a word's places only the last one; of a batch's sequences "
        "only the last. Essential: without it at least half of the fall of the loss is lost."
    ),
    change_our_mind="At least half of the fall lost where the last gradient replaces the sum.",
    asks=(*LOST.values(), *WORSE.values()),
)
def accumulating():
    """The share of the fall that is lost."""
    summed = values("accumulation", "summed", "after")
    fall = values("accumulation", "summed", "before") - summed
    shares = {name: (values("accumulation", name, "after") - summed) / fall for name in LOST}
    lost, worse = ({name: asked[name](shares[name]) for name in LOST} for asked in (LOST, WORSE))
    found = "share of the fall that is lost: " + "; ".join(f"{name} alone {one:.2f}" for name, one in lost.items())
    clearly = every(one.answer for one in worse.values())
    only_if = "essential may mean clearly better: without it the loss falls too, less far" if clearly else None
    return found, verdict(every(one.answer for one in lost.values()), only_if), [*lost.values(), *worse.values()]
