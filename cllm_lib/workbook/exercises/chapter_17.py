"""Exercises of 17_weights_in_few_bits."""

import math

import numpy as np

from cllm_lib.casebook.patients import QUANTIZER_FAULTS
from cllm_lib.experiments.intervals import paired_difference
from cllm_lib.lattice.orthogonalization import gram_schmidt
from cllm_lib.workbook.exercises.forms import as_ids, as_integer, as_number, several
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    array,
    call,
    close,
    faults_by_letter,
    number,
    shown,
    told_apart,
)
from cllm_lib.workbook.exercises.readings import matching, number_by_name, two_digits

N_SEEDS = 10
WIDTHS = (2, 3, 4, 8)
TOO_FEW = 16

# Two bets

FEWEST, LEFT = "bits", "error left"


def examine_bets(answer):
    """A prediction: how few bits rounding can do with, and what care leaves of its error."""
    bits, left = number_by_name(answer, (FEWEST, LEFT))
    if bits not in WIDTHS:
        raise NotYet(f"{shown(bits)} bits were not tried: take one of 8, 4, 3 and 2.")
    if left < 0:
        raise NotYet(f"{shown(left)} of an error is below nothing. A share was asked for: 1 means as large as rounding's, 0 none.")
    if left > 2:
        raise NotYet(f"{shown(left)} times rounding's error? If you mean a hundredth part, write it as a share: {shown(left / 100)}.")
    return f"{shown(bits)} bits, and {shown(left)} of the error left. *A sentence in few bits* and *GPTQ* will show."


# Whole numbers and a scale


def in_few_bits(row, bits):
    """Reference: the largest weight becomes the largest whole number."""
    scale = np.abs(row).max() / (2 ** (bits - 1) - 1)
    return np.rint(row / scale).astype(np.int64), scale


def examine_in_few_bits(answer):
    """Rows of several lengths and sizes, with the largest weight below 0 and above."""
    generator = np.random.default_rng(29)

    def look(length, bits, size, sign):
        row = size * generator.uniform(-1, 1, length)
        row[length // 2] = 1.1 * sign * size
        value = call(answer, row, bits)
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise NotYet(f"it returned a {type(value).__name__}; two things were asked for: return integers, scale.")
        if np.size(value[0]) == 1 and np.size(value[1]) == length:
            raise NotYet("the two have changed places: return integers, scale.")
        integers = array(value[0], (length,), "the first of the two", "one whole number for each weight.")
        found = np.append(integers, number(value[1], "the scale"))
        right, mistakes = _scaled(row, bits), _scaling_mistakes(row, bits)
        seen = f"for {bits} bits and {two_digits(row)} yours gives {two_digits(found[:-1])} and the scale {shown(found[-1])};"
        seen += f" {two_digits(right[:-1])} and {shown(right[-1])} was asked for."
        return seen, found, right, mistakes

    inputs = ((3, 4, 1.0, 1), (4, 3, 1.0, -1), (3, 2, 5.0, -1), (5, 4, 0.02, 1), (4, 8, 3.0, -1))
    told_apart(look, inputs, _scaled_alike, "The scale takes the largest weight, whatever its sign, to 2^(bits - 1) - 1.")


def _scaled(row, bits, rounding=np.rint, most=None, largest=None):
    """Whole numbers, and behind them the scale."""
    most = 2 ** (bits - 1) - 1 if most is None else most
    scale = (np.abs(row).max() if largest is None else largest) / most
    return np.append(rounding(row / scale), scale)


def _scaling_mistakes(row, bits):
    right = _scaled(row, bits)
    integers, scale = right[:-1], right[-1]
    return {
        "With n bits whole numbers go from -(2^(n-1) - 1) to 2^(n-1) - 1, with 3 bits from -3 to 3: half are negative.": [
            _scaled(row, bits, most=2**bits - 1),
            _scaled(row, bits, most=2**bits),
        ],
        "That is one too many: with 3 bits whole numbers go to 3, and not to 4.": _scaled(row, bits, most=2 ** (bits - 1)),
        "The largest weight may be negative: take the largest of np.abs(row).": _scaled(row, bits, largest=row.max()),
        "The scale is the size of one step: the largest weight over the largest whole number, and not the span of all weights.": (
            _scaled(row, bits, largest=np.ptp(row))
        ),
        "Not whole: round each weight over the scale.": _scaled(row, bits, rounding=lambda x: x),
        "Rounded down. The nearest whole number was asked for.": _scaled(row, bits, rounding=np.floor),
        "Cut off after the point. The nearest whole number was asked for.": _scaled(row, bits, rounding=np.trunc),
        "Those are the weights that the whole numbers stand for. The whole numbers themselves were asked for.": (
            np.append(integers * scale, scale)
        ),
        "The scale is upside down: whole number times scale must give back the weight.": np.append(integers, 1 / scale),
        "The weights were rounded as they are. First divide them by the scale.": [
            np.append(np.rint(row), scale),
            np.append(np.rint(row * scale), scale),
        ],
    }


def _scaled_alike(found, expected):
    """Whole numbers to the digit, the scale relative to itself: it may be tiny."""
    return matching(found[:-1], expected[:-1]) and math.isclose(found[-1], expected[-1], rel_tol=1e-6)


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
        seen = f"for {shape[0]} vectors with {shape[1]} entries yours gives {two_digits(found)}; {two_digits(right)} was asked for."
        return seen, found, right, slips

    hint = "From the last row to the first: (left @ own[i]) / (own[i] @ own[i]), rounded."
    told_apart(look, ((3, 3), (2, 2), (2, 4), (5, 5)), matching, hint)


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


EXERCISES = {
    "17.1": Exercise(None, examine_bets, bet=True),
    "17.2": Exercise(in_few_bits, examine_in_few_bits, form=several(as_ids, as_number)),
    "17.3": Exercise(nearest_plane, examine_nearest_plane, form=as_ids),
    "17.4": Exercise(QUANTIZER_FAULTS, examine_faults, only_one=True),
    "17.5": Exercise(fewest_bits, examine_fewest_bits, form=as_integer),
}
