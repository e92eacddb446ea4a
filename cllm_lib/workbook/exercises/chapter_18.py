"""Exercises of 18_evidence."""

import statistics

import numpy as np

from cllm_lib.special import scipys_or_plain
from cllm_lib.workbook.exercises.forms import as_array, as_number, several
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    array,
    call,
    matches,
    shown,
    told_apart,
)
from cllm_lib.workbook.exercises.readings import number_by_name, numbers_by_name

ENDS = ("at least", "at most")


def examine_range(answer):
    """A prediction: how many of a hundred claims hold, as a range."""
    low, high = number_by_name(answer, ENDS)
    if low > high:
        raise NotYet(f"at least {shown(low)} and at most {shown(high)}: no number is both. Did you turn the two around?")
    if low < 0 or high > 100:
        raise NotYet(f"from {shown(low)} to {shown(high)} of a hundred: the count lies from 0 to 100.")
    if 0 < high <= 1 and not (low == 0 and high == 1):
        raise NotYet(f"at most {shown(high)} of a hundred claims? If you mean a share, write it out of a hundred: {shown(100 * high)}.")
    if high - low >= 90:
        raise NotYet(
            f"from {shown(low)} to {shown(high)} is hardly ever wrong, and says little. Narrow it until nine to one is a fair bet."
        )
    if high == low:
        raise NotYet(f"exactly {shown(low)}, nine to one? Widen it until you would bet so.")
    return f"{shown(low)} to {shown(high)} of a hundred. *The table* will show."


# Student's interval


def student_interval(values, confidence):
    """Reference: mean +- t s / sqrt(n)."""
    n = len(values)
    half = scipys_or_plain("stdtrit")(n - 1, (1 + confidence) / 2) * np.std(values, ddof=1) / np.sqrt(n)
    return np.mean(values) - half, np.mean(values) + half


def examine_student_interval(answer):
    """Against quantiles of both tails, with few values and several confidences."""

    def look(n, confidence):
        values = np.random.default_rng(n).normal(3.0, 2.0, n)
        what = f"the interval of {n} values at {confidence}"
        found = array(call(answer, values, confidence), (2,), what, "return low and high.")
        right = np.array(
            [values.mean() + _quantile(tail, n - 1) * _spread(values) for tail in ((1 - confidence) / 2, (1 + confidence) / 2)]
        )
        half, mean = (right[1] - right[0]) / 2, values.mean()
        mistakes = {reason: np.array([mean - other, mean + other]) for reason, other in _half_widths(half, n, confidence).items()}
        mistakes["That is mean and half width. Return the two ends."] = np.array([mean, half])
        mistakes["Low comes first. Are the ends exchanged, or is your quantile the lower tail's, below 0?"] = right[::-1]
        seen = f"{what} is {shown(found[0])} to {shown(found[1])}; {shown(right[0])} to {shown(right[1])} was asked for."
        return seen, found, right, mistakes

    cases = ((5, 0.95), (10, 0.9), (2, 0.99), (40, 0.5))
    told_apart(look, cases, matches, "Three things go into the half width: the quantile of t, s (ddof=1), and the root of n.")


def _quantile(share, degrees):
    """The t below which this share of Student's distribution lies."""
    return float(scipys_or_plain("stdtrit")(degrees, share))


def _spread(values):
    """The standard error of their mean."""
    return statistics.stdev(values.tolist()) / np.sqrt(len(values))


