"""The quick twins that training uses: the formulas of the plain layers on preallocated arrays.

The plain pairs `name_forward`, `name_backward` in :mod:`~cllm_lib.model.layers` and :mod:`~cllm_lib.model.attention`
are the definition, written to be read. What runs in a training step of the sound model is here; `CLLM(config, fast=False)`
runs the plain pairs instead, and tests hold the two equal. Only the embedding's look-up and the positions have no twin:
there the plain functions are what runs in both.

What the plain pairs spend on new arrays, and on copying gradients to where they belong, is a fifth of their time at
d_model = 512 and a third at 64. Here a part of a layer is an object made once for a batch's shape. It owns its arrays, is
bound to its views of the model's two buffers, and leaves its gradients there. A part of the model names its twin by a
method `fast_twin`: :func:`twin_of`.

Shapes: B batch, T time, N = B T rows, D d_model, H heads, d = D / H, F d_ff, V vocabulary.
"""

import math

import numpy as np

from cllm_lib.lattice.biases import alibi_slopes
from cllm_lib.lattice.encodings import rotation_angles
from cllm_lib.model.layers import largest

QUERIES = 128  # in a query block: its scores stay in the processor's cache


def twin_of(part):
    """The quick twin that a part of the model names for itself, or None: then the model computes by plain functions.

    A part names it by a method `fast_twin`, without arguments. A subclass may compute something else, so it inherits none:
    it names its own, or has none. Nor has a part onto which something is hung in the place of one of its methods.

    Parameters
    ----------
    part : object
        A layer, or its attention.

    Returns
    -------
    callable or None
        What makes the twin: from its blocks, the blocks of their gradients, batch, time and n_heads, as :class:`Layer` and
        :class:`Attention` take them, to an object with `forward` and `backward` on rows.
    """
    kind = type(part)
    if "fast_twin" not in vars(kind) or any(hasattr(kind, name) for name in getattr(part, "__dict__", ())):
        return None
    return part.fast_twin()


def affine_shapes(config, slopes=False):
    """A layer's parameters as this module cuts them: a matrix and the bias behind it in memory are one block.

    Parameters
    ----------
    config : CLLMConfig
    slopes : bool
        Whether attention trains the slopes of a distance bias, too.

    Returns
    -------
    dict
        Blocks (n + 1, m), the last row being the bias; query, key and value are a stack of three. A norm is (2, D):
        gain, bias.
    """
    width, inner = config.d_model, config.d_ff
    attention = {"projections": (3, width + 1, width), "output": (width + 1, width)}
    return {
        "attention": attention | ({"slopes": (config.n_heads,)} if slopes else {}),
        "attention_norm": (2, width),
        "feed_forward": {"expand": (width + 1, inner), "contract": (inner + 1, width)},
        "feed_forward_norm": (2, width),
    }


def safe_for_exp(scores, limit=50.0):
    """Whether exp of every score, and sums of them, fit a float32: then softmax need not subtract the maximum of a row.

    Two looks at the whole array cost a tenth of finding, and subtracting, the maximum of each of many short rows.
    """
    return -limit < scores.min() and scores.max() < limit


class Affine:
    """A linear layer, y = x W + b, for one matrix or a stack of them: :func:`~cllm_lib.model.layers.linear_forward`."""

    def __init__(self, block, d_block, n_rows):
        self.weight, self.bias = block[..., :-1, :], block[..., -1:, :]
        self.d_weight, self.d_bias = d_block[..., :-1, :], d_block[..., -1:, :]
        *stack, n_in, n_out = self.weight.shape
        self.y = np.empty((*stack, n_rows, n_out), block.dtype)
        self.dx = np.empty((*stack, n_rows, n_in), block.dtype)
        self.ones = np.ones((1, n_rows), block.dtype)

    def forward(self, x):  # (N, n) -> (..., N, m)
        """Compute y."""
        self.x = x
        np.matmul(x, self.weight, out=self.y)
        self.y += self.bias
        return self.y

    def backward(self, dy):  # (..., N, m) -> (..., N, n)
        """Leave the gradients of W and b, return that of x."""
        np.matmul(self.x.T, dy, out=self.d_weight)
        np.matmul(self.ones, dy, out=self.d_bias)  # a sum over rows, several times faster than sum(axis=0)
        return np.matmul(dy, self.weight.mT, out=self.dx)


