import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cllm_lib.experiments.intervals import (
    Interval,
    bootstrap_interval,
    bounded_interval,
    detectable_effect,
    exact_binomial_interval,
    holm,
    interval,
    p_value,
    paired_difference,
    studentized_bootstrap_interval,
)

few_values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)
few_shares = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6)


@given(few_values, st.floats(0.5, 0.999))
def test_the_interval_is_scipys(values, confidence):
    found = interval(values, confidence)
    error = stats.sem(values)
    low, high = stats.t.interval(confidence, len(values) - 1, np.mean(values), error) if error > 0 else 2 * (np.mean(values),)
    assert math.isclose(found.mean, np.mean(values), abs_tol=1e-9)
    assert found.low == pytest.approx(low, rel=1e-9, abs=1e-6)
    assert found.high == pytest.approx(high, rel=1e-9, abs=1e-6)


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
    held = np.mean([3.0 in interval(sample, 0.9) for sample in samples])
    assert 0.88 < held < 0.92


def test_intervals_of_many_hold_all_at_once_as_often_as_they_say():
    samples = np.random.default_rng(0).normal(0.0, 1.0, (1000, 20, 5))
    plain, wider = (np.mean([all(0.0 in interval(one, c) for one in twenty) for twenty in samples]) for c in (0.95, 1 - 0.05 / 20))
    assert plain < 0.4
    assert 0.935 < wider < 0.97


def test_pairs_take_out_what_the_seed_did_to_both():
    generator = np.random.default_rng(1)
    luck = generator.normal(0.0, 10.0, 8)
    ours, others = luck + 1.0 + generator.normal(0, 0.1, 8), luck
    assert paired_difference(ours, others).clear_of_zero
    assert not (interval(ours).low > interval(others).high)


@pytest.mark.parametrize("zero_at", ["low", "high", "inside"])
def test_an_interval_holds_its_ends(zero_at):
    low, high = {"low": (0.0, 2.0), "high": (-2.0, 0.0), "inside": (-1.0, 1.0)}[zero_at]
    found = Interval((low + high) / 2, low, high)
    assert low in found
    assert high in found
    assert not found.clear_of_zero
    assert np.nextafter(low, -9.0) not in found
    assert np.nextafter(high, 9.0) not in found


def test_an_interval_prints_as_one_reads_it():
    assert f"{interval([0.5, 0.5, 0.5]):.1f}" == "0.5 (0.5 to 0.5)"


@pytest.mark.parametrize("function", [interval, p_value])
@pytest.mark.parametrize(
    ("values", "message"),
    [([1.0], "at least two"), ([], "at least two"), ([[1.0, 2.0]], "at least two"), ([1.0, math.nan], r"values\[1\] is not finite")],
)
def test_values_that_allow_no_interval_are_refused(function, values, message):
    with pytest.raises(ValueError, match=message):
        function(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, -0.1])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval([1.0, 2.0], confidence)
    with pytest.raises(ValueError, match="between 0 and 1"):
        exact_binomial_interval(1, 2, confidence)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_interval(np.sum, 3, np.random.default_rng(0), confidence)


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="one of each for every seed"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=12).filter(lambda values: len(set(values)) > 1))
def test_the_p_value_is_scipys_and_agrees_with_the_interval(values):
    found = p_value(values)
    assert found == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, rel=1e-9, abs=1e-300)
    if abs(found - 0.05) > 1e-9:
        assert (found < 0.05) == interval(values).clear_of_zero


def test_values_without_spread_have_a_p_value_of_0_or_1():
    assert (p_value([2.0, 2.0]), p_value([0.0, 0.0])) == (0.0, 1.0)


@given(few_shares)
def test_holms_p_values_are_those_of_closed_testing(p_values):
    """A question is answered if every group of questions it belongs to is, by the smallest p of the group times its size."""
    numbers = range(len(p_values))
    groups = [group for size in range(1, len(p_values) + 1) for group in itertools.combinations(numbers, size)]
    by_group = {group: min(1.0, len(group) * min(p_values[i] for i in group)) for group in groups}
    closed = [max(p for group, p in by_group.items() if i in group) for i in numbers]
    np.testing.assert_allclose(holm(p_values), closed)


