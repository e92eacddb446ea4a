"""How long a chapter takes, counted by hand on a small one; which exercises count as solved; and that no chapter is longer than it says."""

import json
import re

import pytest
from notebooks.books import NAMES, PATHS, exercise_cells, read

from cllm_lib.workbook.progress import chapter, report, solved

MOST_WORDS, MOST_MINUTES = 3_600, 60  # of a chapter: readers said that more is too long
CARD = "### Exercise 04.2  ●●○  6 minutes: something\n<details><summary>Hint</summary>a b c d e f</details>"


def cell(kind, source, *printed):
    """A cell as a notebook file has it, with the lines it printed."""
    outputs = {"outputs": [{"output_type": "stream", "text": [line]} for line in printed]} if kind == "code" else {}
    return {"cell_type": kind, "source": source.splitlines(keepends=True)} | outputs


def book(path, *cells):
    path.write_text(json.dumps({"cells": list(cells)}), encoding="utf-8")
    return path


def test_minutes_are_words_cells_and_cards(tmp_path):
    words = " ".join(["word"] * 389)
    one = chapter(book(tmp_path / "04_x.ipynb", cell("markdown", f"# 04 · A title\n{words}\n{CARD}"), *[cell("code", "x = 1")] * 3))
    assert (one.number, one.title, one.exercises) == ("04", "A title", ("04.2",))
    assert one.words == 5 + 389 + 7  # title, words, the line of the card; what is folded away does not count
    assert one.minutes == pytest.approx(401 / 200 + 3 * 20 / 60 + 6)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("04.2 passed. Well.\n", {"04.2"}),
        ("04.2 noted: 5\n", {"04.2"}),
        ("04.2 not yet: no.\n", set()),
        ("04.2 not attempted yet: the notebook goes on with the reference.\n", set()),
        ("of 04.2 passed\n", set()),
    ],
)
def test_an_exercise_is_solved_when_its_check_said_so(tmp_path, line, found):
    assert solved(book(tmp_path / "04_x.ipynb", cell("code", "check()", line))) == found


@pytest.mark.parametrize("content", ["", "{", '{"cells": 3}', '{"cells": [{"outputs": [3]}]}'])
def test_a_damaged_copy_counts_as_not_begun(tmp_path, content):
    path = tmp_path / "04_x.ipynb"
    path.write_text(content, encoding="utf-8")
    assert solved(path) == set()


def test_the_report_counts_what_lies_ahead(tmp_path):
    notebooks, workspace = tmp_path / "notebooks", tmp_path / "workspace"
    notebooks.mkdir(), workspace.mkdir()
    page = [
        cell("markdown", "# 04 · A title\n" + "\n".join(f"### Exercise 04.{i}  ●○○  60 minutes: x" for i in (1, 2))),
        cell("code", "check()"),
    ]
    book(notebooks / "04_x.ipynb", *page)
    book(notebooks / "05_y.ipynb", cell("markdown", page[0]["source"][0].replace("04", "05") + "### Exercise 05.1  ●○○  60 minutes: x"))
    book(workspace / "04_x.ipynb", cell("code", "check()", "04.1 passed. Yes.\n", "04.9 passed. What?\n"))
    lines = report(notebooks, workspace).splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["●○", "○"]
    assert lines[2] == "1 of 3 exercises solved; about 2 of 3 hours lie ahead."


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_the_exercises_of_a_chapter_are_those_that_have_a_check(path):
    assert list(chapter(path).exercises) == list(exercise_cells(read(path.stem)))


def test_the_first_chapter_tells_how_long_all_take():
    hours = sum(chapter(path).minutes for path in PATHS) / 60
    assert f"Together they take some {hours:.0f} hours" in PATHS[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_chapter_is_an_hour_at_most(path):
    one = chapter(path)
    assert one.words <= MOST_WORDS
    assert one.minutes <= MOST_MINUTES


@pytest.mark.parametrize("path", PATHS[1:], ids=NAMES[1:])
def test_a_chapter_says_how_long_it_takes(path):
    said = re.search(r"\*\*About\*\* (\d+) minutes", read(path.stem).cells[0].source)
    assert abs(int(said[1]) - chapter(path).minutes) <= 5
