"""Editions for a class: no solution in a student's, wherever one looks; put back, the book is the one whose every chapter runs."""

import ast
import base64
import binascii
import copy
import functools
import json
import os
import re
import subprocess
import sys
import zlib

import nbformat
import pytest
from notebooks.books import NAMES, ROOT, exercise_cells, load_tool, put_in, read, said_by_checks, solution, texts

from cllm_lib.workbook.exercises import exercises_of

editions = load_tool("editions")
BOOKS = editions.chapters()
WRITTEN = {kind: editions.files(kind, BOOKS) for kind in editions.EDITIONS}
BOOK = {name: read(name) for name in NAMES}
CARDS = {name: exercise_cells(book) for name, book in BOOK.items()}


def made(kind, name):
    return json.loads(WRITTEN[kind][f"{name}.ipynb"])


def as_notebook(content):
    return nbformat.from_dict(content)


def without_spaces(text):
    return re.sub(r"\s", "", text)


def told(text):
    """What is left of a text, or of JSON that holds it, however its lines are stored: no spaces, quotes, commas, line breaks."""
    return re.sub(r"\\+n|[\s\",\\]", "", text)


def lines_of(stub, card):
    """The longest piece of a solution that its stub has no line of; most have but one."""
    given, runs = {line.strip() for line in stub.source.split("\n")}, [[]]
    for line in filter(None, map(str.strip, solution(card).split("\n"))):
        if line in given:
            runs.append([])
        else:
            runs[-1].append(line)
    return max(runs, key=lambda run: len("".join(run)))


SOLUTIONS = {number: lines_of(stub, card) for cards in CARDS.values() for number, (card, stub) in cards.items()}


def unpacked(raw):
    """Some bytes, and what is hidden in them as Base64, plain or compressed."""
    yield raw
    for run in re.findall(rb"[A-Za-z0-9+/_-]{24,}={0,2}", raw):
        try:
            inner = base64.b64decode(run + b"=" * (-len(run) % 4), altchars=b"-_" if set(b"-_") & set(run) else None)
        except binascii.Error:
            continue
        yield inner
        for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
            try:
                yield zlib.decompressobj(bits).decompress(inner)
            except zlib.error:
                continue


def told_in(raw):
    """The exercises whose solution stands in some bytes of a notebook, escaped as JSON or not."""
    pieces = [told(piece.decode("utf-8", "ignore")) for piece in unpacked(raw)]
    return {number for number, lines in SOLUTIONS.items() if any(told("".join(lines)) in piece for piece in pieces)}


@functools.cache
def said_by_folds_alone():
    """The lines of solutions that stand nowhere else in the book."""
    fold = re.compile(r"<details><summary>Solution</summary>.*?</details>", re.DOTALL)
    elsewhere = without_spaces("".join(fold.sub("", cell.source) for book in BOOK.values() for cell in book.cells))
    return [line for lines in SOLUTIONS.values() for line in map(without_spaces, lines) if line not in elsewhere]


# A student's edition


def test_every_exercise_of_the_book_is_looked_for():
    assert set(SOLUTIONS) == {number for name in NAMES for number in exercises_of(name[:2])}
    assert all(SOLUTIONS.values())


def test_the_search_finds_every_solution_in_the_book_itself_and_packed():
    for name in NAMES:
        assert told_in((ROOT / "notebooks" / f"{name}.ipynb").read_bytes()) == set(CARDS[name])
    text = "\n".join(SOLUTIONS["03.3"]).encode()
    for packed in (text, zlib.compress(text), zlib.compress(text, wbits=zlib.MAX_WBITS | 16)):
        assert told_in(b'{"metadata": {"x": "' + base64.b64encode(packed) + b'"}}') == {"03.3"}
        assert told_in(base64.urlsafe_b64encode(packed)) == {"03.3"}


def test_no_file_of_a_students_edition_holds_a_solution(tmp_path):
    editions.write(tmp_path / "student", "student", WRITTEN["student"])
    files = [path for path in (tmp_path / "student").rglob("*") if path.is_file()]
    assert len(files) == len(NAMES) + 3
    for path in files:
        raw = path.read_bytes()
        assert told_in(raw) == set(), path.name
        assert b"Solution</summary>" not in raw


