"""Of the book's own solutions with one slip in them none passes, and few are told no more than that they are wrong."""

import ast
import contextlib

import pytest
from workbook.answers import WRONG
from workbook.mutants import mutants, report, solved
from workbook.promises import PROMISES

from cllm_lib.workbook.exercises import CHAPTERS, exercises_of
from cllm_lib.workbook.exercises.arguments import TRIALS
from cllm_lib.workbook.exercises.slips import slips
from cllm_lib.workbook.exercises.trials import done, same_deed


@pytest.mark.elsewhere
@pytest.mark.parametrize("chapter", CHAPTERS)
class TestMutants:
    def test_none_passes_and_few_get_a_general_line(self, chapter):
        counts, told = report([chapter])
        counts = counts[chapter]
        assert [one for one in told if one[1] in ("leaked", "misnamed")] == []
        assert counts.total() > 15
        refused = counts["named"] + counts["generic"]
        assert counts["generic"] <= 0.2 * refused, counts


@pytest.mark.parametrize("number", TRIALS)
def test_the_folded_solution_does_what_the_reference_does(number):
    """So the slips of the one are those of the other."""
    exercise = exercises_of(number[:2])[number]
    for seed in range(500, 530):
        deeds = [done(TRIALS[number], one, exercise.form, seed)[0] for one in (exercise.reference, solved(number)[1])]
        assert deeds[0][0] == "gives"
        assert same_deed(*deeds), (seed, deeds)


@pytest.mark.parametrize("number", PROMISES)
def test_promises_are_kept_by_the_solution_and_broken_by_what_the_check_refuses(number):
    assert PROMISES[number](solved(number)[1])
    broken = 0
    for answer, _ in WRONG[number][:3]:
        with contextlib.suppress(Exception):
            broken += not PROMISES[number](answer)
    assert broken


def test_a_slip_is_one_step_from_the_solution_and_python_still():
    source = "def f(x, axis=-1):\n    y = x.sum(axis=-1, keepdims=True) - 1\n    return x / y, -y\n"
    several = list(slips(source))
    assert {"sign", "axis", "without keepdims", "operator", "number", "order of what is returned", "a line left out"} <= {
        s.kind for s in several
    }
    assert len({s.source for s in several}) == len(several)
    assert all(ast.unparse(ast.parse(s.source)) != ast.unparse(ast.parse(source)) for s in several)


def test_data_are_changed_by_an_entry():
    assert any("'A' as" in slip for slip, _ in mutants("04.3"))
    assert any(slip == "129" for slip, _ in mutants("00.1"))
