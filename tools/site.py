"""The book as a site and on paper, from the outputs that are stored: `make site` and `make pdf`.

Both run in an environment of their own (requirements-site.lock). Sphinx makes the pages (tools/site/conf.py); what it leaves out for
readers, with eyes or by ear, is put in afterwards, page by page (tools/site/pages.py); the book on paper is made of the same pages
(tools/site/paper.py). No page asks another host for anything.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
FILES = Path(__file__).resolve().with_suffix("")  # tools/site
sys.path += [str(ROOT), str(FILES)]  # this environment has not the library, which is read from its folder

import pages  # noqa: E402

from cllm_lib.workbook.progress import chapter  # noqa: E402
from tools import lite, slides  # noqa: E402

BUILD = ROOT / "build"
PLACES = ("docs", "docs/teach", "evidence/pages")  # of documents beside the chapters
FIRST_DOCS = ("GLOSSARY", "BIBLIOGRAPHY")  # the others follow by name
# Public faces, by what one meets first. Below it: names of modules that these import and that are not there when pages are made.
FACES = (
    "cllm_lib",
    "cllm_lib.text",
    "cllm_lib.model",
    "cllm_lib.training",
    "cllm_lib.instruments",
    "cllm_lib.instruments.kit",
    "cllm_lib.instruments.torch",
    "cllm_lib.defects",
    "cllm_lib.casebook",
    "cllm_lib.casebook.faults",
    "cllm_lib.lattice",
    "cllm_lib.quantization",
    "cllm_lib.pretrained",
    "cllm_lib.experiments",
    "cllm_lib.claims",
    "cllm_lib.workbook",
    "cllm_lib.workbook.exercises",
    "cllm_lib.workbook.figures",
    "cllm_lib.workbook.widgets",
)
AS_IT_RAN = "Or read on: every cell has been run, and what it printed stands below it."
FIRST_VISIT = "the first one fetches Python, 37 MB"


class Stop(SystemExit):
    """Something the user has to change first; its text is the one sentence they see."""


# What Sphinx reads


def stage(folder):
    """Put together what Sphinx reads: each document at its place in the repository, so that links between them hold.

    Parameters
    ----------
    folder : Path
        Empty; is filled.
    """
    documents = [*lite.chapters(), *(document for place in PLACES for document in documents_of(place)), ROOT / "docs" / "loss_curves.png"]
    linked = [target for document in documents if document.suffix != ".png" for target in linked_files(document)]
    for path in dict.fromkeys([*documents, *linked]):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for path in (folder / "docs" / "teach").glob("*.md"):
        path.write_text(with_slides(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    cloud = folder / "docs" / "CLOUD.md"
    if repository():
        cloud.write_text(named(cloud.read_text(encoding="utf-8"), repository()), encoding="utf-8", newline="\n")
    (folder / "api").mkdir()
    for face in FACES:
        (folder / "api" / f"{face}.md").write_text(api_page(face), encoding="utf-8", newline="\n")
    for place, caption in (("evidence/pages", "What was measured"), ("api", "The library")):
        names = map(short, FACES) if place == "api" else sorted(path.stem for path in documents_of(place))
        (folder / place / "index.md").write_text(list_page(caption, place, names), encoding="utf-8", newline="\n")
    (folder / "index.md").write_text(landing(), encoding="utf-8", newline="\n")


def documents_of(place):
    """The documents of a folder of the repository, by name; without those from which slides are made, see :func:`with_slides`."""
    return sorted(path for path in (ROOT / place).glob("*.md") if not path.name.startswith("slides_"))


def with_slides(text):
    """A text that links to the slides where it linked to what they are made of."""
    return re.sub(r"\[([^\]]+)\]\((slides_\w+)\.md\)", r'<a href="\2.html">\1</a>', text)


def repository():
    """Where the repository stands at GitHub, "owner/name", as GitHub tells the jobs that it runs; nothing elsewhere."""
    return os.environ.get("GITHUB_REPOSITORY", "")


def named(text, where):
    """A text about a repository that had no name when it was written, once it has one.

    Parameters
    ----------
    text : str
        With ``<owner>`` and ``<repository>``, and in comments what is said only while there is no name.
    where : str
        "owner/name".

    Returns
    -------
    str
    """
    owner, name = where.split("/")
    known = re.sub(r"^<!-- unnamed -->$.*?^<!-- named -->$\n", "", text, flags=re.DOTALL | re.MULTILINE)
    return known.replace("<owner>", owner).replace("<repository>", name)


def linked_files(document):
    """Files of the repository that a document links to and that are no pages of the site: they go along as they are."""
    text = document.read_text(encoding="utf-8")
    found = []
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        target = (document.parent / link).resolve()
        if target.is_file() and target.is_relative_to(ROOT) and target.suffix not in (".md", ".ipynb"):
            found.append(target)
    return found


def api_page(face):
    """The page of a public face: all that it promises. What the first one offers has its entry where it is at home."""
    also = "   :no-index:\n" if "." not in face else ""
    return f"# {face}\n\n```{{eval-rst}}\n.. automodule:: {face}\n   :members:\n   :imported-members:\n{also}```\n"


def short(face):
    """A face in a list of pages, by what comes behind the library's name."""
    return f"{face.removeprefix('cllm_lib.')} <{face}>"


