"""Defects of layers, of the embedding and of positions."""

from dataclasses import replace

import numpy as np
import pytest
from casebook.faults.twins import SMALL, gradients_of, same_again, slope_errors, trainer_of, twins, wrong_tensors
from hypothesis import given
from hypothesis import strategies as st
from oracles import difference_gradient, random_batch

from cllm_lib.casebook.faults.layers import norm_over_time_backward, norm_over_time_forward
from cllm_lib.model.layers import layer_norm_forward

FORWARD = ["no residual connection", "LayerNorm over time", "dropout at evaluation", "positions not added"]
BACKWARD = [
    "LayerNorm backward from another tensor",
    "detached below a layer",
    "lost embedding gradient",
    "repeated words counted once",
]


@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (2, 16)])
@pytest.mark.parametrize("name", FORWARD)
def test_a_wrong_forward_pass_has_its_own_true_gradient(name, shape):
    ill, sound = twins(name, SMALL)
    tokens, _ = batch = random_batch(SMALL.vocab_size, *shape)
    assert max(slope_errors(ill, batch)) < 1e-5
    assert (ill.logits(tokens) != sound.logits(tokens)).any()


@pytest.mark.parametrize("name", BACKWARD)
def test_a_wrong_backward_pass_leaves_the_forward_pass_as_it_was(name):
    ill, sound = twins(name, SMALL)
    tokens, _ = batch = random_batch(SMALL.vocab_size, 3, 9)
    np.testing.assert_array_equal(ill.logits(tokens), sound.logits(tokens))
    assert ill.loss(*batch) == sound.loss(*batch) == ill.forward_backward(*batch)
    assert wrong_tensors(name, SMALL)


def test_which_tensors_get_a_wrong_gradient():
    assert wrong_tensors("lost embedding gradient", SMALL) == wrong_tensors("repeated words counted once", SMALL) == {"embedding"}
    below = wrong_tensors("detached below a layer", SMALL)
    assert {name for name in below if not name.startswith("layers.0.")} == {"embedding", "positions.table"}
    assert {"layers.0.attention.value_weight", "layers.0.feed_forward.expand_weight"} <= below
    norms = wrong_tensors("LayerNorm backward from another tensor", SMALL)
    assert "layers.1.feed_forward_norm.gain" in norms
    assert "layers.1.feed_forward_norm.bias" not in norms  # its gradient needs no statistics


def test_below_the_last_layer_nothing_gets_a_gradient_where_it_is_detached():
    settings = replace(SMALL, tie_embeddings=False)
    gradients = gradients_of(twins("detached below a layer", settings)[0], random_batch(settings.vocab_size, 3, 9))
    for name, gradient in gradients.items():
        assert gradient.any() == (name.startswith("layers.1.") or name == "output_weight"), name


@given(batch=st.integers(1, 3), time=st.integers(1, 5), width=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_norm_over_time_is_the_sound_norm_of_exchanged_axes_with_its_true_gradient(batch, time, width, seed):
    generator = np.random.default_rng(seed)
    x, target = generator.standard_normal((2, batch, time, width))
    gain, bias = generator.standard_normal((2, width))
    y, cache = norm_over_time_forward(x, gain, bias)
    turned, _ = layer_norm_forward(x.swapaxes(1, 2), np.ones(time), np.zeros(time))
    np.testing.assert_allclose(y, turned.swapaxes(1, 2) * gain + bias, rtol=1e-9, atol=1e-9)
    dx, gradients = norm_over_time_backward(target, cache)

    def loss():
        return float((norm_over_time_forward(x, gain, bias)[0] * target).sum())

    for array, gradient in ((gain, gradients["gain"]), (bias, gradients["bias"])):
        np.testing.assert_allclose(gradient, difference_gradient(loss, array), rtol=1e-6, atol=1e-7)
    if time > 2 and np.ptp(x, axis=1).min() > 0.5:  # a spread of nearly 0 bends too much for a difference
        np.testing.assert_allclose(dx, difference_gradient(loss, x), rtol=1e-4, atol=1e-5)


def test_a_norm_over_time_leaks_the_future():
    for model, leaks in zip(twins("LayerNorm over time", SMALL), (True, False), strict=True):
        tokens, _ = random_batch(SMALL.vocab_size, 1, 8)
        other = tokens.copy()
        other[0, -1] = (other[0, -1] + 1) % SMALL.vocab_size
        assert (model.logits(tokens)[0, :-1] != model.logits(other)[0, :-1]).any() == leaks


def test_without_a_residual_connection_a_silent_attention_lets_nothing_through():
    for model, passes in zip(twins("no residual connection", replace(SMALL, positions="none")), (False, True), strict=True):
        for name, array in model.parameters.items():
            if ".attention." in name:
                array[...] = 0.0
        logits = model.logits(np.array([[1, 2, 3]], dtype=np.int64))[0]
        assert (np.ptp(logits, axis=0).max() > 1e-9) == passes


def test_a_tenth_is_dropped_each_time_anew_and_the_mean_is_kept():
    part = trainer_of("dropout at evaluation", SMALL).model.embedding
    table, tokens = np.ones((5, 50)), np.zeros((40, 10), dtype=np.int64)
    first, _ = part.forward(tokens, table)
    second, _ = part.forward(tokens, table)
    assert set(np.unique(first)) == {0.0, 1.0 / 0.9}
    assert np.mean(first == 0.0) == pytest.approx(0.1, abs=0.01)
    assert first.mean() == pytest.approx(1.0, abs=0.01)
    assert (first != second).any()


def test_the_same_batch_has_another_loss_with_dropout():
    ill, sound = twins("dropout at evaluation", SMALL)
    batch = random_batch(SMALL.vocab_size, 3, 9)
    assert len({ill.loss(*batch) for _ in range(3)}) == 3
    assert len({sound.loss(*batch) for _ in range(3)}) == 1
    same_again(ill)
    once = ill.loss(*batch)
    same_again(ill)
    assert ill.loss(*batch) == once


def test_repeated_words_get_the_gradient_of_their_last_place():
    """And on a batch without repeated words nothing is wrong."""
    settings = replace(SMALL, tie_embeddings=False)
    ill, sound = twins("repeated words counted once", settings)
    once = np.arange(12, dtype=np.int64).reshape(2, 6)
    theirs, ours = (gradients_of(model, (once, once + 1))["embedding"] for model in (ill, sound))
    np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-15)
    dx = np.random.default_rng(0).standard_normal((2, 3, 4))
    tokens, out = np.array([[1, 2, 1], [1, 0, 2]], dtype=np.int64), np.zeros((3, 4))
    ill.embedding.backward(dx, (tokens, 3), out)
    np.testing.assert_array_equal(out, [dx[1, 1], dx[1, 0], dx[1, 2]])


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_positions_not_added_is_the_model_without_any(positions):
    ill, _ = twins("positions not added", replace(SMALL, positions=positions))
    without = trainer_of("rate zero", replace(SMALL, positions="none")).model
    without.parameters.update({name: array for name, array in ill.parameters.items() if name != "positions.table"})
    batch = random_batch(SMALL.vocab_size, 2, 9)
    np.testing.assert_array_equal(ill.logits(batch[0]), without.logits(batch[0]))
    gradients = gradients_of(ill, batch)
    if positions == "learned":
        assert not gradients["positions.table"].any()
