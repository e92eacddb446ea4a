"""Prints the checklist of docs/DOCTOR.md on one page: `python tools/print_checklist.py checklist.pdf`."""

import re
import sys
from pathlib import Path

from markdown_it import MarkdownIt
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from tools.workbook import chromium  # noqa: E402

DOCTOR = ROOT / "docs" / "DOCTOR.md"
STYLE = """
body { font: 8pt/1.15 sans-serif; margin: 0 } h2 { font-size: 11pt; margin: 0 } p { margin: 2pt 0 }
table { border-collapse: collapse; width: 100% } th { text-align: left } td, th { border-bottom: 0.3pt solid #999; padding: 0.6pt 3pt }
"""


def checklist():
    """The part of the document that is printed, in Markdown: from its heading to the end of its table."""
    text = DOCTOR.read_text(encoding="utf-8")
    return re.sub(r" To print it.*", "", text[text.index("## Checklist") :].split("\n## ")[0])


def page(text):
    """A page of HTML made of Markdown."""
    body = MarkdownIt("commonmark").enable("table").render(text)
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Checklist</title><style>{STYLE}</style>{body}</html>'


def pdf(html):
    """The page on A4, landscape, with margins of 8 mm, as PDF."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        try:
            tab = browser.new_page()
            tab.set_content(html)
            margin = dict.fromkeys(("top", "right", "bottom", "left"), "8mm")
            return tab.pdf(format="A4", landscape=True, margin=margin)
        finally:
            browser.close()


def pages(document):
    """How many pages a PDF of Chromium's has."""
    return len(re.findall(rb"/Type\s*/Page\b", document))


def main(words=None):
    """Write the file that is named."""
    names = sys.argv[1:] if words is None else words
    if len(names) != 1:
        print("name one file to write to: python tools/print_checklist.py checklist.pdf", file=sys.stderr)
        return 2
    document = pdf(page(checklist()))
    Path(names[0]).write_bytes(document)
    print(f"{names[0]}: {pages(document)} page{'s' * (pages(document) != 1)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
