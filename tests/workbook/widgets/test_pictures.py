import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.instruments.diagnosis import Movement
from cllm_lib.training.history import History
from cllm_lib.workbook.widgets import pictures
from cllm_lib.workbook.widgets.pictures import POINTS, loss_svg, movements_svg, thinned

numbers = st.lists(st.floats(0.0, 20.0) | st.just(math.nan), max_size=3 * POINTS)


@given(losses=numbers, window=st.integers(1, 50))
def test_a_thinned_curve_keeps_the_mean_and_the_length(losses, window):
    steps, means = thinned(losses, window)
    finite = [loss for loss in losses if math.isfinite(loss)]
    assert len(steps) == len(means) <= POINTS
    if finite:
        assert steps[-1] == len(finite)
        sizes = np.diff([0, *steps])
        assert np.dot(sizes, means) == pytest.approx(sum(finite), abs=1e-9)


def test_a_curve_is_drawn_where_its_numbers_lie():
    history = History(losses=[8.0, 4.0, 2.0], validation_losses={2: 6.0})
    picture = ElementTree.fromstring(loss_svg(history, 1, {"ln V": 8.0}))
    assert picture.get("aria-label") == "Loss after 3 steps: training 2.000, validation 6.000; known beforehand: ln V 8.00"
    points = [tuple(map(float, point.split(","))) for point in picture.find("polyline").get("points").split()]
    xs, ys = zip(*points, strict=True)
    assert np.diff(xs) == pytest.approx(xs[1] - xs[0])
    assert (ys[1] - ys[0]) / (ys[2] - ys[1]) == pytest.approx(2.0, abs=0.01)  # 8 to 4 falls twice as far as 4 to 2
    level = float(re.search(r"M\d+,([\d.]+) H", picture.findall("path")[1].get("d"))[1])
    assert level == pytest.approx(ys[0], abs=0.06)  # ln V is 8, and so is the first loss


def test_before_the_first_step_there_is_a_picture_too():
    assert "no training yet" in loss_svg(History(), 5, {"ln V": 9.21})


def movement(part, ratio, gradient=1e-3):
    values = {"part": part, "update_ratio": ratio, "gradient_norm": gradient}
    return Movement(**{name: values.get(name, 0.0) for name in Movement.__dataclass_fields__})


def test_each_part_stands_by_the_logarithm_of_its_change():
    ratios = [1e-6, 1e-4, 1e-2, 0.0, 1e9, math.nan]
    picture = ElementTree.fromstring(movements_svg([movement(f"part {i}", ratio) for i, ratio in enumerate(ratios)]))
    xs = [float(circle.get("cx")) for circle in picture.findall("circle")]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    box = picture.find("rect")
    assert float(box.get("x")) == pytest.approx(xs[1], abs=0.1)  # healthy from 1e-4
    assert float(box.get("x")) + float(box.get("width")) == pytest.approx(xs[2], abs=0.2)  # to 1e-2
    assert min(xs) == xs[3]
    assert max(xs) == xs[4]
    assert "part 5 all 0" in picture.get("aria-label")


@given(top=st.floats(0.2, 1e12))
def test_an_axis_has_a_few_ticks_whatever_the_loss(top):
    ticks = pictures._ticks(top)
    assert 3 <= len(ticks) <= 8
    assert ticks[0] == 0.0
    assert ticks[-1] <= top


@pytest.mark.parametrize("levels", [(5.63, 5.6), (5.63, 5.63), (9.21, 4.6), (1e-3, 1e-4)])
@pytest.mark.parametrize("loss", [0.01, 5.6, 1e6])
def test_the_names_of_known_losses_never_lie_on_each_other(levels, loss):
    picture = ElementTree.fromstring(loss_svg(History(losses=[loss, loss]), 1, dict(zip(("ln V", "unigram entropy"), levels, strict=True))))
    names = [element for element in picture.findall("text") if element.text.startswith(("ln V", "unigram"))]
    heights = {name.text.split()[0]: float(name.get("y")) for name in names}
    assert abs(heights["unigram"] - heights["ln"]) >= 13.9
    assert (heights["unigram"] > heights["ln"]) or levels[0] == levels[1]  # the higher loss has the higher name
    assert all(10 <= float(name.get("y")) <= 250 for name in names)


@given(st.floats(1e-6, 1e12))
def test_a_tick_is_written_in_few_signs_and_is_the_number(top):
    for tick in pictures._ticks(top):
        written = pictures.short(tick)
        assert len(written) <= 6
        assert float(written) == pytest.approx(tick, rel=1e-9, abs=1e-12)
