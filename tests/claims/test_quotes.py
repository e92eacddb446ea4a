"""Every claim of the table stands in every document its row names, word for word; and the documents are as they were written."""

import hashlib
import re

import pytest
from notebooks.books import ROOT

from cllm_lib import claims
from cllm_lib.claims import judging, quotes, registry

AS_WRITTEN = {  # SHA-256 of the files as their authors left them
    "000": "e44ed9c51568eb9630d19f5ebb4f8d999d9f28f5242c0f6e3c3e72956a051fbb",
    "001": "d66b36c21f60fbae5b23f70437766a144affe390c363f344d3f255e2ef30d63b",
    "002": "dfb4b9825419f32f10aa676a2f7e1b38dcb43a8cf36628ef94ca907b7abed780",
    "003": "a9caccdd4d5b652fc7bbd3f6a994e3a7469fdb4a3d48810e97337b8d41d2e54a",
    "004": "909c60cf16f56c0d43187408a0f5444d8b11279c9a2611405ff9e0d666a7131a",
}


@pytest.mark.parametrize("number", quotes.DOCUMENTS)
def test_the_documents_are_as_their_authors_wrote_them(number):
    written = registry.evidence_file(f"documents/{number}.txt").read_bytes().replace(b"\r\n", b"\n")  # as Git may hand it out
    assert hashlib.sha256(written).hexdigest() == AS_WRITTEN[number]


def claimed():
    registry.load_all()
    return [(chapter, name, one) for chapter, group in judging._CLAIMS.items() for name, one in group.items()]


@pytest.mark.parametrize(("chapter", "name", "one"), [pytest.param(*one, id=one[1].replace("_", " ")) for one in claimed()])
def test_each_claim_stands_in_its_documents_word_for_word(chapter, name, one):
    named = quotes.documents_of(one.source)
    assert named
    for number in named:
        assert quotes.places(one.claim, number) == sorted(quotes.places(one.claim, number))


@pytest.mark.parametrize("number", quotes.DOCUMENTS)
def test_each_document_has_its_claims(number):
    assert sum(number in quotes.documents_of(one.source) for _, _, one in claimed()) >= 5


@pytest.mark.parametrize(
    ("quotation", "number"),
    [
        ("Training loss stays constant", "000"),
        ("Startup time should reduce from ~5s to ~1s ... UI should remain responsive", "001"),
        ("Forward Pass ... 100%", "004"),  # over the bars of a table
        ("If weights are zeros: Need to fix initialization If gradients are zeros: Need", "002"),  # over the marks of a list
        ("it's just output = 2 * input", "000"),  # a mark that is no mark of a list
    ],
)
def test_what_stands_there_is_found(quotation, number):
    assert quotes.places(quotation, number)


@pytest.mark.parametrize(
    ("quotation", "number", "message"),
    [
        ("Training loss remains constant", "000", "document 000 does not say 'Training loss remains constant': quote it word for word"),
        ("UI should remain responsive ... Startup time should reduce", "001", "does not say 'Startup time should reduce' after that"),
        ("learn token relationships", "001", "document 001 does not say"),  # 000 does
        ("raining loss stays", "000", "does not say"),  # a part of a word
        ("Training loss stays constan", "000", "does not say"),
        ("training loss stays constant", "000", "does not say"),  # another letter
        ("Training loss ...  ... stays", "000", "does not say"),
        ("", "000", "does not say ''"),
    ],
)
def test_what_does_not_stand_there_is_refused(quotation, number, message):
    with pytest.raises(ValueError, match=message):
        quotes.places(quotation, number)


def test_a_part_is_looked_for_behind_the_one_before():
    once = "Date: 2024-11-22"
    assert quotes.places(once, "004")
    with pytest.raises(ValueError, match="after that"):
        quotes.places(f"{once} ... {once}", "004")


def test_words_of_ours_stand_in_brackets_behind_the_quotation(capsys):
    row = next(row for row in claims.rows("14") if row.about)
    assert row.quotation == f'"{row.claim}" [{row.about}]'
    claims.show("14")
    assert f"{row.quotation} ({row.source})\n" in capsys.readouterr().out


MUSEUM = sorted((ROOT / "cllm_lib" / "defects").glob("*.py"))


def quoted_in(path):
    """What stands in quotation marks below the headings "In the documents" of a module."""
    below = re.findall(r"In the documents\n((?: {8,}.*\n)+)", path.read_text(encoding="utf-8"))
    return [words.rstrip(",.") for text in below for words in re.findall(r'"([^"]+)"', " ".join(text.split()))]


@pytest.mark.parametrize("words", sorted({words for path in MUSEUM for words in quoted_in(path)}))
def test_the_museum_quotes_the_documents_word_for_word(words):
    assert any(words in quotes.plain(quotes.document(number)) for number in quotes.DOCUMENTS)
