"""Answers for chapter 18: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import itertools
import statistics

import numpy as np
from scipy import stats
from workbook.answers.common import raises, returns

from cllm_lib.experiments.intervals import holm as holm_of_the_library
from cllm_lib.experiments.intervals import interval

# 18.1


def between(low, high):
    return {"at least": low, "at most": high}


# 18.2


def interval_with(quantile=lambda n, c: stats.t.ppf((1 + c) / 2, n - 1), ddof=1, root=np.sqrt):
    def student_interval(values, confidence):
        n = len(values)
        half = quantile(n, confidence) * np.std(values, ddof=ddof) / root(n)
        return np.mean(values) - half, np.mean(values) + half

    return student_interval


def ends_of_the_librarys(values, confidence):
    found = interval(values, confidence)
    return [np.float32(found.low), np.float32(found.high)]


def by_statistics(values, confidence):
    values = [float(value) for value in values]
    half = stats.t.isf((1 - confidence) / 2, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return np.array([statistics.fmean(values) - half, statistics.fmean(values) + half])


def sorts_in_place(values, confidence):
    values.sort()
    return interval_with()(values, confidence)


# 18.3


def holm_with(factors=lambda m: np.arange(m, 0, -1, dtype=np.int64), rise=np.maximum.accumulate, most=1.0, put_back=True):
    def holm(p_values):
        order = np.argsort(p_values)
        adjusted = np.minimum(most, rise(p_values[order] * factors(len(p_values))))
        return adjusted[np.argsort(order)] if put_back else adjusted

    return holm


def hochbergs(p_values):
    return stats.false_discovery_control(p_values)


def closed(p_values):
    groups = [g for size in range(1, len(p_values) + 1) for g in itertools.combinations(range(len(p_values)), size)]
    return [max(min(1.0, len(g) * min(p_values[j] for j in g)) for g in groups if i in g) for i in range(len(p_values))]


def hochberg_1988(p_values):
    order = np.argsort(p_values)
    raised = p_values[order] * np.arange(len(p_values), 0, -1, dtype=np.int64)
    return np.minimum(1, np.minimum.accumulate(raised[::-1])[::-1])[np.argsort(order)]


WRONG = {
    "18.1": [
        (between(40, 10), "turn the two around"),
        (between(0.1, 0.3), "write it out of a hundred: 30"),
        (between(0, 100), "hardly ever wrong, and says little"),
        (between(20, 20), "exactly 20, nine to one"),
        (between(-5, 30), "from 0 to 100"),
        (between(10, 130), "from 0 to 100"),
        (between(..., 30), "still open: 'at least'"),
        ({"at most": 30}, "still open: 'at least'"),
        (between("ten", 30), "'at least' is 'ten'; a number was asked for"),
        (between(float("nan"), 30), "a finite number"),
        (between([1, 2], 30), "one number was asked for"),
        ((10, 30), "of type tuple"),
        (None, "of type NoneType"),
        (25, "of type int"),
    ],
    "18.2": [
        (interval_with(lambda n, c: stats.norm.ppf((1 + c) / 2)), "normal's quantile, 1.96 and its like"),
        (interval_with(ddof=0), "ddof=1"),
        (interval_with(lambda n, c: stats.t.ppf(0.5 + c, n - 1)), "NaN"),
        (interval_with(lambda n, c: stats.t.ppf((1 - c) / 2, n - 1)), "the lower tail"),
        (interval_with(lambda n, c: stats.t.ppf(0.5, n - 1)), "The two ends are one"),
        (lambda values, c: interval_with()(np.unique(values), c), "the solution|was asked for"),
        (interval_with(root=lambda n: 1.0), "divide by the root of n"),
        (interval_with(root=lambda n: n), "falls with the root of n"),
        (interval_with(lambda n, c: stats.t.ppf(c, n - 1)), "half belongs to each"),
        (interval_with(lambda n, c: stats.t.ppf((1 + c) / 2, n)), "n - 1 degrees of freedom"),
        (interval_with(lambda n, c: 2 * stats.t.ppf((1 + c) / 2, n - 1)), "twice as wide"),
        (interval_with(lambda n, c: 1.0), "the quantile is missing"),
        (interval_with(lambda n, c: stats.t.ppf(0.975, n - 1)), "does not follow the confidence"),
        (interval_with(lambda n, c: 3.0 + n), "Three things go into the half width"),
        (lambda values, confidence: ends_of_the_librarys(values, confidence)[::-1], "Low comes first"),
        (lambda values, confidence: (np.mean(values), interval(values, confidence).high - np.mean(values)), "mean and half width"),
        (
            lambda values, confidence: stats.t.interval(confidence, len(values) - 1, np.median(values) + 1, 1.0),
            "Three things",
        ),
        (lambda values, confidence: interval(values, confidence).low, r"has shape \(\); \(2,\) was asked for"),
        (sorts_in_place, "changed its input"),
        (returns(None), "returned None"),
        (returns((np.nan, np.nan)), "NaN"),
        (returns("wide"), "of type str"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
        (None, "a function was asked for"),
    ],
    "18.3": [
        (holm_with(factors=lambda m: 1 / np.arange(m, 0, -1, dtype=np.int64)), "You divide by the factors"),
        (lambda p: np.ones(len(p)), "Sort, times m"),
        (holm_with(lambda m: m), "That is Bonferroni"),
        (holm_with(put_back=False), "in the order they came in"),
        (holm_with(rise=lambda x: x), "maximum.accumulate"),
        (holm_with(most=np.inf), "No chance is above 1"),
        (holm_with(lambda m: np.arange(1, m + 1, dtype=np.int64)), "factors rise with p"),
        (hochbergs, "Benjamini and Hochberg"),
        (hochberg_1988, "as Hochberg did in 1988"),
        (lambda p: np.minimum(1, np.maximum.accumulate(p * np.arange(len(p), 0, -1, dtype=np.int64))), "sorted nothing"),
        (lambda p: 1.0 * p, "as they came"),
        (lambda p: p / 2, "put them back"),
        (returns(0.03), "one number for each"),
        (lambda p: list(holm_with()(p))[::-1], "put them back"),
        (returns(np.zeros((1, 7))), r"has shape \(1, 7\)"),
        (returns(None), "returned None"),
        (returns(np.full(4, np.nan)), "NaN"),
        (raises, "it raised KeyError"),
        (None, "a function was asked for"),
    ],
}

RIGHT = {
    "18.1": [
        between(5, 40),
        between(0, 60.5),
        between(np.int64(70), np.float32(90)),
        between(0, 5) | {"why": "experience"},
        between(0, 1),
        between("5", [40]),
        [("At least", 5), ("at most", 40)],
    ],
    "18.2": [
        ends_of_the_librarys,
        by_statistics,
        lambda values, c: stats.t.interval(c, len(values) - 1, np.mean(values), stats.sem(values)),
    ],
    "18.3": [holm_of_the_library, closed, lambda p: np.float32(holm_with()(p)), lambda p: holm_with()(p).tolist()],
}

TYPED_WRONG = {
    "18.1": 'my_range = {"at least": 0.1, "at most": 0.4}',
    "18.2": (
        "def student_interval(values, confidence):\n"
        "    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))\n"
        "    return np.mean(values) - half, np.mean(values) + half"
    ),
    "18.3": "def holm(p_values):\n    return np.minimum(1, p_values * len(p_values))",
}
