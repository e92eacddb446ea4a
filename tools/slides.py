"""Slides to a chapter, as one page of HTML: `python tools/slides.py` makes build/slides/01.html of docs/teach/slides_01.md.

Slides are Markdown, with a line `---` between two. A line `{{printed: FIRST ... LAST}}` becomes what the chapter has stored, from the
line that begins with FIRST to the one that begins with LAST (or that one line alone), `{{figure: WORDS}}` the stored picture whose
text begins so. Every number that a slide says beside them has to stand in the chapter; else no page is made. The page asks no other
host for anything.
"""

import argparse
import json
import os
import re
import sys
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "teach" / "slides_01.md"
HELD = re.compile(r"^\{\{(printed|figure): (.+?)(?: \.\.\. (.+))?\}\}$", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --accent: #00588f; --quiet: #4f4f4f; --box: #f0f2f4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #16181a; --accent: #7cc4f5; --quiet: #b9bdc1; --box: #24282c }
}
* { box-sizing: border-box }
html { scroll-snap-type: y proximity; background: var(--paper); color: var(--ink) }
body { margin: 0; counter-reset: slide; font: clamp(1rem, 2.1vw, 1.7rem)/1.4 system-ui, sans-serif }
section { counter-increment: slide; min-height: 100vh; scroll-snap-align: start; position: relative; padding: 5vh 7vw 7vh;
  display: flex; flex-direction: column; justify-content: center }
section::after { content: counter(slide) " of " attr(data-of); position: absolute; right: 3vw; bottom: 2vh; font-size: 1rem;
  color: var(--quiet) }
