"""The quick twins that training uses: the formulas of the plain layers on preallocated arrays.

The plain pairs `name_forward`, `name_backward` in :mod:`~cllm_lib.model.layers` and :mod:`~cllm_lib.model.attention`
are the definition, written to be read. What runs in a training step of the sound model is here; `CLLM(config, fast=False)`
runs the plain pairs instead, and tests hold the two equal. Only the embedding's look-up and the positions have no twin:
there the plain functions are what runs in both.

What the plain pairs spend on new arrays, and on copying gradients to where they belong, is a fifth of their time at
d_model = 512 and a third at 64. Here a part of a layer is an object made once for a batch's shape. It owns its arrays, is
bound to its views of the model's two buffers, and leaves its gradients there. A part of the model names its twin by a
method `fast_twin`: :func:`twin_of`.

Here are attention, the layer and the stack of layers; what is made of :mod:`~cllm_lib.model.layers` stands in
:mod:`~cllm_lib.model.fast_layers`.

Shapes: B batch, T time, N = B T rows, D d_model, H heads, d = D / H, G key/value heads, F d_ff, V vocabulary.
"""

import math

import numpy as np

from cllm_lib.lattice.biases import alibi_slopes
from cllm_lib.lattice.encodings import rotation_angles
from cllm_lib.model.fast_layers import FEED_FORWARDS, NORMS, Affine
from cllm_lib.model.layers import largest
from cllm_lib.model.products import product

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
        What makes the twin, an object with `forward` and `backward` on rows: from its blocks, the blocks of their gradients,
        batch, time, and the configuration for a :class:`Layer`, n_heads for an :class:`Attention`.
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
        Blocks (n + 1, m), the last row being the bias; query, key and value are a stack of three where they are alike, and in
        grouped-query attention the query and a stack of two. Of norms and feed-forward networks see
        :mod:`~cllm_lib.model.fast_layers`.
    """
    width, narrow = config.d_model, config.kv_heads * config.d_head
    alike = {"projections": (3, width + 1, width)}
    grouped = {"query": (width + 1, width), "key_value": (2, width + 1, narrow)}
    attention = (alike if narrow == width else grouped) | {"output": (width + 1, width)}
    norm = NORMS[config.norm].shapes(config)
    return {
        "attention": attention | ({"slopes": (config.n_heads,)} if slopes else {}),
        "attention_norm": norm,
        "feed_forward": FEED_FORWARDS[config.feed_forward].shapes(config),
        "feed_forward_norm": norm,
    }


def safe_for_exp(scores, limit=50.0):
    """Whether exp of every score, and sums of them, fit a float32: then softmax need not subtract the maximum of a row.

    Two looks at the whole array cost a tenth of finding, and subtracting, the maximum of each of many short rows.
    """
    return -limit < scores.min() and scores.max() < limit


class Rotation:
    """Rotary position embedding, in place: :func:`~cllm_lib.lattice.encodings.rotate` of neighbours.

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
        self.multiply(x, self.turns)

    def turn_back(self, dx):  # (..., T, d)
        """Turn the gradient back in place."""
        self.multiply(dx, self.turns.conj())

    def multiply(self, x, turns):
        """Neighbours lie in memory as a complex number does."""
        pairs = x.view(turns.dtype)
        pairs *= turns


class RotationOfHalves(Rotation):
    """Rotary position embedding, in place: :func:`~cllm_lib.lattice.encodings.rotate` of halves."""

    def multiply(self, x, turns):
        """What lies apart is brought together first."""
        real, imaginary = np.split(x, 2, axis=-1)
        pairs = np.empty(real.shape, turns.dtype)
        pairs.real, pairs.imag = real, imaginary
        pairs *= turns
        real[...], imaginary[...] = pairs.real, pairs.imag


