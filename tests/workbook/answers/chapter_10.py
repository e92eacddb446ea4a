"""Answers for chapter 10: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import itertools
import statistics

import numpy as np
from scipy import stats
from workbook.answers.common import raises, returns

from cllm_lib.experiments.intervals import holm as holm_of_the_library
from cllm_lib.experiments.intervals import interval
from cllm_lib.workbook.exercises.chapter_10 import FAULTS, REFERENCE_CLAIM, held_out_loss

# 10.1


def between(low, high):
    return {"at least": low, "at most": high}


# 10.2


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


# 10.3


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


# 10.5


def claim(**parts):
    return REFERENCE_CLAIM | parts


def unseeded(variant, seed):
    return held_out_loss(variant, int(np.random.default_rng().integers(10**6)))


def never_the_seed(variant, seed):
    return held_out_loss(variant, 0)


def never_the_variant(variant, seed):
    return held_out_loss("none", seed)


LEFT_OVER = []


def left_over(variant, seed):
    LEFT_OVER.append(seed)
    return held_out_loss(variant, seed) + len(LEFT_OVER)


def won(variant, seed):
    return np.random.default_rng(seed).random() < (0.3 if variant == "with" else 0.6)


def hochberg_1988(p_values):
    order = np.argsort(p_values)
    raised = p_values[order] * np.arange(len(p_values), 0, -1, dtype=np.int64)
    return np.minimum(1, np.minimum.accumulate(raised[::-1])[::-1])[np.argsort(order)]


def drawn(variant, seed):
    return np.random.default_rng(seed).normal() + (variant == "with")


def fails_later(variant, seed):
    if seed > 4:
        raise ValueError("no such seed")
    return drawn(variant, seed)


WRONG = {
    "10.1": [
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
    "10.2": [
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
    "10.3": [
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
    "10.4": [
        (FAULTS | {"A": "fair"}, "A as 'fair': then both sides would have had the same tries"),
        (FAULTS | {"B": "uneven tuning"}, "B as 'uneven tuning': then one side"),
        (FAULTS | {"C": "chosen by its judge"}, "C as 'chosen by its judge': then the runs that are reported"),
        (FAULTS | {"D": "many looks"}, "D as 'many looks'"),
        (FAULTS | {"E": "failures left out"}, "E as 'failures left out'"),
        (FAULTS | {"E": "bad luck"}, "'bad luck', which is not in the table"),
        (FAULTS | {"E": 3}, "not in the table"),
        (FAULTS | {"C": ...}, "still open: C"),
        (FAULTS | {"F": "fair"}, "F as 'fair': then both sides would have had the same tries"),
        (FAULTS | {"B": "chosen by another rule"}, "B as 'chosen by another rule': then the settings would have been picked by one number"),
        ({"A": "fair"}, "still open: B, C, D, E, F"),
        (["fair"] * 5, "of type list"),
        (None, "of type NoneType"),
    ],
    "10.5": [
        (claim(measure=unseeded), "drawn without the seed"),
        (claim(measure=never_the_seed), "one run told ten times"),
        (claim(measure=never_the_variant), "does the measure use its variant"),
        (
            claim(measure=lambda variant, seed: drawn(variant, seed if variant == "with" else 0), ours="with", others="without"),
            "for 'without'",
        ),
        (claim(measure=lambda variant, seed: 1 + (variant == "with") + 1e-14 * seed, ours="with", others="without"), "for 'with'"),
        (claim(measure=left_over), "left over from the call before"),
        (claim(others="rotary"), "a comparison needs two variants"),
        (claim(ours="rotatory"), "it raised ValueError"),
        (claim(ours=["rotary"]), "'ours' is of type list; results are kept under it"),
        (claim(others={"width": 3}), "'others' is of type dict; results are kept under it"),
        (claim(measure=returns(None)), "returned None"),
        (claim(measure=returns(float("nan"))), "a finite number"),
        (claim(measure=returns([1.0, 2.0])), "one number was asked for"),
        (claim(measure=raises), "it raised KeyError"),
        (claim(measure=2.5), "a function was asked for"),
        (claim(claim="better"), "a sentence was asked for"),
        (claim(**{"change our mind": "no"}), "written before the run"),
        (claim(claim=...), "still open: 'claim'"),
        (held_out_loss, "of type function; a dictionary"),
        (None, "of type NoneType"),
        (claim(measure=fails_later, ours="with", others="without"), "no such seed"),
        (
            claim(measure=lambda variant, seed: drawn(variant, seed) if seed < 9 else np.inf, ours="with", others="without"),
            r"measure.'with', 9. is inf",
        ),
    ],
}

RIGHT = {
    "10.1": [between(5, 40), between(0, 60.5), between(np.int64(70), np.float32(90)), between(0, 5) | {"why": "experience"}, between(0, 1)],
    "10.2": [
        ends_of_the_librarys,
        by_statistics,
        lambda values, c: stats.t.interval(c, len(values) - 1, np.mean(values), stats.sem(values)),
    ],
    "10.3": [holm_of_the_library, closed, lambda p: np.float32(holm_with()(p)), lambda p: holm_with()(p).tolist()],
    "10.4": [dict(FAULTS), list(FAULTS.items()), {letter.lower(): f" {name.upper()}" for letter, name in FAULTS.items()}],
    "10.5": [
        dict(REFERENCE_CLAIM),
        claim(ours="none", others="rotary"),
        claim(measure=drawn, ours="with", others="without"),
        claim(measure=won, ours="with", others="without"),
        claim(measure=lambda variant, seed: np.array([drawn(variant[0], seed)]), ours=("with", 1), others=("without", 1)),
        claim(measure=lambda variant, seed: [drawn(variant, seed)], ours="with", others="without"),
        claim(measure=lambda variant, seed: str(drawn(variant, seed)), ours="with", others="without"),
    ],
}

TYPED_WRONG = {
    "10.1": 'my_range = {"at least": 0.1, "at most": 0.4}',
    "10.2": (
        "def student_interval(values, confidence):\n"
        "    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))\n"
        "    return np.mean(values) - half, np.mean(values) + half"
    ),
    "10.3": "def holm(p_values):\n    return np.minimum(1, p_values * len(p_values))",
    "10.4": 'faults = dict.fromkeys("ABCDEF", "fair")',
    "10.5": (
        'my_claim = {"claim": "mine is better than theirs", "measure": lambda variant, seed: 1.0,\n'
        '    "ours": "a", "others": "b", "change our mind": "nothing I can think of"}'
    ),
}
