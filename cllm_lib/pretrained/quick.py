"""The quick twin of :mod:`~cllm_lib.pretrained.decoder_layers`: what runs when a chat model answers.

The plain functions are the definition, written to be read; tests hold the two equal, to rounding. Here angles are computed once
for all layers, what can be is done in place, no head of keys or values is copied for the queries that share it, and no key is
looked at that stands behind a block of queries.

Shapes: T new tokens, S tokens in all, D d_model, H heads, G heads of keys and values, r = H / G, d = D / H, F d_ff.
"""

import numpy as np

from cllm_lib.model.attention import PROJECTIONS
from cllm_lib.model.fast import QUERIES, ROTATIONS, safe_for_exp
from cllm_lib.model.layers import largest


def quick_decoder_forward(ids, parameters, config, cache):  # (T,) ints -> (T, D)
    """See :func:`~cllm_lib.pretrained.decoder_layers.decoder_forward`."""
    x, positions = parameters["embedding"][ids], np.arange(cache.length, cache.length + len(ids), dtype=np.int64)
    rotation = ROTATIONS[config.rope_pairs](positions, config.d_model // config.n_heads, x.dtype, config.rope_base)
    for layer, keys, values in zip(parameters["layers"], cache.keys[:, 0], cache.values[:, 0], strict=True):
        x += attention(rms_norm(x, layer["attention_norm"]["gain"], config.eps), layer["attention"], rotation, keys, values, cache.length)
        x += swiglu(rms_norm(x, layer["feed_forward_norm"]["gain"], config.eps), **layer["feed_forward"])
    cache.ids.extend(ids.tolist())
    return rms_norm(x, parameters["final_norm"]["gain"], config.eps)


def rms_norm(x, gain, eps):  # (T, D) -> (T, D)
    """See :func:`~cllm_lib.model.layers.rms_norm_forward`."""
    y = x * (1.0 / np.sqrt(np.vecdot(x, x)[:, None] / x.shape[-1] + eps))
    y *= gain
    return y


def swiglu(x, gate_weight, up_weight, down_weight):  # (T, D) -> (T, D)
    """See :func:`~cllm_lib.model.layers.swiglu_forward`; SiLU is x / (1 + exp(-x)), which is 0 where exp overflows."""
    gate, up = x @ gate_weight, x @ up_weight
    share = np.negative(gate)
    with np.errstate(over="ignore"):
        np.exp(share, out=share)
    share += 1.0
    gate /= share
    gate *= up
    return gate @ down_weight


def attention(x, parameters, rotation, keys, values, start):  # (T, D) -> (T, D)
    """Grouped-query attention on rotated queries and keys; new keys and values are put behind the old, (G, room, d), at `start`.

    The queries that share a head of keys stand one after the other as rows of one matrix, (T r, d): one product for all of them.
    """
    (n_kv_heads, _, d_head), time = keys.shape, len(x)
    query, key, value = ((x @ parameters[f"{name}_weight"]).reshape(time, -1, d_head).swapaxes(0, 1) for name in PROJECTIONS)
    rotation.turn(query)
    rotation.turn(key)
    keys[:, start : start + time], values[:, start : start + time] = key, value
    query = query.reshape(n_kv_heads, -1, time, d_head).swapaxes(1, 2) / np.sqrt(d_head).astype(x.dtype)  # (G, T, r, d)
    attended = np.empty((time, n_kv_heads, query.shape[2], d_head), x.dtype)
    for first in range(0, time, QUERIES):
        last = min(first + QUERIES, time)
        seen = start + last
        attended[first:last] = attend(query[:, first:last], keys[:, :seen], values[:, :seen]).swapaxes(0, 1)
    return attended.reshape(time, -1) @ parameters["output_weight"]


def attend(query, keys, values):  # (G, T, r, d), 2 x (G, S, d) -> (G, T, r, d)
    """Scaled dot-product attention of the last T of S tokens; the queries are scaled already."""
    (n_kv_heads, time, n_sharing, d_head), seen = query.shape, keys.shape[1]
    scores = query.reshape(n_kv_heads, -1, d_head) @ keys.mT
    safe = safe_for_exp(scores)
    if time > 1:  # only of the block with itself does a key come after a query
        square = scores.reshape(n_kv_heads, time, n_sharing, seen)[..., seen - time :]
        square += np.triu(np.full((time, time), -np.inf, scores.dtype), 1)[:, None]
    if not safe:
        scores -= largest(scores)
    np.exp(scores, out=scores)
    attended = scores @ values
    attended /= scores.sum(axis=-1, keepdims=True)
    return attended.reshape(query.shape)
