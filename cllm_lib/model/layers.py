"""The layers of the model, each as a pair of plain functions.

These are the pairs to be read. Training runs their quick twins in :mod:`cllm_lib.model.fast`, unless the model was made
with `fast=False`; tests/model/test_fast.py holds the two equal. Only the embedding has no twin, and is what runs. In a
backward function the comment above a step cites the forward line that it undoes.

`name_forward(x, ...) -> y, cache` computes; `name_backward(dy, cache) -> dx, gradients` undoes it by the chain rule.
`dy` is the gradient of the loss with respect to `y`. Shapes: B batch, T time, D d_model, F d_ff, V vocabulary; the
layers here accept any leading axes. GELU is of the pretrained encoder alone, through which nothing here trains: it has
no backward.
"""

import math

import numpy as np

from cllm_lib.checks import token_ids
from cllm_lib.faces import needed

GELU_BLOCK = 16_384  # numbers that GELU takes at once: more leave the processor's cache, fewer make more calls


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


def linear_forward(x, weight, bias):  # (..., n), (n, m), (m) -> (..., m)
    """Linear layer, a matrix product and a shift: y = x W + b.

    Returns
    -------
    y : ndarray, shape (..., m)
    cache : tuple
        x makes the weight's gradient, the weight makes x's.
    """
    # All positions under each other: one product of (rows, n) and (n, m) instead of one for each sequence.
    y = x.reshape(-1, x.shape[-1]) @ weight
    y += bias
    return y.reshape(*x.shape[:-1], -1), (x, weight)


def linear_backward(dy, cache):  # (..., m) -> (..., n), {weight: (n, m), bias: (m)}
    """Gradients of :func:`linear_forward`.

    Returns
    -------
    dx : ndarray, shape (..., n)
    gradients : dict
        `weight` and `bias`, summed over all leading axes, because every position used the same weights.
    """
    x, weight = cache
    rows = dy.reshape(-1, dy.shape[-1])
    # forward: y = x @ weight + bias
    gradients = {"weight": x.reshape(-1, x.shape[-1]).T @ rows, "bias": rows.sum(axis=0)}
    return (rows @ weight.T).reshape(x.shape), gradients


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


def feed_forward_forward(x, expand_weight, expand_bias, contract_weight, contract_bias):  # (..., D) -> (..., D)
    """Position-wise feed-forward network: two linear maps with tanh between them, D to F and back.

    Returns
    -------
    y : ndarray, shape (..., D)
    cache : tuple
        The caches of both maps, and tanh's output, from which its slope follows.
    """
    expanded, expand_cache = linear_forward(x, expand_weight, expand_bias)
    hidden = np.tanh(expanded)
    y, contract_cache = linear_forward(hidden, contract_weight, contract_bias)
    return y, (expand_cache, hidden, contract_cache)


def feed_forward_backward(dy, cache):  # (..., D) -> (..., D), gradients of the four arrays
    """Gradients of :func:`feed_forward_forward`, its steps taken in reverse.

    Returns
    -------
    dx : ndarray, shape (..., D)
    gradients : dict
        Named like the arguments of the forward function.
    """
    expand_cache, hidden, contract_cache = cache
    # forward: y = hidden @ contract_weight + contract_bias
    d_hidden, contract = linear_backward(dy, contract_cache)
    # forward: hidden = tanh(expanded)
    d_expanded = d_hidden * (1.0 - hidden * hidden)  # tanh' = 1 - tanh^2
    # forward: expanded = x @ expand_weight + expand_bias
    dx, expand = linear_backward(d_expanded, expand_cache)
    return dx, {
        "expand_weight": expand["weight"],
        "expand_bias": expand["bias"],
        "contract_weight": contract["weight"],
        "contract_bias": contract["bias"],
    }


def gelu_forward(x):  # (...) -> (...)
    """GELU: x times the share of a normal distribution that lies below it, a soft gate, open to the right and shut to the left.

    Parameters
    ----------
    x : ndarray of float32 or float64

    Returns
    -------
    ndarray, same shape
        In float32 within 4e-7 of the formula: erf by five powers, a fifth of the time.

    Notes
    -----
    Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2: x (1 + erf(x / sqrt 2)) / 2. In float32 erf is
    Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", formula 7.1.26.
    """
    if x.dtype != np.float32:
        erf = needed("scipy.special", "GELU in float64").erf  # here, not above: it takes longer to load than the rest of the library
        return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))
    y = np.empty(x.shape, x.dtype)
    source, target = x.reshape(-1), y.reshape(-1)
    for start in range(0, x.size, GELU_BLOCK):
        _gelu_block(source[start : start + GELU_BLOCK], target[start : start + GELU_BLOCK])
    return y


def _gelu_block(x, y):
    """GELU as x for a positive x and 0 for a negative one, less |x| times the tail that the gate still holds: (1 - erf) / 2."""
    size = np.abs(x)
    t = 1.0 / (1.0 + (0.3275911 * math.sqrt(0.5)) * size)
    np.multiply(t, 1.061405429, out=y)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        y += coefficient
        y *= t
    np.multiply(x, x, out=t)
    t *= -0.5
    y *= np.exp(t, out=t)  # 1 - erf(|x| / sqrt 2)
    y *= size
    y *= -0.5
    y += np.maximum(x, 0.0, out=t)


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
