"""Notebooks with exercises solved, or answered wrongly: they run to the end and say the same as the stored ones."""

import pytest
from notebooks.books import NAMES, OLD_MACHINE, exercise_cells, load_tool, put_in, read, said_by_checks, solution, texts
from workbook.answers import TYPED_WRONG, WRONG

writer = load_tool("execute_notebooks")
NUMBERS = {name: list(exercise_cells(read(name))) for name in NAMES}


def run(name, answers, environment=None):
    notebook = read(name)
    for number, (_, cell) in exercise_cells(notebook).items():
        if number in answers:
            put_in(cell, answers[number])
    return writer.execute(notebook, environment=environment)


def solutions(name, count):
    cards = exercise_cells(read(name))
    return {number: solution(cards[number][0]) for number in list(cards)[:count]}


@pytest.mark.elsewhere
@pytest.mark.parametrize("name", NAMES)
class TestSolved:
    def test_all_on_another_machine(self, name):
        """Two questions in one long run: do the solutions hold, and does an old processor print the stored digits?"""
        executed = run(name, solutions(name, None), OLD_MACHINE)
        assert [line.split()[:2] for line in said_by_checks(executed)] == [[number, "passed."] for number in NUMBERS[name]]
        assert texts(executed) == texts(read(name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [(name, k) for name in NAMES for k in range(1, len(NUMBERS[name]))])
class TestSolvedUpToHere:
    def test_the_first_few(self, name, count):
        executed = run(name, solutions(name, count))
        words = ["passed." if i < count else "not" for i in range(len(NUMBERS[name]))]
        assert [line.split()[1] for line in said_by_checks(executed)] == words
        assert texts(executed) == texts(read(name))


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
