"""Tests stand where one looks for them, and CONTRIBUTING says of every one when it runs."""

import re

import pytest
from notebooks.books import ROOT

LIBRARY = ROOT / "cllm_lib"
TOGETHER = {  # modules that one test goes through together
    "__main__.py": "tests/test_cli.py",
    "instruments/__main__.py": "tests/instruments/test_main.py",
    "workbook/exercises": "tests/workbook/test_exercises.py",
}
MODULES = [path.relative_to(LIBRARY).as_posix() for path in sorted(LIBRARY.rglob("*.py")) if path.name != "__init__.py"]


def mirror(module):
    """The test of a module of the library: the same place under tests/."""
    folder, _, name = module.rpartition("/")
    return TOGETHER.get(module) or TOGETHER.get(folder) or f"tests/{folder}/test_{name}".replace("//", "/")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_test_in_the_same_place(module):
    assert (ROOT / mirror(module)).is_file(), f"write {mirror(module)}"


def rows():
    """The table of checks in CONTRIBUTING: what, where, how often."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("## What is checked, where, how often")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")][2:]


def test_every_test_is_in_the_table_of_checks():
    named = {word for _, where, _ in rows() for word in re.findall(r"`([\w./*-]+)`", where)}
    for path in (ROOT / "tests").rglob("test_*.py"):
        name = path.relative_to(ROOT).as_posix()
        assert any(name == word or (word.endswith("/") and name.startswith(word)) for word in named), name
    assert all(list(ROOT.glob(word.rstrip("/"))) for word in named), named


def test_the_table_says_how_often_in_the_words_of_the_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for what, _, often in rows():
        for command in re.findall(r"`make ([\w-]+)`", often):
            assert command in makefile, (what, command)
        assert re.search(r"`make [\w-]+`", often), what
