"""Every layer that a configuration can ask for, against independent formulas, differences, and its quick twin."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import difference_gradient, random_batch, reference_feed_forward, reference_gradients, reference_norm, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.model.attention import CausalSelfAttention, attention_weights
from cllm_lib.model.initializers import zeros
from cllm_lib.model.taps import activations
from cllm_lib.model.transformer import by_name
from cllm_lib.model.transformer_layer import FEED_FORWARDS, NORMS, TransformerLayer

SIZES = dict(vocab_size=7, d_model=8, n_layers=2, n_heads=4, d_ff=5, seq_len=4)
CHOICES = {
    "norm": tuple(NORMS),
    "norm_first": (False, True),
    "feed_forward": tuple(FEED_FORWARDS),
    "n_kv_heads": (None, 2, 1),
    "rope_pairs": ("neighbours", "halves"),
}
COMBINATIONS = [dict(zip(CHOICES, values, strict=True)) for values in product(*CHOICES.values())]
NOW, LATER = (  # every pair of two choices is among the first
    [others for others in COMBINATIONS if (sum(CHOICES[name].index(value) for name, value in others.items()) % 3 == 0) == first]
    for first in (True, False)
)
LLAMA = dict(norm="rms", norm_first=True, feed_forward="swiglu", n_kv_heads=2, positions="rotary", rope_pairs="halves")
GPT = dict(norm_first=True, feed_forward="gelu", positions="learned")
any_config = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in CHOICES.items()}
    | {"positions": st.sampled_from(["none", "learned", "rotary", "distance_bias"]), "rope_base": st.sampled_from([50.0, 500_000.0])}
    | {"tie_embeddings": st.booleans(), "d_model": st.sampled_from([8, 16]), "n_layers": st.integers(1, 3), "d_ff": st.integers(1, 9)}
)


def made(others, **more):
    """A configuration of these settings; what belongs to rotary positions goes where there are others."""
    if others.get("positions") != "rotary":
        others = {name: value for name, value in others.items() if name not in ("rope_base", "rope_pairs")}
    return CLLMConfig(**(SIZES | others | more))


def build(others, seed=1, **more):
    fast = more.pop("fast", True)
    return spread_out(CLLM(made(others, **more), seed=seed, fast=fast), seed)


def test_every_pair_of_choices_is_looked_at_each_time():
    for one, other in combinations(CHOICES, 2):
        pairs = {(others[one], others[other]) for others in NOW}
        assert len(pairs) == len(CHOICES[one]) * len(CHOICES[other])


@pytest.mark.parametrize("others", [*NOW, *(pytest.param(others, marks=pytest.mark.slow) for others in LATER)])
def test_loss_and_gradients_are_those_of_automatic_differentiation(others):
    tied = others["n_kv_heads"] != 2
    model, batch = build(others | {"positions": "rotary"}, n_layers=1, d_ff=3, tie_embeddings=tied), random_batch(7, 1, 3)
    loss, gradients = model.loss_and_gradients(*batch)
    expected_loss, expected = reference_gradients(model.parameters, *batch, 1, 4, tied, "rotary", **others)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-10, atol=1e-11 * largest, err_msg=name)


@pytest.mark.parametrize("others", [LLAMA, GPT, dict(norm="rms", feed_forward="gelu", n_kv_heads=1, positions="distance_bias")])
def test_gradients_agree_with_central_differences(others):
    model, (tokens, targets) = build(others, n_layers=1, vocab_size=4, d_ff=3), random_batch(4, 1, 3)
    _, gradients = model.loss_and_gradients(tokens, targets)
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, array in model.parameters.items():
        numeric = difference_gradient(lambda: model.loss(tokens, targets), array)
        assert np.abs(gradients[name] - numeric).max() < 1e-7 * max(np.abs(gradients[name]).max(), 1e-3 * largest), name


@settings(max_examples=settings().max_examples // 2)
@given(others=any_config, batch=st.integers(1, 3), time=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_quick_and_plain_promise_the_same_slope_and_differences_measure_it(others, batch, time, seed):
    quick = build(others, seed)
    plain = build(others, seed, fast=False)
    tokens, targets = random_batch(7, batch, time, seed)
    assert quick.forward_backward(tokens, targets) == pytest.approx(plain.forward_backward(tokens, targets), rel=1e-12)
    np.testing.assert_allclose(quick.flat_gradients, plain.flat_gradients, rtol=1e-9, atol=1e-12 * np.abs(plain.flat_gradients).max())
    direction = np.random.default_rng(seed + 1).standard_normal(quick.flat_parameters.size)
    direction /= np.linalg.norm(direction)
    start, step, values = quick.flat_parameters.copy(), 1e-4, []
    for factor in (1, -1, 2, -2):
        quick.flat_parameters[:] = start + factor * step * direction
        values.append(quick.loss(tokens, targets))
    measured = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
    assert measured == pytest.approx(plain.flat_gradients @ direction, rel=1e-5, abs=1e-8)


def test_names_and_shapes_are_those_of_the_configuration():
    shapes = by_name(TransformerLayer().parameter_shapes(made(LLAMA)))
    assert shapes == {
        "attention.query_weight": (8, 8),
        "attention.query_bias": (8,),
        "attention.key_weight": (8, 4),
        "attention.key_bias": (4,),
        "attention.value_weight": (8, 4),
        "attention.value_bias": (4,),
        "attention.output_weight": (8, 8),
        "attention.output_bias": (8,),
        "attention_norm.gain": (8,),
        "feed_forward.gate_weight": (8, 5),
        "feed_forward.up_weight": (8, 5),
        "feed_forward.down_weight": (5, 8),
        "feed_forward_norm.gain": (8,),
    }
    assert list(CLLM(made(LLAMA, tie_embeddings=False)).parameters)[-2:] == ["final_norm.gain", "output_weight"]
    assert list(CLLM(made(GPT)).parameters)[-2:] == ["final_norm.gain", "final_norm.bias"]
    assert not [name for name in CLLM(made({"norm": "rms"})).parameters if "final" in name]


@pytest.mark.parametrize("others", [LLAMA, GPT, {"feed_forward": "gelu"}, {"norm": "rms"}, {}])
def test_units_and_what_each_matrix_was_multiplied_by(others):
    """From what the tap saw come in, once more by the formulas."""
    model, tokens = build(others | {"positions": "none"}, n_layers=1), random_batch(7, 1, 4)[0]
    found = activations(model, tokens)
    p, config = model.parameters, model.config

    def normed(x, name):
        return np.array([reference_norm(row, p[f"{name}.gain"], p.get(f"{name}.bias")) for row in x])

    x = found.inputs[0][0]
    first = normed(x, "layers.0.attention_norm") if config.norm_first else x
    attended = x + found.attended[0][0]
    second = normed(attended, "layers.0.feed_forward_norm") if config.norm_first else normed(attended, "layers.0.attention_norm")
    _, cache = model.layer.forward(found.inputs[0], model.layer_parameters(0), config)
    inputs = model.layer.inputs(cache)
    matrices = {name for name, array in by_name(model.layer_parameters(0)).items() if array.ndim == 2}
    assert set(inputs) == matrices
    for name, rows in inputs.items():
        if name.startswith("attention") and "output" not in name:
            np.testing.assert_allclose(rows[0], first, atol=1e-12)
    attended_by = inputs["attention.output_weight"][0] @ p["layers.0.attention.output_weight"] + p["layers.0.attention.output_bias"]
    np.testing.assert_allclose(attended_by, found.attended[0][0], atol=1e-12)
    np.testing.assert_allclose(inputs[next(name for name in matrices if name.endswith(("expand_weight", "up_weight")))][0], second)
    back = "down" if config.feed_forward == "swiglu" else "contract"
    np.testing.assert_array_equal(found.units[0], inputs[f"feed_forward.{back}_weight"])
    fed = reference_feed_forward(second, lambda name: p[f"layers.0.{name}"], config.feed_forward)
    units = found.units[0][0] @ p[f"layers.0.feed_forward.{back}_weight"] + p.get(f"layers.0.feed_forward.{back}_bias", 0.0)
    np.testing.assert_allclose(units, fed, atol=1e-12)


@pytest.mark.parametrize("others", [LLAMA, GPT])
def test_attention_weights_have_a_map_for_each_head_of_queries(others):
    maps = attention_weights(build(others), [1, 2, 3])
    assert [weights.shape for weights in maps] == [(4, 3, 3)] * 2
    for weights in maps:
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0)


def test_heads_of_a_group_have_their_keys_and_values_in_common_and_others_do_not():
    """With the keys and values of the groups written out once for each head it is attention with all heads, gradients summed."""
    grouped = build({"n_kv_heads": 2}, n_layers=1)
    whole = CLLM(replace(grouped.config, n_kv_heads=None))
    for name, array in grouped.parameters.items():
        if name.rpartition(".")[2].startswith(("key", "value")):
            array = np.repeat(array.reshape(*array.shape[:-1], 2, 2), 2, axis=-2).reshape(*array.shape[:-1], 8)
        whole.parameters[name] = array
    batch = random_batch(7, 2, 4)
    loss, gradients = grouped.loss_and_gradients(*batch)
    other_loss, others = whole.loss_and_gradients(*batch)
    assert loss == pytest.approx(other_loss, rel=1e-13)
    for name, gradient in others.items():
        if name.rpartition(".")[2].startswith(("key", "value")):
            gradient = gradient.reshape(*gradient.shape[:-1], 2, 2, 2).sum(axis=-2).reshape(gradients[name].shape)
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-12, err_msg=name)


def test_with_norms_first_a_silent_layer_hands_on_what_it_was_given():
    model = CLLM(made(LLAMA), init=zeros)
    x = np.random.default_rng(0).standard_normal((1, 4, 8))
    y, _ = model.layer.forward(x, model.layer_parameters(0), model.config)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("others", COMBINATIONS[:: len(COMBINATIONS) // 12])
def test_the_last_norm_stands_where_norms_come_first_and_every_gradient_is_overwritten(others):
    for fast in (True, False):
        model, batch = build(others, fast=fast), random_batch(7, 2, 4)
        model.forward_backward(*batch)
        expected = model.flat_gradients.copy()
        model.flat_gradients[:] = np.nan
        model.forward_backward(*batch)
        np.testing.assert_array_equal(model.flat_gradients, expected)
    hidden = model._hidden(batch[0])
    x, _ = model._through_layers(model.parameters["embedding"][batch[0]])
    assert np.array_equal(hidden, x) == (not model.config.norm_first)
    if model.config.norm_first:
        gain, bias = model.parameters["final_norm.gain"], model.parameters.get("final_norm.bias")
        np.testing.assert_allclose(hidden[0, 0], reference_norm(x[0, 0], gain, bias))


@pytest.mark.parametrize("setting", [{"norm": "rms"}, {"norm_first": True}, {"feed_forward": "gelu"}, {"feed_forward": "swiglu"}])
@pytest.mark.parametrize(
    "name", ["no residual", "layer of the half repair", "another layer at inference", "LayerNorm from the wrong tensor"]
)
def test_layers_that_ask_no_configuration_refuse_what_they_do_not_know(name, setting):
    with pytest.raises(
        ValueError, match="knows LayerNorm behind its parts and tanh alone, and the configuration says .*leave these settings out"
    ):
        defects.ALL[name].patient(made(setting))
    assert defects.ALL[name].patient(made({})).logits([[1, 2]]).shape == (1, 2, 7)


def test_a_subclass_that_asks_the_configuration_knows_every_layer():
    class Mine(TransformerLayer):
        def forward(self, x, parameters, config):
            return super().forward(x, parameters, config)

    class MyAttention(CausalSelfAttention):
        pass

    config, batch = made(LLAMA, positions="none", rope_pairs="neighbours"), random_batch(7, 2, 4)
    expected = spread_out(CLLM(config)).loss_and_gradients(*batch)
    for parts in ({"layer": Mine()}, {"attention": MyAttention()}, {"layer": Mine(MyAttention())}):
        loss, gradients = spread_out(CLLM(config, **parts)).loss_and_gradients(*batch)
        assert loss == pytest.approx(expected[0], rel=1e-13)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected[1][name], atol=1e-12)
