import numpy as np
import pytest

from cllm_lib import claims
from cllm_lib.claims import try_out
from cllm_lib.experiments.intervals import interval


def drawn(variant, seed):
    return float(np.random.default_rng(seed).normal() + variant + 0.01 * np.random.default_rng([seed, 1]).normal() * variant)


def test_a_claim_of_ones_own_is_judged_by_the_wider_interval():
    row = try_out("lower", drawn, -1.0, 0.0, "a rise", seeds=range(12))
    differences = [drawn(-1.0, seed) - drawn(0.0, seed) for seed in range(12)]
    (effect,) = row.effects
    assert effect.interval == interval(differences)
    assert effect.corrected == interval(differences, 1 - 0.05 / (claims.comparisons() + 1))
    assert (row.verdict, row.n_seeds, row.change_our_mind) == (claims.HOLDS, 12, "a rise")


@pytest.mark.parametrize("ours", [1.0, 0.0001])
def test_a_claim_that_is_wrong_or_too_small_to_see_does_not_hold(ours):
    assert try_out("lower", drawn, ours, 0.0, "a fall").verdict == claims.FAILS


def barely(variant, seed):
    return (seed % 2 - 0.05) * variant


def test_what_only_the_plain_interval_shows_does_not_hold():
    row = try_out("lower", barely, -1.0, 0.0, "more")
    assert row.effects[0].interval.high < 0 < row.effects[0].corrected.high
    assert row.verdict == claims.FAILS


def test_nine_seeds_are_too_few():
    with pytest.raises(ValueError, match="no verdict without 10"):
        try_out("lower", drawn, 1.0, 0.0, "x", seeds=range(9))
