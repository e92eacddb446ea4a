"""What attention is for: a task whose answers stand in the context only, learnt with every attention that was suspected."""

import itertools

import numpy as np

from cllm_lib.claims.judging import effect, measured, verdict
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS
from cllm_lib.claims.suspects import ATTENTIONS, gap
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.tasks import AssociativeRecall
from cllm_lib.training.trainer import Trainer

RECALL = AssociativeRecall(6)
ROOMS = {
    "1 layer of 24": (dict(n_layers=1, d_model=24, d_ff=96), 300, 1e-2),
    "2 layers of 48": (dict(n_layers=2, d_model=48, d_ff=192), 200, 5e-3),
}
RECALLING = {f"{attention}, {room}": (attention, room) for room, attention in itertools.product(ROOMS, ATTENTIONS)}
ASKED = 500  # sequences


@experiment(variants=RECALLING, seeds=SEEDS, fast={"variants": ["real, 1 layer of 24", "simplified, 1 layer of 24"], "seeds": [0]})
def recall(variant, seed):
    """A task whose answers stand in the context only: the share a trained model gets right; by chance one in six.

    Parameters
    ----------
    variant : str
        A key of :data:`RECALLING`: kind of attention, and how much room there is beside it.
    seed : int

    Returns
    -------
    dict of str to float
        "right", of the queries of 500 new sequences.
    """
    attention, room = RECALLING[variant]
    sizes, steps, rate = ROOMS[room]
    config = CLLMConfig(len(RECALL.vocabulary), **sizes, n_heads=4, seq_len=RECALL.seq_len, tie_embeddings=False, positions="learned")
    model = CLLM(config, seed, attention=ATTENTIONS[attention]())
    Trainer(model, RECALL, learning_rate=rate, batch_size=32, seed=seed).fit(steps=steps)
    return {"right": RECALL.accuracy(model, np.random.default_rng([seed, 1]), ASKED)}


ASSOCIATIONS = (
    "Six pairs to be remembered, new ones in every sequence; 300 steps of one layer, 200 of two; share of queries answered rightly."
)
SOLVED = 0.9  # share of queries


def right(attention, room):
    """Share of queries answered rightly in :func:`recall`, as an effect."""
    return effect(f"{attention} attention, {room}", values("recall", f"{attention}, {room}", "right"), "share right")


@measured(
    "10",
    "The attention weights were frozen at their random initialization values: the model could only learn through the rest (limited)",
    "003",
    section="Why Training Failed Before",
    experiment=ASSOCIATIONS,
    change_our_mind="Nine in ten queries answered with frozen attention, in the smallest model too.",
    comparisons=6,
)
def frozen_attention():
    """Frozen with every other gradient true; and as in the program, which handed no gradient down either."""
    true, frozen, none = ([right(kind, room) for room in ROOMS] for kind in ("real", "frozen", "no backward"))
    told = "; ".join(
        f"{room}: {a.interval:.2f} trained, {b.interval:.2f} frozen, {c.interval:.2f} with no backward pass at all"
        for room, a, b, c in zip(ROOMS, true, frozen, none, strict=True)
    )
    tight = [room for room, one in zip(ROOMS, frozen, strict=True) if one.corrected.high < SOLVED]
    lost = all(one.corrected.high < SOLVED for one in none)
    conditions = [f"there is little room ({' and '.join(tight)})"] if tight else []
    conditions += ["what lies below attention gets no true gradient either, as in the program"] if lost else []
    judged = verdict(len(tight) == len(ROOMS), ", or ".join(conditions) or None)
    return f"share right, by chance {1 / RECALL.n_pairs:.2f}: {told}", judged, [*frozen, *none, *true]


@measured(
    "10",
    "This approximation should be sufficient for training to work",
    "003",
    section="Attention Backward Implementation",
    experiment=f"{ASSOCIATIONS} And the text of the incident.",
    change_our_mind="Nine in ten queries answered when trained by the outer product.",
    comparisons=5,
)
def outer_product():
    """Against the task, and against having no backward pass at all."""
    shares = [right("outer product", room) for room in ROOMS]
    gains = [
        effect(f"outer product minus no backward pass, {room}", one - other, "share right")
        for room, one, other in (
            (room, *(values("recall", f"{kind}, {room}", "right") for kind in ("outer product", "no backward"))) for room in ROOMS
        )
    ]
    on_text = effect(
        "outer product minus no backward pass, text",
        gap(*(dict(weights="random", attention=kind) for kind in ("outer product", "no backward"))),
        "nats",
    )
    found = (
        f"share right, by chance {1 / RECALL.n_pairs:.2f}: "
        + "; ".join(
            f"{room} {one.interval:.2f}, {gain.interval:+.2f} to no backward pass"
            for room, one, gain in zip(ROOMS, shares, gains, strict=True)
        )
        + f"; loss of the text {on_text.interval:+.2f} to no backward pass"
    )
    enough = [room for room, one in zip(ROOMS, shares, strict=True) if one.corrected.low > SOLVED]
    return (
        found,
        verdict(len(enough) == len(ROOMS), f"there is room enough ({' and '.join(enough)})" if enough else None),
        [*shares, *gains, on_text],
    )


@measured(
    "10",
    "Model cannot learn relationships between tokens, only per-token transformations",
    "001",
    section="1. Forward Pass Issues",
    experiment=ASSOCIATIONS,
    change_our_mind="More queries answered with simplified attention than chance allows.",
    comparisons=4,
)
def simplified_attention_sees_one_token():
    """Simplified attention at chance, where real attention solves the task."""
    simplified, real = ([right(kind, room) for room in ROOMS] for kind in ("simplified", "real"))
    chance = 1 / RECALL.n_pairs
    told = "; ".join(f"{room}: {a.interval:.3f}, real {b.interval:.3f}" for room, a, b in zip(ROOMS, simplified, real, strict=True))
    holds = all(one.corrected.high < chance + 0.1 for one in simplified) and all(one.corrected.low > SOLVED for one in real)
    return f"share right, by chance {chance:.3f}: {told}", verdict(holds), [*simplified, *real]
