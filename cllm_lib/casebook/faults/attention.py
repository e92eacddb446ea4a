"""Defects inside attention, forward and backward."""

import math
from dataclasses import replace

import numpy as np

from cllm_lib import defects
from cllm_lib.casebook.faults.catalogue import fault
from cllm_lib.model.attention import (
    CausalSelfAttention,
    causal_mask,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
)
from cllm_lib.model.layers import softmax, softmax_backward


def _with(parts, attention):
    return replace(parts, seams=parts.seams | {"attention": attention})


@fault("simplified attention", "perturb an earlier token")
def simplified_attention(parts, settings):
    """Attention is its input times two: no token sees another.

    Symptom
        In a run as short as these none: the loss ends beside the sound twin's, above or below. In a long one it stops at what a
        word and its place tell of the next one.
    Exposed by
        Changing an earlier token: no later output changes.
    Source
        The museum, "simplified attention": documents 000 to 002 name it as the root cause of 9.2103.
    Repair
        Queries, keys, values, and a softmax over the keys.
    """
    return _with(parts, defects.SimplifiedAttention())


@fault("no causal mask", "perturb a later token", "attention statistics")
def no_causal_mask(parts, settings):
    """Attention looks ahead, at the very word that it is to predict.

    Symptom
        A loss that is too good, in training and in validation, by a quarter of a nat here; in use nothing stands ahead, and the
        advantage is gone.
    Exposed by
        Changing a later token: earlier outputs change.
    Source
        The museum, "no causal mask"; Karpathy 2019, "A Recipe for Training Neural Networks", on charting dependencies by gradients.
    Repair
        Forbid every key behind its query, before the softmax.
    """
    return _with(parts, defects.NoCausalMask())


class TransposedMask(CausalSelfAttention):
    """Attention that sees itself and what comes after."""

    def attend(self, query, key, value):
        """Rows and columns of the mask exchanged."""
        return scaled_dot_product_forward(query, key, value, causal_mask(query.shape[2]).T)


@fault("transposed mask", "perturb a later token", "attention statistics")
def transposed_mask(parts, settings):
    """Rows and columns of the causal mask are exchanged: each word sees itself and all that comes after.

    Symptom
        A loss that is too good, in training and in validation, further still than without any mask.
    Exposed by
        Changing a later token: earlier outputs change. Changing an earlier one: no later output does.
    Source
        rasbt/LLMs-from-scratch issue 1061: an upper triangle, given to a function that reads True as "may be seen".
    Repair
        Queries are rows, keys are columns: the lower triangle may be seen.
    """
    return _with(parts, TransposedMask())


class MaskAfterSoftmax(CausalSelfAttention):
    """Attention whose mask comes when the weights have been divided by their sum already."""

    of_2017 = True

    def attend(self, query, key, value):
        """What may not be seen is set to 0 after it has taken its share."""
        mask = causal_mask(query.shape[2])
        _, (*_, weights) = scaled_dot_product_forward(query, key, value, True)
        masked = weights * mask.astype(weights.dtype)
        return masked @ value, (query, key, value, weights, masked)

    def attend_backward(self, d_output, cache):
        """True to this forward pass."""
        query, key, value, weights, masked = cache
        d_value = masked.swapaxes(-1, -2) @ d_output
        d_weights = np.where(masked == 0.0, 0.0, d_output @ value.swapaxes(-1, -2))
        d_scores = softmax_backward(d_weights, weights) / math.sqrt(query.shape[-1])
        return d_scores @ key, d_scores.swapaxes(-1, -2) @ query, d_value


@fault("mask after softmax", "attention statistics", "attention drill")
def mask_after_softmax(parts, settings):
    """The causal mask is multiplied onto the weights after the softmax: rows do not sum to 1, and later words count in the sum.

    Symptom
        The loss falls, on most seeds a little further than the sound twin's: how much is missing from a row tells of what comes.
    Exposed by
        The sums of the rows of attention.
    Source
        huggingface/pytorch-image-models pull request 2236, "the mask should be applied before the softmax"; Vaswani et al. 2017,
        section 3.2.3.
    Repair
        Add -inf to the scores before the softmax.
    """
    return _with(parts, MaskAfterSoftmax())