LISTS = {
    "api": "What the packages of the library promise, name by name. Shapes stand in brackets, `[batch, position, width]`.",
    "evidence/pages": "Each page was written by the program that it names, with the machine and the conditions; the numbers behind it "
    "are in the folder `evidence` of the repository.",
}


def list_page(title, place, names):
    """A page that leads to others."""
    return f"# {title}\n\n{LISTS[place]}\n\n```{{toctree}}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n"


def landing():
    """The page that one meets first, in Markdown with HTML in it."""
    others = [path.stem for path in documents_of("docs") if path.stem not in FIRST_DOCS]
    there = [name for name in FIRST_DOCS if (ROOT / "docs" / f"{name}.md").is_file()]
    teaching = [f"teach/{path.stem}" for path in documents_of("docs/teach")]
    page = Template((FILES / "landing.md").read_text(encoding="utf-8"))
    return page.substitute(
        chapters="\n".join(map(chapter_item, lite.chapters())),
        hours=round(sum(chapter(book).minutes for book in lite.chapters()) / 60),
        count=len(lite.chapters()),
        copy=f"a copy of [the repository](https://github.com/{repository()})" if repository() else "a copy of the repository",
        notebooks="\n".join(f"notebooks/{book.stem}" for book in lite.chapters()),
        dashboard=escape(f"lite/{lite.dashboard_link()}"),
        documents="\n".join(f"docs/{name}" for name in [*there, *others, *teaching]),
    )


def chapter_item(book):
    """A chapter's line on the first page."""
    one, text = chapter(book), markdown_of(book)
    question = re.search(r"\*\*Question\.\*\* (.+)", text)[1]
    asked = escape(re.sub(r"\*([^*]+)\*", r"\1", question))
    minutes = re.search(r"\*\*About\*\* (\d+) minutes", text)[1]
    return (
        f'<li><span class="number">{one.number}</span> <a href="notebooks/{book.stem}.html">{escape(one.title)}</a> '
        f'<span class="minutes">about {minutes} min</span><br><span class="question">{asked}</span></li>'
    )


def markdown_of(book):
    """A chapter's texts, one after the other."""
    cells = json.loads(book.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


# The site


def build(out, bundle=None):
    """Build the site: a folder for any web server, also below a path of it, or to be opened as files.

    Parameters
    ----------
    out : Path
        Is replaced.
    bundle : Path, optional
        The book for a browser, of `make lite`; it goes along, and each chapter gets a button that runs it there.

    Raises
    ------
    Stop
        If Sphinx warns of anything, or the bundle is none.
    """
    if bundle is not None and not (bundle / "lab" / "index.html").is_file():
        raise Stop(f"{bundle} is not the book for a browser: `make lite` builds it, or leave --lite out.")
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch) / "source", Path(scratch) / "made"
        source.mkdir()
        stage(source)
        command = [
            sys.executable,
            "-m",
            "sphinx",
            "-b",
            "html",
            "-W",
            "--keep-going",
            "-q",
            "-c",
            FILES,
            "-d",
            Path(scratch) / "doctrees",
            source,
            made,
        ]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(FILES)]), "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run([str(word) for word in command], env=environment, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise Stop(f"Sphinx warned:\n{done.stderr[-8000:]}")
        finish(made, has_bundle=bundle is not None)
        slides.write(made / "docs" / "teach" / f"{slides.SOURCE.stem}.html", back="README.html")
        if bundle is not None:
            shutil.copytree(bundle, made / "lite")
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, out)


