import math

import numpy as np
import pytest

from cllm_lib.experiments.intervals import Interval
from cllm_lib.lattice.gauss import gauss_reduce
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import reduction as reduction_figures
from cllm_lib.workbook.widgets.reduction import steps_of


def said(axes):
    row = axes if isinstance(axes, list) else [axes]
    row[0].figure.canvas.draw()
    return "\n".join(text for each in row for text in figures.numbers_drawn(each))


def line(axes, label):
    return next(each for each in axes.lines if each.get_label() == label).get_xydata()


def test_the_plane_has_the_points_that_are_named_and_their_distances():
    axes = reduction_figures.plane([[7, 7], [5, 3]], points={"one": (1, -1)}, target=(3.0, 4.0))
    np.testing.assert_array_equal(line(axes, "_point"), [[2, 4]])
    np.testing.assert_array_equal(line(axes, "_target"), [[3, 4]])
    assert "one, distance from what is wanted: at 1" in said(axes)


def test_gauss_is_shown_once_for_each_multiple_taken():
    row = reduction_figures.gauss_pictures([[7, 7], [5, 3]])
    assert len(row) == 3
    ends = [tuple(each.get_xydata()[1].astype(np.int64)) for each in row[-1].lines if len(each.get_xdata()) == 2]
    assert ends == [tuple(vector) for vector in gauss_reduce([[7, 7], [5, 3]])[0]]
    assert "(7, 7) and (5, 3), degrees between them: at 14.04" in said(row)
    assert "(-3, 1) and (2, 4), degrees between them: at 98.13" in said(row)


def test_cells_say_for_how_many_targets_rounding_finds_the_nearest():
    row = reduction_figures.rounding_cells({"square": [[2, 0], [0, 2]], "narrow": [[2, 0], [8, 2]]}, reach=4.0, cells=40)
    assert "square: the nearest is found for 100% of the targets" in said(row)
    # u (2, 0) + v (8, 2) with u and v from -1/2 to 1/2 lies nearest to 0 where |u + 4 v| < 1/2: for a quarter of them
    assert "narrow: the nearest is found for 25% of the targets" in said(row)


@pytest.mark.parametrize("reach", [6.0, 8.0])
def test_the_share_of_targets_found_is_that_of_the_whole_plane(reach):
    bases = {"given": np.array([[7, 7], [5, 3]], dtype=np.int64), "reduced": np.array([[-3, 1], [2, 4]], dtype=np.int64)}
    targets = np.random.default_rng(0).uniform(-7, 7, (20_000, 2)) @ bases["reduced"]
    near = np.array([[a, b] for a in range(-9, 10) for b in range(-9, 10)]) @ bases["reduced"]
    words = said(reduction_figures.rounding_cells(bases, reach))
    for name, basis in bases.items():
        left = targets - np.rint(targets @ np.linalg.inv(basis)) @ basis
        share = np.mean([vector @ vector <= np.min(np.sum((vector - near) ** 2, axis=1)) + 1e-9 for vector in left])
        found = int(words.split(f"{name}: the nearest is found for ")[1].split("%")[0])
        assert abs(found - 100 * share) < 1.2


def test_the_shadow_is_that_of_gram_and_schmidt():
    axes = reduction_figures.shadow((4, 0), (1, 3))
    np.testing.assert_allclose(line(axes, "_b2*, its own")[1], [0, 3])
    np.testing.assert_allclose(line(axes, "_foot"), [[1, 0]])
    assert "mu, what b2 has of b1: at 0.25" in said(axes)


def test_the_potential_is_drawn_with_its_swaps():
    steps = steps_of("knapsack")
    axes = reduction_figures.potential_curve(steps, "Potential")
    heights = [math.log10(step.potential) for step in steps]
    np.testing.assert_allclose(line(axes, "log10 of the potential")[:, 1], heights)
    swaps = line(axes, "_swaps")
    assert [steps[int(i)].kind for i in swaps[:, 0]] == ["swap"] * 10
    assert axes.get_legend().get_texts()[0].get_text() == "swap (10 of 26 steps)"


def test_lengths_have_a_line_each():
    axes = reduction_figures.lengths_by_dimension({"short": {2: 1.0, 3: 2.0}, "long": {2: 10.0, 3: 20.0}}, "Lengths")
    np.testing.assert_array_equal(line(axes, "short"), [[2, 1], [3, 2]])
    assert axes.get_yscale() == "log"


def test_the_cliff_has_an_interval_for_each_method_and_width():
    rows = {
        "round": {8: Interval(1.0, 0.9, 1.1), 2: Interval(9.0, 8.0, 10.0)},
        "gptq": {8: Interval(1.0, 0.9, 1.1), 2: Interval(4.0, 3.0, 5.0)},
    }
    axes = reduction_figures.cliff(rows, "Cliff", "times", {"full": 1.0})
    assert "round, 2 bits: 9.000 (8.000 to 10.000)" in said(axes)
    drawn = [collection.get_segments()[0][:, 1].tolist() for collection in axes.collections]
    assert [3.0, 5.0] in drawn
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "2"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["round", "gptq"]


@pytest.mark.parametrize("basis", [[[1, 2], [2, 4]], [[1, 2]], [[1.5, 0], [0, 1]]])
def test_what_is_no_basis_gets_a_clear_error(basis):
    with pytest.raises(ValueError, match="basis"):
        reduction_figures.gauss_pictures(basis)
