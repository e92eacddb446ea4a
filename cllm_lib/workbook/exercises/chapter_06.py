"""Exercises of 06_the_shortcut."""

import re

from cllm_lib.casebook.patients import GRADIENT_FAULTS
from cllm_lib.workbook.exercises import forms
from cllm_lib.workbook.exercises.attention_backward import (
    as_gradients,
    attention_backward,
    examine_attention_backward,
    examine_scaled_dot_product_backward,
    scaled_dot_product_backward,
)
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, by_letter

MODELS = {"A": "the true gradient", "B": "frozen", "C": "nothing handed down", "D": "the shortcut"}


def which_learn(answer):
    """A prediction: a set of letters from A to D, or a string of them; empty for none."""
    if isinstance(answer, str):
        letters = re.findall(r"\b[A-Za-z]\b", answer) or (list(answer) if len(answer) <= len(MODELS) else [answer])
    else:
        try:
            letters = list(answer)
        except TypeError:
            raise NotYet(f'{answer!r} is no set of letters. Write for instance {{"A", "B"}}, or set() for none of them.') from None
    letters = {str(letter).strip().upper() for letter in letters}
    unknown = sorted(letters - set(MODELS))
    if unknown:
        raise NotYet(f"{', '.join(unknown)}: none of the four models. Give letters from A to D.")
    if not letters:
        return "none of them. The recall task of this chapter will decide."
    return f"{', '.join(f'{letter} ({MODELS[letter]})' for letter in sorted(letters))}. The recall task of this chapter will decide."


_CLUES = {
    "P": "P goes wrong at the very first step back, LayerNorm of the upper layer, where no attention has been met yet.",
    "Q": "Q is right everywhere except at one place, and that place is reached last.",
    "R": "R's query and value have gradients, at right angles to the true ones.",
    "T": "T's query and value have no gradient at all.",
}


def examine_verdicts(answer):
    """One of four words for each letter."""
    given = by_letter(answer, GRADIENT_FAULTS, "a dictionary was asked for, one of the four words for each of P, Q, R and T.")
    known = {word.lower(): word for word in GRADIENT_FAULTS.values()}
    for letter in GRADIENT_FAULTS:
        word = known.get(str(given[letter]).strip().lower())
        if word is None:
            raise NotYet(f"{letter} is {given[letter]!r}; write one of {', '.join(map(repr, GRADIENT_FAULTS.values()))}.")
        if word != GRADIENT_FAULTS[letter]:
            raise NotYet(f"{letter} is not {word!r}. Look again: {_CLUES[letter]}")
    return "Four patients, four faults, told apart by where the gradient first goes wrong and how."


EXERCISES = {
    "06.1": Exercise(None, which_learn, bet=True),
    "06.2": Exercise(
        scaled_dot_product_backward, examine_scaled_dot_product_backward, form=forms.several(forms.as_array, forms.as_array, forms.as_array)
    ),
    "06.3": Exercise(attention_backward, examine_attention_backward, form=as_gradients),
    "06.4": Exercise(GRADIENT_FAULTS, examine_verdicts, only_one=True),
}
