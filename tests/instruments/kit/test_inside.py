"""Attention weights, activations and the drill: against loops over positions and heads, and a forward pass written out."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.kit.patients import SMALL, each_word, healthy, ill, just_these_words, numbers, patient, said

from cllm_lib import CLLM, Trainer
from cllm_lib.casebook.building import assembled
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient
from cllm_lib.model.attention import CausalSelfAttention

OFF = "not what the formula gives"
SAID = {
    "attention statistics": {
        "simplified attention": {"there are no attention weights"},
        "mask after softmax": {"rows do not sum to 1"},
        "softmax over queries": {"rows do not sum to 1", "columns sum to 1"},
        "home-made exponential": {"weights below 0"},
        "no causal mask": {"weight on later words"},
        "transposed mask": {"weight on later words", "no weight on earlier words"},
        "batch taken for time": {"no weight on earlier words", "weights are not words by words"},
        "heads merged without transposing": set(),  # after the weights
        "scores not divided by sqrt(d)": set(),
        "head stride": set(),
        "unscaled initialisation": set(),
        "constant initialisation": set(),
        "healthy, in float32": set(),
        "healthy": set(),
    },
    "activation statistics": {
        "dead units": {"hidden units that never change"},
        "saturated units": {"most hidden units are saturated"},
        "constant initialisation": {"all hidden units of a layer are alike"},
        "LayerNorm over time": {"positions are not normalised"},
        "no residual connection": {"nothing passes a layer but by attention"},
        "positions not added": {"the same word enters alike at every place"},
        "positions not added, sinusoidal": {"the same word enters alike at every place"},
        "zero initialisation": {"hidden units that never change", "the same word enters alike at every place"},
        "missing attention gradient": set(),
        "simplified attention": set(),
        "healthy, without positions": set(),
        "healthy, rotary": set(),
        "healthy, distance bias": set(),
        "healthy": set(),
    },
    "attention drill": {
        "scores not divided by sqrt(d)": {OFF, "what it gives without the division"},
        "scores not divided by sqrt(d), with wide heads": {OFF, "what it gives without the division"},
        "no causal mask": {OFF, "what it gives without a mask"},
        "transposed mask": {OFF, "what it gives with the mask turned"},
        "softmax over queries": {OFF, "what it gives with the softmax over the queries"},
        "heads merged without transposing": {OFF, "what it gives with heads merged without exchanging axes"},
        "head stride": {OFF, "what it gives with keys and values read block by block"},
        "home-made exponential": {OFF, "what it gives with an exponential of 1 + x"},
        "batch taken for time": {OFF, "what it gives over the batch"},
        "simplified attention": {OFF, "its input, times a number"},
        "simplified attention, with wide heads": {OFF, "its input, times a number"},
        "mask after softmax": {OFF, "what it gives with the mask after the softmax"},
        "projection by blocks": set(),  # of the identity there are blocks only
        "outer-product backward": set(),
        "healthy, rotary": set(),
        "healthy, distance bias": set(),
        "healthy, with wide heads": set(),
        "healthy": set(),
    },
}


test_just_these_words_are_said = just_these_words(SAID)
test_each_word_is_said_of_a_patient = each_word(SAID)


@given(healthy(steps=25))
@settings(max_examples=settings().max_examples * 2 // 5)
def test_nothing_is_said_of_what_passes_through_healthy_models(patient):
    assert all(said(instrument, patient) == set() for instrument in SAID)


def with_attention(attention, **changes):
    """A patient with an attention of a test's own."""
    return patient(replace(SMALL, **changes), lambda parts, stated: replace(parts, seams=parts.seams | {"attention": attention}))


def slow_weights(query, key, scale=True, sees=lambda t, s: s <= t):
    """Attention weights of one head, from (T, d) and (T, d), number by number."""
    weights = np.zeros((len(query), len(query)))
    for t, q in enumerate(query):
        scores = {s: sum(a * b for a, b in zip(q, k, strict=True)) for s, k in enumerate(key) if sees(t, s)}
        powers = {s: math.exp(score / (math.sqrt(len(q)) if scale else 1.0)) for s, score in scores.items()}
        for s, power in powers.items():
            weights[t, s] = power / sum(powers.values())
    return weights


