"""What the tap shows is what passes: against formulas of the sound model, and for every part of the museum."""

import sys

import numpy as np
import pytest
from defects.exhibits import CONFIG
from oracles import random_batch, reference_layer, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.model import activations, attention_weights
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.ends import LinearOutput
from cllm_lib.model.layers import feed_forward_forward
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.transformer import TokenEmbedding, TransformerLayer

TOKENS = random_batch(40, 3, 8)[0]
NAMES = ("embedded", "placed", "inputs", "outputs", "attended", "weights", "units", "logits")
REPAIRS = [set(), {"output and residual"}, {"second norm", "attention forward"}, set(defects.REPAIRS)]
OTHERS = {
    "frozen attention": lambda: CLLM(CONFIG, attention=defects.FrozenAttention()),
    "last one wins": lambda: CLLM(CONFIG, embedding=defects.LastOneWins()),
    "half repaired": lambda: defects.half_repaired(CONFIG),
    "incident": lambda: defects.incident(CONFIG),
    "positions added": lambda: defects.inference_model(CLLM(CONFIG)),
}
OTHERS |= {f"program, {len(repairs)} repairs": lambda repairs=repairs: defects.program(CONFIG, repairs) for repairs in REPAIRS}
OTHERS |= {f"at inference, {name}": lambda name=name: defects.inference_model(CLLM(CONFIG), {name}) for name in defects.DIFFERENCES}
MODELS = {name: lambda exhibit=exhibit: exhibit.patient(CONFIG) for name, exhibit in defects.ALL.items()} | OTHERS
NO_WEIGHTS = {"simplified attention", "another layer at inference", "incident", "positions added", "at inference, no attention"}


def model_of(name):
    with np.errstate(all="ignore"):
        return spread_out(MODELS[name](), size=0.2)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_a_sound_model_it_shows_what_the_formulas_give(positions, dtype):
    config = CLLMConfig(40, d_model=16, n_layers=3, n_heads=2, d_ff=24, seq_len=8, positions=positions, dtype=dtype)
    model = spread_out(CLLM(config))
    seen = activations(model, TOKENS)
    np.testing.assert_array_equal(seen.embedded, model.parameters["embedding"][TOKENS])
    np.testing.assert_array_equal(seen.placed, model.positions.forward(seen.embedded, model.position_parameters))
    assert all(array.dtype == dtype for name in NAMES for array in np.atleast_1d(getattr(seen, name)))
    rounding = 1e-9 if dtype == "float64" else 2e-3
    for i, (x, y) in enumerate(zip(seen.inputs, seen.outputs, strict=True)):
        p = {name: array.astype(np.float64) for name, array in model.parameters.items()}
        expected = [reference_layer(list(row), lambda name, i=i, p=p: p[f"layers.{i}.{name}"], 2, positions) for row in x]
        np.testing.assert_allclose(y, expected, atol=rounding)
        q = model.layer_parameters(i)
        attended, cache = model.layer.attention.forward(x, q["attention"], config)
        np.testing.assert_array_equal(seen.attended[i], attended)
        np.testing.assert_array_equal(seen.weights[i], model.layer.attention.weights(cache))
        between = x + attended
        between = (between - between.mean(-1, keepdims=True)) / np.sqrt(between.var(-1, keepdims=True) + 1e-5)
        between = between * q["attention_norm"]["gain"] + q["attention_norm"]["bias"]
        units = np.tanh(between @ q["feed_forward"]["expand_weight"] + q["feed_forward"]["expand_bias"])
        np.testing.assert_allclose(seen.units[i], units, atol=rounding)
    np.testing.assert_allclose(seen.logits, seen.outputs[-1] @ model.parameters["embedding"].T, atol=rounding)


@pytest.mark.parametrize("name", MODELS)
def test_whatever_the_parts_one_layer_hands_to_the_next_and_nothing_is_touched(name):
    model = model_of(name)
    with np.errstate(all="ignore"):
        model.forward_backward(*random_batch(40, 2, 8, seed=1))
        before = model.flat_parameters.copy(), model.flat_gradients.copy(), dict(vars(model)), dict(vars(model.layer))
        seen, logits = activations(model, TOKENS), model.logits(TOKENS)
    np.testing.assert_array_equal(seen.logits, logits)
    assert len(seen.inputs) == len(seen.outputs) == len(seen.attended) == CONFIG.n_layers
    np.testing.assert_array_equal(seen.inputs[0], seen.placed)
    np.testing.assert_array_equal(seen.outputs[0], seen.inputs[1])
    np.testing.assert_array_equal(seen.outputs[1] @ model.output_matrix, logits)
    np.testing.assert_array_equal(before[0], model.flat_parameters)
    np.testing.assert_array_equal(before[1], model.flat_gradients)
    for held, now in ((before[2], vars(model)), (before[3], vars(model.layer))):
        assert held.keys() == now.keys()
        assert all(held[key] is now[key] for key in held)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_those_of_the_attention_maps_where_there_are_any(name):
    model = model_of(name)
    with np.errstate(all="ignore"):
        seen = activations(model, TOKENS[:1])
        assert len(seen.weights) == (0 if name in NO_WEIGHTS else CONFIG.n_layers)
        if not seen.weights:
            with pytest.raises(ValueError, match="has no attention weights to show"):
                attention_weights(model, TOKENS[0])
            return
        maps = attention_weights(model, TOKENS[0])
    assert len(maps) == CONFIG.n_layers
    for weights, (own,) in zip(maps, seen.weights, strict=True):
        np.testing.assert_array_equal(weights, own)


