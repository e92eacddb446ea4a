"""A tap for activations: what passes between the parts of a model, on one batch. Frameworks call it a forward hook."""

import copy
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Activations:
    """What passed through a model on its way from tokens to logits; copies.

    Attributes
    ----------
    embedded, placed : ndarray, shape (B, T, D)
        After the embedding, and after the positions.
    inputs, attended, outputs : list of ndarray, shape (B, T, D)
        Of each layer: what came in, what its attention returned, what went out. `attended` is empty for a layer without
        an attention of its own.
    weights : list of ndarray, shape (B, H, T, T)
        Attention weights, for attention that has some.
    units : list of ndarray, shape (B, T, F)
        The hidden units of each feed-forward network, for layers that say which they are.
    logits : ndarray, shape (B, T, V)
    """

    embedded: np.ndarray
    placed: np.ndarray
    inputs: list
    attended: list
    outputs: list
    weights: list
    units: list
    logits: np.ndarray


class _Tapped:
    """A part that works as `part` does, and lets `look` see each call of its forward pass."""

    def __init__(self, part, look):
        self.part, self.look = part, look

    def __getattr__(self, name):
        return getattr(self.part, name)

    def forward(self, *arguments):
        result = self.part.forward(*arguments)
        self.look(arguments, result)
        return result


def activations(model, tokens):
    """Activations: what passes between the parts of a model on one batch.

    Parameters
    ----------
    model : CLLM
        Of any parts; left as it was.
    tokens : array_like of int, shape (B, T)

    Returns
    -------
    Activations

    Raises
    ------
    ValueError
        As :meth:`~cllm_lib.model.transformer.CLLM.logits`.
    """
    seen = {name: [] for name in ("embedded", "placed", "inputs", "attended", "outputs", "weights", "units")}
    layer, attention = copy.copy(model.layer), getattr(model.layer, "attention", None)

    def at_attention(arguments, result):
        seen["attended"].append(np.array(result[0]))
        if hasattr(attention, "weights"):
            seen["weights"].append(np.array(attention.weights(result[1])))

    def at_layer(arguments, result):
        seen["inputs"].append(np.array(arguments[0]))
        seen["outputs"].append(np.array(result[0]))
        if hasattr(model.layer, "units"):
            seen["units"].append(np.array(model.layer.units(result[1])))

    if attention is not None:
        layer.attention = _Tapped(attention, at_attention)
    tapped = copy.copy(model)
    tapped.layer = _Tapped(layer, at_layer)
    tapped.embedding = _Tapped(model.embedding, lambda arguments, result: seen["embedded"].append(np.array(result[0])))
    tapped.positions = _Tapped(model.positions, lambda arguments, result: seen["placed"].append(np.array(result)))
    logits = tapped.logits(tokens)
    return Activations(seen.pop("embedded")[0], seen.pop("placed")[0], **seen, logits=logits)
