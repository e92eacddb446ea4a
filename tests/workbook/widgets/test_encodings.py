import base64
import io
import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from oracles import reference_row

from cllm_lib.experiments.intervals import Interval
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import encodings as position_figures
from cllm_lib.workbook.widgets import position_viewer, rotation_viewer
from cllm_lib.workbook.widgets.encodings import LENGTHS, SPEEDS, TABLES, WIDTHS, alike, arrows_svg, turned_pair


def tree(viewer):
    """The picture as a tree: it has to be well formed."""
    return ElementTree.fromstring(viewer.picture.value)


def values_of(image):
    """What a map shows: opacity is size, colour is sign."""
    pixels = imread(io.BytesIO(base64.b64decode(image.attrib["href"].split(",")[1])))
    return np.where(pixels[..., 2] > pixels[..., 0], 1, -1) * pixels[..., 3]


@pytest.mark.parametrize("encoding", TABLES)
def test_both_maps_show_the_numbers_of_the_formula(encoding):
    viewer = position_viewer(encoding, length=16, width=4)
    table = np.array([reference_row(encoding, t, 4) for t in range(16)])
    maps = [values_of(image) for image in tree(viewer).findall("image")]
    np.testing.assert_allclose(maps[0], table / np.abs(table).max(), atol=0.003)
    np.testing.assert_allclose(maps[1], table @ table.T, atol=0.003)


def test_every_choice_gives_a_picture_of_its_own():
    viewer, seen = position_viewer(), set()
    for encoding, length, width in itertools.product(TABLES, LENGTHS[:2], WIDTHS[:2]):
        viewer.encoding.value, viewer.length.value, viewer.width.value = encoding, length, width
        assert viewer.table.shape == (length, width)
        label = tree(viewer).attrib["aria-label"]
        assert f"{encoding} encoding" in label
        assert f"{length} positions as rows and {width} columns" in label
        seen.add(viewer.picture.value)
    assert len(seen) == 4 * 4


def test_the_sentence_names_the_positions_most_alike():
    viewer = position_viewer("clock", length=32, position=5)
    assert "Position <b>5</b> is most like <b>17</b> (1.00), <b>29</b> (1.00)" in viewer.sentence.value
    viewer.encoding.value = "spiral"
    assert re.search(r"most like <b>(13|18|26|31)</b>", viewer.sentence.value)


def test_alike_leaves_the_position_itself_out_and_takes_the_nearest_of_equals():
    assert [t for t, _ in alike(np.ones((5, 2)), 2)] == [1, 3, 0]


def test_alike_leaves_out_what_is_not_alike():
    assert alike(np.array([[1.0, 0.0], [0.8, 0.6], [0.04, 1.0], [-1.0, 0.0]]), 0) == [(1, 0.8)]
    assert "is like no other: dot products" in position_viewer("spiral", length=8, width=64).sentence.value


def test_what_is_chosen_from_words_has_buttons_with_names():
    for control in (position_viewer().encoding, rotation_viewer().speed):
        assert list(control.tooltips) == [f"{control.description}: {option}" for option in control.options]


def test_the_framed_row_is_that_of_the_position():
    viewer = position_viewer(length=24, position=6)
    frame = tree(viewer).findall("rect")[-1]
    assert (float(frame.attrib["y"]), float(frame.attrib["height"])) == (20 + 6 * 10 - 1, 10 + 2)


def test_a_shorter_table_takes_the_position_along():
    viewer = position_viewer(length=32, position=30)
    viewer.length.value = 8
    assert viewer.position.value == 7
    assert tuple(viewer.position.options) == tuple(range(8))
    assert "Position <b>7</b>" in viewer.sentence.value


def arrow_ends(viewer):
    paths = [path for path in tree(viewer).findall("path") if path.attrib["stroke-width"] == "3"]
    return [(np.array([float(x) for x in re.findall(r"[-\d.]+", path.attrib["d"])][2:]) - [200, 134]) * [1, -1] / 110 for path in paths]


def test_arrows_turn_with_their_own_position_only():
    viewer = rotation_viewer(query=0, key=0)
    start = arrow_ends(viewer)
    viewer.query.value = 3  # 90 degrees
    query, key = arrow_ends(viewer)
    np.testing.assert_allclose(query, [-start[0][1], start[0][0]], atol=0.002)
    np.testing.assert_allclose(key, start[1], atol=1e-9)


