import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from cllm_lib.training.optimizers import SGD, Adam, Momentum, RMSProp
from cllm_lib.training.ravine import ravine_loss, ravine_path
from cllm_lib.workbook import figures
from cllm_lib.workbook.widgets import OptimizerRavine


def described(widget):
    return ElementTree.fromstring(widget.picture.value)


def places(widget):
    """The corners of the drawn path, in pixels."""
    line = next(element for element in described(widget).iter() if element.tag == "polyline")
    return np.array([[float(number) for number in place.split(",")] for place in line.attrib["points"].split()])


def test_it_opens_with_the_numbers_of_the_static_figure():
    widget = OptimizerRavine()
    path = ravine_path(Momentum(0.03))
    np.testing.assert_allclose(widget.path, path, rtol=1e-12)
    drawn = figures.ravine({"momentum": path}, 25.0, "t")[1].lines[0].get_ydata()
    assert f"after 60 steps the loss is {drawn[-1]:.3g}, from {drawn[0]:.3g} at the start" in widget.sentence.value


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("sgd", SGD(0.05)), ("momentum", Momentum(0.05, 0.5)), ("rmsprop", RMSProp(0.05, 0.8)), ("adam", Adam(0.05, 0.5, 0.8))],
)
def test_every_slider_reaches_the_optimiser_that_has_it(name, optimizer):
    widget = OptimizerRavine()
    widget.optimizer.value, widget.learning_rate.value, widget.beta1.value, widget.beta2.value = name, 0.05, 0.5, 0.8
    path = ravine_path(optimizer)
    np.testing.assert_allclose(widget.path, path, rtol=1e-12)
    label = described(widget).attrib["aria-label"]
    assert f"Path of {name}, rate 0.05" in label
    assert f"the loss is {ravine_loss(path)[-1]:.3g}" in label
    assert (widget.beta1.disabled, widget.beta2.disabled) == ("beta1 0.5" not in label, "beta2 0.8" not in label)
    assert widget.beta1.disabled == (name in ("sgd", "rmsprop"))
    assert widget.beta2.disabled == (name in ("sgd", "momentum"))


@pytest.mark.parametrize(("rate", "diverged"), [(0.079, False), (0.081, True), (1.0, True)])
def test_it_says_whether_it_diverged(rate, diverged):
    widget = OptimizerRavine("sgd", learning_rate=rate)
    assert ("it diverged" in widget.sentence.value) == ("it diverged" in widget.picture.value) == diverged


def test_the_path_is_drawn_to_scale():
    """Start left of and above the middle; distances on the page are distances on the map, with y upwards."""
    widget = OptimizerRavine("adam", learning_rate=0.1)
    drawn = places(widget) - [250, 100]
    np.testing.assert_allclose(drawn, 50 * widget.path * [1, -1], atol=0.051)


def test_ellipses_are_lines_of_equal_loss():
    ellipses = [element for element in described(OptimizerRavine()).iter() if element.tag == "ellipse"]
    for ellipse in ellipses:
        along, across = float(ellipse.attrib["rx"]) / 50, float(ellipse.attrib["ry"]) / 50
        assert ravine_loss(np.array([along, 0.0])) == pytest.approx(ravine_loss(np.array([0.0, across])), rel=0.05)


def test_what_leaves_the_page_is_not_drawn():
    widget = OptimizerRavine("sgd", learning_rate=1.0)
    assert np.abs(places(widget)).max() < 5_000
    assert not re.search(r"nan|inf", widget.picture.value)


def test_any_setting_can_be_the_first_and_is_a_stop_of_its_slider():
    """JupyterLab moves a slider that starts between two stops to the nearer one, and the number with it."""
    widget = OptimizerRavine("adam", learning_rate=0.0123, beta1=0.87, beta2=0.9876)
    np.testing.assert_allclose(widget.path, ravine_path(Adam(0.0123, 0.87, 0.9876)), rtol=1e-12)
    for slider, value in ((widget.learning_rate, 0.0123), (widget.beta1, 0.87), (widget.beta2, 0.9876)):
        numbers = [number for _, number in slider.options]
        assert numbers == sorted(set(numbers))
        assert slider.value == value


def test_its_text_is_the_same_each_time():
    assert repr(OptimizerRavine()) == repr(OptimizerRavine("adam"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adamw"}, "unknown optimizer 'adamw': choose one of 'sgd'"),
        ({"learning_rate": -5.0}, "learning_rate is -5.0: give a finite number of at least 0"),
        ({"beta1": 1.0}, "momentum is 1.0: a running mean needs a share below 1"),
        ({"beta2": -0.1}, "decay is -0.1"),
        ({"start": 3.0}, "start is 3.0: give two finite numbers"),
    ],
)
def test_bad_settings_get_a_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        OptimizerRavine(**arguments)
