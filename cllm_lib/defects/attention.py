"""Attention as it was before its fix, and as the fix made it: forward faults first, then the two backward passes."""

import math

import numpy as np

from cllm_lib.defects.catalogue import exhibit
from cllm_lib.model.attention import (
    PROJECTIONS,
    CausalSelfAttention,
    attention_backward,
    causal_mask,
    merge_heads,
    scaled_dot_product_forward,
    split_heads,
)


@exhibit("simplified attention", "attention", CausalSelfAttention, 4)
class SimplifiedAttention:
    """What stood in attention's place: output = 2 * input.

    What it did
        Copied its input and added it once more. No query, key, value or softmax; no token sees another.
    Symptom
        None that a loss curve would show early. The loss cannot pass the bigram entropy of the text.
    Exposed by
        Changing an earlier token and watching a later output: it does not change.
    In the documents
        000, 001 and 002 name it as the root cause of 9.2103.
    """

    def parameter_shapes(self, config):
        """Nothing to train."""
        return {}

    def forward(self, x, parameters, config):
        """Twice the input."""
        return 2.0 * x, None

    def backward(self, dy, cache):
        """Twice the gradient: the backward pass of this part is right."""
        return 2.0 * dy, {}


@exhibit("no causal mask", "attention", CausalSelfAttention, 5)
class NoCausalMask(CausalSelfAttention):
    """Attention that looks ahead: position t reads position t + 1, which is its own target.

    What it did
        Took the softmax over all positions of the sequence, later ones included.
    Symptom
        A training loss below what any honest guess can reach: text without any pattern is "predicted".
    Exposed by
        Changing a later token and watching an earlier output: it changes.
    In the documents
        000 asks for "proper attention" and does not mention a mask.
    """

    def attend(self, query, key, value):
        """Every query sees every key."""
        everything = np.ones((query.shape[2], query.shape[2]), dtype=bool)
        return scaled_dot_product_forward(query, key, value, everything)


@exhibit("head stride", "attention", CausalSelfAttention, 6)
class HeadStride(CausalSelfAttention):
    """Keys and values read with the wrong stride: what a head takes for positions are other heads.

    What it did
        Wrote keys and values as rows of H blocks, one block of d numbers for each head, and read head h from block h
        onwards one block at a time, not one row at a time. So its "position i" is block h + i: head (h + i) mod H of
        token (h + i) div H.
    Symptom
        None in shapes or training; whatever depends on later tokens than the first T / H + 1 is not learnt.
    Exposed by
        Which tokens a query reaches: with 8 heads and 32 positions none but the first five, and itself by the
        residual path.
    In the documents
        None.
    """

    def attend(self, query, key, value):
        """Queries are read rightly; keys and values are not."""
        return super().attend(query, read_by_blocks(key), read_by_blocks(value))

    def attend_backward(self, d_output, cache):
        """What was read from a block goes back to that block."""
        d_query, d_key, d_value = super().attend_backward(d_output, cache)
        return d_query, written_to_blocks(d_key), written_to_blocks(d_value)


@exhibit("projection by blocks", "attention", CausalSelfAttention, 7)
class BlockProjection(CausalSelfAttention):
    """Each head sees its own slice of the input only: most of the three matrices is never read.

    What it did
        Computed query, key and value of head h from columns h d to (h + 1) d of the input alone.
    Symptom
        A share of 1 - 1 / H of these weights never changes.
    Exposed by
        Which weights ever get a gradient: those of H blocks along the diagonal, all others exactly 0.
    In the documents
        None.
    """

    of_2017 = True

    def forward(self, x, parameters, config):
        """The sound attention, with everything outside the blocks set to 0."""
        in_block = np.kron(np.eye(config.n_heads, dtype=x.dtype), np.ones((config.d_head, config.d_head), x.dtype))
        read = {f"{name}_weight": parameters[f"{name}_weight"] * in_block for name in PROJECTIONS}
        y, cache = super().forward(x, {**parameters, **read}, config)
        return y, (cache, in_block)

    def backward(self, dy, cache):
        """What was not read gets no gradient."""
        sound_cache, in_block = cache
        dx, gradients = super().backward(dy, sound_cache)
        for name in PROJECTIONS:
            gradients[f"{name}_weight"] *= in_block
        return dx, gradients

    def weights(self, cache):
        """Of the sound part."""
        return super().weights(cache[0])


