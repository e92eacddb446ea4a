"""Look at an answer and say one thing about it."""

import contextlib
import copy
import functools
import importlib
import inspect
import io
from pathlib import Path

from cllm_lib.workbook.exercises.arguments import TRIALS
from cllm_lib.workbook.exercises.machinery import NotAttempted, NotYet, Unexplained, answer_name, is_open, listed
from cllm_lib.workbook.exercises.patience import TooLong
from cllm_lib.workbook.exercises.trials import explained, tried

LINES = 5  # of what an answer prints are shown
ROOM = 280  # letters of a message, beside what stands before and after it in its line
CHAPTERS = tuple(sorted(path.stem[-2:] for path in Path(__file__).parent.glob("chapter_[0-9][0-9].py")))  # found by name


def exercises_of(chapter):
    """All exercises of a chapter, by number. Raises ValueError, naming the chapters, if there is none of that name."""
    if chapter not in CHAPTERS:
        raise ValueError(f"no chapter {chapter!r} has exercises: there are {', '.join(CHAPTERS)}")
    return importlib.import_module(f"{__package__}.chapter_{chapter}").EXERCISES


def check(number, answer):
    """Look at an answer, say one thing about it, and return what the notebook goes on with.

    Parameters
    ----------
    number : str
        Such as "01.3": chapter, full stop, exercise.
    answer : object
        What the reader wrote; `...` means not attempted.

    Returns
    -------
    object
        `answer` if it is right, in the form that the chapter uses; the reference otherwise.

    Raises
    ------
    ValueError
        If there is no exercise of that number.
    """
    chapter = exercises_of(str(number).partition(".")[0])
    if number not in chapter:
        raise ValueError(f"no exercise {number!r}: this chapter has {', '.join(chapter)}")
    exercise = chapter[number]
    goes_on = "without it" if exercise.reference is None else "with the reference"
    printed, right = io.StringIO(), False
    try:
        with contextlib.redirect_stdout(printed):
            comment = examined(exercise, TRIALS.get(number), answer)
    except NotAttempted:
        print(f"{number} not attempted yet: the notebook goes on {goes_on}.")
    except NotYet as reason:
        print(f"{number} not yet: {reason} The notebook goes on {goes_on}.")
    else:
        right = True
        if exercise.bet:
            print(f"{number} noted: {comment}")
        else:
            print(f"{number} passed. {comment or f'From here on the notebook uses your {answer_name(answer)}.'}")
    _show(printed.getvalue().splitlines())
    return _kept(exercise, answer) if right else exercise.reference


def _show(lines):
    """The first lines that an answer printed while it was checked: who looks for a mistake by printing has to see them."""
    if lines:
        more = [f"... and {len(lines) - LINES} more"] if len(lines) > LINES else []
        print("It printed, while it was checked:", *(line[:100] for line in lines[:LINES] + more), sep="\n    ")


def examined(exercise, trial, answer):
    """What is said of an answer that holds; raises NotAttempted, or NotYet where it does not, Unexplained where nothing explains it."""
    if is_open(answer):
        raise NotAttempted
    if answer is exercise.reference and answer is not None:
        raise NotYet("this is the reference, with which the notebook went on, and not your answer. Run your own cell once more.")
    try:
        comment = exercise.examine(listed(answer))
        if trial and trial.judges:
            tried(exercise, trial, answer)
    except Unexplained as reason:
        slip = trial and explained(exercise, trial, answer)
        if slip is None:
            raise
        raise NotYet(_with_slip(reason, slip)) from None
    except (NotAttempted, NotYet):
        raise
    except TooLong:
        raise NotYet("the check had not come to its end after some seconds. Does your answer hold something without end?") from None
    except Exception as error:  # an answer nobody thought of must not end in a traceback from in here
        raise Unexplained(f"the check cannot make sense of this {type(answer).__name__} ({type(error).__name__}: {error}).") from None
    return comment


def _with_slip(reason, slip):
    """What was seen and what the slip is, in full where the line has room for it; else the hint, and where there is none, its kind."""
    text = str(slip)
    line = f"{reason.seen} {text[0].upper()}{text[1:]}"
    if len(line) < ROOM:
        return line
    return str(reason) if str(reason) != reason.seen else f"{reason.seen} It is a slip of this kind: {slip.kind}."


def _kept(exercise, answer):
    """An answer that holds, in the one form that the chapter uses."""
    if exercise.only_one:
        return copy.copy(exercise.reference)
    form = exercise.form or (lambda value: value)
    if not callable(answer):
        return form(answer)
    signature = inspect.signature(exercise.reference)

    @functools.wraps(answer)
    def in_form(*arguments, **named):
        if named:  # the page calls by the names of the card, and a reader may have taken others
            given = signature.bind(*arguments, **named)
            given.apply_defaults()
            arguments = given.args
        return form(listed(answer(*arguments)))

    return in_form
