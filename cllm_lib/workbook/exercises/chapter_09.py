"""Exercises of 09_the_repair_ladder."""

import math
import operator
from collections.abc import Set

import numpy as np

from cllm_lib.defects import REPAIRS
from cllm_lib.workbook.exercises.forms import as_number
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    brief,
    call,
    close,
    maybe_none,
    number,
    same,
    shown,
    told_apart,
)

LETTERS = dict(zip("ENAFROSW", REPAIRS, strict=True))


def order_of_repairs(answer):
    """A prediction: the eight repairs in the order in which one would make them."""
    if not isinstance(answer, str | list | tuple) or not all(isinstance(letter, str) for letter in answer):
        raise NotYet(f"your order is {brief(answer)}; a word of eight letters was asked for, such as {''.join(LETTERS)!r}.")
    letters = [letter for letter in "".join(answer).upper() if letter not in " ,"]
    unknown = [letter for letter in letters if letter not in LETTERS]
    if unknown:
        raise NotYet(f"no repair has the letter {unknown[0]!r}: there are {', '.join(LETTERS)}.")
    twice = sorted({letter for letter in letters if letters.count(letter) > 1})
    if twice:
        raise NotYet(f"{', '.join(twice)} stands in your order more than once. Each repair is made once.")
    missing = [letter for letter in LETTERS if letter not in letters]
    if missing:
        raise NotYet(f"still to be placed: {', '.join(missing)}. In the end everything is repaired.")
    return f"{''.join(letters)}, beginning with {LETTERS[letters[0]]}. Its ladder will be drawn beside two others."


# Reading a loss


def reading(losses, levels):
    """Reference: what the last three epochs say, in a word."""
    if not losses[-1] <= 2 * levels["ln V"]:
        return "exploded"
    for name, level in levels.items():
        if all(abs(loss - level) <= 0.15 for loss in losses[-3:]):
            return name
    return "moving"


_LEVELS = {"ln V": 5.6, "unigram entropy": 4.7, "bigram entropy": 1.5}
_READINGS = (  # losses, levels, and what is there to be seen
    ([3.0, 3.0, 3.0, 3.0], _LEVELS, "It stands, and at no level."),
    ([5.5, 4.9, 4.75, 4.72, 4.71], _LEVELS, "The last three lie within 0.15 of 4.7."),
    ([5.61, 5.6, 5.6, 5.6], _LEVELS, "The last three lie within 0.15 of 5.6."),
    ([5.0, 4.84, 4.84, 4.84], _LEVELS, "The last three lie within 0.15 of 4.7."),
    ([5.0, 4.62, 4.6, 4.61], _LEVELS, "A loss a little below a level stands there too."),
    ([5.3, 4.88, 4.88, 4.88], _LEVELS, "They lie 0.18 above 4.7, and within 0.15 was asked for."),
    ([5.6, 5.3, 5.0, 4.7], _LEVELS, "It only passes through 4.7: all of the last three must lie near a level."),
    ([5.6, 5.1, 4.7, 4.3], _LEVELS, "The mean of the last three is near a level, and they are not."),
    ([4.7, 4.7, 4.7, 3.9, 3.3, 2.9], _LEVELS, "It stood there and left: only the last three count."),
    ([5.6, 40.0, 4.72, 4.7, 4.71], _LEVELS, "It had exploded and came back: only its end counts."),
    ([math.nan, 4.7, 4.7, 4.7], _LEVELS, "It was NaN and came back: only its end counts."),
    ([5.6, 812.0, 5_000.0], _LEVELS, "More than twice ln V is a model that does worse than knowing nothing."),
    ([5.6, 6.1, math.nan], _LEVELS, "A loss of NaN has exploded, and is not greater than anything: `loss > limit` is False."),
    ([5.6, 900.0, math.inf], _LEVELS, "An infinite loss has exploded."),
    ([5.6, 7.9, 8.1, 8.0], _LEVELS, "Somewhat above ln V is no explosion: the border is twice ln V."),
    ([2.0, 1.0, 0.95, 1.02], {"ln V": 2.1, "unigram entropy": 1.0, "bigram entropy": 0.3}, "The levels are those of the argument."),
    ([2.0, 4.1, 4.3], {"ln V": 2.1, "unigram entropy": 1.0, "bigram entropy": 0.3}, "The border is twice the argument's ln V."),
    ([5.6, 5.1, 5.0, 4.7, 4.7], _LEVELS, "Two of its last three lie near a level, and all three were to."),
    (
        [0.9, 0.15, 0.15, 0.15],
        {"ln V": 2.1, "unigram entropy": 1.0, "bigram entropy": 0.0},
        "Just 0.15 away from a level counts as near it: <=.",
    ),
    ([9.0, 11.0, 11.2], _LEVELS, "Twice ln V is the border, and what stands at it has not exploded yet."),
)


