"""How near the outer product comes to attention's true gradient: the angle between the two."""

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import below, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, LENGTH, SEEDS, SMALL
from cllm_lib.defects import OuterProductAttention
from cllm_lib.instruments.gradient_check import angle_between
from cllm_lib.model.attention import PROJECTIONS
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus, windows
from cllm_lib.training.trainer import Trainer

MOMENTS = {"new": 0, "after five epochs": 5}


@experiment(variants=MOMENTS, seeds=SEEDS, fast={"variants": ["new"], "seeds": [0, 1]})
def shortcut_angles(variant, seed):
    """Degrees between the outer product and the true gradient, of the lowest layer's three projections.

    The model is a small sound one, new or trained for five epochs by true gradients; the batch is the first of the text.
    """
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **SMALL), seed=seed)
    if MOMENTS[variant]:
        Trainer(model, corpus, batch_size=BATCH, seed=seed).fit(epochs=MOMENTS[variant])
    shortcut = CLLM(model.config, attention=OuterProductAttention()).with_parameters(model.flat_parameters.copy())
    texts = [rows[:BATCH] for rows in windows(corpus.tokens, LENGTH)]
    true, other = (one.loss_and_gradients(*texts)[1] for one in (model, shortcut))
    tensors = {name: f"layers.0.attention.{name}_weight" for name in PROJECTIONS}
    return {name: angle_between(other[tensor], true[tensor]) for name, tensor in tensors.items()}


NEAR = {  # half a right angle: more along the true gradient than across it
    (moment, name): below(f"angle to the true gradient of {name}, {moment}", 45.0, 0.0, "degrees")
    for moment in MOMENTS
    for name in PROJECTIONS
}


@measured(
    "18",
    "This is a simplified version that approximates the full attention backward pass",
    "003",
    section="Attention Backward Implementation",
    experiment=(
        "The outer product and the true gradient of queries, keys and values, on one batch of a small sound model, new and trained. "
        "Approximates: the angle between them is less than half a right one."
    ),
    change_our_mind="An angle below 45 degrees for all three, in the mean over seeds.",
    asks=NEAR.values(),
)
def near_the_true_gradient():
    """90 degrees have nothing in common."""
    found = {key: asked(values("shortcut_angles", *key)) for key, asked in NEAR.items()}
    told = "; ".join(f"{moment}: " + ", ".join(f"{name} {found[moment, name]:.0f}" for name in PROJECTIONS) for moment in MOMENTS)
    near = [f"{name}, {moment}" for (moment, name), one in found.items() if one.answer]
    return (
        f"degrees between the two: {told}",
        verdict(every(one.answer for one in found.values()), f"it is about {' and '.join(near)}" if near else None),
        list(found.values()),
    )
