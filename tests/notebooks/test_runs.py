"""Notebooks with exercises solved, or answered wrongly: they run to the end, and back, and say the same as the stored ones."""

import re

import pytest
from notebooks.books import NAMES, OLD_MACHINE, ROOT, exercise_cells, load_tool, once_more, put_in, read, said_by_checks, solution, texts
from workbook.answers import RIGHT, TYPED_WRONG, WRONG

from cllm_lib.workbook.exercises import exercises_of

writer = load_tool("execute_notebooks")
NUMBERS = {name: list(exercise_cells(read(name))) for name in NAMES}


def run(name, answers, environment=None, and_back=False):
    """A chapter with these answers put in, executed; `and_back`, then each of its code cells once more, from the last to the first."""
    notebook = read(name)
    for number, (_, cell) in exercise_cells(notebook).items():
        if number in answers:
            put_in(cell, answers[number])
    if and_back:
        notebook.cells += once_more(notebook)
    return writer.execute(notebook, environment=environment)


def solutions(name, count):
    cards = exercise_cells(read(name))
    return {number: solution(cards[number][0]) for number in list(cards)[:count]}


def holds(number):
    """The word that a check has for an answer that holds."""
    return "noted:" if exercises_of(number[:2])[number].bet else "passed."


def assert_said_there_and_back(executed, name):
    """Each cell says the stored text twice: in its turn, and when it runs once more, with everything below it run already."""
    stored, said = texts(read(name)), texts(executed)
    assert said[: len(stored)] == stored
    assert said[len(stored) :][::-1] == stored, "a cell changes what another one needs: give the thing a name of its own, or make it there"


@pytest.mark.elsewhere
@pytest.mark.parametrize("name", NAMES)
class TestSolved:
    def test_all_on_another_machine(self, name):
        """Two questions in one run: do the solutions hold, and does an old processor print the stored digits?"""
        executed = run(name, solutions(name, None), OLD_MACHINE)
        assert [line.split()[:2] for line in said_by_checks(executed)] == [[number, holds(number)] for number in NUMBERS[name]]
        assert texts(executed) == texts(read(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
class TestSolvedAndBack:
    def test_there_and_back(self, name):
        executed = run(name, solutions(name, None), and_back=True)
        passed = [[number, holds(number)] for number in NUMBERS[name]]
        assert [line.split()[:2] for line in said_by_checks(executed)] == passed + passed[::-1]
        assert_said_there_and_back(executed, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
class TestUnsolved:
    def test_there_and_back(self, name):
        assert_said_there_and_back(run(name, {}, and_back=True), name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [(name, k) for name in NAMES for k in range(1, len(NUMBERS[name]))])
class TestSolvedUpToHere:
    def test_the_first_few(self, name, count):
        executed = run(name, solutions(name, count))
        words = [holds(number) if i < count else "not" for i, number in enumerate(NUMBERS[name])]
        assert [line.split()[1] for line in said_by_checks(executed)] == words
        assert texts(executed) == texts(read(name))


def unusual(name, turn):
    """Of each exercise an unusual right answer, another one each turn, taken from where the tests of the checks have them."""
    found = {}
    for number, (_, cell) in exercise_cells(read(name)).items():
        variable = re.search(rf'^(\w+) = check\("{re.escape(number)}"', cell.source, re.MULTILINE)[1]
        found[number] = f"from workbook.answers import RIGHT\n\n{variable} = RIGHT[{number!r}][{turn % len(RIGHT[number])}]"
    return found


TURNS = [(name, turn) for name in NAMES for turn in range(max((len(RIGHT[number]) for number in NUMBERS[name]), default=0))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "turn"), TURNS)
class TestUnusual:
    def test_a_chapter_runs_to_its_end_on_each_unusual_right_answer(self, name, turn):
        executed = run(name, unusual(name, turn), {"PYTHONPATH": str(ROOT / "tests")})
        assert [line.split()[:2] for line in said_by_checks(executed)] == [[number, holds(number)] for number in NUMBERS[name]]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
class TestWrong:
    def test_all(self, name):
        executed = run(name, TYPED_WRONG)
        assert all("not yet" in line for line in said_by_checks(executed))
        assert len(said_by_checks(executed)) == len(NUMBERS[name])
        assert texts(executed) == texts(read(name))


def test_a_wrong_answer_is_typed_for_every_exercise():
    assert set(TYPED_WRONG) == set(WRONG) == {number for numbers in NUMBERS.values() for number in numbers}
