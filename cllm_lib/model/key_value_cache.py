"""What a model has read, kept: with the keys and values of earlier tokens at hand, a new token is one row of work.

A token's key and value depend on it and on the tokens before it, never on those after it: the causal mask sees to that.
So they are computed once. A new token brings its own query, key and value, and its query looks at all keys so far.

Shapes: B batch, T new tokens, S seq_len, D d_model, H heads, d = D / H, G key/value heads, V vocabulary.
"""

import math
import numbers
from functools import partial

import numpy as np

from cllm_lib.checks import positive_integer, token_ids
from cllm_lib.model import fast
from cllm_lib.model.attention import CausalSelfAttention, DistanceBiasAttention, RotarySelfAttention, scaled_dot_product_forward
from cllm_lib.model.layers import largest
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.products import product
from cllm_lib.model.transformer import CLLM, TokenEmbedding
from cllm_lib.model.transformer_layer import TransformerLayer


def can_cache(model):
    """Whether every part of the model is the sound one, of which a cache knows that no token changes an earlier one's key.

    Parameters
    ----------
    model : CLLM or any object with `config` and `logits`

    Returns
    -------
    bool
        False for a subclass, for any other part (a defect of the museum, a reader's own), and for a part or model with
        something hung onto it.
    """
    if type(model) is not CLLM or "logits" in vars(model):
        return False
    known_positions = type(model.positions) is POSITIONS[model.config.positions]
    return model.is_sound and type(model.embedding) is TokenEmbedding and known_positions


class CachedAttention(CausalSelfAttention):
    """One layer's sound attention, whose queries also look at the keys and values of earlier calls.

    Parameters
    ----------
    part : CausalSelfAttention
        What the model has there.
    parameters : dict of str to ndarray
        The layer's, of that part.
    keys, values : ndarray, shape (B, G, S, d)
        Filled from `start` on by each call.

    Attributes
    ----------
    start : int
        How many of them hold what was read so far; :class:`KeyValueCache` sets it.
    """

    def __init__(self, part, parameters, keys, values):
        self.part, self.parameters, self.keys, self.values, self.start = part, parameters, keys, values, 0

    def attend(self, query, key, value):  # (B, H, T, d), 2 x (B, G, T, d) -> (B, H, T, d)
        """Keep the new keys and values behind the old ones, and look at all of them."""
        _, n_heads, time, _ = query.shape
        stop = self.start + time
        query, key = self.part.placed(query, key, self.start)
        self.keys[:, :, self.start : stop] = key
        self.values[:, :, self.start : stop] = value
        bias = self.part.bias(self.parameters, n_heads, time, self.start)
        return scaled_dot_product_forward(query, self.keys[:, :, :stop], self.values[:, :, :stop], bias=bias)