class LayerNorm:
    """LayerNorm: :func:`~cllm_lib.model.layers.layer_norm_forward`. Means are products with a column of 1 / D."""

    def __init__(self, block, d_block, n_rows, eps=1e-5):
        self.gain, self.bias = block
        self.d_gain, self.d_bias = d_block
        width, self.eps = self.gain.size, eps
        self.mean = np.full((width, 1), 1.0 / width, block.dtype)
        self.ones = np.ones(n_rows, block.dtype)
        self.normalised, self.y, self.dx, self.scratch = np.empty((4, n_rows, width), block.dtype)

    def forward(self, x):  # (N, D) -> (N, D)
        """Rows of mean 0 and variance 1, scaled and shifted."""
        centred = np.subtract(x, x @ self.mean, out=self.normalised)
        variance = np.vecdot(centred, centred)[:, None] / self.gain.size
        self.inverse_std = 1.0 / np.sqrt(variance + self.eps)
        self.normalised *= self.inverse_std
        np.multiply(self.normalised, self.gain, out=self.y)
        self.y += self.bias
        return self.y

    def backward(self, dy):  # (N, D) -> (N, D)
        """See :func:`~cllm_lib.model.layers.layer_norm_backward`."""
        along = np.multiply(dy, self.normalised, out=self.scratch)
        np.matmul(self.ones, along, out=self.d_gain)
        np.matmul(self.ones, dy, out=self.d_bias)
        gain_mean = self.gain[:, None] * self.mean  # mean(dy * gain) = dy @ (gain / D)
        shift, stretch = dy @ gain_mean, along @ gain_mean
        dx = np.multiply(dy, self.gain, out=self.dx)
        dx -= shift
        dx -= np.multiply(self.normalised, stretch, out=self.scratch)
        dx *= self.inverse_std
        return dx


class Rotation:
    """Rotary position embedding, in place: :func:`~cllm_lib.lattice.encodings.rotate`.

    A pair (a, b) is the complex number a + ib, and a turn is a product.

    Parameters
    ----------
    positions : ndarray, shape (T,)
    width : int
        d.
    dtype : dtype
        float32 or float64; the turns are the complex numbers of that.
    base : float
        Of the speeds.
    """

    def __init__(self, positions, width, dtype, base):
        self.turns = np.exp(1j * rotation_angles(positions, width, base)).astype(np.result_type(dtype, np.complex64))

    def turn(self, x):  # (..., T, d)
        """Turn in place."""
        pairs = x.view(self.turns.dtype)
        pairs *= self.turns

    def turn_back(self, dx):  # (..., T, d)
        """Turn the gradient back in place."""
        pairs = dx.view(self.turns.dtype)
        pairs *= self.turns.conj()


class DistanceBias:
    """What attention subtracts from scores, slope times distance, in place: :func:`~cllm_lib.lattice.biases.distance_bias`.

    Parameters
    ----------
    slopes, d_slopes : ndarray, shape (H,)
    distances : ndarray, shape (T, S)
    """

    def __init__(self, slopes, d_slopes, distances):
        self.slopes, self.d_slopes, self.distances = slopes, d_slopes, distances.astype(slopes.dtype)

    def cut(self, start, stop):
        """The part of a query block."""
        return DistanceBias(self.slopes, self.d_slopes, self.distances[start:stop, :stop])

    def forward(self, scores):  # (B, H, T, S)
        """Subtract in place."""
        scores -= self.slopes[:, None, None] * self.distances

    def backward(self, d_scores):  # (B, H, T, S)
        """Add to the gradient of the slopes."""
        self.d_slopes -= np.tensordot(d_scores, self.distances, axes=2).sum(axis=0)