@exhibit("home-made exponential", "attention", CausalSelfAttention, 9)
class TaylorExponential(CausalSelfAttention):
    """A softmax made with an exponential of one's own, whose series stops after two terms below zero.

    What it did
        Summed 1 + x + x^2/2 + ... until a term was *smaller than* 1e-15, without an absolute value. A negative term
        is smaller, so for every negative x the result is 1 + x: exp(-2) = -1. A softmax that first subtracts the
        largest score has nothing but such x.
    Symptom
        Attention takes more than all from some tokens and a negative share of others.
    Exposed by
        One assertion: attention weights lie in [0, 1].
    In the documents
        None. The program had written its own mathematics to depend on no library.
    """

    of_2017 = True

    def attend(self, query, key, value):
        """See :func:`home_made_forward`."""
        return home_made_forward(query, key, value)

    def attend_backward(self, d_output, cache):
        """See :func:`home_made_backward`."""
        return home_made_backward(d_output, cache)


@exhibit("missing attention gradient", "attention", CausalSelfAttention, 10)
class MissingAttentionGradient(CausalSelfAttention):
    """Sound attention forward, no backward: queries, keys and values stay as they were drawn.

    What it did
        Walked past attention on the way back: its three matrices got no gradient, and the gradient of attention's
        output was handed to its input as it was. (The output projection, which the program did not have, keeps its
        true gradient here.)
    Symptom
        Query, key and value weights never change.
    Exposed by
        Which weights ever get a gradient; the gradient check of everything below.
    In the documents
        003 names it as the cause of 9.2103.
    """

    def backward(self, dy, cache):
        """Zeros."""
        _, gradients = attention_backward(dy, cache)
        for name in PROJECTIONS:
            gradients[f"{name}_weight"], gradients[f"{name}_bias"] = (
                np.zeros_like(gradients[f"{name}_{kind}"]) for kind in ("weight", "bias")
            )
        return dy, gradients


class FrozenAttention(CausalSelfAttention):
    """Sound attention whose queries, keys and values are never trained; every other gradient is true.

    What it did
        Nothing in the program: there the gradient of attention's input was missing too, which is
        :class:`MissingAttentionGradient`. Here it is handed down as it should be, so that this part alone is what the
        document blames.
    Symptom
        Query, key and value weights never change. The loss falls none the less; on a task that asks for attention a
        model with little room answers part of the queries, and one with more room all of them.
    Exposed by
        Which weights ever get a gradient. The gradient check of everything else, below attention too, acquits it.
    In the documents
        003, "the attention weights were frozen at their random initialization values", and what then is left to learn
        through: "Embeddings (limited)", "FeedForward (limited)", "LayerNorm (very limited)".
    """

    def backward(self, dy, cache):
        """The sound one, and zeros for the three."""
        dx, gradients = super().backward(dy, cache)
        frozen = {name: np.zeros_like(gradients[name]) for name in gradients if name.split("_")[0] in PROJECTIONS}
        return dx, gradients | frozen


