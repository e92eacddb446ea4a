"""Defects of what is kept: the run itself is sound to the last bit, and what it goes back to is not."""

from dataclasses import replace

import numpy as np
import pytest
from casebook.faults.twins import SMALL, run, trainer_of

from cllm_lib.casebook.building import assembled

NAMES = ["best weights overwritten", "optimizer left out of the checkpoint", "schedule left out of the checkpoint"]
pytestmark = pytest.mark.filterwarnings("ignore:the warm-up takes")


def after(trainer, steps=12):
    """A trainer some steps on, gone back to where it is."""
    run(trainer, steps)
    trainer.go_back(trainer.snapshot())
    return trainer


@pytest.mark.parametrize("name", NAMES)
def test_without_going_back_nothing_differs(name):
    ill, sound = trainer_of(name, SMALL), assembled(SMALL)
    assert run(ill, 25) == run(sound, 25)
    assert ill.history.validation_losses == sound.history.validation_losses
    np.testing.assert_array_equal(ill.model.flat_parameters, sound.model.flat_parameters)


def test_best_weights_overwritten_are_the_last():
    ill, sound = trainer_of("best weights overwritten", SMALL), assembled(SMALL)
    for trainer in (ill, sound):
        run(trainer, 14)  # four steps past an evaluation
        assert trainer.best.step == 10
        last = trainer.model.flat_parameters.copy()
        trainer.restore_best()
        assert (trainer.model.flat_parameters == last).all() == (trainer is ill)
    assert ill.best.loss == sound.best.loss
    assert sound.evaluate() == sound.best.loss != ill.evaluate()


def test_an_optimizer_left_out_begins_anew_and_place_and_schedule_do_not():
    ill, sound = after(trainer_of("optimizer left out of the checkpoint", SMALL)), after(assembled(SMALL))
    assert ill.optimizer.state() == {}
    assert sound.optimizer.state()
    assert ill.steps == sound.steps == 12
    assert ill.place == sound.place
    fresh = SMALL.make_optimizer()
    assert ill.optimizer.settings() == fresh.settings()
    expected = sound.model.flat_parameters.copy()
    first = next(iter(ill.run(steps=1)))
    assert first == next(iter(sound.run(steps=1)))  # the loss before the step
    gradients = ill.model.flat_gradients.copy()
    fresh.learning_rate = SMALL.rate(12)
    fresh.step(expected, gradients)
    np.testing.assert_array_equal(ill.model.flat_parameters, expected)
    assert (sound.model.flat_parameters != expected).any()


@pytest.mark.parametrize("schedule", ["warmup", "warmup_cosine"])
def test_a_schedule_left_out_warms_up_once_more_and_the_optimizer_goes_on(schedule):
    settings = replace(SMALL, schedule=schedule)
    ill, sound = after(trainer_of("schedule left out of the checkpoint", settings)), after(assembled(settings))
    assert (ill.steps, sound.steps) == (0, 12)
    np.testing.assert_array_equal(ill.optimizer.state()["square_sum"], sound.optimizer.state()["square_sum"])
    for trainer in (ill, sound):
        run(trainer, 3)
    assert ill.history.learning_rates[-3:] == pytest.approx([settings.rate(step) for step in range(3)])
    assert sound.history.learning_rates[-3:] == pytest.approx([settings.rate(step) for step in range(12, 15)])
    assert ill.place == sound.place
