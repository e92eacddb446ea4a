"""What the tests of the case files' defects share: small settings, twins with a defect and without, and true slopes."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from oracles import random_batch, spread_out

from cllm_lib.casebook import faults
from cllm_lib.casebook.building import assembled, sound_parts
from cllm_lib.casebook.settings import Settings, draw_settings
from cllm_lib.instruments.gradient_check import central_difference

SMALL = Settings(
    texts=("sayings", "prose"),
    n_words=500,
    vocab_size=40,
    d_model=8,
    n_layers=2,
    n_heads=2,
    dtype="float64",
    positions="learned",
    tie_embeddings=True,
    optimizer="adamw",
    learning_rate=6e-3,
    schedule="warmup",
    clip_norm=1.0,
    batch_size=4,
    steps=30,
    seed=3,
)
PLAIN = {"optimizer": "sgd", "learning_rate": 0.5}  # for defects that moments would divide away


def small(name, **changes):
    """Small settings in which a defect has an effect."""
    settings = replace(SMALL, **changes)
    applies = faults.ALL[name].applies
    return settings if applies(settings) else replace(settings, **PLAIN)


def planted(name, settings):
    """Parts with a defect."""
    return faults.ALL[name].plant(sound_parts(settings), settings)


def trainer_of(name, settings):
    """A training with a defect, before its first step."""
    return assembled(settings, faults.ALL[name].plant)


def run(trainer, steps):
    """The losses of some steps; a defect may overflow."""
    with np.errstate(all="ignore"):
        return list(trainer.run(steps=steps))


def twins(name, settings, size=0.3):
    """The model with a defect and the sound one, both with the same weights, away from their start."""
    ill, sound = trainer_of(name, settings).model, spread_out(assembled(settings).model, size=size)
    ill.parameters.update({tensor: array for tensor, array in sound.parameters.items() if tensor in ill.parameters})
    return ill, sound


def same_again(model):
    """Let a model that draws draw the same once more."""
    if hasattr(model.embedding, "generator"):
        model.embedding.generator = np.random.default_rng(0)


def loss_of(model, batch):
    """The loss of a step."""
    same_again(model)
    return model.loss_and_gradients(*batch)[0]


def slope_errors(model, batch, directions=3):
    """How far the promised slopes of a step's loss are from the measured ones, as shares, along random directions."""
    loss_of(model, batch)  # whoever copies at the first call has copied
    same_again(model)
    model.flat_gradients[...] = 0.0
    model.forward_backward(*batch)
    gradient, errors = model.flat_gradients.copy(), []
    for seed in range(directions):
        direction = np.random.default_rng(seed).standard_normal(gradient.size)
        slope = central_difference(lambda: loss_of(model, batch), model.flat_parameters, 1e-6 * direction) / 2e-6
        errors.append(abs(slope - gradient @ direction) / max(abs(slope), 1e-3))
    return errors


def gradients_of(model, batch):
    """The gradients of a step by name."""
    same_again(model)
    return model.loss_and_gradients(*batch)[1]


def wrong_tensors(name, settings, seed=0):
    """Names of the tensors whose gradient is not the sound model's, on the same weights and a batch with repeated words."""
    ill, sound = twins(name, settings)
    batch = random_batch(settings.vocab_size, 3, 9, seed)
    theirs, ours = gradients_of(ill, batch), gradients_of(sound, batch)
    return {tensor for tensor in ours if not np.allclose(theirs[tensor], ours[tensor], rtol=1e-9, atol=1e-12)}


@lru_cache(maxsize=64)
def _drawn(seed):
    return draw_settings(np.random.default_rng(seed))


def settings_for(name, count, begin=0):
    """The first settings, by seed, in which a defect has an effect."""
    found, seed = [], begin
    while len(found) < count:
        settings = _drawn(seed)
        if faults.ALL[name].applies(settings):
            found.append(settings)
        seed += 1
    return found
