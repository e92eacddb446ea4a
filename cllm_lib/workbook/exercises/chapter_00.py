"""Exercises of 00_start_here."""

import math
import re
from functools import partial

import numpy as np

from cllm_lib.workbook.exercises.forms import as_integer, as_number
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, Unexplained, call, close, compared, number, shown, told_apart


def tokens_per_step(answer):
    """4 sequences of 32 tokens."""
    value = number(answer, "your answer")
    if close(value, 128):
        return "4 x 32 = 128 tokens, each of them a small exam: which word comes next?"
    if close(value, 36):
        raise NotYet("36 is 4 + 32. There are 4 sequences, and each of them has 32 tokens: how many is that in all?")
    if close(value, 32) or close(value, 4):
        raise NotYet(f"{shown(value)} counts one side only. A step reads 4 sequences, each 32 tokens long.")
    if close(value, 1241):
        raise NotYet("1,241 is the whole text. One step reads a part of it: 4 sequences of 32 tokens.")
    if close(value, 124):
        raise NotYet("124 gives each row 31 guesses. The last word of a row is asked for its next word too: 32 a row.")
    if close(value, -128) or close(value, 127) or close(value, 129) or close(value, 256):
        raise NotYet(f"{shown(value)} is near it, or its double or its negative: 4 sequences times 32 tokens, each counted once.")
    raise Unexplained(f"{shown(value)} is not it. Picture a table of 4 rows and 32 columns: how many boxes has it?")


def first_guess(answer):
    """A prediction: how sure is an untrained model of the right word?"""
    value = number(answer, "your guess")
    if value < 0:
        raise NotYet("a share below 0? Write 1 / how many: a fair coin gives 1 / 2.")
    if value > 1:
        raise NotYet(
            f"{shown(value)} is above 1, which would be surer than sure. If you meant 1 in {shown(value)}, write 1 / {shown(value)}."
        )
    return "a few cells further down you will see it measured."


def perplexity(loss):
    """Reference: exp."""
    return math.exp(loss)


def examine_perplexity(answer):
    """exp(loss), where loss is in nats."""

    def look(loss):
        options = math.exp(loss)
        value = number(call(answer, loss), f"perplexity({shown(loss)})")
        mistakes = {
            "You raise 2 to the loss: right for bits. These losses are in nats, whose base is e.": 2**loss,
            "You raise 10 to the loss. The logarithm here is the natural one, so its inverse is exp.": 10**loss,
            "exp(-loss) is the probability of the right word; perplexity is one over it.": math.exp(-loss),
            "You took the logarithm once more. It has been taken already: undo it.": math.log(loss) if loss > 0 else None,
            "That is the loss itself. Which function undoes a logarithm?": loss,
        }
        return compared(f"perplexity({shown(loss)})", value, options), value, options, mistakes

    cases = ((math.log(10_000),), (math.log(2),), (0.0,), (1.3,))
    told_apart(look, cases, partial(close, tolerance=1e-5), "Which function undoes the natural logarithm?")


MAY_DIFFER = frozenset("BD")


def what_may_differ(answer):
    """Letters of the things that may differ between machines."""
    text = answer if isinstance(answer, str) else " ".join(map(str, answer))
    letters = {letter.upper() for letter in re.findall(r"\b[A-Za-z]\b", text) or text} - {" ", ","}
    unknown = letters - set("ABCD")
    if unknown:
        raise NotYet(f"{', '.join(sorted(unknown))} is none of the four; give letters from A to D, such as {{'A', 'C'}}.")
    if "A" in letters:
        raise NotYet("A, a printed loss, must match: it comes from float64 with a fixed seed, rounded far above where machines part.")
    if "C" in letters:
        raise NotYet("C, a count, must match: counting words involves no rounding at all.")
    if not letters:
        raise NotYet("an empty answer says that nothing may differ, not even how long a cell takes.")
    if letters != MAY_DIFFER:
        missing = {"B": "how long a cell took", "D": "the exact pixels of a figure"}[min(MAY_DIFFER - letters)]
        raise NotYet(f"right so far, but one more may differ: {missing} depends on the machine.")
    return "Digits of losses and counts must match this page; times and pixels need not."


EXERCISES = {
    "00.1": Exercise(np.int64(128), tokens_per_step, form=as_integer),
    "00.2": Exercise(None, first_guess, bet=True),
    "00.3": Exercise(perplexity, examine_perplexity, form=as_number),
    "00.4": Exercise(MAY_DIFFER, what_may_differ),
}
