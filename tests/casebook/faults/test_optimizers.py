"""Defects of the optimizer, of its rate, and of what lies between gradient and step: each beside a slow rule."""

import math
from dataclasses import replace

import numpy as np
import pytest
from casebook.faults.twins import SMALL, planted, run, small, trainer_of
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.casebook import faults
from cllm_lib.casebook.building import assembled
from cllm_lib.casebook.faults.optimizers import Coupled, Forgetful, WithoutCorrection
from cllm_lib.training.optimizers import OPTIMIZERS, AdamW

pytestmark = pytest.mark.filterwarnings("ignore:the warm-up takes")
RATES = {"sgd": 0.5, "momentum": 0.1, "rmsprop": 4e-3, "adam": 6e-3, "adamw": 6e-3}
BETA1, BETA2, DECAY = 0.9, 0.999, 0.01


def of(optimizer, **changes):
    """Small settings with another optimizer."""
    return replace(SMALL, optimizer=optimizer, learning_rate=RATES[optimizer], **changes)


def gradients(count, size, seed):
    return np.random.default_rng(seed).standard_normal((count, size))


def stepped(optimizer, steps):
    """Where an optimizer goes from 1, ..., 1 by these gradients."""
    p = np.ones(steps.shape[1])
    for g in steps:
        optimizer.step(p, g)
    return p


def adam_by_hand(steps, rate=0.1, eps=1e-8, decay=0.0, corrected=True, coupled=0.0, restart=None):
    """Number by number: one weight after the other, with its two means."""
    found = []
    for column in steps.T:
        p, m, v, t = 1.0, 0.0, 0.0, 0
        for k, g in enumerate(column.tolist()):
            if restart is not None and k % restart == 0:
                m, v, t = 0.0, 0.0, 0
            t += 1
            g = g + coupled * p
            m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
            first, second = (m / (1 - BETA1**t), v / (1 - BETA2**t)) if corrected else (m, v)
            p = p * (1 - rate * decay) - rate * first / (math.sqrt(second) + eps)
        found.append(p)
    return np.array(found)


DRAWN = {"count": st.integers(1, 12), "size": st.integers(1, 4), "seed": st.integers(0, 99)}


@given(**DRAWN)
def test_the_slow_rule_is_adam_where_nothing_is_wrong(count, size, seed):
    steps = gradients(count, size, seed)
    np.testing.assert_allclose(stepped(AdamW(0.1), steps), adam_by_hand(steps, decay=DECAY), rtol=1e-9)


@given(**DRAWN)
def test_without_correction_the_means_are_used_as_they_are(count, size, seed):
    steps = gradients(count, size, seed)
    ill = WithoutCorrection(0.1, DECAY, BETA1, BETA2, 1e-8)
    np.testing.assert_allclose(stepped(ill, steps), adam_by_hand(steps, decay=DECAY, corrected=False), rtol=1e-9)


def test_without_correction_the_first_steps_are_three_to_seven_times_too_long():
    steps = np.ones((10, 1))
    ratios = []
    for count in range(1, 11):
        lengths = [
            stepped(make(), steps[:count]) - stepped(make(), steps[: count - 1])
            for make in (lambda: WithoutCorrection(0.1, 0.0, BETA1, BETA2, 1e-8), lambda: AdamW(0.1, weight_decay=0.0))
        ]
        ratios.append(float(lengths[0][0] / lengths[1][0]))
    assert ratios[0] == pytest.approx(0.1 / math.sqrt(0.001), rel=1e-6)
    assert 3.0 < min(ratios) < max(ratios) < 7.0


@given(**DRAWN)
def test_coupled_decay_goes_through_the_moments(count, size, seed):
    steps = gradients(count, size, seed)
    np.testing.assert_allclose(stepped(Coupled(AdamW(0.1)), steps), adam_by_hand(steps, coupled=DECAY), rtol=1e-9)


@given(**DRAWN, every=st.integers(1, 5))
def test_moments_are_forgotten_at_each_epoch_s_first_step(count, size, seed, every):
    steps = gradients(count, size, seed)
    ill = stepped(Forgetful(AdamW(0.1), every), steps)
    np.testing.assert_allclose(ill, adam_by_hand(steps, decay=DECAY, restart=every), rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["momentum", "rmsprop", "adam", "adamw"])
def test_moments_are_reset_where_an_epoch_begins_and_the_rate_is_the_schedule_s(optimizer):
    """Beside the trainer, a fresh optimizer of the stated kind at each epoch, by its logged gradients."""
    settings = of(optimizer, clip_norm=None)
    trainer, seen = trainer_of("moments reset each epoch", settings), []
    trainer.hooks = (lambda t: seen.append(t.model.flat_gradients.copy()),)
    expected, own = trainer.model.flat_parameters.copy(), None
    for step, _ in enumerate(trainer.run(steps=2 * trainer.batches_per_epoch + 2)):
        if step % trainer.batches_per_epoch == 0:
            own = settings.make_optimizer()
        own.learning_rate = settings.rate(step)
        own.step(expected, seen[-1])
        np.testing.assert_allclose(trainer.model.flat_parameters, expected, rtol=1e-9, atol=1e-12)
    assert trainer.base_rate == settings.learning_rate  # it has its own again between steps


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adamw"])
@given(**DRAWN)
def test_a_large_epsilon_is_the_only_change(optimizer, count, size, seed):
    steps = gradients(count, size, seed)
    settings = of(optimizer)
    ill, sound = planted("epsilon too large", settings).optimizer, settings.make_optimizer()
    assert ill.settings() == sound.settings() | {"eps": 0.1}
    sound = type(sound)(**(sound.settings() | {"eps": 0.1}))
    np.testing.assert_array_equal(stepped(ill, steps), stepped(sound, steps))
    if optimizer != "rmsprop":
        decay = DECAY if optimizer == "adamw" else 0.0
        by_hand = adam_by_hand(steps, rate=settings.learning_rate, eps=0.1, decay=decay)
        np.testing.assert_allclose(stepped(planted("epsilon too large", settings).optimizer, steps), by_hand, rtol=1e-9)


