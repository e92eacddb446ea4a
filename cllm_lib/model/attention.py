"""Causal multi-head self-attention: each position looks back and takes what it finds useful.

Shapes: B batch, T time, D d_model, H heads, d = D / H the width of a head, S keys: T, or more when earlier ones were kept.
"""

import copy
import math

import numpy as np

from cllm_lib.model.layers import linear_backward, linear_forward, softmax, softmax_backward

PROJECTIONS = ("query", "key", "value")


def causal_mask(time, start=0):  # -> (T, start + T)
    """True where a query (row) may look at a key (column): at itself and at what came before.

    The queries stand at the positions from `start` on, the keys at those from 0 on.
    """
    return np.tri(time, start + time, start, dtype=bool)


def split_heads(x, n_heads):  # (B, T, D) -> (B, H, T, d)
    """Cut the last axis into heads, and put the head axis where matrix products leave it alone."""
    batch, time, width = x.shape
    return x.reshape(batch, time, n_heads, width // n_heads).transpose(0, 2, 1, 3)


def merge_heads(x):  # (B, H, T, d) -> (B, T, D)
    """Undo :func:`split_heads`."""
    batch, n_heads, time, d_head = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, time, n_heads * d_head)


def scaled_dot_product_forward(query, key, value, mask=None):  # (B, H, T, d), 2 x (B, H, S, d), (T, S) -> (B, H, T, d)
    """Average the values, weighted by how well each key answers the query.

    1. scores = query . key / sqrt(d): without the root their variance would grow with d, and softmax would pick
       a single key before anything is learnt.
    2. weights = softmax of the scores over the keys, with -inf where the mask forbids.
    3. output = weights . values.

    Parameters
    ----------
    query : ndarray, shape (B, H, T, d)
    key, value : ndarray, shape (B, H, S, d)
        S = T, or more: then the queries are those of the last T keys.
    mask : ndarray of bool, shape (T, S), optional
        True where a query may look; :func:`causal_mask` by default.

    Returns
    -------
    output : ndarray, shape (B, H, T, d)
    cache : tuple
        query, key, value and the weights.

    Notes
    -----
    Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1.
    """
    mask = causal_mask(query.shape[-2], key.shape[-2] - query.shape[-2]) if mask is None else mask
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
    weights = softmax(np.where(mask, scores, -np.inf))
    return weights @ value, (query, key, value, weights)


def scaled_dot_product_backward(d_output, cache):  # (B, H, T, d) -> 3 x (B, H, T, d)
    """Gradients with respect to query, key and value: steps 3, 2, 1 of the forward pass in reverse."""
    query, key, value, weights = cache
    d_value = weights.swapaxes(-1, -2) @ d_output  # 3: output = weights @ value
    d_weights = d_output @ value.swapaxes(-1, -2)
    d_scores = softmax_backward(d_weights, weights) / math.sqrt(query.shape[-1])  # 2; masked weights are 0, so is this
    d_query = d_scores @ key  # 1: scores = query @ key.T / sqrt(d)
    d_key = d_scores.swapaxes(-1, -2) @ query
    return d_query, d_key, d_value


def attention_forward(x, parameters, n_heads, attend=scaled_dot_product_forward):  # (B, T, D) -> (B, T, D)
    """Project to queries, keys and values, attend in each head, and project back.

    Parameters
    ----------
    x : ndarray, shape (B, T, D)
    parameters : dict
        `query_weight`, `query_bias`, the same for key, value and output: (D, D) and (D,).
    n_heads : int
    attend : callable
        From query, key and value, each (B, H, T, d), to what attention returns for them, and a cache.

    Returns
    -------
    y : ndarray, shape (B, T, D)
    cache : tuple
    """
    projected = [linear_forward(x, parameters[f"{name}_weight"], parameters[f"{name}_bias"]) for name in PROJECTIONS]
    heads = [split_heads(y, n_heads) for y, _ in projected]
    attended, attend_cache = attend(*heads)
    y, output_cache = linear_forward(merge_heads(attended), parameters["output_weight"], parameters["output_bias"])
    return y, ([cache for _, cache in projected], attend_cache, output_cache, n_heads)


