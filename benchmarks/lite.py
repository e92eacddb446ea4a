"""How long does a chapter compute in a browser? `python -m benchmarks.lite` runs all that run there, `... lite 00 09` these two.

The bundle of `make lite` is opened in Chromium, a chapter in a browser of its own, and run from its first cell to its last.
What is stored is what the processors of the browser spent: wall time depends on who shares the machine. The start page says
it, roughly. Numbers go to evidence/measured/lite.json; those of chapters that were not asked for stay.

`--node` runs the same Python in Node, without a page, and takes no number unless all that is printed is as stored.

Beside a number stands how busy the machine was, `load`: other programs slow processors that they share down, too.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.run import describe_machine, say
from cllm_lib.files import shipped, write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = shipped("evidence", "measured/lite.json")
COMMAND = "python -m benchmarks.lite"


if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))  # what opens and runs chapters in a browser is the tests' own


def driver():
    """What opens and runs chapters in a browser."""
    from browser import lites

    return lites


def measured(address, name):
    """Processor seconds of a browser: until Python has started, and for all cells after that.

    Parameters
    ----------
    address : str
        Of the start page.
    name : str
        Of a chapter's file.

    Returns
    -------
    dict

    Raises
    ------
    RuntimeError
        If a cell fails: then the seconds say nothing.
    """
    lites = driver()
    with lites.offline_page() as (page, _):
        before = lites.processor_seconds()
        lites.open_chapter(page, address, name)
        ready = lites.processor_seconds()
        executed = lites.run_all(page)
        done = lites.processor_seconds()
    for cell in executed.cells:
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            raise RuntimeError(f"{name}: a cell fails in the browser:\n{cell.source}")
    return {"start_cpu_seconds": round(ready - before, 1), "cpu_seconds": round(done - ready, 1), "under": "Chromium"}


def measured_in_node(name):
    """Processor seconds of Node, its start among them.

    Raises
    ------
    RuntimeError
        If a cell says or shows what is not stored.
    """
    from wasm import chapters

    before = os.times()
    with tempfile.TemporaryDirectory() as folder:
        different = chapters.differences(name, chapters.run_chapter(name, Path(folder)))
    after = os.times()
    if different:
        raise RuntimeError(f"{name} in Node: " + "; ".join(different))
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"cpu_seconds": round(spent, 1), "under": "Node"}


def load():
    """How many programs computed at the same time, this one among them: the mean of the last five minutes, where the system counts it."""
    return {"load": round(os.getloadavg()[1], 1)} if hasattr(os, "getloadavg") else {}


def merged(old, found, machine):
    """What is stored: the new numbers, and of other chapters the old ones."""
    chapters = dict(old.get("chapters", {}), **found)
    return dict(old, command=COMMAND, machine=machine, chapters=dict(sorted(chapters.items())))


def stored():
    """What was stored before."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


def main():
    """Measure the chapters that are asked for, each stored when it is done."""
    lites = driver()
    failed = []
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", help="numbers, such as 00 09; without any, all that run in a browser")
    parser.add_argument("--bundle", type=Path, default=lites.lite.BUILD / "lite", help="what `make lite` has built")
    parser.add_argument("--node", action="store_true", help="in Node, without a page")
    options = parser.parse_args()
    with contextlib.nullcontext() if options.node else lites.served(options.bundle) as address:
        for book in lites.lite.chapters():
            number = book.name[:2]
            if number in lites.lite.READ_HERE or (options.chapters and number not in options.chapters):
                continue
            try:
                found = measured_in_node(book.stem) if options.node else measured(address, book.name)
            except RuntimeError as error:
                failed.append(number)
                say(f"{number}: not taken. {error}")
                continue
            found |= load()
            say(f"{number}: {found}")
            content = merged(stored(), {number: found}, describe_machine())
            write_atomically(RESULTS, (json.dumps(content, indent=1) + "\n").encode())
    if failed:
        raise SystemExit(f"not taken: {', '.join(failed)}")


if __name__ == "__main__":
    main()