def _half_widths(half, n, confidence):
    """What slips make of the half width."""
    quantile = _quantile((1 + confidence) / 2, n - 1)
    spread = half / quantile
    narrow = np.sqrt((n - 1) / n)
    return {
        "You use the normal's quantile, 1.96 and its like, which takes s for known. Student's t with n - 1 allows for it.": (
            statistics.NormalDist().inv_cdf((1 + confidence) / 2) * spread
        ),
        "You use 1.96, the normal's quantile at 0.95, whatever n and the confidence.": 1.96 * spread,
        "np.std divides by n unless told otherwise; s divides by n - 1: ddof=1.": half * narrow,
        "That is the spread of single values. A mean of n spreads less: divide by the root of n.": half * np.sqrt(n),
        "You divide by n; a mean's spread falls with the root of n.": half / np.sqrt(n),
        "Your quantile leaves all 1 - confidence on one side; half belongs to each: (1 + confidence) / 2.": (
            _quantile(confidence, n - 1) * spread
        ),
        "t has n - 1 degrees of freedom: one went into the mean.": _quantile((1 + confidence) / 2, n) * spread,
        "It does not follow the confidence: that is the interval at 0.95.": _quantile(0.975, n - 1) * spread,
        "The two ends are one: is your quantile that of one half, which is 0? Take it at (1 + confidence) / 2.": 0 * spread,
        "It is twice as wide: half to each side.": 2 * half,
        "That is s / sqrt(n), the standard error; the quantile is missing.": spread,
    }


# Holm's correction


def holm(p_values):
    """Reference: sorted, times m, m - 1, ..., none below the one before, none above 1, back in the old order."""
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    raised = p_values[order] * np.arange(len(p_values), 0, -1, dtype=np.int64)
    adjusted = np.zeros(len(p_values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raised))
    return adjusted


def _holm_by_rejecting(p_values):
    """Another road to it: the smallest alarm level at which the procedure, step by step, rejects each."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, level = [0.0] * len(p_values), 0.0
    for step, i in enumerate(order):
        level = max(level, p_values[i] * (len(p_values) - step))
        adjusted[i] = min(1.0, level)
    return np.array(adjusted)


def examine_holm(answer):
    """Out of order, with ties, with large ones, one alone."""

    def look(*p_values):
        p, what = np.array(p_values), f"holm of {list(p_values)}"
        found = array(call(answer, p), p.shape, what, "one number for each p-value.")
        right = _holm_by_rejecting(p)
        seen = f"{what} is {[float(shown(x)) for x in found]}; {[float(shown(x)) for x in right]} was asked for."
        return seen, found, right, _other_corrections(p, right)

    cases = ((0.02, 0.004, 0.03, 0.011), (0.2, 0.011, 0.6, 0.012, 0.9), (0.01, 0.01), (0.3,))
    told_apart(look, cases, matches, "Sort, times m, m - 1, ..., 1, let none fall below the one before, and put them back.")


def _other_corrections(p, right):
    order, m = np.argsort(p), len(p)
    back = np.argsort(order)
    falling, rising = np.arange(m, 0, -1, dtype=np.int64), np.arange(1, m + 1, dtype=np.int64)
    plain = p[order] * falling
    return {
        "That is Bonferroni: m for every one. Holm takes one less after each.": np.minimum(1, p * m),
        "In order of size; give them back in the order they came in.": right[order],
        "A larger p may not come out below a smaller one: np.maximum.accumulate over the sorted ones.": np.minimum(1, plain)[back],
        "No chance is above 1: cut off there.": np.maximum.accumulate(plain)[back],
        "Your factors rise with p; the smallest gets the largest, m.": np.minimum(1, np.maximum.accumulate(p[order] * rising))[back],
        "That is Benjamini and Hochberg's m / rank: it bounds the share of false alarms among alarms, not the chance of any.": np.minimum(
            1, np.minimum.accumulate((p[order] * m / rising)[::-1])[::-1]
        )[back],
        "That takes the least from the largest down, as Hochberg did in 1988; Holm goes from the smallest up: np.maximum.accumulate.": (
            np.minimum(1, np.minimum.accumulate(plain[::-1])[::-1])[back]
        ),
        "You divide by the factors; multiply: the smallest p, times m.": np.minimum(1, np.maximum.accumulate(p[order] / falling))[back],
        "You sorted nothing: the factors went by the order they came in.": np.minimum(1, np.maximum.accumulate(p * falling)),
        "These are the p-values as they came.": p,
    }


EXERCISES = {
    "18.1": Exercise(None, examine_range, bet=True, form=numbers_by_name(*ENDS)),
    "18.2": Exercise(student_interval, examine_student_interval, form=several(as_number, as_number)),
    "18.3": Exercise(holm, examine_holm, form=as_array),
}