ROTATIONS = {"neighbours": Rotation, "halves": RotationOfHalves}


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

    def forward(self, scores):  # (B, H, T, S), or the heads in two axes (G, H / G)
        """Subtract in place."""
        scores -= self.slopes.reshape(scores.shape[1:-2])[..., None, None] * self.distances

    def backward(self, d_scores):  # (B, H, T, S), or likewise
        """Add to the gradient of the slopes."""
        self.d_slopes -= np.tensordot(d_scores, self.distances, axes=2).sum(axis=0).ravel()


class QueryBlock:
    """A query block: successive queries and the keys they may see. None stands behind the block, so a long sequence costs half.

    Causal attention of these queries: :func:`~cllm_lib.model.attention.scaled_dot_product_forward`. They are scaled already.

    Parameters
    ----------
    arrays, d_arrays : tuple of ndarray, shape (B, H, T, d)
        Query, key, value and what attention makes of them; and their gradients. In grouped-query attention
        (B, G, H / G, T, d), and (B, G, 1, T, d) for key and value.
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
        *heads, time, _ = arrays[0].shape
        self.is_last, self.is_grouped = stop == time, self.query.shape[:-2] != self.key.shape[:-2]
        self.weights, self.d_scores = np.empty((2, *heads, stop - start, stop), self.query.dtype)
        self.square = self.weights[..., start:]  # of the block with itself: only here does a key come after a query
        self.forbidden = np.triu(np.full(self.square.shape[-2:], -np.inf, self.query.dtype), 1)
        self.ones = np.ones((stop, 1), self.query.dtype)

    def forward(self):
        """Scores, causal mask, in-place softmax, and the weighted values: fill `attended`."""
        scores = product(self.query, self.key.mT, out=self.weights)
        if self.distance_bias:
            self.distance_bias.forward(scores)
        safe = safe_for_exp(scores)
        self.square += self.forbidden
        if not safe:
            scores -= largest(scores)
        np.exp(scores, out=scores)
        total = scores @ self.ones
        scores /= total if safe else np.maximum(total, 1.0, out=total)  # 0 where all scores are -inf, else 1 at least
        product(self.weights, self.value, out=self.attended)

    def backward(self):
        """Fill `d_query`; fill `d_key` and `d_value` if this is the last block, else add to them."""
        d_scores = product(self.d_attended, self.value.mT, out=self.d_scores)
        d_scores -= np.vecdot(d_scores, self.weights)[..., None]
        d_scores *= self.weights
        if self.distance_bias:
            self.distance_bias.backward(d_scores)
        product(d_scores, self.key, out=self.d_query)
        self.leave(self.d_value, self.weights.mT, self.d_attended)
        self.leave(self.d_key, d_scores.mT, self.query)

    def leave(self, gradient, turned, rows):  # (B, H, S, d), (B, H, S, T), (B, H, T, d)
        """Fill a gradient with the product if this is the last block, else add it; of a group the heads together."""
        if self.is_last and not self.is_grouped:
            product(turned, rows, out=gradient)
            return
        share = product(turned, rows)
        if self.is_grouped:
            share = share.sum(axis=-3, keepdims=True)
        if self.is_last:
            gradient[...] = share
        else:
            gradient += share


class Projections:
    """Query, key and value of each row: one stack of three where they are equally wide, else the query and a stack of two.

    Parameters
    ----------
    blocks, d_blocks : dict
        Of attention, cut as :func:`affine_shapes` says.
    n_rows : int

    Attributes
    ----------
    query, key, value, d_query, d_key, d_value : ndarray, shape (N, D), or (N, G d) of keys and values
        Views of :attr:`stacks` and :attr:`d_stacks`.
    stacks, d_stacks : list of ndarray
        What each product fills, and its gradient.
    """

    def __init__(self, blocks, d_blocks, n_rows):
        names = ["projections"] if "projections" in blocks else ["query", "key_value"]
        self.parts = [Affine(blocks[name], d_blocks[name], n_rows) for name in names]
        self.stacks = [part.y for part in self.parts]
        self.d_stacks = [np.empty_like(stack) for stack in self.stacks]
        self.query, self.key, self.value = (rows for stack in self.stacks for rows in (stack if stack.ndim == 3 else [stack]))
        self.d_query, self.d_key, self.d_value = (rows for stack in self.d_stacks for rows in (stack if stack.ndim == 3 else [stack]))
        self.dx = np.empty_like(self.query)

    def forward(self, x):  # (N, D)
        """Fill the stacks."""
        for part in self.parts:
            part.forward(x)

    def backward(self):  # -> (N, D)
        """The gradient of x, from what stands in :attr:`d_stacks`: x made all three."""
        *query, stack = (part.backward(d_stack) for part, d_stack in zip(self.parts, self.d_stacks, strict=True))
        dx = np.add.reduce(stack, axis=0, out=self.dx)
        for d_path in query:
            dx += d_path
        return dx


class Attention:
    """Causal multi-head self-attention: :func:`~cllm_lib.model.attention.attention_forward`. Heads are views of rows, never copies.

    Parameters
    ----------
    blocks, d_blocks : dict
        The parameters, cut as :func:`affine_shapes` says, and their gradients. How many key/value heads there are shows in
        their width.
    batch, time, n_heads : int
    rotation : callable, optional
        From positions, width and dtype to the :class:`Rotation` by which queries and keys are placed; without it they are not turned.
    distance_bias : callable, optional
        From blocks, d_blocks, n_heads and time to the :class:`DistanceBias` that is taken off the scores.
    """

    def __init__(self, blocks, d_blocks, batch, time, n_heads, rotation=None, distance_bias=None):
        n_rows, dtype = batch * time, blocks["output"].dtype
        self.projections = Projections(blocks, d_blocks, n_rows)
        self.output = Affine(blocks["output"], d_blocks["output"], n_rows)
        self.merged = np.empty_like(self.output.y)
        d_head = self.merged.shape[-1] // n_heads
        n_kv_heads = self.projections.key.shape[-1] // d_head
        grouped = n_kv_heads < n_heads

        def heads(rows):  # (..., N, width) -> (..., B, heads, T, d); in groups, (..., B, G, heads of a group, T, d)
            split = (n_kv_heads, -1, d_head) if grouped else (-1, d_head)
            return np.moveaxis(rows.reshape(*rows.shape[:-2], batch, time, *split), -1 - len(split), -2)

        made, output = self.projections, self.output
        arrays = tuple(map(heads, (made.query, made.key, made.value, self.merged)))
        d_arrays = tuple(map(heads, (made.d_query, made.d_key, made.d_value, output.dx)))
        self.scale = 1.0 / math.sqrt(d_head)
        self.placed, self.d_placed = ([heads(part) for part in queries_and_keys(stacks)] for stacks in (made.stacks, made.d_stacks))
        self.rotation = rotation and rotation(np.arange(time, dtype=np.int64), d_head, dtype)
        self.distance_bias = distance_bias and distance_bias(blocks, d_blocks, n_heads, time)
        spans = [(start, min(start + QUERIES, time)) for start in range(0, time, QUERIES)]
        self.query_blocks = [QueryBlock(arrays, d_arrays, *span, self.distance_bias and self.distance_bias.cut(*span)) for span in spans]

    def forward(self, x):  # (N, D) -> (N, D)
        """Project, attend in each head, project back."""
        self.projections.forward(x)
        self.projections.query *= self.scale  # the queries rather than the scores
        if self.rotation:
            for heads in self.placed:
                self.rotation.turn(heads)
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
            for heads in self.d_placed:
                self.rotation.turn_back(heads)
        self.projections.d_query *= self.scale
        return self.projections.backward()


def queries_and_keys(stacks):
    """Of the stacks of :class:`Projections` what positions act on: the first two of three, or the query and the first of two."""
    return [stacks[0][:2]] if len(stacks) == 1 else [stacks[0], stacks[1][0]]


def bias_of(part, blocks, d_blocks, n_heads, time, start=0):
    """The distance bias of a :class:`~cllm_lib.model.attention.DistanceBiasAttention`; fixed slopes get a gradient that nobody reads."""
    distances = part.distances(time, start)
    if part.learned:
        return DistanceBias(blocks["slopes"], d_blocks["slopes"], distances)
    fixed = alibi_slopes(n_heads).astype(blocks["output"].dtype)
    return DistanceBias(fixed, np.zeros_like(fixed), distances)


class Layer:
    """A transformer layer, its norms behind its parts or before them: :class:`~cllm_lib.model.transformer_layer.TransformerLayer`.

    Parameters
    ----------
    attention : callable
        The twin of the layer's attention; see :func:`twin_of`.
    blocks, d_blocks : dict
        The layer's, cut as :func:`affine_shapes` says.
    batch, time : int
    config : CLLMConfig
    """

    def __init__(self, attention, blocks, d_blocks, batch, time, config):
        def made(part, name):
            return part(blocks[name], d_blocks[name], batch * time)

        self.norm_first = config.norm_first
        self.attention = attention(blocks["attention"], d_blocks["attention"], batch, time, config.n_heads)
        self.attention_norm = made(NORMS[config.norm], "attention_norm")
        self.feed_forward = made(FEED_FORWARDS[config.feed_forward], "feed_forward")
        self.feed_forward_norm = made(NORMS[config.norm], "feed_forward_norm")

    def forward(self, x):  # (N, D) -> (N, D)
        """Attention, residual connection, norm; feed-forward, residual connection, norm; or each norm before its part."""
        if self.norm_first:
            attended = self.attention.forward(self.attention_norm.forward(x))
            attended += x
            fed = self.feed_forward.forward(self.feed_forward_norm.forward(attended))
            fed += attended
            return fed
        attended = self.attention.forward(x)
        attended += x
        x = self.attention_norm.forward(attended)
        fed = self.feed_forward.forward(x)
        fed += x
        return self.feed_forward_norm.forward(fed)

    def backward(self, dy):  # (N, D) -> (N, D)
        """Undo :meth:`forward` from its last line to its first."""
        if self.norm_first:
            d_sum = self.feed_forward_norm.backward(self.feed_forward.backward(dy))
            d_sum += dy
            dx = self.attention_norm.backward(self.attention.backward(d_sum))
            dx += d_sum
            return dx
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
        logits = product(hidden, self.matrix, out=self.logits)
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
        product(hidden.T, logits, out=self.d_matrix)
        return loss, product(logits, self.matrix.T, out=self.d_hidden)


class Stack:
    """Layers, output and loss for batches of one shape: from x to the loss, and back to the gradient of x.

    Parameters
    ----------
    blocks, d_blocks : dict
        The model's parameters, with each layer's, and the last norm, cut as :func:`affine_shapes` says; and their gradients,
        which every call overwrites.
    matrix, d_matrix : ndarray, shape (D, V)
        The output matrix and its gradient.
    batch, time : int
    config : CLLMConfig
    twin : callable
        Of the layer; see :func:`twin_of`.
    """

    def __init__(self, blocks, d_blocks, matrix, d_matrix, batch, time, config, twin):
        names = blocks["layers"]
        self.parts = [twin(blocks["layers"][i], d_blocks["layers"][i], batch, time, config) for i in names]
        if config.norm_first:
            self.parts.append(NORMS[config.norm](blocks["final_norm"], d_blocks["final_norm"], batch * time))
        self.output = Output(matrix, d_matrix, batch * time)

    def forward_backward(self, x, targets):  # (B, T, D), (B, T) -> loss, (B, T, D)
        """The loss, and the gradient of x; what is returned is overwritten by the next call."""
        rows = x.reshape(-1, x.shape[-1])
        for part in self.parts:
            rows = part.forward(rows)
        loss, d_rows = self.output.forward_backward(rows, targets.ravel())
        for part in reversed(self.parts):
            d_rows = part.backward(d_rows)
        return loss, d_rows.reshape(x.shape)
