"""Exercises of 20_case_files."""

import math
import operator

from cllm_lib.workbook.exercises.forms import as_number, by_name
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    brief,
    by_letter,
    call,
    close,
    number,
    shown,
    told_apart,
)
from cllm_lib.workbook.exercises.readings import numbers_by_name

CURVES = 6  # on the first page


def examine_bet(answer):
    """How many of six curves belong to a sick training."""
    sick = numbers_by_name("sick")(answer)["sick"]
    if sick % 1 or not 0 <= sick <= CURVES:
        raise NotYet(f"'sick' is {shown(sick)}: a whole number from 0 to {CURVES} was asked for.")
    return f"{sick:g} of {CURVES}. *What they had*, further down, opens the files."


# A word


def word(reported, by_hand, targets):
    """Reference: what kind of loss is reported, by the one computed by hand."""
    if abs(reported - by_hand) <= 1e-3 * by_hand:
        return "mean"
    if abs(reported - by_hand * targets) <= 1e-3 * by_hand * targets:
        return "sum"
    return "other"


_LOSSES = (
    (3.0, 3.0, 64),
    (3.0015, 3.0, 64),
    (2.9985, 3.0, 64),
    (3.0045, 3.0, 64),
    (2.9955, 3.0, 64),
    (192.0, 3.0, 64),
    (192.15, 3.0, 64),
    (191.85, 3.0, 64),
    (192.6, 3.0, 64),
    (191.4, 3.0, 64),
    (192.3, 3.0, 64),
    (191.7, 3.0, 64),
    (500.0, 3.0, 64),
    (67.0, 3.0, 64),
    (-3.0, 3.0, 64),
    (0.5, 3.0, 64),
    (0.046875, 3.0, 64),
    (0.1, 3.0, 64),
    (0.2, 3.0, 64),
    (64.0, 3.0, 64),
    (50.0, 3.0, 64),
    (0.0201, 0.0201, 128),
    (0.02011, 0.0201, 128),
    (0.0202, 0.0201, 128),
    (2.5728, 0.0201, 128),
    (2.0, 2.0, 1),
    (400.0, 400.0, 96),
    (400.3, 400.0, 96),
    (300.0, 3.0, 96),
)


def _examine_word(answer):
    def look(reported, by_hand, targets):
        right, said = word(reported, by_hand, targets), call(answer, reported, by_hand, targets)
        if not isinstance(said, str):
            raise NotYet(f"it returned {brief(said)}; a word was asked for: 'mean', 'sum' or 'other'.")
        said = said.strip().lower()
        if said not in ("mean", "sum", "other"):
            raise NotYet(f"it returned {said[:30]!r}; the words are 'mean', 'sum' and 'other'.")
        mistakes = {reason: slip(reported, by_hand, targets) for reason, slip in _WORD_SLIPS.items()}
        given = f"reported {reported:g}, by hand {by_hand:g}, {targets} targets"
        return f"for {given} it says {said!r}; {right!r} was asked for.", said, right, mistakes

    told_apart(look, _LOSSES, operator.eq, "Each comparison is relative: within a thousandth of what it should be.")


def _word_by(mean, total):
    """A word by two comparisons."""
    return lambda reported, by_hand, targets: (
        "mean" if mean(reported, by_hand) else "sum" if total(reported, by_hand * targets) else "other"
    )


def _within(reported, value):
    return abs(reported - value) <= 1e-3 * value


def _sum_by(total):
    """A word whose sum is another one, within a thousandth of the true sum."""
    return lambda reported, by_hand, targets: (
        "mean" if _within(reported, by_hand) else "sum" if abs(reported - total(by_hand, targets)) <= 1e-3 * by_hand * targets else "other"
    )


_WORD_SLIPS = {
    "You compare exactly; rounding leaves a little: within a thousandth.": _word_by(operator.eq, operator.eq),
    "Your limit is 0.001, whatever the loss. A thousandth *of what it should be* was asked for, below and above.": _word_by(
        lambda a, b: abs(a - b) <= 1e-3, lambda a, b: abs(a - b) <= 1e-3
    ),
    "A loss that is too low passes for right: take the absolute value of the difference.": _word_by(
        lambda a, b: a - b <= 1e-3 * b, _within
    ),
    "A sum that is too low passes for one: take the absolute value of the difference.": _word_by(_within, lambda a, b: a - b <= 1e-3 * b),
    "Whatever is not the mean is a sum for you. Compare with by_hand * targets; the rest is 'other'.": _word_by(_within, lambda a, b: True),
    "Whatever is larger than the mean is a sum for you. Compare with by_hand * targets.": lambda reported, by_hand, targets: (
        "mean" if _within(reported, by_hand) else "sum" if reported > by_hand else "other"
    ),
    "A sum is the mean *times* the number of targets; you divide.": _sum_by(lambda by_hand, targets: by_hand / targets),
    "A sum is the mean *times* the number of targets; you add that number.": _sum_by(lambda by_hand, targets: by_hand + targets),
    "A sum is the mean times the number of targets; you compare with that number alone.": lambda reported, by_hand, targets: (
        "mean" if _within(reported, by_hand) else "sum" if _within(reported, targets) else "other"
    ),
    "You say 'mean' and 'sum' the other way round.": lambda reported, by_hand, targets: {"mean": "sum", "sum": "mean"}.get(
        word(reported, by_hand, targets), "other"
    ),
    "You never say 'sum'.": _word_by(_within, lambda a, b: False),
    "Your limit is a hundredth; a thousandth was asked for.": _word_by(
        lambda a, b: abs(a - b) <= 1e-2 * b, lambda a, b: abs(a - b) <= 1e-2 * b
    ),
}


