import contextlib
import inspect
import itertools
import math
import operator
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sympy
from words import words
from workbook.answers import RIGHT, WRONG
from workbook.answers.common import BROKEN_FUNCTIONS

from cllm_lib.workbook.exercises import CHAPTERS, check, exercises_of, machinery, patience

FOLDER = Path(machinery.__file__).parent
EXERCISES = {number: exercise for chapter in CHAPTERS for number, exercise in exercises_of(chapter).items()}


def goes_on(number):
    return "without it" if EXERCISES[number].reference is None else "with the reference"


def cases(answers):
    """Each answer as a case of its own, named by its exercise and by what it is: its function, or the words it must get."""
    named = []
    for number, several in answers.items():
        for case in several:
            answer, said = case if answers is WRONG else (case, None)
            named.append(
                pytest.param(number, case, id=f"{number}: {said or words(answer, 'answer') or getattr(answer, '__name__', answer)}")
            )
    return named


def test_every_exercise_has_wrong_and_unusual_right_answers():
    assert set(WRONG) == set(RIGHT) == set(EXERCISES)
    assert min(sum(all(case is not broken for broken in BROKEN_FUNCTIONS) for case in several) for several in WRONG.values()) >= 6


@pytest.mark.parametrize(("number", "case"), cases(WRONG))
def test_a_wrong_answer_gets_a_message_of_its_own(number, case, capsys):
    answer, said_to_it = case
    returned = check(number, answer)
    said = capsys.readouterr().out
    assert said.startswith(f"{number} not yet: ")
    assert re.search(said_to_it, said), said
    assert said.count("\n") == 1
    assert len(said) < 340
    assert said.endswith(f" The notebook goes on {goes_on(number)}.\n")
    assert returned is EXERCISES[number].reference


@pytest.mark.parametrize("number", EXERCISES)
def test_a_check_of_what_it_returned_instead_does_not_pass(number, capsys):
    went_on_with = check(number, ...)
    assert check(number, went_on_with) is EXERCISES[number].reference
    said = capsys.readouterr().out.splitlines()[1]
    assert said.startswith(f"{number} not yet: ")
    assert went_on_with is None or "and not your answer" in said


@pytest.mark.parametrize("number", WRONG)
def test_the_misconceptions_are_told_apart(number, capsys):
    messages = set()
    for answer, _ in WRONG[number][:3]:
        check(number, answer)
        messages.add(capsys.readouterr().out)
    assert len(messages) == 3


@pytest.mark.parametrize(("number", "case"), cases(RIGHT))
def test_an_unusual_right_answer_passes_and_is_used(number, case, capsys):
    exercise = EXERCISES[number]
    used = check(number, case)
    assert capsys.readouterr().out.startswith(f"{number} noted: " if exercise.bet else f"{number} passed.")
    if exercise.only_one:
        assert used == exercise.reference
    elif callable(case):
        assert used.__wrapped__ is case
    elif exercise.form is None:
        assert used is case
    assert check(number, used) is not exercise.reference or used is None, "what was used passes once more"


FUNCTIONS = [number for number, exercise in EXERCISES.items() if callable(exercise.reference)]


def returns_dots(*arguments):
    return ...


def only_dots(*arguments): ...


@pytest.mark.parametrize(
    ("number", "stub"),
    [(number, ...) for number in EXERCISES] + [(number, stub) for number in FUNCTIONS for stub in (returns_dots, only_dots)],
)
def test_a_stub_is_not_attempted_and_stops_nothing(number, stub, capsys):
    assert check(number, stub) is EXERCISES[number].reference
    assert capsys.readouterr().out == f"{number} not attempted yet: the notebook goes on {goes_on(number)}.\n"


@pytest.mark.parametrize("number", FUNCTIONS)
def test_the_reference_passes_its_own_check(number, capsys):
    check(number, lambda *given, **named: EXERCISES[number].reference(*given, **named))
    assert capsys.readouterr().out.startswith(f"{number} passed.")