FROZEN = {
    "only embeddings updated": lambda name: name != "embedding",
    "frozen layer": lambda name: name.startswith("layers.0."),
    "norms left out of the optimizer": lambda name: "norm" in name,
    "stale optimizer": lambda name: True,
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", FROZEN)
def test_what_is_left_out_stays_and_all_else_goes_as_in_the_sound_step(name, optimizer, tied):
    settings = of(optimizer, tie_embeddings=tied)
    ill, sound = trainer_of(name, settings), assembled(settings)
    before = {tensor: array.copy() for tensor, array in ill.model.parameters.items()}
    assert run(ill, 1) == run(sound, 1)
    for tensor, array in ill.model.parameters.items():
        expected = before[tensor] if FROZEN[name](tensor) else sound.model.parameters[tensor]
        np.testing.assert_array_equal(array, expected)
    run(ill, 15)
    still = {tensor for tensor, array in ill.model.parameters.items() if (array == before[tensor]).all()}
    assert still == {tensor for tensor in before if FROZEN[name](tensor)}


@pytest.mark.parametrize("schedule", ["constant", "warmup", "warmup_cosine"])
@pytest.mark.parametrize("name", [*FROZEN, "decay through the moments", "moments reset each epoch", "Adam without bias correction"])
def test_a_schedule_reaches_the_optimizer_inside(name, schedule):
    settings = replace(SMALL, schedule=schedule)
    trainer = trainer_of(name, settings)
    run(trainer, 12)
    assert trainer.history.learning_rates == pytest.approx([settings.rate(step) for step in range(12)])
    assert trainer.base_rate == settings.learning_rate


def test_clipped_to_nothing_is_a_sound_training_with_a_limit_of_a_ten_thousandth():
    settings = of("sgd", clip_norm=None)
    ill, seen = trainer_of("clipped to nothing", settings), []
    start = ill.model.flat_parameters.copy()
    ill.hooks = (lambda t: seen.append(t.model.flat_gradients.copy()),)
    for step, _ in enumerate(ill.run(steps=3)):
        start -= settings.rate(step) * 1e-4 * seen[-1] / np.linalg.norm(seen[-1])
    np.testing.assert_allclose(ill.model.flat_parameters, start, rtol=1e-10)


def test_ascent_steps_to_the_other_side():
    settings = of("sgd")
    ill, sound = trainer_of("gradient ascent", settings), assembled(settings)
    before = ill.model.flat_parameters.copy()
    run(ill, 1), run(sound, 1)
    np.testing.assert_allclose(ill.model.flat_parameters - before, before - sound.model.flat_parameters, rtol=1e-9, atol=1e-15)


def test_each_step_goes_by_the_gradient_of_the_batch_before():
    settings = of("sgd", clip_norm=None)
    trainer, own = trainer_of("gradient of the batch before", settings), []
    trainer.hooks = (lambda t: own.append(t.model.flat_gradients.copy()), *trainer.hooks)
    expected = trainer.model.flat_parameters.copy()
    for step, _ in enumerate(trainer.run(steps=5)):
        expected -= settings.rate(step) * own[max(step - 1, 0)]  # the first has none before it
        np.testing.assert_allclose(trainer.model.flat_parameters, expected, rtol=1e-12, atol=1e-15)


FACTORS = {
    "rate a thousand times too high": lambda step, steps: 1e3,
    "rate a thousand times too low": lambda step, steps: 1e-3,
    "rate zero": lambda step, steps: 0.0,
    "rate cut at every step": lambda step, steps: 0.9**step,
    "endless warm-up": lambda step, steps: (step + 1) / (50 * steps),
}


@pytest.mark.parametrize("schedule", ["constant", "warmup", "warmup_cosine"])
@pytest.mark.parametrize("name", FACTORS)
def test_the_rate_that_each_step_has_is_the_stated_one_times_a_factor(name, schedule):
    settings = of("sgd", schedule=schedule)
    trainer = trainer_of(name, settings)
    run(trainer, settings.steps)
    expected = [settings.rate(step) * FACTORS[name](step, settings.steps) for step in range(settings.steps)]
    assert trainer.history.learning_rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["rate zero", "stale optimizer"])
def test_where_no_weight_moves_the_loss_differs_from_batch_to_batch_alone(name):
    trainer, untouched = trainer_of(name, SMALL), assembled(SMALL)
    losses = run(trainer, 2 * trainer.batches_per_epoch)
    np.testing.assert_array_equal(trainer.model.flat_parameters, untouched.model.flat_parameters)
    batches = [pair for _ in range(2) for pair in untouched.corpus.batches(4, 16, untouched.generator)]
    assert losses == [untouched.model.loss(*pair) for pair in batches]


@pytest.mark.parametrize("name", [name for name, entry in faults.ALL.items() if entry.plant.__module__.endswith(".optimizers")])
def test_model_and_text_are_the_sound_ones(name):
    """Whatever is wrong with the step, losses and gradients before the first are sound, to the last bit."""
    settings = small(name)
    ill, sound = trainer_of(name, settings), assembled(settings)
    assert ill.corpus.fingerprint == sound.corpus.fingerprint
    batch = next(iter(sound.corpus.batches(4, 16, np.random.default_rng(0))))
    assert ill.model.forward_backward(*batch) == sound.model.forward_backward(*batch)
    np.testing.assert_array_equal(ill.model.flat_gradients, sound.model.flat_gradients)