# Bayes' rule


def bayes(belief, likelihood):
    """Reference: belief times likelihood, brought to the sum 1."""
    joint = {name: belief[name] * likelihood[name] for name in belief}
    total = sum(joint.values())
    return {name: value / total for name, value in joint.items()}


_BELIEFS = (
    ({"healthy": 0.5, "no mask": 0.25, "zero": 0.25}, {"healthy": 0.01, "no mask": 0.9, "zero": 0.02}),
    ({"healthy": 0.2, "no mask": 0.8}, {"healthy": 0.5, "no mask": 0.125}),
    ({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, {"d": 0.2, "c": 0.4, "b": 0.0, "a": 1.0}),
    ({"a": 0.0, "b": 1.0}, {"a": 0.9, "b": 0.1}),
)


def _as_distribution(found, names, what):
    """Numbers by name, out of what a reader returned."""
    try:
        given = dict(found)
    except (TypeError, ValueError):
        raise NotYet(f"{what} is of type {type(found).__name__}; a dictionary from name to probability was asked for.") from None
    if set(given) != set(names):
        odd = sorted(map(str, set(given) ^ set(names)))
        raise NotYet(f"{what} and the belief differ in {', '.join(odd[:3])}: one probability for each name was asked for.")
    return {name: number(given[name], f"{what}[{name!r}]") for name in names}


def _alike(one, other):
    return all(close(one[name], other[name]) for name in other)


def _examine_bayes(answer):
    def look(belief, likelihood):
        right = bayes(belief, likelihood)
        found = _as_distribution(call(answer, belief, likelihood), belief, "the new belief")
        name = max(right, key=lambda name: abs(found[name] - right[name]))
        joint = {name: belief[name] * likelihood[name] for name in belief}
        total = sum(likelihood.values())
        mistakes = {
            "It sums to less than 1: divide by the sum of all products.": joint,
            "That is the likelihood, and the belief before counts for nothing: multiply by it.": [
                dict(likelihood),
                {name: value / total for name, value in likelihood.items()},
            ],
            "That is the belief as it was: the answer changed nothing.": dict(belief),
            "You divide by the sum of the likelihoods; divide by the sum of the products.": {n: v / total for n, v in joint.items()},
            "You divide by the largest product; divide by their sum.": {n: v / max(joint.values()) for n, v in joint.items()},
            "You add belief and likelihood; multiply them.": [
                {n: belief[n] + likelihood[n] for n in belief},
                {n: (belief[n] + likelihood[n]) / (1.0 + total) for n in belief},
            ],
        }
        seen = f"{name!r} comes to {shown(found[name])}; {shown(right[name])} was asked for."
        return seen, found, right, mistakes

    told_apart(look, _BELIEFS, _alike, "Multiply the two, name by name, and divide by the sum of the products.")


# Expected information


def information(belief, answers):
    """Reference: the entropy of a belief, less its mean entropy after the answer."""

    def entropy(weights):
        return -sum(p * math.log(p) for p in weights if p > 0)

    after = 0.0
    for likelihood in answers:
        joint = [belief[name] * likelihood[name] for name in belief]
        chance = sum(joint)
        after += chance * entropy(p / chance for p in joint if p > 0)
    return entropy(belief.values()) - after


def _two(share):
    """The two answers of a question that says yes with these probabilities."""
    return [dict(share), {name: 1.0 - p for name, p in share.items()}]


_QUESTIONS = (
    ({"healthy": 0.5, "no mask": 0.5}, _two({"healthy": 0.0, "no mask": 1.0})),
    ({"healthy": 0.5, "no mask": 0.25, "zero": 0.25}, _two({"healthy": 0.1, "no mask": 0.9, "zero": 0.1})),
    ({"a": 0.7, "b": 0.3}, _two({"a": 0.5, "b": 0.5})),
    (
        {"a": 0.2, "b": 0.3, "c": 0.5},
        [{"a": 0.5, "b": 0.0, "c": 0.25}, {"a": 0.5, "b": 0.25, "c": 0.25}, {"a": 0.0, "b": 0.75, "c": 0.5}],
    ),
    ({"a": 0.0, "b": 1.0}, _two({"a": 1.0, "b": 0.25})),
    ({"a": 0.6, "b": 0.4}, [*_two({"a": 1.0, "b": 0.2}), {"a": 0.0, "b": 0.0}]),
)


def _entropy(weights):
    return -sum(p * math.log(p) for p in weights if p > 0)


def _examine_information(answer):
    def look(belief, answers):
        right = information(belief, answers)
        found = number(call(answer, belief, answers), "the information")
        chances = [sum(belief[n] * likelihood[n] for n in belief) for likelihood in answers]
        possible = [(chance, bayes(belief, likelihood)) for chance, likelihood in zip(chances, answers, strict=True) if chance > 0]
        before = _entropy(belief.values())
        after = sum(chance * _entropy(one.values()) for chance, one in possible)
        plain = sum(_entropy(one.values()) for _, one in possible) / len(possible)
        mistakes = {
            "The sign is turned round: entropy before, less the mean entropy after.": -right,
            "That is the mean entropy after the answer. How much *less* is it than before?": after,
            "That is the entropy of the belief before, whatever the question.": before,
            "You give each answer the same weight. Each counts by its chance under the belief.": before - plain,
            "You add the entropies after all answers. Each counts by its chance.": before - plain * len(possible),
            "That is in bits; nats were asked for: the natural logarithm.": right / math.log(2),
            "That is the entropy of the answers: what the question says, and not what it says of the defect.": _entropy(chances),
            "That is what the likeliest answer would tell. Take the mean over all answers.": before
            - _entropy(max(possible, key=lambda pair: pair[0])[1].values()),
        }
        seen = f"the information is {shown(found)}; {shown(right)} was asked for."
        return seen, found, right, mistakes

    told_apart(look, _QUESTIONS, close, "Entropy of the belief, less the mean of the entropies after each answer, weighted by its chance.")


# Three patients


def _examine_patients(answer):
    from cllm_lib.casebook import DEFECTS, three_cases  # here, not above: only who answers has to wait for three trainings
    from cllm_lib.casebook.line_up import truth_of

    cases = three_cases()
    given = by_letter(answer, cases, f"this is of type {type(answer).__name__}; a dictionary from letter to name was asked for.")
    names = {letter: str(name).strip(" `'\"").lower() for letter, name in given.items()}
    known = {name.lower(): name for name in DEFECTS}
    for letter, name in names.items():
        if name not in known:
            raise NotYet(f"{letter} is {name[:40]!r}, which is no name of the list: casebook.DEFECTS has them all.")
    for letter, name in names.items():
        defect, best = truth_of(cases[letter])
        if name != defect.lower():
            raise NotYet(f"{letter} is not {known[name]!r}. {_advice(name, defect, best)}")
    return "Three of three. An accusation that was right and cheap is worth more than one that was right: what did yours cost?"


def _advice(accused, defect, best):
    if defect == "healthy":
        return "Which word do you have against it? An instrument that says nothing is evidence, too."
    if accused == "healthy":
        return f"An acquittal needs more questions: have you asked '{best}'?"
    return f"What does '{best}' say of it?"


# Random arguments


def random_losses(generator):
    """A loss reported near the mean, near the sum, or elsewhere, just within the border or beyond it; by hand; targets."""
    targets, by_hand = int(generator.integers(1, 200)), float(generator.uniform(0.01, 9.0))
    near = by_hand * float(generator.choice([1.0, targets, 1.0 / targets, targets / by_hand, 2.0]))
    return near * (1.0 + float(generator.choice([0.0, 5e-4, -5e-4, 2e-3, -2e-3, 0.05, -0.05]))), by_hand, targets


def _shares(generator, names):
    weights = generator.random(len(names)) + 0.01
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))


def _names(generator):
    return ["healthy", "no mask", "zero", "stale", "frozen"][: int(generator.integers(2, 6))]


def random_belief(generator):
    """A belief, and the likelihood of an answer."""
    names = _names(generator)
    return _shares(generator, names), dict(zip(names, generator.random(len(names)).tolist(), strict=True))


def random_question(generator):
    """A belief, now and then a certain one; and two to four answers, now and then one without a chance."""
    names = _names(generator)
    belief = _shares(generator, names)
    if generator.random() < 0.3:
        belief = {name: float(name == names[0]) for name in names}
    rows = generator.random((int(generator.integers(2, 5)), len(names)))
    if generator.random() < 0.3:
        rows[-1] = 0.0
    rows /= rows.sum(axis=0)
    return belief, [dict(zip(names, row, strict=True)) for row in rows.tolist()]


EXERCISES = {
    "20.1": Exercise(None, examine_bet, bet=True, form=numbers_by_name("sick")),
    "20.2": Exercise(word, _examine_word, form=lambda said: said.strip().lower()),
    "20.3": Exercise(bayes, _examine_bayes, form=by_name(as_number)),
    "20.4": Exercise(information, _examine_information, form=as_number),
    "20.5": Exercise(None, _examine_patients),
}
