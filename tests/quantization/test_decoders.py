"""A small decoder in few bits, layer by layer: the same as by hand, better where it is told what it is given, equal where it must be."""

import numpy as np
import pytest
from pretrained.small_decoder import CONFIG, small_parameters

from cllm_lib.pretrained import adapted_layer_forward, layer_inputs
from cllm_lib.quantization import QuantizedLayer, gptq, input_hessian, quantize_layer, quantized_decoder, round_to_nearest
from cllm_lib.quantization.decoders import SHARED

NAMES = [name for names in SHARED for name in names]
GENERATOR = np.random.default_rng(0)
IDS = GENERATOR.integers(0, CONFIG.vocab_size, (12, 30))


@pytest.fixture(scope="module")
def decoder():
    return small_parameters(dtype=np.float32)


def layer_of(decoder, i=0):
    x = decoder["embedding"][IDS]
    for layer in decoder["layers"][:i]:
        x, _ = adapted_layer_forward(x, layer, CONFIG)
    return decoder["layers"][i], x, layer_inputs(adapted_layer_forward(x, decoder["layers"][i], CONFIG)[1])


def matrix(parameters, name):
    part, name = name.split(".")
    return parameters[part][name]


def test_inputs_are_what_the_matrices_are_multiplied_by(decoder):
    layer, x, inputs = layer_of(decoder)
    assert sorted(inputs) == sorted(NAMES)
    for names in SHARED:
        assert all(inputs[name] is inputs[names[0]] for name in names)
        assert inputs[names[0]].shape[-1] == len(matrix(layer, names[0]))
    attended = x + inputs["attention.output_weight"] @ layer["attention"]["output_weight"]
    y = attended + inputs["feed_forward.down_weight"] @ layer["feed_forward"]["down_weight"]
    np.testing.assert_allclose(y, adapted_layer_forward(x, layer, CONFIG)[0], atol=1e-5)


@pytest.mark.parametrize("method", ["round", "gptq"])
def test_together_is_the_same_as_one_by_one(decoder, method):
    layer, _, inputs = layer_of(decoder)
    found = quantize_layer(layer, inputs, method, 3)
    for name in NAMES:
        weights = matrix(layer, name).T
        one = round_to_nearest(weights, 3) if method == "round" else gptq(weights, input_hessian(inputs[name]), 3)
        np.testing.assert_allclose(matrix(found.parameters, name), one.dequantized.T, rtol=1e-6, atol=1e-7)
    assert found.parameters["attention_norm"]["gain"] is layer["attention_norm"]["gain"]
    assert found.bits == 3


def test_nothing_given_is_changed_and_types_stay(decoder):
    before = {name: matrix(decoder["layers"][0], name).copy() for name in NAMES}
    found = list(quantized_decoder(decoder, CONFIG, decoder["embedding"][IDS], "gptq", 4))
    assert len(found) == CONFIG.n_layers
    for name in NAMES:
        np.testing.assert_array_equal(matrix(decoder["layers"][0], name), before[name])
        assert matrix(found[0].parameters, name).dtype == np.float32


def test_gptq_errs_less_on_what_it_is_given_than_rounding_and_reduction_less_again(decoder):
    layer, _, inputs = layer_of(decoder)
    errors = {
        method: np.mean(list(quantize_layer(layer, inputs, method, 3, clip=False).errors.values()))
        for method in ("round", "gptq", "lll + babai")
    }
    assert errors["gptq"] < 0.9 * errors["round"]
    assert errors["lll + babai"] < errors["gptq"]


def test_the_error_is_that_of_the_outputs(decoder):
    layer, _, inputs = layer_of(decoder)
    found = quantize_layer(layer, inputs, "round", 3)
    rows = inputs["feed_forward.down_weight"].reshape(-1, CONFIG.d_ff)
    exact, rounded = (rows @ parameters["feed_forward"]["down_weight"] for parameters in (layer, found.parameters))
    share = float(np.sum((exact - rounded) ** 2) / np.sum(exact**2))
    assert found.errors["feed_forward.down_weight"] == pytest.approx(share, rel=0.03), "but for one percent of damping"


def test_each_layer_is_calibrated_on_what_the_quantised_ones_below_make(decoder):
    first, second = quantized_decoder(decoder, CONFIG, decoder["embedding"][IDS], "gptq", 3)
    x, _ = adapted_layer_forward(decoder["embedding"][IDS], first.parameters, CONFIG)
    inputs = layer_inputs(adapted_layer_forward(x, decoder["layers"][1], CONFIG)[1])
    expected = quantize_layer(decoder["layers"][1], inputs, "gptq", 3)
    elsewhere = quantize_layer(decoder["layers"][1], layer_of(decoder, 1)[2], "gptq", 3)
    for name in NAMES:
        np.testing.assert_array_equal(matrix(second.parameters, name), matrix(expected.parameters, name))
    assert any((matrix(second.parameters, name) != matrix(elsewhere.parameters, name)).any() for name in NAMES)


def test_settings_that_make_no_sense_are_refused(decoder):
    layer, _, inputs = layer_of(decoder)
    with pytest.raises(ValueError, match="unknown method 'gtpq'"):
        quantize_layer(layer, inputs, "gtpq", 3)
    with pytest.raises(ValueError, match="group_size is 5"):
        quantize_layer(layer, inputs, "round", 3, group_size=5)
    with pytest.raises(ValueError, match="bits"):
        quantize_layer(layer, inputs, "round", 1)
    with pytest.raises(ValueError, match="gptq needs the inputs"):
        quantize_layer(layer, None, "gptq", 3)


def test_rounding_needs_no_text(decoder):
    layer, _, inputs = layer_of(decoder)
    alone, told = quantize_layer(layer, None, "round", 3), quantize_layer(layer, inputs, "round", 3)
    for name in NAMES:
        np.testing.assert_array_equal(matrix(alone.parameters, name), matrix(told.parameters, name))
    assert alone.errors == {}
    assert sorted(told.errors) == sorted(names[0] for names in SHARED)


def test_wider_integers_are_counted(decoder):
    layer, _, inputs = layer_of(decoder)
    free = quantize_layer(layer, inputs, "lll + babai", 2, clip=False)
    assert isinstance(free, QuantizedLayer)
    assert free.bits >= quantize_layer(layer, inputs, "gptq", 2).bits == 2