def _examine_reading(answer):
    for losses, levels, hint in _READINGS:
        expected, said = reading(losses, levels), call(answer, losses, levels)
        if not isinstance(said, str):
            raise NotYet(f"for {_listed(losses)} it returned {brief(said)}; a word was asked for, such as {expected!r}.")
        if said.strip() != said or said not in {*levels, "exploded", "moving"}:
            raise NotYet(f"{said[:30]!r} is none of the words: they are 'exploded', 'moving', and the names in `levels`.")
        if said != expected:
            raise Unexplained(f"for losses {_listed(losses)} it says {said!r}; {expected!r} was asked for.", hint)


def _listed(losses):
    return "[" + ", ".join(f"{loss:g}" for loss in losses) + "]"


# Worth in a company


def worth(end, repair, company):
    """Reference: by how much a repair lowers the final loss, made in the company of others."""
    company = set(company) - {repair}
    return end(company) - end(company | {repair})


def _end(repairs):
    """A ladder made up for the check: b is worth something beside a only, and c does harm until b is there."""
    if isinstance(repairs, str):
        raise NotYet(f"end was called with the text {repairs[:20]!r}. Give it a set of repairs, even of one: {{repair}}.")
    if not isinstance(repairs, Set):
        raise NotYet(f"end was called with something of type {type(repairs).__name__}. Give it a set of repairs.")
    if not repairs <= {_A, _B, _C}:
        raise NotYet(
            f"end was called with {sorted(map(str, repairs))[:3]}, which are no repairs. A set of several is joined by |, "
            "and of one it is {repair}: set(repair) holds its letters."
        )
    return 5.0 - 0.25 * (_A in repairs) - 1.5 * (repairs >= {_A, _B}) + (0.5 if _B not in repairs else -0.125) * (_C in repairs)


_A, _B, _C = "norm", "second norm", "warm-up"  # long names, one of which holds another
_COMPANIES = [(_A, ()), (_B, ()), (_C, ()), (_B, (_A,)), (_C, (_A, _B)), (_A, (_A, _B, _C)), (_B, (_A, _B, _C)), (_C, (_C,))]
_WORTH_SLIPS = {
    "The sign is turned round. A repair that lowers the loss is worth something: loss without it, minus loss with it.": (
        lambda repair, company: _end(company | {repair}) - _end(company - {repair})
    ),
    "Where the repair is in the company already you compare the company with itself, and get 0. Take it out for the first of the two.": (
        lambda repair, company: _end(company) - _end(company | {repair})
    ),
    "That is its worth alone, whatever the company. Both ends want the company in them.": (
        lambda repair, company: _end(set()) - _end({repair})
    ),
    "You compare with nothing repaired: that is what the whole company is worth. Compare with the company less this one repair.": (
        lambda repair, company: _end(set()) - _end(company | {repair})
    ),
    "Your first end has the whole company and your second this repair alone. Add it to the company: company | {repair}.": (
        lambda repair, company: _end(company - {repair}) - _end({repair})
    ),
    "Only one end is in it: that is a loss, not a difference of two.": (lambda repair, company: _end(company | {repair})),
}


def _examine_worth(answer):
    def look(repair, company):
        given, right = set(company), worth(_end, repair, company)
        value = number(_not_none(maybe_none(answer, _end, repair, given, right=right)), f"for {repair!r} beside {sorted(company)} it")
        if given != set(company):
            raise NotYet("your function changed the company it was given. `company | {repair}` and `company - {repair}` make new sets.")
        mistakes = {reason: slip(repair, set(company)) for reason, slip in _WORTH_SLIPS.items()}
        seen = f"for {repair!r} beside {sorted(company)} it is {shown(value)}; without it, minus with it, is {shown(right)}."
        return seen, value, right, mistakes

    told_apart(look, _COMPANIES, close, "Both ends want the company in them, and one of them the repair.")


