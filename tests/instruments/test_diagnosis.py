import re

import numpy as np
import pytest
from oracles import random_batch

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.instruments.diagnosis import diagnose, examine, movements
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.training.optimizers import SGD

CONFIG = CLLMConfig(vocab_size=60, d_model=16, n_layers=2, n_heads=2, d_ff=24, seq_len=8)


@pytest.fixture(scope="module")
def batch():
    generator = np.random.default_rng(0)
    return generator.integers(60, size=(4, 8)), generator.integers(60, size=(4, 8))


class MissingBackward(CausalSelfAttention):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {name: np.zeros_like(gradient) for name, gradient in gradients.items()}


class UnusedProjection(CausalSelfAttention):
    def parameter_shapes(self, config):
        return super().parameter_shapes(config) | {"spare_weight": (3, 3)}

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, gradients | {"spare_weight": np.zeros((3, 3))}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "Nothing wrong"),
        ({"attention": defects.SimplifiedAttention()}, "Nothing wrong"),  # a weaker model, and rightly differentiated
        ({"init": "zeros"}, "Every weight is exactly zero: the initialisation"),
        ({"init": defects.SilentZeroInit()}, "Every weight is exactly zero: the initialisation"),
        ({"init": defects.EmbeddingsOnlyInit()}, r"Exactly zero: layers.0.attention.query_weight.*and 9 more"),
        ({"attention": MissingBackward()}, r"The loss responds to layers.0.attention.query_weight.*backward pass forgets"),
        ({"attention": defects.OuterProductAttention()}, "The loss does not follow the gradient of .*query_weight.*backward pass"),
        ({"embedding": defects.LostEmbeddingGradient()}, "The loss does not follow the gradient of embedding"),
        ({"attention": UnusedProjection()}, "depends on nothing in layers.0.attention.spare_weight"),
    ],
)
def test_the_verdict_names_the_suspect(dtype, parts, words, batch, capsys):
    config = CLLMConfig(vocab_size=60, d_model=16, n_layers=2, n_heads=2, d_ff=24, seq_len=8, dtype=dtype)
    report = diagnose(CLLM(config, seed=0, **parts), *batch)
    assert capsys.readouterr().out == f"{report}\n"

    assert re.search(words, report.verdict), report.verdict


def test_gains_of_zero_are_found_too(batch):
    model = CLLM(CONFIG, seed=0)
    model.parameters["layers.1.feed_forward_norm.gain"][:] = 0.0
    assert diagnose(model, *batch).verdict.startswith("Exactly zero: layers.1.feed_forward_norm.gain.")


def test_gradients_above_one_are_for_clipping(batch):
    model = CLLM(CLLMConfig(vocab_size=60, d_model=16, n_heads=2, n_layers=1, seq_len=8, tie_embeddings=False), seed=0)
    model.parameters["output_weight"] *= 50
    report = diagnose(model, *batch)
    assert "document 002 would clip" in report.advice
    assert report.verdict.startswith("The loss is 121.55, far above ln V = 4.09")  # and so it is; of the code nothing is said
    assert not report.accuses
    assert str(report).endswith(f"advice:  {report.advice}")


@pytest.mark.parametrize("text", ["sayings", "patterns"])
def test_a_float32_model_that_was_trained_is_healthy(text):
    """The slope at a key's bias is 0, and float32 leaves rounding there: no fault of the backward pass."""
    corpus = load_corpus(text)
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=64, n_heads=4, d_ff=256, dtype="float32", tie_embeddings=False), seed=0)
    trainer = Trainer(model, corpus, learning_rate=3e-3)
    for _ in range(4):
        trainer.fit(steps=75)
        report = examine(model, *next(corpus.batches(4, 32, np.random.default_rng(0))))
        assert report.is_healthy, report.verdict


def test_tiny_gradients_are_for_a_higher_rate(batch):
    model = CLLM(CLLMConfig(vocab_size=60, d_model=16, n_heads=2, n_layers=1, seq_len=8, tie_embeddings=False), seed=0)
    model.parameters["layers.0.feed_forward_norm.gain"][:] = 1e-9
    model.parameters["output_weight"] *= 1e-9
    report = diagnose(model, *batch)
    assert "below 1e-06: document 002 would raise the learning rate" in report.advice
    assert report.is_healthy


