"""Special functions in plain Python against SciPy's, and where SciPy is ill at ease against fifty digits."""

import math
import sys

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import special as ours

RTOL = 1e-12  # of all functions here; most agree to 1e-14
DEGREES = st.integers(1, 300)
SIZES = st.integers(1, 200)
SHARES = st.floats(1e-6, 1.0 - 1e-6)


def agree(found, right):
    np.testing.assert_allclose(found, right, rtol=RTOL, atol=0)


@given(DEGREES, st.floats(-40.0, 40.0))
def test_students_distribution_is_scipys(degrees, t):
    from scipy.special import stdtr

    agree(ours.stdtr(degrees, t), stdtr(degrees, t))


@given(DEGREES, st.floats(1e-6, 0.49) | st.floats(0.51, 1.0 - 1e-6))
def test_students_quantile_is_scipys(degrees, share):
    from scipy.special import stdtrit

    agree(ours.stdtrit(degrees, share), stdtrit(degrees, share))


@pytest.mark.parametrize(("share", "t"), [(0.0, -math.inf), (0.5, 0.0), (1.0, math.inf)])
def test_students_quantile_at_the_ends_and_in_the_middle(share, t):
    assert ours.stdtrit(7, share) == pytest.approx(t, abs=1e-300)


def test_of_one_degree_it_is_cauchys_distribution():
    for t in (-1e9, -3.0, -0.1, 0.0, 2.0):
        assert ours.stdtr(1, t) == pytest.approx(0.5 + math.atan(t) / math.pi if t > -10 else -1.0 / (math.pi * t), rel=1e-13)


@given(st.floats(0.1, 400.0), st.floats(0.1, 400.0), st.floats(0.0, 1.0))
def test_the_beta_distribution_is_right_to_twelve_digits(a, b, x):
    with mpmath.workdps(50):
        right = mpmath.betainc(mpmath.mpf(a), mpmath.mpf(b), 0, mpmath.mpf(x), regularized=True) if 1e-5 < x < 1.0 - 1e-5 else None
    if right is not None and right > 1e-280:
        agree(ours.betainc(a, b, x), float(right))


def test_the_beta_distribution_at_its_ends():
    assert [ours.betainc(2.5, 3.0, x) for x in (0.0, 1.0)] == [0.0, 1.0]


@given(SIZES, SIZES, SHARES)
def test_quantiles_of_the_beta_distribution_are_scipys(a, b, share):
    from scipy.special import betaincinv

    agree(ours.betaincinv(a, b, share), betaincinv(a, b, share))


@given(SIZES, st.floats(0.01, 1.0))
def test_smirnovs_distribution_is_scipys(n, d):
    from scipy.special import smirnov

    np.testing.assert_allclose(ours.smirnov(n, d), smirnov(n, d), rtol=RTOL, atol=1e-300)


@given(SIZES, st.floats(1e-6, 0.9))
def test_smirnovs_quantile_is_scipys(n, share):
    from scipy.special import smirnovi

    agree(ours.smirnovi(n, share), smirnovi(n, share))


def test_a_distance_of_nothing_is_always_reached():
    assert ours.smirnov(5, 0.0) == 1.0


@given(st.lists(st.floats(-6.0, 6.0), max_size=9))
def test_the_error_function_is_scipys(values):
    from scipy.special import erf

    x = np.array(values, dtype=np.float64)
    np.testing.assert_allclose(ours.erf(x), erf(x), rtol=1e-15, atol=0)


def test_the_error_function_keeps_the_shape():
    assert ours.erf(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert ours.erf(0.5).shape == ()
    np.testing.assert_array_equal(ours.erf([[0.0, np.inf], [-np.inf, 0.0]]), [[0.0, 1.0], [-1.0, 0.0]])


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=30))
def test_ranks_are_scipys_with_ties(values):
    from scipy.stats import rankdata

    np.testing.assert_array_equal(ours.rankdata(values), rankdata(values))


@given(st.lists(st.tuples(st.integers(-4, 4), st.floats(-1.0, 1.0)), min_size=2, max_size=30))
def test_rank_correlation_is_scipys(pairs):
    from scipy.stats import spearmanr

    x, y = np.array(pairs).T
    if np.ptp(x) and np.ptp(y):
        np.testing.assert_allclose(ours.spearmanr(x, y).statistic, spearmanr(x, y).statistic, rtol=1e-12, atol=1e-15)


@pytest.fixture
def forgotten():
    """What was found before is looked up again, before and after the test."""
    ours.scipys_or_plain.cache_clear()
    yield
    ours.scipys_or_plain.cache_clear()


def test_scipys_functions_are_taken_where_it_is(forgotten):
    from scipy import special, stats

    assert special.erf(0.0) == 0.0, "SciPy itself is at work"
    assert ours.scipys_or_plain("stdtrit") is special.stdtrit
    assert ours.scipys_or_plain("spearmanr") is stats.spearmanr


@pytest.mark.parametrize("name", ["erf", "stdtr", "stdtrit", "betaincinv", "smirnovi", "rankdata", "spearmanr"])
def test_without_scipy_the_plain_ones_stand_in(name, forgotten, monkeypatch):
    for module in ("scipy", "scipy.special", "scipy.stats"):
        monkeypatch.setitem(sys.modules, module, None)
    assert ours.scipys_or_plain(name) is getattr(ours, name)
