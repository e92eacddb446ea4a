"""Run chapters cell by cell as a notebook in a browser does, and write what each cell said and took: run_chapter.py OUT.json NAME ..."""

import json
import sys
import time
from pathlib import Path

import matplotlib as mpl
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

mpl.use("agg")


class Shell(InteractiveShell):
    """A notebook's shell: names what it is for `get_ipython`, and colours nothing."""

    colors = "NoColor"

    def enable_gui(self, gui=None):
        """Pictures are part of the page: there is no window."""


def said(captured):
    """Everything that a cell printed or showed as text."""
    shown = "".join(output.data.get("text/plain", "") for output in captured.outputs if not any("image" in kind for kind in output.data))
    return captured.stdout + shown


def run(name):
    """A chapter's code cells in order, each with its text, error and seconds."""
    Shell.clear_instance()
    shell = Shell.instance()
    shell.run_cell("%matplotlib inline")
    cells = json.loads(Path(f"/book/notebooks/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        started = time.perf_counter()
        with capture_output() as captured:
            result = shell.run_cell("".join(cell["source"]), store_history=True)
        error = result.error_before_exec or result.error_in_exec
        seconds = round(time.perf_counter() - started, 2)
        yield {"cell": number, "text": said(captured), "error": error and f"{type(error).__name__}: {error}", "seconds": seconds}


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    found = {}
    for name in names:
        found[name] = []
        for cell in run(name):
            found[name].append(cell)
            print(name, cell["cell"], f"{cell['seconds']:.1f} s", cell["error"] or "", flush=True)
            Path(out).write_text(json.dumps(found), encoding="utf-8")
