import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.workbook.widgets.svg import LETTER, LINE, labels, svg, text


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


SHARES = {"start": 0.0, "middle": 0.5, "end": 1.0}
places = st.tuples(
    st.integers(0, 300), st.integers(0, 200), st.sampled_from(["ln V 5.63", "query, 5", "x"]), st.sampled_from(sorted(SHARES))
)


def box(x, y, words, anchor):
    """Left and right end of words, and the height they stand at."""
    left = x - LETTER * len(words) * SHARES[anchor]
    return left, left + LETTER * len(words), y


def overlap(one, other):
    return one[0] < other[1] and other[0] < one[1] and abs(one[2] - other[2]) < LINE


@given(given=st.lists(places, max_size=8))
def test_labels_never_lie_on_each_other_and_move_only_upwards(given):
    drawn = [ElementTree.fromstring(label) for label in labels(given)]
    boxes = [box(float(d.get("x")), float(d.get("y")), d.text, d.get("text-anchor")) for d in drawn]
    assert not any(overlap(boxes[i], boxes[j]) for i in range(len(boxes)) for j in range(i))
    for put, found in zip(sorted(given, key=lambda place: -place[1]), boxes, strict=True):
        assert found[:2] == box(*put)[:2]
        assert found[2] <= put[1]


@given(given=st.lists(places, max_size=8))
def test_labels_that_do_not_meet_stay_where_they_are(given):
    boxes = [box(*place) for place in given]
    if not any(overlap(boxes[i], boxes[j]) for i in range(len(boxes)) for j in range(i)):
        assert labels(given) == [text(*place) for place in sorted(given, key=lambda place: -place[1])]
