"""Every exercise's folded solution with one slip in it, handed to the exercise's check: which pass, and what are the others told?

python tests/workbook/mutants.py          a table by chapter, and the slips that pass, are told nothing of their own, or another's name
python tests/workbook/mutants.py 03       one chapter
python tests/workbook/mutants.py --said   each message, and under it the slips that get it, to be read

An answer that is data, a number or a dictionary, is changed by an entry.
"""

import collections
import contextlib
import functools
import io
import re
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from notebooks.books import NAMES, exercise_cells, read, solution
from workbook.promises import PROMISES

from cllm_lib.workbook.exercises import CHAPTERS, exercises_of
from cllm_lib.workbook.exercises.arguments import TRIALS
from cllm_lib.workbook.exercises.checking import examined
from cllm_lib.workbook.exercises.machinery import Named, NotAttempted, NotYet, Unexplained
from cllm_lib.workbook.exercises.patience import within
from cllm_lib.workbook.exercises.slips import slips
from cllm_lib.workbook.exercises.trials import done, same_deed

OUTCOMES = ("named", "generic", "leaked", "equivalent", "misnamed")
FRESH = range(1_000, 1_150)  # seeds of arguments that no check has seen


@functools.cache
def _page(chapter):
    """Number of each exercise with its name and folded solution, and the names that the page's imports define."""
    notebook = read(next(name for name in NAMES if name.startswith(chapter)))
    imports = re.findall(r"^(?:import|from) [^(\n]+$", "\n".join(c.source for c in notebook.cells if c.cell_type == "code"), re.MULTILINE)
    names = {}
    for line in imports:
        exec(line, names)
    answers = {}
    for number, (card, cell) in exercise_cells(notebook).items():
        name = re.search(rf'^(\w+) = check\("{re.escape(number)}"', cell.source, re.MULTILINE)[1]
        answers[number] = name, solution(card)
        names[name] = exercises_of(chapter)[number].reference  # for the exercises after it
    return answers, names


def solved(number):
    """The folded solution of an exercise, and its answer."""
    answers, names = _page(number[:2])
    name, source = answers[number]
    return source, _made(source, name, names)


def _made(source, name, names):
    names = dict(names)
    exec(compile(source, "<mutant>", "exec"), names)
    return names[name]


def mutants(number):
    """What is one step away from an exercise's solution: pairs of a sentence and an answer."""
    answers, names = _page(number[:2])
    name, source = answers[number]
    answer = _made(source, name, names)
    if not callable(answer):
        yield from _other_data(answer)
        return
    for slip in slips(source):
        with contextlib.suppress(Exception):  # a piece of Python that defines nothing is no answer
            yield str(slip), within(2.0, _made, slip.source, name, names)


def _other_data(answer):
    """An answer that is no function, with one entry changed."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield f"{key!r} missing", {other: entry for other, entry in answer.items() if other != key}
            for other in {entry for entry in answer.values() if isinstance(entry, str)} - {value} if isinstance(value, str) else ():
                yield f"{key!r} as {other!r}", answer | {key: other}
    elif isinstance(answer, set | frozenset):
        yield from ((f"without {entry!r}", answer - {entry}) for entry in answer)
    elif isinstance(answer, int | float):
        yield from ((f"{other}", other) for other in (-answer, answer + 1, answer - 1, 2 * answer, float("nan"), str(answer) + "?"))


def classed(number, answer, named=None):
    """What the check makes of an answer: one of OUTCOMES, and what it says.

    One name stands for one behaviour. Who is told the name of a mistake, and does something else than the first who was told it,
    has been misnamed; `named` keeps these first ones.
    """
    exercise = exercises_of(number[:2])[number]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            examined(exercise, TRIALS.get(number), answer)
    except NotAttempted:
        return "named", "not attempted"
    except Named as reason:
        first = (named if named is not None else {}).setdefault((number, reason.mistake), answer)
        return ("named" if _do_the_same(number, exercise, first, answer) else "misnamed"), str(reason)
    except NotYet as reason:
        return ("generic" if isinstance(reason, Unexplained) else "named"), str(reason)
    return ("equivalent" if _is_right(number, exercise, answer) else "leaked"), "passed"


def _is_right(number, exercise, answer):
    if exercise.bet:
        return True  # any bet is one
    if number in PROMISES:
        return PROMISES[number](answer)
    return number in TRIALS and _do_the_same(number, exercise, answer, solved(number)[1])


def _do_the_same(number, exercise, *pair):
    """Whether two answers do the same on arguments that no check has seen; where there are none, nobody knows better."""
    trial = TRIALS.get(number)
    return trial is None or all(same_deed(*(done(trial, one, exercise.form, seed)[0] for one in pair)) for seed in FRESH)


def report(chapters=CHAPTERS):
    """Of each chapter how many mutants have which outcome; and each with its exercise, outcome, slip and message."""
    counts, told, named = {}, [], {}
    for chapter in chapters:
        counts[chapter] = collections.Counter()
        for number in _page(chapter)[0]:
            for slip, answer in mutants(number):
                outcome, said = classed(number, answer, named)
                counts[chapter][outcome] += 1
                told.append((number, outcome, slip, said))
    return counts, told


def main():
    chapters = [word for word in sys.argv[1:] if word != "--said"] or CHAPTERS
    counts, told = report(chapters)
    by_message = {}
    for number, outcome, slip, said in told:
        if outcome in ("leaked", "generic", "misnamed") or "--said" in sys.argv:
            by_message.setdefault((number, outcome, said), []).append(slip)
    for (number, outcome, said), slips_with_it in by_message.items():
        print(f"{number} {outcome}: {said}", *slips_with_it, sep="\n        ")
    print(f"\nchapter  mutants  {'  '.join(OUTCOMES)}")
    for chapter, of in counts.items():
        print(f"{chapter:7}  {of.total():7}  {'  '.join(f'{of[outcome]:{len(outcome)}}' for outcome in OUTCOMES)}")


if __name__ == "__main__":
    main()
