"""Answers for chapter 09: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import raises, returns

from cllm_lib.workbook.exercises.chapter_09 import first_wrong, reading, triage, worth

# 09.2


def near(loss, level):
    return abs(loss - level) <= 0.15


def read(losses, levels, last=3, close=near, limit=2.0, blown=lambda losses, limit: not losses[-1] <= limit):
    """The reference with one slip at a time."""
    if blown(losses, limit * levels["ln V"]):
        return "exploded"
    for name, level in levels.items():
        if all(close(loss, level) for loss in losses[-last:]):
            return name
    return "moving"


def closer_than(margin):
    return lambda loss, level: abs(loss - level) <= margin


def read_by_the_mean(losses, levels):
    return read([*losses[:-1], losses[-1]] if not losses[-1] < 12 else [float(np.mean(losses[-3:]))] * 3, levels)


def reading_with_numpy(losses, levels):
    losses = np.array(losses)
    if not np.isfinite(losses[-1]) or losses[-1] > 2 * levels["ln V"]:
        return "exploded"
    near_to = [name for name in levels if np.abs(losses[-3:] - levels[name]).max() <= 0.15]
    return str(np.array([*near_to, "moving"])[0])


# 09.3


def worth_in_place(end, repair, company):
    company.discard(repair)
    without = end(company)
    company.add(repair)
    return without - end(company)


# 09.4


def wrong_names(errors, tolerance=1e-3):
    return [name for name, error in errors.items() if not error <= tolerance]


def first_wrong_by_hand(errors, tolerance=1e-3):
    found = wrong_names(errors, tolerance)
    return found[-1] if found else None


def nan_first(errors, tolerance=1e-3):
    nans = [name for name in errors if math.isnan(errors[name])]
    return nans[-1] if nans else first_wrong(errors, tolerance)


def numbers_first(errors, tolerance=1e-3):
    return first_wrong({n: e for n, e in errors.items() if not math.isnan(e)}, tolerance) or first_wrong(errors, tolerance)


def emptied(errors, tolerance=1e-3):
    while errors:
        name, error = errors.popitem()
        if not error <= tolerance:
            return name
    return None


# 09.5


def in_another_order(findings):
    if not findings["word comes through"]:
        return "output and residual"
    if not findings["reaches what it should"]:
        return "attention forward"
    if not findings["weights in [0, 1]"]:
        return "exponential"
    if findings["first wrong"]:
        return "attention backward" if ".attention." in findings["first wrong"] else "norm backward"
    return triage(findings)


def optimiser_first(findings):
    return "Adam" if findings["optimiser"] == "SGD" else triage(findings)


def loss_first(findings):
    stands = findings["knows order"] is False and findings["optimiser"] == "Adam"
    return "warm-up" if stands else triage(findings)


def warm_up_before_adam(findings):
    return "warm-up" if findings["knows order"] is False and triage(findings) == "Adam" else triage(findings)


def marks(findings):
    findings["seen"] = True
    return triage(findings)


BROKEN = [
    (raises, "it raised KeyError"),
    (3, "a function was asked for"),
    (None, "a function was asked for"),
]


def crawling_first(findings):
    crawls = findings["optimiser"] == "SGD" and not findings["knows order"]
    return "Adam" if crawls and findings["first wrong"] is not None else triage(findings)


def stands_where(findings, wrong):
    """With a condition of its own on what the loss knows."""
    return triage(findings | {"knows order": not wrong(findings["knows order"])})


OTHER_CONDITIONS = (lambda knows: knows is True, lambda knows: knows is not False, lambda knows: True)


def attention_where(findings, of):
    """With a condition of its own on the name."""
    if findings["first wrong"] is None:
        return triage(findings)
    return "attention backward" if of(findings["first wrong"]) else "norm backward"


OTHER_NAMES = (
    (lambda name: any(part in name for part in ("query", "key", "value")), "Every array with|full stops"),
    (lambda name: "norm" not in name and "embedding" not in name, "Only '.attention.' in the name"),
    (lambda name: "attention." in name, "with both full stops"),
)

WRONG = {
    "09.1": [
        ("OWEFRSN", "still to be placed: A"),
        ("OWEFRSNAA", "A stands in your order more than once"),
        ("OWEFXSNA", "no repair has the letter 'X'"),
        (("E", "N"), "still to be placed: A, F, R, O, S, W"),
        (8, "a word of eight letters"),
        (None, "a word of eight letters"),
        (float("nan"), "a word of eight letters"),
        (np.zeros(8), "a word of eight letters"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "a word of eight letters"),
        ("", "still to be placed: E, N"),
    ],
    "09.2": [
        (lambda losses, levels: read(losses, levels, last=1), "only passes through"),
        (lambda losses, levels: read(losses, levels, close=closer_than(0.1)), "within 0.15 of 4.7"),
        (lambda losses, levels: read(losses, levels, close=closer_than(0.015)), "within 0.15 of 4.7"),
        (lambda losses, levels: read(losses, levels, close=closer_than(0.2)), "0.18 above 4.7"),
        (lambda losses, levels: read(losses, levels, close=lambda a, b: abs(a - b) < 0.15), "counts as near it"),
        (
            lambda losses, levels: read(losses, levels, blown=lambda losses, limit: any(map(math.isnan, losses))),
            "only its end counts|worse than",
        ),
        (
            lambda losses, levels: read(losses, levels, blown=lambda losses, limit: not np.isfinite(losses[-1])),
            "worse than knowing nothing",
        ),
        (lambda losses, levels: read(losses, levels, blown=lambda losses, _: not losses[-1] <= 11.26), "twice the argument's ln V"),
        (lambda losses, levels: read(losses, levels, blown=lambda losses, _: not losses[-1] <= 10), "stands at it|border"),
        (lambda losses, levels: "exploded" if any(map(math.isnan, losses)) else reading(losses, levels), "only its end counts"),
        (read_by_the_mean, "and they are not|only passes through"),
        (
            lambda losses, levels: read(losses, levels, close=lambda loss, level: loss - level <= 0.15),
            "abs missing",
        ),
        (lambda losses, levels: read(losses, levels, close=lambda loss, level: 0 <= loss - level <= 0.15), "a little below"),
        (lambda losses, levels: read(losses, levels, last=100), "a slice missing"),
        (lambda losses, levels: read(losses, levels, blown=lambda losses, limit: losses[-1] > limit), "is not greater than anything"),
        (lambda losses, levels: read(losses, levels, limit=1.0), "a part missing"),
        (lambda losses, levels: read(losses, levels, blown=lambda losses, limit: not max(losses) <= limit), "only its end counts"),
        (lambda losses, levels: read(losses, {"ln V": 5.6, "unigram entropy": 4.7, "bigram entropy": 1.5}), "those of the argument"),
        (lambda losses, levels: read(losses, levels).capitalize(), "none of the words"),
        (lambda losses, levels: losses[-1], "a word was asked for"),
        (lambda losses, levels: losses.append(1.0) or "moving", "changed its input"),
        (lambda losses: "moving", "it raised TypeError"),
        (returns(None), "returned None"),
        (returns(float("nan")), "a word was asked for"),
        (returns(np.zeros(3)), "a word was asked for"),
        *BROKEN,
    ],
    "09.3": [
        (lambda end, repair, company: end(company - set(repair)) - end(company | set(repair)), "set\\(repair\\) holds its letters"),
        (lambda end, repair, company: end({x for x in company if x not in repair}) - end(company | {repair}), "for 'second norm' beside"),
        (lambda end, repair, company: end(list(company - {repair})) - end(list(company | {repair})), "type list. Give it a set"),
        (lambda end, repair, company: -worth(end, repair, company), "sign is turned round"),
        (lambda end, repair, company: end(company) - end(company | {repair}), "compare the company with itself"),
        (lambda end, repair, company: end(set()) - end({repair}), "its worth alone"),
        (lambda end, repair, company: end(set()) - end(company | {repair}), "compare with nothing repaired"),
        (lambda end, repair, company: end(company - {repair}) - end({repair}), "Add it to the company"),
        (lambda end, repair, company: end(company | {repair}), "Only one end"),
        (lambda end, repair, company: worth(end, repair, company) / 2, "without it, minus with it"),
        (worth_in_place, "changed the company"),
        (lambda end, repair, company: end(company) - end(company + repair), "it raised TypeError"),
        (lambda end, repair, company: end("".join(company)) - end("".join(company) + "ab"), "with the text"),
        (lambda end, repair, company: end([company]) - end([repair]), "type list"),
        (returns(None), "returned None"),
        (returns(float("nan")), "a finite number"),
        (returns(np.zeros(3)), "one number was asked for"),
        *BROKEN,
    ],
    "09.4": [
        (nan_first, "layers.0.query', whose error is nan"),
        (lambda errors, tolerance=1e-3: numbers_first(errors, tolerance), "'embedding', whose error is 0.5"),
        (
            lambda errors, tolerance=1e-3: next((n for n in list(reversed(errors))[1:] if not errors[n] <= tolerance), None),
            "leave out the last",
        ),
        (lambda errors, tolerance=1e-3: first_wrong(errors, tolerance**2), "above the tolerance"),
        (lambda errors, tolerance=1e-3: first_wrong({n: e for n, e in errors.items() if e != math.inf}, tolerance), "infinite error"),
        (lambda errors, tolerance=1e-3: first_wrong(errors, tolerance) or "", "return None, without quotation marks"),
        (lambda errors, tolerance=1e-3: next(iter(wrong_names(errors, tolerance)), None), "first in the order of the forward pass"),
        (
            lambda errors, tolerance=1e-3: (
                max(errors, key=errors.get) if first_wrong(errors, tolerance) not in (None, "layers.1.query") else "layers.0.query"
            ),
            "largest error|nearest to the output",
        ),
        (lambda errors, tolerance=1e-3: next((n for n in reversed(errors) if errors[n] > tolerance), None), "NaN was passed over"),
        (lambda errors, tolerance=1e-3: first_wrong(errors), "Use the argument tolerance"),
        (lambda errors, tolerance=1e-3: first_wrong(errors, tolerance) or list(errors)[-1], "None was asked for"),
        (lambda errors, tolerance=1e-3: errors[first_wrong(errors, tolerance)], "the name of an array was asked for"),
        (lambda errors, tolerance=1e-3: "layers", "none of the names"),
        (emptied, "changed the dictionary"),
        (lambda errors: first_wrong(errors), "it raised TypeError|Use the argument"),
        (returns(None), "it says None"),
        (returns(float("nan")), "the name of an array"),
        (returns(np.zeros(3)), "the name of an array"),
        *BROKEN,
        (lambda errors, tolerance=1e-3: max(wrong_names(errors, tolerance), default=None), "by the alphabet"),
    ],
    "09.5": [
        (optimiser_first, "The optimiser and the loss come last"),
        (loss_first, "The optimiser and the loss come last"),
        (warm_up_before_adam, "comes before its warm-up"),
        (lambda f: triage(f | {"first wrong": (f["first wrong"] or "").replace("_norm", ".") or None}), "attention_norm is a LayerNorm"),
        (lambda f: "exponential" if not f["reaches what it should"] else triage(f), "reaches the wrong ones"),
        (lambda f: triage(f) or "second norm", "None was asked for"),
        (lambda f: "N" if f["first wrong"] else triage(f), "the name of no repair"),
        (lambda f: triage(f) if f["knows order"] is not False else None, "it says None"),
        (marks, "changed the findings"),
        (lambda f: {"fix": triage(f)}, "the name of no repair"),
        (returns(None), "it says None"),
        (returns(float("nan")), "the name of no repair"),
        (returns(np.zeros(3)), "the name of no repair"),
        *BROKEN,
        (crawling_first, "The optimiser and the loss come last"),
        *((lambda f, wrong=wrong: stands_where(f, wrong), "it says|None was asked for") for wrong in OTHER_CONDITIONS),
        *((lambda f, of=of: attention_where(f, of), said) for of, said in OTHER_NAMES),
    ],
}

RIGHT = {
    "09.1": ["enafrosw", list("OWEFRSNA"), "N, A, E, F, R, O, W, S", tuple("WSORFANE")],
    "09.2": [
        reading_with_numpy,
        lambda losses, levels: "exploded" if math.isnan(losses[-1]) or losses[-1] > 2 * levels["ln V"] else reading(losses, levels),
    ],
    "09.3": [
        lambda end, repair, company: np.float64(end(set(company) - {repair})) - end(frozenset(company) | {repair}),
        lambda end, repair, company: -(end({*company, repair}) - end(frozenset(x for x in company if x != repair))),
    ],
    "09.4": [first_wrong_by_hand, lambda errors, tolerance=1e-3: dict(enumerate(wrong_names(errors, tolerance)[::-1])).get(0)],
    "09.5": [
        in_another_order,
        lambda findings: triage(dict(findings)),
        lambda f: triage(f | {"knows order": bool(f["knows order"])}),  # not asked counts as no: it is asked once all else is right
    ],
}

TYPED_WRONG = {
    "09.1": 'my_order = "Adam first"',
    "09.2": "def reading(losses, levels):\n    return min(levels, key=lambda name: abs(levels[name] - losses[-1]))",
    "09.3": "def worth(end, repair, company):\n    return end(company | {repair}) - end(company)",
    "09.4": "def first_wrong(errors, tolerance=1e-3):\n    return max(errors, key=errors.get)",
    "09.5": 'def triage(findings):\n    return "Adam" if findings["optimiser"] == "SGD" else None',
}
