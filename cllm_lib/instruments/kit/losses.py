"""Instruments that look at the loss: the same twice, at the start, and computed by hand."""

import math

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument
from cllm_lib.model.layers import softmax

SHARE = 1e-3  # of a loss: more is no rounding
ROUNDING = 1e-4  # nats: what float32 leaves of a loss near 0, a difference of logits of some hundreds


@instrument(
    "repeat",
    2,
    Word("the same batch, other losses", lambda n: n["spread of three losses"] > 0.0, "the same numbers in the same order give the same"),
    Word(
        "another loss in training than in evaluation",
        lambda n: n["training less evaluation"] > ROUNDING,
        "both are the mean cross-entropy, to rounding",
    ),
    Word(
        "the same batch, other gradients",
        lambda n: n["spread of two gradients"] > 1e-9,
        "the same numbers in the same order give the same",
    ),
    needs_sameness=False,
)
def repeat(patient):
    """Give the model the same batch several times, with and without the backward pass."""
    model = patient.copy().model
    losses = [model.loss(*patient.batch) for _ in range(3)]
    first, gradients = model.loss_and_gradients(*patient.batch)
    before = np.concatenate([gradient.ravel() for gradient in gradients.values()])
    _, gradients = model.loss_and_gradients(*patient.batch)
    after = np.concatenate([gradient.ravel() for gradient in gradients.values()])
    length = float(np.linalg.norm(before))
    return {
        "spread of three losses": _finite(max(losses) - min(losses)),
        "training less evaluation": _finite(abs(first - losses[0]) / max(abs(losses[0]), 1.0)),
        "spread of two gradients": _finite(float(np.linalg.norm(after - before)) / length) if length else 0.0,
    }


def _finite(value):
    """0 for NaN: a model that has overflown says the same each time."""
    return float(value) if math.isfinite(value) else 0.0


@instrument(
    "loss at the start",
    2,
    Word(
        "starts far above ln V",
        lambda n: n["loss"] > 1.5 * n["ln V"],
        "logits with a standard deviation of 1 cost half a nat; half of ln V is more for any text",
    ),
    Word("starts far below ln V", lambda n: n["loss"] < 0.8 * n["ln V"], "nothing can be known before training"),
    Word("starts at ln V to the last digit", lambda n: abs(n["loss"] / n["ln V"] - 1.0) < 1e-6, "logits of random weights differ"),
)
def loss_at_the_start(patient):
    """Compare the loss before the first step with ln V, that of a uniform guess."""
    model = patient.begin().model
    losses = [model.forward_backward(*batch) for batch in patient.batches(4)]
    return {"loss": float(np.mean(losses)), "ln V": math.log(model.config.vocab_size)}


@instrument(
    "recompute the loss",
    3,
    Word(
        "not the mean cross-entropy of the logits",
        lambda n: _differ(n["reported"], n["by hand"]),
        "the loss reported is to be the mean cross-entropy, to rounding",
    ),
    Word(
        "it is the sum over all targets",
        lambda n: _differ(n["reported"], n["by hand"]) and not _differ(n["reported"], n["targets"] * n["by hand"]),
        "a sum is the mean times their number",
    ),
    Word(
        "it is that of the last sequence alone",
        lambda n: _meets(n, "of the last sequence"),
        "the same, computed by hand",
    ),
    Word("it is that of a softmax over the positions", lambda n: _meets(n, "over the positions"), "the same, computed by hand"),
    Word("it is that of a second softmax", lambda n: _meets(n, "of a second softmax"), "the same, computed by hand"),
)
def recompute_the_loss(patient):
    """Compute the loss of a training batch by hand, from the logits, and beside it what it would be by usual mistakes."""
    model = patient.copy().model
    tokens, targets = patient.batch
    logits = model.logits(tokens).astype(np.float64)
    if not np.isfinite(logits).all():
        return dict.fromkeys(("reported", "by hand", "of the last sequence", "over the positions", "of a second softmax"), 0.0) | {
            "targets": 1.0
        }
    by_hand = _cross_entropies(logits, targets)
    return {
        "reported": model.forward_backward(tokens, targets),
        "by hand": float(by_hand.mean()),
        "targets": float(targets.size),
        "of the last sequence": float(by_hand[-1].mean()),
        "over the positions": float(_cross_entropies(logits, targets, axis=1).mean()),
        "of a second softmax": float(_cross_entropies(softmax(logits), targets).mean()),
    }


def _cross_entropies(logits, targets, axis=-1):  # (B, T, V), (B, T) -> (B, T)
    """-ln softmax(logits)[target], as a logarithm of a sum: no probability is rounded to 0, however far apart the logits are."""
    shifted = logits - logits.max(axis=axis, keepdims=True)
    chances = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return -np.take_along_axis(chances, targets[..., None], axis=-1)[..., 0]


def _differ(reported, computed):
    return abs(reported - computed) > max(SHARE * abs(computed), ROUNDING)


def _meets(numbers, name):
    """Whether the loss reported is that one, and not what it should be."""
    return _differ(numbers["reported"], numbers["by hand"]) and not _differ(numbers["reported"], numbers[name])
