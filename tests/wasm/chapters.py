"""Chapters in a browser's Python: run under Node, and what they say there held to what is stored."""

import json
import re

from notebooks.books import may_differ, read
from wasm.node import run_in_node

from cllm_lib.browser import NO_THREADS

MODELS = r"The (pretrained|chat) model, \d+ MB, does not come into a browser's page: a cell that needs it stands still here\."
THREADS = rf"{NO_THREADS}: a cell that needs more stands still here\."
STANDS_STILL = {"01": (THREADS, 1), "12": (THREADS, 2), "21": (MODELS, 25), "23": (MODELS, 27)}  # and in how many cells at most


def run_chapter(name, folder):
    """What each code cell of a chapter printed and raised, as `run_chapter.py` writes it.

    Raises
    ------
    RuntimeError
        If the run as a whole came to no end.
    """
    done = run_in_node("tests/wasm/run_chapter.py", "/out/cells.json", name, out=folder)
    if done.returncode:
        raise RuntimeError(f"{name} came to no end: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads((folder / "cells.json").read_text(encoding="utf-8"))[name]


def differences(name, found):
    """Where a chapter says or shows what is not stored: one sentence for each; none where all is equal.

    A cell may say in one sentence that it stands still, where that is known of its chapter, after a part of what is stored.
    """
    cells = read(name).cells
    if [cell["cell"] for cell in found] != [number for number, cell in enumerate(cells) if cell.cell_type == "code"]:
        return ["some cells did not run"]
    seen = [f"cell {cell['cell']}: {cell['error'] or cell['red']}" for cell in found if cell["error"] or cell["red"]]
    sentence, at_most = STANDS_STILL.get(name[:2], ("nowhere", 0))
    still = [cell["cell"] for cell in found if re.search(sentence, cell["text"])]
    if bool(at_most) != bool(still) or len(still) > at_most:
        seen.append(f"cells {still} stand still, which are to be {at_most} at most")
    for cell in found:
        stored, text = stored_text(cells[cell["cell"]]), final(cell["text"])
        before, stands = re.subn(f"{sentence}\n$", "", text)
        as_stored = stored.startswith(before) if stands else text == stored
        if not as_stored and not may_differ(cells[cell["cell"]]):
            seen.append(f"cell {cell['cell']} says {text!r}, stored is {stored!r}")
    return seen


def stored_text(cell):
    """What a cell printed and showed as text where it was stored."""
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def final(text):
    """Of a line that was written over, as a progress bar is, its last state."""
    return re.sub(r".*\r(?=[^\n])", "", text)
