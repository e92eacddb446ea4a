"""Notebooks with exercises solved, or answered wrongly: they run to the end and say the same as the stored ones."""

import pytest
from notebooks.books import NAMES, OLD_MACHINE, exercise_cells, load_tool, put_in, read, said_by_checks, solution, texts
from workbook.answers import WRONG

writer = load_tool("execute_notebooks")
NUMBERS = {name: list(exercise_cells(read(name))) for name in NAMES}

# Wrong answers as a reader would type them; the others in `answers` are tried on the checks directly.
TYPED_WRONG = {
    "00.1": "tokens_per_step = 36",
    "00.2": "my_guess = 280",
    "00.3": "def perplexity(loss):\n    return 2 ** loss",
    "00.4": 'may_differ = {"A"}',
    "01.1": 'my_suspect = "attention"',
    "01.2": "def uniform_loss(vocab_size):\n    return 1 / vocab_size",
    "01.3": "def weight_magnitudes(parameters):\n    return [abs(array).mean() for array in parameters.values()]",
    "01.4": "def amplification(variance, n_layers, eps=1e-5):\n    return n_layers / (variance + eps)",
    "01.5": "def initialise(parameters, generator):\n    parameters = {name: generator.random(a.shape) for name, a in parameters.items()}",
    "01.6": 'verdicts = {"attention": "convicted", "initialisation": None}',
}


def run(name, answers, environment=None):
    notebook = read(name)
    for number, (_, cell) in exercise_cells(notebook).items():
        if number in answers:
            put_in(cell, answers[number])
    return writer.execute(notebook, environment=environment)


def solutions(name, count):
    cards = exercise_cells(read(name))
    return {number: solution(cards[number][0]) for number in list(cards)[:count]}


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
