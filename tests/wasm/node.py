"""Python as a browser has it, in plain Node: Pyodide, 32 bits, no threads, no BLAS, and only the packages that the bundle brings.

Its files are the official release's of Pyodide 0.27.7, in the folder that PYODIDE_DIR names, or beside the repository in ../shared/pyodide.
"""

import functools
import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from notebooks.books import ROOT, load_tool

NODE = shutil.which("node")
HOURS = 2 * 3600  # seconds: as long as it takes on a busy machine
PURE = ("tqdm", "sympy", "mpmath", "ipywidgets", "comm", "anywidget", "psygnal", "typing_extensions")
FOR_TESTS = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "nbformat", "autograd")
HYPOTHESIS = ("hypothesis", "_hypothesis_globals", "attr", "sortedcontainers")
PACKAGES = ("numpy", "matplotlib", "ipython", "sqlite3", "ssl")


def pyodide_folder():
    """Where `make lite` finds Pyodide's files, or None."""
    try:
        return load_tool("lite").pyodide_folder().resolve()
    except SystemExit:  # with the sentence that tells a user what to do
        return None


needs_pyodide = [
    pytest.mark.elsewhere,
    pytest.mark.skipif(not (NODE and pyodide_folder()), reason="needs Node and the files of Pyodide 0.27.7, their folder in PYODIDE_DIR"),
]


@functools.cache
def pure_packages(names=PURE + FOR_TESTS + HYPOTHESIS):
    """A folder of copies of these packages alone: what else this environment has, a browser has not."""
    folder = Path(tempfile.mkdtemp(prefix="pure-"))
    for name in names:
        found = importlib.util.find_spec(name)
        if found.submodule_search_locations:
            shutil.copytree(
                found.submodule_search_locations[0], folder / name, ignore=shutil.ignore_patterns("__pycache__", "tests", "*.so")
            )
        else:
            shutil.copy(found.origin, folder)
    for name in PURE:  # their versions
        (told,) = (path for path in Path(importlib.metadata.distribution(name).locate_file("")).glob(f"{name}-*.dist-info"))
        shutil.copytree(told, folder / told.name)
    return folder


def run_in_node(script, *arguments, packages=PACKAGES, path=("/book", "/book/tests"), environment=None, out=None):
    """Run a Python file of the repository under Pyodide.

    Parameters
    ----------
    script : str
        Its path in the repository.
    *arguments : str
        What it finds in `sys.argv`.
    out : path-like, optional
        A folder that it finds as /out, to write into.

    Returns
    -------
    subprocess.CompletedProcess
        Its output as text.
    """
    asked = {
        "pyodide": str(pyodide_folder()),
        "packages": list(packages),
        "mounts": {"/book": str(ROOT), "/pure": str(pure_packages())} | ({"/out": str(out)} if out else {}),
        "path": [*path, "/pure"],
        "folder": "/book",
        "environment": environment or {},
        "script": script if script.startswith("/") else f"/book/{script}",
        "arguments": list(arguments),
    }
    command = [NODE, str(Path(__file__).with_name("run.mjs")), json.dumps(asked)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HOURS, check=False)