@pytest.mark.parametrize("p_values", [[], [0.1, -0.1], [1.1], [math.nan], [[0.1]]])
def test_what_are_no_p_values_is_refused(p_values):
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm(p_values)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_the_interval_of_a_share_is_scipys(counts, confidence):
    found, theirs = exact_binomial_interval(*counts, confidence), stats.binomtest(*counts).proportion_ci(confidence, method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert found.mean == counts[0] / counts[1]


@pytest.mark.parametrize(("successes", "trials", "message"), [(3, 2, "at most"), (-1, 2, "successes"), (0, 0, "trials"), (0.5, 2, "whole")])
def test_counts_that_make_no_share_are_refused(successes, trials, message):
    with pytest.raises(ValueError, match=message):
        exact_binomial_interval(successes, trials)


def test_the_bootstrap_is_scipys():
    x, y = np.random.default_rng(2).normal(size=(2, 40))
    y += x
    ours = bootstrap_interval(lambda rows: np.corrcoef(x[rows], y[rows])[0, 1], 40, np.random.default_rng(0), rounds=5000)
    theirs = stats.bootstrap(
        (x, y), lambda a, b: np.corrcoef(a, b)[0, 1], paired=True, vectorized=False, method="percentile", n_resamples=5000, rng=1
    ).confidence_interval
    assert ours.mean == np.corrcoef(x, y)[0, 1]
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


@given(st.lists(st.floats(-3.0, 5.0), min_size=2, max_size=15), st.floats(0.5, 0.9999))
def test_a_bounded_interval_is_that_of_the_distributions_smirnov_allows(values, confidence):
    """The least mean is what lies above the steps, raised by Smirnov's distance: an area, segment by segment."""
    found = bounded_interval(values, -3.0, 5.0, confidence)
    raised = np.arange(len(values) + 1, dtype=np.int64) / len(values) + stats.ksone.isf((1 - confidence) / 2, len(values))
    area = (np.minimum(1.0, raised) * np.diff([-3.0, *np.sort(values), 5.0])).sum()
    assert found.low == pytest.approx(5.0 - area, abs=1e-9)
    mirrored = bounded_interval(-np.array(values), -5.0, 3.0, confidence)
    assert (found.mean, found.low, found.high) == pytest.approx((-mirrored.mean, -mirrored.high, -mirrored.low))
    assert -3.0 <= found.low <= found.mean + 1e-9
    assert found.mean <= found.high + 1e-9 <= 5.0 + 2e-9


def test_a_value_out_of_its_range_is_refused():
    with pytest.raises(ValueError, match="values go from 0 to 1.5: give values from 0 to 1"):
        bounded_interval([0.0, 1.5])


def test_the_studentized_bootstrap_is_the_textbooks():
    """Efron and Tibshirani's table, drawn once more by another path: the quantiles of t* over samples of the sample."""
    values = np.random.default_rng(4).exponential(size=12)
    found = studentized_bootstrap_interval(values, rounds=40_000)
    generator, ratios = np.random.default_rng(99), []
    for _ in range(20_000):
        sample = generator.choice(values, len(values))
        if np.ptp(sample) > 0:
            ratios.append((sample.mean() - values.mean()) / stats.sem(sample))
    low, high = (values.mean() - np.quantile(ratios, tail) * stats.sem(values) for tail in (0.975, 0.025))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1)
    assert found.high - found.mean > found.mean - found.low  # the tail is on the right
    assert studentized_bootstrap_interval(values) == studentized_bootstrap_interval(values)


def test_where_nothing_varies_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="all 3 values are 2: where nothing varies"):
        studentized_bootstrap_interval([2.0, 2.0, 2.0])


@pytest.mark.parametrize("n", [10, 20])
def test_an_effect_of_the_detectable_size_is_seen_four_times_in_five(n):
    samples = np.random.default_rng(3).normal(detectable_effect(2.0, n), 2.0, (4_000, n))
    assert np.mean([interval(sample).low > 0 for sample in samples]) == pytest.approx(0.8, abs=0.03)
