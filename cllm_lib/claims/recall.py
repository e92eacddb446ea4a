"""What attention is for: a task whose answers stand in the context only, learnt with every attention that was suspected."""

import itertools

import numpy as np

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import above, below, described, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS
from cllm_lib.claims.suspects import ATTENTIONS, ROOMS, SOLVED, gap
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.tasks import AssociativeRecall
from cllm_lib.training.trainer import Trainer

RECALL = AssociativeRecall(6)
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
CHANCE = 1 / RECALL.n_pairs
UNIT = dict(unit="share right", kind="share of many")
UNSOLVED = {
    (attention, room): below(f"{attention} attention, {room}", SOLVED, 0.0, **UNIT)
    for attention in ("frozen", "no backward")
    for room in ROOMS
}
SOLVED_BY = {
    (attention, room): above(f"{attention} attention, {room}", SOLVED, 0.0, **UNIT)
    for attention in ("outer product", "real")
    for room in ROOMS
}
AT_CHANCE = {room: below(f"simplified attention, {room}", CHANCE + 0.1, 0.0, **UNIT) for room in ROOMS}


def right(attention, room):
    """Share of queries answered rightly in :func:`recall`, by seed."""
    return values("recall", f"{attention}, {room}", "right")


@measured(
    "18",
    "the attention weights were frozen at their random initialization values ... The model could only learn through: ... "
    "Embeddings (limited) ... FeedForward (limited) ... LayerNorm (very limited)",
    "003",
    section="Why Training Failed Before",
    experiment=ASSOCIATIONS,
    change_our_mind="Nine in ten queries answered with frozen attention, in the smallest model too.",
    asks=UNSOLVED.values(),
)
def frozen_attention():
    """Frozen with every other gradient true; and as in the program, which handed no gradient down either."""
    true = [described(f"real attention, {room}", right("real", room), **UNIT) for room in ROOMS]
    frozen, none = ([UNSOLVED[kind, room](right(kind, room)) for room in ROOMS] for kind in ("frozen", "no backward"))
    told = "; ".join(
        f"{room}: {a:.2f} trained, {b:.2f} frozen, {c:.2f} with no backward pass at all"
        for room, a, b, c in zip(ROOMS, true, frozen, none, strict=True)
    )
    tight = [room for room, one in zip(ROOMS, frozen, strict=True) if one.answer]
    lost = every(one.answer for one in none)
    conditions = [f"there is little room ({' and '.join(tight)})"] if tight else []
    conditions += ["what lies below attention gets no true gradient either, as in the program"] if lost else []
    judged = verdict(every(one.answer for one in frozen), ", or ".join(conditions) or None)
    return f"share right, by chance {CHANCE:.2f}: {told}", judged, [*frozen, *none, *true]


@measured(
    "18",
    "this approximation should be sufficient for training to work",
    "003",
    about="the outer product for attention's gradient",
    section="Attention Backward Implementation",
    experiment=f"{ASSOCIATIONS} And the text of the incident.",
    change_our_mind="Nine in ten queries answered when trained by the outer product.",
    asks=[SOLVED_BY["outer product", room] for room in ROOMS],
)
def outer_product():
    """Against the task, and against having no backward pass at all."""
    shares = [SOLVED_BY["outer product", room](right("outer product", room)) for room in ROOMS]
    gains = [
        described(f"outer product minus no backward pass, {room}", right("outer product", room) - right("no backward", room), "share right")
        for room in ROOMS
    ]
    on_text = described(
        "outer product minus no backward pass, text",
        gap(*(dict(weights="random", attention=kind) for kind in ("outer product", "no backward"))),
        "nats",
    )
    found = (
        f"share right, by chance {CHANCE:.2f}: "
        + "; ".join(f"{room} {one:.2f}, {gain:+.2f} to no backward pass" for room, one, gain in zip(ROOMS, shares, gains, strict=True))
        + f"; loss of the text {on_text:+.2f} to no backward pass"
    )
    enough = [room for room, one in zip(ROOMS, shares, strict=True) if one.answer]
    return (
        found,
        verdict(every(one.answer for one in shares), f"there is room enough ({' and '.join(enough)})" if enough else None),
        [*shares, *gains, on_text],
    )


@measured(
    "18",
    "Model cannot learn relationships between tokens, only per-token transformations",
    "001",
    about="with simplified attention",
    section="1. Forward Pass Issues",
    experiment=ASSOCIATIONS,
    change_our_mind="More queries answered with simplified attention than chance allows.",
    asks=[*AT_CHANCE.values(), *(SOLVED_BY["real", room] for room in ROOMS)],
)
def simplified_attention_sees_one_token():
    """Simplified attention at chance, where real attention solves the task."""
    simplified = [AT_CHANCE[room](right("simplified", room)) for room in ROOMS]
    real = [SOLVED_BY["real", room](right("real", room)) for room in ROOMS]
    told = "; ".join(f"{room}: {a:.3f}, real {b:.3f}" for room, a, b in zip(ROOMS, simplified, real, strict=True))
    holds = every(one.answer for one in (*simplified, *real))
    return f"share right, by chance {CHANCE:.3f}: {told}", verdict(holds), [*simplified, *real]


FORWARD_ONLY = {room: above(f"no backward pass, {room}", SOLVED, 0.0, **UNIT) for room in ROOMS}


@measured(
    "18",
    "Model should learn relationships between words",
    "002",
    section="After Fixing Attention",
    experiment=ASSOCIATIONS,
    change_our_mind="Nine in ten queries answered with real attention forward and none backward, as it was after that fix.",
    asks=[*FORWARD_ONLY.values(), *(SOLVED_BY["real", room] for room in ROOMS)],
    about="with attention's forward pass mended, and no backward pass yet",
)
def forward_pass_alone():
    """After the first fix attention had no backward pass; then, what a true one does."""
    alone = [FORWARD_ONLY[room](right("no backward", room)) for room in ROOMS]
    both = [SOLVED_BY["real", room](right("real", room)) for room in ROOMS]
    told = "; ".join(f"{room}: {a:.2f}, with a true backward pass {b:.2f}" for room, a, b in zip(ROOMS, alone, both, strict=True))
    only_if = "attention gets a true backward pass as well" if every(one.answer for one in both) else None
    return f"share right, by chance {CHANCE:.2f}: {told}", verdict(every(one.answer for one in alone), only_if), [*alone, *both]


@measured(
    "18",
    "Now attention weights are updated every step, allowing the model to learn token relationships",
    "003",
    section="What's Fixed Now",
    experiment=f"{ASSOCIATIONS} Attention trained by the outer product.",
    change_our_mind="Nine in ten queries answered when trained by the outer product.",
    asks=[SOLVED_BY["outer product", room] for room in ROOMS],
    about="weights that are not zero; as delivered they were, and no step changed them",
)
def updated_every_step():
    """Updated, and along what; whether a relationship is learnt is the task's to say."""
    shares = [SOLVED_BY["outer product", room](right("outer product", room)) for room in ROOMS]
    true = [described(f"real attention, {room}", right("real", room), **UNIT) for room in ROOMS]
    told = "; ".join(f"{room}: {a:.2f}, along the true gradient {b:.2f}" for room, a, b in zip(ROOMS, shares, true, strict=True))
    return f"share right, by chance {CHANCE:.2f}: {told}", verdict(every(one.answer for one in shares)), [*shares, *true]
