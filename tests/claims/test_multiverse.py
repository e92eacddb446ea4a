"""All ways to judge: a rate chosen by each rule, blocks of seeds, whom an answer favours, and every way once."""

import itertools
import math

import numpy as np
import pytest

from cllm_lib.claims import multiverse, registry
from cllm_lib.claims.multiverse import Way, arm, blocks, chosen_rate, shares, ways

TUNING = {  # by rate: epochs of ten tuning seeds, of which the last never arrives at the high rate
    "0.01": {"near": [5.0] * 10, "lowest": [1.0] * 10},
    "0.03": {"near": [4.0] * 9 + [20.0], "lowest": [2.0] * 10},
    "0.1": {"near": [20.0] * 10, "lowest": [0.5] * 10},
}


@pytest.mark.parametrize(
    ("rule", "rate"),
    [("mean of ten", "0.01"), ("median of ten", "0.03"), ("mean of three", "0.03"), ("median of three", "0.03"), ("lowest loss", "0.1")],
)
def test_a_rule_sees_the_run_that_never_arrives_or_does_not(rule, rate):
    assert chosen_rate(TUNING, "near", rule) == rate


def test_of_rates_at_which_nobody_arrives_the_lowest_loss_decides():
    none = {rate: {"near": [20.0] * 10, "lowest": one["lowest"]} for rate, one in TUNING.items()}
    assert {chosen_rate(none, "near", rule) for rule in multiverse.RULES} == {"0.1"}


def test_blocks_are_named_by_their_seeds():
    assert blocks([*range(3, 13), *range(20, 40)]) == {"3 to 12": slice(0, 10), "20 to 29": slice(10, 20), "30 to 39": slice(20, 30)}


def made(monkeypatch, epochs):
    """Every side arrives after so many epochs; the first ten seeds of ours vary."""
    judging = {kind: {"0.01": {"near": list(epochs[kind])}} for kind in ("by features", *multiverse.CONTROLS)}
    sides = {arm(kind, 1000.0): {"tuning": {"0.01": TUNING["0.01"]}, "judging": one} for kind, one in judging.items()}
    kept = {"texts": {"a text": {"horizon": 20}}, "strengths": [1000.0], "targets": ["near"], "judging seeds": list(range(20))}
    kept |= {"choices": ["text", "strength", "control", "target", "rates by", "seeds"], "runs": {"a text": sides}}
    monkeypatch.setattr(multiverse, "stored", {"multiverse": kept}.get)
    registry.forget()
    found = ways()
    registry.forget()
    return found


def test_each_way_compares_seed_by_seed_in_shares_of_the_horizon(monkeypatch):
    ours = np.linspace(5.0, 6.0, 20)
    found = made(
        monkeypatch, {"by features": ours, "plain": ours + np.tile([1.0, 3.0], 10), "all alike": ours, "of another word": ours[::-1]}
    )
    assert len(found) == 3 * len(multiverse.RULES) * 2
    assert len({tuple(way.choices.values()) for way in found}) == len(found)
    by_control = {control: [way for way in found if way.choices["control"] == control] for control in multiverse.CONTROLS}
    for way in by_control["plain"]:
        assert way.difference.mean == pytest.approx(-2.0 / 20)
        assert way.favours == "features"
    assert {way.favours for way in by_control["all alike"]} == {"neither"}
    assert {way.favours for way in by_control["of another word"]} == {"features", "control"}  # the first seeds, and the last


def test_shares_add_up_for_every_option(monkeypatch):
    found = made(monkeypatch, {kind: np.arange(20.0) for kind in ("by features", *multiverse.CONTROLS)})
    assert all(sum(one.values()) == pytest.approx(1.0) for one in shares(found).values())
    assert shares(found)["", "all"] == {"features": 0.0, "neither": 1.0, "control": 0.0}
    assert list(dict.fromkeys(name for name, _ in shares(found))) == ["", *found[0].choices]


def test_the_stored_ways_are_all_there_and_their_rates_were_judged():
    kept = registry.stored("multiverse")
    options = [kept["texts"], kept["strengths"], multiverse.CONTROLS, kept["targets"], multiverse.RULES, blocks(kept["judging seeds"])]
    assert len(ways()) == math.prod(len(one) for one in options)
    assert all(isinstance(way, Way) and -1 <= way.difference.mean <= 1 for way in ways())
    for text, target, rule in itertools.product(kept["texts"], kept["targets"], multiverse.RULES):
        for side in kept["runs"][text].values():
            assert len(side["judging"][chosen_rate(side["tuning"], target, rule)][target]) == len(kept["judging seeds"])
