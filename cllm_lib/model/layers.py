"""The layers of the model, each as a pair of plain functions.

These are the pairs to be read. Training runs their quick twins in :mod:`cllm_lib.model.fast`, unless the model was made
with `fast=False`; tests/model/test_fast.py holds the two equal. Only the embedding has no twin, and is what runs. In a
backward function the comment above a step cites the forward line that it undoes.

`name_forward(x, ...) -> y, cache` computes; `name_backward(dy, cache) -> dx, gradients` undoes it by the chain rule.
`dy` is the gradient of the loss with respect to `y`. Shapes: B batch, T time, D d_model, F d_ff, V vocabulary; the
layers here accept any leading axes. What takes numbers one by one is in :mod:`cllm_lib.model.activation_functions`.
"""

import numpy as np

from cllm_lib.checks import token_ids
from cllm_lib.model.activation_functions import silu_backward, silu_forward, tanh_backward, tanh_forward
from cllm_lib.model.products import product


def embedding_forward(tokens, embedding):  # (B, T) ints, (V, D) -> (B, T, D)
    """Embedding look-up: one row of the table for each token.

    Returns
    -------
    x : ndarray, shape (B, T, D)
    cache : tuple
        The tokens and V: which rows were read, of how many.
    """
    return embedding[tokens], (tokens, embedding.shape[0])


def embedding_backward(dx, cache, out=None):  # (B, T, D) -> (V, D)
    """Embedding backward, a scatter-add: each position's gradient goes to the row it was read from.

    Parameters
    ----------
    dx : ndarray, shape (B, T, D)
    cache : tuple
        From :func:`embedding_forward`.
    out : ndarray, shape (V, D), optional
        Where to add; a new array of zeros by default. A tied output has left its share there already.

    Returns
    -------
    ndarray, shape (V, D)
    """
    tokens, vocab_size = cache
    width = dx.shape[-1]
    out = np.zeros((vocab_size, width), dx.dtype) if out is None else out
    # forward: x = embedding[tokens]
    # A word that occurs twice must collect twice, and `out[tokens] += dx` would keep only the last. Sorting the ids
    # brings equal ones together, so that one reduceat sums each group: many times faster than np.add.at.
    ids = tokens.ravel()
    order = np.argsort(ids, kind="stable")
    distinct, starts = np.unique(ids[order], return_index=True)
    out[distinct] += np.add.reduceat(dx.reshape(-1, width)[order], starts, axis=0)
    return out


def linear_forward(x, weight, bias=None):  # (..., n), (n, m), (m) -> (..., m)
    """Linear layer, a matrix product and a shift: y = x W + b, or without a bias y = x W.

    Returns
    -------
    y : ndarray, shape (..., m)
    cache : tuple
        x makes the weight's gradient, the weight makes x's.
    """
    # All positions under each other: one product of (rows, n) and (n, m) instead of one for each sequence.
    y = product(x.reshape(-1, x.shape[-1]), weight)
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], -1), (x, weight)


def linear_backward(dy, cache):  # (..., m) -> (..., n), {weight: (n, m), bias: (m)}
    """Gradients of :func:`linear_forward`.

    Returns
    -------
    dx : ndarray, shape (..., n)
    gradients : dict
        `weight` and `bias`, summed over all leading axes, because every position used the same weights; that of a bias
        which was not given is for nobody.
    """
    x, weight = cache
    rows = dy.reshape(-1, dy.shape[-1])
    # forward: y = x @ weight + bias
    gradients = {"weight": product(x.reshape(-1, x.shape[-1]).T, rows), "bias": rows.sum(axis=0)}
    return product(rows, weight.T).reshape(x.shape), gradients


def frozen_linear_backward(dy, cache):  # (..., m) -> (..., n), {weight: None, bias: None}
    """Linear backward through frozen weights: the gradient of x alone, half the work; for what nobody trains there is None."""
    _, weight = cache
    # forward: y = x @ weight + bias
    dx = product(dy.reshape(-1, dy.shape[-1]), weight.T)
    return dx.reshape(*dy.shape[:-1], -1), {"weight": None, "bias": None}


