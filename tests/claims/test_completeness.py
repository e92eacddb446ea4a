"""Percentages are judged by their mean; what nothing could decide is said to be so."""

from cllm_lib import claims
from cllm_lib.claims import completeness


def test_percentages_with_the_right_mean_would_hold(monkeypatch):
    assert completeness.components_complete()[1].startswith(claims.UNTESTABLE)  # other weights than ours give it
    monkeypatch.setattr(completeness, "COMPONENTS", completeness.COMPONENTS | {"Lattice Integration": 90})
    assert completeness.components_complete()[1] == claims.HOLDS


def test_what_nothing_could_decide_is_said_to_be_so():
    for judge in (completeness.production_ready, completeness.unresponsive):
        _, words, effects = judge()
        assert words.startswith(claims.UNTESTABLE)
        assert effects == []
