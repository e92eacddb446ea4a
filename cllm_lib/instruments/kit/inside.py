"""Instruments that look inside: attention weights, activations, and a drill of attention with known numbers."""

import math

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument
from cllm_lib.model.attention import causal_mask
from cllm_lib.model.layers import softmax
from cllm_lib.model.taps import activations

EXACT = 1e-5  # rounding of a sum in float32
SATURATED = 0.99


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
    Word("hidden units that never change", lambda n: n["units that never change"] > 0.0, "each unit has weights of its own"),
    Word("most hidden units are saturated", lambda n: n["units saturated"] > 0.5, "tanh beyond 0.99 has a slope below 0.02"),
    Word("all hidden units of a layer are alike", lambda n: n["units alike"] > 0.0, "drawn weights differ"),
    Word("positions are not normalised", lambda n: n["mean of a position"] > 1e-3, "LayerNorm brings each position to mean 0"),
    Word(
        "a layer's output is not its input's kin",
        lambda n: n["input and output"] < 0.3,
        "x + f(x), with f(x) about as long as x at most: a cosine of 0.5 or more",
    ),
    Word("the same word enters alike at every place", lambda n: n["places told apart"] == 0.0, "positions were meant to be added"),
)
def activation_statistics(patient):
    """Look at what passes through the model before training: hidden units, norms, what a layer lets through, positions."""
    model, tokens = patient.first_twin, patient.batch[0]
    found = activations(model, tokens)
    units = [u.reshape(-1, u.shape[-1]) for u in found.units]
    cosines = [_cosine(x - x.mean(axis=-1, keepdims=True), y) for x, y in zip(found.inputs, found.outputs, strict=True)]
    told_apart = float(np.abs(found.placed - found.embedded).max() > 0.0) if patient.settings.positions != "none" else 1.0
    return {
        "units that never change": float(np.mean([np.mean(np.ptp(u, axis=0) == 0.0) for u in units])),
        "units saturated": float(np.mean([np.mean(np.abs(u) > SATURATED) for u in units])),
        "units alike": float(sum(bool(np.ptp(u, axis=1).max() < 1e-9) and bool(np.ptp(u) > 0.0) for u in units)),
        "mean of a position": float(np.nanmax([np.abs(y.mean(axis=-1)).max() for y in found.outputs])),
        "input and output": float(min(cosines)),
        "places told apart": told_apart,
    }


def _cosine(a, b):
    """The mean cosine of the rows of two arrays; 1 where there is nothing to compare."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    known = lengths > 0.0
    return float(((a * b).sum(axis=-1)[known] / lengths[known]).mean()) if known.any() else 1.0


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
    Word("what it gives with the mask after the softmax", lambda n: _is(n, "from a late mask"), "the same formula in another order"),
)
def attention_drill(patient):
    """Give the attention known queries, keys and values, with scores far apart, and compare with the formula and usual mistakes."""
    model = patient.first_twin
    part, config = model.layer.attention, model.config
    width, heads = config.d_model, config.n_heads
    generator, time = np.random.default_rng(7), 6
    x = generator.standard_normal((2, time, width))
    shapes = part.parameter_shapes(config)
    parameters = {name: np.zeros(shape) for name, shape in shapes.items()}
    for name in ("query", "key", "value", "output"):
        if f"{name}_weight" in parameters:
            parameters[f"{name}_weight"] = np.eye(width) * (2.0 if name in ("query", "key") else 1.0)
    y, _ = part.forward(x, parameters, config)
    found = {name: float(np.abs(y - way).max()) for name, way in _ways(x, heads).items()}
    return {name: value if math.isfinite(value) else math.inf for name, value in found.items()}


def _ways(x, heads):
    """What attention would return by the formula, and by each usual mistake."""
    batch, time, width = x.shape
    split = x.reshape(batch, time, heads, width // heads).transpose(0, 2, 1, 3)
    scores, mask = 4.0 * split @ split.swapaxes(-1, -2), causal_mask(time)
    divided = scores / math.sqrt(width // heads)

    def merged(weights):
        return (weights @ split).transpose(0, 2, 1, 3).reshape(batch, time, width)

    return {
        "from the formula": merged(softmax(np.where(mask, divided, -np.inf))),
        "from undivided scores": merged(softmax(np.where(mask, scores, -np.inf))),
        "from unmasked scores": merged(softmax(divided)),
        "from the turned mask": merged(softmax(np.where(mask.T, divided, -np.inf))),
        "from the other axis": merged(softmax(np.where(mask, divided, -np.inf), axis=-2)),
        "from a late mask": merged(softmax(divided) * mask),
    }


def _is(numbers, name):
    return numbers["from the formula"] > EXACT >= numbers[name]
