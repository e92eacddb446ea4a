"""Every exercise's folded solution with one slip in it, handed to the exercise's check: which pass, and what are the others told?

python tests/workbook/mutants.py          a table by chapter, and the slips that pass or are told nothing of their own
python tests/workbook/mutants.py 03       one chapter

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

from cllm_lib.workbook.exercises import CHAPTERS, exercises_of
from cllm_lib.workbook.exercises.arguments import TRIALS
from cllm_lib.workbook.exercises.checking import examined
from cllm_lib.workbook.exercises.machinery import NotAttempted, NotYet, Unexplained
from cllm_lib.workbook.exercises.patience import within
from cllm_lib.workbook.exercises.slips import slips
from cllm_lib.workbook.exercises.trials import done, same_deed

OUTCOMES = ("named", "generic", "leaked", "equivalent")
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


def classed(number, answer):
    """What the check makes of an answer: one of OUTCOMES, and what it says."""
    exercise = exercises_of(number[:2])[number]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            examined(exercise, TRIALS.get(number), answer)
    except NotAttempted:
        return "named", "not attempted"
    except NotYet as reason:
        return ("generic" if isinstance(reason, Unexplained) else "named"), str(reason)
    return ("equivalent" if _does_the_same(number, exercise, answer) else "leaked"), "passed"


def _does_the_same(number, exercise, answer):
    if exercise.bet:
        return True  # any bet is one
    trial = TRIALS.get(number)
    if trial is None:
        return False
    right = solved(number)[1]
    return all(same_deed(*(done(trial, one, exercise.form, seed)[0] for one in (answer, right))) for seed in FRESH)


def report(chapters=CHAPTERS):
    """Of each chapter how many mutants have which outcome, and those that pass or get no word of their own."""
    counts, noteworthy = {}, []
    for chapter in chapters:
        counts[chapter] = collections.Counter()
        for number in _page(chapter)[0]:
            for slip, answer in mutants(number):
                outcome, said = classed(number, answer)
                counts[chapter][outcome] += 1
                if outcome in ("leaked", "generic"):
                    noteworthy.append((number, outcome, slip, said))
    return counts, noteworthy


def main():
    counts, noteworthy = report(sys.argv[1:] or CHAPTERS)
    for number, outcome, slip, said in noteworthy:
        print(f"{number} {outcome}: {slip}\n        {said}")
    print(f"\nchapter  mutants  {'  '.join(OUTCOMES)}")
    for chapter, of in counts.items():
        print(f"{chapter:7}  {of.total():7}  {'  '.join(f'{of[outcome]:{len(outcome)}}' for outcome in OUTCOMES)}")


if __name__ == "__main__":
    main()
