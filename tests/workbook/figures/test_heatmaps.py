import numpy as np
import pytest

from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import style


def test_attention_maps_draw_the_weights_and_print_where_the_last_query_looks():
    first, second = np.eye(3), np.tri(3) / [[1], [2], [3]]
    row = figures.attention_maps({"before": first, "after": second}, ["a", "b", "c"])
    for axes, weights in zip(row, (first, second), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), weights)
        assert axes.images[0].get_clim() == (0.0, 1.0)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert row[0].get_ylabel() == "query: who looks"
    assert figures.numbers_drawn(row[0]) == ["  before: the last row, c, is largest at c (column 2): 1"]
    assert figures.numbers_drawn(row[1]) == ["  after: the last row, c, is largest at a (column 0): 0.33"]


def test_weights_outside_zero_and_one_widen_the_scale_of_colours():
    axes = figures.attention_map([[1.5, -0.5], [0.5, 0.5]], ["a", "b"], "t")
    assert axes.images[0].get_clim() == (-0.5, 1.5)


def test_a_map_of_another_shape_gets_a_clear_error():
    with pytest.raises(ValueError, match=r"the map 't' has shape \(2, 3, 3\), and there are 3 words"):
        figures.attention_map(np.zeros((2, 3, 3)), ["a", "b", "c"], "t")


def test_show_prints_the_numbers_of_every_map(capsys, monkeypatch):
    monkeypatch.setattr(style, "display", lambda picture: None)
    figures.show(figures.attention_maps({"x": np.eye(2), "y": np.eye(2)}, ["a", "b"]), "Diagonals.")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["What to see", "  x", "  y"]
