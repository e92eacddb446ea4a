"""Relations known by heart, with the decimals by SymPy; and none by chance."""

import math
from decimal import Decimal

import numpy as np
import pytest
import sympy

from cllm_lib.lattice.relations import integer_relation


@pytest.mark.parametrize("coefficients", [[-2, 0, 1], [-1, -1, 1], [-3, 1, 0, 1], [1, 0, -10, 0, 1], [7, -3, 0, 2, 0, 1]])
def test_a_minimal_polynomial_from_decimals(coefficients):
    x = sympy.Symbol("x")
    polynomial = sympy.Poly(coefficients[::-1], x)
    root = max(polynomial.nroots(n=80), key=lambda r: (r.is_real, r))
    powers = [1, *(str((root**k).evalf(70)).ljust(64, "0") for k in range(1, len(coefficients)))]
    found = integer_relation(powers, 60)
    assert found in (coefficients, [-c for c in coefficients])


def test_machins_formula_and_no_relation_where_there_is_none():
    numbers = [str(sympy.N(number, 60)) for number in (sympy.pi / 4, sympy.atan(sympy.Rational(1, 5)), sympy.atan(sympy.Rational(1, 239)))]
    assert integer_relation(numbers, 50) == [1, -4, 1]
    assert integer_relation([Decimal(number) for number in numbers], 50) == [1, -4, 1]
    assert integer_relation([1, str(sympy.N(sympy.pi, 60)), str(sympy.N(sympy.E, 60))], 50) is None
    assert integer_relation([0.5, 0.25], 15) == [1, -2]


def test_random_digits_have_no_relations():
    rng = np.random.default_rng(1)
    lists = [["0." + "".join(map(str, rng.integers(0, 10, 12))) for _ in range(4)] for _ in range(200)]
    assert all(integer_relation(numbers, 12) is None for numbers in lists)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: integer_relation(["1.5"], 1), "two"),
        (lambda: integer_relation(["1.5", "x.5"], 1), r"values\[1\]"),
        (lambda: integer_relation(["1.5", "1.41"], 10), "2 decimals|1 decimals"),
        (lambda: integer_relation([0.5, math.sqrt(2)], 30), "float"),
        (lambda: integer_relation([0.5, math.inf], 10), r"values\[1\]"),
        (lambda: integer_relation([1, 2], 0), "digits"),
    ],
)
def test_other_bad_input_is_told_so(call, words):
    with pytest.raises(ValueError, match=words):
        call()