class SoftmaxOverQueries(CausalSelfAttention):
    """Attention whose weights sum to 1 over the queries of a key."""

    of_2017 = True

    def attend(self, query, key, value):
        """The softmax along the wrong axis."""
        scores = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
        weights = softmax(np.where(causal_mask(query.shape[2]), scores, -np.inf), axis=-2)
        return weights @ value, (query, key, value, weights)

    def attend_backward(self, d_output, cache):
        """True to this forward pass."""
        query, key, value, weights = cache
        d_scores = softmax_backward(d_output @ value.swapaxes(-1, -2), weights, axis=-2) / math.sqrt(query.shape[-1])
        return d_scores @ key, d_scores.swapaxes(-1, -2) @ query, weights.swapaxes(-1, -2) @ d_output


@fault("softmax over queries", "attention statistics", "perturb a later token", "attention drill")
def softmax_over_queries(parts, settings):
    """The softmax of attention runs over the wrong axis: weights sum to 1 for each key, not for each query.

    Symptom
        The loss falls, on most seeds a little too far, in validation as well. What a key is worth to an early query depends on
        later ones: the future leaks.
    Exposed by
        The sums of rows and columns of attention; changing a later token, which changes earlier outputs.
    Source
        labmlai/annotated_deep_learning_paper_implementations issue 146: the softmax of attention along the wrong axis, and a model
        that trained all the same.
    Repair
        Name the axis: the last, the keys.
    """
    return _with(parts, SoftmaxOverQueries())


@fault("head stride", "perturb an earlier token", "attention drill")
def head_stride(parts, settings):
    """Keys and values are read with the wrong stride: what a head takes for positions are other heads.

    Symptom
        None: the loss ends beside the sound twin's. What depends on words far into the sequence is not learnt.
    Exposed by
        Which earlier tokens reach the last output: the first T / H + 1 only, of a sequence of T in H heads.
    Source
        The museum, "head stride".
    Repair
        Cut the heads out of the last axis, and only then exchange axes.
    """
    return _with(parts, defects.HeadStride())


@fault("projection by blocks", "gradients")
def projection_by_blocks(parts, settings):
    """Each head projects its own slice of the input only: most of the three matrices is never read.

    Symptom
        None: the loss ends beside the sound twin's.
    Exposed by
        Gradients that are exactly 0 in a share of 1 - 1/H of query, key and value.
    Source
        The museum, "projection by blocks".
    Repair
        Project first, by the whole matrix, and cut into heads afterwards.
    """
    return _with(parts, defects.BlockProjection())


@fault("home-made exponential", "attention drill")
def home_made_exponential(parts, settings):
    """The softmax of attention is made with an exponential that is 1 + x for every negative x.

    Symptom
        None while scores lie close together, as at the start. As training spreads them the loss falls behind, on some seeds by one
        or two nats.
    Exposed by
        Attention with scores far apart: weights below 0.
    Source
        The museum, "home-made exponential".
    Repair
        Take the library's exponential.
    """
    return _with(parts, defects.TaylorExponential())


class Unscaled(CausalSelfAttention):
    """Attention whose scores are not divided by the root of a head's width."""

    def attend(self, query, key, value):
        """The root is multiplied back in."""
        return super().attend(query * query.dtype.type(math.sqrt(query.shape[-1])), key, value)

    def attend_backward(self, d_output, cache):
        """True to this forward pass."""
        d_query, d_key, d_value = scaled_dot_product_backward(d_output, cache)
        return d_query * d_query.dtype.type(math.sqrt(d_query.shape[-1])), d_key, d_value


@fault("scores not divided by sqrt(d)", "attention drill")
def unscaled_scores(parts, settings):
    """Scores are query . key, without the division by the root of a head's width.

    Symptom
        None in a small model: the loss ends beside the sound twin's.
    Exposed by
        Attention with scores that are known.
    Source
        Vaswani et al. 2017, section 3.2.1, which suspects that in wide heads large scores make the softmax's gradients small.
    Repair
        Divide by sqrt(d).
    """
    return _with(parts, Unscaled())


class OverTheBatch(CausalSelfAttention):
    """Attention that takes the batch for time."""

    def forward(self, x, parameters, config):
        """The two axes exchanged on the way in and out."""
        y, cache = super().forward(x.swapaxes(0, 1), parameters, config)
        return np.ascontiguousarray(y.swapaxes(0, 1)), cache

    def backward(self, dy, cache):
        """True to this forward pass."""
        dx, gradients = super().backward(dy.swapaxes(0, 1), cache)
        return np.ascontiguousarray(dx.swapaxes(0, 1)), gradients


