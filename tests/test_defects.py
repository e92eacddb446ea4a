"""Every exhibit shows its symptom, its exposure exposes it, and the sound part passes the same exposure."""

import numpy as np
import pytest
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus

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


def test_simplified_attention():
    tokens, _ = random_batch(40, 3, 8)
    changed = tokens.copy()
    changed[:, 0] = (changed[:, 0] + 1) % 40
    blind, seeing = (spread_out(CLLM(CONFIG, attention=part)) for part in (defects.SimplifiedAttention(), None))
    np.testing.assert_array_equal(blind.logits(tokens)[:, 1:], blind.logits(changed)[:, 1:])
    assert np.abs(seeing.logits(tokens)[:, 1:] - seeing.logits(changed)[:, 1:]).max() > 1e-3


def test_simplified_attention_cannot_pass_the_bigram_entropy(tmp_path):
    """Its symptom, on a text small enough to be learnt to the floor: next words that depend on the one before last."""
    (tmp_path / "t.txt").write_text("a x b a y c " * 40, encoding="utf-8")
    corpus = load_corpus(tmp_path / "t.txt")
    reached = {}
    for name, part in (("simplified", defects.SimplifiedAttention()), ("sound", None)):
        model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16, seq_len=12), attention=part)
        reached[name] = Trainer(model, corpus, learning_rate=1e-2).fit(epochs=60).epoch_losses[-1]
    floor = corpus.bigram_entropy(12)
    assert floor - 1e-9 < reached["simplified"] < floor + 0.1
    assert reached["sound"] < floor - 0.1


def test_its_own_backward_pass_is_right():
    model = spread_out(CLLM(CONFIG, attention=defects.SimplifiedAttention()))
    assert gradient_error(model, "embedding") < 1e-6


def test_outer_product_backward():
    name = "layers.1.attention.query_weight"
    patient, healthy = (spread_out(CLLM(CONFIG, attention=part)) for part in (defects.OuterProductAttention(), None))
    _, gradients = patient.loss_and_gradients(*random_batch(40, 3, 8))
    np.testing.assert_array_equal(gradients[name], gradients["layers.1.attention.value_weight"])  # what it is
    assert gradient_error(patient, name) > 0.1
    assert gradient_error(healthy, name) < 1e-6


def test_lost_embedding_gradient():
    patient, healthy = (spread_out(CLLM(CONFIG, embedding=part)) for part in (defects.LostEmbeddingGradient(), None))
    assert gradient_error(patient, "embedding") > 0.1
    assert gradient_error(healthy, "embedding") < 1e-6


def test_half_repair_moves_once_and_is_lost():
    config = CLLMConfig(vocab_size=2_000, d_model=64, n_layers=6, n_heads=4, d_ff=128, dtype="float32")
    with np.errstate(all="ignore"):
        losses = Trainer(defects.half_repaired(config), load_corpus("sayings"), optimizer="sgd").fit(epochs=1).losses
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


def test_layer_of_the_half_repair_has_a_wrong_backward_pass():
    patient = spread_out(CLLM(CONFIG, layer=defects.LayerOfTheHalfRepair()))
    assert gradient_error(patient, "layers.0.feed_forward.expand_weight") > 0.1
    assert gradient_error(spread_out(CLLM(CONFIG)), "layers.0.feed_forward.expand_weight") < 1e-6


@pytest.mark.parametrize("name", defects.ALL)
def test_the_catalogue_is_complete_and_every_part_fits_its_seam(name):
    exhibit = defects.ALL[name]
    assert exhibit.symptom.endswith(".")
    assert exhibit.exposure.endswith(".")
    for part in (exhibit.part(), exhibit.sound()):
        loss = CLLM(CONFIG, **{exhibit.seam: part}).loss_and_gradients(*random_batch(40, 2, 8))[0]
        assert np.isfinite(loss)
