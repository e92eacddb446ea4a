"""Every chapter in a browser's Python: each cell prints the stored text, or says in one sentence why it stands still there."""

import json
import re

import pytest
from notebooks.books import NAMES, may_differ, read
from wasm.node import needs_pyodide, run_in_node

from cllm_lib.browser import NO_THREADS

pytestmark = needs_pyodide

SOONER = ("00", "01", "12", "18")  # the others take too long for every change
MODELS = r"The (pretrained|chat) model, \d+ MB, does not come into a browser's page: a cell that needs it stands still here\."
THREADS = rf"{NO_THREADS}: a cell that needs more stands still here\."
STANDS_STILL = {"01": (THREADS, 1), "12": (THREADS, 2), "21": (MODELS, 25), "23": (MODELS, 27)}  # and in how many cells at most
HOURS = 2 * 3600  # on a busy machine; how long a chapter takes is measured elsewhere


def stored_text(cell):
    """What a cell printed and showed as text where it was stored."""
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def final(text):
    """Of a line that was written over, as a progress bar is, its last state."""
    return re.sub(r".*\r(?=[^\n])", "", text)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name[:2] in SOONER else pytest.mark.slow) for name in NAMES])
def test_it_prints_the_stored_text(name, tmp_path):
    done = run_in_node("tests/wasm/run_chapter.py", "/out/cells.json", name, out=tmp_path, timeout=HOURS)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads((tmp_path / "cells.json").read_text(encoding="utf-8"))[name]
    cells = read(name).cells
    assert [cell["cell"] for cell in found] == [number for number, cell in enumerate(cells) if cell.cell_type == "code"]
    assert [(cell["cell"], cell["error"], cell["red"]) for cell in found if cell["error"] or cell["red"]] == []
    sentence, at_most = STANDS_STILL.get(name[:2], ("nowhere", 0))
    still = [cell for cell in found if re.search(sentence, cell["text"])]
    assert bool(at_most) == bool(still)
    assert len(still) <= at_most
    for cell in found:
        stored, text = stored_text(cells[cell["cell"]]), final(cell["text"])
        before, stands = re.subn(f"{sentence}\n$", "", text)
        as_stored = stored.startswith(before) if stands else text == stored
        assert as_stored or may_differ(cells[cell["cell"]]), f"cell {cell['cell']}"


def test_checks_of_threads_and_cells_that_stand_still_are_the_same_there():
    done = run_in_node("tests/wasm/run_tests.py", "tests/workbook/test_chapter_12.py", "tests/workbook/test_going_on.py", timeout=HOURS)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