def test_a_dictionary_of_stubs_is_not_attempted(capsys):
    check("01.5", dict.fromkeys(EXERCISES["01.5"].reference, ...))
    assert "not attempted" in capsys.readouterr().out


def test_warnings_of_a_readers_function_are_not_shown(capsys, recwarn):
    def noisy(size):
        import warnings

        warnings.warn("careful", stacklevel=1)
        return __import__("math").log(size)

    check("01.2", noisy)
    assert not recwarn.list
    assert capsys.readouterr().out.startswith("01.2 passed.")


@pytest.mark.parametrize("number", ["01.2", "09.2", "09.3", "09.4", "09.5"])
def test_what_is_printed_in_place_of_returned_is_called_so(number, capsys):
    check(number, lambda *given: print(EXERCISES[number].reference(*given)))
    assert "print only shows a value" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("times", [0, 1, 7], ids=["silent", "a line a call", "many lines a call"])
def test_what_a_function_prints_is_shown_below_the_line_its_beginning_only(times, capsys):
    def speaks(size, value=np.log):
        for i in range(times):
            print(f"size {size}, {i}")
        return value(size)

    for value, said in (
        (np.log, "01.2 passed."),
        (np.log2, "01.2 not yet: "),
        (lambda size: 1 / 0, "01.2 not yet: it raised ZeroDivisionError"),
    ):
        check("01.2", lambda size, value=value: speaks(size, value))
        first, *rest = capsys.readouterr().out.splitlines()
        assert first.startswith(said)
        assert len(rest) <= 7
        assert rest[:2] == (["It printed, while it was checked:", "    size 10000, 0"] if times else [])
        assert (rest[-1].startswith("    ... and ")) == (times == 7) if rest else not times


@pytest.mark.parametrize(("number", "words"), [("01.99", "this chapter has 01.1"), ("77.1", "no chapter '77'"), ("x", "no chapter 'x'")])
def test_an_unknown_number_is_named(number, words):
    with pytest.raises(ValueError, match=words):
        check(number, 1)


def endless(size):
    while True:
        with contextlib.suppress(Exception):
            size += 1


def prints(size):
    print(size)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (endless, "had not come back after"),
        (prints, "it printed .* and returned None"),
        (lambda size: itertools.count(), "where does it end"),
    ],
    ids=["a loop without end", "print for return", "an endless iterator"],
)
def test_what_does_not_end_or_only_prints_has_a_sentence(answer, words, capsys, monkeypatch):
    monkeypatch.setattr(machinery._run, "__kwdefaults__", {"seconds": 0.2})
    check("01.2", answer)
    assert re.search(words, capsys.readouterr().out)