class QueryBlock:
    """A query block: successive queries and the keys they may see. None stands behind the block, so a long sequence costs half.

    Causal attention of these queries: :func:`~cllm_lib.model.attention.scaled_dot_product_forward`. They are scaled already.

    Parameters
    ----------
    arrays, d_arrays : tuple of ndarray, shape (B, H, T, d)
        Query, key, value and what attention makes of them; and their gradients.
    start, stop : int
        The first query, and the one behind the last.
    distance_bias : DistanceBias, optional
        Of the block.
    """

    def __init__(self, arrays, d_arrays, start, stop, distance_bias=None):
        def cut(query, key, value, attended):
            return query[..., start:stop, :], key[..., :stop, :], value[..., :stop, :], attended[..., start:stop, :]

        self.query, self.key, self.value, self.attended = cut(*arrays)
        self.d_query, self.d_key, self.d_value, self.d_attended = cut(*d_arrays)
        self.distance_bias = distance_bias
        batch, n_heads, time, _ = arrays[0].shape
        self.is_last = stop == time
        self.weights, self.d_scores = np.empty((2, batch, n_heads, stop - start, stop), self.query.dtype)
        self.square = self.weights[..., start:]  # of the block with itself: only here does a key come after a query
        self.forbidden = np.triu(np.full(self.square.shape[-2:], -np.inf, self.query.dtype), 1)
        self.ones = np.ones((stop, 1), self.query.dtype)

    def forward(self):
        """Scores, causal mask, in-place softmax, and the weighted values: fill `attended`."""
        scores = np.matmul(self.query, self.key.mT, out=self.weights)
        if self.distance_bias:
            self.distance_bias.forward(scores)
        safe = safe_for_exp(scores)
        self.square += self.forbidden
        if not safe:
            scores -= largest(scores)
        np.exp(scores, out=scores)
        total = scores @ self.ones
        scores /= total if safe else np.maximum(total, 1.0, out=total)  # 0 where all scores are -inf, else 1 at least
        np.matmul(self.weights, self.value, out=self.attended)

    def backward(self):
        """Fill `d_query`; fill `d_key` and `d_value` if this is the last block, else add to them."""
        d_scores = np.matmul(self.d_attended, self.value.mT, out=self.d_scores)
        d_scores -= np.vecdot(d_scores, self.weights)[..., None]
        d_scores *= self.weights
        if self.distance_bias:
            self.distance_bias.backward(d_scores)
        np.matmul(d_scores, self.key, out=self.d_query)
        if self.is_last:
            np.matmul(self.weights.mT, self.d_attended, out=self.d_value)
            np.matmul(d_scores.mT, self.query, out=self.d_key)
        else:
            self.d_value += self.weights.mT @ self.d_attended
            self.d_key += d_scores.mT @ self.query


