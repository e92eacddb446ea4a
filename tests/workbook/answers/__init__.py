"""Answers for every exercise, one module a chapter: what each check must say to them is what the tests ask."""

import importlib

from cllm_lib.workbook.exercises import CHAPTERS

WRONG, RIGHT, TYPED_WRONG = {}, {}, {}
for _chapter in CHAPTERS:
    _answers = importlib.import_module(f"{__name__}.chapter_{_chapter}")
    WRONG |= _answers.WRONG
    RIGHT |= _answers.RIGHT
    TYPED_WRONG |= _answers.TYPED_WRONG  # as a reader would type them; the others are tried on the checks directly
