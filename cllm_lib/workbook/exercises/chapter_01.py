"""Exercises of 01_the_loss_that_never_moves."""

import math
import re

import numpy as np

from cllm_lib.model.layers import cross_entropy_forward
from cllm_lib.workbook.exercises.forms import as_number, by_name
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, brief, call, close, compared, number, shown, told_apart

SUSPECTS = {
    1: "initialisation",
    2: "gradients too small",
    3: "attention",
    4: "no clipping",
    5: "threads",
}


def suspect(answer):
    """A prediction: 1 to 5, or 0 for none of them; a name from the list will do."""
    by_name = {name: i for i, name in SUSPECTS.items()}
    value = number(by_name.get(answer.strip().lower(), answer) if isinstance(answer, str) else answer, "your suspect")
    if value != int(value) or not 0 <= value <= 5:
        raise NotYet(f"{shown(value)} is not on the list: write a number from 1 to 5, or 0 for none of them.")
    return f"{SUSPECTS.get(int(value), 'none of the five')}. The experiments will decide."


def uniform_loss(vocab_size):
    """Reference: -ln(1 / V)."""
    return math.log(vocab_size)


def examine_uniform_loss(answer):
    """Against the model's own cross-entropy with equal logits, which takes another road to the number."""

    def look(size):
        expected, _ = cross_entropy_forward(np.zeros((1, size)), np.array([0], dtype=np.int64))
        value = number(call(answer, size), f"uniform_loss({size})")
        mistakes = {
            "That is the answer for 10,000 words: does your function use its argument?": math.log(10_000),
            "The sign: a logarithm of a probability is negative, and the loss is minus that.": -expected,
            "That is the logarithm to base 10; losses are in nats, the natural logarithm.": math.log10(size),
            "That is in bits, the logarithm to base 2; losses here are in nats.": math.log2(size),
            "1 / V is the probability itself. The loss is minus its logarithm.": 1 / size,
            "V is the number of words to choose from, the perplexity. The loss is its logarithm.": size,
        }
        return compared(f"uniform_loss({size})", value, expected), value, expected, mistakes

    cases = ((10_000,), (2,), (27,), (50_257,), (1,))
    told_apart(look, cases, close, "What probability does each of V words get, and what is minus its natural logarithm?")


def weight_magnitudes(parameters):
    """Reference: mean absolute value of each array."""
    return {name: float(np.abs(array).mean()) for name, array in parameters.items()}


def examine_weight_magnitudes(answer):
    """On arrays of odd shapes, larger than document 002's sample of 100, with weights of both signs."""
    generator = np.random.default_rng(7)
    parameters = {
        "embedding": generator.normal(-0.3, 1.0, (23, 11)),
        "layers.0.attention.query_weight": generator.normal(0.2, 0.5, (17, 13)),
        "layers.1.attention.query_weight": np.where(
            np.arange(12, dtype=np.int64) % 2, generator.standard_normal((11, 12)), 0.0
        ),  # half is 0
        "layers.0.attention.query_bias": np.zeros(5),
        "layers.0.feed_forward_norm.gain": np.ones(3),
    }
    result = call(answer, parameters)
    try:
        result = dict(result)
    except (TypeError, ValueError):
        raise NotYet(
            f"it returned something of type {type(result).__name__}; a dictionary was asked for, one number for each name."
        ) from None
    missing = [name for name in parameters if name not in result]
    if missing:
        raise NotYet(f"nothing for {missing[0]!r}. Go through every item of parameters: the culprit may sit where nobody looks.")

    def look(name, array):
        value, absolute = number(result[name], f"the entry for {name!r}"), np.abs(array)
        mistakes = {
            "That is the mean with signs: weights of both signs cancel, and a healthy layer looks like zero.": array.mean(),
            "You take the absolute value after the mean: by then both signs have cancelled.": abs(array.mean()),
            "You leave out the zeros. A layer half of which was never filled shows by them: divide by how many numbers there are.": (
                absolute[absolute > 0].mean() if absolute.any() else None
            ),
            "That is the sum, which grows with the array; divide by how many there are.": absolute.sum(),
            "That is the largest. One large weight among zeros would hide them.": absolute.max(),
            "That is the mean of the first 100, document 002's sample. Look at all of them.": absolute.ravel()[:100].mean(),
            "That is the root mean square, a good measure too; here the mean of absolute values was asked for.": (
                np.sqrt((array**2).mean())
            ),
        }
        return compared(f"the mean absolute value of {name!r}", value, absolute.mean()), value, absolute.mean(), mistakes

    told_apart(look, parameters.items(), close, "Absolute values first, then their mean.")


