import math

import numpy as np

from cllm_lib.instruments.diagnosis import HEALTHY_UPDATES, Movement
from cllm_lib.training.history import History
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import style


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_loss_curves_draw_the_numbers_they_are_given():
    axes = figures.loss_curves({"one": [3.0, 2.0, 1.5], "two": [4.0, 4.0, 4.0]}, "Title", levels={"floor": 1.25})
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["one"].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(drawn["one"].get_ydata(), [3.0, 2.0, 1.5])
    np.testing.assert_array_equal(drawn["two"].get_ydata(), [4.0, 4.0, 4.0])
    assert set(drawn["floor"].get_ydata()) == {1.25}
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("Title", "epoch", "loss (nats per token)")


def test_uniform_loss_is_drawn_by_the_function_given():
    axes = figures.uniform_loss_curve(math.log, {"a coin": 2})
    curve, mark = lines(axes)["uniform guess"], lines(axes)["a coin (V = 2)"]
    np.testing.assert_allclose(curve.get_ydata(), np.log(curve.get_xdata()))
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (2, math.log(2))


def test_bars_mark_zero_where_a_logarithm_cannot_show_it():
    axes = figures.bars({"patient": 0.0, "healthy": 0.02}, "t", "y", log=True)
    assert [bar.get_height() for bar in axes.patches] == [0.0, 0.02]
    assert [text.get_text() for text in axes.texts] == ["zero", "0.02"]


def test_repair_ladders_draw_each_order_and_mark_what_exploded():
    ladders = {"one": ("AB", [5.0, 900.0, 4.0]), "other": (["B", "A"], [5.0, 4.5, math.nan])}
    axes = figures.repair_ladders(ladders, "Title", {"unigram entropy": 4.7}, ceiling=6.0)
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["_one"].get_ydata(), [5.0, 6.0, 4.0])
    np.testing.assert_array_equal(drawn["_other"].get_ydata(), [5.0, 4.5, 6.0])
    assert [(text.get_text(), text.xy) for text in axes.texts[1:]] == [
        ("A\u2191", (1, 6.0)),
        ("B", (2, 4.0)),
        ("B", (1, 4.5)),
        ("A\u2191", (2, 6.0)),
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "other"]
    assert figures.numbers_drawn(axes) == ["  unigram entropy: at 4.7"]
    assert axes.get_title() == "Title"


def test_pair_matrix_writes_each_number_into_its_field():
    axes = figures.pair_matrix([[4.26, 900.0], [math.nan, 5.09]], "NA", "Pairs", ceiling=6.0)
    np.testing.assert_allclose(axes.images[0].get_array(), [[4.2, 6.0], [6.0, 5.0]])
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "4.2",
        (1, 0): "\u2191",
        (0, 1): "\u2191",
        (1, 1): "5.0",
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == ["N", "A"]
    assert figures.numbers_drawn(axes) == ["  Pairs: the last row, A, is largest at N (column 0): 6"]


def test_training_report_draws_both_losses_and_each_part_over_the_healthy_band():
    history = History(losses=[5.0] * 6, epoch_losses=[5.0, 4.0, 3.0], validation_losses={2: 5.5, 6: 4.5})
    moved = [Movement("embedding", 1.0, 2e-3), Movement("layer 0", 1.0, 0.5), Movement("output", 0.0, math.nan), Movement("x", 0.0, 0.0)]
    left, right = figures.training_report(history, 2, {"ln V": 6.0}, moved)
    np.testing.assert_array_equal(lines(left)["training"].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(lines(left)["training"].get_ydata(), [5.0, 4.0, 3.0])
    np.testing.assert_array_equal(lines(left)["held out"].get_xdata(), [1, 3])
    np.testing.assert_array_equal(lines(left)["held out"].get_ydata(), [5.5, 4.5])
    assert set(lines(left)["ln V"].get_ydata()) == {6.0}
    points = {name: (line.get_xdata()[0], line.get_ydata()[0]) for name, line in lines(right).items()}
    assert points == {"embedding": (0, 2e-3), "layer 0": (1, 0.5)}  # what was all 0, or stood still, has no point
    assert [label.get_text() for label in right.get_xticklabels()] == ["embedding", "layer\n0", "output", "x"]
    assert (right.patches[0].get_y(), right.patches[0].get_y() + right.patches[0].get_height()) == HEALTHY_UPDATES
    assert (right.get_yscale(), left.get_xlabel(), right.get_ylabel()) == ("log", "epoch", "update ratio")
    assert figures.numbers_drawn(right) == ["  embedding: at 0.002", "  layer 0: at 0.5"]


def test_training_report_before_any_epoch_ends_is_still_a_figure(capsys, monkeypatch):
    monkeypatch.setattr(style, "display", lambda picture: None)
    figures.show(figures.training_report(History(losses=[5.0]), 4, {"ln V": 6.0}, []), "Nothing yet.")
    assert capsys.readouterr().out == "What to see: Nothing yet.\n  ln V: at 6\n"
