"""The loop: rates from formulas, steps from rules written by hand, gradients mixed in known shares."""

import copy
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.kit.patients import SMALL, VARIANTS, each_word, healthy, ill, just_these_words, numbers, patient, said

from cllm_lib.casebook import faults
from cllm_lib.casebook.building import assembled
from cllm_lib.casebook.settings import Settings
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient

FIRST, LATER, SECOND = "steps differ from the first on", "steps differ, the first does not", "steps differ from the second epoch on only"
SHORT, LONG = "steps go the same way, and are too short", "steps go the same way, and are too long"
BACK, ASKEW, HALF = "steps go the other way", "steps go another way", "steps are less than half as long"
PART, EMBEDDING, NO_STEP = "part of the weights makes no step", "only the embedding makes a step", "no step is made"
LOGGED = "by the rate that was logged, the steps are right"
BEHIND, AHEAD = "steps fall behind more and more", "steps catch up more and more"
SAID = {
    "rate log": {
        "rate zero": {"the rate is 0"},
        "rate a thousand times too high": {"the rate is ten times the stated or more"},
        "rate a thousand times too low": {"the rate never comes near the stated"},
        "rate cut at every step": {"the rate falls away from the stated"},
        "endless warm-up": {"the rate never comes near the stated", "the rate still rises towards the stated at the end"},
        "stale optimizer": set(),
        "epsilon too large": set(),
        "clipped to nothing, by SGD": set(),
        "schedule left out of the checkpoint": set(),
        "healthy, without schedule": set(),
        "healthy": set(),
    },
    "leftover gradients": {
        "gradients not cleared": {"the last batch's gradient is in it"},
        "gradient of the batch before": {"the last batch's gradient is in it", "its own batch's gradient is not in it"},
        "gradient ascent": {"its own batch's gradient is turned round"},
        "the same batch at every step": set(),  # two batches of the text as it was meant are two
        "gradient of the sum": set(),
        "half-precision gradients": set(),
        "clipped to nothing, by SGD": set(),
        "zero initialisation": set(),
        "healthy, in one batch": set(),
        "healthy, one sequence at a time": set(),
        "healthy": set(),
    },
    "shadow optimizer": {
        "Adam without bias correction": {FIRST, LONG},
        "clipped to nothing, by SGD": {FIRST, SHORT, HALF},
        "endless warm-up": {FIRST, SHORT, LOGGED, HALF, AHEAD},
        "epsilon too large": {FIRST, ASKEW, HALF},
        "frozen layer": {FIRST, ASKEW, PART},
        "gradient ascent": {FIRST, BACK},
        "gradient of the batch before": {LATER, ASKEW},
        "moments reset each epoch, by Adam, without schedule": {SECOND, ASKEW, AHEAD},
        "only embeddings updated": {FIRST, ASKEW, PART, EMBEDDING, HALF},
        "rate a thousand times too high": {FIRST, LONG, LOGGED},
        "rate a thousand times too low": {FIRST, SHORT, LOGGED, HALF},
        "rate cut at every step": {LATER, SHORT, LOGGED, HALF, BEHIND},
        "rate zero": {FIRST, SHORT, NO_STEP, LOGGED},
        "stale optimizer": {FIRST, SHORT, NO_STEP},
        "gradients not cleared": set(),  # the same gradient makes the same step
        "gradient of the sum": set(),
        "half-precision gradients": set(),
        "the same batch at every step": set(),
        "constant initialisation, by SGD, in float32": set(),  # steps of queries and keys are below rounding
        "optimizer left out of the checkpoint": set(),
        "healthy, by momentum, in float32": set(),
        "healthy, by SGD, without clipping": set(),
        "healthy": set(),
    },
    "checkpoint drill": {
        "optimizer left out of the checkpoint": {"going back and on gives other losses"},
        "schedule left out of the checkpoint": {"going back and on gives other losses", "going back and on gives other rates"},
        "gradient of the batch before": {"going back and on gives other losses"},
        "best weights overwritten": {"the best weights are not the best"},
        "moments reset each epoch": set(),
        "stale optimizer": set(),
        "rate cut at every step": set(),
        "the same batch at every step": set(),
        "healthy, by SGD": set(),
        "healthy": set(),
    },
}