class OneTokenAttention:
    """The forward half of :class:`~cllm_lib.model.fast.Attention` for one new token of each sequence, with the keys before it.

    Parameters
    ----------
    part : CausalSelfAttention
        The model's attention.
    keys, values : ndarray, shape (B, G, S, d)
    blocks, d_blocks, batch, time, n_heads
        As for the twin; `time` is 1, and no gradients are touched.

    Attributes
    ----------
    start : int
        The position of the token.
    """

    def __init__(self, part, keys, values, blocks, d_blocks, batch, time, n_heads):
        _, n_kv_heads, _, d_head = keys.shape
        self.part, self.keys, self.values, self.blocks, self.n_heads, self.start = part, keys, values, blocks, n_heads, 0
        self.scale = 1.0 / math.sqrt(d_head)
        self.projections = fast.Projections(blocks, d_blocks, batch)
        self.output = fast.Affine(blocks["output"], d_blocks["output"], batch)
        self.merged = np.empty_like(self.output.y)

        def heads(rows):  # (..., B, width) -> (..., B, G, heads of a group, d): a group's queries stand where time stood
            return rows.reshape(*rows.shape[:-1], n_kv_heads, -1, d_head)

        made = self.projections
        self.query, self.key, self.value, self.attended = map(heads, (made.query, made.key, made.value, self.merged))
        self.placed = [heads(part) for part in fast.queries_and_keys(made.stacks)]

    def forward(self, x):  # (B, D) -> (B, D)
        """See :meth:`CachedAttention.attend`. Nothing is masked: the one query stands last, and may look at every key."""
        start, stop = self.start, self.start + 1
        self.projections.forward(x)
        if isinstance(self.part, RotarySelfAttention):
            rotation = fast.ROTATIONS[self.part.pairs](np.array([start]), self.keys.shape[-1], self.keys.dtype, self.part.base)
            for heads in self.placed:
                rotation.turn(heads)
        self.keys[:, :, start:stop] = self.key
        self.values[:, :, start:stop] = self.value
        self.query *= self.scale
        weights = self.query @ self.keys[:, :, :stop].mT
        if isinstance(self.part, DistanceBiasAttention):
            scores = weights.reshape(len(weights), self.n_heads, 1, stop)  # the same memory
            fast.bias_of(self.part, self.blocks, self.blocks, self.n_heads, 1, start).forward(scores)
        weights -= largest(weights)
        np.exp(weights, out=weights)
        np.matmul(weights, self.values[:, :, :stop], out=self.attended)
        self.attended /= np.maximum(weights.sum(axis=-1, keepdims=True), 1.0)  # d numbers a head rather than all weights
        return self.output.forward(self.merged)


class OneTokenLayer:
    """A :class:`~cllm_lib.model.transformer_layer.TransformerLayer` for one new token of each sequence, quicker.

    With a single row the matrix products are short, and making arrays for them takes as long. Here the forward half of
    :class:`~cllm_lib.model.fast.Layer` works on arrays that are kept; tests hold the layer equal to the plain one.

    Parameters
    ----------
    blocks : dict
        The layer's parameters, cut as :func:`~cllm_lib.model.fast.affine_shapes` says.
    part : CausalSelfAttention
        The model's attention.
    config : CLLMConfig
    keys, values : ndarray, shape (B, G, S, d)
    """

    def __init__(self, blocks, part, config, keys, values):
        attention = partial(OneTokenAttention, part, keys, values)
        self.layer = fast.Layer(attention, blocks, blocks, len(keys), 1, config)  # no gradients: a forward pass never touches them

    def forward(self, x, start):  # (B, D) -> (B, D)
        """The layer's output for the token at position `start`; overwritten by the next call."""
        self.layer.attention.start = start
        return self.layer.forward(x)


