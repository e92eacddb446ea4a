"""The book on paper: the pages of the site as one document, which Chromium prints."""

import os
import re
from html import escape
from io import BytesIO
from pathlib import Path, PurePosixPath
from string import Template

from bs4 import BeautifulSoup
from pages import parsed

from tools.workbook import chromium

STYLE, TEMPLATE = (Path(__file__).resolve().with_name(name) for name in ("paper.css", "paper.html"))
PATIENCE = 300_000  # milliseconds, for the browser
FOLDED = ("Hint", "Solution")  # what a fold's title begins with that goes to the end of the book
BEHIND = ("GLOSSARY", "BIBLIOGRAPHY")  # documents that follow the chapters
MARGINS = {"top": "16mm", "bottom": "18mm", "left": "18mm", "right": "18mm"}
FOOTER = '<div style="width: 100%; font: 8pt sans-serif; text-align: center"><span class="pageNumber"></span></div>'


def write(site, target, stems):
    """Print the book.

    Parameters
    ----------
    site : Path
        Of tools/site.py.
    target : Path
        The PDF, written whole or not at all.
    stems : list of str
        The chapters, in order.

    Returns
    -------
    int
        How many pages it has.
    """
    names = [f"notebooks/{stem}" for stem in stems] + [f"docs/{name}" for name in BEHIND if (site / "docs" / f"{name}.html").is_file()]
    parts = {identity(name): (site / f"{name}.html").read_text(encoding="utf-8") for name in names}
    book = assembled(parts)
    document = printed(site, with_page_numbers(book, first_pages(printed(site, book))))
    beside = target.with_name(target.name + ".part")
    beside.write_bytes(document)
    os.replace(beside, target)
    return count_pages(document)


def identity(name):
    """By which a page is linked inside the book, such as "notebooks/07_adam": "c-07_adam"."""
    return "c-" + PurePosixPath(name).name


# The document


def assembled(parts):
    """One HTML document of the pages of the site.

    Parameters
    ----------
    parts : dict of str to str
        The HTML of each page, by its identity, in order.

    Returns
    -------
    str
        Its contents have no page numbers yet.
    """
    sections, appendix = {}, []
    for name, html in parts.items():
        article = BeautifulSoup(html, "html.parser").select_one("article")
        clean(article)
        relink(article, name, parts)
        appendix += unfold(article, name)
        article.name = "section"
        article.attrs = {"id": name}
        sections[name] = article
    behind = [name for name in sections if name.removeprefix("c-") in BEHIND]
    titles = {name: section.find("h1").get_text() for name, section in sections.items()}
    order = [*(name for name in sections if name not in behind), "c-appendix", *behind]
    titles["c-appendix"] = "Hints and solutions"
    sections["c-appendix"] = f'<section id="c-appendix"><h1>Hints and solutions</h1>{"".join(appendix)}</section>'
    contents = "".join(contents_line(name, titles[name]) for name in order)
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(style=STYLE.read_text(encoding="utf-8"), contents=contents, body="".join(str(sections[name]) for name in order))


def contents_line(name, title):
    """A line of the contents; its number comes later."""
    return f'<li><a href="#{name}">{escape(title)}</a> <span class="page" data-for="{name}">000</span></li>'


def clean(article):
    """Take out what only a screen can use."""
    for part in article.select(".run-chapter, a.headerlink, .only-read, .prev-next-footer, script, style, button"):
        part.decompose()
    for link in article.select("a.larger, a.term"):
        link.unwrap()
    for image in article.find_all("img"):
        image.attrs.pop("loading", None)
        image["src"] = re.sub(r"^(\.\./)+", "", image["src"])


def relink(article, name, parts):
    """Links inside the book lead to its pages, links to the world stay, and all others become text."""
    for element in article.find_all(id=True):
        element["id"] = f"{name}--{element['id']}"
    for link in article.find_all("a", href=True):
        page, _, fragment = link["href"].partition("#")
        there = identity(page.removesuffix(".html")) if page else name
        if re.match(r"https?://", link["href"]):
            continue
        if there in parts:
            link["href"] = f"#{there}--{fragment}" if fragment else f"#{there}"
        else:
            link.unwrap()


def unfold(article, name):
    """Move hints and solutions out of a chapter, and open all other folds.

    Parameters
    ----------
    article : bs4.Tag
        Is changed.
    name : str
        Its identity.

    Returns
    -------
    list of str
        What goes to the end of the book, in HTML.
    """
    moved = {}
    for fold in article.find_all("details"):
        summary = fold.find("summary").extract()
        title = summary.get_text(strip=True)
        if title.startswith(FOLDED):
            place = fold.find_parent("section", id=True)["id"]
            if place not in moved:
                fold.insert_before(*parsed(f'<p class="pointer"><a href="#{place}--folded">Hints and solution</a></p>'))
            heading = fold.find_previous(["h2", "h3"]).get_text()
            moved.setdefault(place, (heading, []))[1].append(f"<h4>{escape(title)}</h4>{fold.decode_contents()}")
            fold.decompose()
        else:
            fold.name, fold.attrs = "div", {"class": "opened"}
            fold.insert(0, parsed(f"<p><strong>{escape(title)}</strong></p>")[0])
    made = [f'<h2><a href="#{name}">{escape(article.find("h1").get_text())}</a></h2>'] if moved else []
    for place, (heading, folds) in moved.items():
        made.append(f'<div id="{place}--folded"><h3><a href="#{place}">{escape(heading)}</a></h3>{"".join(folds)}</div>')
    return made


def with_page_numbers(book, pages):
    """The same document with the contents filled in.

    Parameters
    ----------
    book : str
    pages : dict of str to int
        By identity.

    Returns
    -------
    str
    """
    return re.sub(r'(data-for="([^"]+)">)000', lambda found: f"{found[1]}{pages[found[2]]}", book)


# Printing


def printed(site, book):
    """The document as Chromium prints it: a PDF with marks for its headings and the pictures' texts."""
    from playwright.sync_api import sync_playwright

    page_file = site / "paper.html"  # beside its pictures
    page_file.write_text(book, encoding="utf-8", newline="\n")
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page()
            tab.set_default_timeout(PATIENCE)
            tab.goto(page_file.as_uri())
            look = {"format": "A4", "margin": MARGINS, "display_header_footer": True, "header_template": "<span></span>"}
            return tab.pdf(**look, footer_template=FOOTER, tagged=True, outline=True)
    finally:
        page_file.unlink()


def count_pages(document):
    """How many pages a PDF has."""
    from pypdf import PdfReader

    return len(PdfReader(BytesIO(document)).pages)


def first_pages(document):
    """On which page each part of the book begins, counted from 1.

    Parameters
    ----------
    document : bytes
        A PDF.

    Returns
    -------
    dict of str to int
        By identity.
    """
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(document))
    found = reader.named_destinations
    return {name.removeprefix("/"): reader.get_destination_page_number(place) + 1 for name, place in found.items()}
