"""Exercises of 16_lattice_reduction."""

import math
import numbers
from fractions import Fraction

import numpy as np

from cllm_lib.lattice.knapsacks import knapsack
from cllm_lib.lattice.lll import lll_reduce
from cllm_lib.workbook.exercises.forms import as_integer, as_integers, as_rows, several
from cllm_lib.workbook.exercises.lll_step import examine_lll_step, lll_step
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, Unexplained, array, brief, call, shown, told_apart
from cllm_lib.workbook.exercises.readings import matching, number_by_name, two_digits

# Two bets

RIGHT_OF, FASTER = "right of 100", "times as fast"


def examine_bets(answer):
    """A prediction: how often rounding is right, and how much faster reduced rows are."""
    right, faster = number_by_name(answer, (RIGHT_OF, FASTER))
    if not 0 <= right <= 100:
        raise NotYet(f"right for {shown(right)} of a hundred: the count lies from 0 to 100.")
    if 0 < right < 1:
        raise NotYet(f"right for {shown(right)} of a hundred? If you mean a share, write it out of a hundred: {shown(100 * right)}.")
    if faster <= 0:
        raise NotYet(f"{shown(faster)} times as fast is no speed: 1 means as fast as before, 2 in half the time, 0.5 in twice the time.")
    return (
        f"rounding right for {shown(right)} of a hundred, products {shown(faster)} times as fast. "
        "*What a good basis is for* and *Two to four times* will show."
    )


# Two vectors


def take_away(short, long):
    """Reference: less the nearest whole multiple."""
    return long - round((long @ short) / (short @ short)) * short


_PAIRS = (
    ((3, 1), (14, -5)),
    ((5, 3), (7, 7)),
    ((-3, 1), (5, 3)),
    ((1, 2), (9, -30)),
    ((4, 1), (-1, 5)),
    ((2, -1, 3), (9, 9, 10)),
    ((-2, 7), (13, -47)),
)


def examine_take_away(answer):
    """Against the best of all multiples, tried one by one."""

    def look(short, long):
        short, long = np.array(short), np.array(long)
        found = array(call(answer, short, long), long.shape, "the result", "it is one vector, as long as the given ones.")
        right = min((long - m * short for m in range(-60, 61)), key=lambda vector: vector @ vector).astype(float)
        mu, length = (long @ short) / (short @ short), np.linalg.norm
        slips = {
            "That is the longer one as it came. Which multiple of the shorter one leaves least of it?": long,
            "The multiple was not rounded: such a vector is shorter still, but no point of the lattice.": long - mu * short,
            "The multiple was rounded down. The nearest whole number leaves the shortest vector.": long - math.floor(mu) * short,
            "The multiple was cut off. The nearest whole number leaves the shortest vector.": long - int(mu) * short,
            "The multiple was rounded up. The nearest whole number leaves the shortest vector.": long - math.ceil(mu) * short,
            "You divide by the square of the longer one; how often the shorter one fits in takes the square of the shorter.": (
                long - round((long @ short) / (long @ long)) * short
            ),
            "Added instead of taken away.": long + round(mu) * short,
            "Taken once, whatever the lengths: how many times does the shorter one fit into the longer one's shadow?": long - short,
            "Taken from the shorter one. It is the longer one that loses a multiple of the shorter.": [
                short - round(mu) * long,
                short - round((long @ short) / (long @ long)) * long,
            ],
            "You divide by the length of the shorter one, and not by its square.": long - round((long @ short) / length(short)) * short,
            "The multiple is the quotient of lengths; the angle between the two counts too: long @ short.": (
                long - round(length(long) / length(short)) * short
            ),
        }
        seen = f"from {long.tolist()} and the shorter {short.tolist()} yours makes {two_digits(found)}; {two_digits(right)} was asked for."
        return seen, found, right, slips

    told_apart(look, _PAIRS, matching, "Try all multiples from -3 to 3 by hand: one leaves the shortest vector.")


# A knapsack


def break_knapsack(weights, total):
    """Reference: a short vector whose last entry is 0 and whose others are 0 and 1."""
    n = len(weights)
    rows = [[int(i == j) for j in range(n)] + [n * weight] for i, weight in enumerate(weights)]
    reduced, _ = lll_reduce([*rows, [0] * n + [-n * total]], Fraction(99, 100))
    for row in reduced:
        chosen = [abs(entry) for entry in row[:-1].tolist()]
        if sum(c * w for c, w in zip(chosen, weights, strict=True)) == total and max(chosen) == 1:
            return chosen
    return [0] * n


def _knapsacks():
    """What to call each, its weights and its total; the last is the one that the page goes on with."""
    for n, bits, seed in ((5, 16, 1), (8, 24, 2), (14, 40, 3)):
        yield f"of {n} weights of {bits} bits", *knapsack(n, bits, seed)[:2]
    weights, _, _ = knapsack(7, 24, 3)  # with one of them twice: the difference of the two is shorter than the choice
    yield "of 8 weights, two of them alike,", [*weights, weights[0]], sum(weights[i] for i in (0, 1, 2, 4, 5))
    yield "of 18 weights of 60 bits", *knapsack(18, 60, 0)[:2]


def examine_break_knapsack(answer):
    """By adding up."""
    for what, weights, total in _knapsacks():
        n = len(weights)
        value = call(answer, weights, total)
        try:
            chosen = np.asarray(value, dtype=object).ravel().tolist()
        except (TypeError, ValueError):
            chosen = [value]
        if not all(isinstance(entry, numbers.Real | np.bool_) for entry in chosen):
            raise NotYet(f"{what} it returned {brief(value)}; a list of {n} numbers, 0 or 1, was asked for.")
        if len(chosen) != n:
            reason = "That is a whole row of the basis: leave out its last entry." if len(chosen) == n + 1 else "One for each weight."
            raise NotYet(f"{what} it returned {len(chosen)} numbers; {n} were asked for. {reason}")
        if any(entry != entry for entry in chosen):
            raise NotYet(f"{what} it returned NaN; 0 or 1 for each weight was asked for.")
        if all(entry in (0, -1) for entry in chosen) and any(chosen):
            raise NotYet(
                f"{what} your numbers are 0 and -1: minus a short vector is as short, so LLL may give either. Turn the signs round."
            )
        if not all(entry in (0, 1) for entry in chosen):
            raise Unexplained(
                f"{what} your numbers go from {min(chosen):g} to {max(chosen):g}; 0 or 1 was asked for.",
                "Not the first row but the one that holds 0 and 1 only. If there is none: make the last column count more, n times the "
                "weight, say.",
            )
        found = sum(int(c) * w for c, w in zip(chosen, weights, strict=True))
        if found != total:
            seen = f"{what} those you chose make {found:,}; {total:,} was asked for."
            if found == sum(weights) - total:
                raise NotYet(f"{seen} Those are the ones left out: exchange 0 and 1.")
            hint = "Does your last column hold every weight, times n, and minus the total? Is each row of the reduced basis tried?"
            raise Unexplained(seen, hint)


EXERCISES = {
    "16.1": Exercise(None, examine_bets, bet=True),
    "16.2": Exercise(take_away, examine_take_away),
    "16.3": Exercise(lll_step, examine_lll_step, form=several(as_rows, as_integer)),
    "16.4": Exercise(break_knapsack, examine_break_knapsack, form=as_integers),
}
