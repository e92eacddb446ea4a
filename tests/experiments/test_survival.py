import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cllm_lib.experiments.survival import kaplan_meier, restricted_mean

runs = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=15)


@given(runs)
def test_the_curve_of_those_under_way_is_scipys(pairs):
    times, reached = (np.array(column) for column in zip(*pairs, strict=True))
    moments, shares = kaplan_meier(times, reached)
    if not reached.any():
        assert len(moments) == 0
        return
    theirs = stats.ecdf(stats.CensoredData(uncensored=times[reached], right=times[~reached])).sf
    np.testing.assert_allclose(shares, theirs.evaluate(moments), atol=1e-12)
    assert moments.tolist() == sorted(set(times[reached].tolist()))


@given(runs, st.integers(1, 8))
def test_the_restricted_mean_is_the_area_under_the_curve(pairs, horizon):
    pairs = [(time, reached or time < horizon) for time, reached in pairs]
    times, reached = (np.array(column) for column in zip(*pairs, strict=True))
    moments, shares = kaplan_meier(times, reached)
    edges = np.concatenate([[0.0], np.minimum(moments, horizon), [horizon]])
    area = (np.diff(edges) * np.concatenate([[1.0], shares])).sum()
    assert restricted_mean(times, reached, horizon) == pytest.approx(area)


def test_a_run_stopped_before_the_horizon_allows_no_restricted_mean():
    with pytest.raises(ValueError, match="stopped at 3, before the horizon of 5"):
        restricted_mean([2.0, 3.0], [True, False], 5.0)


@pytest.mark.parametrize(
    ("times", "reached", "message"),
    [
        ([], [], "as long as each other"),
        (np.empty(0), np.empty(0, dtype=bool), r"times have shape \(0,\)"),
        ([[1.0, 2.0]], [[True, False]], r"times have shape \(1, 2\)"),
        ([1.0], [True, True], "as long as each other"),
        ([1.0], [1], "as long as each other"),
        ([1.0, -1.0], [True, True], r"times\[1\] is -1"),
        ([math.inf], [False], r"times\[0\] is inf"),
    ],
)
def test_what_are_no_times_is_refused(times, reached, message):
    with pytest.raises(ValueError, match=message):
        kaplan_meier(times, reached)
