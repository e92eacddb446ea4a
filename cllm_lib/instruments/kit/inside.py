"""Instruments that look inside: attention weights, activations, and a drill of attention with known numbers."""

import math
from dataclasses import replace

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument
from cllm_lib.model.attention import causal_mask
from cllm_lib.model.layers import softmax
from cllm_lib.model.positions import POSITIONS, FixedPositions, LearnedPositions
from cllm_lib.model.taps import activations

EXACT = 1e-5  # rounding of a sum in float32
MOVES = 1e-9  # of a logit, in float64: less is rounding
SATURATED = 0.99
SHARP = 4.0  # query and key of the drill are each twice their input: scores lie some tens apart
WIDE = 16  # numbers a head; in wider ones scores would lie so far apart that each word saw itself alone


@instrument(
    "attention statistics",
    3,
    Word("there are no attention weights", lambda n: n["layers with weights"] == 0.0, "attention divides its look among the words"),
    Word("rows do not sum to 1", lambda n: n["rows off 1"] > EXACT, "a softmax over the keys"),
    Word("columns sum to 1", lambda n: n["columns off 1"] < EXACT, "no softmax runs over the queries"),
    Word("weights below 0", lambda n: n["smallest"] < -EXACT, "an exponential is positive"),
    Word("weight on later words", lambda n: n["on later words"] > EXACT, "the causal mask"),
    Word(
        "no weight on earlier words",
        lambda n: n["on earlier words"] < EXACT and n["layers with weights"] > 0.0,
        "the causal mask lets them through",
    ),
    Word("weights are not words by words", lambda n: n["square"] == 0.0, "queries and keys are the positions of one sequence"),
)
def attention_statistics(patient):
    """Look at the attention weights of the trained model on one batch."""
    found = activations(patient.twin, patient.batch[0])
    time = patient.batch[0].shape[1]
    weights = [w for w in found.weights if w.shape[-1] == w.shape[-2] == time]
    nothing = {"rows off 1": 0.0, "columns off 1": 1.0, "smallest": 0.0, "on later words": 0.0, "on earlier words": 0.0}
    square = float(not found.weights or bool(weights))
    if not weights:
        return {"layers with weights": float(len(found.weights)), "square": square} | nothing
    all_of = np.stack(weights)
    later = np.triu(np.ones((time, time), dtype=bool), 1)
    earlier = later.T
    return {
        "layers with weights": float(len(weights)),
        "square": square,
        "rows off 1": float(np.nanmax(np.abs(all_of.sum(axis=-1) - 1.0))),
        "columns off 1": float(np.nanmax(np.abs(all_of.sum(axis=-2) - 1.0))),
        "smallest": float(np.nanmin(all_of)),
        "on later words": float(np.nanmax(np.abs(all_of[..., later]))),
        "on earlier words": float(np.nanmax(np.abs(all_of[..., earlier]))),
    }


@instrument(
    "activation statistics",
    3,
    Word("hidden units that never change", lambda n: n["units that never change"] > 0.0, "a unit with weights follows its input"),
    Word("most hidden units are saturated", lambda n: n["units saturated"] > 0.5, "tanh beyond 0.99 has a slope below 0.02"),
    Word("all hidden units of a layer are alike", lambda n: n["units alike"] > 0.0, "drawn weights differ"),
    Word("positions are not normalised", lambda n: n["mean of a position"] > 1e-3, "LayerNorm brings each position to mean 0"),
    Word(
        "nothing passes a layer but by attention",
        lambda n: n["past a silent attention"] <= MOVES and n["past attention"] > MOVES,
        "a residual connection adds the input to what attention returns",
    ),
    Word("the same word enters alike at every place", lambda n: n["places told apart"] == 0.0, "positions were meant to be added"),
)
def activation_statistics(patient):
    """Look at what passes through the model before training: hidden units, norms, what a layer lets through, positions."""
    model, tokens = patient.first_twin, patient.batch[0]
    found = activations(model, tokens)
    units = [u.reshape(-1, u.shape[-1]) for u in found.units]
    config = model.config
    bounded = units if config.feed_forward == "tanh" else []  # of the others large units are no sign of anything
    normalised = found.outputs if config.norm == "layer" and not config.norm_first else []  # else a layer's output may have any mean
    added = issubclass(POSITIONS[patient.settings.positions], FixedPositions | LearnedPositions)  # others act within attention, or not
    return {
        "units that never change": float(np.mean([np.mean(np.ptp(u, axis=0) == 0.0) for u in units])),
        "units saturated": float(np.mean([np.mean(np.abs(u) > SATURATED) for u in bounded])) if bounded else 0.0,
        "units alike": float(sum(bool(np.ptp(u, axis=1).max() < 1e-9) and bool(np.ptp(u) > 0.0) for u in units)),
        "mean of a position": float(np.nanmax([np.abs(y.mean(axis=-1)).max() for y in normalised])) if normalised else 0.0,
        "past attention": _own_word(model, tokens),
        "past a silent attention": _own_word(_silenced(model), tokens),
        "places told apart": float(not added or not np.array_equal(found.placed, found.embedded)),
    }


def _silenced(model):
    """The same model, every weight of its attention at 0."""
    silent = model.with_parameters(model.flat_parameters.copy())
    for name, array in silent.parameters.items():
        if ".attention." in name:
            array[...] = 0.0
    return silent