KINDS = ("embedding", "query", "key", "value", "output", "expand", "contract", "gain")


def which_zeros(answer):
    """A prediction: a set of kinds of arrays, or a text with their names; empty for none."""
    if isinstance(answer, str):
        names = re.findall(r"[^\s,;]+", answer)
    else:
        try:
            names = list(answer)
        except TypeError:
            raise NotYet(f'{brief(answer)} is no set of names. Write for instance {{"query", "key"}}, or set() for none of them.') from None
    names = {_kind(name) for name in names}
    unknown = sorted(names - set(KINDS))
    if unknown:
        raise NotYet(f"{unknown[0][:30]!r} is none of the kinds: {', '.join(KINDS)}.")
    return f"{', '.join(kind for kind in KINDS if kind in names) or 'none of them'}. The next cell will decide."


def _kind(name):
    name = str(name).strip().lower().removesuffix("_weight")
    return name[:-1] if name[:-1] in KINDS else name


VERDICTS = {
    "initialisation": "convicted",
    "gradients too small": "acquitted",
    "attention": "acquitted",
    "no clipping": "acquitted",
    "threads": "acquitted",
}
_WHY_ACQUITTED = {
    "gradients too small": "A rate 1,000 times higher changed nothing: 1,000 times 0 is 0. The crawl, once repaired, is another charge.",
    "attention": "Real attention in the patient: still 9.2103. And a healthy model learnt with simplified attention.",
    "no clipping": "Clipping makes long gradients shorter. These have length 0.",
    "threads": "The pool changed not one digit of the loss.",
}


def examine_verdicts(answer):
    """One word for each suspect."""
    try:
        answer = dict(answer)
    except (TypeError, ValueError):
        raise NotYet(
            f"this is of type {type(answer).__name__}; a dictionary from suspect to 'acquitted' or 'convicted' was asked for."
        ) from None
    verdicts = {str(name).strip(): str(word).strip().lower() if word is not ... else ... for name, word in answer.items()}
    open_ones = [name for name in VERDICTS if verdicts.get(name, ...) is ...]
    if open_ones:
        raise NotYet(f"still open: {', '.join(open_ones)}.")
    for name in VERDICTS:
        if verdicts[name] not in ("acquitted", "convicted"):
            raise NotYet(f"{name!r} is {verdicts[name]!r}; write 'acquitted' or 'convicted'.")
    if verdicts["initialisation"] != "convicted":
        raise NotYet("initialisation acquitted? It was the one experiment after which the loss moved, all else left as it was.")
    for name, reason in _WHY_ACQUITTED.items():
        if verdicts[name] != "acquitted":
            raise NotYet(f"{name!r} convicted? {reason}")
    return "One suspect convicted, four acquitted, each by an experiment."


EXERCISES = {
    "01.1": Exercise(None, suspect, bet=True),
    "01.2": Exercise(uniform_loss, examine_uniform_loss, form=as_number),
    "01.3": Exercise(weight_magnitudes, examine_weight_magnitudes, form=by_name(as_number)),
    "01.4": Exercise(None, which_zeros, bet=True),
    "01.5": Exercise(VERDICTS, examine_verdicts, only_one=True),
}
