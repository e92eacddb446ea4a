"""How a patient is put together: as a reader would do it by hand, one part exchanged; and read without a trace."""

from dataclasses import replace

import numpy as np
import pytest
from casebook.opened import EVERY

from cllm_lib import CLLM, Trainer, casebook
from cllm_lib.casebook import building, faults
from cllm_lib.casebook.building import assembled, read, sound_parts
from cllm_lib.casebook.settings import draw_settings
from cllm_lib.instruments import kit
from cllm_lib.model.initializers import zeros


def settings(seed=0):
    return draw_settings(np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(4))
def test_without_a_defect_it_is_the_training_that_anybody_would_write(seed):
    meant = settings(seed)
    model = CLLM(meant.config, seed=meant.seed, fast=False)
    by_hand = Trainer(
        model, meant.corpus(), optimizer=meant.make_optimizer(), batch_size=meant.batch_size, seed=meant.seed, clip_norm=meant.clip_norm,
        schedule=meant.make_schedule(), evaluate_every=10,
    )  # fmt: skip
    ours = assembled(meant)
    assert ours.fit(steps=25).losses == by_hand.fit(steps=25).losses
    assert ours.history.validation_losses == by_hand.history.validation_losses
    np.testing.assert_array_equal(ours.model.flat_parameters, model.flat_parameters)


def test_a_defect_changes_the_part_that_it_hands_back_and_no_other():
    meant = settings()
    ill = assembled(meant, lambda parts, _: replace(parts, seams={"init": zeros}))
    assert not ill.model.flat_parameters.any()
    assert ill.corpus.fingerprint == sound_parts(meant).corpus.fingerprint
    assert type(ill.optimizer) is type(meant.make_optimizer())


def test_what_wraps_the_optimizer_is_given_the_model_and_the_stated_one():
    meant, seen = settings(), []
    trainer = assembled(meant, lambda parts, _: replace(parts, wrap=lambda model, stated: seen.append((model, stated)) or stated))
    assert seen == [(trainer.model, trainer.optimizer)]
    assert trainer.optimizer.learning_rate == meant.learning_rate


def test_each_training_is_begun_anew():
    meant = settings()
    first, second = assembled(meant), assembled(meant)
    first.fit(steps=25)
    assert second.steps == 0
    np.testing.assert_array_equal(second.model.flat_parameters, assembled(meant).model.flat_parameters)


@pytest.mark.parametrize("defect", EVERY)
def test_plain_functions_run_in_the_sick_and_in_the_healthy(defect, monkeypatch):
    """A quick twin, which has no defect's seams, would tell the healthy by the clock."""
    asked = []

    def model(*arguments, fast=True, **seams):
        asked.append(fast)
        return CLLM(*arguments, fast=fast, **seams)

    monkeypatch.setattr(building, "sound_parts", lambda meant: replace(sound_parts(meant), model=model))
    plant = faults.ALL[defect].plant if defect in faults.ALL else None
    meant = casebook.patient_of(defect, np.random.default_rng(0)).settings
    trainer = assembled(meant, plant)
    assert asked in ([False], [])  # none where the defect brings a model of its own
    assert isinstance(trainer.model, CLLM)


@pytest.mark.parametrize("defect", ["healthy", "gradients not cleared", "dropout at evaluation"])
def test_reading_leaves_the_patient_as_it_was_and_is_the_same_each_time(defect):
    patient = casebook.patient_of(defect, np.random.default_rng(3))
    weights, gradients = patient.trained.model.flat_parameters.copy(), patient.trained.model.flat_gradients.copy()
    held = set(vars(patient))
    first = {name: read(patient, name) for name in ("gradients", "repeat", "gradient check after training", "leftover gradients")}
    for name in reversed(first):
        assert repr(read(patient, name)) == repr(first[name])
    np.testing.assert_array_equal(patient.trained.model.flat_parameters, weights)
    np.testing.assert_array_equal(patient.trained.model.flat_gradients, gradients)
    assert set(vars(patient)) == held  # nothing that would make the next question shorter
    assert set(first) <= set(kit.ALL)
