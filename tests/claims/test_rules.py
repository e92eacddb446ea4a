"""Each rule fires on its condition alone, and rules that name every fault would hold."""

import pytest
from claims.made import assert_comes_back, store

from cllm_lib import claims, defects
from cllm_lib.claims import rules


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"weight ff": 0.0}, "weights are zeros"),
        ({"gradient attn max": 0.0}, "gradients are zeros"),
        ({"gradient embed max": 1.5}, "gradients are huge (>1.0)"),
        ({"gradient attn max": 1e-7}, "gradients are tiny (<1e-6)"),
    ],
)
def test_each_rule_fires_on_its_condition_alone(change, rule):
    sound = {"weight embed": 0.02, "weight ff": 0.02, "gradient embed max": 0.1, "gradient attn max": 1e-3, "gradient embed avg": 1e-9}
    assert not any(rules.accused_by_rules(sound).values())
    assert [name for name, fired in rules.accused_by_rules(sound | change).items() if fired] == [rule]


def test_every_fault_that_a_rule_has_a_word_for_is_in_the_museum():
    assert set(rules.GUILTY) < set(defects.ALL)
    assert set(rules.GUILTY.values()) < set(rules.RULES.values())


def test_rules_that_name_every_fault_would_hold(monkeypatch):
    assert rules.diagnostic_rules()[1].startswith("holds only if the fault is one of these: silent zero initialisation")
    guilty = dict.fromkeys(defects.ALL, "backward pass")
    monkeypatch.setattr(rules, "GUILTY", guilty)
    fired = {(name, rule): guilty.get(name) == part for name in (rules.HEALTHY, *defects.ALL) for rule, part in rules.RULES.items()}
    store(monkeypatch, "rules", fired)
    assert rules.diagnostic_rules()[1] == claims.HOLDS


def test_a_few_runs_made_now_are_those_stored():
    assert_comes_back("rules")
