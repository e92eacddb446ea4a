"""The model that speaks is not the one that was trained: one assertion shows it, and the sound model passes."""

import numpy as np
import pytest
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.instruments.gradient_check import central_difference
from cllm_lib.model.generation import generate, keep_top_k

CONFIG = CLLMConfig(vocab_size=30, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=6)
ALL_BUT_POSITIONS = [name for name in defects.DIFFERENCES if name != "positions"]
SUBSETS = [[], *([name] for name in ALL_BUT_POSITIONS), ["norm first", "no residual"], ["ReLU", "no attention"], ALL_BUT_POSITIONS]


def trained():
    return spread_out(CLLM(CONFIG), size=0.4)


@pytest.mark.parametrize("name", defects.DIFFERENCES)
def test_each_difference_alone_changes_the_logits_and_no_weight(name):
    model, (tokens, _) = trained(), random_batch(30, 2, 6)
    twin = defects.inference_model(model, name)
    np.testing.assert_array_equal(twin.flat_parameters, model.flat_parameters)
    assert not np.shares_memory(twin.flat_parameters, model.flat_parameters)
    assert np.abs(twin.logits(tokens) - model.logits(tokens)).max() > 0.05  # exposure


def test_without_any_difference_the_logits_are_those_of_the_trained_model():
    model, (tokens, _) = trained(), random_batch(30, 2, 6)
    np.testing.assert_allclose(defects.inference_model(model, ()).logits(tokens), model.logits(tokens), atol=1e-12)


def test_all_five_by_default_and_an_unknown_one_is_named():
    model, (tokens, _) = trained(), random_batch(30, 2, 6)
    np.testing.assert_array_equal(
        defects.inference_model(model).logits(tokens), defects.inference_model(model, defects.DIFFERENCES).logits(tokens)
    )
    with pytest.raises(ValueError, match="GELU"):
        defects.inference_model(model, {"ReLU", "GELU"})


@pytest.mark.parametrize("untied", [False, True])
def test_the_twin_has_the_config_of_the_model(untied):
    config = CLLMConfig(30, d_model=10, n_heads=2, d_ff=7, seq_len=5, tie_embeddings=not untied, dtype="float32")
    twin = defects.inference_model(CLLM(config))
    assert twin.config == config
    assert twin.logits([[1, 2, 3]]).dtype == np.float32


@pytest.mark.parametrize("differences", SUBSETS, ids=lambda names: "+".join(names) or "none")
def test_its_backward_pass_is_true_to_its_forward_pass(differences):
    model = defects.inference_model(trained(), differences)
    tokens, targets = random_batch(30, 2, 6)
    model.forward_backward(tokens, targets)
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(model.flat_parameters.size)
        slope = central_difference(lambda: model.loss(tokens, targets), model.flat_parameters, 1e-6 * direction) / 2e-6
        assert slope == pytest.approx(model.flat_gradients @ direction, rel=1e-5)


def test_each_difference_does_what_it_says():
    """Against the layer written out in one line for each difference."""
    from cllm_lib.model.layers import layer_norm_forward

    generator = np.random.default_rng(2)
    x, model = generator.standard_normal((1, 4, 12)), trained()
    parameters = model.layer_parameters(0)

    def layer(*names):
        return defects.LayerAtInference(names).forward(x, parameters, CONFIG)[0]

    def norm(name, x):
        return layer_norm_forward(x, **parameters[name])[0]

    def feed(x, act):
        p = parameters["feed_forward"]
        return act(x @ p["expand_weight"] + p["expand_bias"]) @ p["contract_weight"] + p["contract_bias"]

    attended = model.layer.attention.forward(x, parameters["attention"], CONFIG)[0]
    first = norm("attention_norm", x + attended)
    np.testing.assert_allclose(layer(), norm("feed_forward_norm", first + feed(first, np.tanh)))
    np.testing.assert_allclose(layer("ReLU"), norm("feed_forward_norm", first + feed(first, lambda z: np.maximum(z, 0))))
    blind = norm("attention_norm", x + x)
    np.testing.assert_allclose(layer("no attention"), norm("feed_forward_norm", blind + feed(blind, np.tanh)))
    alone = norm("attention_norm", attended)
    np.testing.assert_allclose(layer("no residual"), norm("feed_forward_norm", feed(alone, np.tanh)))
    before = x + model.layer.attention.forward(norm("attention_norm", x), parameters["attention"], CONFIG)[0]
    np.testing.assert_allclose(layer("norm first"), before + feed(norm("feed_forward_norm", before), np.tanh))


def test_positions_are_rows_of_length_1_that_differ():
    table = np.zeros((3, 12))
    rows, _ = defects.inference.PositionsAdded().forward(np.array([[0, 1, 2, 0]], dtype=np.int64), table)
    np.testing.assert_allclose(np.linalg.norm(rows[0], axis=1), 1.0)
    assert len(np.unique(rows[0].round(6), axis=0)) == 4


def test_a_well_trained_model_speaks_nonsense_through_it():
    """The symptom: no training loss shows it."""
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), d_model=48, n_layers=2, n_heads=4, d_ff=96, tie_embeddings=False)
    trainer = Trainer(CLLM(config, seed=0), corpus, learning_rate=5e-3)
    assert trainer.fit(epochs=25).epoch_losses[-1] < 0.8
    prompt = corpus.encode("the sky is")
    assert corpus.decode(generate(trainer.model, prompt, 2, temperature=0)) == "the sky is blue because"
    twin = defects.inference_model(trainer.model)
    assert "because" not in corpus.decode(generate(twin, prompt, 6, temperature=0))
    inputs, targets = next(corpus.batches(4, 32, np.random.default_rng(0)))
    assert twin.loss(inputs, targets) > trainer.model.loss(inputs, targets) + 2.0


def test_the_first_k_are_kept_whatever_they_are():
    probabilities = np.array([0.1, 0.05, 0.6, 0.25])
    np.testing.assert_allclose(defects.keep_first_k(probabilities, 2), [2 / 3, 1 / 3, 0, 0])
    np.testing.assert_allclose(keep_top_k(probabilities, 2), [0, 0, 0.6 / 0.85, 0.25 / 0.85])  # the sound one
    for k in (None, 4, 9):
        np.testing.assert_array_equal(defects.keep_first_k(probabilities, k), probabilities)
    np.testing.assert_array_equal(probabilities, [0.1, 0.05, 0.6, 0.25])
