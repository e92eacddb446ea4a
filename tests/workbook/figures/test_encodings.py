import numpy as np
import pytest

from cllm_lib.experiments.intervals import Interval
from cllm_lib.workbook.figures.encodings import intervals, likeness_by_distance, position_maps, turned_arrows
from cllm_lib.workbook.widgets.encodings import SPEEDS, TABLES


@pytest.mark.parametrize("encoding", ["sinusoidal", "spiral", "clock", "prime"])
def test_the_maps_show_the_table_and_the_products_of_its_rows(encoding):
    first, second = position_maps(encoding, length=12, width=8)
    table = TABLES[encoding](12, 8)
    np.testing.assert_array_equal(first.images[0].get_array(), table)
    np.testing.assert_allclose(second.images[0].get_array(), table @ table.T)
    assert first.images[0].get_clim()[0] == -first.images[0].get_clim()[1]  # 0 is the middle colour


def test_likeness_begins_at_a_row_with_itself():
    axes = likeness_by_distance(["sinusoidal", "clock"], length=26, width=8)
    assert [line.get_label() for line in axes.lines] == ["sinusoidal", "clock"]
    for line in axes.lines:
        assert line.get_ydata()[0] == pytest.approx(max(line.get_ydata()))
    clock = axes.lines[1].get_ydata()
    assert clock[12] == pytest.approx(clock[0])  # the clock comes round
    assert clock[24] == pytest.approx(clock[0])


@pytest.mark.parametrize("speed", SPEEDS)
def test_moved_on_alike_two_arrows_keep_their_angle_and_product(speed):
    row = turned_arrows(query=5, key=2, later=(0, 4, 40), speed=speed)
    ends = [[np.array(line.get_xydata())[-1] for line in axes.lines[1:3]] for axes in row]
    products = [query @ key for query, key in ends]
    assert products == pytest.approx([products[0]] * 3)
    assert len({axes.get_title().split("\n")[1] for axes in row}) == 1


def test_each_interval_is_drawn_from_its_low_to_its_high_end():
    rows = {"rotary": {"here": Interval(0.7, 0.6, 0.8)}, "none": {"here": Interval(0.2, 0.1, 0.35)}}
    axes = intervals(rows, "a title", "share", {"chance": 0.25})
    drawn = [tuple(path.vertices[:, 0]) for collection in axes.collections for path in collection.get_paths()]
    assert drawn == [(0.6, 0.8), (0.1, 0.35)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rotary", "none"]
    assert axes.lines[0].get_xdata()[0] == 0.25
    assert axes.get_legend() is None


def test_two_series_have_a_legend():
    rows = {"rotary": {"here": Interval(0.7, 0.6, 0.8), "longer": Interval(0.5, 0.4, 0.6)}}
    assert [entry.get_text() for entry in intervals(rows, "a title", "share").get_legend().get_texts()] == ["here", "longer"]
