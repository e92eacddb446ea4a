"""Defects of the initial weights: what stands in each tensor, and what training can never change."""

from dataclasses import replace

import numpy as np
import pytest
from casebook.faults.twins import SMALL, run, trainer_of
from oracles import random_batch

from cllm_lib.casebook.building import assembled
from cllm_lib.model.taps import activations

NAMES = [
    "zero initialisation",
    "only embeddings initialised",
    "constant initialisation",
    "unscaled initialisation",
    "dead units",
    "saturated units",
]
pytestmark = pytest.mark.filterwarnings("ignore:the warm-up takes")


def weights_of(name, settings=SMALL):
    return trainer_of(name, settings).model.parameters


def inner(parameters):
    """The matrices of the layers."""
    return {name: array for name, array in parameters.items() if array.ndim == 2 and name.startswith("layers.")}


@pytest.mark.parametrize("name", NAMES)
def test_only_the_start_differs_and_gradients_are_true(name):
    """On the same weights the model is the sound one."""
    ill, sound = trainer_of(name, SMALL).model, assembled(SMALL).model
    ill.flat_parameters[...] = sound.flat_parameters
    batch = random_batch(SMALL.vocab_size, 2, 7)
    assert ill.forward_backward(*batch) == sound.forward_backward(*batch)
    np.testing.assert_array_equal(ill.flat_gradients, sound.flat_gradients)


@pytest.mark.parametrize("tied", [True, False])
def test_zeros_stay_zeros(tied):
    settings = replace(SMALL, tie_embeddings=tied)
    trainer = trainer_of("zero initialisation", settings)
    losses = run(trainer, 25)
    assert not trainer.model.flat_parameters.any()
    np.testing.assert_allclose(losses, np.log(SMALL.vocab_size), rtol=1e-12)


def test_only_embeddings_leave_every_matrix_at_zero_for_ever():
    trainer = trainer_of("only embeddings initialised", SMALL)
    losses = run(trainer, 25)
    assert losses[-1] < losses[0]
    assert trainer.model.parameters["embedding"].all()
    assert all(not array.any() for array in inner(trainer.model.parameters).values())


def test_constant_columns_stay_alike():
    trainer = trainer_of("constant initialisation", SMALL)
    for name, array in inner(trainer.model.parameters).items():
        assert np.unique(array).tolist() == [1.0 / len(array)], name
    run(trainer, 25)
    units = activations(trainer.model, random_batch(SMALL.vocab_size, 2, 9)[0]).units
    for layer in units:
        np.testing.assert_allclose(np.ptp(layer, axis=-1), 0.0, atol=1e-9)
        assert np.ptp(layer) > 0.0


def test_unscaled_matrices_have_a_standard_deviation_of_one_whatever_their_size():
    for width in (16, 32):
        for name, array in weights_of("unscaled initialisation", replace(SMALL, d_model=width)).items():
            if array.ndim == 2:
                assert array.std() == pytest.approx(1.0, abs=0.2), name
            else:
                assert set(np.unique(array)) <= {0.0, 1.0}


@pytest.mark.parametrize("width", [8, 24])
def test_half_of_the_units_are_dead_and_stay_so(width):
    settings = replace(SMALL, d_model=width)
    trainer = trainer_of("dead units", settings)
    run(trainer, 25)
    p = trainer.model.parameters
    for i in (0, 1):
        expand, contract = (p[f"layers.{i}.feed_forward.{name}_weight"] for name in ("expand", "contract"))
        assert expand.shape == (width, 2 * width)
        assert not expand[:, width:].any()
        assert not contract[width:].any()
        assert not p[f"layers.{i}.feed_forward.expand_bias"][width:].any()
        assert expand[:, :width].all()
        assert contract[:width].all()
    units = activations(trainer.model, random_batch(settings.vocab_size, 2, 9)[0]).units[0]
    assert np.mean(np.ptp(units, axis=(0, 1)) == 0.0) == 0.5


@pytest.mark.parametrize("name", ["saturated units", "unscaled initialisation"])
def test_most_units_say_plus_or_minus_one(name):
    settings = replace(SMALL, d_model=24)
    tokens, _ = random_batch(settings.vocab_size, 4, 16)
    for trainer, saturated in ((trainer_of(name, settings), True), (assembled(settings), False)):
        units = np.stack(activations(trainer.model, tokens).units)
        assert (np.mean(np.abs(units) > 0.99) > 0.5) == saturated


def test_saturated_units_have_the_sound_start_but_for_one_matrix():
    ill, sound = weights_of("saturated units"), assembled(SMALL).model.parameters
    for name in sound:
        factor = 8.0 * np.sqrt(SMALL.d_model) if name.endswith("expand_weight") else 1.0
        np.testing.assert_allclose(ill[name], factor * sound[name], rtol=1e-12)