@fault("batch taken for time", "perturb another sequence")
def batch_taken_for_time(parts, settings):
    """Attention expects (time, batch, width) and is given (batch, time, width): it looks at other sequences, not at other words.

    Symptom
        The loss falls, on most seeds less far: earlier words are not seen.
    Exposed by
        Changing another sequence of the batch: this one's outputs change.
    Source
        Exorust/TorchLeet issue 5: torch.nn.TransformerEncoderLayer, whose batch_first is False unless one says otherwise.
    Repair
        Say batch_first=True, or exchange the axes.
    """
    return _with(parts, OverTheBatch())


class HeadsNotTurnedBack(CausalSelfAttention):
    """Attention whose heads are merged without exchanging heads and time back."""

    def attend(self, query, key, value):
        """What is numbered by head, time and column is handed on as if it were numbered by time, head and column."""
        y, cache = super().attend(query, key, value)
        return _misread(y), cache

    def attend_backward(self, d_output, cache):
        """True to this forward pass."""
        batch, n_heads, time, d_head = d_output.shape
        turned = np.ascontiguousarray(d_output.transpose(0, 2, 1, 3)).reshape(batch, n_heads, time, d_head)
        return super().attend_backward(turned, cache)


def _misread(y):  # (B, H, T, d) -> (B, H, T, d)
    """The numbers in their order, cut as (B, T, H, d): where merging heads would have turned the axes first."""
    batch, n_heads, time, d_head = y.shape
    return np.ascontiguousarray(y).reshape(batch, time, n_heads, d_head).transpose(0, 2, 1, 3)


@fault("heads merged without transposing", "attention drill", "perturb a later token")
def heads_merged_without_transposing(parts, settings):
    """Heads are laid side by side by a reshape alone: a position gets numbers of other positions.

    Symptom
        The loss falls further than the sound twin's in training, and not in validation: numbers of later positions reach earlier
        ones.
    Exposed by
        Attention with known numbers; changing a later token.
    Source
        jsbaan/transformer-from-scratch pull request 6: a reshape without the permute before it, and a training test that passed.
    Repair
        Exchange the axes first.
    """
    return _with(parts, HeadsNotTurnedBack())


class KeysByTheQueryMatrix(CausalSelfAttention):
    """Attention whose keys are projected by the query's weights."""

    of_2017 = True

    def forward(self, x, parameters, config):
        """The key's own weights are never read."""
        as_query = {f"key_{kind}": parameters[f"query_{kind}"] for kind in ("weight", "bias")}
        return super().forward(x, {**parameters, **as_query}, config)

    def backward(self, dy, cache):
        """True to this forward pass: the query's weights collect from both."""
        dx, gradients = super().backward(dy, cache)
        for kind in ("weight", "bias"):
            gradients[f"query_{kind}"] = gradients[f"query_{kind}"] + gradients[f"key_{kind}"]
            gradients[f"key_{kind}"] = np.zeros_like(gradients[f"key_{kind}"])
        return dx, gradients


@fault("keys by the query's weights", "gradients")
def keys_by_the_query_weights(parts, settings):
    """One line was copied and not changed to its end: keys are made with the weights of the queries.

    Symptom
        None that one would see: the loss ends beside the sound twin's.
    Exposed by
        Which tensors get a gradient: the key's do not.
    Source
        Beller, Zaidman, Karpov 2015, "The Last Line Effect", on copied lines; huggingface/diffusers pull request 13533, the query's
        norm on the key.
    Repair
        The key's own weights.
    """
    return _with(parts, KeysByTheQueryMatrix())


@fault("missing attention gradient", "gradients")
def missing_attention_gradient(parts, settings):
    """Attention's backward pass is not there: queries, keys and values stay as they were drawn.

    Symptom
        None that one would see: the loss ends beside the sound twin's, above or below.
    Exposed by
        Which tensors get a gradient.
    Source
        The museum, "missing attention gradient"; huggingface/candle issue 3569, a fused softmax without backward pass.
    Repair
        Write the backward pass, and check it.
    """
    return _with(parts, defects.MissingAttentionGradient())


@fault("outer-product backward", "gradient check after training", "gradient check at the start")
def outer_product_backward(parts, settings):
    """Query, key and value all get the outer product of input and gradient, and attention is taken for the identity below.

    Symptom
        None that one would see: the loss ends beside the sound twin's, above or below; gradients have a plausible size.
    Exposed by
        The gradient check.
    Source
        The museum, "outer-product backward": document 003, "this approximation should be sufficient".
    Repair
        The true backward pass.
    """
    return _with(parts, defects.OuterProductAttention())