def _not_none(result):
    if result is None:
        raise NotYet("it returned None. Is there a `return` on every path?")
    return result


# The first wrong gradient


def first_wrong(errors, tolerance=1e-3):
    """Reference: the wrong gradient nearest to the output, or None."""
    for name in reversed(errors):
        if not errors[name] <= tolerance:
            return name
    return None


_ERRORS = (  # by name, in the order of the forward pass, and the tolerance
    ({"embedding": 0.9, "layers.0.query": 0.7, "layers.1.query": 0.5, "layers.1.norm": 1e-9}, 1e-3),
    ({"embedding": 1e-9, "layers.0.query": 2.0, "layers.0.norm": 1e-8, "layers.1.query": 0.02, "layers.1.norm": 1e-9}, 1e-3),
    ({"embedding": 1.0, "layers.0.query": 1e-8}, 1e-3),
    ({"embedding": 1e-9, "layers.0.query": math.nan, "layers.0.norm": 1e-9}, 1e-3),
    ({"embedding": 0.2, "layers.0.query": 0.3, "layers.0.key": 0.1}, 1e-3),  # layers are in no order of the alphabet
    ({"embedding": 1e-9, "layers.0.query": 1e-5, "layers.0.norm": 1e-9}, 1e-3),
    ({"embedding": 0.5, "layers.0.norm": 0.01}, 0.1),
    ({"embedding": 1e-9, "layers.0.query": math.nan, "layers.0.norm": 0.5}, 1e-3),
    ({"embedding": 0.5, "layers.0.query": math.nan}, 1e-3),
    ({"embedding": 1e-9, "layers.0.query": math.inf, "layers.0.norm": 1e-9}, 1e-3),
)


def _examine_first_wrong(answer):
    def look(errors, tolerance):
        given, right = dict(errors), first_wrong(errors, tolerance)
        said = maybe_none(answer, given, *([tolerance] if tolerance != 1e-3 else []), right=right)
        if not same(given, errors):
            raise NotYet("your function changed the dictionary it was given. Look, and leave it as it is.")
        if said is not None and not isinstance(said, str):
            raise NotYet(f"it returned {brief(said)}; the name of an array was asked for.")
        if said is not None and said not in errors:
            raise NotYet(f"{brief(said)} is none of the names. (Where all are right, return None, without quotation marks.)")
        wrong = [name for name, error in errors.items() if not error <= tolerance]
        numbers = [name for name in wrong if not math.isnan(errors[name])]
        mistakes = {
            "That is the first in the order of the forward pass, the last to be computed on the way back. Begin at the end.": wrong[:1],
            "That is the one with the largest error. What is wrong above spoils all below: take the one nearest to the output.": (
                [max(wrong, key=errors.get)] if wrong else []
            ),
            "An error of NaN was passed over: `error > tolerance` is False for it. Ask the other way round.": numbers[-1:],
            "An infinite error was passed over. It is greater than any tolerance.": [n for n in wrong if errors[n] != math.inf][-1:],
            "You leave out the last entry, the nearest to the output of all.": [name for name in wrong if name != list(errors)[-1]][-1:],
            "You always go by 0.001. Use the argument tolerance.": [first_wrong(errors) or ""],
            "That is the last of the wrong ones by the alphabet; the dictionary is in the order of the layers.": sorted(wrong)[-1:],
        }
        error = f", whose error is {errors[said]:g}" if said else ""
        seen = f"at a tolerance of {tolerance:g} it says {said!r}{error}; {right!r} was asked for."
        return seen, said or "", right or "", {reason: (name or [""])[0] for reason, name in mistakes.items()}

    told_apart(
        look, _ERRORS, operator.eq, "Wrong is what lies above the tolerance; of the wrong ones the nearest to the output was asked for."
    )


# What to do next