def test_numbers_that_are_none_are_named_with_their_tensor(batch):
    model = CLLM(CONFIG, seed=0)
    model.parameters["layers.1.feed_forward.expand_weight"][0, 0] = np.nan
    assert "NaN or infinite numbers in" in diagnose(model, *batch).verdict


def test_measurements_are_what_they_say(batch):
    model = CLLM(CONFIG, seed=0)
    loss, gradients = model.loss_and_gradients(*batch)
    report = diagnose(model, *batch, learning_rate=0.5)
    assert report.loss == loss
    assert [t.name for t in report.tensors] == list(model.parameters)
    for tensor in report.tensors:
        size = np.abs(gradients[tensor.name])
        assert tensor.size == size.size
        assert tensor.weight == np.abs(model.parameters[tensor.name]).mean()
        assert (tensor.gradient_max, tensor.gradient_mean) == (size.max(), size.mean())
        assert tensor.gradient_count == (size > 1e-10).sum()
        assert tensor.update == 0.5 * size.mean()
        if tensor.responds:
            assert tensor.measured == pytest.approx(np.linalg.norm(gradients[tensor.name]), rel=1e-5)


def test_the_model_is_left_as_it_was(batch):
    model = CLLM(CONFIG, seed=0)
    before = model.flat_parameters.copy()
    diagnose(model, *batch)
    np.testing.assert_array_equal(model.flat_parameters, before)


def test_a_bad_rate_gets_a_clear_error(batch):
    with pytest.raises(ValueError, match="learning_rate is nan"):
        diagnose(CLLM(CONFIG), *batch, learning_rate=float("nan"))


def test_movements_measure_each_part_of_the_step_just_taken():
    config = CLLMConfig(11, d_model=8, n_layers=2, n_heads=2, d_ff=6, seq_len=5, tie_embeddings=False, positions="learned")
    model = CLLM(config, seed=1)
    before = model.flat_parameters.copy()
    model.forward_backward(*random_batch(11, 2, 5))
    SGD(0.1).step(model.flat_parameters, model.flat_gradients)
    found = {movement.part: movement for movement in movements(model, before)}
    assert list(found) == ["embedding", "layer 0", "layer 1", "output"]
    for part, prefixes in (("embedding", ("embedding", "positions")), ("layer 1", ("layers.1",)), ("output", ("output",))):
        gradient = np.concatenate([array.ravel() for name, array in model.gradients.items() if name.startswith(prefixes)])
        weights = np.concatenate([array.ravel() for name, array in model.parameters.items() if name.startswith(prefixes)])
        assert found[part].gradient_norm == pytest.approx(np.linalg.norm(gradient))
        assert found[part].update_ratio == pytest.approx(0.1 * np.linalg.norm(gradient) / np.linalg.norm(weights + 0.1 * gradient))


def test_weights_of_zero_have_no_ratio():
    model = CLLM(CLLMConfig(11, d_model=8, n_heads=2, d_ff=6), init="zeros")
    model.forward_backward(*random_batch(11, 2, 5))
    found = movements(model, model.flat_parameters.copy())
    assert {movement.gradient_norm for movement in found} == {0.0}
    assert all(np.isnan(movement.update_ratio) for movement in found)


@pytest.mark.parametrize("others", [dict(norm="rms", feed_forward="swiglu", n_kv_heads=1, positions="rotary"), dict(feed_forward="gelu")])
def test_a_sound_model_of_todays_layers_is_healthy_and_its_last_norm_has_a_name(others, batch):
    model = CLLM(CLLMConfig(60, d_model=16, n_layers=2, n_heads=4, d_ff=24, seq_len=8, norm_first=True, **others), seed=0)
    found = examine(model, *batch)
    assert found.is_healthy, found.verdict
    before = model.flat_parameters.copy()
    model.forward_backward(*batch)
    model.flat_parameters -= 0.01 * model.flat_gradients
    assert [one.part for one in movements(model, before)] == ["embedding", "layer 0", "layer 1", "final norm"]