@pytest.mark.parametrize("name", NAMES)
def test_no_line_that_only_solutions_have_is_left(name):
    """Finer than whole solutions: a line that the book says nowhere else, in no cell, hint or output, a student's chapter has not."""
    text = without_spaces("".join(editions.strings(made("student", name))))
    assert len(said_by_folds_alone()) > 300
    assert [line for line in said_by_folds_alone() if line in text] == []


@pytest.mark.parametrize("kind", editions.EDITIONS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_stored_that_was_printed_and_metadata_are_the_books(name, kind):
    for cell, original in zip(made(kind, name)["cells"], BOOK[name].cells, strict=True):
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert (cell["id"], cell["cell_type"], cell["metadata"]) == (original.id, original.cell_type, original.metadata)
    nbformat.validate(as_notebook(made(kind, name)))


@pytest.mark.parametrize("name", NAMES)
def test_all_else_is_as_in_the_book(name):
    """Texts but for the last fold and for links that would lead nowhere; cells of a student's to the letter."""
    cards = {card.id for card, _ in CARDS[name].values()}
    for cell, original in zip(made("student", name)["cells"], BOOK[name].cells, strict=True):
        if cell["cell_type"] == "code":
            assert cell["source"] == original.source
            continue
        text = re.sub(r"\]\(\.\./docs/GLOSSARY\.md", "](GLOSSARY.md", original.source)
        text = re.sub(r"\[([^\]]*)\]\(\.\./docs/(?:INSTRUCTORS|DOCTOR)\.md\)", r"\1", text)
        text = text.replace("Hints and a solution are folded", "Hints are folded")
        if original.id in cards:
            before, _, after = text.partition("<details><summary>Solution</summary>")
            text = before.rstrip("\n") + after.partition("</details>")[2]
        assert cell["source"] == text
        assert cell["source"].count("<details><summary>Hint") == text.count("<details><summary>Hint")


def test_a_student_is_not_told_of_folded_solutions():
    """The one sentence of the book that speaks of them."""
    told = [name for name in NAMES for text in editions.strings(made("student", name)) if re.search(r"solution\w* (is|are) folded", text)]
    assert told == []
    assert all(words in json.dumps(BOOKS["00_start_here.ipynb"], ensure_ascii=False) for words in editions.SAID)


@pytest.mark.parametrize("kind", editions.EDITIONS)
def test_every_link_leads_to_a_file_beside(kind):
    for name, text in WRITTEN[kind].items():
        content = "\n".join(editions.strings(json.loads(text))) if name.endswith(".ipynb") else text
        for target in re.findall(r"\]\(([^)\s#]+)", content):
            assert "://" in target or target in WRITTEN[kind], (name, target)


# Solutions, and putting them back


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_is_solved_by_its_fold_and_nothing_else_is_changed(name):
    expected = read(name)
    for card, stub in exercise_cells(expected).values():
        put_in(stub, solution(card))
    for cell, other in zip(made("solutions", name)["cells"], expected.cells, strict=True):
        if cell["cell_type"] == "code":
            assert ast.dump(ast.parse(cell["source"])) == ast.dump(ast.parse(other.source))
        else:
            assert cell["source"].count("<details>") == other.source.count("<details>")


@pytest.mark.parametrize("name", NAMES)
def test_put_back_a_students_chapter_runs_the_same_code_as_the_solved_one(name):
    """The chapters with all folded solutions put in run to their ends, each check content: tests/notebooks/test_runs.py."""
    student, solutions = made("student", name), made("solutions", name)
    before = copy.deepcopy(student)
    back = editions.put_back(student, solutions)
    assert student == before
    sources = [[cell["source"] for cell in book["cells"] if cell["cell_type"] == "code"] for book in (back, solutions)]
    assert sources[0] == sources[1]
    assert len([cell for cell, old in zip(back["cells"], student["cells"], strict=True) if cell != old]) == len(CARDS[name])
    assert not any("Solution</summary>" in cell["source"] for cell in back["cells"])


def test_what_a_student_wrote_elsewhere_stays():
    student = made("student", NAMES[1])
    note = {"cell_type": "markdown", "id": "mine", "metadata": {}, "source": "my note"}
    student["cells"].insert(0, note)
    student["cells"].append({"cell_type": "code", "id": "tried", "metadata": {}, "source": "1 + 1", "outputs": [], "execution_count": 7})
    back = editions.put_back(student, made("solutions", NAMES[1]))
    assert back["cells"][0] == note
    assert back["cells"][-1] == student["cells"][-1]
    assert told_in(json.dumps(back).encode()) == set(CARDS[NAMES[1]])


def test_a_missing_exercise_is_named():
    student = made("student", NAMES[1])
    student["cells"] = [cell for cell in student["cells"] if 'check("01.3"' not in cell["source"]]
    with pytest.raises(SystemExit, match=r"01\.3 has no card and check"):
        editions.put_back(student, made("solutions", NAMES[1]))


def runs_elsewhere(name, folder):
    """A chapter, its solutions put back, run where the edition stands."""
    editions.write(folder / "student", "student", WRITTEN["student"])
    back = editions.put_back(made("student", name), made("solutions", name))
    executed = load_tool("execute_notebooks").execute(as_notebook(back), folder=folder / "student")
    assert not any(output.output_type == "error" for cell in executed.cells for output in cell.get("outputs", []))
    said = [line.split()[:2] for line in said_by_checks(executed)]
    assert said == [[number, "noted:" if exercises_of(name[:2])[number].bet else "passed."] for number in CARDS[name]]
    assert texts(executed) == texts(BOOK[name])


@pytest.mark.elsewhere
@pytest.mark.parametrize("name", [name for name in NAMES if name[:2] in ("00", "05")])
class TestPutBack:
    def test_it_runs_to_its_end_and_every_check_is_content(self, name, tmp_path):
        runs_elsewhere(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name[:2] not in ("00", "05")])
