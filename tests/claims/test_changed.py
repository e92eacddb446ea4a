"""A family of its own: two questions of one interval each, counted before anything is judged, and verdicts that follow from both."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import claims
from cllm_lib.claims import changed, questions
from cllm_lib.claims.changed import BETTER, SAME, UNDECIDED, WORSE, Comparison
from cllm_lib.experiments.intervals import interval

SPREAD = np.linspace(-1.0, 1.0, 10)  # around whatever mean


def one_of_mean(mean, width=0.01, margin=0.05):
    """A comparison whose ten differences lie around a mean."""
    return Comparison("depth", "new", "old", "a text", "nats", margin, lambda name, against, text: mean + width * SPREAD)


@pytest.mark.parametrize(
    ("mean", "width", "verdict"),
    [
        (-0.2, 0.01, BETTER),
        (0.2, 0.01, WORSE),
        (0.0, 0.01, SAME),
        (-0.03, 0.005, SAME),  # surely lower, and surely by too little to matter
        (-0.2, 0.5, UNDECIDED),
        (0.0, 0.2, UNDECIDED),  # either way it may be more than the margin
    ],
)
def test_the_verdict_turns_when_the_differences_do(mean, width, verdict):
    found = changed.judged(one_of_mean(mean, width), 0.999)
    assert found.verdict == verdict
    assert changed.judged(one_of_mean(-mean, width), 0.999).verdict == {BETTER: WORSE, WORSE: BETTER}.get(verdict, verdict)
    assert found.line == f"a text: new minus old: {found.effect:+.3f} nats: {verdict}"


@given(st.floats(-1, 1), st.floats(0.001, 1), st.floats(0.001, 0.5))
def test_a_verdict_says_where_the_corrected_interval_lies(mean, width, margin):
    found = changed.judged(one_of_mean(mean, width, margin), 0.99)
    low, high = found.effect.corrected.low, found.effect.corrected.high
    assert found.effect.corrected == interval(mean + width * SPREAD, 0.99)
    expected = UNDECIDED
    if -margin <= low and high <= margin:
        expected = SAME
    elif high < 0 and low < -margin:
        expected = BETTER
    elif low > 0 and high > margin:
        expected = WORSE
    assert found.verdict == expected


def test_where_all_seeds_give_one_value_it_is_that():
    assert changed.judged(one_of_mean(-0.3, 0.0), 0.99).verdict == BETTER
    assert changed.judged(one_of_mean(0.0, 0.0), 0.99).verdict == SAME


@pytest.fixture
def family(monkeypatch):
    """An empty one, to be filled."""
    changed.comparisons()  # while it is the real one
    monkeypatch.setattr(changed, "_COMPARISONS", made := {})
    return made


def flat(name, against, text):
    return np.zeros(10)


def test_the_correction_counts_every_comparison(family):
    for count in range(1, 6):
        changed.compare("units", f"new {count}", "old", "a text", "nats", 0.1, flat)
        assert changed.confidence() == pytest.approx(1 - 0.05 / count)
    assert f"{len(family)} comparisons" in changed.rules()["correction"]


def test_all_intervals_hold_at_once_as_often_as_they_say(family):
    """Twenty changes that change nothing, 300 families: in 5 % of them or fewer is one of the twenty called better or worse."""
    for count in range(20):
        changed.compare("units", f"new {count}", "old", "a text", "nats", 0.1, flat)
    generator, level = np.random.default_rng(0), changed.confidence()
    asked = changed.comparisons()[0].asks
    wrong = [any(one.answered(generator.normal(size=10), level).corrected.clear_of_zero for one in [asked[0]] * 20) for _ in range(300)]
    assert 0.0 < np.mean(wrong) < 0.09


def test_comparisons_come_part_by_part_whoever_was_imported_first(family):
    for part in ("ladder", "layer", "units", "layer"):
        changed.compare(part, f"new {len(family)}", "old", "a text", "nats", 0.1, flat)
    assert [one.part for one in changed.comparisons()] == ["layer", "layer", "units", "ladder"]
    assert [one.part for one in changed.changes("layer")] == ["layer", "layer"]


def test_a_comparison_is_registered_once_and_under_a_part_that_exists(family):
    changed.compare("layer", "new", "old", "a text", "nats", 0.1, flat)
    changed.compare("layer", "new", "old", "a text", "nats", 0.1, flat)  # a module that is read again
    with pytest.raises(ValueError, match="'new' is compared with 'old' on 'a text' already, in .*test_changed"):
        changed.compare("layer", "new", "old", "a text", "nats", 0.1, np.subtract)
    with pytest.raises(ValueError, match="unknown part 'layers': choose one of 'layer', 'units'"):
        changed.compare("layers", "new", "old", "a text", "nats", 0.1, flat)
    with pytest.raises(ValueError, match="unknown part 'deep'"):
        changed.changes("deep")


def test_the_family_of_the_documents_is_none_the_wider():
    assert not any("changed" in name for key in questions.family() for name in key)
    assert {one.part for one in changed.comparisons()} == set(changed.PARTS)
    assert len(changed.rules()["comparisons"]) == len(changed.comparisons())  # no two have one name


def test_what_is_stored_is_what_the_runs_say(tmp_path):
    claims.write_changes(tmp_path / "changes.csv")
    assert (tmp_path / "changes.csv").read_bytes() == claims.evidence_file(changed.FILE).read_bytes()
    with (tmp_path / "changes.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    found = claims.changes()
    assert [line["verdict"] for line in lines] == [one.verdict for one in found]
    assert all(int(line["seeds"]) >= 10 for line in lines)
    for line, one in zip(lines, found, strict=True):
        numbers = [float(line[name]) for name in ("low", "value", "high", "corrected_low", "corrected_high")]
        assert numbers[3] <= numbers[0] <= numbers[1] <= numbers[2] <= numbers[4]
        assert numbers[1] == pytest.approx(one.effect.interval.mean, rel=1e-5)