@exhibit("outer-product backward", "attention", CausalSelfAttention, 11)
class OuterProductAttention(CausalSelfAttention):
    """Sound attention forward, document 003's shortcut backward: dWq = dWk = dWv = x^T dy.

    What it did
        Gave query, key and value the same gradient, the outer product of attention's input and of the gradient of
        its output, and passed that gradient on unchanged as the input's. (The output projection, which the program
        did not have, keeps its true gradient here.)
    Symptom
        Gradients of plausible size, thousands of them; parameters move.
    Exposed by
        A gradient check, and the angle to the true gradient.
    In the documents
        003, "this approximation should be sufficient for training to work".
    """

    of_2017 = True

    def forward(self, x, parameters, config):
        """As the sound part, keeping x."""
        y, cache = super().forward(x, parameters, config)
        return y, (x, cache)

    def backward(self, dy, cache):
        """The shortcut."""
        x, sound_cache = cache
        _, gradients = attention_backward(dy, sound_cache)
        for name in PROJECTIONS:
            gradients[f"{name}_weight"], gradients[f"{name}_bias"] = outer_product(x, dy), dy.sum(axis=(0, 1))
        return dy, gradients

    def weights(self, cache):
        """Of the sound part."""
        return super().weights(cache[1])


def outer_product(x, dy):  # (B, T, D), (B, T, D) -> (D, D)
    """x^T dy, summed over all positions: document 003's stand-in for the gradient of query, key and value alike."""
    return x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])


def read_by_blocks(x):  # (B, H, T, d) -> (B, H, T, d)
    """Position i of head h from block h + i of the rows laid end to end, instead of from block h of row i."""
    batch, n_heads, time, d_head = x.shape
    blocks = merge_heads(x).reshape(batch, time * n_heads, d_head)
    return np.stack([blocks[:, h : h + time] for h in range(n_heads)], axis=1)


def written_to_blocks(dx):  # (B, H, T, d) -> (B, H, T, d)
    """The backward pass of :func:`read_by_blocks`: a block that several heads have read collects from all of them."""
    batch, n_heads, time, d_head = dx.shape
    d_blocks = np.zeros((batch, time * n_heads, d_head), dx.dtype)
    for h in range(n_heads):
        d_blocks[:, h : h + time] += dx[:, h]
    return split_heads(d_blocks.reshape(batch, time, n_heads * d_head), n_heads)


def home_made_forward(query, key, value, mask=None):  # 3 x (B, H, T, d), (T, T) -> (B, H, T, d)
    """Scores as they should be; weights by :func:`home_made_exponential`."""
    allowed = causal_mask(query.shape[2]) if mask is None else mask
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
    largest = np.where(allowed, scores, -np.inf).max(axis=-1, keepdims=True)
    powers = np.where(allowed, home_made_exponential(np.where(allowed, scores - largest, 0.0)), 0.0)
    total = powers.sum(axis=-1, keepdims=True)
    return (powers / total) @ value, (query, key, value, allowed, total, allowed & (scores == largest), powers / total)


def home_made_backward(d_output, cache):  # (B, H, T, d) -> 3 x (B, H, T, d)
    """The true gradient of 1 + x: slope 1 for every key, and the largest score stands in every term.

    Where a word repeats, several scores are the largest: they share that part.
    """
    query, key, value, allowed, total, is_largest, weights = cache
    d_weights = d_output @ value.swapaxes(-1, -2)
    d_powers = np.where(allowed, (d_weights - (d_weights * weights).sum(axis=-1, keepdims=True)) / total, 0.0)
    share = is_largest / is_largest.sum(axis=-1, keepdims=True, dtype=d_powers.dtype)
    d_scores = d_powers - share * d_powers.sum(axis=-1, keepdims=True)
    d_scores = d_scores / math.sqrt(query.shape[-1])
    return d_scores @ key, d_scores.swapaxes(-1, -2) @ query, weights.swapaxes(-1, -2) @ d_output


def home_made_exponential(x):
    """The program's exponential for x <= 0, where its series always stops after the second term: 1 + x.

    >>> float(home_made_exponential(-2.0))
    -1.0
    """
    term = total = np.ones_like(x)
    power = 1
    while (term >= 1e-15).any():
        term = np.where(term >= 1e-15, term * x / power, 0.0)  # no absolute value: the fault
        total = total + term
        power += 1
    return total
