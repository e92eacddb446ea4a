"""A patient: begun anew, run, copied, and left by every instrument as it was."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from instruments.kit.patients import SMALL, healthy, ill, patient, said

from cllm_lib.casebook import faults
from cllm_lib.casebook.settings import Settings
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient
from cllm_lib.model.attention import CausalSelfAttention

KEEPS_SOMETHING = [  # parts with a memory of their own, which an instrument could disturb
    "healthy, in float32",
    "gradients not cleared",
    "gradient of the batch before",
    "tied by copy",
    "best weights overwritten",
    "moments reset each epoch",
    "dropout at evaluation",
]


def again(described):
    """The same patient, of whom nothing has been asked."""
    one = ill(described)
    return Patient(one.settings, one.begin, one.steps)


def told(value):
    """All numbers below a value, to be compared: arrays as bytes, objects by what they hold."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, dict):
        return {name: told(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [told(one) for one in value]
    if callable(value) or not hasattr(value, "__dict__"):
        return repr(value) if isinstance(value, int | float | str | type(None)) else None
    return {name: told(one) for name, one in vars(value).items() if name not in ("_stack", "_stack_made_for", "_epoch")}


def state(patient):
    """Everything that the trainers of a patient hold: weights, gradients, parts, text, history, generator, moments, the best."""
    return [told(trainer) for trainer in (patient.begun, patient.trained)]


def test_what_is_told_of_a_patient_sees_each_of_its_arrays():
    one = again("healthy")
    before = state(one)
    for array in (one.trained.model.flat_gradients, one.begun.model.flat_parameters, one.trained.optimizer.state()["gradient_sum"]):
        array[3] += 1.0
        assert state(one) != before
        array[3] -= 1.0
    one.trained.generator.random()
    assert state(one) != before


class Remembers(CausalSelfAttention):
    """Attention that keeps what it saw last, as a part may."""

    def forward(self, x, parameters, config):
        self.seen = x
        return super().forward(x, parameters, config)


def test_no_instrument_is_seen_by_a_part_that_remembers():
    one = patient(SMALL, lambda parts, stated: replace(parts, seams={"attention": Remembers()}))
    before = state(one)
    for name, tool in kit.ALL.items():
        tool.read(one)
        assert state(one) == before, name


@pytest.mark.elsewhere
@pytest.mark.parametrize("described", KEEPS_SOMETHING)
def test_no_instrument_changes_a_patient_and_no_answer_depends_on_what_was_asked_before(described):
    one, other = again(described), again(described)
    before = state(one)
    first = {name: repr(tool.read(one)) for name, tool in kit.ALL.items()}
    assert state(one) == before
    reversed_order = {name: repr(kit.ALL[name].read(other)) for name in reversed(kit.ALL)}
    assert first == reversed_order
    assert first == {name: repr(tool.read(one)) for name, tool in kit.ALL.items() if tool.cost < 8} | {
        name: text for name, text in first.items() if kit.ALL[name].cost >= 8
    }
    assert state(one) == before


@given(healthy(steps=25))
@settings(max_examples=settings().max_examples // 12)
def test_each_instrument_leaves_a_drawn_patient_as_it_was(patient):
    before = state(patient)
    for tool in kit.ALL.values():
        if tool.cost < 8:
            tool.read(patient)
    assert state(patient) == before


def test_a_trainer_of_ones_own_and_a_copy_share_nothing_with_what_is_looked_at():
    one = again("healthy")
    before = state(one)
    for trainer in (one.begin(), one.copy()):
        next(trainer.run(steps=50))
        trainer.corpus.tokens[:] = 0
    for twin in (one.twin, one.first_twin):
        assert twin.flat_parameters.dtype == np.float64
        twin.flat_parameters[...] = 0.0
        twin.forward_backward(*one.batch)
    assert state(one) == before


def test_twins_are_the_models_before_and_after_the_run():
    one = ill("healthy, in float32")
    np.testing.assert_array_equal(one.first_twin.flat_parameters, one.begin().model.flat_parameters)
    trainer = one.begin()
    losses = list(trainer.run(steps=one.steps))
    assert one.trained.history.losses == losses
    np.testing.assert_array_equal(one.twin.flat_parameters, trainer.model.flat_parameters)


def test_batches_are_those_of_the_text_that_is_trained_on_and_stated_ones_those_of_the_text_that_was_meant():
    one, sound = ill("target is the word itself"), ill("healthy")
    for (inputs, targets), (stated_inputs, stated_targets) in zip(one.batches(3), one.stated_batches(3), strict=True):
        np.testing.assert_array_equal(inputs, targets)
        np.testing.assert_array_equal(stated_inputs, inputs)
        np.testing.assert_array_equal(stated_targets[:, :-1], stated_inputs[:, 1:])
    assert [b[0].tobytes() for b in sound.batches(3)] == [b[0].tobytes() for b in sound.stated_batches(3)]
    assert len(sound.batches(1000)) == sound.begun.batches_per_epoch
    assert sound.batches(1, epoch=1)[0][0].tobytes() != sound.batch[0].tobytes() == sound.batches(1)[0][0].tobytes()


def test_where_an_epoch_has_one_batch_the_next_epoch_gives_the_next():
    one = ill("healthy, in one batch")
    assert len(one.batches(2)) == 1
    first, second = one.stated_batches(2)
    assert first[0].tobytes() != second[0].tobytes()
    np.testing.assert_array_equal(np.sort(first[0], axis=0), np.sort(second[0], axis=0))


class Wavering:
    """A model whose losses are told off from a list."""

    def __init__(self, *losses):
        self.losses = list(losses)

    def loss(self, tokens, targets):
        return self.losses.pop(0)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], True),
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.1], False),
        ([1.0, 1.1, 1.0], [np.nan] * 3, False),  # a model that wavers, and has overflowed since
        ([1.0] * 3, [float("nan"), float("nan"), float("nan")], True),
        ([1.0] * 3, [np.inf] * 3, True),
        ([1.0] * 3, [np.inf, np.inf, np.nan], False),
    ],
)
def test_a_model_gives_the_same_twice_if_it_does_before_training_and_after_it(before, after, same):
    one = Patient(None, None, 1)
    one.begun, one.trained, one.batch = SimpleNamespace(model=Wavering(*before)), SimpleNamespace(model=Wavering(*after)), (None, None)
    assert one.gives_the_same_twice is same


