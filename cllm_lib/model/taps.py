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
    inputs, outputs : list of ndarray, shape (B, T, D)
        Of each layer: what came in, and what went out.
    attended : list of ndarray, shape (B, T, D)
        Of each layer: what its attention returned. Empty for layers without an attention of their own.
    weights : list of ndarray, shape (B, H, T, T)
        Of each layer: the attention weights. Empty for attention that has none.
    units : list of ndarray, shape (B, T, F)
        Of each layer: the hidden units of its feed-forward network. Empty for layers that do not say which they are.
    logits : ndarray, shape (B, T, V)
    """

    embedded: np.ndarray
    placed: np.ndarray
    inputs: list
    outputs: list
    attended: list
    weights: list
    units: list
    logits: np.ndarray


class _Tapped:
    """A part that works as `part` does, and lets `look` see input, output and cache of each call of its forward pass."""

    def __init__(self, part, look):
        self.part, self.look = part, look

    def __getattr__(self, name):
        return getattr(self.part, name)

    def forward(self, *arguments):
        result = self.part.forward(*arguments)
        if isinstance(result, tuple | list) and len(result) == 2:  # anything else the model refuses next, in its own words
            self.look(arguments[0], *result)
        return result


def _tapped(part, look):
    """The part with a tap, under its own name: errors that name a part by its type go on doing so."""
    return type(type(part).__name__, (_Tapped,), {})(part, look)


def tapped(model, embedding=None, layer=None, attention=None):
    """Tap a model: a copy on the same weights, whose parts let one look at what passes through them.

    Parameters
    ----------
    model : CLLM
        Left as it was.
    embedding, layer, attention : callable, optional
        Each is called with input, output and cache of a forward pass of that part. Of a layer's attention only the first call
        counts, so that there is one for each layer: a layer with a fault may call it again.

    Returns
    -------
    CLLM
    """
    twin, twin.layer, calls = copy.copy(model), copy.copy(model.layer), []

    def at_attention(*passed):
        calls.append(passed)
        if len(calls) == 1:
            attention(*passed)

    def at_layer(*passed):
        calls.clear()
        if layer is not None:
            layer(*passed)

    if attention is not None:
        twin.layer.attention = _tapped(model.layer.attention, at_attention)
    twin.layer = _tapped(twin.layer, at_layer)
    if embedding is not None:
        twin.embedding = _tapped(model.embedding, embedding)
    return twin


def says(part, name):
    """Whether a part has that method for looking; a subclass that keeps something else in its cache has None there."""
    return callable(getattr(part, name, None))


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
        As :meth:`~cllm_lib.model.transformer.CLLM.logits`; or if the logits of this model do not come through its parts.
    """
    seen = {name: [] for name in ("embedded", "inputs", "outputs", "attended", "weights", "units")}
    part = getattr(model.layer, "attention", None)

    def keep(**arrays):
        for name, array in arrays.items():
            seen[name].append(np.array(array))

    def at_layer(x, y, cache):
        keep(inputs=x, outputs=y, **({"units": model.layer.units(cache)} if says(model.layer, "units") else {}))

    def at_attention(x, y, cache):
        keep(attended=y, **({"weights": part.weights(cache)} if says(part, "weights") else {}))

    twin = tapped(model, lambda tokens, x, cache: keep(embedded=x), at_layer, None if part is None else at_attention)
    logits = twin.logits(tokens)
    if not seen["inputs"]:
        raise ValueError("nothing passed through the parts of this model: its logits are another function, and there is nothing to tap")
    return Activations(seen.pop("embedded")[0], seen["inputs"][0].copy(), **seen, logits=logits)
