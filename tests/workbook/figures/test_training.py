import math

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.instruments.diagnosis import HEALTHY_UPDATES, Movement
from cllm_lib.training.history import History
from cllm_lib.training.optimizers import SGD
from cllm_lib.training.ravine import ravine_loss, ravine_path
from cllm_lib.workbook.figures import training as figures


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


def test_curves_differ_in_more_than_colour():
    drawn = lines(figures.loss_curves({str(i): [1.0, 2.0] for i in range(5)}, "t"))
    looks = {(line.get_linestyle(), line.get_marker()) for line in drawn.values()}
    assert len(looks) == 5


def test_uniform_loss_is_drawn_by_the_function_given():
    axes = figures.uniform_loss_curve(math.log, {"a coin": 2})
    curve, mark = lines(axes)["uniform guess"], lines(axes)["a coin (V = 2)"]
    np.testing.assert_allclose(curve.get_ydata(), np.log(curve.get_xdata()))
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (2, math.log(2))


def test_bars_mark_zero_where_a_logarithm_cannot_show_it():
    axes = figures.bars({"patient": 0.0, "healthy": 0.02}, "t", "y", log=True)
    assert [bar.get_height() for bar in axes.patches] == [0.0, 0.02]
    assert [text.get_text() for text in axes.texts] == ["zero", "0.02"]


def test_gradient_by_layer_draws_both():
    drawn = lines(figures.gradient_by_layer([1.0, 300.0], [1.0, 316.0], "t"))
    np.testing.assert_array_equal(drawn["measured"].get_ydata(), [1.0, 300.0])
    np.testing.assert_array_equal(drawn["predicted"].get_ydata(), [1.0, 316.0])


