"""Zeros and constants are judged against Xavier's rule."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store

from cllm_lib import CLLM, CLLMConfig, claims
from cllm_lib.claims import initial_values

NOISE = np.linspace(-0.01, 0.01, 10)


@pytest.mark.parametrize(
    ("zeros", "constant", "verdict"),
    [(5.6, 5.3, claims.HOLDS), (5.6, 4.0, claims.FAILS), (4.0, 5.3, claims.FAILS), (4.02, 5.3, claims.UNDECIDED)],
)
def test_both_have_to_end_higher(zeros, constant, verdict, monkeypatch):
    wide = NOISE * (10 if verdict == claims.UNDECIDED else 1)
    after = {"Xavier": 4.0 + wide, "zeros": zeros, "constant": constant}
    store(
        monkeypatch,
        "initial_values",
        {(name, which): 5.6 if which == "before" else after[name] for name in after for which in ("before", "after")},
    )
    assert initial_values.not_constant()[1] == verdict


def test_xavier_is_of_the_size_of_the_paper_and_a_constant_is_one_number():
    config = CLLMConfig(300, d_model=64, n_heads=4, d_ff=256, seq_len=4)
    drawn, one = (CLLM(config, init=init).parameters for init in (initial_values.xavier, initial_values.constant))
    expand = drawn["layers.0.feed_forward.expand_weight"]
    assert expand.std() == pytest.approx(np.sqrt(2 / (64 + 256)), rel=0.05)  # Glorot and Bengio: variance 2 / (fan_in + fan_out)
    assert np.ptp(one["layers.0.feed_forward.expand_weight"]) == 0.0 != one["embedding"].max()


def test_a_few_runs_made_now_are_those_stored():
    assert_comes_back("initial_values")
