"""Weights that start at zero, all or most: symptom, exposure, and the sound start passes the same exposure."""

import numpy as np
import pytest
from defects.exhibits import CONFIG, largest_weight
from oracles import random_batch

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus


def test_silent_zero_initialisation():
    patient, healthy = CLLM(CONFIG, init=defects.SilentZeroInit()), CLLM(CONFIG)
    loss, gradients = patient.loss_and_gradients(*random_batch(40, 3, 8))
    assert loss == pytest.approx(np.log(40), abs=1e-12)  # symptom
    assert all((gradient == 0).all() for gradient in gradients.values())
    assert largest_weight(patient) == 0.0  # exposure
    assert largest_weight(healthy) > 0.0


def test_filling_the_missing_block_would_not_have_helped():
    block = np.zeros(100)
    patient = CLLM(CONFIG, init=defects.SilentZeroInit(weight_block=block))
    assert block.any()
    assert largest_weight(patient) == 0.0


def test_half_repair_moves_once_and_is_lost():
    config = CLLMConfig(vocab_size=2_000, d_model=64, n_layers=6, n_heads=4, d_ff=128, dtype="float32")
    with np.errstate(all="ignore"):
        losses = (
            Trainer(defects.half_repaired(config), load_corpus("sayings"), optimizer="sgd", stop_when_not_finite=False).fit(epochs=1).losses
        )
    assert losses[0] == pytest.approx(np.log(2_000), abs=1e-5)
    assert losses[0] != losses[1]
    assert np.isnan(losses[-1])


def test_half_repair_is_exposed_by_the_variance_that_enters_each_norm():
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=6, n_heads=2, d_ff=24)
    model = defects.half_repaired(config)
    tokens, targets = random_batch(40, 3, 8)
    x = model.parameters["embedding"][tokens]
    for i in range(6):
        x, (_, attended, _, _) = model.layer.forward(x, model.layer_parameters(i), config)
        assert attended.var() == 0.0
    _, gradients = model.loss_and_gradients(tokens, targets)
    sizes = [np.abs(gradients[f"layers.{i}.feed_forward_norm.bias"]).max() for i in range(6)]
    growth = np.array(sizes[:-1]) / sizes[1:]
    np.testing.assert_allclose(growth, 1e-5**-0.5, rtol=0.2)
    healthy_variance = CLLM(config).parameters["embedding"][tokens].var()
    assert healthy_variance > 0.0