def test_dropout_is_found_in_a_model_that_has_overflowed():
    def plant(parts, stated):
        return faults.ALL["rate a thousand times too high"].plant(faults.ALL["dropout at evaluation"].plant(parts, stated), stated)

    stated = replace(SMALL, optimizer="momentum", learning_rate=1e6, clip_norm=None)
    one = patient(stated, plant)
    assert np.isnan(one.trained.history.losses[-1])
    assert said("perturb a later token", one) == {kit.REFUSED}


def test_a_training_of_another_framework_is_a_patient_by_what_an_instrument_asks_for():
    """The rate log and the readers of text: nothing of this library's trainer or model."""
    stated = copy.copy(SMALL)

    class Foreign:
        def __init__(self):
            self.history = SimpleNamespace(learning_rates=[])
            self.corpus, self.batch_size = stated.corpus(), 3
            self.model = SimpleNamespace(config=SimpleNamespace(seq_len=10))

        def run(self, steps):
            for step in range(steps):
                self.history.learning_rates.append(1e-3 * stated.rate(step))
                yield 0.0

    one = Patient(stated, Foreign, 30)
    assert said("rate log", one) == {"the rate never comes near the stated"}
    assert all(said(name, one) == set() for name in ("print a batch", "count the text", "overlap"))
    assert isinstance(stated, Settings)
