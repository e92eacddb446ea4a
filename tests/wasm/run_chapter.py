"""Run chapters cell by cell as a notebook in a browser does, and write what each cell said and took: run_chapter.py OUT.json NAME ..."""

import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

os.environ["MPLBACKEND"] = "agg"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SHOWN = []  # what the cell under way has printed and displayed so far, in order


class Publisher(DisplayPublisher):
    """`display(...)`: the text that stands for what is shown."""

    def publish(self, data, *arguments, **named):
        SHOWN.append(data.get("text/plain", ""))


class Hook(DisplayHook):
    """The value of a cell's last line."""

    def write_output_prompt(self):
        """No "Out[1]"."""

    def write_format_data(self, format_dict, md_dict=None):
        SHOWN.append(format_dict["text/plain"])

    def finish_displayhook(self):
        """No line feed."""


class Printed(io.TextIOBase):
    """Where `print` writes."""

    encoding = "utf-8"

    def write(self, text):
        SHOWN.append(text)
        return len(text)


class Shell(InteractiveShell):
    """A notebook's shell. As in the browser's kernel, a cell has failed if a traceback was shown."""

    colors = "nocolor"
    failed = None

    def enable_gui(self, gui=None):
        """Pictures are part of the page: there is no window."""

    def _showtraceback(self, etype, evalue, stb):
        self.failed = f"{etype.__name__}: {evalue}"
        print(*stb, sep="\n", file=sys.__stdout__)


def run(name):
    """A chapter's code cells in order, each with its text, error and seconds."""
    Shell.clear_instance()
    shell = Shell.instance(display_pub_class=Publisher, displayhook_class=Hook)
    shell.run_cell("%matplotlib inline")
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        SHOWN.clear()
        shell.failed, errors, started = None, io.StringIO(), time.perf_counter()
        with contextlib.redirect_stdout(Printed()), contextlib.redirect_stderr(errors):
            shell.run_cell("".join(cell["source"]), store_history=True)
        seconds = round(time.perf_counter() - started, 2)
        yield {"cell": number, "text": "".join(SHOWN), "error": shell.failed, "red": errors.getvalue(), "seconds": seconds}


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    os.chdir(NOTEBOOKS)
    found = {}
    for name in names:
        found[name] = []
        for cell in run(name):
            found[name].append(cell)
            print(name, cell["cell"], f"{cell['seconds']:.1f} s", cell["error"] or "", cell["red"][:300], flush=True)
            Path(out).write_text(json.dumps(found), encoding="utf-8")
