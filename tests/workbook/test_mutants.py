"""Of the book's own solutions with one slip in them none passes, and few are told no more than that they are wrong."""

import ast

import pytest
from workbook.mutants import mutants, report, solved

from cllm_lib.workbook.exercises import CHAPTERS, exercises_of
from cllm_lib.workbook.exercises.arguments import TRIALS
from cllm_lib.workbook.exercises.slips import slips
from cllm_lib.workbook.exercises.trials import done, same_deed

SEVERAL_ARE_RIGHT = {  # exercises whose own check is all there is: slips that pass, and why they may
    "01.5": ("standard_normal", "name ==", "whatever fills with the spread asked for will do, from any distribution of both signs"),
    "07.4": ("kept[-1]", "the list holds one value, so that its first is its last"),
    "07.6": (
        "np.diff(",
        "log",
        "sum",
        "mean",
        "any measure that keeps the promises will do: another base or order, a sum",
    ),
    "09.2": ("own[k", "max(", "- basis[k]", "-(basis[k]", "a row of no other length, or turned round, makes the same lattice"),
}


@pytest.mark.elsewhere
@pytest.mark.parametrize("chapter", CHAPTERS)
class TestMutants:
    def test_none_passes_and_few_get_a_general_line(self, chapter):
        counts, told = report([chapter])
        counts = counts[chapter]
        leaks = [(number, slip) for number, outcome, slip, _ in told if outcome == "leaked"]
        assert [leak for leak in leaks if not any(piece in leak[1] for piece in SEVERAL_ARE_RIGHT.get(leak[0], ())[:-1])] == []
        assert counts.total() > 15
        refused = counts["named"] + counts["generic"]
        assert counts["generic"] <= 0.2 * refused, counts
        assert [one for one in told if one[1] == "misnamed"] == []


@pytest.mark.parametrize("number", TRIALS)
def test_the_folded_solution_does_what_the_reference_does(number):
    """So the slips of the one are those of the other."""
    exercise = exercises_of(number[:2])[number]
    for seed in range(500, 530):
        deeds = [done(TRIALS[number], one, exercise.form, seed)[0] for one in (exercise.reference, solved(number)[1])]
        assert deeds[0][0] == "gives"
        assert same_deed(*deeds), (seed, deeds)


def test_a_slip_is_one_step_from_the_solution_and_python_still():
    source = "def f(x, axis=-1):\n    y = x.sum(axis=-1, keepdims=True) - 1\n    return x / y, -y\n"
    several = list(slips(source))
    assert {"sign", "axis", "without keepdims", "operator", "number", "order of what is returned", "a line left out"} <= {
        s.kind for s in several
    }
    assert len({s.source for s in several}) == len(several)
    assert all(ast.unparse(ast.parse(s.source)) != ast.unparse(ast.parse(source)) for s in several)


def test_data_are_changed_by_an_entry():
    assert any("'A' as" in slip for slip, _ in mutants("02.6"))
    assert any(slip == "129" for slip, _ in mutants("00.1"))
