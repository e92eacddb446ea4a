"""Instruments that look at the loss: the same twice, at the start, and computed by hand."""

import math

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument
from cllm_lib.model.layers import softmax


@instrument(
    "repeat",
    2,
    Word("the same batch, other losses", lambda n: n["spread of three losses"] > 0.0, "the same numbers in the same order give the same"),
    Word(
        "another loss in training than in evaluation",
        lambda n: n["training less evaluation"] > 1e-4,
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
        "training less evaluation": _finite(abs(first - losses[0]) / max(abs(losses[0]), 1e-300)),
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
        "small random weights guess nearly uniformly; half as much again is none",
    ),
    Word("starts far below ln V", lambda n: n["loss"] < 0.8 * n["ln V"], "nothing can be known before training"),
    Word("starts at ln V to the last digit", lambda n: abs(n["loss"] / n["ln V"] - 1.0) < 1e-6, "random weights scatter"),
)
def loss_at_the_start(patient):
    """Compare the loss before the first step with ln V, that of a uniform guess."""
    model = patient.begun.model
    losses = [model.forward_backward(*batch) for batch in patient.batches(4)]
    return {"loss": float(np.mean(losses)), "ln V": math.log(model.config.vocab_size)}


@instrument(
    "recompute the loss",
    3,
    Word(
        "not the mean cross-entropy of the logits",
        lambda n: abs(n["reported"] - n["by hand"]) > 1e-3 * abs(n["by hand"]),
        "the loss reported is to be the mean cross-entropy, to rounding",
    ),
    Word(
        "it is the sum over all targets",
        lambda n: n["by hand"] > 0.0 and abs(n["reported"] / n["by hand"] - n["targets"]) < 1e-3 * n["targets"],
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
    by_hand = _cross_entropies(softmax(logits), targets)
    return {
        "reported": model.forward_backward(tokens, targets),
        "by hand": float(by_hand.mean()),
        "targets": float(targets.size),
        "of the last sequence": float(by_hand[-1].mean()),
        "over the positions": float(_cross_entropies(softmax(logits, axis=1), targets).mean()),
        "of a second softmax": float(_cross_entropies(softmax(softmax(logits)), targets).mean()),
    }


def _cross_entropies(probabilities, targets):
    return -np.log(np.maximum(np.take_along_axis(probabilities, targets[..., None], axis=-1)[..., 0], 1e-300))


def _meets(numbers, name):
    """Whether the loss reported is that one, and not what it should be."""
    off = abs(numbers["reported"] - numbers["by hand"]) > 1e-3 * abs(numbers["by hand"])
    return off and abs(numbers["reported"] - numbers[name]) < 1e-3 * abs(numbers[name])
