"""Faulty layers and embeddings: symptom, exposure, and the sound part passes the same exposure."""

import numpy as np
from defects.exhibits import CONFIG, both, gradient_error
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus


def test_no_residual_lets_nothing_through_once_attention_is_silent():
    for model, passes in zip(both("no residual"), (False, True), strict=True):
        for name, array in model.parameters.items():
            if "value" in name:
                array[...] = 0.0
        logits = model.logits(random_batch(40, 3, 8)[0])
        assert (np.ptp(logits, axis=(0, 1)).max() > 1e-6) == passes


def test_no_residual_learns_worse(tmp_path):
    """Its symptom, on the bigram task the residual path alone would solve."""
    corpus = load_corpus("sayings", vocab_size=40)
    loss = {}
    for name, model in zip(("patient", "healthy"), (defects.ALL["no residual"].patient(CONFIG), CLLM(CONFIG)), strict=True):
        loss[name] = Trainer(model, corpus, learning_rate=1e-2).fit(5).epoch_losses[-1]
    assert loss["patient"] > loss["healthy"] + 0.1


def test_layer_norm_from_the_wrong_tensor():
    patient, healthy = both("LayerNorm from the wrong tensor")
    for name in ("layers.1.feed_forward_norm.gain", "layers.1.feed_forward.expand_weight", "embedding"):
        assert gradient_error(patient, name, seed=1) > 0.1
        assert gradient_error(healthy, name, seed=1) < 1e-6


def test_layer_norm_from_the_wrong_tensor_scales_the_gradient_by_a_ratio_of_spreads():
    """Its symptom, and where it comes from: layer by layer, 1 / spread of attention's output for 1 / spread of x + it."""
    exhibit = defects.ALL["LayerNorm from the wrong tensor"]
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=4, n_heads=2, d_ff=24, seq_len=8)
    sizes = []
    for model in (exhibit.patient(config), exhibit.healthy(config)):
        _, gradients = model.loss_and_gradients(*random_batch(40, 3, 8))
        sizes.append([np.linalg.norm(gradients[f"layers.{i}.feed_forward.expand_weight"]) for i in reversed(range(4))])
    growth = np.divide(*sizes)
    assert (np.diff(growth) > 0).all()  # further from the truth with every layer downwards
    assert growth[-1] > 10


def test_lost_embedding_gradient():
    patient, healthy = (spread_out(CLLM(CONFIG, embedding=part)) for part in (defects.LostEmbeddingGradient(), None))
    assert gradient_error(patient, "embedding") > 0.1
    assert gradient_error(healthy, "embedding") < 1e-6


def test_layer_of_the_half_repair_has_a_wrong_backward_pass():
    patient = spread_out(CLLM(CONFIG, layer=defects.LayerOfTheHalfRepair()))
    assert gradient_error(patient, "layers.0.feed_forward.expand_weight") > 0.1
    assert gradient_error(spread_out(CLLM(CONFIG)), "layers.0.feed_forward.expand_weight") < 1e-6
