"""Rates too large are judged by what the loss does, rates too small by which weights move."""

import numpy as np
import pytest
from claims.made import store

from cllm_lib import claims
from cllm_lib.claims import large_rates


def trouble(diverged, rising):
    return {(name, part): value for name in large_rates.LARGE for part, value in (("diverged", diverged), ("rising", rising))}


@pytest.mark.parametrize(
    ("diverged", "rising", "verdict"),
    [(1.0, 0.0, claims.HOLDS), (0.0, 0.5, claims.HOLDS), (0.0, 0.1, claims.FAILS), ([1.0] * 10 + [0.0] * 10, 0.0, claims.UNDECIDED)],
)
def test_either_will_do_in_most_seeds(diverged, rising, verdict, monkeypatch):
    store(monkeypatch, "large_rates", trouble(diverged, rising), range(20))
    assert large_rates.too_large()[1] == verdict


def test_one_rate_that_does_neither_leaves_the_others(monkeypatch):
    found = trouble(1.0, 1.0) | {("adam 0.1", "diverged"): 0.0, ("adam 0.1", "rising"): 0.0}
    store(monkeypatch, "large_rates", found, range(20))
    assert large_rates.too_large()[1] == "holds only if the rate is sgd 10 or sgd 100 or adam 1"


def test_in_few_digits_a_small_step_is_none_and_in_many_it_is_one(monkeypatch):
    assert large_rates.too_small()[1].startswith("holds only if weights are float32 and the rate is 1e-")
    assert large_rates.moved(1e-12, np.float32) < 0.01 < large_rates.moved(1e-6, np.float32) < large_rates.moved(1e-3, np.float32)
    monkeypatch.setattr(large_rates, "moved", lambda rate, dtype: float(rate > 1e-4))
    assert large_rates.too_small()[1] == claims.HOLDS
    monkeypatch.setattr(large_rates, "moved", lambda rate, dtype: 1.0)
    assert large_rates.too_small()[1] == claims.FAILS


def test_a_run_that_diverged_does_so_again():
    """Its digits are chaos: the last bit of one processor's sums makes others of them."""
    (run, now), *_ = claims.recompute("large_rates").items()
    assert run.measure == "diverged"
    assert now == claims.runs("large_rates")[run] == 1.0
