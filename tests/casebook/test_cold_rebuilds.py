"""The parts that cold cases are rebuilt of do what they say, measured on models of other sizes and by other means."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.casebook.building import assembled, sound_parts
from cllm_lib.casebook.cold_rebuilds import (
    OURS,
    Rebuild,
    SeveredSoftmax,
    ShrunkLogits,
    empty_frozen_output,
    every_layer_zero,
    last_layer_zero,
    warm_up_by_epoch,
)
from cllm_lib.casebook.settings import SEQ_LEN, WARM_UP
from cllm_lib.model.layers import softmax

CONFIG = CLLMConfig(vocab_size=20, d_model=8, n_layers=2, n_heads=2, d_ff=12, seq_len=6, dtype="float64")
UNTIED = replace(OURS, tie_embeddings=False)


def test_the_severed_softmax_returns_what_the_sound_attention_does_and_keeps_the_values_gradient():
    batch = random_batch(20, 3, 6)
    severed, sound = (spread_out(CLLM(CONFIG, **part)) for part in ({"attention": SeveredSoftmax()}, {}))
    np.testing.assert_array_equal(severed.logits(batch[0]), sound.logits(batch[0]))
    (_, cut), (_, whole) = (model.loss_and_gradients(*batch) for model in (severed, sound))
    for name, gradient in cut.items():
        if ".query_" in name or ".key_" in name:
            assert not gradient.any(), name
        elif name.startswith("layers.1.") or name == "output_weight":  # nothing above them is cut but what they never needed
            np.testing.assert_allclose(gradient, whole[name], atol=1e-15)
    assert not np.allclose(cut["embedding"], whole["embedding"])  # below, gradients lack what came through the softmax


@profile(max_examples=profile().max_examples // 2)
@given(st.integers(0, 2**31), st.integers(2, 9), st.floats(0.1, 1e6))
def test_a_loss_of_shrunk_logits_is_that_of_a_millionth_of_them_and_its_gradient_is_true(seed, vocab_size, size):
    generator, part = np.random.default_rng(seed), ShrunkLogits()
    logits, targets = size * generator.standard_normal((2, 3, vocab_size)), generator.integers(0, vocab_size, (2, 3))
    loss, cache = part.forward(logits, targets)
    probabilities = softmax(logits / 1e6)
    chosen = np.take_along_axis(probabilities, targets[..., None], axis=-1)
    np.testing.assert_allclose(loss, -np.log(chosen).mean(), rtol=1e-12)
    one_hot = np.eye(vocab_size)[targets]
    np.testing.assert_allclose(part.backward(cache), (probabilities - one_hot) / targets.size / 1e6, atol=1e-18)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_a_warm_up_by_epoch_rises_once_an_epoch_from_0(batch_size):
    settings = replace(OURS, n_words=700, batch_size=batch_size, schedule="warmup")
    trainer = assembled(settings, warm_up_by_epoch)
    every = len(list(settings.corpus().batches(batch_size, SEQ_LEN, np.random.default_rng(0))))
    trainer.fit(steps=2 * every + 1)
    rates = np.array(trainer.history.learning_rates) / settings.learning_rate
    np.testing.assert_allclose(rates, np.repeat([0, 1, 2], every)[: 2 * every + 1] / WARM_UP)


def test_the_sound_trainer_refuses_a_schedule_that_never_leaves_0():
    plant = lambda parts, settings: replace(parts, schedule=warm_up_by_epoch(parts, settings).schedule)  # noqa: E731
    trainer = assembled(replace(OURS, n_words=2_000), plant)
    with pytest.raises(ValueError, match="at a learning rate of 0 no weight moves"):
        trainer.fit(steps=trainer.batches_per_epoch - 1)


@pytest.mark.parametrize(
    ("plant", "kinds"), [(every_layer_zero, {"expand_weight", "contract_weight"}), (last_layer_zero, {"contract_weight"})]
)
def test_only_the_named_layers_of_the_branch_are_0(plant, kinds):
    settings = replace(OURS, n_layers=2)
    parts, sound = (assembled(settings, part).model.parameters for part in (plant, None))
    for name, array in parts.items():
        if name.rsplit(".", 1)[-1] in kinds:
            assert not array.any(), name
        else:
            np.testing.assert_array_equal(array, sound[name])


def test_the_output_is_empty_and_kept_out_of_the_optimizer_while_its_gradient_is_there():
    trainer = assembled(UNTIED, empty_frozen_output)
    trainer.fit(steps=3)
    assert not trainer.model.parameters["output_weight"].any()
    assert trainer.model.gradients["output_weight"].any()
    trainer.model.parameters["output_weight"][...] = 0.1 * np.random.default_rng(0).standard_normal((OURS.d_model, OURS.vocab_size))
    before = {name: array.copy() for name, array in trainer.model.parameters.items()}
    trainer.fit(steps=1)  # with numbers in it, all else learns: the output alone is frozen
    moved = {name for name, array in trainer.model.parameters.items() if not np.array_equal(array, before[name])}
    assert {name for name in before if name.endswith("weight")} - moved == {"output_weight"}


def test_a_tied_model_has_no_output_of_its_own_to_be_left_empty():
    with pytest.raises(ValueError, match="no matrix of its own: give tie_embeddings=False"):
        assembled(OURS, empty_frozen_output)


def test_a_rebuild_without_a_plant_is_the_sound_training():
    rebuild, sound = Rebuild(OURS), assembled(OURS)
    sound.fit(steps=5)
    assert rebuild.losses[:5] == sound.history.losses
    assert len(rebuild.losses) == OURS.steps
    assert sound_parts(OURS).seams == {}
