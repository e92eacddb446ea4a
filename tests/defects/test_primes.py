"""The program's primes and lattice values: symptom and exposure, and the sound ones pass the same exposure."""

import inspect
import math

import mpmath
import numpy as np
import pytest
import sympy

from cllm_lib import defects
from cllm_lib.lattice.entries import LatticeCache
from cllm_lib.lattice.primes import primes_below

LIMIT = 200_000


@pytest.fixture(scope="module")
def sets():
    """What the program found, and what SymPy finds, as sets."""
    return set(defects.faulty_primes_below(LIMIT).tolist()), set(sympy.primerange(LIMIT))


def test_the_number_in_the_log_and_the_two_errors_behind_it(sets):
    found, primes = sets
    assert (len(found), len(primes)) == (23_094, 17_984)
    assert (len(found - primes), len(primes - found)) == (7_376, 2_266)


def test_missed_are_the_primes_that_are_13_mod_30(sets):
    found, primes = sets
    assert primes - found == {p for p in primes if p > 61 and p % 30 == 13}
    assert min(primes - found) == 73


def test_let_in_are_products_of_primes_above_61(sets):
    found, primes = sets
    assert min(found - primes) == 67**2
    assert all(min(sympy.primefactors(n)) > 61 for n in found - primes)
    products = {n for n in range(2, LIMIT) if n not in primes and n % 30 != 13 and math.gcd(n, math.prod(sympy.primerange(62))) == 1}
    assert found - primes == products


def test_the_sound_sieve_passes_the_same_comparison(sets):
    assert set(primes_below(LIMIT).tolist()) == sets[1]


def passes(n):
    """The four rules for one number, in words of plain Python."""
    foundation = list(sympy.primerange(62))
    if n in foundation:
        return True
    viable = n > 61 and n % 12 not in {0, 6, 8, 10} and n % 30 in {1, 7, 11, 17, 19, 23, 29}
    return viable and n * n % 12 in {1, 9} and all(n % p for p in foundation)


def test_the_rules_one_number_at_a_time():
    assert defects.faulty_primes_below(6000).tolist() == [n for n in range(2, 6000) if passes(n)]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 13, 61, 62, 63, 67, 68, 73, 74])
def test_small_limits(n):
    found = defects.faulty_primes_below(n)
    assert found.tolist() == [p for p in sympy.primerange(n) if p != 73]
    assert found.dtype == np.int64


@pytest.mark.parametrize("value", [-1, 2.5, "10", True, None, 10**8])
def test_a_bad_limit_is_turned_away(value):
    with pytest.raises(ValueError, match="n is .*(give a whole number|at most)"):
        defects.faulty_primes_below(value)


def true_power(n):
    """3^O of the n-th prime in fifty digits."""
    with mpmath.workdps(50):
        return mpmath.mpf(3) ** ((n - 1) * (mpmath.pi / 6) / mpmath.ln(3) + 1)


def test_nearly_all_powers_are_one_number():
    powers = defects.overflowing_lattice(np.arange(1, 23_095, dtype=np.int64))
    values, counts = np.unique(powers, return_counts=True)
    assert np.isfinite(powers).all()  # symptom: there is none
    assert values[counts > 1].tolist() == [np.finfo(float).max]
    assert np.flatnonzero(powers == values[-1])[0] + 1 == 1336
    assert counts.max() / len(powers) == pytest.approx(0.94, abs=0.005)


def test_where_the_power_goes_wrong_and_where_the_true_one_would_not_fit():
    n = np.arange(1, 1336, dtype=np.int64)
    apart = [float(abs(power / true_power(int(k)) - 1)) for k, power in zip(n, defects.overflowing_lattice(n), strict=True)]
    assert np.flatnonzero(np.array(apart) > 0.01)[0] + 1 == 21
    largest = np.finfo(float).max
    assert [true_power(k) > largest for k in (1335, 1336, 1354, 1355)] == [False, False, False, True]


def test_the_logarithm_passes_the_same_exposure():
    radius = LatticeCache(sieve=defects.faulty_primes_below).entries["radius"]
    assert len(np.unique(radius)) == len(radius) == 23_094


@pytest.mark.parametrize("n", [[0], [1, -1], [1.0], [True], ["1"]])
def test_what_is_no_place_is_turned_away(n):
    with pytest.raises(ValueError, match="whole numbers, 1 for the first prime"):
        defects.overflowing_lattice(n)


def test_places_in_any_shape():
    assert defects.overflowing_lattice([[1, 2000]]).shape == (1, 2)
    assert defects.overflowing_lattice(1) == pytest.approx(3.0)


@pytest.mark.parametrize("name", ["faulty_primes_below", "overflowing_lattice"])
def test_exhibits_have_their_four_headings_and_are_no_parts_of_a_model(name):
    lines = inspect.cleandoc(getattr(defects, name).__doc__).splitlines()
    assert [line for line in lines if line in ("What it did", "Symptom", "Exposed by", "In the documents")] == [
        "What it did",
        "Symptom",
        "Exposed by",
        "In the documents",
    ]
    assert name in defects.__all__
    assert getattr(defects, name) not in [defect.part for defect in defects.ALL.values()]