test_just_these_words_are_said = just_these_words(SAID)
test_each_word_is_said_of_a_patient = each_word(SAID)


@given(healthy(steps=60))
@settings(max_examples=settings().max_examples * 2 // 5)
def test_nothing_is_said_of_healthy_loops(patient):
    assert all(said(instrument, patient) == set() for instrument in SAID)


# Rates


def stated_rate(step, steps=50, rate=6e-3):
    """Warm-up over 20 steps, then half a cosine down to a tenth, as the settings are printed."""
    if step < 19:
        return rate * (step + 1) / 20
    return rate * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 19) / (steps - 19))) / 2)


@pytest.mark.parametrize(
    ("described", "factor"),
    [
        ("healthy", lambda step: 1.0),
        ("rate cut at every step", lambda step: 0.9**step),
        ("endless warm-up", lambda step: (step + 1) / 2500),
        ("rate a thousand times too high", lambda step: 1000.0),
    ],
)
def test_ratios_are_those_of_the_rates_in_the_history_to_a_formula(described, factor):
    one, found = ill(described), numbers("rate log", ill(described))
    ratios = [rate / stated_rate(step) for step, rate in enumerate(one.trained.history.learning_rates)]
    assert ratios == pytest.approx([factor(step) for step in range(50)])
    assert list(found.values()) == pytest.approx([ratios[0], max(ratios), ratios[-1]])


class FromZero(Settings):
    """Settings whose warm-up begins at 0."""

    def make_schedule(self):
        return lambda step: min(1.0, step / 20)


def test_a_warm_up_that_begins_at_0_is_no_finding_and_a_frozen_layer_in_it_is_one():
    stated = FromZero(**{**vars(SMALL), "optimizer": "momentum", "learning_rate": 0.1})
    one = Patient(stated, partial(assembled, stated), stated.steps)
    assert one.trained.history.learning_rates[0] == 0.0
    assert all(said(instrument, one) == set() for instrument in SAID)
    frozen = Patient(stated, partial(assembled, stated, faults.ALL["frozen layer"].plant), stated.steps)
    assert PART in said("shadow optimizer", frozen)


def logging(rates, stated):
    """A patient that is nothing but a log of rates."""
    meant = SimpleNamespace(rate=lambda step: stated[step])
    one = Patient(meant, None, len(rates))
    one.trained = SimpleNamespace(history=SimpleNamespace(learning_rates=rates))
    return one


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([0.0, 1.0, 2.0], set()),
        ([0.0, 10.0, 2.0], {"the rate is ten times the stated or more"}),
        ([0.0, 9.9, 2.0], set()),
        ([1e-9, 1.0, 2.0], {"the rate is ten times the stated or more", "the rate falls away from the stated"}),  # of 0
        ([0.0, 1.0, 0.9], {"the rate falls away from the stated"}),
        ([0.0, 1.0, 4.1], {"the rate still rises towards the stated at the end"}),
        ([math.nan] * 3, set()),  # an optimizer without a rate
    ],
)
def test_rates_are_compared_with_the_stated_step_by_step(rates, words):
    assert said("rate log", logging(rates, [0.0, 1.0, 2.0])) == words


# What reaches the optimizer


def mixing(own, last):
    """A hook that hands on so much of the own gradient, and so much of the last one."""

    def plant(parts, stated):
        kept = []

        def hook(trainer):
            gradients = trainer.model.flat_gradients
            kept.append(gradients.copy())
            gradients[...] = own * kept[-1] + (last * kept[-2] if len(kept) > 1 else 0.0)

        return replace(parts, hooks=(hook,))

    return plant


