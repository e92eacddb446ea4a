"""Causal multi-head self-attention: each position looks back and takes what it finds useful.

These are the plain pairs, to be read. Training runs their quick twin, :class:`cllm_lib.model.fast.Attention`, unless the
model was made with `fast=False`; tests/model/test_fast.py holds the two equal. In a backward function the comment above
a step cites the forward line that it undoes.

Shapes: B batch, T time, D d_model, H heads, d = D / H the width of a head, G key/value heads: H, or fewer in grouped-query
attention, S keys: T, or more when earlier ones were kept.
"""

import math
from functools import partial

import numpy as np

from cllm_lib.checks import one_of, positive_number
from cllm_lib.lattice.biases import alibi_slopes, checked_distances, distance_bias, distance_bias_backward, token_distances
from cllm_lib.lattice.encodings import ROPE_BASE, ROPE_PAIRS, rotate, rotate_backward
from cllm_lib.model import fast
from cllm_lib.model.layers import linear_backward, linear_forward, softmax, softmax_backward
from cllm_lib.model.products import product
from cllm_lib.model.taps import says, tapped

PROJECTIONS = ("query", "key", "value")


def causal_mask(time, start=0):  # -> (T, start + T)
    """Causal mask: True where a query (row) may look at a key (column), at itself and at what came before.

    The queries stand at the positions from `start` on, the keys at those from 0 on.
    """
    return np.tri(time, start + time, start, dtype=bool)


def split_heads(x, n_heads):  # (B, T, D) -> (B, H, T, d)
    """Split heads: cut the last axis into heads, and put the head axis where matrix products leave it alone."""
    batch, time, width = x.shape
    return x.reshape(batch, time, n_heads, width // n_heads).transpose(0, 2, 1, 3)


def merge_heads(x):  # (B, H, T, d) -> (B, T, D)
    """Merge heads: undo :func:`split_heads`."""
    batch, n_heads, time, d_head = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, time, n_heads * d_head)


def heads_of(x):  # (B, H, T, d) -> H
    """How many heads there are; a matrix, without an axis of heads, is one."""
    return x.shape[-3] if x.ndim > 2 else 1