def test_buffer_layout_draws_every_stretch_in_its_row():
    axes = figures.buffer_layout({"embedding": [(0, 40)], "attention": [(40, 10), (70, 30)]}, "t")
    drawn = [[path.get_extents().extents.round(6).tolist() for path in row.get_paths()] for row in axes.collections]
    assert drawn == [[[0, -0.35, 40, 0.35]], [[40, 0.65, 50, 1.35], [70, 0.65, 100, 1.35]]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["embedding", "attention"]


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_any_changed_number_changes_the_text_below_the_figure(position):
    losses = [9.0, 5.0, 3.0, 1.0]
    text = figures.numbers_drawn(figures.loss_curves({"loss": losses}, "t"))
    losses[position] += 0.01
    assert figures.numbers_drawn(figures.loss_curves({"loss": losses}, "t")) != text


def test_show_prints_caption_and_numbers_and_displays_a_described_picture(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", shown.append)
    figures.show(figures.loss_curves({"loss": [2.0, 1.0]}, "t"), "It falls.")
    assert capsys.readouterr().out == "What to see: It falls.\n  loss: from 2 to 1, mean 1.5\n"
    assert shown[0].data[:4] == b"\x89PNG"
    assert shown[0].alt == "It falls."


def test_pictures_are_the_same_bytes_twice():
    def draw():
        import io

        buffer = io.BytesIO()
        figures.loss_curves({"loss": [2.0, 1.0]}, "t").figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    assert draw() == draw()


def luminance(colour):
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [figures.BLUE, figures.VERMILION, figures.GREEN, figures.BLACK])
def test_colours_of_single_marks_stand_out_from_the_ground(colour):
    """WCAG 2.1, 1.4.11: graphics need a contrast of 3 to 1."""
    assert 1.05 / (luminance(colour) + 0.05) >= 3.0


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
    monkeypatch.setattr(figures, "display", lambda picture: None)
    figures.show(figures.attention_maps({"x": np.eye(2), "y": np.eye(2)}, ["a", "b"]), "Diagonals.")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["What to see", "  x", "  y"]


def test_ravine_draws_paths_and_their_losses():
    paths = {"sgd": ravine_path(SGD(0.03)), "diverging": ravine_path(SGD(0.1))}
    above, below = figures.ravine(paths, 30.0, "Title")
    drawn = lines(above)
    np.testing.assert_array_equal(drawn["_sgd"].get_xdata(), paths["sgd"][:, 0])
    np.testing.assert_array_equal(drawn["_sgd"].get_ydata(), paths["sgd"][:, 1])
    assert np.nanmax(np.abs(drawn["_diverging"].get_ydata())) < 50  # the rest is far outside
    for name, path in paths.items():
        np.testing.assert_array_equal(lines(below)[name].get_ydata(), ravine_loss(path, 30.0))
    assert [text.split(":")[0] for text in figures.numbers_drawn(below)] == ["  sgd", "  diverging"]
    assert figures.numbers_drawn(above) == []
    assert (above.get_aspect(), below.get_yscale(), above.get_title()) == (1.0, "log", "Title")


def test_a_path_out_of_all_numbers_is_still_a_figure(capsys, monkeypatch):
    monkeypatch.setattr(figures, "display", lambda picture: None)
    figures.show(figures.ravine({"wild": ravine_path(SGD(1e3))}, 25.0, "t"), "It leaves.")
    assert "wild: from 20.5 to" in capsys.readouterr().out


def test_gradient_scatter_draws_the_pairs_over_the_diagonal():
    axes = figures.gradient_scatter([2.0, -4.0, 6.0], [1.0, -2.0, 3.0], "t")
    diagonal, points = axes.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_array_equal(points.get_xdata(), [1.0, -2.0, 3.0])
    np.testing.assert_array_equal(points.get_ydata(), [2.0, -4.0, 6.0])
    assert points.get_label() == "3 entries: factor 2.000, angle 0.0 degrees"


@pytest.mark.parametrize("analytic", [[0.0, 0.0], [np.nan, 1.0]])
def test_gradient_scatter_of_nothing_or_of_no_numbers(analytic):
    axes = figures.gradient_scatter(analytic, [0.0, 0.0], "t")
    assert axes.lines[1].get_label() == "2 entries: no slope stands out from rounding"


def test_error_against_step_draws_prediction_and_measurement():
    steps, errors = [1e-1, 1e-2], [1e-2, 1e-4]
    axes = figures.error_against_step({"measured": (steps, errors)}, {"predicted": (steps, [2e-2, 2e-4])}, "t")
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["measured"].get_ydata(), errors)
    np.testing.assert_array_equal(drawn["predicted"].get_ydata(), [2e-2, 2e-4])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_angles_leave_out_what_has_no_direction():
    axes = figures.angles_on_the_way_back({"a": [0.0, math.nan, 90.0]}, ["norm", "value", "embedding"], "t")
    np.testing.assert_array_equal(lines(axes)["a"].get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(lines(axes)["a"].get_ydata(), [0.0, math.nan, 90.0])
    assert figures.numbers_drawn(axes)[-1] == "  a: from 0 to 90, mean 45"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["norm", "value", "embedding"]


@pytest.mark.parametrize(("batch", "time", "width", "inner", "words"), [(2, 5, 8, 16, 10), (3, 4, 6, 7, 11)])
def test_computation_graph_shows_the_shapes_of_the_run(batch, time, width, inner, words):
    model = CLLM(CLLMConfig(words, d_model=width, n_layers=1, n_heads=2, d_ff=inner, seq_len=time))
    tokens = np.random.default_rng(0).integers(words, size=(batch, time))
    texts = [text.get_text() for text in figures.computation_graph(model, tokens, tokens).texts]
    assert f"look up\n{batch}×{time}×{width}\nE {words}×{width}" in texts
    assert f"expand\n{batch}×{time}×{inner}\nW {width}×{inner}\nb {inner}" in texts
    assert f"d expand\n{batch}×{time}×{inner}\nd W {width}×{inner}\nd b {inner}" in texts
    assert f"d look up\n{batch}×{time}×{width}\nd E {words}×{width}\nsum of 4" in texts  # query, key, value, residual
    assert "loss\n1 number" in texts


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
    monkeypatch.setattr(figures, "display", lambda picture: None)
    figures.show(figures.training_report(History(losses=[5.0]), 4, {"ln V": 6.0}, []), "Nothing yet.")
    assert capsys.readouterr().out == "What to see: Nothing yet.\n  ln V: at 6\n"


@pytest.mark.parametrize(("sizes", "common"), [((230, 180), 157), ((50, 50), 0), ((100, 20), 20), ((30, 90), 1), ((40, 40), 40)])
def test_two_sets_are_drawn_true_to_size(sizes, common):
    first, second = np.arange(sizes[0], dtype=np.int64), np.arange(sizes[0] - common, sizes[0] - common + sizes[1], dtype=np.int64)
    axes = figures.two_sets(first, second, ("one", "two"), "Title", ("a note", ""))
    circles = [patch for patch in axes.patches if hasattr(patch, "radius")]
    x, y = np.meshgrid(np.linspace(-2, 4, 1500), np.linspace(-2, 2, 1000))  # counted, where the figure has a formula
    inside = [np.hypot(x - circle.center[0], y) < circle.radius for circle in circles]
    unit = inside[int(sizes[1] > sizes[0])].sum() / max(sizes)
    measured = [np.sum(area) / unit for area in (inside[0], inside[1], inside[0] & inside[1])]
    np.testing.assert_allclose(measured, [*sizes, common], atol=0.01 * max(sizes))
    assert figures.numbers_drawn(axes) == [
        f"  {name}: {size}, of them {size - common} in no other" for name, size in zip(("one", "two"), sizes, strict=True)
    ]
    assert f"only here: {sizes[0] - common}\na note" in [text.get_text() for text in axes.texts]
