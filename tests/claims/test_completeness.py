"""Percentages are judged by what they may have counted; what nothing could decide is said to be so."""

import pytest

from cllm_lib import CLLM, CLLMConfig, claims
from cllm_lib.claims import completeness
from cllm_lib.defects import LostEmbeddingGradient
from cllm_lib.defects.whole_program import ProgramLayer


def test_percentages_with_the_right_mean_would_hold(monkeypatch):
    assert completeness.components_complete()[1].startswith(claims.UNTESTABLE)  # other weights than ours give it
    monkeypatch.setattr(completeness, "COMPONENTS", completeness.COMPONENTS | {"Lattice Integration": 90})
    assert completeness.components_complete()[1] == claims.HOLDS


def test_marks_that_come_to_forty_percent_would_hold(monkeypatch):
    assert completeness.forty_percent()[1].startswith(claims.UNTESTABLE)
    monkeypatch.setattr(completeness, "DONE", 2)
    monkeypatch.setattr(completeness, "LISTED", 5)
    assert completeness.forty_percent()[1] == claims.HOLDS


@pytest.mark.parametrize(("claimed", "holds"), [(25, True), (23, True), (40, False)])
def test_a_share_that_one_way_of_counting_gives_would_hold(claimed, holds, monkeypatch):
    monkeypatch.setattr(completeness, "COMPONENTS", dict.fromkeys(completeness.COMPONENTS, claimed))
    for judge in (completeness.backward_percentage, completeness.updates_percentage):
        assert (judge()[1] == claims.HOLDS) == holds
        assert judge()[1].startswith(claims.HOLDS if holds else claims.UNTESTABLE)


def test_the_shapes_are_those_of_the_program(monkeypatch):
    small = dict(vocab_size=30, d_model=8, n_layers=2, n_heads=2, d_ff=16, seq_len=4)
    monkeypatch.setattr(completeness, "DOCUMENTED", small)
    model = CLLM(CLLMConfig(**small), layer=ProgramLayer(set()), embedding=LostEmbeddingGradient())
    assert completeness.program_shapes() == {name: array.shape for name, array in model.parameters.items()}
    assert completeness.shares_trained()["numbers"] == model.parameters["embedding"].size / model.flat_parameters.size


NOTHING_DECIDES = (
    completeness.production_ready,
    completeness.unresponsive,
    completeness.other_percentages,
    completeness.crystalline_not_used,
    completeness.clean_build,
    completeness.hours_remaining,
)


@pytest.mark.parametrize("judge", [pytest.param(one, id=one.__name__.replace("_", " ")) for one in NOTHING_DECIDES])
def test_what_nothing_could_decide_is_said_to_be_so(judge):
    _, words, effects = judge()
    assert words.startswith(claims.UNTESTABLE)
    assert effects == []
