from dataclasses import replace

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig

CONFIG = CLLMConfig(vocab_size=900, d_model=96, n_layers=2, n_heads=4, d_ff=200, tie_embeddings=False, seq_len=40, positions="learned")


def test_scaled_normal_has_the_spread_it_promises():
    for name, array in CLLM(CONFIG, seed=2).parameters.items():
        if name.endswith("bias"):
            assert not array.any(), name
        elif name.endswith("gain"):
            assert (array == 1).all(), name
        else:
            expected = 0.02 if name in ("embedding", "positions.table") else array.shape[0] ** -0.5
            # The standard deviation of a sample of n normal numbers is off by about 1 / sqrt(2 n).
            assert array.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * array.size)), name
            assert abs(array.mean()) < 5 * expected / np.sqrt(array.size), name


@pytest.mark.parametrize(("init", "slopes"), [("scaled_normal", [1 / 4, 1 / 16, 1 / 64, 1 / 256]), ("zeros", [0.0] * 4)])
def test_slopes_start_where_alibi_has_them(init, slopes):
    model = CLLM(CLLMConfig(20, d_model=8, n_heads=4, positions="distance_bias"), init=init)
    for i in range(2):
        np.testing.assert_array_equal(model.parameters[f"layers.{i}.attention.slopes"], slopes)


def test_positions_without_weights_leave_all_others_as_they_were():
    config = CLLMConfig(20, d_model=8, n_heads=4)
    for positions in ("sinusoidal", "clock", "rotary"):
        model = CLLM(replace(config, positions=positions), seed=1)
        np.testing.assert_array_equal(model.flat_parameters, CLLM(config, seed=1).flat_parameters)


def test_zeros_are_zeros_everywhere():
    assert not CLLM(CONFIG, init="zeros").flat_parameters.any()


def test_a_function_of_ones_own_is_an_initialiser():
    def ones(parameters, generator):
        for array in parameters.values():
            array[...] = 1.0

    assert (CLLM(CONFIG, init=ones).flat_parameters == 1).all()
