import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.instruments.gradient_check import check_gradients
from cllm_lib.lattice.biases import alibi_slopes, distance_bias, distance_bias_backward, token_distances

SLOPES_OF_THE_PAPER = {  # section 3; for 12 heads as the code that came with it gives them
    8: [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256],
    16: [2 ** (-i / 2) for i in range(1, 17)],
    12: [2.0**-i for i in range(1, 9)] + [2 ** (-i / 2) for i in (1, 3, 5, 7)],
    1: [1 / 256],
    3: [1 / 16, 1 / 256, 1 / 4],
}


@pytest.mark.parametrize("n_heads", SLOPES_OF_THE_PAPER)
def test_slopes_are_those_of_the_paper(n_heads):
    np.testing.assert_allclose(alibi_slopes(n_heads), SLOPES_OF_THE_PAPER[n_heads], rtol=1e-12)


@given(st.integers(1, 300))
def test_no_two_heads_have_the_same_slope(n_heads):
    slopes = alibi_slopes(n_heads)
    assert slopes.shape == (n_heads,)
    assert len(set(slopes.tolist())) == n_heads
    assert slopes.min() >= 2.0**-8
    assert slopes.max() < 1.0


@given(st.integers(1, 12), st.integers(0, 9))
def test_distances_count_the_steps_between_two_tokens(time, start):
    distances = token_distances(time, start)
    assert distances.shape == (time, start + time)
    for i, j in np.ndindex(distances.shape):
        assert distances[i, j] == max(start + i - j, j - start - i)


def test_a_bias_is_slope_times_distance_and_nothing_on_oneself():
    slopes, distances = [0.5, -2.0], np.array([[0.0, 3.0], [1.5, 0.0]])
    bias = distance_bias(slopes, distances)
    for h, i, j in np.ndindex(2, 2, 2):
        assert bias[h, i, j] == -slopes[h] * distances[i, j]
    assert distance_bias(np.float32([1.0]), token_distances(3)).dtype == np.float32


def test_the_backward_pass_agrees_with_central_differences():
    generator = np.random.default_rng(0)
    distances, upstream = generator.random((4, 5)) * 9.0, generator.standard_normal((2, 3, 4, 5))

    def function(arrays):
        scores = distance_bias(arrays["slopes"], distances)
        return float((np.tanh(scores) * upstream).sum()), {"slopes": distance_bias_backward(upstream / np.cosh(scores) ** 2, distances)}

    report = check_gradients(function, {"slopes": generator.standard_normal(3) / 9.0})
    assert report.max_relative_error < 1e-7


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: alibi_slopes(0), "n_heads is 0"),
        (lambda: token_distances(3, -1), "start is -1"),
        (lambda: distance_bias([[0.5]], token_distances(2)), r"slopes have shape \(1, 1\): give one number for each head"),
        (lambda: distance_bias([0.5], [1.0, 2.0]), r"distances have shape \(2,\)"),
        (lambda: distance_bias([0.5], [["near", "far"]]), "give numbers, .queries, keys."),
        (lambda: distance_bias([0.5], [[0.0, -3.0]]), r"distances\[0, 1\] is -3.0: a distance is a finite number of at least 0"),
        (lambda: distance_bias([0.5], [[math.inf]]), r"distances\[0, 0\] is inf"),
    ],
)
def test_bad_input_gets_a_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()
