import xml.etree.ElementTree as ElementTree

from cllm_lib.workbook.widgets.svg import svg, text


def test_a_picture_is_well_formed_described_and_sized():
    picture = ElementTree.fromstring(svg('loss < 9.21 & "falling"', 300, 200, '<path d="M0,0 H5"/>', text(1.26, 2.0, "a < b", "end")))
    assert (picture.get("role"), picture.get("aria-label")) == ("img", 'loss < 9.21 & "falling"')
    assert picture.get("viewBox") == "0 0 300 200"
    assert [child.tag for child in picture] == ["path", "text"]


def test_words_stand_where_they_were_put_in_the_pages_colour():
    words = ElementTree.fromstring(text(1.26, 2.0, "a < b", "end", 9))
    assert (words.text, words.get("x"), words.get("y"), words.get("text-anchor"), words.get("font-size")) == (
        "a < b",
        "1.3",
        "2.0",
        "end",
        "9",
    )
    assert words.get("fill") == "currentColor"
