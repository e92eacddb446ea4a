"""Where the seconds of the tests go: `python -m benchmarks.suite` writes evidence/pages/SUITE.md in a quarter of an hour.

Each chapter runs alone, and the seconds that processors spend on it are counted, of pytest and of its kernel: wall time
depends on how many share the work. Then the two commands of CI run as they do there, and their tests are added up.
"""

import collections
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import psutil

from benchmarks.run import describe_machine, say, table, verdict
from cllm_lib.files import shipped, write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = shipped("evidence", "pages/SUITE.md")
CHAPTERS_LIMIT = 400  # processor seconds, of all chapters together
COMMANDS = {"make test": [], "make test-elsewhere": ["-m", "elsewhere and not slow", "tests"]}


def chapters():
    """The path of every chapter, by name."""
    return {path.stem: f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def processor_seconds(*arguments):
    """The seconds that processors spend on a run of pytest in one worker, and how many tests passed.

    Raises
    ------
    RuntimeError
        If a test fails: then the seconds say nothing.
    """
    before = os.times()
    printed = _pytest("-n", "0", *arguments)
    after = os.times()
    passed = re.search(r"(\d+) passed", printed)
    return after.children_user + after.children_system - before.children_user - before.children_system, int(passed[1]) if passed else 0


def group_of(test):
    """What a test counts as on the page: its folder under tests/, "notebooks", or "beside the folders"."""
    parts = test.split(".")
    if parts[0] == "notebooks":
        return "notebooks, under nbval"
    return f"tests/{parts[1]}" if not parts[1].startswith("test_") else "tests, beside the folders"


def seconds_by_group(report):
    """Seconds and tests of each group, from a report in JUnit's form.

    Parameters
    ----------
    report : str
        XML.

    Returns
    -------
    dict of str to (float, int)
    """
    seconds, tests = collections.Counter(), collections.Counter()
    for case in ElementTree.fromstring(report).iter("testcase"):
        group = group_of(case.get("classname"))
        seconds[group] += float(case.get("time"))
        tests[group] += 1
    return {group: (taken, tests[group]) for group, taken in seconds.most_common()}


def measured_command(arguments):
    """Wall seconds of a command of CI, and its tests' seconds by group."""
    with tempfile.TemporaryDirectory() as folder:
        report, start = Path(folder) / "report.xml", time.perf_counter()
        _pytest(f"--junitxml={report}", *arguments)
        return time.perf_counter() - start, seconds_by_group(report.read_text(encoding="utf-8"))


def _pytest(*arguments):
    command = [sys.executable, "-m", "pytest", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def page(by_chapter, by_command, minutes):
    """The whole of SUITE.md.

    Parameters
    ----------
    by_chapter : dict of str to (float, int)
        Processor seconds and cells of each chapter.
    by_command : dict of str to (float, dict)
        What :func:`measured_command` gave for each command.
    minutes : float
        Of the whole measurement.
    """
    total = sum(seconds for seconds, _ in by_chapter.values())
    parts = [
        "# Where the seconds of the tests go",
        f"Written by `python -m benchmarks.suite` in {minutes:.0f} minutes.",
        describe_machine(),
        "## Chapters, each alone: seconds of processors, one thread of BLAS",
        _rows(["chapter", "seconds", "cells"], by_chapter),
        f"All chapters together: {total:.0f} seconds; at most {CHAPTERS_LIMIT} are wanted: {verdict(total <= CHAPTERS_LIMIT)}.",
    ]
    for name, (wall, groups) in by_command.items():
        parts += [
            f"## `{name}`: {wall / 60:.1f} minutes by the clock, lint and set-up left out",
            f"A worker for each of {psutil.cpu_count()} processors; seconds of the workers:",
            _rows(["group", "seconds", "tests"], groups),
        ]
    return "\n\n".join(parts) + "\n"


def _rows(header, measured):
    return "\n".join(table(header, [[name, f"{seconds:.0f}", f"{count:,}"] for name, (seconds, count) in measured.items()]))


def main():
    """Measure every chapter, then the commands, and write the page."""
    start, by_chapter, by_command = time.perf_counter(), {}, {}
    for name, path in chapters().items():
        by_chapter[name] = processor_seconds(path)
        say(f"{name}: {by_chapter[name][0]:.0f} s")
    for name, arguments in COMMANDS.items():
        by_command[name] = measured_command(arguments)
        say(f"{name}: {by_command[name][0]:.0f} s")
    write_atomically(RESULTS, page(by_chapter, by_command, (time.perf_counter() - start) / 60).encode("utf-8"))


if __name__ == "__main__":
    main()
