"""The case itself, at its own vocabulary, batch and number of epochs."""

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("attention", [None, defects.SimplifiedAttention()], ids=["real", "simplified"])
def test_all_zero_stands_at_9_2103_for_twenty_epochs(corpus, dtype, optimizer, attention):
    """Narrow, because the output's 10,000 columns make the time; the width plays no part at zero."""
    config = CLLMConfig(vocab_size=10_000, d_model=8, n_layers=2, n_heads=4, d_ff=16, dtype=dtype)
    model = CLLM(config, init="zeros", attention=attention)
    trainer = Trainer(model, corpus, optimizer=optimizer)
    largest = 0.0
    for _ in range(20):
        losses = trainer.fit(epochs=1).losses
        largest = max(largest, float(np.abs(model.flat_gradients).max()))
    assert len(losses) == 180
    assert {f"{loss:.4f}" for loss in losses} == {"9.2103"}
    assert f"{np.log(10_000):.4f}" == "9.2103"
    assert largest == 0.0
    assert not model.flat_parameters.any()


def test_a_zero_embedding_is_enough():
    """Attention, feed-forward and gains may be what they like."""
    config = CLLMConfig(vocab_size=50, d_model=8, n_heads=2, d_ff=8, seq_len=4)
    model = CLLM(config, seed=0)
    model.parameters["embedding"][...] = 0.0
    loss, gradients = model.loss_and_gradients([[1, 2, 3]], [[2, 3, 4]])
    assert loss == pytest.approx(np.log(50), abs=1e-12)
    assert all((gradient == 0).all() for gradient in gradients.values())


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_healthy_model_falls(corpus, seed):
    config = CLLMConfig(vocab_size=10_000, d_model=128, n_layers=2, n_heads=4, d_ff=512, seq_len=32, dtype="float32")
    epochs = Trainer(CLLM(config, seed=seed), corpus, learning_rate=1e-3, seed=seed).fit(epochs=20).epoch_losses
    assert epochs[9] < 6.0
    assert epochs[19] < 2.5