def share_heads(x, n_heads):  # (B, G, S, d) -> (B, H, S, d)
    """Share key/value heads: each stands for H / G query heads in a row, so query head h gets head h // (H / G).

    Returns
    -------
    ndarray, shape (B, H, S, d)
        `x` itself where there are as many already.

    Raises
    ------
    ValueError
        If the query heads are no multiple of the others.

    Notes
    -----
    Ainslie et al. 2023, "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints", section 2.2.
    With one head for all it is multi-query attention (Shazeer 2019, "Fast Transformer Decoding: One Write-Head is All You
    Need", section 3).
    """
    n_kv_heads = heads_of(x)
    if n_kv_heads == n_heads:
        return x
    if n_heads % n_kv_heads:
        raise ValueError(f"{n_heads} heads of queries cannot share {n_kv_heads} of keys and values evenly: give a divisor of {n_heads}")
    return np.repeat(x, n_heads // n_kv_heads, axis=-3)


def share_heads_backward(dx, n_kv_heads):  # (B, H, S, d) -> (B, G, S, d)
    """Share heads backward: a head that served several queries' heads collects from all of them."""
    if heads_of(dx) == n_kv_heads:
        return dx
    # forward: head h of the queries got head h // (H / G)
    return dx.reshape(*dx.shape[:-3], n_kv_heads, -1, *dx.shape[-2:]).sum(axis=-3)


def scaled_dot_product_forward(query, key, value, mask=None, bias=None):  # (B, H, T, d), 2 x (B, G, S, d) -> (B, H, T, d)
    """Scaled dot-product attention: average the values, weighted by how well each key answers the query.

    1. scores = query . key / sqrt(d): without the root their variance would grow with d, and softmax would pick
       a single key before anything is learnt. A bias is added to them as it is.
    2. weights = softmax of the scores over the keys, with -inf where the mask forbids.
    3. output = weights . values.

    Parameters
    ----------
    query : ndarray, shape (B, H, T, d)
    key, value : ndarray, shape (B, G, S, d)
        S = T, or more: then the queries are those of the last T keys. G = H, or a divisor of it: then one head of keys and
        values serves several of queries; see :func:`share_heads`.
    mask : bool, or ndarray of bool that fits (B, H, T, S), optional
        True where a query may look; :func:`causal_mask`, (T, S), by default. A padding mask is (B, 1, 1, S). Plain True:
        everywhere.
    bias : ndarray, shape (H, T, S), optional
        Of each head, for each query and key.

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
    n_heads = heads_of(query)
    scores = product(query, share_heads(key, n_heads).swapaxes(-1, -2)) / math.sqrt(query.shape[-1])
    scores = scores if bias is None else scores + bias
    weights = softmax(scores if mask is True else np.where(mask, scores, -np.inf))
    return product(weights, share_heads(value, n_heads)), (query, key, value, weights)


def scaled_dot_product_backward(d_output, cache):  # (B, H, T, d) -> (B, H, T, d), 2 x (B, G, T, d)
    """Scaled dot-product attention backward: gradients of query, key and value, steps 3, 2, 1 in reverse."""
    query, key, _, weights = cache
    n_heads, n_kv_heads = heads_of(query), heads_of(key)
    # forward, 3: output = weights @ value, of each head the value of its group
    d_value = share_heads_backward(product(weights.swapaxes(-1, -2), d_output), n_kv_heads)
    # forward, 2: weights = softmax(scores)
    d_scores = scores_backward(d_output, cache)
    # forward, 1: scores = query @ key^T / sqrt(d), of each head the key of its group
    d_scores = d_scores / math.sqrt(query.shape[-1])
    d_query = product(d_scores, share_heads(key, n_heads))
    d_key = share_heads_backward(product(d_scores.swapaxes(-1, -2), query), n_kv_heads)
    return d_query, d_key, d_value


def scores_backward(d_output, cache):  # (B, H, T, d) -> (B, H, T, S)
    """The gradient of the scores, and so of a bias added to them: steps 3 and 2 in reverse."""
    _, _, value, weights = cache
    # forward, 3: output = weights @ value
    d_weights = product(d_output, share_heads(value, heads_of(d_output)).swapaxes(-1, -2))
    # forward, 2: weights = softmax(scores)
    return softmax_backward(d_weights, weights)  # masked weights are 0, so is this


def attention_forward(x, parameters, n_heads, attend=scaled_dot_product_forward):  # (B, T, D) -> (B, T, D)
    """Multi-head self-attention: project to queries, keys and values, attend in each head, and project back.

    Parameters
    ----------
    x : ndarray, shape (B, T, D)
    parameters : dict
        `query_weight`, `query_bias`, the same for key, value and output: (D, D) and (D,). Those of key and value may be
        (D, G d) and (G d,): then it is grouped-query attention.
    n_heads : int
        H, of the queries.
    attend : callable
        From query, (B, H, T, d), key and value, (B, G, T, d), to what attention returns for them, and a cache.

    Returns
    -------
    y : ndarray, shape (B, T, D)
    cache : tuple
    """
    projected = [linear_forward(x, parameters[f"{name}_weight"], parameters[f"{name}_bias"]) for name in PROJECTIONS]
    d_head = projected[0][0].shape[-1] // n_heads
    heads = [split_heads(y, y.shape[-1] // d_head) for y, _ in projected]  # of keys and values as many as their width holds
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
    # forward: y = merge_heads(attended) @ output_weight + output_bias
    d_merged, output = linear_backward(dy, output_cache)
    gradients = {"output_weight": output["weight"], "output_bias": output["bias"]}
    # forward: attended = attend(query, key, value)
    d_heads = attend_backward(split_heads(d_merged, n_heads), attend_cache)
    dx = 0.0
    for name, d_head, projection_cache in zip(PROJECTIONS, d_heads, projection_caches, strict=True):
        # forward: query = split_heads(x @ query_weight + query_bias); key and value alike
        d_path, projection = linear_backward(merge_heads(d_head), projection_cache)
        gradients[f"{name}_weight"], gradients[f"{name}_bias"] = projection["weight"], projection["bias"]
        dx = dx + d_path
    return dx, gradients


def weights_of(cache):  # -> (B, H, T, T)
    """The attention weights that :func:`attention_forward` left in its cache: row q is how query q divides its look."""
    _, (*_, weights), _, _ = cache
    return weights


class CausalSelfAttention:
    """Causal multi-head self-attention, as a part that a model can be given: `CLLM(config, attention=CausalSelfAttention())`.

    Any object with `parameter_shapes`, `forward` and `backward` can take its place: a defect of the museum, or a
    reader's own. A part that differs only in what happens between the projections overrides :meth:`attend`.
    `weights` is for looking: :func:`attention_weights` asks for it. A subclass with another cache has its own, or None.

    Training runs :meth:`fast_twin` in its place. A subclass has none, unless it names one of its own: it is called itself.

    Attributes
    ----------
    of_2017 : bool
        Whether it knows as many heads of keys and values as of queries alone. A subclass that counts on them says True, and is
        refused where `n_kv_heads` says otherwise.
    """

    of_2017 = False

    def fast_twin(self):
        """What makes the quick twin of this part; see :func:`~cllm_lib.model.fast.twin_of`."""
        return fast.Attention

    def parameter_shapes(self, config):
        """Names and shapes of the arrays this part trains."""
        if self.of_2017 and config.kv_heads != config.n_heads:
            raise ValueError(
                f"{type(self).__name__} knows as many heads of keys as of queries alone, and the configuration says "
                f"n_kv_heads={config.n_kv_heads} beside n_heads={config.n_heads}: leave n_kv_heads out"
            )
        width, narrow = config.d_model, config.kv_heads * config.d_head
        shapes = {}
        for name, n_out in {"query": width, "key": narrow, "value": narrow, "output": width}.items():
            shapes |= {f"{name}_weight": (width, n_out), f"{name}_bias": (n_out,)}
        return shapes

    def forward(self, x, parameters, config):
        """See :func:`attention_forward`."""
        return attention_forward(x, parameters, config.n_heads, self.attend)

    def backward(self, dy, cache):
        """See :func:`attention_backward`."""
        return attention_backward(dy, cache, self.attend_backward)

    def placed(self, query, key, start=0):  # (B, H, T, d), (B, G, T, d) -> the same
        """Queries and keys as they meet, the first of them at position `start`: here as they are."""
        return query, key

    def bias(self, parameters, n_heads, time, start=0):  # -> (H, T, start + T)
        """What is added to the scores of each head: here nothing, None."""
        return None

    def attend(self, query, key, value):
        """See :func:`scaled_dot_product_forward`."""
        return scaled_dot_product_forward(query, key, value)

    def attend_backward(self, d_output, cache):
        """See :func:`scaled_dot_product_backward`."""
        return scaled_dot_product_backward(d_output, cache)

    def weights(self, cache):  # -> (B, H, T, T)
        """See :func:`weights_of`."""
        return weights_of(cache)


class RotarySelfAttention(CausalSelfAttention):
    """Self-attention with rotary position embedding (RoPE): queries and keys are turned by their positions.

    Parameters
    ----------
    base : float
    pairs : {"neighbours", "halves"}
        See :func:`~cllm_lib.lattice.encodings.rotate`. `CLLMConfig(positions="rotary", rope_base=..., rope_pairs=...)` makes
        this part with them, and a checkpoint keeps them.

    Notes
    -----
    Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding".
    """

    def __init__(self, base=ROPE_BASE, pairs="neighbours"):
        self._base = positive_number(base, "base")
        one_of(pairs, ROPE_PAIRS, "pairs")
        self._pairs = pairs

    # Both stay, for a quick twin that was made with them would not notice others. A subclass with an __init__ of its own
    # need not know of them.

    @property
    def base(self):
        """Of the turns."""
        return getattr(self, "_base", ROPE_BASE)

    @property
    def pairs(self):
        """Of columns."""
        return getattr(self, "_pairs", "neighbours")

    @property
    def name_in_file(self):
        """How a checkpoint names it: another base, or other pairs, make another part, and resuming with it would be no continuation."""
        unusual = [f"{self.base:g}"] * (self.base != ROPE_BASE) + [self.pairs] * (self.pairs != "neighbours")
        return type(self).__name__ + (f"({', '.join(unusual)})" if unusual else "")

    def fast_twin(self):
        """That of attention, with the turns."""
        return partial(fast.Attention, rotation=partial(fast.ROTATIONS[self.pairs], base=self.base))

    def placed(self, query, key, start=0):  # (B, H, T, d), (B, G, T, d) -> the same
        """Both turned; see :func:`~cllm_lib.lattice.encodings.rotate`. A value says what, not where, and stays."""
        positions = np.arange(start, start + query.shape[-2], dtype=np.int64)
        return rotate(query, positions, self.base, self.pairs), rotate(key, positions, self.base, self.pairs)

    def attend(self, query, key, value):
        """See :func:`scaled_dot_product_forward`, on what was turned."""
        return super().attend(*self.placed(query, key), value)

    def attend_backward(self, d_output, cache):
        """Turn the gradients of queries and keys back."""
        d_query, d_key, d_value = super().attend_backward(d_output, cache)
        # forward: query = rotate(query, positions), and the key alike
        positions = np.arange(d_query.shape[-2], dtype=np.int64)
        turned_back = (rotate_backward(gradient, positions, self.base, self.pairs) for gradient in (d_query, d_key))
        return *turned_back, d_value


class DistanceBiasAttention(CausalSelfAttention):
    """Self-attention with a linear distance bias, as ALiBi's: from each score the distance, times the slope of its head.

    Parameters
    ----------
    distances : array_like, shape (S, S), optional
        Of any two positions of the longest sequence; by default |i - j|.
    learned : bool
        Whether the slopes are trained, from ALiBi's values on; or stay there.

    Notes
    -----
    Press, Smith, Lewis 2022, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
    Extrapolation"; their slopes are fixed.
    """

    def __init__(self, distances=None, learned=True):
        self.matrix = None if distances is None else checked_distances(distances)
        self.learned = learned

    def fast_twin(self):
        """That of attention, with the bias."""
        return partial(fast.Attention, distance_bias=partial(fast.bias_of, self))

    def parameter_shapes(self, config):
        """Those of attention, and one slope for each head."""
        if self.matrix is not None and min(self.matrix.shape) < config.seq_len:
            raise ValueError(f"distances have shape {self.matrix.shape}, and sequences are up to {config.seq_len} long: give them all")
        return super().parameter_shapes(config) | ({"slopes": (config.n_heads,)} if self.learned else {})

    def distances(self, time, start=0):  # -> (T, start + T)
        """Between the queries at the positions from `start` on and the keys at those from 0 on."""
        return token_distances(time, start) if self.matrix is None else self.matrix[start : start + time, : start + time]

    def slopes(self, parameters, n_heads):  # -> (H,)
        """The trained ones, or ALiBi's."""
        return parameters["slopes"] if self.learned else alibi_slopes(n_heads).astype(parameters["query_weight"].dtype)

    def bias(self, parameters, n_heads, time, start=0):  # -> (H, T, start + T)
        """See :func:`~cllm_lib.lattice.biases.distance_bias`."""
        return distance_bias(self.slopes(parameters, n_heads), self.distances(time, start))

    def forward(self, x, parameters, config):
        """See :func:`attention_forward`."""
        bias = self.bias(parameters, config.n_heads, x.shape[1])
        return attention_forward(x, parameters, config.n_heads, partial(scaled_dot_product_forward, bias=bias))

    def backward(self, dy, cache):
        """See :func:`attention_backward`; the slopes get what the scores get, times the distance."""
        own = {}

        def attend_backward(d_output, attend_cache):
            if self.learned:
                # forward: scores = scores - slopes * distances
                d_scores = scores_backward(d_output, attend_cache)
                own["slopes"] = distance_bias_backward(d_scores, self.distances(d_scores.shape[-1]))
            return self.attend_backward(d_output, attend_cache)

        dx, gradients = attention_backward(dy, cache, attend_backward)
        return dx, gradients | own


def attention_weights(model, tokens):  # (T,) -> n_layers x (H, T, T)
    """Attention maps: where each position of one sequence looks, in every layer and head of a model.

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
    if not says(part, "weights"):
        raise ValueError(f"{type(part or model.layer).__name__} has no attention weights to show: give it a method weights(cache)")
    seen = []
    tapped(model, attention=lambda x, y, cache: seen.append(np.array(part.weights(cache)[0]))).logits([tokens])
    return seen