class Attention:
    """Causal multi-head self-attention: :func:`~cllm_lib.model.attention.attention_forward`. Heads are views of rows, never copies.

    Parameters
    ----------
    blocks, d_blocks : dict
        The parameters, cut as :func:`affine_shapes` says, and their gradients.
    batch, time, n_heads : int
    rotary_base : float, optional
        Of the turns by which queries and keys are placed; without it they are not turned.
    distance_bias : callable, optional
        From blocks, d_blocks, n_heads and time to the :class:`DistanceBias` that is taken off the scores.
    """

    def __init__(self, blocks, d_blocks, batch, time, n_heads, rotary_base=None, distance_bias=None):
        n_rows, dtype = batch * time, blocks["output"].dtype
        self.projections = Affine(blocks["projections"], d_blocks["projections"], n_rows)
        self.output = Affine(blocks["output"], d_blocks["output"], n_rows)
        self.d_projected = np.empty_like(self.projections.y)
        self.merged, self.dx = np.empty((2, *self.output.y.shape), dtype)

        def heads(rows):  # (..., N, D) -> (..., B, H, T, d)
            return rows.reshape(*rows.shape[:-2], batch, time, n_heads, -1).swapaxes(-2, -3)

        arrays = (*heads(self.projections.y), heads(self.merged)), (*heads(self.d_projected), heads(self.output.dx))
        d_head = self.merged.shape[-1] // n_heads
        self.scale = 1.0 / math.sqrt(d_head)
        self.placed, self.d_placed = heads(self.projections.y[:2]), heads(self.d_projected[:2])  # queries and keys
        self.rotation = rotary_base and Rotation(np.arange(time, dtype=np.int64), d_head, dtype, rotary_base)
        self.distance_bias = distance_bias and distance_bias(blocks, d_blocks, n_heads, time)
        spans = [(start, min(start + QUERIES, time)) for start in range(0, time, QUERIES)]
        self.query_blocks = [QueryBlock(*arrays, *span, self.distance_bias and self.distance_bias.cut(*span)) for span in spans]

    def forward(self, x):  # (N, D) -> (N, D)
        """Project, attend in each head, project back."""
        self.projections.forward(x)
        self.projections.y[0] *= self.scale  # the queries rather than the scores
        if self.rotation:
            self.rotation.turn(self.placed)
        for query_block in self.query_blocks:
            query_block.forward()
        return self.output.forward(self.merged)

    def backward(self, dy):  # (N, D) -> (N, D)
        """See :func:`~cllm_lib.model.attention.attention_backward`."""
        self.output.backward(dy)  # leaves the gradient of what was attended
        if self.distance_bias:
            self.distance_bias.d_slopes.fill(0.0)
        for query_block in reversed(self.query_blocks):  # the last one reaches every key
            query_block.backward()
        if self.rotation:
            self.rotation.turn_back(self.d_placed)
        self.d_projected[0] *= self.scale
        return np.add.reduce(self.projections.backward(self.d_projected), axis=0, out=self.dx)


def bias_of(part, blocks, d_blocks, n_heads, time, start=0):
    """The distance bias of a :class:`~cllm_lib.model.attention.DistanceBiasAttention`; fixed slopes get a gradient that nobody reads."""
    distances = part.distances(time, start)
    if part.learned:
        return DistanceBias(blocks["slopes"], d_blocks["slopes"], distances)
    fixed = alibi_slopes(n_heads).astype(blocks["output"].dtype)
    return DistanceBias(fixed, np.zeros_like(fixed), distances)


class FeedForward:
    """The feed-forward network, with tanh and its slope in place: :func:`~cllm_lib.model.layers.feed_forward_forward`."""

    def __init__(self, blocks, d_blocks, n_rows):
        self.expand = Affine(blocks["expand"], d_blocks["expand"], n_rows)
        self.contract = Affine(blocks["contract"], d_blocks["contract"], n_rows)

    def forward(self, x):  # (N, D) -> (N, D)
        """D to F, tanh, and back."""
        hidden = self.expand.forward(x)
        return self.contract.forward(np.tanh(hidden, out=hidden))

    def backward(self, dy):  # (N, D) -> (N, D)
        """See :func:`~cllm_lib.model.layers.feed_forward_backward`."""
        d_hidden, slope = self.contract.backward(dy), self.expand.y  # tanh' = 1 - tanh^2
        slope *= slope
        np.subtract(1.0, slope, out=slope)
        d_hidden *= slope
        return self.expand.backward(d_hidden)


