"""What the tests of the museum share: one small configuration, and how wrong a gradient is."""

import numpy as np
from oracles import random_batch, spread_out

from cllm_lib import CLLMConfig, defects

CONFIG = CLLMConfig(vocab_size=40, d_model=16, n_layers=2, n_heads=2, d_ff=24, seq_len=8)


def largest_weight(model):
    return np.abs(model.flat_parameters).max()


def gradient_error(model, name, seed=0):
    """Relative gap between the promised and the measured slope along a random direction in one tensor."""
    tokens, targets = random_batch(model.config.vocab_size, 3, 8, seed)
    _, gradients = model.loss_and_gradients(tokens, targets)
    direction = np.random.default_rng(seed).standard_normal(gradients[name].shape)
    array, before, values = model.parameters[name], model.parameters[name].copy(), []
    for sign in (1, -1):
        array[...] = before + sign * 1e-5 * direction
        values.append(model.loss(tokens, targets))
    array[...] = before
    measured, promised = (values[0] - values[1]) / 2e-5, float((gradients[name] * direction).sum())
    return abs(measured - promised) / max(abs(measured), abs(promised))


def both(name, config=CONFIG, size=0.4):
    """The patient and the healthy model, both moved away from their start."""
    exhibit = defects.ALL[name]
    return [spread_out(model, size=size) for model in (exhibit.patient(config), exhibit.healthy(config))]


def differing(sound, wrong):
    """Names of the gradients in which two models differ by more than rounding, on a batch with words that occur twice."""
    tokens, targets = np.array([[1, 2, 1, 3], [1, 4, 0, 2]], dtype=np.int64), np.array([[2, 1, 3, 4], [4, 0, 2, 2]], dtype=np.int64)
    true, other = (model.loss_and_gradients(tokens, targets)[1] for model in (sound, wrong))
    return {name for name in true if not np.allclose(true[name], other[name], rtol=1e-9, atol=1e-12)}
