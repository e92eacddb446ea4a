"""Look at an answer and say one thing about it."""

import importlib
from pathlib import Path

from cllm_lib.workbook.exercises.machinery import NotAttempted, NotYet, answer_name, is_open

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
        `answer` if it is right, the reference otherwise (and where only one answer can be right).

    Raises
    ------
    ValueError
        If there is no exercise of that number.
    """
    chapter = exercises_of(str(number).partition(".")[0])
    if number not in chapter:
        raise ValueError(f"no exercise {number!r}: this chapter has {', '.join(chapter)}")
    exercise = chapter[number]
    try:
        if is_open(answer):
            raise NotAttempted
        comment = exercise.examine(answer)
    except NotAttempted:
        goes_on = "without it" if exercise.reference is None else "with the reference"
        print(f"{number} not attempted yet: the notebook goes on {goes_on}.")
    except NotYet as reason:
        print(f"{number} not yet: {reason}")
    except Exception as error:  # an answer nobody thought of must not end in a traceback from in here
        print(f"{number} not yet: the check cannot make sense of this answer ({type(error).__name__}: {error}).")
    else:
        print(f"{number} passed. {comment or f'From here on the notebook uses your {answer_name(answer)}.'}")
        return exercise.reference if exercise.only_one else answer
    return exercise.reference