class Layer:
    """A transformer layer, post-LayerNorm: :class:`~cllm_lib.model.transformer.TransformerLayer`.

    Parameters
    ----------
    attention : callable
        The twin of the layer's attention; see :func:`twin_of`.
    blocks, d_blocks : dict
        The layer's, cut as :func:`affine_shapes` says.
    batch, time, n_heads : int
    """

    def __init__(self, attention, blocks, d_blocks, batch, time, n_heads):
        n_rows = batch * time
        self.attention = attention(blocks["attention"], d_blocks["attention"], batch, time, n_heads)
        self.attention_norm = LayerNorm(blocks["attention_norm"], d_blocks["attention_norm"], n_rows)
        self.feed_forward = FeedForward(blocks["feed_forward"], d_blocks["feed_forward"], n_rows)
        self.feed_forward_norm = LayerNorm(blocks["feed_forward_norm"], d_blocks["feed_forward_norm"], n_rows)

    def forward(self, x):  # (N, D) -> (N, D)
        """Attention, residual connection, LayerNorm; feed-forward, residual connection, LayerNorm."""
        attended = self.attention.forward(x)
        attended += x
        x = self.attention_norm.forward(attended)
        fed = self.feed_forward.forward(x)
        fed += x
        return self.feed_forward_norm.forward(fed)

    def backward(self, dy):  # (N, D) -> (N, D)
        """Undo :meth:`forward` from its last line to its first."""
        d_sum = self.feed_forward_norm.backward(dy)
        d_sum += self.feed_forward.backward(d_sum)
        d_sum = self.attention_norm.backward(d_sum)
        d_sum += self.attention.backward(d_sum)
        return d_sum


class Output:
    """The output matrix, an in-place softmax and the mean cross-entropy, on one array as wide as the vocabulary."""

    def __init__(self, matrix, d_matrix, n_rows):
        self.matrix, self.d_matrix = matrix, d_matrix
        width, vocab_size = matrix.shape
        self.logits = np.empty((n_rows, vocab_size), matrix.dtype)
        self.ones = np.ones((vocab_size, 1), matrix.dtype)
        self.d_hidden = np.empty((n_rows, width), matrix.dtype)

    def forward_backward(self, hidden, targets):  # (N, D), (N) -> loss, (N, D)
        """The loss, and the gradient of the hidden states; that of the matrix is left in its place."""
        at_target = np.arange(len(targets), dtype=np.int64), targets
        logits = np.matmul(hidden, self.matrix, out=self.logits)
        if not safe_for_exp(logits):
            logits -= largest(logits)
        target_logits = logits[at_target]
        np.exp(logits, out=logits)
        total = logits @ self.ones
        masked = np.flatnonzero(total == 0.0)  # rows whose logits are all -inf
        total[masked] = 1.0
        loss = float((np.log(total[:, 0]) - target_logits).mean())
        # The same array once more: exp(logits) becomes (probability - 1 at the target) / N.
        logits *= 1.0 / (len(targets) * total)
        logits[at_target] -= 1.0 / len(targets)
        logits[masked] = 0.0
        np.matmul(hidden.T, logits, out=self.d_matrix)
        return loss, np.matmul(logits, self.matrix.T, out=self.d_hidden)


class Stack:
    """Layers, output and loss for batches of one shape: from x to the loss, and back to the gradient of x.

    Parameters
    ----------
    layers, d_layers : list of dict
        Each layer's blocks, cut as :func:`affine_shapes` says, and their gradients, which every call overwrites.
    matrix, d_matrix : ndarray, shape (D, V)
        The output matrix and its gradient.
    batch, time, n_heads : int
    twin : callable
        Of the layer; see :func:`twin_of`.
    """

    def __init__(self, layers, d_layers, matrix, d_matrix, batch, time, n_heads, twin):
        self.layers = [twin(blocks, d_blocks, batch, time, n_heads) for blocks, d_blocks in zip(layers, d_layers, strict=True)]
        self.output = Output(matrix, d_matrix, batch * time)

    def forward_backward(self, x, targets):  # (B, T, D), (B, T) -> loss, (B, T, D)
        """The loss, and the gradient of x; what is returned is overwritten by the next call."""
        rows = x.reshape(-1, x.shape[-1])
        for layer in self.layers:
            rows = layer.forward(rows)
        loss, d_rows = self.output.forward_backward(rows, targets.ravel())
        for layer in reversed(self.layers):
            d_rows = layer.backward(d_rows)
        return loss, d_rows.reshape(x.shape)
