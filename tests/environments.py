"""Environments of their own, as other people's computers have them, and chapters run by their kernels."""

import json
import os
import subprocess
import sys
from pathlib import Path

from nbclient import NotebookClient
from notebooks.books import load_tool, read

PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]


def plain():
    """The variables of this process, without those that would lead a Python back into this house."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def empty_environment(folder):
    """Python of a new environment in a folder."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    return Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip(python, *words):
    """Let pip of an environment do something, or show what it said."""
    done = subprocess.run([str(word) for word in (python, *PIP, *words)], env=plain(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def packages(python):
    """Name and version of every package in an environment."""
    look = "import importlib.metadata as m; print(*(f'{each.name}=={each.version}' for each in m.distributions()), sep='\\n')"
    done = subprocess.run([str(python), "-c", look], env=plain(), capture_output=True, text=True, check=True)
    return dict(line.split("==") for line in done.stdout.split())


def run_chapter(python, name, folder, monkeypatch, cells, before=()):
    """Run the first cells of a chapter by an environment's own kernel, in a folder where nothing of the house is.

    Returns
    -------
    list of (str, str)
        What each cell printed, and what is stored of it.
    """
    spec = folder / "kernels" / "theirs"
    spec.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "theirs", "language": "python"}), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    book = read(name)
    code = [cell for cell in book.cells if cell.cell_type == "code"][:cells]
    stored = [printed(cell) for cell in code]
    lines = [dict(code[0], source=line, outputs=[], id=f"line-{k}") for k, line in enumerate(before)]
    book.cells = [type(code[0])(line) for line in lines] + code
    client = NotebookClient(book, timeout=300, kernel_name="theirs", resources={"metadata": {"path": str(folder)}})
    client.execute(env=plain())
    return list(zip(map(printed, code), stored, strict=True))


def printed(cell):
    """The text that a cell printed, of a line that was written over its last state."""
    outputs = load_tool("execute_notebooks").joined_streams(cell.outputs)
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
