"""What arithmetic decides turns when the computation does; the loss to 50 digits, against SciPy."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from cllm_lib import claims, defects
from cllm_lib.claims import arithmetic


def test_attention_that_is_more_than_twice_the_input_would_turn_the_row(monkeypatch):
    assert arithmetic.twice_the_input()[1] == claims.HOLDS
    monkeypatch.setattr(arithmetic, "SimplifiedAttention", lambda: defects_with(lambda x: 2 * x + x.mean(axis=1, keepdims=True)))
    assert arithmetic.twice_the_input()[1] == claims.FAILS


def defects_with(forward):
    part = defects.SimplifiedAttention()
    part.forward = lambda x, parameters, config: (forward(x), None)
    return part


def test_fifty_digits_and_scipy_agree_on_the_loss():
    logits = np.random.default_rng(3).uniform(-1000, 1000, (5, 9))
    targets = np.array([0, 8, 3, 3, 1], dtype=np.int64)
    expected = (logsumexp(logits, axis=1) - logits[np.arange(5, dtype=np.int64), targets]).mean()
    assert arithmetic.cross_entropy_in_50_digits(logits, targets) == pytest.approx(expected, rel=1e-14)


def test_a_clamped_loss_would_not_hold(monkeypatch):
    assert arithmetic.loss_computation()[1] == claims.HOLDS
    monkeypatch.setattr(
        arithmetic, "cross_entropy_forward", lambda logits, targets: (arithmetic.clamped_cross_entropy(logits, targets), None)
    )
    assert arithmetic.loss_computation()[1] == claims.FAILS


def test_the_clamp_lets_no_loss_be_larger_than_the_number_it_was_stuck_near():
    logits = np.array([[-1000.0, 1000.0]])
    assert arithmetic.clamped_cross_entropy(logits, np.array([0], dtype=np.int64)) == pytest.approx(-math.log(1e-10))
    assert arithmetic.clamped_cross_entropy(logits, np.array([1], dtype=np.int64)) == pytest.approx(0.0)


def test_an_epoch_has_the_batches_of_the_log(monkeypatch):
    assert arithmetic.batches_per_epoch()[1] == claims.HOLDS
    monkeypatch.setattr(arithmetic, "BATCH", 5)
    assert arithmetic.batches_per_epoch()[1] == claims.FAILS


def test_a_loss_stands_still_where_every_weight_is_zero(monkeypatch):
    assert arithmetic.constant_loss()[1] == claims.HOLDS
    monkeypatch.setattr(arithmetic, "incident", lambda config: defects.incident(config, init="scaled_normal"))
    assert arithmetic.constant_loss()[1] == claims.FAILS
    monkeypatch.setattr(arithmetic, "incident", defects.incident)
    monkeypatch.setattr(arithmetic, "WORDS", 5_000)
    assert arithmetic.constant_loss()[1] == claims.FAILS


def test_hours_that_come_to_less_would_not_hold(monkeypatch):
    assert arithmetic.total_time()[1] == claims.HOLDS
    monkeypatch.setattr(arithmetic, "HOURS", (1, 1, 1))
    assert arithmetic.total_time()[1] == claims.FAILS
