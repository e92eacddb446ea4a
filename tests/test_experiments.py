import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cllm_lib.experiments import interval, paired_difference, run

few_values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


def seed_times(variant, seed):
    return variant * seed


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


def test_pairs_take_out_what_the_seed_did_to_both():
    generator = np.random.default_rng(1)
    luck = generator.normal(0.0, 10.0, 8)
    ours, others = luck + 1.0 + generator.normal(0, 0.1, 8), luck
    assert paired_difference(ours, others).clear_of_zero
    assert not (interval(ours).low > interval(others).high)


def test_an_interval_prints_as_one_reads_it():
    assert f"{interval([0.5, 0.5, 0.5]):.1f}" == "0.5 (0.5 to 0.5)"


@pytest.mark.parametrize(
    ("values", "message"),
    [([1.0], "at least two"), ([], "at least two"), ([[1.0, 2.0]], "at least two"), ([1.0, math.nan], r"values\[1\] is not finite")],
)
def test_values_that_allow_no_interval_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, -0.1])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval([1.0, 2.0], confidence)


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="one of each for every seed"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_runs_come_back_by_variant_in_the_order_of_the_seeds(n_jobs):
    assert run(seed_times, variants=(1, 10), seeds=range(3), n_jobs=n_jobs) == {1: [0, 1, 2], 10: [0, 10, 20]}


@pytest.mark.parametrize(
    ("variants", "seeds", "name"), [([], [0], "variants"), ([1, 1], [0], "variants"), ([1], [], "seeds"), ([1], [2, 2], "seeds")]
)
def test_runs_need_distinct_variants_and_seeds(variants, seeds, name):
    with pytest.raises(ValueError, match=f"{name} are .* each once"):
        run(seed_times, variants, seeds)