@given(st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=settings().max_examples // 2)
def test_the_shares_of_two_gradients_are_found_again(own, last):
    found = numbers("leftover gradients", patient(SMALL, mixing(own, last)))
    assert list(found.values()) == pytest.approx([own, last], abs=1e-9)
    words = said("leftover gradients", patient(SMALL, mixing(own, last)))
    assert ("the last batch's gradient is in it" in words) == (found["share of the last batch's"] > 0.1)
    assert ("its own batch's gradient is not in it" in words) == (abs(found["share of its own"]) < 0.1)
    assert ("its own batch's gradient is turned round" in words) == (found["share of its own"] < -0.1)


# Steps


class ByHand:
    """The five rules, number by number, from their papers; `wrong` bends the step it would make."""

    def __init__(self, name, rate, wrong=lambda step, moved: moved):
        self.name, self.learning_rate, self.wrong = name, rate, wrong
        self.count, self.first, self.second = 0, None, None

    def step(self, parameters, gradients):
        self.count += 1
        if self.first is None:
            self.first, self.second = [0.0] * len(parameters), [0.0] * len(parameters)
        moved = np.array([self.moved(i, float(p), float(g)) for i, (p, g) in enumerate(zip(parameters, gradients, strict=True))])
        parameters += self.wrong(self.count, moved)

    def moved(self, i, p, g):
        if self.name == "sgd":
            return -self.learning_rate * g
        if self.name == "momentum":
            self.first[i] = 0.9 * self.first[i] + g
            return -self.learning_rate * self.first[i]
        if self.name == "rmsprop":
            self.second[i] = 0.99 * self.second[i] + 0.01 * g * g
            return -self.learning_rate * g / (math.sqrt(self.second[i]) + 1e-8)
        self.first[i] = 0.9 * self.first[i] + 0.1 * g
        self.second[i] = 0.999 * self.second[i] + 0.001 * g * g
        m, v = self.first[i] / (1 - 0.9**self.count), self.second[i] / (1 - 0.999**self.count)
        decay = 0.01 * p if self.name == "adamw" else 0.0
        return -self.learning_rate * (m / (math.sqrt(v) + 1e-8) + decay)


BY_NAME = {"sgd": 0.5, "momentum": 0.1, "rmsprop": 4e-3, "adam": 6e-3, "adamw": 6e-3}


def trained_by(name, wrong=lambda step, moved: moved, **changes):
    """A patient whose optimizer is the rule written by hand, and whose epochs have three batches."""
    tiny = {"n_words": 300, "vocab_size": 20, "d_model": 8, "n_layers": 1, "tie_embeddings": True, "steps": 21}
    stated = replace(SMALL, optimizer=name, learning_rate=BY_NAME[name], **tiny | changes)
    return patient(stated, lambda parts, _: replace(parts, optimizer=ByHand(name, stated.learning_rate, wrong)))


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("name", BY_NAME)
def test_steps_by_the_stated_rule_written_by_hand_are_the_shadows_own(name, clip_norm):
    one = trained_by(name, clip_norm=clip_norm)
    found = numbers("shadow optimizer", one)
    assert said("shadow optimizer", one) == set()
    assert found["off"] < 1e-9
    assert [found["cosine"], found["length ratio"], found["last length ratio"]] == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("wrong", "words", "changed"),
    [
        (lambda step, moved: 1.5 * moved, {FIRST, LONG}, {"length ratio": 1.5, "off": 0.5}),
        (lambda step, moved: 0.7 * moved, {FIRST, SHORT}, {"length ratio": 0.7, "off": 0.3}),
        (lambda step, moved: 0.4 * moved, {FIRST, SHORT, HALF}, {"length ratio": 0.4, "off": 0.6}),
        (lambda step, moved: -moved, {FIRST, BACK}, {"cosine": -1.0, "off": 2.0}),
        (lambda step, moved: moved if step < 3 else 1.8 * moved, {LATER, LONG}, {"first step off": 0.0, "off": 0.8}),
        (lambda step, moved: moved if step < 4 else 1.8 * moved, {SECOND, LONG}, {"off within the first epoch": 0.0, "off later": 0.8}),
        (lambda step, moved: 1.01 * moved, set(), {"length ratio": 1.01, "off": 0.01}),
        (lambda step, moved: 0.0 * moved, {FIRST, SHORT, NO_STEP}, {"length ratio": 0.0, "off": 1.0}),
        (lambda step, moved: moved if step < 15 else 0.0 * moved, {SECOND, BEHIND}, {"off later": 1.0, "tensors left out": 0.0}),
    ],
)
def test_a_step_that_is_bent_is_off_by_just_that(wrong, words, changed):
    one = trained_by("momentum", wrong)
    found = numbers("shadow optimizer", one)
    assert said("shadow optimizer", one) == words
    assert {name: found[name] for name in changed} == pytest.approx(changed, abs=1e-9)


