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


def test_a_claim_that_is_wrong_does_not_hold():
    assert try_out("lower", drawn, 1.0, 0.0, "a fall").verdict == claims.FAILS


def test_what_is_too_small_to_matter_does_not_hold_and_what_cannot_be_told_is_undecided():
    assert try_out("lower", drawn, -0.0001, 0.0, "a fall", margin=0.1).verdict == claims.FAILS
    assert try_out("lower", barely, -1.0, 0.0, "more", margin=0.1).verdict == claims.UNDECIDED


def barely(variant, seed):
    return (seed % 2 - 0.05) * variant


def test_what_only_the_plain_interval_shows_is_undecided():
    row = try_out("lower", barely, -1.0, 0.0, "more")
    assert row.effects[0].interval.high < 0 < row.effects[0].corrected.high
    assert row.verdict == claims.UNDECIDED


def test_nine_seeds_are_too_few():
    with pytest.raises(ValueError, match="no verdict without 10"):
        try_out("lower", drawn, 1.0, 0.0, "x", seeds=range(9))