def is_current(bundle):
    """Whether the book for a browser was made of the repository as it is now."""
    made_of = bundle / lite.STATE
    return made_of.is_file() and made_of.read_text(encoding="utf-8") == lite.state()


def finish(made, has_bundle):
    """What Sphinx leaves to be done: each page for its readers, and nothing in the folder that no page needs."""
    seconds = lite.measured_seconds()
    terms = glossary()
    for path in (made / "_static").rglob("*.html"):  # the theme's own templates
        path.unlink()
    for path in sorted(made.rglob("*.html")):
        name = path.relative_to(made).as_posix()
        run = run_line(path.stem, seconds, has_bundle) if name.startswith("notebooks/") else ""
        home = "../" * name.count("/")
        known = terms_before(path.stem, terms) if run else []
        page = pages.finished(path.read_text(encoding="utf-8"), run=run, terms=known, home=home, has_bundle=has_bundle)
        path.write_text(page, encoding="utf-8", newline="\n")
    for name in (".buildinfo", "objects.inv"):
        (made / name).unlink(missing_ok=True)
    for path in {*made.rglob("*.map"), *made.rglob("fontawesome.js*")}:
        path.unlink()


def run_line(stem, seconds, has_bundle):
    """How a chapter is run, in HTML: the button where the book for a browser is there, and how long that takes.

    Parameters
    ----------
    stem : str
        Of the chapter's file.
    seconds : dict
        Of computing in a browser, by number of chapter.
    has_bundle : bool

    Returns
    -------
    str
    """
    number = stem[:2]
    if not has_bundle:
        return (
            '<p class="run-chapter"><span>You read stored results. To run this chapter, call <code>make lab</code> '
            "in a copy of the repository.</span></p>"
        )
    here = f"../lite/lab/index.html?path={stem}.ipynb"
    if number in lite.READ_HERE:
        return f'<p class="run-chapter"><span>{escape(lite.READ_HERE[number])}</span> <a href="{here}">Open the rest here</a></p>'
    takes = f"Nothing to install: {lite.in_words(seconds.get(number))}, and {FIRST_VISIT}. {AS_IT_RAN}"
    return f'<p class="run-chapter"><a class="run-button" href="{here}">Run this chapter</a> <span>{escape(takes)}</span></p>'


def glossary():
    """The words of the glossary: each with its other forms, and the chapter that links to it.

    Returns
    -------
    list of pages.Term
    """
    text = (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8")
    firsts = {}
    for book in lite.chapters():
        for anchor in re.findall(r"GLOSSARY\.md#([^)]+)\)", markdown_of(book)):
            firsts.setdefault(anchor, book.name[:2])
    return [pages.Term(term, forms, firsts.get(pages.slug(term), "")) for term, forms in pages.terms_of(text)]


def terms_before(stem, terms):
    """The words that a chapter may take for known: those that an earlier one has linked."""
    return [term for term in terms if term.first and term.first < stem[:2]]


def main(words):
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("site", "pdf"))
    parser.add_argument("--output", type=Path, default=Path(os.environ.get("CLLM_SITE") or BUILD / "site"))
    parser.add_argument("--lite", type=Path, help="the book for a browser, by default build/lite where it is")
    asked = parser.parse_args(words)
    there = Path(os.environ.get("CLLM_LITE") or BUILD / "lite")  # where `make lite` puts it
    bundle = asked.lite or (there if there.is_dir() else None)
    build(asked.output, bundle)
    if bundle is not None and not is_current(bundle):
        print(f"{bundle} was made of another state of this repository: its chapters may be older. `make lite` first, then this once more.")
    print(f"Built {asked.output}: a folder for any web server, or to be opened as files.")
    if bundle is None:
        print("Chapters have no button that runs them: `make lite` first, then this once more.")
    if asked.what == "pdf":
        import paper

        target = asked.output.with_name("cllm-workbook.pdf")
        count = paper.write(asked.output, target, [book.stem for book in lite.chapters()])
        print(f"Printed {target}: {count} pages, {target.stat().st_size / 1e6:.0f} MB.")


if __name__ == "__main__":
    main(sys.argv[1:])
