"""Exercises of 09_lattice_reduction."""

import math
import numbers
from fractions import Fraction

import numpy as np

from cllm_lib.casebook.patients import QUANTIZER_FAULTS
from cllm_lib.experiments.intervals import paired_difference
from cllm_lib.lattice.knapsacks import knapsack
from cllm_lib.lattice.lll import lll_reduce
from cllm_lib.lattice.orthogonalization import gram_schmidt
from cllm_lib.workbook.exercises.forms import as_ids, as_integer, as_integers, as_rows, several
from cllm_lib.workbook.exercises.lll_step import examine_lll_step, lll_step
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    array,
    brief,
    call,
    close,
    faults_by_letter,
    matches,
    number,
    shown,
    told_apart,
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
        seen = f"from {long.tolist()} and the shorter {short.tolist()} yours makes {_listed(found)}; {_listed(right)} was asked for."
        return seen, found, right, slips

    told_apart(look, _PAIRS, _matching, "Try all multiples from -3 to 3 by hand: one leaves the shortest vector.")


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


# The nearest plane


def nearest_plane(basis, target):
    """Reference: the last coefficient first."""
    own, _ = gram_schmidt(basis, exact=False)
    left, integers = np.array(target, dtype=float), np.zeros(len(basis), dtype=np.int64)
    for i in reversed(range(len(basis))):
        integers[i] = round((left @ own[i]) / (own[i] @ own[i]))
        left = left - integers[i] * basis[i]
    return integers


_MEASURES = {  # what is left, along its own parts, and a column of R: how many times vector i is in it, right and as readers slip
    "own": lambda along, column, i: along[i] / column[i],
    "basis": lambda along, column, i: along @ column / (column @ column),
    "own over basis": lambda along, column, i: along[i] * column[i] / (column @ column),
    "length": lambda along, column, i: along[i] * np.sign(column[i]),
}


def _plane_by_qr(basis, target, rounding=np.rint, update=True, measure="own"):
    """Coefficients by a triangular system, with the slips that readers make."""
    q, r = np.linalg.qr(np.asarray(basis, dtype=float).T)
    along, found = q.T @ target, np.zeros(len(r))
    for i in reversed(range(len(r))):
        found[i] = rounding(_MEASURES[measure](along, r[:, i], i))
        if update:
            along = along - found[i] * r[:, i]
    return found


def examine_nearest_plane(answer):
    """Against a triangular system; bases that are far from orthogonal, of whole numbers and not, and rows longer than there are."""
    generator = np.random.default_rng(19)

    def look(*shape):
        basis = generator.standard_normal(shape) + 1.0
        target = 6 * generator.standard_normal(shape[1])
        value = call(answer, basis, target)
        if np.shape(value) == (shape[1],) and shape[0] != shape[1]:
            raise NotYet("it returned a vector as long as the target. The coefficients were asked for, one for each row of the basis.")
        found = array(value, shape[:1], "the result", "one coefficient for each row of the basis.")
        right = _plane_by_qr(basis, target)
        slips = {
            "Those are the coordinates, rounded: no plane was chosen. After each coefficient, take its vector from what is left.": (
                np.rint(np.linalg.lstsq(basis.T, target, rcond=None)[0])
            ),
            "Not whole: round each coefficient.": [
                np.linalg.lstsq(basis.T, target, rcond=None)[0],
                _plane_by_qr(basis, target, rounding=lambda x: x),
            ],
            "Earlier coefficients know nothing of later ones: begin with the last row, and take integers[i] * basis[i] from the rest.": (
                _plane_by_qr(basis, target, update=False)
            ),
            "You measure along basis[i]. The planes stand apart by its own part, b*_i: own[i] in both places.": [
                _plane_by_qr(basis, target, measure="basis"),
                _plane_by_qr(basis, target, measure="own over basis"),
            ],
            "You divide by the length of own[i], and not by its square.": _plane_by_qr(basis, target, measure="length"),
            "Rounded down: the plane below is not always the nearest.": _plane_by_qr(basis, target, rounding=np.floor),
            "Cut off after the point: the nearest plane is sometimes the next. Is each coefficient rounded?": (
                _plane_by_qr(basis, target, rounding=np.trunc)
            ),
            "That is the lattice point itself. Its coefficients were asked for.": right @ basis if shape[0] == shape[1] else None,
            "Those are the signs turned round: minus what was asked for.": -right,
        }
        seen = f"for {shape[0]} vectors with {shape[1]} entries yours gives {_listed(found)}; {_listed(right)} was asked for."
        return seen, found, right, slips

    hint = "From the last row to the first: (left @ own[i]) / (own[i] @ own[i]), rounded."
    told_apart(look, ((3, 3), (2, 2), (2, 4), (5, 5)), _matching, hint)


# Find the bug

_WOULD_SHOW = {
    "forgets the error": "it would do what rounding does, 1.00 on all inputs.",
    "wrong sign": "it would be right where inputs have nothing in common, and worse than rounding where they have.",
    "rounds down": "it would be worse than rounding on independent inputs too: errors up to a whole step, not a half.",
    "half of it": "it would lie between rounding and GPTQ where inputs are alike.",
}


def examine_faults(answer):
    """One fault a letter."""
    faults_by_letter(answer, QUANTIZER_FAULTS, _WOULD_SHOW)
    return "All three were told by one number, the layer error, on two kinds of inputs."


# An experiment

N_SEEDS = 10
WIDTHS = (2, 3, 4, 8)
TOO_FEW = 16


def fewest_bits(loss, allowed):
    """Reference: the interval of the paired rise has to lie below what is allowed."""
    full = [loss(None, seed) for seed in range(N_SEEDS)]
    for bits in WIDTHS:
        rise = paired_difference([loss(bits, seed) for seed in range(N_SEEDS)], full)
        if rise.high < allowed:
            return bits
    return TOO_FEW


