"""The forward pass of a Llama decoder as plain functions, from token ids to hidden states: the parts of the chapters before.

RMSNorm first, grouped-query attention on rotated queries and keys, SwiGLU; no biases. Keys and values of what was read stay in
a cache.

Shapes: T new tokens, S tokens in all, D d_model, H heads, G heads of keys and values, d = D / H.

Notes
-----
Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models", section 2.2; grouped queries as in Touvron et al. 2023,
"Llama 2: Open Foundation and Fine-Tuned Chat Models", section 2.2.
"""

import numpy as np

from cllm_lib.lattice.encodings import rotate
from cllm_lib.model.attention import merge_heads, scaled_dot_product_forward, split_heads
from cllm_lib.model.layers import linear_forward, rms_norm_forward, swiglu_forward


def decoder_layer_forward(x, parameters, config, keys, values, start):  # (1, T, D) -> (1, T, D)
    """A pre-normalised decoder layer with residual connections: norm, attention, add; norm, SwiGLU, add.

    Parameters
    ----------
    x : ndarray, shape (1, T, D)
    parameters : dict
        `attention`, `attention_norm`, `feed_forward`, `feed_forward_norm`: of each part, its arrays by name.
    config : ChatConfig
    keys, values : ndarray, shape (1, G, room, d)
        Filled up to `start`; those of the new tokens are put behind.
    start : int
        How many tokens were read before.

    Returns
    -------
    ndarray, shape (1, T, D)
    """
    attention, stop = parameters["attention"], start + x.shape[1]
    normed, _ = rms_norm_forward(x, **parameters["attention_norm"], eps=config.eps)
    query, key, value = (
        split_heads(linear_forward(normed, attention[f"{name}_weight"])[0], n_heads)
        for name, n_heads in (("query", config.n_heads), ("key", config.n_kv_heads), ("value", config.n_kv_heads))
    )
    positions = np.arange(start, stop, dtype=np.int64)
    query, key = (rotate(part, positions, config.rope_base, config.rope_pairs) for part in (query, key))
    keys[:, :, start:stop], values[:, :, start:stop] = key, value
    attended, _ = scaled_dot_product_forward(query, keys[:, :, :stop], values[:, :, :stop])
    x = x + linear_forward(merge_heads(attended), attention["output_weight"])[0]
    normed, _ = rms_norm_forward(x, **parameters["feed_forward_norm"], eps=config.eps)
    return x + swiglu_forward(normed, **parameters["feed_forward"])[0]


def decoder_forward(ids, parameters, config, cache):  # (T,) ints -> (T, D)
    """From token ids to hidden states, normalised for the output; the cache is longer by T afterwards."""
    x = parameters["embedding"][ids][None]
    for layer, keys, values in zip(parameters["layers"], cache.keys, cache.values, strict=True):
        x = decoder_layer_forward(x, layer, config, keys, values, cache.length)
    cache.ids.extend(ids.tolist())
    return rms_norm_forward(x[0], **parameters["final_norm"], eps=config.eps)[0]


class Cache:
    """Key/value cache of a decoder: room for the keys and values of so many tokens, in every layer.

    The library's other cache, :class:`~cllm_lib.model.key_value_cache.KeyValueCache`, copies the weights of a CLLM; here half a
    gigabyte of them is left where it is.

    Attributes
    ----------
    keys, values : ndarray, shape (L, 1, G, room, d)
        Memory is taken as they are filled.
    ids : list of int
        The tokens read so far.
    """

    def __init__(self, config, room, dtype=np.float32):
        shape = (config.n_layers, 1, config.n_kv_heads, room, config.d_model // config.n_heads)
        self.keys, self.values, self.ids = np.zeros(shape, dtype), np.zeros(shape, dtype), []

    @property
    def length(self):
        """How many tokens were read so far."""
        return len(self.ids)

    @property
    def room(self):
        """For how many there is room."""
        return self.keys.shape[-2]

    def keep(self, ids):  # (T,) ints -> (at least 1,) ints
        """Forget all but what `ids` begin with, their last apart, whose logits are wanted; returns the rest of them, yet to be read."""
        most = min(self.length, len(ids) - 1)
        (differ,) = np.nonzero(np.array(self.ids[:most], np.int64) != ids[:most])
        del self.ids[differ[0] if len(differ) else most :]
        return ids[self.length :]
