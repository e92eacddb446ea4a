"""The notebooks as tests see them: where they are, their exercises, their text outputs."""

import importlib.util
import re
from pathlib import Path

import nbformat
from notebooks.pictures import check_pictures

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in PATHS]

_NO_VECTOR_CODE = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR", "PYTHONWARNINGS": "ignore"}

# Machines as OpenBLAS and NumPy know them, for a kernel's environment. Off x86 these names change nothing.
OLD_MACHINE = {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"} | _NO_VECTOR_CODE
MACHINES = {
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "no vector code": _NO_VECTOR_CODE,
    "one thread": {"OPENBLAS_NUM_THREADS": "1"},
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
}


def load_tool(name):
    """One of the scripts in tools/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def programs():
    """Every piece of code that the chapters show, by its place: each cell, and each block of code in a text, solutions too."""
    for name in NAMES:
        for number, cell in enumerate(read(name).cells):
            pieces = [cell.source] if cell.cell_type == "code" else code_blocks(cell.source)
            yield from ((f"{name}, cell {number}", piece) for piece in pieces)


def code_blocks(text):
    """The blocks of Python in a text."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def exercise_cells(notebook):
    """Number of each exercise, with its card and its stub cell, in order."""
    found, card = {}, None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = re.search(r"^### Exercise (\d\d\.\d+)", cell.source, re.MULTILINE)
            card = (heading[1], cell) if heading else card
        elif card and f'check("{card[0]}"' in cell.source:
            found[card[0]], card = (card[1], cell), None
    return found


def solution(card):
    """The folded solution of an exercise: the code in its last fold."""
    return re.search(r"<details><summary>Solution</summary>.*?```python\n(.*?)```\n</details>", card.source, re.DOTALL)[1]


def put_in(cell, answer):
    """Replace a stub by an answer; imports above it and the check below it stay."""
    lines = cell.source.split("\n")
    at = next(i for i, line in enumerate(lines) if re.search(r"\bcheck\(\"", line))
    imports = [line for line in lines[:at] if line.startswith(("import ", "from "))]
    cell.source = "\n".join([*imports, answer, *lines[at:]])


def once_more(notebook):
    """Copies of a notebook's code cells, from the last to the first: appended to it, they run as a reader does who goes back."""
    return [nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata) for cell in notebook.cells[::-1] if cell.cell_type == "code"]


def may_differ(cell):
    """Whether a cell is tagged as one whose output differs from run to run: times, or what a reader chose."""
    return cell.cell_type == "code" and "nbval-ignore-output" in cell.metadata.get("tags", [])


def texts(notebook):
    """What each code cell printed or showed as text, without what checks say and without pictures."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and not may_differ(cell):
            text = "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
            shown.append(re.sub(r"^\d\d\.\d+ (passed|noted|not yet|not attempted).*\n", "", text, flags=re.MULTILINE))
    return shown


def said_by_checks(notebook):
    """The lines that checks printed."""
    printed = "".join(output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    return re.findall(r"^\d\d\.\d+ (?:passed|noted|not yet|not attempted).*$", printed, flags=re.MULTILINE)


def check_all_pictures(executed, stored):
    """Hold each cell's pictures to the stored ones, as `make test` does cell by cell."""
    for cell, kept in zip(executed.cells, stored.cells, strict=True):
        if cell.cell_type == "code" and not may_differ(kept):
            check_pictures(cell.outputs, kept.outputs)