def attention_backward(dy, cache, attend_backward=scaled_dot_product_backward):  # (B, T, D) -> (B, T, D), gradients of the eight arrays
    """Gradients of :func:`attention_forward`.

    Returns
    -------
    dx : ndarray, shape (B, T, D)
        The sum of three paths: x made the queries, the keys and the values.
    gradients : dict
        Named like the parameters.
    """
    projection_caches, attend_cache, output_cache, n_heads = cache
    d_merged, output = linear_backward(dy, output_cache)
    gradients = {"output_weight": output["weight"], "output_bias": output["bias"]}
    d_heads = attend_backward(split_heads(d_merged, n_heads), attend_cache)
    dx = 0.0
    for name, d_head, projection_cache in zip(PROJECTIONS, d_heads, projection_caches, strict=True):
        d_path, projection = linear_backward(merge_heads(d_head), projection_cache)
        gradients[f"{name}_weight"], gradients[f"{name}_bias"] = projection["weight"], projection["bias"]
        dx = dx + d_path
    return dx, gradients


def weights_of(cache):  # -> (B, H, T, T)
    """The attention weights that :func:`attention_forward` left in its cache: row q is how query q divides its look."""
    _, (*_, weights), _, _ = cache
    return weights


class CausalSelfAttention:
    """The sound attention, as a part that a model can be given: `CLLM(config, attention=CausalSelfAttention())`.

    Any object with `parameter_shapes`, `forward` and `backward` can take its place: a defect of the museum, or a
    reader's own. A part that differs only in what happens between the projections overrides :meth:`attend`.
    `weights` is for looking: :func:`attention_weights` asks for it.
    """

    def parameter_shapes(self, config):
        """Names and shapes of the arrays this part trains."""
        width = config.d_model
        shapes = {}
        for name in (*PROJECTIONS, "output"):
            shapes |= {f"{name}_weight": (width, width), f"{name}_bias": (width,)}
        return shapes

    def forward(self, x, parameters, config):
        """See :func:`attention_forward`."""
        return attention_forward(x, parameters, config.n_heads, self.attend)

    def backward(self, dy, cache):
        """See :func:`attention_backward`."""
        return attention_backward(dy, cache, self.attend_backward)

    def attend(self, query, key, value):
        """See :func:`scaled_dot_product_forward`."""
        return scaled_dot_product_forward(query, key, value)

    def attend_backward(self, d_output, cache):
        """See :func:`scaled_dot_product_backward`."""
        return scaled_dot_product_backward(d_output, cache)

    def weights(self, cache):  # -> (B, H, T, T)
        """See :func:`weights_of`."""
        return weights_of(cache)


class _Watched:
    """An attention part that works as `part` does, and keeps a copy of the weights of each call."""

    def __init__(self, part):
        self.part = part
        self.seen = []

    def forward(self, *arguments):
        y, cache = self.part.forward(*arguments)
        self.seen.append(np.array(self.part.weights(cache)))
        return y, cache


def attention_weights(model, tokens):  # (T,) -> n_layers x (H, T, T)
    """Where each position of one sequence looks, in every layer and head of a model.

    Parameters
    ----------
    model : CLLM
        Left as it was.
    tokens : array_like of int, shape (T,)

    Returns
    -------
    list of ndarray, shape (H, T, T)
        One array a layer: `[layer][head, query, key]`. Of sound attention each row sums to 1 over the keys.

    Raises
    ------
    ValueError
        If `tokens` are not one sequence, or the model's attention has no weights, as simplified attention has none.
    """
    if np.ndim(tokens) != 1:
        raise ValueError(f"tokens have shape {np.shape(tokens)}: give one sequence, such as tokens[0]")
    part = getattr(model.layer, "attention", None)
    if not hasattr(part, "weights"):
        raise ValueError(f"{type(part or model.layer).__name__} has no attention weights to show: give it a method weights(cache)")
    watched, watched.layer = copy.copy(model), copy.copy(model.layer)
    watched.layer.attention = _Watched(part)
    watched.logits([tokens])
    return [weights[0] for weights in watched.layer.attention.seen]
