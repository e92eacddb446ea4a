"""Answers: yes, no, and undecided; and intervals that hold as often as they say, of every kind of value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.claims import above, below, described, every, some
from cllm_lib.claims.questions import INTERVALS, Effect, Question
from cllm_lib.experiments.intervals import CONFIDENCE, Interval, exact_binomial_interval, interval

VALUES = np.random.default_rng(0).normal(0.3, 0.2, 12)
ANSWERS = st.sampled_from([True, False, None])


def answer(question, low, high):
    """To a corrected interval."""
    return Effect("e", "u", Interval((low + high) / 2, low, high), Interval((low + high) / 2, low, high), 10, question).answer


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.1, 2.0, True),  # all of it beyond the threshold
        (1.0, 2.0, None),  # it may be just at the threshold
        (0.5, 1.2, False),  # beyond by less than would matter, at most
        (0.5, 1.3, None),
        (1.05, 1.1, False),  # surely beyond, and surely by too little to matter
        (-5.0, -4.0, False),
    ],
)
def test_no_is_said_only_where_what_would_matter_is_excluded(low, high, expected):
    assert answer(above("e", 1.0, 0.2, "u"), low, high) is expected
    assert answer(below("e", -1.0, 0.2, "u"), -high, -low) is expected


@given(st.floats(-3, 3), st.floats(0, 2), st.floats(-3, 3), st.floats(0, 3), st.floats(0, 1))
def test_what_a_wide_interval_answers_a_narrower_one_within_answers_too(threshold, margin, low, width, inner):
    question = above("e", threshold, margin, "u")
    wide, narrow = answer(question, low, low + width), answer(question, low + inner * width / 2, low + width - inner * width / 2)
    assert wide is None or narrow is wide or (wide is True and narrow is False)  # it is there, and now seen to be too small to matter


@given(st.lists(ANSWERS, min_size=1, max_size=4))
def test_answers_are_joined_as_if_each_undecided_one_went_either_way(answers):
    worlds = [[]]
    for one in answers:
        worlds = [[*world, other] for world in worlds for other in ([True, False] if one is None else [one])]
    for joined, plain in ((every, all), (some, any)):
        outcomes = {plain(world) for world in worlds}
        assert joined(answers) is (outcomes.pop() if len(outcomes) == 1 else None)


def test_the_corrected_interval_is_that_of_the_family(monkeypatch):
    monkeypatch.setattr("cllm_lib.claims.questions.comparisons", lambda: 7)
    one = above("gain", 0.0, 0.1, "nats")(VALUES)
    assert one.interval == interval(VALUES)
    assert one.corrected == interval(VALUES, 1 - 0.05 / 7)
    assert (one.n_seeds, one.answer) == (12, True)


def test_what_is_described_is_not_corrected_and_answers_nothing():
    one = described("gain", VALUES, "nats")
    assert one.interval == one.corrected == interval(VALUES)
    assert (one.question, one.answer, one.n_seeds) == (None, None, 12)


@pytest.mark.parametrize("kind", [kind for kind in INTERVALS if kind != "yes or no"])
def test_where_nothing_varies_there_is_no_interval(kind):
    one = above("share", 0.9, 0.05, "share", kind).answered([1.0] * 10, 0.999)
    assert one.is_constant
    assert f"{one:.2f}" == "1.00 (the same in all 10)"
    assert (one.answer, one.detectable) == (True, None)
    assert below("difference", 0.0, 0.1, "nats").answered([0.0] * 10, 0.999).answer is False


def test_ten_times_yes_is_a_share_that_may_be_less():
    one = above("seeds", 0.5, 0.1, "share of seeds", "yes or no").answered([True] * 10, 0.999)
    assert one.corrected == exact_binomial_interval(10, 10, 0.999)
    assert not one.is_constant
    assert one.answer is None


@given(st.lists(st.floats(0.0, 1.0), min_size=10, max_size=12), st.sampled_from(["share of many", "share of few"]))
def test_no_share_has_an_interval_beyond_0_and_1(values, kind):
    one = above("share", 0.5, 0.1, "share", kind).answered(values, 0.9994)
    for found in (one.interval, one.corrected):
        assert 0.0 <= found.low <= found.mean + 1e-12
        assert found.mean <= found.high + 1e-12 <= 1.0 + 1e-12


def test_nine_seeds_are_refused():
    with pytest.raises(ValueError, match="'gain' has 9 seeds: where chance has a part, no verdict without 10"):
        above("gain", 0.0, 0.1, "nats").answered(VALUES[:9], CONFIDENCE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(dict(says="beside"), "side"), (dict(kind="guess"), "kind of value"), (dict(margin=-0.1), "margin")],
    ids=["a side that is none", "an unknown kind", "a margin below zero"],
)
def test_questions_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Question(**(dict(name="e", unit="u", says="below", threshold=0.0, margin=0.1) | arguments))


DRAWN = {  # values of n seeds, as they come in the table, and the true mean
    "number": (lambda g, n: g.normal(1.0, 2.0, n), 1.0),
    "number with a long tail": (lambda g, n: g.exponential(1.0, n), 1.0),
    "share of many": (lambda g, n: g.binomial(3_000, 0.995, n) / 3_000, 0.995),
    "share of few": (lambda g, n: g.binomial(19, 0.97, n) / 19, 0.97),
    "yes or no": (lambda g, n: g.random(n) < 0.85, 0.85),
}


@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("kind", INTERVALS)
def test_each_kind_of_interval_holds_the_mean_as_often_as_it_says(kind, n, monkeypatch):
    monkeypatch.setattr("cllm_lib.experiments.intervals.studentized_bootstrap_interval.__defaults__", (CONFIDENCE, 1_000, 0))
    draw, mean = DRAWN[kind]
    generator, question = np.random.default_rng(n), above("e", 0.0, 0.1, "u", kind)
    effects = [question.answered(draw(generator, n), CONFIDENCE) for _ in range(1_500)]
    held = np.mean([mean in one.interval for one in effects if not one.is_constant])
    assert held >= 0.93
