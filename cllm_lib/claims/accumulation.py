"""Gradients summed over a batch, or the last one taken: what is lost without the sum."""

from cllm_lib import defects
from cllm_lib.claims.judging import effect, measured, verdict
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


@measured(
    "10",
    "Gradient Accumulation: Essential for batch training",
    "004",
    section="What We Learned",
    experiment=(
        "A small sound model, ten epochs: gradients of a batch summed; of a word's places only the last one; of a batch's sequences "
        "only the last. Essential: without it at least half of the fall of the loss is lost."
    ),
    change_our_mind="At least half of the fall lost where the last gradient replaces the sum.",
    comparisons=2,
)
def accumulating():
    """The share of the fall that is lost."""
    summed = values("accumulation", "summed", "after")
    fall = values("accumulation", "summed", "before") - summed
    lost = [
        effect(f"share of the fall lost, {name}", (values("accumulation", name, "after") - summed) / fall, "share")
        for name in ACCUMULATIONS
        if name != "summed"
    ]
    found = "share of the fall that is lost: " + "; ".join(
        f"{name} alone {one.interval:.2f}" for name, one in zip(list(ACCUMULATIONS)[1:], lost, strict=True)
    )
    worse = all(one.corrected.low > 0.0 for one in lost)
    only_if = "essential may mean clearly better: without it the loss falls too, less far" if worse else None
    return found, verdict(all(one.corrected.low > 0.5 for one in lost), only_if), lost
