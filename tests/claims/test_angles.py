"""The outer product approximates if the angle to the true gradient is small."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store

from cllm_lib import claims
from cllm_lib.claims import angles


def degrees(spread=1.0, **one):
    return {
        (moment, name): one.get(name, 10.0) + np.linspace(-spread, spread, 10) for moment in angles.MOMENTS for name in angles.PROJECTIONS
    }


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        ({}, claims.HOLDS),
        ({"value": 90.0}, "holds only if it is about query, new and key, new and query, after five epochs and key, after five epochs"),
        ({"value": 47.0, "query": 90.0, "key": 90.0}, claims.FAILS),
        (dict.fromkeys(angles.PROJECTIONS, 90.0), claims.FAILS),
        (dict.fromkeys(angles.PROJECTIONS, 45.0) | {"spread": 30.0}, claims.UNDECIDED),
    ],
)
def test_nearness_is_judged_by_the_angle(one, verdict, monkeypatch):
    store(monkeypatch, "shortcut_angles", degrees(**one))
    assert angles.near_the_true_gradient()[1].startswith(verdict)


def test_a_true_gradient_has_no_angle_to_itself(monkeypatch):
    monkeypatch.setattr(angles, "OuterProductAttention", angles.CLLM(angles.CLLMConfig(4, d_model=4, n_heads=2)).layer.attention.__class__)
    assert max(angles.shortcut_angles("new", 0).values()) < 1e-6


def test_a_few_runs_made_now_are_those_stored():
    assert_comes_back("shortcut_angles")
