"""The scoreboard loses nothing; the case of the day and of a class is the same for all who are meant, and for no others."""

import datetime
import json
import warnings

import pytest
from casebook.opened import hidden, opened
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import casebook
from cllm_lib.casebook import cases, scoreboard
from cllm_lib.casebook.scoreboard import Scoreboard, answer_sheet


@pytest.fixture
def board(tmp_path):
    return Scoreboard(tmp_path / "case_files.json")


def closed(defect="shared ids", accused=None, seed=7, asked=()):
    """A case with its verdict, without training: what a board needs of it."""
    case = opened(defect, seed=seed)
    verdict = casebook.CaseVerdict(
        right=defect == (accused or defect), accused=accused or defect, defect=defect, evidence=(), best_question="", told=(), what="",
        symptom="", repair="", source="", cost=len(asked) + cases.WRONG * (defect != (accused or defect)), asked=asked, before=[], after=[],
    )  # fmt: skip
    hidden(case).verdict = verdict
    return verdict, case


def test_a_verdict_is_noted_as_it_was_in_json_that_can_be_read(board):
    case = opened("shared ids", seed=12)
    case.ask("count the text")
    case.ask("overlap")
    verdict = case.accuse("last file only")
    board.note(verdict, case, day="2026-07-15").note(*closed(seed=13))
    text = board.path.read_text(encoding="utf-8")
    assert json.loads(text) == board.entries
    assert board.entries[0] == {
        "seed": 12, "difficulty": None, "accused": "last file only", "defect": "shared ids", "right": False, "cost": verdict.cost,
        "questions": 2, "day": "2026-07-15",
    }  # fmt: skip
    assert "day" not in board.entries[1]
    assert len(text.splitlines()) == 4  # a line an entry, between two brackets
    assert repr(board) == "<scoreboard case_files.json: 2 verdicts>"


def test_the_summary_counts_what_was_right_what_was_acquitted_and_what_was_confused(board):
    assert board.summary() == "no verdicts yet"
    board.note(*closed(seed=1, asked=("a", "b")))
    board.note(*closed("healthy", seed=2, asked=("a",) * 4))
    board.note(*closed("healthy", "rate zero", seed=3))
    for seed in (4, 5):
        board.note(*closed("no causal mask", "transposed mask", seed=seed))
    board.note(*closed("frozen layer", "healthy", seed=6))
    assert board.summary() == (
        "cases        6\n"
        "right        2 (33%)\n"
        "acquittals   1 of 2 healthy; 1 of 4 sick\n"
        "median cost  20\n"
        "taken for another: no causal mask, for transposed mask, 2 times\n"
        "taken for another: frozen layer, for healthy\n"
        "taken for another: healthy, for rate zero"
    )


def test_of_a_case_with_two_verdicts_the_first_counts_and_both_are_kept(board):
    board.note(*closed(accused="last file only", seed=1)).note(*closed(seed=1))
    assert [entry["right"] for entry in board.entries] == [False, True]
    assert "right        0 (0%)" in board.summary()
    assert board.summary().endswith("not counted  1 on a case that had its verdict")


def test_two_boards_on_one_file_lose_nothing(board):
    other = Scoreboard(str(board.path))
    for seed in range(6):
        (board, other)[seed % 2].note(*closed(seed=seed))
    assert [entry["seed"] for entry in board.entries] == list(range(6)) == [entry["seed"] for entry in other.entries]


