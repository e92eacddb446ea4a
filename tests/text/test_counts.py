import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cllm_lib.text import conditional_entropy, entropy

symbols = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@given(values=symbols)
def test_entropy_is_that_of_scipy(values):
    counts = [values.count(value) for value in set(values)]
    assert entropy(values) == pytest.approx(stats.entropy(counts), abs=1e-12)


@given(values=symbols, seed=st.integers(0, 99))
def test_what_one_knows_never_adds_uncertainty(values, seed):
    given_ones = np.random.default_rng(seed).integers(0, 3, len(values))
    assert -1e-12 <= conditional_entropy(values, given_ones) <= entropy(values) + 1e-12
    assert conditional_entropy(values, values) == pytest.approx(0.0, abs=1e-12)


@given(values=symbols, given_one=st.integers(0, 3))
def test_the_mean_over_what_is_given_of_the_entropy_there(values, given_one):
    """By definition, not by the chain rule."""
    given_ones = [(value * 7 + i + given_one) % 3 for i, value in enumerate(values)]
    groups = [[v for v, g in zip(values, given_ones, strict=True) if g == known] for known in set(given_ones)]
    expected = sum(len(group) / len(values) * entropy(group) for group in groups)
    assert conditional_entropy(values, given_ones) == pytest.approx(expected, abs=1e-12)
