"""A planned test is judged by whether it tells the patient from a sound model."""

import functools

import numpy as np
import pytest
from claims.made import store

from cllm_lib import CLLM, claims
from cllm_lib.claims import diagnostics
from cllm_lib.claims.backward import CONFIG
from cllm_lib.claims.rules import RULES


def sound():
    return CLLM(CONFIG)


def test_nudges_and_updates_tell_zero_weights_from_sound_ones(monkeypatch):
    judges = (diagnostics.loss_sensitivity, diagnostics.weight_updates)
    assert [judge()[1] for judge in judges] == [claims.HOLDS] * 2
    monkeypatch.setattr(diagnostics, "MODELS", dict.fromkeys(diagnostics.MODELS, sound))
    assert [judge()[1] for judge in judges] == [claims.FAILS] * 2
    monkeypatch.setattr(diagnostics, "MODELS", dict.fromkeys(diagnostics.MODELS, functools.partial(CLLM, CONFIG, init="zeros")))
    assert [judge()[1] for judge in judges] == [claims.FAILS] * 2


def test_a_nudge_leaves_the_weights_as_they_were():
    model = sound()
    before = model.flat_parameters.copy()
    assert diagnostics.deaf(model) == []
    np.testing.assert_array_equal(model.flat_parameters, before)


def test_attention_alone_would_do_if_the_loss_fell(monkeypatch):
    assert diagnostics.full_attention()[1] == "holds only if the weights are not zero"
    changes = iter((-1.0, -1.0, 0.0, 0.0))
    monkeypatch.setattr(diagnostics, "change_in_ten_steps", lambda model: next(changes))
    assert diagnostics.full_attention()[1] == claims.HOLDS
    assert diagnostics.full_attention()[1] == claims.FAILS


@pytest.mark.parametrize(("fires", "verdict"), [(1.0, claims.HOLDS), ([1.0] * 9 + [0.0], claims.FAILS)])
def test_a_printout_has_to_name_the_fault_in_every_seed(fires, verdict, monkeypatch):
    store(monkeypatch, "rules", {("silent zero initialisation", next(iter(RULES))): fires})
    assert diagnostics.understanding_by_printing()[1] == verdict


def test_a_gradient_check_finds_what_is_wrong_but_not_at_zero(monkeypatch):
    assert diagnostics.gradient_checking()[1] == "holds only if the weights are not zero"
    assert set(diagnostics.exposed()) == set(diagnostics.FAULTY_BACKWARD) > {"outer-product backward"}
    assert diagnostics.exposed(zero=True) == []
    monkeypatch.setattr(diagnostics, "exposed", lambda zero=False: list(diagnostics.FAULTY_BACKWARD))
    assert diagnostics.gradient_checking()[1] == claims.HOLDS
    monkeypatch.setattr(diagnostics, "exposed", lambda zero=False: [])
    assert diagnostics.gradient_checking()[1] == claims.FAILS


def test_a_check_that_misses_a_fault_or_accuses_a_sound_model_does_not_hold(monkeypatch):
    monkeypatch.setattr(diagnostics, "wrong_tensors", lambda model, coordinates: ["embedding"])
    assert diagnostics.gradient_checking()[1] == claims.FAILS