def triage(findings):
    """Reference: what to mend next; the loss is asked last."""
    wrong = findings["first wrong"]
    if wrong is not None:
        return "attention backward" if ".attention." in wrong else "norm backward"
    if not findings["weights in [0, 1]"]:
        return "exponential"
    if not findings["reaches what it should"]:
        return "attention forward"
    if not findings["word comes through"]:
        return "output and residual"
    if findings["optimiser"] == "SGD":
        return "Adam"
    if findings["knows order"] is False:
        return "warm-up"
    return None


_SOUND = {
    "first wrong": None,
    "weights in [0, 1]": True,
    "reaches what it should": True,
    "word comes through": True,
    "optimiser": "Adam",
    "knows order": True,
}
_ONE_FINDING = [
    ({"first wrong": "layers.5.attention.key_weight"}, "attention backward", "A wrong gradient in an array of attention."),
    ({"first wrong": "layers.5.feed_forward_norm.gain"}, "norm backward", "A wrong gradient in a LayerNorm."),
    (
        {"first wrong": "layers.2.attention_norm.gain"},
        "norm backward",
        "attention_norm is a LayerNorm: look for '.attention.', with both full stops.",
    ),
    (
        {"first wrong": "layers.0.attention.output_weight"},
        "attention backward",
        "Every array with '.attention.' in its name is attention's.",
    ),
    ({"first wrong": "layers.0.feed_forward.expand_weight"}, "norm backward", "Only '.attention.' in the name is attention's."),
    ({"first wrong": "layers.0.cross_attention.key_weight"}, "norm backward", "Look for '.attention.', with both full stops."),
    ({"first wrong": "embedding"}, "norm backward", "The embedding's own gradient belongs to that repair."),
    ({"weights in [0, 1]": False}, "exponential", "Attention weights outside [0, 1]."),
    ({"reaches what it should": False}, "attention forward", "A position that reaches the wrong ones."),
    ({"word comes through": False}, "output and residual", "A silenced attention that lets nothing through."),
    ({"optimiser": "SGD"}, "Adam", "Everything else is right, and SGD crawls."),
    ({"optimiser": "SGD", "knows order": False}, "Adam", "The optimiser comes before its warm-up."),
    ({"knows order": False}, "warm-up", "All is right, and the loss knows how often words occur, and nothing of their order."),
]
_FREE_OF_THE_LOSS = ("attention backward", "norm backward", "exponential", "attention forward", "output and residual")


def _examine_triage(answer):
    for finding, expected, hint in _ONE_FINDING:
        said = _mended(answer, _SOUND | finding, expected)
        if said != expected:
            raise Unexplained(f"for {finding} alone it says {said!r}; {expected!r} was asked for.", hint)
    if (said := _mended(answer, _SOUND)) is not None:
        raise Unexplained(f"where nothing is wrong it says {said!r}; None was asked for.", "With nothing left to mend, return None.")
    losses = ({"optimiser": "SGD"}, {"optimiser": "SGD", "knows order": None}, {"knows order": None}, {"knows order": False})
    for finding in [finding for finding, expected, _ in _ONE_FINDING if expected in _FREE_OF_THE_LOSS]:
        for of_the_loss in losses:
            said = _mended(answer, _SOUND | finding | of_the_loss)
            if said not in _FREE_OF_THE_LOSS:
                raise NotYet(f"it says {said!r} while {next(iter(finding))!r} is not in order yet. The optimiser and the loss come last.")


def _mended(answer, findings, right=None):
    given = dict(findings)
    said = maybe_none(answer, given, right=right)
    if given != findings:
        raise NotYet("your function changed the findings. Look, and leave them as they are.")
    if said is not None and not (isinstance(said, str) and said in REPAIRS):
        raise NotYet(f"it returned {brief(said)}, which is the name of no repair. They are {', '.join(REPAIRS)}.")
    return said


EXERCISES = {  # a text of NumPy's is an object of its own: no reader's text is taken for it
    "09.1": Exercise(np.str_("EOWFRSNA"), order_of_repairs, bet=True),
    "09.2": Exercise(reading, _examine_reading),
    "09.3": Exercise(worth, _examine_worth, form=as_number),
    "09.4": Exercise(first_wrong, _examine_first_wrong),
    "09.5": Exercise(triage, _examine_triage),
}
