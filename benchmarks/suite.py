"""Where the seconds of the tests go: `python -m benchmarks.suite` measures each group alone and writes SUITE.md.

Processor seconds, of pytest and of all it starts, for wall time depends on how many processors share the work.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.run import describe_machine, say, table, verdict
from cllm_lib.files import shipped, write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = shipped("evidence", "pages/SUITE.md")
CHAPTERS_LIMIT = 400  # processor seconds, of all chapters together


def groups():
    """What is measured alone, as pytest is told of it: each chapter, each folder of units, the units beside them.

    Returns
    -------
    dict of str to list of str
    """
    tests = ROOT / "tests"
    chapters = {path.stem: [f"notebooks/{path.name}"] for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    folders = sorted(path.name for path in tests.iterdir() if any(path.rglob("test_*.py")) and path.name != "browser")
    units = {f"tests/{name}": [f"tests/{name}"] for name in folders if (tests / name).is_dir()}
    beside = {"tests, beside the folders": [f"tests/{path.name}" for path in sorted(tests.glob("test_*.py"))]}
    elsewhere = {
        "solved, on an old processor": ["-m", "elsewhere and not slow", "tests/notebooks"],
        "in a browser": ["-m", "elsewhere and not slow", "tests/browser"],
        "on a cluster, as a wheel": ["-m", "elsewhere and not slow", *beside["tests, beside the folders"]],
    }
    return chapters | units | beside | elsewhere


def processor_seconds(arguments):
    """The seconds that processors spend on one group, in one worker, and how many tests passed.

    Raises
    ------
    RuntimeError
        If a test fails: then the seconds say nothing.
    """
    before = os.times()
    command = [sys.executable, "-m", "pytest", "-n", "0", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    passed = re.search(r"(\d+) passed", done.stdout)
    return after.children_user + after.children_system - before.children_user - before.children_system, int(passed[1]) if passed else 0


def wall_seconds(arguments):
    """How long a command of the house takes by the clock."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - start


def rows_of(measured):
    """The rows of the page, and the sum over the chapters.

    Parameters
    ----------
    measured : dict of str to (float, int)
        Processor seconds and tests by group.

    Returns
    -------
    rows : list of list of str
    chapters : float
        Processor seconds.
    """
    chapters = sum(seconds for name, (seconds, _) in measured.items() if re.match(r"\d\d_", name))
    rows = [[name, f"{seconds:.0f}", f"{tests:,}"] for name, (seconds, tests) in measured.items()]
    return rows, chapters


def main():
    """Measure every group, then the two commands as a whole, and write the page."""
    start, measured = time.perf_counter(), {}
    for name, arguments in groups().items():
        measured[name] = processor_seconds(arguments)
        say(f"{name}: {measured[name][0]:.0f} s")
    rows, chapters = rows_of(measured)
    quick, elsewhere = wall_seconds([]), wall_seconds(["-m", "elsewhere and not slow", "tests"])
    text = page(rows, chapters, quick, elsewhere, (time.perf_counter() - start) / 60)
    write_atomically(RESULTS, text.encode("utf-8"))


def page(rows, chapters, quick, elsewhere, minutes):
    """The whole of SUITE.md."""
    parts = [
        "# Where the seconds of the tests go",
        f"Written by `python -m benchmarks.suite` in {minutes:.0f} minutes. Each group ran alone, in one worker, with one thread of BLAS.",
        describe_machine(),
        "## Processor seconds",
        "\n".join(table(["group", "seconds", "tests"], rows)),
        f"All chapters together: {chapters:.0f} processor seconds; at most {CHAPTERS_LIMIT} are wanted: "
        f"{verdict(chapters <= CHAPTERS_LIMIT)}.",
        "## By the clock",
        f"With a worker for each of {psutil.cpu_count()} processors, without lint and set-up: `make test` {quick / 60:.1f} minutes, "
        f"`make test-elsewhere` {elsewhere / 60:.1f}.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
