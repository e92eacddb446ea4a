"""The forward pass of a BERT encoder as plain functions, from token ids to one row for each sentence.

From the CLLM of the earlier chapters it differs in five things: every token looks at every token, GELU stands where tanh
stood, the positions are learned, a norm follows the embedding, and nothing is predicted: the last hidden states are averaged.

Shapes: B sentences, T tokens, D d_model, H heads.

Notes
-----
Devlin et al. 2019, "BERT" (the encoder); Reimers and Gurevych 2019, "Sentence-BERT" (one row for a sentence, from the mean
of its tokens).
"""

from functools import partial

import numpy as np

from cllm_lib.model.activation_functions import gelu_forward
from cllm_lib.model.attention import attention_forward, scaled_dot_product_forward
from cllm_lib.model.layers import embedding_forward, layer_norm_forward, linear_forward


def encoder_layer_forward(x, parameters, n_heads, eps, mask=True):  # (B, T, D) -> (B, T, D)
    """A post-LayerNorm encoder layer with residual connections: attention, add, norm; feed-forward with GELU, add, norm.

    Parameters
    ----------
    x : ndarray, shape (B, T, D)
    parameters : dict
        `attention`, `attention_norm`, `feed_forward`, `feed_forward_norm`: of each part, its arrays by name.
    n_heads : int
    eps : float
        Of LayerNorm.
    mask : bool or ndarray of bool that fits (B, H, T, T)
        Where a token may look. True: everywhere.

    Returns
    -------
    y : ndarray, shape (B, T, D)
    cache : tuple
        Of attention, and of the two matrices of the feed-forward part.
    """
    attend = partial(scaled_dot_product_forward, mask=mask)
    attended, attention_cache = attention_forward(x, parameters["attention"], n_heads, attend)
    x, _ = layer_norm_forward(x + attended, **parameters["attention_norm"], eps=eps)
    weights = parameters["feed_forward"]
    expanded, expand_cache = linear_forward(x, weights["expand_weight"], weights["expand_bias"])
    fed, contract_cache = linear_forward(gelu_forward(expanded), weights["contract_weight"], weights["contract_bias"])
    y, _ = layer_norm_forward(x + fed, **parameters["feed_forward_norm"], eps=eps)
    return y, (attention_cache, expand_cache, contract_cache)


def mean_pooling(hidden, is_token):  # (B, T, D), (B, T) bools -> (B, D)
    """Mean pooling: the mean over the positions at which a token stands; what fills up a shorter sentence does not count."""
    weights = is_token[..., None].astype(hidden.dtype)
    return (hidden * weights).sum(axis=1) / weights.sum(axis=1)


def l2_normalize(rows):  # (..., D) -> (..., D)
    """L2-normalise rows: each is divided by its length, so that the product of two of them is their cosine."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def pad_batch(sentences):  # B arrays of ids -> (B, T), (B, T) bools
    """Pad a batch of sentences to the length of the longest with the id 0, BERT's [PAD], and return it with its padding mask.

    Parameters
    ----------
    sentences : list of ndarray of int
        One at least, none of them empty.

    Returns
    -------
    tokens : ndarray of int, shape (B, T)
    is_token : ndarray of bool, shape (B, T)
        The padding mask: True where a token stands, False where something was filled up.

    Raises
    ------
    ValueError
        If there is no sentence.
    """
    if len(sentences) == 0:
        raise ValueError("there is no sentence to pad: give one at least")
    lengths = np.array([len(ids) for ids in sentences])
    is_token = np.arange(lengths.max(), dtype=np.int64) < lengths[:, None]
    tokens = np.zeros(is_token.shape, dtype=np.int64)
    tokens[is_token] = np.concatenate(sentences)
    return tokens, is_token


def encoder_forward(tokens, is_token, parameters, config):  # (B, T) ints, (B, T) bools -> (B, T, D)
    """From token ids to the last hidden states.

    Returns
    -------
    hidden : ndarray, shape (B, T, D)
    caches : list
        `(y, cache)` of the embedding, with no cache, and of every layer.
    """
    x, _ = embedding_forward(tokens, parameters["embedding"])
    x = x + parameters["positions"]["table"][: tokens.shape[1]] + parameters["token_types"]["table"][0]
    x, _ = layer_norm_forward(x, **parameters["embedding_norm"], eps=config.eps)
    mask = True if is_token.all() else is_token[:, None, None, :]  # no query may look at what fills up
    steps = [(x, None)]
    for layer in parameters["layers"].values():
        steps.append(encoder_layer_forward(steps[-1][0], layer, config.n_heads, config.eps, mask))
    return steps[-1][0], steps
