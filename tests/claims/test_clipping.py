"""Clipping is needed if every rule ends lower with it, and only where gradients exceed 1."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store

from cllm_lib import claims
from cllm_lib.claims import clipping

NOISE = np.linspace(-0.01, 0.01, 10)


def ends(sgd, adam, largest=5.0):
    gain = {"sgd": sgd, "adam": adam}
    after = {name: 5.0 + (NOISE - gain[rule] if clip else 0.0) for name, (rule, _, clip) in clipping.HUGE.items()}
    return {(name, "after"): end for name, end in after.items()} | {(name, "largest"): largest for name in after}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (ends(1.0, 1.0), claims.HOLDS),
        (ends(-1.0, 1.0), "holds only if the rule is Adam"),
        (ends(1.0, -1.0), "holds only if the rule is plain gradient descent"),
        (ends(-1.0, -1.0), claims.FAILS),
        (ends(1.0, 1.0, largest=0.5), claims.UNDECIDED),  # then nothing was huge
    ],
)
def test_a_clip_is_judged_by_both_rules(found, verdict, monkeypatch):
    store(monkeypatch, "huge_gradients", found)
    assert clipping.clip_above_one()[1] == verdict


def test_a_few_runs_made_now_are_those_stored():
    assert_comes_back("huge_gradients", rel=1e-3)
