"""Against SymPy, which finds, counts and divides in other ways."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm_lib.lattice import primes
from cllm_lib.lattice.primes import count_prime_factors, factorize, first_primes, prime_count, primes_below, smallest_factors

PRIMES = np.array(list(sympy.sieve.primerange(1_000_000)))


def expected_below(n):
    return PRIMES[: np.searchsorted(PRIMES, n)]


@given(n=st.integers(0, 1_000_000))
def test_the_primes_below_any_number(n):
    found = primes_below(n)
    np.testing.assert_array_equal(found, expected_below(n))
    assert found.dtype == np.int64


def test_each_of_the_first_numbers_and_around_squares_of_primes():
    around = {p * p + step for p in (2, 3, 5, 31, 997) for step in (-1, 0, 1, 2)}
    for n in [*range(300), *sorted(around)]:
        np.testing.assert_array_equal(primes_below(n), expected_below(n))


@pytest.mark.parametrize("segment", [1, 2, 7, 64, 1000])
def test_where_a_stretch_ends_makes_no_difference(segment, monkeypatch):
    monkeypatch.setattr(primes, "SEGMENT", segment)
    for n in (2, 3, 4, 5, 100, 2 * segment, 2 * segment + 1, 2 * segment + 2, 7919, 7920):
        np.testing.assert_array_equal(primes_below(n), expected_below(n))


def test_beyond_several_stretches_count_and_last_agree():
    n = 20_000_000
    found = primes_below(n)
    assert len(found) == sympy.primepi(n - 1)
    assert found[-1] == sympy.prevprime(n)
    assert (np.diff(found) > 0).all()


@given(n=st.integers(2, 200) | st.integers(2, 10**9))
def test_no_room_for_primes_is_ever_too_small(n):
    assert primes._no_fewer_primes(n) >= prime_count(n)


def test_the_result_owns_no_more_memory_than_it_shows():
    assert primes_below(100_000).base is None
    assert primes_below(100_000).flags.owndata


def test_counting_without_finding():
    for n in range(2000):
        assert prime_count(n) == np.searchsorted(PRIMES, n, side="right")


@settings(max_examples=settings().max_examples // 4)
@given(n=st.integers(0, 10**7))
def test_counting_agrees_with_sympy(n):
    assert prime_count(n) == sympy.primepi(n)


def test_counting_far_out():
    """Values of OEIS A006880."""
    assert [prime_count(10**k) for k in (8, 9, 10)] == [5_761_455, 50_847_534, 455_052_511]


@given(count=st.integers(0, len(PRIMES)))
def test_the_first_primes(count):
    np.testing.assert_array_equal(first_primes(count), PRIMES[:count])


def test_each_of_the_first_few():
    for count in range(60):
        assert first_primes(count).tolist() == [sympy.prime(k) for k in range(1, count + 1)]


def test_the_smallest_factor_of_each_number():
    table = smallest_factors(3000)
    assert table[:2].tolist() == [0, 1]
    assert table[2:].tolist() == [min(sympy.primefactors(m)) for m in range(2, 3000)]


def test_how_many_factors_each_number_has():
    expected = [0, *(sum(sympy.factorint(m).values()) for m in range(1, 3000))]
    assert count_prime_factors(3000).tolist() == expected


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 8, 9, 10, 16, 17, 25, 26])
def test_tables_of_any_small_size(n):
    np.testing.assert_array_equal(smallest_factors(n), smallest_factors(100)[:n])
    np.testing.assert_array_equal(count_prime_factors(n), count_prime_factors(100)[:n])


@given(m=st.integers(1, 99_999), n=st.integers(1, 99_999))
def test_a_product_has_the_factors_of_both(m, n):
    counts = count_prime_factors(100_000)
    both = factorize(m * n)
    assert sum(both.values()) == counts[m] + counts[n]
    assert math.prod(p**k for p, k in both.items()) == m * n


@given(n=st.integers(1, 2**40))
def test_factors_agree_with_sympy(n):
    assert factorize(n) == sympy.factorint(n)
    assert list(factorize(n)) == sorted(factorize(n))


@pytest.mark.parametrize("n", [1, 2, 2**52, 2**52 - 1, 2**52 - 47, sympy.prevprime(2**26) ** 2, 67 * 67])
def test_factors_of_the_smallest_the_largest_and_the_hardest(n):
    assert factorize(n) == sympy.factorint(n)


FUNCTIONS = [primes_below, prime_count, first_primes, smallest_factors, count_prime_factors, factorize]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("value", [-1, 2.0, "10", None, True, np.float64(3), np.array([1, 2], dtype=np.int64), float("nan")])
def test_what_is_no_whole_number_is_turned_away(function, value):
    with pytest.raises(ValueError, match=r"is .*: give a whole number of at least [01]"):
        function(value)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("value", [10**16, 10**30])
def test_what_is_too_large_is_turned_away_with_the_limit(function, value):
    with pytest.raises(ValueError, match=f"is {value:,}: .*; give [0-9,]+ at most"):
        function(value)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_numpys_integers_are_integers(function):
    np.testing.assert_equal(function(np.int32(30)), function(30))


def test_nothing_is_made_of_zero():
    with pytest.raises(ValueError, match="n is 0: give a whole number of at least 1"):
        factorize(0)
