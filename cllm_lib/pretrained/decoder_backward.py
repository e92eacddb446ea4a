"""The way back through a frozen decoder: from the loss to the adapters of every layer, by the backward functions of the chapters.

Activations get gradients, for they lead to the layers below; of weights only the adapters' do. Forward, the layers are those of
:mod:`cllm_lib.pretrained.decoder_layers`, read without a key/value cache; what the way back needs is kept.

Shapes: B sequences, T tokens, D d_model, N targets, V vocabulary.
"""

from typing import NamedTuple

import numpy as np

from cllm_lib.checks import token_ids
from cllm_lib.lattice.encodings import rotate, rotate_backward
from cllm_lib.model.attention import (
    PROJECTIONS,
    merge_heads,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
    split_heads,
)
from cllm_lib.model.layers import (
    cross_entropy_backward,
    cross_entropy_forward,
    frozen_linear_backward,
    linear_forward,
    rms_norm_backward,
    rms_norm_forward,
    swiglu_backward,
    swiglu_forward,
)
from cllm_lib.pretrained.lora import lora_linear_backward, lora_linear_forward


class Places(NamedTuple):
    """Where tokens stand, and what each looks at, for sequences that are not simply read from the left to the right.

    Attributes
    ----------
    positions : ndarray of int, shape (T,)
    mask : ndarray of bool, shape (T, T)
        True where a token (row) looks at another (column).
    """

    positions: np.ndarray
    mask: np.ndarray


def adapted_decoder_forward(ids, parameters, config, lora=None, places=None):  # (B, T) ints -> (B, T, D)
    """From token ids to hidden states, normalised for the output, with the adapters beside their matrices, where there are any.

    Parameters
    ----------
    ids : ndarray of int, shape (B, T)
    parameters : dict
    config : ChatConfig
    lora : Lora, optional
    places : Places, optional
        By default tokens stand one behind the other and look back.

    Returns
    -------
    hidden : ndarray, shape (B, T, D)
    cache : tuple
        Of the layers, and of the last norm.
    """
    x, caches = parameters["embedding"][ids], []
    for i, layer in enumerate(parameters["layers"]):
        x, cache = adapted_layer_forward(x, layer, config, lora, i, places)
        caches.append(cache)
    hidden, norm_cache = rms_norm_forward(x, **parameters["final_norm"], eps=config.eps)
    return hidden, (caches, norm_cache)


def decoder_backward(d_hidden, cache, config):  # (B, T, D) -> gradients of the adapters
    """Gradients of :func:`adapted_decoder_forward`, from the last layer down to the first.

    Returns
    -------
    dict of str to ndarray
        By the names of the adapters, such as "layers.0.query.a".
    """
    caches, norm_cache = cache
    # forward: hidden = norm(x)
    dx, _ = rms_norm_backward(d_hidden, norm_cache)
    gradients = {}
    for i in reversed(range(len(caches))):
        dx, found = _layer_backward(dx, caches[i], config)
        gradients |= {f"layers.{i}.{name}": gradient for name, gradient in found.items()}
    return gradients


def loss_and_gradients(ids, is_target, parameters, config, lora, places=None):
    """Cross-entropy of the targets, and its gradients with respect to the adapters.

    Parameters
    ----------
    ids : array_like of int, shape (B, T)
        Sequences of one length; shorter ones are filled up at the end, where nobody looks.
    is_target : array_like of bool, shape (B, T)
        True where the token is one to be learnt, from all before it: those of the answers. Not the first, for nothing is before it.
    parameters : dict
        Of the frozen decoder.
    config : ChatConfig
    lora : Lora
    places : Places, optional
        By default tokens stand one behind the other and look back.

    Returns
    -------
    loss : float
        In nats, the mean over the targets.
    gradients : dict of str to ndarray
        By the names of `lora.arrays`.

    Raises
    ------
    ValueError
        If the shapes do not go together, an id is none of the vocabulary, or there is no target.
    """
    ids, is_target = _checked(ids, is_target, config, places)
    output_weight = parameters["output_weight"]
    hidden, cache = adapted_decoder_forward(ids, parameters, config, lora, places)
    foretell = is_target[:, 1:]  # the state at position t foretells the token at t + 1
    logits, output_cache = linear_forward(hidden[:, :-1][foretell], output_weight)  # (N, V)
    loss, loss_cache = cross_entropy_forward(logits, ids[:, 1:][foretell])
    # forward: logits = hidden @ output_weight, of the positions before targets; all others got no gradient
    d_hidden = np.zeros_like(hidden)
    d_hidden[:, :-1][foretell], _ = frozen_linear_backward(cross_entropy_backward(loss_cache), output_cache)
    return loss, decoder_backward(d_hidden, cache, config)