def slow_attention(x, heads, sharpness, **mistake):
    """The drill's answer, head by head and word by word: queries and keys are the input, made longer, and values are the input."""
    width = x.shape[2] // heads
    y = np.zeros_like(x)
    for b, row in enumerate(x):
        for h in range(heads):
            part = row[:, h * width : (h + 1) * width]
            y[b][:, h * width : (h + 1) * width] = slow_weights(sharpness * part, part, **mistake) @ part
    return y


MISTAKES = {
    "from the formula": {},
    "from undivided scores": {"scale": False},
    "from unmasked scores": {"sees": lambda t, s: True},
    "from the turned mask": {"sees": lambda t, s: s >= t},
}


@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("width", [16, 32])
def test_the_drill_compares_with_the_formula_and_its_variations(width, heads):
    """Of an attention that answers 0 everywhere, each distance is the size of what would have been right."""

    class Silent(CausalSelfAttention):
        def forward(self, x, parameters, config):
            self.x = x
            return np.zeros_like(x), None

    part = Silent()
    found = numbers("attention drill", _seen_by(part, d_model=width, n_heads=heads))
    for name, mistake in MISTAKES.items():
        assert found[name] == pytest.approx(np.abs(slow_attention(part.x, heads, 4.0, **mistake)).max(), rel=1e-9), name
    over_queries = [  # weights of a key sum to 1
        [np.where(np.tri(6) > 0, 4.0 * p @ p.T / math.sqrt(p.shape[1]), -np.inf) for p in _heads(row, heads)] for row in part.x
    ]
    y = [
        np.concatenate([np.exp(s) / np.exp(s).sum(axis=0) @ p for s, p in zip(scores, _heads(row, heads), strict=True)], axis=1)
        for scores, row in zip(over_queries, part.x, strict=True)
    ]
    assert found["from the other axis"] == pytest.approx(np.abs(y).max(), rel=1e-9)
    turned = slow_attention(part.x.transpose(1, 0, 2), heads, 4.0).transpose(1, 0, 2)
    assert found["from the batch for time"] == pytest.approx(np.abs(turned).max(), rel=1e-9)
    assert found["from its input"] == 0.0


def _heads(row, heads):
    return np.split(row, heads, axis=1)


def _seen_by(part, **changes):
    """A patient whose attention part is that very object, to which the drill hands its input."""
    one = with_attention(part, positions="none", schedule="constant", **changes)
    model = one.begin().model
    model.layer.attention = part

    class Drilled:
        settings, first_twin, gives_the_same_twice = one.settings, model, True

    return Drilled()


class HalfOfIt(CausalSelfAttention):
    """Attention that lets half of the right answer through."""

    def attend(self, query, key, value):
        y, cache = super().attend(query, key, value)
        return 0.5 * y, cache


def test_a_mistake_that_is_none_of_the_usual_ones_is_told_without_a_name():
    assert said("attention drill", with_attention(HalfOfIt())) == {OFF}


@pytest.mark.parametrize(
    "described", ["healthy", "no causal mask", "mask after softmax", "home-made exponential", "healthy, with one layer"]
)
def test_the_statistics_of_attention_are_those_of_its_weights_taken_pair_by_pair(described):
    """A row of the lowest layer is that of a softmax written out."""
    one = ill(described)
    model, tokens = one.copy().model, one.batch[0]
    x = model.parameters["embedding"][tokens] + model.parameters["positions.table"]
    layers = []
    for i in range(model.config.n_layers):
        parameters = model.layer_parameters(i)
        _, cache = model.layer.attention.forward(x, parameters["attention"], model.config)
        layers.append(model.layer.attention.weights(cache))
        x, _ = model.layer.forward(x, parameters, model.config)
    weights, time = np.stack(layers), tokens.shape[1]
    found = numbers("attention statistics", one)
    pairs = [(t, s) for t in range(time) for s in range(time)]
    assert found["layers with weights"] == model.config.n_layers
    assert found["rows off 1"] == pytest.approx(max(np.abs(sum(weights[..., s] for s in range(time)) - 1).max(), 0), abs=1e-12)
    assert found["columns off 1"] == pytest.approx(np.abs(sum(weights[..., t, :] for t in range(time)) - 1).max(), rel=1e-9)
    assert found["smallest"] == weights.min()
    assert found["on later words"] == max(np.abs(weights[..., t, s]).max() for t, s in pairs if s > t)
    assert found["on earlier words"] == max(np.abs(weights[..., t, s]).max() for t, s in pairs if s < t)
    if described == "healthy":
        p = model.layer_parameters(0)["attention"]
        first = model.parameters["embedding"][tokens[0]] + model.parameters["positions.table"]
        query, key = (first @ p[f"{name}_weight"] + p[f"{name}_bias"] for name in ("query", "key"))
        np.testing.assert_allclose(layers[0][0, 1], slow_weights(query[:, 8:], key[:, 8:]), rtol=1e-9)