def _models():
    """Name, what is allowed, the fewest bits, and the loss by bits and seed."""
    generator = np.random.default_rng(37)
    far, near = 0.4 * generator.standard_normal(N_SEEDS), 0.004 * generator.standard_normal((9, N_SEEDS))
    wild = np.array([-0.9, 0.9, -0.8, 0.8, -0.7, 0.7, -0.6, 0.6, -0.5, 0.5])

    def rises(by_bits, spread=near, base=far):
        return lambda bits, seed: 4.0 + base[seed] + (0.0 if bits is None else by_bits[bits] + spread[bits, seed])

    one_bad = near.copy()
    one_bad[3, 7] = 0.6  # at 3 bits nine seeds are well, and one is not
    steady = np.zeros((9, N_SEEDS))
    steady[3] = 0.05 * wild / wild.std(ddof=1)  # the interval ends 0.0358 above the mean; with 1.96 it would be 0.031
    loose = near + np.where(np.arange(9, dtype=np.int64)[:, None] <= 4, 0.3 * wild, 0.0)
    falling = {b: 0.02 * 4.0 ** (4 - b) for b in range(2, 9)}
    return (
        ("a model whose seeds lie far apart, and whose losses rise together", 0.05, 4, rises(falling)),
        ("the same with more allowed", 0.2, 3, rises(falling)),
        ("one that loses nothing, even at 2 bits", 0.05, 2, rises(dict.fromkeys(range(2, 9), 0.0))),
        ("one that loses 0.1 at any number of bits", 0.05, TOO_FEW, rises(dict.fromkeys(range(2, 9), 0.1))),
        ("one that breaks with one seed of ten at 3 bits", 0.08, 4, rises({2: 1.0, 3: 0.01, **dict.fromkeys(range(4, 9), 0.0)}, one_bad)),
        ("one that rises by 0.03 in the mean at 3 bits", 0.07, 3, rises({2: 1.0, 3: 0.03, 4: 0.0, 8: 0.0}, steady)),
        ("the same with a little less allowed", 0.0648, 4, rises({2: 1.0, 3: 0.03, 4: 0.0, 8: 0.0}, steady)),
        ("one that is well at 2 bits, and broken at 3", 0.05, 2, rises({2: 0.0, 3: 1.0, 4: 0.0, 8: 0.0})),
        ("one whose loss falls, by 0.3 and more", 0.05, 2, rises({2: -0.3, 3: -0.4, 4: -0.5, 8: -0.6})),
        ("one whose rise differs widely from seed to seed up to 4 bits", 0.05, 8, rises(dict.fromkeys(range(2, 9), 0.01), loose)),
    )


def examine_fewest_bits(answer):
    """Models of every kind, as functions."""
    for name, allowed, right, loss in _models():

        def measured(bits, seed, loss=loss):
            if bits is not None and bits not in WIDTHS:
                raise NotYet(f"bits are 2, 3, 4 or 8, and None for full precision; your function asked for {bits!r}.")
            if seed not in range(N_SEEDS):
                raise NotYet(f"seeds go from 0 to {N_SEEDS - 1}; your function asked for {seed!r}.")
            return float(loss(bits, seed))

        said = number(call(answer, measured, allowed), "the result")
        if close(said, right):
            continue
        raise Unexplained(f"{name}, {allowed} allowed: you say {shown(said)} bits; {right} was asked for.", _why(name, said, right))


def _why(name, said, right):
    if right == TOO_FEW:
        return "Each number of bits loses 0.1 there, against the same seed in full, loss(None, seed): none passes, and for that, return 16."
    if said == 8 > right:
        return "Begin at 2 bits: the first number that passes is the fewest."
    if "far apart" in name or "more allowed" in name:
        return (
            "Seeds differ far more than bits do: take the difference of each seed from itself at full precision."
            if said > right
            else "The interval of the mean rise reaches past what is allowed. A rise is the loss in few bits less that in full."
        )
    if "in the mean" in name or "a little less" in name:
        return (
            "Single seeds rise by more, but the mean over ten is known better than one seed is: its interval lies below what is allowed."
            if said > right
            else "The interval ends just above what is allowed. Over ten seeds it reaches further than 1.96 standard errors from the mean."
        )
    if "broken" in name:
        return "The fewest that pass were asked for, whatever more bits do: begin at 2, and look at each number for itself."
    if "falls" in name:
        return "A rise below 0 is below what is allowed, however large it is: compare the upper end as it is, without abs."
    if "breaks" in name:
        return "Did you look at all ten seeds, and at the interval's upper end? One seed in ten is ruined there, and the mean hides it."
    if "widely" in name:
        return "The mean is low there, and its interval is wide: the upper end is what has to be below."
    return "Even 2 bits pass there." if said > right else "The rise is above what is allowed."


# Comparing


def _listed(vector):
    return [round(float(x), 2) + 0.0 for x in np.asarray(vector)]


def _matching(found, expected):
    return np.shape(found) == np.shape(expected) and matches(found, np.asarray(expected, dtype=float))


EXERCISES = {
    "09.1": Exercise(take_away, examine_take_away),
    "09.2": Exercise(lll_step, examine_lll_step, form=several(as_rows, as_integer)),
    "09.3": Exercise(break_knapsack, examine_break_knapsack, form=as_integers),
    "09.4": Exercise(nearest_plane, examine_nearest_plane, form=as_ids),
    "09.5": Exercise(QUANTIZER_FAULTS, examine_faults, only_one=True),
    "09.6": Exercise(fewest_bits, examine_fewest_bits, form=as_integer),
}
