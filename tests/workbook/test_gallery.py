import numpy as np
import pytest

from cllm_lib.instruments.gradient_check import check_gradients, layer_loss
from cllm_lib.workbook.exercises.chapter_05 import gradient_error
from cllm_lib.workbook.gallery import GALLERY, relu

PASS_ALL_ONES = {"softmax: zeros", "softmax: plain mean"}
PASS_A_HUNDREDTH = {"LayerNorm: spread of n - 1"}


def all_ones_agree(wrong):
    """The first wrong check: an upstream gradient of ones, compared as np.allclose compares."""
    ones = np.ones(np.shape(wrong.forward(wrong.x)))
    slopes = np.empty(wrong.x.shape)
    for index in np.ndindex(wrong.x.shape):
        step = np.zeros(wrong.x.shape)
        step[index] = 1e-6
        slopes[index] = (wrong.forward(wrong.x + step) - wrong.forward(wrong.x - step)).sum() / 2e-6
    return np.allclose(wrong.backward(ones, wrong.x), slopes, atol=1e-6)


@pytest.mark.parametrize("name", GALLERY)
def test_a_sound_check_catches_the_wrong_one_and_passes_the_right_one(name):
    wrong = GALLERY[name]
    assert gradient_error(wrong.forward, wrong.backward, wrong.x) > 1e-3
    assert gradient_error(wrong.forward, wrong.sound, wrong.x) < 1e-8


@pytest.mark.parametrize("name", GALLERY)
def test_the_librarys_check_agrees(name):
    wrong = GALLERY[name]
    for backward, right in ((wrong.backward, False), (wrong.sound, True)):
        function = layer_loss(lambda x: (wrong.forward(x), x), lambda dy, x, backward=backward: (backward(dy, x), {}))
        assert (check_gradients(function, {"x": wrong.x.copy()}).max_relative_error < 1e-6) == right


@pytest.mark.parametrize("name", GALLERY)
def test_shapes_are_right_and_the_weaker_checks_let_through_what_they_are_said_to(name):
    wrong = GALLERY[name]
    dy = np.random.default_rng(0).standard_normal(np.shape(wrong.forward(wrong.x)))
    assert wrong.backward(dy, wrong.x).shape == wrong.x.shape
    assert all_ones_agree(wrong) == (name in PASS_ALL_ONES)
    assert (gradient_error(wrong.forward, wrong.backward, wrong.x) < 1e-2) == (name in PASS_A_HUNDREDTH)


def test_no_input_sits_on_a_kink():
    wrong = GALLERY["ReLU: output >= 0"]
    assert np.abs(wrong.x).min() > 1e-3
    assert (wrong.x < 0).any()  # else the fault would not show
    np.testing.assert_array_equal(relu(np.array([-1.0, 0.0, 2.0])), [0.0, 0.0, 2.0])