@pytest.mark.parametrize("way", [patience._by_tracing, patience.within], ids=["by the clock at each line", "as this machine does it"])
def test_a_time_limit_ends_what_does_not_end_and_leaves_the_rest_alone(way):
    assert way(5.0, lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(patience.TooLong):
        way(0.05, endless, 1) if way is patience.within else way(0.05, lambda: [None for _ in itertools.count()])
    assert sys.gettrace() is None or way is patience.within


def seldom_at_work(clock_seconds):
    """As a function runs on a busy machine: for a fifth of the time at most."""
    until = time.monotonic() + clock_seconds
    while time.monotonic() < until:
        rest = time.thread_time() + 0.004
        while time.thread_time() < rest:
            pass
        time.sleep(0.02)
    return "done"


@pytest.mark.parametrize("way", [patience._by_tracing, patience.within], ids=["by the clock at each line", "as this machine does it"])
def test_a_busy_machine_hurries_nobody(way):
    assert way(0.2, seldom_at_work, 0.4) == "done"


def test_who_waits_for_nothing_is_woken():
    with pytest.raises(patience.TooLong):
        patience.within(0.1, time.sleep, 60.0)


def test_a_function_may_call_its_arguments_otherwise_than_the_card(capsys):
    right = EXERCISES["05.2"].reference
    used = check("05.2", lambda a, b, c, d: right(a, b, c, d))
    assert used(x=0.5, w=-1.0, b=0.2, target=0.3) == pytest.approx(right(0.5, -1.0, 0.2, 0.3))
    momentum = check("07.2", lambda p, g, v, r, m: EXERCISES["07.2"].reference(p, g, v, r, m))
    p, v = np.ones(2), np.zeros(2)
    momentum(p, np.ones(2), v, rate=0.1)
    assert v == pytest.approx(np.ones(2))


def test_a_right_answer_of_another_form_comes_back_in_the_chapters_own(capsys):
    assert check("01.2", lambda size: [sympy.log(size).evalf()])(8) == pytest.approx(2.0794415)
    listed = check("05.4", lambda dw, w: EXERCISES["05.4"].reference(dw, w).tolist())
    assert listed(np.ones(3), np.ones(3) / 3).shape == (3,)
    assert check("00.1", "128") == 128
    assert capsys.readouterr().out.count("passed") == 3


def told(answer, mistakes, inputs=((1,), (2,), (3,))):
    """What `told_apart` says of an answer to the exercise "double it"."""

    def look(x):
        return f"of {x}:", answer(x), 2 * x, {reason: [slip(x) for slip in slips] for reason, slips in mistakes.items()}

    try:
        machinery.told_apart(look, inputs, operator.eq, "Twice as much.")
    except machinery.NotYet as reason:
        return type(reason).__name__, str(reason)


SQUARED = {"You square.": [lambda x: x * x], "You add.": [lambda x: x + 2, lambda x: x + 3]}


def fails_at_three(x):
    if x == 3:
        raise machinery.NotYet("no")
    return x + 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x + x, None),
        (lambda x: x**2, ("Named", "of 1: You square.")),
        (lambda x: x + 2, ("Named", "of 1: You add.")),
        (lambda x: x + 3, ("Named", "of 1: You add.")),
        (lambda x: x * x if x < 3 else 7, ("Unexplained", "of 1: Twice as much.")),
        (lambda x: 2 * x if x < 3 else 9, ("Unexplained", "of 3: Twice as much.")),
        (fails_at_three, ("Named", "of 1: You add.")),
    ],
    ids=["right", "one mistake", "the first of two", "the second of two", "two mistakes by turns", "right, then a mistake", "fails later"],
)
def test_a_mistake_is_named_where_it_explains_every_input_and_not_where_it_explains_some(answer, said):
    assert told(answer, SQUARED) == said


def test_a_mistake_that_nothing_can_be_said_of_where_it_shows_is_not_named():
    assert told(lambda x: 5 if x == 1 else 2 * x, {"Five.": [lambda x: None if x == 1 else 2 * x]}) == (
        "Unexplained",
        "of 1: Twice as much.",
    )


def test_who_rounds_is_told_so_by_all_digits_and_not_by_one_that_happens_to_be_short():
    def look(x, answer):
        return f"of {x}:", answer(x), math.sqrt(x), {}

    for answer, said in ((lambda x: round(math.sqrt(x), 2), "Do not round"), (lambda x: 1.4, "hint")):
        with pytest.raises(machinery.NotYet, match=said):
            machinery.told_apart(look, [(x, answer) for x in (2.0, 3.0, 5.0)], machinery.close, "hint")


def test_only_what_compares_names_a_mistake():
    """Everybody else says what was seen, or that nothing explains it: a name that is guessed may be another's."""
    names = {path.name: path.read_text(encoding="utf-8").count("raise Named(") for path in FOLDER.glob("*.py")}
    assert {name for name, count in names.items() if count} == {"machinery.py"}
    assert "raise Named(" in inspect.getsource(machinery.told_apart)