def layer_norm_forward(x, gain, bias, eps=1e-5):  # (..., D), (D), (D) -> (..., D)
    """Layer normalisation: bring each position to mean 0 and variance 1, then scale and shift.

    Returns
    -------
    y : ndarray, shape (..., D)
    cache : tuple
        The normalised x, 1 / standard deviation, and the gain.

    Notes
    -----
    Ba, Kiros, Hinton 2016, "Layer Normalization", equation 4.
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    inverse_std = 1.0 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    normalised = centred * inverse_std
    return normalised * gain + bias, (normalised, inverse_std, gain)


def layer_norm_backward(dy, cache):  # (..., D) -> (..., D), {gain: (D), bias: (D)}
    """Gradients of :func:`layer_norm_forward`.

    Returns
    -------
    dx : ndarray, shape (..., D)
        Without the two directions that normalising removed: a common shift, and a stretch along x itself.
    gradients : dict
        `gain` and `bias`.
    """
    normalised, inverse_std, gain = cache
    leading = tuple(range(dy.ndim - 1))
    # forward: y = normalised * gain + bias
    gradients = {"gain": (dy * normalised).sum(axis=leading), "bias": dy.sum(axis=leading)}
    d_normalised = dy * gain
    # forward: normalised = (x - mean(x)) * inverse_std, and both the mean and inverse_std are made of x
    shift = d_normalised.mean(axis=-1, keepdims=True)
    stretch = (d_normalised * normalised).mean(axis=-1, keepdims=True)
    return (d_normalised - shift - normalised * stretch) * inverse_std, gradients


def rms_norm_forward(x, gain, eps=1e-5):  # (..., D), (D) -> (..., D)
    """Root-mean-square normalisation (RMSNorm): bring each position to a mean square of 1, then scale.

    Of LayerNorm's two steps the second alone: the mean stays, and nothing is added.

    Returns
    -------
    y : ndarray, shape (..., D)
    cache : tuple
        The normalised x, 1 / root mean square, and the gain.

    Notes
    -----
    Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4; eps as in LayerNorm.
    """
    inverse_rms = 1.0 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    normalised = x * inverse_rms
    return normalised * gain, (normalised, inverse_rms, gain)


def rms_norm_backward(dy, cache):  # (..., D) -> (..., D), {gain: (D)}
    """Gradients of :func:`rms_norm_forward`.

    Returns
    -------
    dx : ndarray, shape (..., D)
        Without the one direction that normalising removed: a stretch along x itself.
    gradients : dict
        `gain`.
    """
    normalised, inverse_rms, gain = cache
    # forward: y = normalised * gain
    gradients = {"gain": (dy * normalised).sum(axis=tuple(range(dy.ndim - 1)))}
    d_normalised = dy * gain
    # forward: normalised = x * inverse_rms, and inverse_rms is made of x
    stretch = (d_normalised * normalised).mean(axis=-1, keepdims=True)
    return (d_normalised - normalised * stretch) * inverse_rms, gradients


def feed_forward_forward(x, expand_weight, expand_bias, contract_weight, contract_bias, activation=tanh_forward):  # (..., D) -> (..., D)
    """Position-wise feed-forward network: two linear maps with an activation between them, D to F and back.

    Parameters
    ----------
    x : ndarray, shape (..., D)
    expand_weight, expand_bias, contract_weight, contract_bias : ndarray
        (D, F), (F,), (F, D) and (D,).
    activation : callable
        From (..., F) to what stands between the maps, and a cache; tanh by default.

    Returns
    -------
    y : ndarray, shape (..., D)
    cache : tuple
        Those of the first map, of the activation, and of the second map, which begins with the hidden units.

    Notes
    -----
    Vaswani et al. 2017, "Attention Is All You Need", section 3.3, with ReLU between the maps; GPT and BERT have GELU.
    """
    expanded, expand_cache = linear_forward(x, expand_weight, expand_bias)
    hidden, activation_cache = activation(expanded)
    y, contract_cache = linear_forward(hidden, contract_weight, contract_bias)
    return y, (expand_cache, activation_cache, contract_cache)


def feed_forward_backward(dy, cache, activation_backward=tanh_backward):  # (..., D) -> (..., D), gradients of the four arrays
    """Gradients of :func:`feed_forward_forward`, its steps taken in reverse.

    `activation_backward` takes the gradient of the hidden units and the activation's cache to the gradient of what it was given.

    Returns
    -------
    dx : ndarray, shape (..., D)
    gradients : dict
        Named like the arguments of the forward function.
    """
    expand_cache, activation_cache, contract_cache = cache
    # forward: y = hidden @ contract_weight + contract_bias
    d_hidden, contract = linear_backward(dy, contract_cache)
    # forward: hidden = activation(expanded)
    d_expanded = activation_backward(d_hidden, activation_cache)
    # forward: expanded = x @ expand_weight + expand_bias
    dx, expand = linear_backward(d_expanded, expand_cache)
    return dx, {
        "expand_weight": expand["weight"],
        "expand_bias": expand["bias"],
        "contract_weight": contract["weight"],
        "contract_bias": contract["bias"],
    }


def swiglu_forward(x, gate_weight, up_weight, down_weight):  # (..., D) -> (..., D)
    """Gated feed-forward network (SwiGLU): (SiLU(x gate) * (x up)) down, three linear maps without biases.

    Half of what was made of x opens or shuts the other half, unit by unit.

    The matrices are (D, F), (D, F) and (F, D).

    Returns
    -------
    y : ndarray, shape (..., D)
    cache : tuple
        Of the three maps, with gate, SiLU(gate) and up; that of the last map begins with the hidden units.

    Notes
    -----
    Shazeer 2020, "GLU Variants Improve Transformer", equation 6.
    """
    gate, gate_cache = linear_forward(x, gate_weight)
    up, up_cache = linear_forward(x, up_weight)
    opened = silu_forward(gate)
    y, down_cache = linear_forward(opened * up, down_weight)
    return y, (gate_cache, up_cache, (gate, opened, up), down_cache)


def swiglu_backward(dy, cache, undo_linear=linear_backward):  # (..., D) -> (..., D), gradients of the three matrices
    """Gradients of :func:`swiglu_forward`.

    `undo_linear` undoes each of the three maps: :func:`frozen_linear_backward` where their weights are not trained.

    Returns
    -------
    dx : ndarray, shape (..., D)
        The sum of two paths: x made the gate, and what passes it.
    gradients : dict
        Named like the arguments of the forward function.
    """
    gate_cache, up_cache, (gate, opened, up), down_cache = cache
    # forward: y = (opened * up) @ down_weight
    d_hidden, down = undo_linear(dy, down_cache)
    # forward: up = x @ up_weight
    d_up_path, up_gradients = undo_linear(d_hidden * opened, up_cache)
    # forward: opened = silu(gate), and gate = x @ gate_weight
    d_gate_path, gate_gradients = undo_linear(silu_backward(d_hidden * up, gate), gate_cache)
    gradients = {"gate_weight": gate_gradients["weight"], "up_weight": up_gradients["weight"], "down_weight": down["weight"]}
    return d_gate_path + d_up_path, gradients


def softmax(scores, axis=-1):
    """Softmax: positive numbers that sum to 1 along `axis`, in the ratio exp(score).

    Subtracting the maximum first changes no ratio and keeps exp from overflowing.

    Parameters
    ----------
    scores : array_like
        -inf marks what must get weight 0. Whole numbers are taken as float64.
    axis : int

    Returns
    -------
    ndarray, same shape
        Zeros where all scores of a slice are -inf: whoever may look at nothing gets nothing, and gives no gradient.
    """
    scores = as_floats(scores)
    weights = scores - largest(scores, axis)
    np.exp(weights, out=weights)
    weights /= np.maximum(weights.sum(axis=axis, keepdims=True), 1.0)  # 0 where all are -inf, else 1 at least: the largest gives 1
    return weights


def as_floats(values):
    """`values` as an array of floats: float32 and float64 as they are, whole numbers and lists of them in float64."""
    values = np.asarray(values)
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def largest(scores, axis=-1):
    """The maximum along `axis`, to be subtracted; the lowest finite number where all are -inf, for -inf less -inf is NaN."""
    return np.maximum(scores.max(axis=axis, keepdims=True), np.finfo(scores.dtype).min)


def softmax_backward(d_weights, weights, axis=-1):
    """Softmax backward, the gradient with respect to the scores: w * (dw - sum(dw * w)).

    The sum is there because the weights share one total: what one gains the others lose. Where all weights are 0, so is this.
    """
    # forward: weights = exp(scores) / sum(exp(scores))
    shared = (d_weights * weights).sum(axis=axis, keepdims=True)
    return weights * (d_weights - shared)


def cross_entropy_forward(logits, targets):  # (..., V), (...) ints -> scalar
    """Cross-entropy: mean of -ln(probability given to the true next token), in nats.

    Parameters
    ----------
    logits : array_like, shape (..., V)
        Whole numbers are taken as float64.
    targets : array_like of int, shape (...)

    Returns
    -------
    loss : float
        Infinite where a target's logit is -inf; also where all of a position are: then its probabilities and gradients are 0.
    cache : tuple
        The probabilities and the targets.

    Raises
    ------
    ValueError
        If the shapes do not go together, or a target is no id of the vocabulary.

    Notes
    -----
    -ln softmax(z)[target] = ln(sum(exp(z))) - z[target], the log-sum-exp form: no probability is ever rounded to 0
    before its logarithm is taken (Goodfellow, Bengio, Courville 2016, "Deep Learning", section 4.1).
    """
    logits, targets = as_floats(logits), np.asarray(targets)
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits have shape {logits.shape}, targets {targets.shape}: give one target for each row of logits")
    rows = logits.reshape(-1, logits.shape[-1])
    ids = token_ids(targets, logits.shape[-1], "targets").reshape(-1)
    maximum = largest(rows)
    probabilities = rows - maximum
    np.exp(probabilities, out=probabilities)
    total = np.maximum(probabilities.sum(axis=-1, keepdims=True), 1.0)  # 0 where all logits are -inf, else 1 at least
    at_target = rows[np.arange(len(ids), dtype=np.int64), ids]
    losses = np.log(total[:, 0]) + maximum[:, 0] - at_target
    probabilities /= total
    return float(losses.mean()), (probabilities.reshape(logits.shape), targets)


def cross_entropy_backward(cache):
    """Gradient of softmax and mean cross-entropy, by the logits: (probability - 1 at the target) / positions.

    Writes into the cached probabilities: they are as large as the logits, and nobody needs them afterwards.
    """
    probabilities, targets = cache
    rows = probabilities.reshape(-1, probabilities.shape[-1])
    # forward: loss = ln(sum(exp(logits))) - logits[target], of each position
    at_target = np.arange(len(rows), dtype=np.int64), targets.reshape(-1)
    impossible = np.flatnonzero(rows[at_target] == 0.0)
    masked = impossible[~rows[impossible].any(axis=-1)]
    rows[at_target] -= 1.0
    rows[masked] = 0.0  # they had no probability to give
    # forward: mean over the positions
    rows /= len(rows)
    return probabilities
