"""Every chapter in a browser's Python: each cell prints the stored text, or says in one sentence why it stands still there."""

import pytest
from notebooks.books import NAMES
from wasm.chapters import differences, run_chapter
from wasm.node import needs_pyodide, run_in_node

pytestmark = needs_pyodide

SOONER = ("00", "01", "12", "18")  # the others take too long for every change


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name[:2] in SOONER else pytest.mark.slow) for name in NAMES])
def test_it_prints_the_stored_text(name, tmp_path):
    assert differences(name, run_chapter(name, tmp_path)) == []


def test_checks_of_threads_and_cells_that_stand_still_are_the_same_there():
    done = run_in_node("tests/wasm/run_tests.py", "tests/workbook/test_chapter_12.py", "tests/workbook/test_going_on.py")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
