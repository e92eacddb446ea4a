"""Integer relations between real numbers by LLL: minimal polynomials, formulas such as Machin's, and none that chance would give."""

from decimal import Decimal
from fractions import Fraction

from cllm_lib.checks import positive_integer
from cllm_lib.lattice.lll import lll_reduce

CHANCE = Fraction(1, 1000)  # of an integer relation being an accident; above it, none is claimed


def integer_relation(values, digits):  # (n,) -> (n,) or None
    """Integer relation: integers, not all zero, whose sum of multiples of the numbers is zero to so many decimals; or None.

    Row i of a lattice is the i-th unit vector with the i-th number, as so many digits, behind it. A short vector of it has
    small multiples and, in its last place, their sum: next to nothing. Short vectors there are always; one is returned only
    if numbers chosen by chance would have one as short less than once in a thousand times, None otherwise.

    Parameters
    ----------
    values : sequence of str, int, Fraction, Decimal or float
        Two at least. A text or Decimal must have `digits` decimals at least; a float is good for about 15.
    digits : int
        Decimals after the point that are right.

    Returns
    -------
    list of int, or None

    Raises
    ------
    ValueError
        If a number cannot be read, or has fewer decimals than `digits`.

    Notes
    -----
    Lenstra, Lenstra, Lovasz 1982 name the use; Cohen, "A Course in Computational Algebraic Number Theory", section 2.7.2.

    >>> integer_relation([1, "1.61803398874989484820", "2.61803398874989484820"], 20)
    [1, 1, -1]
    """
    digits = positive_integer(digits, "digits")
    scaled = [round(_decimal(number, digits, f"values[{i}]") * 10**digits) for i, number in enumerate(values)]
    n = len(scaled)
    if n < 2:
        raise ValueError(f"{n} number{'' if n == 1 else 's'}: a relation is between two at least")
    first = lll_reduce([[int(i == j) for j in range(n)] + [scaled[i]] for i in range(n)])[0][0]
    relation, rest = first[:-1].tolist(), first[-1]
    tolerance = sum(map(abs, relation))  # each number is rounded by a half at most; as much again for its last digit
    vectors = (2 * max(map(abs, relation)) + 1) ** n  # as small as this one
    if abs(rest) > tolerance or vectors * (2 * tolerance + 1) > CHANCE * max(map(abs, scaled)):
        return None
    sign = 1 if next(filter(None, relation)) > 0 else -1
    return [sign * multiple for multiple in relation]


def _decimal(number, digits, name):
    if isinstance(number, float) and digits > 15:
        raise ValueError(f"{name} is a float, which holds about 15 digits: give {digits} decimals as text")
    if isinstance(number, str | Decimal):
        point = str(number).partition(".")[2]
        if len(point) < digits:
            raise ValueError(
                f"{name} is {number!r}, with {len(point)} decimals: give {digits}, or an integer or fraction where it is exact"
            )
    try:
        return Fraction(number)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is {number!r}: give a number, or its digits as text") from None
