"""The log that was expected, judged by what is printed and counted."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store

from cllm_lib import claims
from cllm_lib.claims import counted

SPREAD = np.linspace(0.99, 1.01, 10)


def log(factor, **counts):
    numbers = {f"gradient {name}": number * factor * SPREAD for name, number in counted.LOGGED_GRADIENTS.items()}
    numbers |= {f"gradient {name} count": count for name, count in counts.items()}
    return {("uniform", name): value for name, value in numbers.items()}


@pytest.mark.parametrize(("count", "verdict"), [(10_000, claims.HOLDS), (500, claims.FAILS)])
def test_thousands_are_a_thousand_at_least(count, verdict, monkeypatch):
    store(monkeypatch, "counted_gradients", log(1.0, embed=count))
    assert counted.thousands_of_gradients()[1] == verdict


@pytest.mark.parametrize(("count", "verdict"), [(1_000, claims.HOLDS), (0, claims.FAILS)])
def test_attention_has_gradients_if_some_are_counted(count, verdict, monkeypatch):
    store(monkeypatch, "counted_gradients", log(1.0, attn=count))
    assert counted.gradients_of_attention()[1] == verdict


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, claims.HOLDS), (1.9, claims.HOLDS), (2.5, claims.FAILS), (0.4, claims.FAILS)])
def test_a_log_is_met_within_a_factor_of_two(factor, verdict, monkeypatch):
    store(monkeypatch, "counted_gradients", log(factor))
    assert counted.gradients_of_the_log()[1] == verdict
    weights = {
        (way, f"weight {name}, batch 1"): size * factor * SPREAD
        for way in ("uniform", "scaled")
        for name, size in counted.LOGGED_WEIGHTS.items()
    }
    store(monkeypatch, "magnitudes", weights)
    assert counted.weights_of_the_log()[1] == verdict


def test_one_number_that_is_off_is_enough(monkeypatch):
    store(monkeypatch, "counted_gradients", log(1.0, attn=10_000))
    assert counted.gradients_of_the_log()[1] == claims.FAILS


@pytest.mark.slow
def test_a_long_run_made_now_is_the_one_stored():
    assert_comes_back("counted_gradients", rel=1e-3, seeds=[4])
