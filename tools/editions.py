"""The book for a class in two editions: a student's, without any solution, and one for whoever teaches, with each exercise solved.

    python3 tools/editions.py student        build/editions/student      (`make student`)
    python3 tools/editions.py solutions      build/editions/solutions    (`make solutions`)

An edition is a folder of notebooks without outputs, the glossary beside them. Solutions stand in the cards of the chapters, in
their last folds, and from there they are taken out, or put into the cells. What the checks compare with is not in these folders: it
is a part of the library, which a student's Python has, and whose source can be read. Standard library only.
"""

import argparse
import copy
import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from tools.workbook import without_outputs  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"
GLOSSARY = ROOT / "docs" / "GLOSSARY.md"
EDITIONS = ("student", "solutions")
RECORD = ".edition.json"  # what was written, by which a folder is known as one of ours, and as untouched
README = "README.md"

FOLD = re.compile(r"\n*<details><summary>Solution</summary>(.*?)</details>", re.DOTALL)
CARD = re.compile(r"^### Exercise (\d\d\.\d+)", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")

# What a chapter says of its cards, and what is so in a student's edition.
SAID = {"Hints and a solution are folded below the task.": "Hints are folded below the task."}

TOLD = {
    "student": """\
# The CLLM workbook, for a course

{n} chapters, in the order of their numbers. Each exercise has its hints and a check, which answers at once; its solution is not here.

In a Python that has the workbook's library (whoever gave you this folder says how you get it):

    python -m jupyter lab

and open `00_start_here.ipynb`. Work in these notebooks and save as you like. `python -m cllm_lib.workbook.progress . .` shows which
exercises you have solved.
""",
    "solutions": """\
# The CLLM workbook, solved

{n} chapters, with the folded solution of every exercise in its cell: for whoever teaches. Run them as they are.
""",
}


class Stop(SystemExit):
    """Something the user has to change first; its text is the one sentence they see."""


# A chapter


def number_of(card):
    """The number of the exercise whose card a text is, such as "01.3", or None."""
    found = CARD.findall(card)
    return found[-1] if found else None


def answer_of(card):
    """The folded solution of a card, as Python.

    Raises
    ------
    Stop
        If it has none.
    """
    fold = FOLD.search(card)
    code = fold and re.search(r"```python\n(.*?)```", fold[1], re.DOTALL)
    if not code:
        raise Stop(f"Exercise {number_of(card)} has no solution of this form: its last fold, with a block of Python, as CONTRIBUTING says.")
    return code[1].rstrip("\n")


def exercises(notebook):
    """Of each exercise the places of its card and of the cell with its check.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    dict of str to (int, int)
        By number, in order.
    """
    found, card = {}, None
    for place, cell in enumerate(notebook["cells"]):
        source = text_of(cell)
        if cell["cell_type"] == "markdown":
            card = place if number_of(source) else card
        elif card is not None and f'check("{number_of(text_of(notebook["cells"][card]))}"' in source:
            found[number_of(text_of(notebook["cells"][card]))], card = (card, place), None
    return found


def text_of(cell):
    """A cell's text, which may be stored line by line."""
    return "".join(cell["source"])


def solved(stub, answer):
    """A cell with an answer in the place of its stub; imports above it and what begins with the check stay.

    Parameters
    ----------
    stub, answer : str

    Returns
    -------
    str
    """
    lines = stub.split("\n")
    at = next(i for i, line in enumerate(lines) if re.search(r"\bcheck\(\"", line))
    imports = [line for line in lines[:at] if line.startswith(("import ", "from "))]
    gap = "\n\n\n" if re.search(r"^(def|class) ", answer, re.MULTILINE) else "\n\n"
    above = "\n".join(imports) + gap if imports else ""
    return above + answer + gap + "\n".join(lines[at:])


def edition(notebook, kind, names):
    """A chapter as an edition has it: without outputs, and without solutions or solved.

    Parameters
    ----------
    notebook : dict
        It is left as it is.
    kind : str
        One of EDITIONS.
    names : set of str
        The files that stand beside it: a link to any other becomes plain text.

    Returns
    -------
    dict
    """
    made = without_outputs(copy.deepcopy(notebook))
    for cell in made["cells"]:
        cell["source"] = text_of(cell)
    for card, place in exercises(made).values():
        answer = answer_of(made["cells"][card]["source"])
        if kind == "solutions":
            made["cells"][place]["source"] = solved(made["cells"][place]["source"], answer)
    for cell in made["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = linked(without_solution(cell["source"]) if kind == "student" else cell["source"], names)
    return made


def without_solution(text):
    """A text without the folds of solutions, which does not speak of them either."""
    for book, student in SAID.items():
        text = text.replace(book, student)
    return FOLD.sub("", text)


def linked(text, names):
    """A text whose links lead to files beside it, or to another host; the others are plain text."""

    def link(found):
        words, target, part = found.groups()
        target = target.removeprefix("../docs/")
        return f"[{words}]({target}{part or ''})" if "://" in target or target in names else words

    return LINK.sub(link, text)


def put_back(student, solutions):
    """A student's chapter with the solutions put back into the cells of its exercises; nothing else of it changes.

    Parameters
    ----------
    student, solutions : dict
        The same chapter of both editions; the student's may have been worked in.

    Returns
    -------
    dict

    Raises
    ------
    Stop
        If an exercise is missing in the student's.
    """
    made, answered = copy.deepcopy(student), exercises(solutions)
    there = exercises(student)
    missing = [number for number in answered if number not in there]
    if missing:
        raise Stop(f"Exercise {missing[0]} has no card and check in the student's chapter: take a fresh copy of it.")
    for number, (_, place) in answered.items():
        made["cells"][there[number][1]]["source"] = text_of(solutions["cells"][place])
    return made


# What no file of a student's may hold


def bare(text):
    """A text without any space, for comparing."""
    return re.sub(r"\s+", "", text)


def secrets(notebook):
    """What gives the solutions of a chapter away.

    Returns
    -------
    dict of str to list of str
        By exercise: of the code the longest piece that its stub has no line of, and the prose of the fold; all without spaces.
    """
    found = {}
    for number, (card, place) in exercises(notebook).items():
        text, given = text_of(notebook["cells"][card]), {bare(line) for line in text_of(notebook["cells"][place]).split("\n")}
        lines = ["\n" if line in given else line for line in map(bare, answer_of(text).split("\n")) if line]
        code = max("".join(lines).split("\n"), key=len)
        prose = bare(re.sub(r"```python\n.*?```", "", FOLD.search(text)[1], flags=re.DOTALL))
        found[number] = [piece for piece in (code, prose) if piece]
    return found


def strings(value):
    """All texts in what JSON holds, keys and metadata too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for one in value for text in strings(one))
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for one in pair for text in strings(one))


def check_bare(name, content, hidden):
    """Stop if a chapter for students holds a solution.

    Parameters
    ----------
    name : str
        Of the chapter.
    content : dict
    hidden : dict of str to list of str
        As from :func:`secrets`, of all chapters.
    """
    text = bare("".join(strings(content)))
    told = [number for number, pieces in hidden.items() if any(piece in text for piece in pieces)]
    if told or "<summary>Solution" in text:
        where = f"the solution of {told[0]}" if told else "a fold with a solution"
        raise Stop(f"{name} holds {where} outside its card's last fold, and a student's edition may not: nothing was written.")


# A folder


def chapters(folder=NOTEBOOKS):
    """The chapters of the book by name.

    Raises
    ------
    Stop
        If there are none, or one cannot be read.
    """
    found = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        try:
            found[path.name] = json.loads(path.read_text(encoding="utf-8"))
            exercises(found[path.name])
        except (OSError, ValueError, KeyError, TypeError):
            raise Stop(f"{path} is no notebook that can be read: put back the one of the book, and ask again.") from None
    if not found:
        raise Stop(f"There are no chapters in {folder}.")
    return found


def files(kind, books):
    """All files of an edition, by name, as text.

    Parameters
    ----------
    kind : str
        One of EDITIONS.
    books : dict of str to dict
        As from :func:`chapters`.

    Returns
    -------
    dict of str to str
    """
    names = {*books, GLOSSARY.name}
    made = {name: edition(book, kind, names) for name, book in books.items()}
    if kind == "student":
        hidden = {number: pieces for book in books.values() for number, pieces in secrets(book).items()}
        for name, book in made.items():
            check_bare(name, book, hidden)
    texts = {name: json.dumps(book, indent=1, ensure_ascii=False) + "\n" for name, book in made.items()}
    texts[GLOSSARY.name] = linked(GLOSSARY.read_text(encoding="utf-8"), names)
    texts[README] = TOLD[kind].format(n=len(books))
    return texts


def digest(content):
    """The SHA-256 of some bytes, as text."""
    return hashlib.sha256(content).hexdigest()


def check_own(folder, kind):
    """Stop if a folder is there that this script has not written, or in which something was changed since.

    Parameters
    ----------
    folder : Path
    kind : str
        One of EDITIONS.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not folder.exists() and not folder.is_symlink():
        return
    elsewhere = "name another folder, `--output FOLDER`, or move it away"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        written = dict(record["files"]) if record["edition"] == kind else None
    except (OSError, ValueError, KeyError, TypeError):
        written = None
    if folder.is_symlink() or written is None:
        raise Stop(f"{folder} is there, and is no {kind} edition that was written by this command: {elsewhere}.")
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir() and path.name != RECORD}
    changed = [name for name, path in sorted(there.items()) if digest(path.read_bytes()) != written.get(name)]
    if changed:
        raise Stop(f"{folder / changed[0]} was changed or added since the edition was written, and would be lost: {elsewhere}.")


def write(folder, kind, texts):
    """Write an edition whole or not at all, in the place of an earlier one.

    Parameters
    ----------
    folder : Path
    kind : str
        One of EDITIONS.
    texts : dict of str to str
        As from :func:`files`.
    """
    check_own(folder, kind)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        made, before = Path(beside) / "made", Path(beside) / "before"
        made.mkdir()
        contents = {name: text.encode("utf-8") for name, text in texts.items()}
        record = {"edition": kind, "files": {name: digest(content) for name, content in contents.items()}}
        for name, content in {**contents, RECORD: json.dumps(record, indent=1).encode("utf-8")}.items():
            (made / name).write_bytes(content)
        there = folder.exists()
        if there:
            os.replace(folder, before)
        try:
            os.replace(made, folder)
        except OSError:
            if there:
                os.replace(before, folder)
            raise


def main(words):
    """Write the edition that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=EDITIONS)
    parser.add_argument("--output", type=Path, help="a folder to write to, in place of build/editions/KIND")
    asked = parser.parse_args(words)
    folder = (asked.output or ROOT / "build" / "editions" / asked.kind).absolute()
    texts = files(asked.kind, chapters())
    try:
        write(folder, asked.kind, texts)
    except OSError as error:
        raise Stop(f"{folder} could not be written ({error.strerror}); nothing was changed.") from None
    print(f"Wrote {folder}: {len(texts) - 2} chapters, {'no solution in any' if asked.kind == 'student' else 'each exercise solved'}.")


if __name__ == "__main__":
    main(sys.argv[1:])