@pytest.mark.parametrize("name", MODELS)
def test_units_are_what_the_feed_forward_network_computed_from_what_it_was_given(name, monkeypatch):
    """Seen from the other side: what is handed to the two functions that compute it, wherever a layer finds them."""
    computed = []

    def watched(function, slope):
        def forward(x, **parameters):
            computed.append(slope(x @ parameters["expand_weight"] + parameters["expand_bias"]))
            return function(x, **parameters)

        return forward

    for module in [module for key, module in sys.modules.items() if key.startswith("cllm_lib.")]:
        if getattr(module, "feed_forward_forward", None) is feed_forward_forward:
            monkeypatch.setattr(module, "feed_forward_forward", watched(feed_forward_forward, np.tanh))
    relu = sys.modules["cllm_lib.defects.inference"].relu_feed_forward_forward
    monkeypatch.setattr("cllm_lib.defects.inference.relu_feed_forward_forward", watched(relu, lambda x: np.maximum(x, 0.0)))
    with np.errstate(all="ignore"):
        units = activations(model_of(name), TOKENS).units
    assert len(units) == len(computed) == CONFIG.n_layers
    np.testing.assert_array_equal(units, computed)


def test_what_it_shows_are_copies():
    model = spread_out(CLLM(CONFIG))
    seen = activations(model, TOKENS)
    kept = {name: np.array(getattr(seen, name)) for name in NAMES}
    model.flat_parameters += 1.0
    activations(model, TOKENS[::-1])
    for name in NAMES:
        np.testing.assert_array_equal(getattr(seen, name), kept[name])
    seen.placed[...] = seen.embedded[...] = 0.0
    np.testing.assert_array_equal(seen.inputs[0], kept["inputs"][0])


# Parts of a reader's own


class OnlyALayer:
    """A layer without an attention, that says nothing of its units."""

    def parameter_shapes(self, config):
        return {"mix": {"weight": (config.d_model, config.d_model)}}

    def forward(self, x, parameters, config):
        return x @ parameters["mix"]["weight"], (x, parameters["mix"]["weight"])

    def backward(self, dy, cache):
        x, weight = cache
        return dy @ weight.T, {"mix": {"weight": np.tensordot(x, dy, axes=([0, 1], [0, 1]))}}


def test_a_layer_without_attention_or_units_shows_what_comes_in_and_goes_out():
    model = spread_out(CLLM(CONFIG, layer=OnlyALayer()))
    seen = activations(model, TOKENS)
    assert seen.attended == seen.weights == seen.units == []
    for i in range(2):
        np.testing.assert_array_equal(seen.outputs[i], seen.inputs[i] @ model.parameters[f"layers.{i}.mix.weight"])


class AnotherCache(TransformerLayer):
    """A subclass that keeps something else, and says so."""

    units = None

    def forward(self, x, parameters, config):
        y, cache = super().forward(x, parameters, config)
        return y, {"inner": cache}


def test_a_layer_that_keeps_something_else_has_no_units():
    model, sound = (spread_out(CLLM(CONFIG, layer=layer)) for layer in (AnotherCache(), None))
    assert activations(model, TOKENS).units == []
    np.testing.assert_array_equal(activations(model, TOKENS).weights, activations(sound, TOKENS).weights)


def test_an_output_of_ones_own_is_what_gives_the_logits():
    class Twice(LinearOutput):
        def forward(self, hidden, matrix):
            logits, cache = super().forward(hidden, matrix)
            return 2.0 * logits, cache

    model = spread_out(CLLM(CONFIG, output=Twice()))
    seen = activations(model, TOKENS)
    np.testing.assert_array_equal(seen.logits, model.logits(TOKENS))
    np.testing.assert_allclose(seen.logits, 2.0 * seen.outputs[-1] @ model.output_matrix, rtol=1e-12)


@pytest.mark.parametrize("seam", ["attention", "layer", "embedding"])
def test_a_part_that_hands_back_nonsense_is_named_as_without_the_tap(seam):
    kind = {"attention": CausalSelfAttention, "layer": TransformerLayer, "embedding": TokenEmbedding}[seam]
    for nonsense in (None, 3, np.zeros(2), (1, 2, 3), (np.zeros(3), None)):
        own = {"forward": lambda self, *arguments, it=nonsense: it, "units": None, "weights": None}
        model = CLLM(CONFIG, **{seam: type("Mine", (kind,), own)()})
        with pytest.raises(ValueError, match=f"{seam} Mine: forward returned") as plain:
            model.logits(TOKENS)
        with pytest.raises(ValueError, match=f"{seam} Mine: forward returned") as tapped:
            activations(model, TOKENS)
        assert str(tapped.value) == str(plain.value)


def test_tokens_that_are_none_get_the_models_own_error():
    with pytest.raises(ValueError, match=r"tokens\[0, 0\] is 40, outside the vocabulary of 40"):
        activations(CLLM(CONFIG), [[40]])


def test_a_model_whose_logits_do_not_come_from_its_parts_has_nothing_to_tap():
    model = CLLM(CONFIG)
    model.logits = lambda tokens: np.zeros((*np.shape(tokens), 40))
    with pytest.raises(ValueError, match="nothing passed through the parts of this model"):
        activations(model, TOKENS)