section:focus { outline: none }
a { color: var(--accent) } .back { font-size: 1rem }
h1, h2 { color: var(--accent); line-height: 1.15; margin: 0 0 .6em } h1 { font-size: 2em } h2 { font-size: 1.5em }
p, ul, ol, pre, blockquote { margin: .4em 0 } li { margin: .15em 0 }
pre { background: var(--box); padding: .6em .8em; border-radius: .3em; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8em }
code { font-family: ui-monospace, Consolas, monospace }
blockquote { border-left: .3em solid var(--accent); padding: .1em 0 .1em .8em; font-weight: 600 }
img { max-width: 100%; max-height: 52vh; background: #ffffff; align-self: center } p:has(> img) { text-align: center }
@media (max-width: 480px) { pre { font-size: .66em } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth } }
@media print {
  @page { size: A4 landscape; margin: 12mm }
  :root { --ink: #000000; --paper: #ffffff; --accent: #003a5e; --quiet: #333333; --box: #f4f4f4 }
  .back { display: none }
  body { font-size: 15pt } section { min-height: 0; height: 180mm; padding: 0; break-after: page; break-inside: avoid }
  section:last-of-type { break-after: auto } img { max-height: 95mm }
}
"""

# The page scrolls by itself with touch and wheel; arrow keys go a slide on or back, and the address names the slide.
SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const here = () => slides.findIndex((one) => one.getBoundingClientRect().bottom > innerHeight / 2);
const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Home: -999, End: 999 };
addEventListener("keydown", (event) => {
  if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const to = slides[Math.max(0, Math.min(slides.length - 1, here() + steps[event.key]))];
  to.scrollIntoView();
  to.focus({ preventScroll: true });
  history.replaceState(null, "", "#" + to.id);
});
"""


class Stop(SystemExit):
    """Something the author has to change first; its text is the one sentence they see."""


def stored(notebook):
    """What a chapter has stored: lines that it printed, cell by cell, and its pictures.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    list of list of str
        Of each cell that printed something.
    dict of str to str
        From the text of a picture to its PNG, in Base64.
    """
    printed, pictures = [], {}
    for cell in notebook["cells"]:
        outputs = cell.get("outputs", [])
        printed.append("".join("".join(one.get("text", "")) for one in outputs).split("\n"))
        for one in outputs:
            if "image/png" in one.get("data", {}):
                pictures[one["metadata"]["image/png"]["alt"]] = "".join(one["data"]["image/png"]).replace("\n", "")
    return printed, pictures


def lines_from(printed, first, last=None):
    """Stored lines of one cell, from the one that begins with `first` to the one that begins with `last`, both with it.

    Raises
    ------
    Stop
        If no cell has them, or more than one.
    """
    found = []
    for lines in printed:
        begin = next((i for i, line in enumerate(lines) if line.startswith(first)), None)
        if begin is None:
            continue
        end = next((i for i, line in enumerate(lines) if i >= begin and line.startswith(last or first)), None)
        if end is not None:
            found.append(lines[begin : end + 1])
    if len(found) != 1:
        wanted = f"{first!r} to {last!r}" if last else f"{first!r}"
        raise Stop(f"{len(found)} cells of the chapter have printed lines from {wanted}; one was asked for: name the lines as they stand.")
    return found[0]


def picture_of(pictures, words):
    """The one picture whose text begins with these words: its text, and its PNG in Base64.

    Raises
    ------
    Stop
        If there is none, or more than one.
    """
    found = [(text, png) for text, png in pictures.items() if text.startswith(words)]
    if len(found) != 1:
        raise Stop(f"{len(found)} pictures of the chapter have a text that begins with {words!r}; one was asked for.")
    return found[0]


def numbers(text):
    """The numbers in a text, without the commas between thousands; those of a numbered list are not told."""
    text = re.sub(r"^\d+\. ", "", text, flags=re.MULTILINE)
    return [one.rstrip(",").replace(",", "") for one in NUMBER.findall(text)]


def check_numbers(slides, notebook):
    """Stop if a slide says a number that the chapter does not.

    Parameters
    ----------
    slides : str
        The Markdown, as it was written.
    notebook : dict
    """
    printed, _ = stored(notebook)
    text = "\n".join(["".join(cell["source"]) for cell in notebook["cells"]] + ["\n".join(lines) for lines in printed])
    known = {one.replace(",", "") for one in NUMBER.findall(text)} | {one.rstrip(",").replace(",", "") for one in NUMBER.findall(text)}
    known |= set(re.findall(r"\d+", text))
    unknown = [one for one in numbers(HELD.sub("", slides)) if one not in known]
    if unknown:
        raise Stop(f"A slide says {unknown[0]}, and the chapter does not: take the number from its stored outputs.")


def filled(slides, notebook):
    """The Markdown with the chapter's own lines and pictures in it.

    Parameters
    ----------
    slides : str
    notebook : dict

    Returns
    -------
    str
    """
    printed, pictures = stored(notebook)

    def fill(found):
        kind, first, last = found.groups()
        if kind == "printed":
            return "\n".join(["```", *lines_from(printed, first, last), "```"])
        text, png = picture_of(pictures, first)
        return f"![{re.sub(r'([][])', lambda bracket: chr(92) + bracket[0], text)}](data:image/png;base64,{png})"

    return HELD.sub(fill, slides)


def page(slides, back=""):
    """A page of HTML, a section a slide.

    Parameters
    ----------
    slides : str
        Markdown, filled.
    back : str
        The address of the page that leads here, for a link on the first slide.

    Returns
    -------
    str
    """
    markdown, parts = MarkdownIt("commonmark"), re.split(r"^---$", slides, flags=re.MULTILINE)
    title = re.search(r"^# (.+)", slides, re.MULTILINE)[1]
    sections = "\n".join(
        f'<section id="slide-{number}" tabindex="-1" data-of="{len(parts)}">\n{markdown.render(part)}</section>'
        for number, part in enumerate(parts, 1)
    )
    if back:
        sections = sections.replace("</section>", f'<p class="back"><a href="{escape(back)}">Back</a></p>\n</section>', 1)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n'
        f"<body><main>\n{sections}\n</main><script>{SCRIPT}</script></body></html>\n"
    )


def chapter_of(source):
    """The notebook that a file of slides belongs to, by its number."""
    number = re.fullmatch(r"slides_(\d\d)\.md", source.name)[1]
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return json.loads(path.read_text(encoding="utf-8"))


def write(target, back=""):
    """Write the page of the slides, whole or not at all.

    Parameters
    ----------
    target : Path
    back : str
        As for :func:`page`.

    Returns
    -------
    str
        What was written.
    """
    slides, notebook = SOURCE.read_text(encoding="utf-8"), chapter_of(SOURCE)
    check_numbers(slides, notebook)
    made = page(filled(slides, notebook), back)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(target.name + ".part")
    beside.write_text(made, encoding="utf-8", newline="\n")
    os.replace(beside, target)
    return made


def main(words):
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "slides" / "01.html")
    asked = parser.parse_args(words)
    made = write(asked.output)
    print(f"Wrote {asked.output}, {made.count('<section')} slides, {len(made) / 1e3:.0f} kB: open it in a browser.")


if __name__ == "__main__":
    main(sys.argv[1:])
