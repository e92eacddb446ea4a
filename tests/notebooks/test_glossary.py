"""The glossary: every link from a chapter finds its word, every word is linked from where the book needs it first."""

import re

from notebooks.books import NAMES, ROOT, read

GLOSSARY = (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^### (.+)$", GLOSSARY, re.MULTILINE)


def anchor(term):
    """As the sites that show Markdown make it of a heading."""
    return re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-")


def links():
    """All links of the chapters into the glossary, in the order of the book."""
    texts = (cell.source for name in NAMES for cell in read(name).cells if cell.cell_type == "markdown")
    return [link for text in texts for link in re.findall(r"\[[^\]]+\]\(\.\./docs/GLOSSARY\.md#([^)]+)\)", text)]


def test_every_word_is_linked_once():
    assert sorted(links()) == sorted(map(anchor, TERMS))


def test_every_word_is_there_once_and_is_explained():
    assert len(set(map(anchor, TERMS))) == len(TERMS)
    for entry in re.split(r"^### ", GLOSSARY, flags=re.MULTILINE)[1:]:
        term, _, explained = entry.partition("\n")
        assert 5 < len(explained.split("\n## ")[0].split()) < 60, term
