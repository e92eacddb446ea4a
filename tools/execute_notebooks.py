"""The one writer of notebooks: executes them top to bottom and stores their outputs, the same bytes every time.

python tools/execute_notebooks.py                 all of them
python tools/execute_notebooks.py 01              those whose name starts so
python tools/execute_notebooks.py --out DIR 01    write elsewhere, leave notebooks/ as it is
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
STORED_WITH = (3, 11)  # stored outputs come from this Python and requirements.lock
SECONDS_A_CELL = 600  # on a busy machine; how long a chapter may take is measured elsewhere


def execute(notebook, folder=NOTEBOOKS, environment=None):
    """Run all cells of a notebook in a fresh kernel, in `folder`, and leave nothing in it that differs between runs.

    `environment` holds further variables for the kernel.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=os.environ | (environment or {}))
    return tidy(notebook)


def tidy(notebook):
    """Drop what varies: widget state, the kernel's description, random widget ids, outputs split by chance."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's
        if cell.cell_type == "code":
            cell.outputs = joined_streams(cell.outputs)
    text = nbformat.writes(notebook)
    for number, model_id in enumerate(dict.fromkeys(re.findall(r'"model_id": "([0-9a-f]{32})"', text))):
        text = text.replace(model_id, f"{number:032x}")
    return nbformat.reads(text, as_version=4)


def joined_streams(outputs):
    """Neighbouring pieces of one stream as one: how a kernel cuts its output into messages is chance.

    Of a line that was written over, as a progress bar is, its last state stays.
    """
    joined = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = re.sub(r".*\r(?=[^\n])", "", output.text)
    return joined


def write_atomically(notebook, path):
    """Write a notebook whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    os.replace(beside, path)


def main(arguments):
    """Execute the notebooks asked for; 0 if all ran."""
    parser = argparse.ArgumentParser(description="Execute notebooks and store their outputs.")
    parser.add_argument("prefixes", nargs="*", help="beginnings of names, such as 01; all by default")
    parser.add_argument("--out", type=Path, help="a folder to write into instead of notebooks/")
    options = parser.parse_args(arguments)
    if options.out is None and sys.version_info[:2] != STORED_WITH:
        print(
            "Stored outputs come from Python {}.{}; this is {}.{}: use --out DIR to look at others.".format(
                *STORED_WITH, *sys.version_info[:2]
            )
        )
        return 1
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
    paths = [p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if not options.prefixes or p.name.startswith(tuple(options.prefixes))]
    for path in paths:
        start = time.perf_counter()
        try:
            notebook = execute(nbformat.read(path, as_version=4))
        except CellExecutionError as error:
            print(f"{path.name} stopped; its stored version was left as it is.\n{error}", file=sys.stderr)
            return 1
        target = (options.out or NOTEBOOKS) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(notebook, target)
        print(f"{path.name}: {len(notebook.cells)} cells, {time.perf_counter() - start:.0f} s, {target.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
