"""The rate is typical where the best lies in the range."""

import math

import pytest
from claims.made import assert_comes_back, store

from cllm_lib import claims
from cllm_lib.claims import rates


def losses_by_rate(width, best):
    return {(width, rate): 1.0 + abs(math.log10(float(rate)) - math.log10(best)) for rate in rates.RATES}


@pytest.mark.parametrize(
    ("narrow", "wide", "verdict"),
    [
        (3e-4, 1e-3, claims.HOLDS),
        (1e-2, 1e-3, "holds only if the model is wide (256 numbers a word; the documented one has 512)"),
        (1e-2, 3e-3, claims.FAILS),
    ],
)
def test_the_rate_is_typical_where_the_best_lies_in_the_range(narrow, wide, verdict, monkeypatch):
    store(monkeypatch, "learning_rates", losses_by_rate("narrow", narrow) | losses_by_rate("wide", wide))
    assert rates.best_rates("narrow") == pytest.approx([narrow] * 10)
    assert rates.typical_learning_rate()[1] == verdict


def test_a_few_runs_made_now_are_those_stored():
    assert_comes_back("learning_rates")