def _own_word(model, tokens):
    """By how much the outputs of a sequence's first place move when its word is exchanged for another."""
    other = tokens[:1].copy()
    other[0, 0] = (other[0, 0] + model.config.vocab_size // 2) % model.config.vocab_size
    return float(np.abs(model.logits(other) - model.logits(tokens[:1]))[0, 0].max())


@instrument(
    "attention drill",
    3,
    Word("not what the formula gives", lambda n: n["from the formula"] > EXACT, "softmax(q . k / sqrt(d)) . v, with a causal mask"),
    Word("what it gives without the division", lambda n: _is(n, "from undivided scores"), "the same formula without sqrt(d)"),
    Word("what it gives without a mask", lambda n: _is(n, "from unmasked scores"), "the same formula without the mask"),
    Word("what it gives with the mask turned", lambda n: _is(n, "from the turned mask"), "the same formula with the upper triangle"),
    Word(
        "what it gives with the softmax over the queries", lambda n: _is(n, "from the other axis"), "the same formula along the other axis"
    ),
    Word(
        "what it gives with heads merged without exchanging axes",
        lambda n: _is(n, "from heads not turned back"),
        "the same formula, one line less",
    ),
    Word(
        "what it gives with keys and values read block by block",
        lambda n: _is(n, "from the wrong stride"),
        "the same formula, other places read",
    ),
    Word("what it gives with an exponential of 1 + x", lambda n: _is(n, "from a short series"), "the same formula with a series cut off"),
    Word("what it gives over the batch", lambda n: _is(n, "from the batch for time"), "the same formula with two axes exchanged"),
    Word("its input, times a number", lambda n: _is(n, "from its input") and _is_no_other(n), "no formula at all"),
    Word("what it gives with the mask after the softmax", lambda n: _is(n, "from a late mask"), "the same formula in another order"),
)
def attention_drill(patient):
    """Give the attention known queries, keys and values, with scores far apart, and compare with the formula and usual mistakes."""
    model = patient.first_twin
    part, config = model.layer.attention, replace(model.config, n_kv_heads=None)  # the drill's keys and values are a head's own
    width, heads = config.d_model, config.n_heads
    generator, time = np.random.default_rng(7), 6
    sharpness = SHARP * min(1.0, math.sqrt(WIDE * heads / width))
    x = generator.standard_normal((2, time, width))
    shapes = part.parameter_shapes(config)
    parameters = {name: np.zeros(shape) for name, shape in shapes.items()}
    for name in ("query", "key", "value", "output"):
        if f"{name}_weight" in parameters:
            parameters[f"{name}_weight"] = np.eye(width) * (math.sqrt(sharpness) if name in ("query", "key") else 1.0)
    y, _ = part.forward(x, parameters, config)
    found = {name: float(np.abs(y - way).max()) for name, way in _ways(x, heads, sharpness).items()}
    factor = float((y * x).sum() / (x * x).sum())
    found["from its input"] = float(np.abs(y - factor * x).max())
    if patient.settings.positions == "rotary":  # it turns queries and keys by their places, of which the formula knows nothing
        return dict.fromkeys(found, 0.0)
    return {name: value if math.isfinite(value) else math.inf for name, value in found.items()}


def _ways(x, heads, sharpness):
    """What attention would return by the formula, and by each usual mistake."""
    batch, time, width = x.shape
    split = _split(x, heads)
    scores, mask = sharpness * split @ split.swapaxes(-1, -2), causal_mask(time)
    divided = scores / math.sqrt(width // heads)
    right = softmax(np.where(mask, divided, -np.inf))
    blocks = x.reshape(batch, time * heads, width // heads)
    strided = np.stack([blocks[:, h : h + time] for h in range(heads)], axis=1)
    by_stride = softmax(np.where(mask, sharpness * split @ strided.swapaxes(-1, -2) / math.sqrt(width // heads), -np.inf))
    series = np.where(mask, 1.0 + divided - np.where(mask, divided, -np.inf).max(axis=-1, keepdims=True), 0.0)
    return {
        "from the formula": _merged(right @ split),
        "from undivided scores": _merged(softmax(np.where(mask, scores, -np.inf)) @ split),
        "from unmasked scores": _merged(softmax(divided) @ split),
        "from the turned mask": _merged(softmax(np.where(mask.T, divided, -np.inf)) @ split),
        "from the other axis": _merged(softmax(np.where(mask, divided, -np.inf), axis=-2) @ split),
        "from a late mask": _merged(softmax(divided) * mask @ split),
        "from heads not turned back": (right @ split).reshape(batch, time, width),
        "from the wrong stride": _merged(by_stride @ strided),
        "from a short series": _merged(series / series.sum(axis=-1, keepdims=True) @ split),
        "from the batch for time": _over_the_batch(x, heads, sharpness),
    }


def _split(x, heads):  # (B, T, D) -> (B, H, T, d)
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _merged(y):  # (B, H, T, d) -> (B, T, D)
    return y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)


def _over_the_batch(x, heads, sharpness):
    turned = _split(x.swapaxes(0, 1), heads)
    scores = sharpness * turned @ turned.swapaxes(-1, -2) / math.sqrt(turned.shape[-1])
    return _merged(softmax(np.where(causal_mask(len(x)), scores, -np.inf)) @ turned).swapaxes(0, 1)


def _is(numbers, name):
    return numbers["from the formula"] > EXACT >= numbers[name]


def _is_no_other(numbers):
    """Whether none of the usual mistakes gives it: one may make each word see itself alone."""
    return all(value > EXACT for name, value in numbers.items() if name != "from its input")
