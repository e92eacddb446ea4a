"""How long each chapter takes, and how far a reader is: `python -m cllm_lib.workbook.progress notebooks workspace`."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

WORDS_A_MINUTE = 200
SECONDS_A_CELL = 20  # to run a cell of code and look at what comes


@dataclass(frozen=True)
class Chapter:
    """A chapter as a reader meets it.

    Attributes
    ----------
    number, title : str
    words : int
        Of its texts, without what is folded away.
    minutes : float
        For reading, for running its cells, and as its exercises say of themselves.
    exercises : tuple of str
        Their numbers, in order.
    """

    number: str
    title: str
    words: int
    minutes: float
    exercises: tuple


def chapter(path):
    """Read a chapter.

    Parameters
    ----------
    path : str or path
        A notebook of the book, such as `notebooks/07_adam.ipynb`.

    Returns
    -------
    Chapter
    """
    cells = _cells(path)
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    words = len(re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL).split())
    cards = re.findall(r"^### Exercise (\d\d\.\d+).*?(\d+) minutes?", text, re.MULTILINE)
    n_code = sum(cell["cell_type"] == "code" for cell in cells)
    minutes = words / WORDS_A_MINUTE + n_code * SECONDS_A_CELL / 60 + sum(int(minutes) for _, minutes in cards)
    title = re.search(r"^# \d\d · (.+)", text, re.MULTILINE)[1]
    return Chapter(Path(path).name[:2], title, words, minutes, tuple(number for number, _ in cards))


def solved(path):
    """The exercises that passed, or whose bet was noted, when a notebook was last saved.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    set of str
        Their numbers; none of a notebook that is missing or damaged.
    """
    try:
        printed = "".join("".join(output.get("text", "")) for cell in _cells(path) for output in cell.get("outputs", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return set(re.findall(r"^(\d\d\.\d+) (?:passed|noted)\b", printed, re.MULTILINE))


def _cells(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))["cells"]


def report(notebooks, workspace):
    """A line for each chapter, and what it comes to.

    Parameters
    ----------
    notebooks : path
        The book.
    workspace : path
        The reader's copies; a chapter without one counts as not begun.

    Returns
    -------
    str
    """
    lines, all_done, all_asked, ahead, total = [], 0, 0, 0.0, 0.0
    for path in sorted(Path(notebooks).glob("[0-9][0-9]_*.ipynb")):
        one = chapter(path)
        done = solved(Path(workspace) / path.name) & set(one.exercises)
        marks = "".join("●" if number in done else "○" for number in one.exercises)
        asked = len(one.exercises)
        lines.append(f"{one.number}  {marks:8}  {len(done)} of {asked}  {one.minutes:3.0f} minutes  {one.title}")
        all_done, all_asked, total = all_done + len(done), all_asked + asked, total + one.minutes
        ahead += one.minutes * (1 - len(done) / asked)
    told = f"{all_done} of {all_asked} exercises solved; about {ahead / 60:.0f} of {total / 60:.0f} hours lie ahead."
    return "\n".join([*lines, told, "(As your chapters were saved last: a check counts once its cell has run.)"])


if __name__ == "__main__":
    print(report(*sys.argv[1:3]))
