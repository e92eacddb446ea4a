import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from oracles import random_batch, reference_gradients, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.instruments.gradient_check import angle_between
from cllm_lib.workbook import figures
from cllm_lib.workbook.widgets import GradientInspector

TOKENS, TARGETS = random_batch(11, 2, 5)
WRONG_PART = "layers.1.attention.query_weight"
RIGHT_PART = "layers.1.feed_forward.expand_weight"


def small_model(dtype="float64", **parts):
    config = CLLMConfig(vocab_size=11, d_model=8, n_layers=2, n_heads=2, d_ff=6, seq_len=5, dtype=dtype)
    return spread_out(CLLM(config, **parts))


@pytest.fixture(scope="module")
def truth():
    """The gradients by automatic differentiation."""
    return reference_gradients(small_model().parameters, TOKENS, TARGETS, 2, 2, True)[1]


@pytest.fixture
def inspector():
    return GradientInspector(small_model(attention=defects.OuterProductAttention()), TOKENS, TARGETS, small_model())


def described(inspector):
    return ElementTree.fromstring(inspector.picture.value)


def numbers(inspector):
    """Gradient, slope and relative error, as the sentence gives them."""
    found = re.search(r"gradient (\S+), measured slope (\S+), relative error (\S+?)\.<br>", inspector.sentence.value)
    return [float(number) for number in found.groups()]


@pytest.mark.parametrize("name", [WRONG_PART, RIGHT_PART, "layers.0.attention_norm.gain", "embedding"])
def test_every_entry_shows_its_own_numbers(inspector, name, truth):
    inspector.array.value = name
    shown = inspector.gradients[name]
    for i, index in enumerate(inspector.indices):
        inspector.entry.value = i
        assert f"<b>{name}</b>{list(index)}:" in inspector.sentence.value
        gradient, slope, error = numbers(inspector)
        assert gradient == pytest.approx(shown[index], rel=1e-3)
        assert slope == pytest.approx(truth[name][index], rel=1e-3, abs=1e-8)
        assert error <= 1e-4 or error == pytest.approx(abs(gradient - slope) / max(abs(gradient), abs(slope)), rel=0.6)
        assert f"{name}{list(index)}: gradient {shown[index]:.4g}" in described(inspector).attrib["aria-label"]


def test_the_angle_is_that_to_the_true_gradient(inspector, truth):
    for name in (WRONG_PART, RIGHT_PART):
        inspector.array.value = name
        expected = angle_between(inspector.gradients[name], truth[name])
        assert f"whole array: {expected:.1f} degrees." in inspector.sentence.value
    assert "factor 1.000, angle 0.0 degrees" in inspector.sentence.value


def test_a_true_gradient_of_zero_has_no_angle(inspector):
    """A bias of the keys adds the same to every score of a query, and softmax takes no notice."""
    inspector.array.value = "layers.0.attention.key_bias"
    assert "The true gradient of the whole array is 0, but for rounding." in inspector.sentence.value
    assert "no slope stands out from rounding" in inspector.sentence.value


def test_a_forgotten_gradient_is_called_so():
    class Forgetful(type(small_model().layer.attention)):
        def backward(self, dy, cache):
            dx, gradients = super().backward(dy, cache)
            return dx, gradients | {"query_weight": np.zeros((8, 8))}

    inspector = GradientInspector(small_model(attention=Forgetful()), TOKENS, TARGETS, small_model(), array=WRONG_PART)
    assert "The true gradient of the whole array is not 0, and this one is." in inspector.sentence.value
    assert "factor 0.000, angle none" in inspector.sentence.value


def test_without_a_sound_model_there_is_no_angle_to_a_true_gradient():
    inspector = GradientInspector(small_model(), TOKENS, TARGETS)
    assert "true gradient" not in inspector.sentence.value
    assert "factor 1.000, angle 0.0 degrees" in inspector.sentence.value


def test_the_picture_is_the_static_figures(inspector):
    inspector.array.value, inspector.entry.value = WRONG_PART, 2
    axes = figures.gradient_scatter(inspector.analytic, inspector.numeric, "t")
    drawn, tree = axes.lines[1], described(inspector)
    assert tree.attrib["role"] == "img"
    reach = 1.1 * max(np.abs(drawn.get_xdata()).max(), np.abs(drawn.get_ydata()).max())
    dots = [element for element in tree.find("g") if element.tag == "circle"]
    for dot, slope, gradient in zip(dots, drawn.get_xdata(), drawn.get_ydata(), strict=True):
        assert (float(dot.attrib["cx"]) - 150) / 130 * reach == pytest.approx(slope, abs=0.001 * reach)
        assert (130 - float(dot.attrib["cy"])) / 130 * reach == pytest.approx(gradient, abs=0.001 * reach)
    mark = tree.find("circle")
    assert (mark.attrib["cx"], mark.attrib["cy"]) == (dots[2].attrib["cx"], dots[2].attrib["cy"])
    words = drawn.get_label().split(": ")[1]
    assert words in inspector.sentence.value
    assert words in tree.attrib["aria-label"]


def test_nothing_changes_the_model_and_the_model_changes_nothing():
    model = small_model()
    before = model.flat_parameters.copy()
    inspector = GradientInspector(model, TOKENS, TARGETS)
    np.testing.assert_array_equal(model.flat_parameters, before)
    model.flat_parameters *= 0.5
    inspector.array.value = RIGHT_PART
    assert "factor 1.000, angle 0.0 degrees" in inspector.sentence.value
    np.testing.assert_array_equal(model.flat_parameters, 0.5 * before)


def test_a_model_in_float32_is_inspected_in_float64():
    inspector = GradientInspector(small_model("float32"), TOKENS, TARGETS, array=RIGHT_PART)
    assert numbers(inspector)[2] < 1e-5


def test_gradients_that_are_not_numbers_are_shown_as_such():
    class Broken(type(small_model().layer.attention)):
        def backward(self, dy, cache):
            dx, gradients = super().backward(dy, cache)
            return dx, gradients | {"query_weight": np.full((8, 8), np.nan)}

    inspector = GradientInspector(small_model(attention=Broken()), TOKENS, TARGETS, small_model(), array=WRONG_PART)
    assert "gradient nan" in inspector.sentence.value
    assert len(described(inspector).find("g")) == 0


def test_it_shows_no_more_entries_than_asked_for():
    inspector = GradientInspector(small_model(), TOKENS, TARGETS, entries=5)
    assert len(inspector.entry.options) == len(inspector.analytic) == 5
    inspector.array.value = "layers.0.feed_forward.expand_bias"
    assert len(inspector.entry.options) == 5


def test_its_text_is_the_same_each_time(inspector):
    assert repr(inspector) == repr(GradientInspector(small_model(), TOKENS, TARGETS))


def test_other_weights_in_the_sound_model_get_a_clear_error():
    other = small_model()
    other.parameters[WRONG_PART][0, 0] += 1.0
    with pytest.raises(ValueError, match=f"'{WRONG_PART}' is not the same in both models: copy the weights first"):
        GradientInspector(small_model(), TOKENS, TARGETS, other)


def test_unknown_arrays_get_a_clear_error():
    with pytest.raises(ValueError, match="unknown array 'query': choose one of 'embedding'"):
        GradientInspector(small_model(), TOKENS, TARGETS, array="query")