DAMAGED = {
    "cut off": b'[\n {"seed": 1, "difficulty": null, "accu',
    "nothing in it": b"",
    "other JSON": b'{"cells": []}',
    "no text": b"\xff\xfe\x00\x80",
    "an entry without its cost": b'[{"seed": 1, "accused": "a", "defect": "a", "right": true, "questions": 1}]',
    "a word for a number": b'[{"seed": "1", "accused": "a", "defect": "a", "right": true, "cost": 1, "questions": 1}]',
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_set_aside_with_a_sentence_and_never_lost(board, what):
    board.path.write_bytes(DAMAGED[what])
    assert board.summary() == "no verdicts yet"
    assert board.path.read_bytes() == DAMAGED[what]  # looking at it moves nothing
    with pytest.warns(UserWarning, match=r"case_files\.json cannot be read .* kept as case_files\.damaged\.json"):
        board.note(*closed(seed=1))
    assert board.path.with_name("case_files.damaged.json").read_bytes() == DAMAGED[what]
    assert [entry["seed"] for entry in board.entries] == [1]
    board.path.write_bytes(b"damaged again")
    with pytest.warns(UserWarning, match=r"kept as case_files\.damaged\.2\.json"):
        board.note(*closed(seed=2))
    assert board.path.with_name("case_files.damaged.json").read_bytes() == DAMAGED[what]
    assert board.path.with_name("case_files.damaged.2.json").read_bytes() == b"damaged again"


def test_what_breaks_off_while_writing_leaves_the_old_file(board, monkeypatch):
    board.note(*closed(seed=1))
    before = board.path.read_bytes()

    def full(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="the disk is full"):
        board.note(*closed(seed=2))
    assert board.path.read_bytes() == before
    assert [path.name for path in board.path.parent.iterdir()] == ["case_files.json"]


def test_a_sound_file_is_no_reason_for_a_warning(board):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        board.note(*closed(seed=1)).note(*closed(seed=2))


def test_what_cannot_be_noted_is_told_in_a_sentence(board, tmp_path):
    (verdict, case), (other, _) = closed(seed=1), closed(seed=2)
    with pytest.raises(ValueError, match=r"the verdict is not that of case 1: note\(case\.accuse\(name\), case\)"):
        board.note(other, case)
    with pytest.raises(ValueError, match="a verdict and its case are noted, not Case and CaseVerdict"):
        board.note(case, verdict)
    with pytest.raises(ValueError, match="day is 'yesterday': give a datetime.date"):
        board.note(verdict, case, day="yesterday")
    with pytest.raises(ValueError, match="the scoreboard has no place: there is no folder"):
        Scoreboard(tmp_path / "nowhere" / "board.json").note(verdict, case)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def seeds(monkeypatch):
    """What is admitted, without training it."""
    monkeypatch.setattr(scoreboard, "admit", lambda seed, difficulty=None: (seed, difficulty))


def test_the_case_of_the_day_is_that_of_its_date(seeds):
    assert casebook.daily(datetime.date(2026, 7, 15)) == casebook.daily("2026-07-15") == (20260715, None)
    assert casebook.daily(datetime.datetime(2026, 7, 15, 23, 59)) == (20260715, None)
    before, today, after = datetime.date.today(), casebook.daily(), datetime.date.today()
    assert today in (casebook.daily(before), casebook.daily(after))


@given(st.dates(), st.dates())
def test_two_days_have_two_seeds(first, second):
    admitted = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoreboard, "admit", admitted.append)
        casebook.daily(first)
        casebook.daily(second.isoformat())
    assert (admitted[0] == admitted[1]) == (first == second)


@pytest.mark.parametrize("date", ["yesterday", "15.7.2026", "2026-02-30", 20260715, b"2026-07-15", ["2026-07-15"]])
def test_what_is_no_date_is_told_so(date):
    with pytest.raises(ValueError, match='give a datetime.date, or a text such as "2026-07-15"'):
        casebook.daily(date)


def test_a_class_has_the_same_cases_and_another_class_others(seeds):
    assert casebook.class_case("Leipzig 2026", 3) == casebook.class_case("Leipzig 2026", 3)
    courses = ["Leipzig 2026", "Leipzig 2027", "Leipzig 202", "leipzig 2026", "Leipzig 2026 "]
    assert len({casebook.class_case(course, number) for course in courses for number in range(80)}) == 5 * 80
    assert casebook.class_case("a", 1, difficulty=2)[1] == 2


def test_its_seed_is_sha_256_of_the_text_and_stays_so_from_release_to_release(seeds):
    """A class that goes on next week must have its cases; the number was computed with `sha256sum`."""
    assert casebook.class_case("Leipzig 2026", 1)[0] == 0x52BA200F9199


def test_a_real_case_of_a_class_is_that_of_the_answer_sheet():
    case = casebook.class_case("Leipzig 2026", 1)
    ((number, seed, defect, level),) = answer_sheet("Leipzig 2026", [1])
    assert (number, seed, defect) == (1, case.seed, hidden(case).defect)
    assert level == casebook.difficulties().get(defect)
    assert case.accuse(defect).right


def test_the_answer_sheet_follows_the_numbers_and_the_difficulty(monkeypatch):
    asked, names = [], iter(["shared ids", "healthy", "rate zero"])

    def admit(seed, difficulty=None):
        asked.append((seed, difficulty))
        return opened(next(names), seed=seed)

    monkeypatch.setattr(scoreboard, "admit", admit)
    sheet = answer_sheet("a", range(2, 5), difficulty=2)
    assert [row[0] for row in sheet] == [2, 3, 4]
    assert [row[2] for row in sheet] == ["shared ids", "healthy", "rate zero"]
    assert [(row[1], 2) for row in sheet] == asked
    assert sheet[1][3] is None


def test_the_answer_sheet_is_out_of_a_reader_s_sight():
    assert not {"answer_sheet", "patient"} & set(dir(casebook))
    assert {"Scoreboard", "class_case", "daily"} <= set(dir(casebook))


@pytest.mark.parametrize(("course", "number"), [("", 1), ("  ", 1), (7, 1), ("a", -1), ("a", "one"), ("a", 1.0)])
def test_what_names_no_case_of_a_class_is_told_so(course, number):
    with pytest.raises(ValueError, match=r"(course|number) is .*: give"):
        casebook.class_case(course, number)