class TestPutBackAll:
    def test_it_runs_to_its_end_and_every_check_is_content(self, name, tmp_path):
        runs_elsewhere(name, tmp_path)


# What is refused


def fold(code, prose=""):
    return f"<details><summary>Solution</summary>{prose}\n\n```python\n{code}\n```\n</details>"


def small_book(metadata=(), after="", output=""):
    card = "### Exercise 91.1  ●○○  1 minute: x\n<details><summary>Hint</summary>Count.</details>\n" + fold("x = 6 * 7")
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": card},
        {"cell_type": "code", "id": "b", "metadata": dict(metadata), "source": 'x = ...\n\nx = check("91.1", x)', "outputs": [output]},
        {"cell_type": "markdown", "id": "c", "metadata": {}, "source": after},
    ]
    return {"91_small.ipynb": {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}}


def test_a_small_book_is_written_as_it_should_be():
    student = json.loads(editions.files("student", small_book(output="x = 42"))["91_small.ipynb"])
    assert student["cells"][0]["source"].endswith("<details><summary>Hint</summary>Count.</details>")
    assert student["cells"][1]["outputs"] == []
    solved = json.loads(editions.files("solutions", small_book())["91_small.ipynb"])
    assert solved["cells"][1]["source"] == 'x = 6 * 7\n\nx = check("91.1", x)'


LEFT = {
    "in metadata": {"metadata": {"answer": "x=6*7"}},
    "in a text": {"after": "In short,\n`x = 6*7`"},
    "in a fold of another form": {"after": "<details><summary>Solution 2</summary>y = 1</details>"},
}


@pytest.mark.parametrize("left", LEFT)
def test_a_solution_left_anywhere_is_told_and_nothing_is_written(left):
    with pytest.raises(SystemExit, match=r"91_small\.ipynb holds (the solution of 91\.1|a fold with a solution)"):
        editions.files("student", small_book(**LEFT[left]))


def test_a_card_without_a_solution_is_told():
    book = small_book()
    book["91_small.ipynb"]["cells"][0]["source"] = "### Exercise 91.1\nno fold"
    with pytest.raises(SystemExit, match=r"Exercise 91\.1 has no solution of this form"):
        editions.files("student", book)