def adapted_layer_forward(x, parameters, config, lora=None, i=0, places=None):  # (B, T, D) -> (B, T, D)
    """A layer of the decoder, from the first position on, keeping what its way back needs.

    Parameters
    ----------
    x : ndarray, shape (B, T, D)
    parameters : dict
        Of this layer: see :func:`~cllm_lib.pretrained.decoder_layers.decoder_layer_forward`.
    config : ChatConfig
    lora : Lora, optional
    i : int
        Which layer it is: its adapters are looked up by this number.
    places : Places, optional

    Returns
    -------
    y : ndarray, shape (B, T, D)
    cache : tuple
    """
    weights = parameters["attention"]
    normed, attention_norm_cache = rms_norm_forward(x, **parameters["attention_norm"], eps=config.eps)
    projected = [_project(normed, weights[f"{name}_weight"], lora and lora.adapter(i, name), lora and lora.scale) for name in PROJECTIONS]
    n_heads = (config.n_heads, config.n_kv_heads, config.n_kv_heads)
    heads = [split_heads(y, n) for (y, _), n in zip(projected, n_heads, strict=True)]
    attended, attend_cache = _attend(*heads, config, places or Places(np.arange(x.shape[1], dtype=np.int64), None))
    y, output_cache = linear_forward(merge_heads(attended), weights["output_weight"])
    x = x + y
    normed, feed_forward_norm_cache = rms_norm_forward(x, **parameters["feed_forward_norm"], eps=config.eps)
    y, feed_forward_cache = swiglu_forward(normed, **parameters["feed_forward"])
    attention_cache = attention_norm_cache, [undone for _, undone in projected], attend_cache, output_cache
    return x + y, (*attention_cache, feed_forward_norm_cache, feed_forward_cache)


def layer_inputs(cache):
    """What the matrices of a layer without adapters were multiplied by: {"attention.query_weight": (B, T, D), ...}.

    Query, key and value share one array, and so do gate and up.
    """
    _, projected, _, (merged, _), _, (_, (normed, _), _, (hidden, _)) = cache
    found = {f"attention.{name}_weight": x for name, (_, (x, _)) in zip(PROJECTIONS, projected, strict=True)}
    fed = {"gate_weight": normed, "up_weight": normed, "down_weight": hidden}
    return found | {"attention.output_weight": merged} | {f"feed_forward.{name}": x for name, x in fed.items()}


def _layer_backward(dy, cache, config):  # (B, T, D) -> (B, T, D), gradients of the adapters
    attention_norm_cache, projection_caches, attend_cache, output_cache, feed_forward_norm_cache, feed_forward_cache = cache
    # forward: y = x + swiglu(norm(x)); a residual connection sends its gradient down both roads
    d_normed, _ = swiglu_backward(dy, feed_forward_cache, frozen_linear_backward)
    d_path, _ = rms_norm_backward(d_normed, feed_forward_norm_cache)
    dx = dy + d_path
    # forward: x = x + merge_heads(attended) @ output_weight
    d_merged, _ = frozen_linear_backward(dx, output_cache)
    # forward: attended = attend(query, key, value), the first two turned by their positions
    d_heads = _attend_backward(split_heads(d_merged, config.n_heads), attend_cache, config)
    d_normed, gradients = 0.0, {}
    for name, d_head, (undo, projection_cache) in zip(PROJECTIONS, d_heads, projection_caches, strict=True):
        # forward: query = split_heads(x @ W + scale * x @ A @ B), with x = norm(x); key and value alike, as far as they are adapted
        d_path, found = undo(merge_heads(d_head), projection_cache)
        gradients |= {f"{name}.{part}": gradient for part, gradient in found.items() if gradient is not None}
        d_normed = d_normed + d_path
    d_path, _ = rms_norm_backward(d_normed, attention_norm_cache)
    return dx + d_path, gradients


def _attend(query, key, value, config, places):
    turned = (rotate(part, places.positions, config.rope_base, config.rope_pairs) for part in (query, key))
    attended, cache = scaled_dot_product_forward(*turned, value, places.mask)
    return attended, (cache, places.positions)


def _attend_backward(d_output, cache, config):
    cache, positions = cache
    d_query, d_key, d_value = scaled_dot_product_backward(d_output, cache)
    # forward: query = rotate(query, positions), and the key alike
    turned_back = (rotate_backward(gradient, positions, config.rope_base, config.rope_pairs) for gradient in (d_query, d_key))
    return *turned_back, d_value


def _project(x, weight, adapter, scale):  # (B, T, D), (D, m) -> (B, T, m), what undoes it and its cache
    if adapter is None:
        y, cache = linear_forward(x, weight)
        return y, (frozen_linear_backward, cache)
    y, cache = lora_linear_forward(x, weight, *adapter, scale)
    return y, (lora_linear_backward, cache)


def _checked(ids, is_target, config, places):
    ids, is_target = token_ids(ids, config.vocab_size, "ids"), np.asarray(is_target)
    if ids.ndim != 2 or is_target.shape != ids.shape or is_target.dtype != bool:
        raise ValueError(
            f"ids have shape {ids.shape}, is_target {is_target.shape} of {is_target.dtype}: give both as (B, T), True or False"
        )
    longest = ids.shape[1] if places is None else int(places.positions.max()) + 1
    if longest > config.seq_len:
        raise ValueError(f"the sequences are {longest:,} tokens long, and the model reads {config.seq_len:,}: cut them")
    if not is_target.any() or is_target[:, 0].any():
        raise ValueError("is_target marks no token, or the first of a sequence, which nothing comes before: mark those of the answers")
    return ids, is_target