@pytest.mark.parametrize("speed", SPEEDS)
def test_moving_both_alike_turns_both_and_changes_neither_angle_nor_product(speed):
    viewer = rotation_viewer(7, 3, speed=speed)
    numbers = re.findall(r"<b>(-?[\d.]+)</b> degrees.*<b>(-?[\d.]+)</b>\.", viewer.sentence.value)
    before = arrow_ends(viewer)
    for later in (1, 5, 32):
        viewer.later.value = later
        assert re.findall(r"<b>(-?[\d.]+)</b> degrees.*<b>(-?[\d.]+)</b>\.", viewer.sentence.value) == numbers
        assert f"Query at <b>{7 + later}</b>, key at <b>{3 + later}</b>, 4 apart" in viewer.sentence.value
        assert np.abs(np.subtract(arrow_ends(viewer), before)).max() > 0.005
    viewer.key.value = 4
    assert re.findall(r"<b>(-?[\d.]+)</b> degrees.*<b>(-?[\d.]+)</b>\.", viewer.sentence.value) != numbers


def test_what_a_screen_reader_says_has_the_numbers():
    viewer = rotation_viewer(6, 2)
    label = tree(viewer).attrib["aria-label"]
    assert "query at position 6 and the key at position 2" in label
    assert re.search(r"from key to query \S+ degrees, product \S+", label)
    assert tree(viewer).attrib["role"] == "img"


@pytest.mark.parametrize("viewer", [position_viewer, rotation_viewer])
def test_its_text_is_the_same_each_time(viewer):
    assert repr(viewer()) == repr(viewer())
    assert "run this cell in JupyterLab" in repr(viewer())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: position_viewer("ulam"), "unknown encoding 'ulam': choose one of 'sinusoidal', 'spiral'"),
        (lambda: position_viewer(length=33), "length is 33: give one of 8, 16"),
        (lambda: position_viewer(width=3), "width is 3: give one of 2, 4"),
        (lambda: position_viewer(length=8, position=8), "position is 8"),
        (lambda: rotation_viewer(query=99), "query is 99"),
        (lambda: rotation_viewer(speed="fast"), "unknown turn 'fast'"),
    ],
)
def test_what_does_not_exist_gets_a_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_static_figures_tell_their_numbers(capsys):
    figures.show(position_figures.position_maps("clock", 13, 8), "The clock comes round.")
    figures.show(position_figures.likeness_by_distance(["clock", "spiral"]), "Twelve later it is the same hour.")
    figures.show(position_figures.turned_arrows(), "Both moved alike.")
    said = capsys.readouterr().out
    assert "dot products of its rows: the last row, 12, is largest at 0 (column 0): 1" in said
    assert "clock: from 1 to" in said
    angles = re.findall(r"query at [59], key at [26], degrees from key to query: at (\S+)", said)
    assert len(angles) == 2
    assert angles[0] == angles[1]


def test_intervals_are_drawn_where_they_lie_and_said_in_words(capsys):
    rows = {
        name: {"short": Interval(mean, mean - 0.1, mean + 0.2), "long": Interval(0.3, 0.2, 0.5)} for name, mean in (("a", 0.9), ("b", 0.5))
    }
    axes = position_figures.intervals(rows, "Which is best?", "share", {"chance": 0.25})
    figures.show(axes, "One is better.")
    said = capsys.readouterr().out
    assert "  a, short: 0.900 (0.800 to 1.100)" in said
    assert said.count("long: 0.300 (0.200 to 0.500)") == 2
    drawn = [collection.get_segments()[0][:, 0].tolist() for collection in axes.collections]
    assert [0.9 - 0.1, 0.9 + 0.2] in drawn
    assert [0.5 - 0.1, 0.5 + 0.2] in drawn
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["short", "long"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("later", [0, 3, 30])
def test_two_arrows_in_one_direction_have_names_that_do_not_lie_on_each_other(later):
    arrow = turned_pair(later, 0, 0.5)[0]
    picture = ElementTree.fromstring(arrows_svg(arrow, arrow, 5, 2))
    heights = [float(element.get("y")) for element in picture.findall("text")]
    assert len(heights) == 2
    assert abs(heights[0] - heights[1]) >= 13.9