def test_a_damaged_chapter_is_named_and_so_is_an_empty_folder(tmp_path):
    with pytest.raises(SystemExit, match="There are no chapters in"):
        editions.chapters(tmp_path)
    for damaged in ("{", "[]", '{"cells": [{}]}', "\x00"):
        (tmp_path / "91_small.ipynb").write_text(damaged, encoding="utf-8")
        with pytest.raises(SystemExit, match=r"91_small\.ipynb is no notebook that can be read"):
            editions.chapters(tmp_path)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path):
    folder, first, second = tmp_path / "class" / "student", {"a.ipynb": "1", "b.ipynb": "2"}, {"a.ipynb": "3"}
    editions.write(folder, "student", first)
    editions.write(folder, "student", second)
    assert set(contents(folder)) == {"a.ipynb", editions.RECORD}
    assert [path.name for path in folder.parent.iterdir()] == ["student"]
    with pytest.raises(SystemExit, match="is there, and is no solutions edition"):
        editions.write(folder, "solutions", first)
    (folder / "a.ipynb").write_text("worked in", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"a\.ipynb was changed or added since.*would be lost"):
        editions.write(folder, "student", first)
    assert contents(folder)["a.ipynb"] == b"worked in"


@pytest.mark.parametrize("record", [None, "{", "[]", '{"edition": "student"}', '{"edition": "student", "files": 3}'])
def test_a_folder_of_somebody_elses_is_left_alone(record, tmp_path):
    (tmp_path / "mine.ipynb").write_text("mine", encoding="utf-8")
    if record is not None:
        (tmp_path / editions.RECORD).write_text(record, encoding="utf-8")
    before = contents(tmp_path)
    with pytest.raises(SystemExit, match="--output FOLDER"):
        editions.write(tmp_path, "student", {"a.ipynb": "1"})
    assert contents(tmp_path) == before


def test_an_empty_folder_may_be_written_to_and_a_file_may_not(tmp_path):
    editions.write(tmp_path / "new", "student", {"a.ipynb": "1"})
    (tmp_path / "empty").mkdir()
    editions.write(tmp_path / "empty", "student", {"a.ipynb": "1"})
    assert contents(tmp_path / "empty") == contents(tmp_path / "new")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit, match="is there, and is no student edition"):
        editions.write(tmp_path / "file", "student", {"a.ipynb": "1"})


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_broken_off_anywhere_the_earlier_one_stands(at, tmp_path, monkeypatch):
    """A full disk at the first or second file, at the first or second renaming: the folder is as it was, nothing lies beside it."""
    folder = tmp_path / "student"
    editions.write(folder, "student", {"a.ipynb": "1", "b.ipynb": "2"})
    before, calls = contents(folder), []
    write_bytes, replace = editions.Path.write_bytes, os.replace

    def fails_at(number, function):
        def call(*arguments):
            calls.append(number)
            if number == at or (number == 0 and len(calls) == 2 and at == 1) or (number == 2 and calls.count(2) == 2 and at == 3):
                raise OSError(28, "No space left on device")
            return function(*arguments)

        return call

    monkeypatch.setattr(editions.Path, "write_bytes", fails_at(0, write_bytes))
    monkeypatch.setattr(editions.os, "replace", fails_at(2, replace))
    with pytest.raises(OSError, match="No space"):
        editions.write(folder, "student", {"a.ipynb": "3"})
    monkeypatch.undo()
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


@pytest.mark.parametrize("kind", editions.EDITIONS)
def test_the_command_writes_it_without_the_books_environment(kind, tmp_path):
    """Standard library only: -S leaves all that is installed out of sight."""
    command = [sys.executable, "-S", "tools/editions.py", kind, "--output", str(tmp_path / "it")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Wrote {tmp_path / 'it'}: {len(NAMES)} chapters, ")
    assert {name: content.decode("utf-8") for name, content in contents(tmp_path / "it").items() if name != editions.RECORD} == WRITTEN[
        kind
    ]
    (tmp_path / "it" / "notes.txt").write_text("mine", encoding="utf-8")
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
