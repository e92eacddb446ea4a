import math

import numpy as np
import pytest

from cllm_lib.workbook import figures


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_gradient_by_layer_draws_both():
    drawn = lines(figures.gradient_by_layer([1.0, 300.0], [1.0, 316.0], "t"))
    np.testing.assert_array_equal(drawn["measured"].get_ydata(), [1.0, 300.0])
    np.testing.assert_array_equal(drawn["predicted"].get_ydata(), [1.0, 316.0])


def test_buffer_layout_draws_every_stretch_in_its_row():
    axes = figures.buffer_layout({"embedding": [(0, 40)], "attention": [(40, 10), (70, 30)]}, "t")
    drawn = [[path.get_extents().extents.round(6).tolist() for path in row.get_paths()] for row in axes.collections]
    assert drawn == [[[0, -0.35, 40, 0.35]], [[40, 0.65, 50, 1.35], [70, 0.65, 100, 1.35]]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["embedding", "attention"]


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