def test_epsilon_shortens_the_first_step_of_adam_as_its_formula_says():
    """m and v are g and g^2 after the first step: it is rate g / (|g| + eps)."""
    one = ill("epsilon too large, by Adam")
    trainer = one.begin()
    trainer.hooks = (lambda t: seen.append(t.model.flat_gradients.copy()),)
    seen = []
    next(trainer.run(steps=50))
    gradient = seen[0] / max(1.0, np.linalg.norm(seen[0]))  # clipped at 1
    taken, meant = (np.abs(gradient) / (np.abs(gradient) + eps) for eps in (0.1, 1e-8))
    assert numbers("shadow optimizer", one)["first length ratio"] == pytest.approx(np.linalg.norm(taken) / np.linalg.norm(meant), rel=1e-6)


def test_tensors_that_make_no_step_are_counted():
    found = numbers("shadow optimizer", ill("frozen layer"))
    names = [name for name, array in ill("healthy").begun.model.parameters.items() if array.ndim == 2]
    assert found["tensors left out"] == sum(name.startswith("layers.0.") for name in names) == 6
    assert found["tensors that step"] == len(names) - 6


def test_an_optimizer_without_a_rate_has_none_that_explains_its_steps():
    class Rateless:
        def step(self, parameters, gradients):
            parameters -= 0.2 * gradients

    stated = replace(SMALL, schedule="constant", **VARIANTS["by SGD"])
    one = patient(stated, lambda parts, _: replace(parts, optimizer=Rateless()))
    assert said("shadow optimizer", one) == {FIRST, SHORT, HALF}


# What is kept


def test_losses_after_going_back_differ_by_what_a_fresh_optimizer_makes_of_the_same_batches():
    """From the same weights and batches: once with the moments, once without."""
    one = ill("optimizer left out of the checkpoint")
    trainer = ill("healthy").begin()
    list(trainer.run(steps=25))
    fresh = copy.deepcopy(trainer)
    fresh.optimizer = type(fresh.optimizer)(**fresh.optimizer.settings())
    kept, forgot = (list(going_on.run(steps=8)) for going_on in (trainer, fresh))
    found = numbers("checkpoint drill", one)
    assert found["losses off"] == pytest.approx(max(abs(a - b) for a, b in zip(kept, forgot, strict=True)), rel=1e-12)
    assert found["rates off"] == 0.0


def test_rates_after_going_back_differ_by_the_warm_up_that_begins_again():
    found = numbers("checkpoint drill", ill("schedule left out of the checkpoint"))
    assert found["rates off"] == pytest.approx(max(abs(stated_rate(25 + k) - stated_rate(k)) for k in range(8)), rel=1e-9)


def test_the_best_that_was_kept_is_that_which_is_gone_back_to_or_else_the_spoilt_weights_are():
    trainer = ill("healthy").begin()
    list(trainer.run(steps=33))
    trainer.evaluate()
    best = min(trainer.history.validation_losses.values())
    model = trainer.model
    model.flat_parameters[...] += 0.5 * np.random.default_rng(0).standard_normal(model.flat_parameters.shape)
    assert numbers("checkpoint drill", ill("best weights overwritten"))["best off"] == pytest.approx(abs(trainer.evaluate() - best) / best)
    assert numbers("checkpoint drill", ill("healthy")) == {"losses off": 0.0, "rates off": 0.0, "best off": 0.0}


def test_losses_that_are_no_numbers_are_no_other_losses():
    usual = numbers("checkpoint drill", ill("healthy"))
    assert kit.words_for(kit.ALL["checkpoint drill"], usual | {"losses off": 1e-16}) == ("going back and on gives other losses",)
    assert said("checkpoint drill", ill("rate a thousand times too high, by momentum, in float32, without clipping")) == set()