class KeyValueCache:
    """Key/value cache: the keys and values of all that a model has read so far, in every layer.

    A cache belongs to the weights of one moment. It copies them when it is made, so training the model afterwards does
    not disturb it, and is not noticed by it either: for the new weights make a new cache.

    Parameters
    ----------
    model : CLLM
        With sound parts only, as :func:`can_cache` tells; left as it was.
    batch : int
        B, how many sequences are read side by side.

    Attributes
    ----------
    keys, values : ndarray, shape (n_layers, B, G, S, d)
        Positions 0 to `length` - 1 hold what was read. Of G key/value heads only: with fewer than heads of queries the cache is so
        much smaller.
    length : int
        Tokens read so far, at most `config.seq_len`.
    model : CLLM
        The copy.

    Raises
    ------
    ValueError
        If the model has other parts, or `batch` is not a whole number of at least 1.

    Notes
    -----
    Reading a token costs the same products with weights however many came before it, and in each layer one look at all
    keys and one at all values. With few tokens at a time neither is limited by arithmetic: what takes the time is fetching
    weights, keys and values from memory (Shazeer 2019, "Fast Transformer Decoding: One Write-Head is All You Need").

    Examples
    --------
    >>> from cllm_lib import CLLM, CLLMConfig
    >>> cache = KeyValueCache(CLLM(CLLMConfig(vocab_size=7, d_model=8, n_heads=2, d_ff=16)))
    >>> cache.extend([[1, 2, 3]]).shape, cache.extend([[4]]).shape, cache.length
    ((1, 7), (1, 7), 4)
    """

    def __init__(self, model, batch=1):
        if not can_cache(model):
            raise ValueError("this model has other parts than the sound ones, for which a cache need not hold: use model.logits(tokens)")
        config = model.config
        self.model = model.with_parameters(model.flat_parameters.copy())
        self.length = 0
        shape = (config.n_layers, positive_integer(batch, "batch"), config.kv_heads, config.seq_len, config.d_head)
        self.keys, self.values = np.zeros(shape, config.dtype), np.zeros(shape, config.dtype)
        part, blocks = model.layer.attention, self.model.blocks(self.model.flat_parameters)["layers"].values()
        own = [self.model.layer_parameters(i)["attention"] for i in range(config.n_layers)]
        self._plain = [TransformerLayer(CachedAttention(part, *arrays)) for arrays in zip(own, self.keys, self.values, strict=True)]
        self._quick = [OneTokenLayer(one, part, config, *pair) for one, *pair in zip(blocks, self.keys, self.values, strict=True)]

    def extend(self, tokens):  # (B, T) -> (B, V)
        """Read more tokens, a whole prompt or one at a time, and score what may come next.

        Parameters
        ----------
        tokens : array_like of int, shape (B, T)
            They stand behind what was read so far.

        Returns
        -------
        ndarray, shape (B, V)
            Logits at the last position only: `model.logits(all_tokens)[:, -1]`, to rounding.

        Raises
        ------
        ValueError
            If the shape is not (B, T), they are more than there is room for, or an id is no integer of the vocabulary.
            Nothing was read then.
        """
        tokens = self._checked(tokens)
        x, _ = self.model.embedding.forward(tokens, self.model.parameters["embedding"])
        x = self.model.positions.forward(x, self.model.position_parameters, self.length)
        quick = tokens.shape[1] == 1 and self.model.fast
        last = self._one_token(x[:, 0]) if quick else self._through_layers(x)[:, -1]
        self.length += tokens.shape[1]
        return product(self.model.normed(last), self.model.output_matrix)

    def truncate(self, length=0):
        """Forget all but the first `length` tokens, so that another continuation can be tried.

        Raises
        ------
        ValueError
            If `length` is not a whole number from 0 to the tokens read.
        """
        if isinstance(length, bool) or not isinstance(length, numbers.Integral) or not 0 <= length <= self.length:
            raise ValueError(f"length is {length!r}: give a whole number from 0 to {self.length}, the tokens read; extend reads more")
        self.length = int(length)

    def _through_layers(self, x):  # (B, T, D) -> (B, T, D)
        for i, layer in enumerate(self._plain):
            layer.attention.start = self.length
            x, _ = layer.forward(x, self.model.layer_parameters(i), self.model.config)
        return x

    def _one_token(self, rows):  # (B, D) -> (B, D)
        for layer in self._quick:
            rows = layer.forward(rows, self.length)
        return rows

    def _checked(self, tokens):
        tokens = np.asarray(tokens)
        batch, room = self.keys.shape[1], self.keys.shape[3] - self.length
        if tokens.ndim != 2 or len(tokens) != batch or tokens.size == 0:
            raise ValueError(f"tokens have shape {tokens.shape}: give ({batch}, time), the next tokens of each sequence of the cache")
        if tokens.shape[1] > room:
            raise ValueError(
                f"{tokens.shape[1]} more tokens, and the cache has room for {room} of seq_len = {self.keys.shape[3]}: truncate() it and "
                "read the last seq_len tokens anew, for when the window slides each token's context changes"
            )
        return token_ids(tokens, self.model.config.vocab_size)