@pytest.mark.parametrize("described", ["healthy", "saturated units", "dead units, with one layer"])
def test_the_hidden_units_are_those_of_a_forward_pass_written_out(described):
    one = ill(described)
    model, tokens = one.begin().model, one.batch[0]
    parameters, units = model.parameters, []
    x = parameters["embedding"][tokens] + parameters["positions.table"]
    for i in range(model.config.n_layers):
        p = {name.removeprefix(f"layers.{i}."): array for name, array in parameters.items() if name.startswith(f"layers.{i}.")}
        attended = np.empty_like(x)
        for b, row in enumerate(x):
            q, k, v = (row @ p[f"attention.{name}_weight"] + p[f"attention.{name}_bias"] for name in ("query", "key", "value"))
            parts = [slow_weights(q[:, h : h + 8], k[:, h : h + 8]) @ v[:, h : h + 8] for h in (0, 8)]
            attended[b] = np.concatenate(parts, axis=1) @ p["attention.output_weight"] + p["attention.output_bias"]
        x = normed(x + attended)
        units.append(np.tanh(x @ p["feed_forward.expand_weight"] + p["feed_forward.expand_bias"]))
        x = normed(x + units[-1] @ p["feed_forward.contract_weight"] + p["feed_forward.contract_bias"])
    found, units = numbers("activation statistics", one), np.stack(units)
    assert found["units saturated"] == pytest.approx((np.abs(units) > 0.99).mean())
    assert found["units that never change"] == pytest.approx(
        np.mean([np.ptp(units[i, ..., unit]) == 0.0 for i in range(len(units)) for unit in range(units.shape[-1])])
    )
    assert found["mean of a position"] < 1e-12


def normed(x):
    """LayerNorm with gain 1 and bias 0, as before training."""
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


def test_a_layer_without_its_attention_still_hands_on_the_word_itself():
    """Of a residual connection all passes; without one, nothing: not by a little."""
    sound, broken = (numbers("activation statistics", ill(name)) for name in ("healthy", "no residual connection"))
    assert sound["past a silent attention"] > 0.1
    assert broken["past a silent attention"] == 0.0 < broken["past attention"]


@given(st.floats(-1e-6, 1e-6))
def test_rounding_of_float32_is_no_word_of_attention(rounding):
    usual = numbers("attention statistics", ill("healthy"))
    moved = {"rows off 1": abs(rounding), "smallest": rounding, "on later words": abs(rounding)}
    assert kit.words_for(kit.ALL["attention statistics"], usual | moved) == ()


class WithTodaysLayers(Patient):
    """A sound training whose model has layers that no settings of the case files ask for."""

    def __init__(self, **others):
        def begin():
            trainer = assembled(SMALL)
            model = CLLM(replace(trainer.model.config, **others), seed=SMALL.seed, fast=False)
            return Trainer(model, trainer.corpus, optimizer=SMALL.make_optimizer(), batch_size=SMALL.batch_size, seed=SMALL.seed)

        super().__init__(SMALL, begin, SMALL.steps)


@pytest.mark.parametrize(
    "others",
    [
        dict(norm="rms", norm_first=True, feed_forward="swiglu", n_kv_heads=1),
        dict(norm_first=True, feed_forward="gelu"),
        dict(norm="rms", n_kv_heads=1),
    ],
    ids=["Llama's", "GPT's", "RMSNorm"],
)
def test_nothing_certain_is_said_of_sound_layers_of_today(others):
    one = WithTodaysLayers(**others)
    for name in ("attention statistics", "activation statistics", "attention drill", "gradient check at the start", "weights", "gradients"):
        assert said(name, one) == set(), name
