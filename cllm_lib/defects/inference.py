"""Another model at inference: the same weights, computed with by other lines than those that trained them.

    twin = inference_model(trained)                                # all five differences
    twin = inference_model(trained, differences={"ReLU"})          # one of them
    keep_first_k(probabilities, 5)                                 # in the place of generation.keep_top_k

The program had two forward passes, one that trained and one that spoke. Each could be read line by line and look right;
only side by side do they differ.
"""

import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.defects.catalogue import exhibit
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.layers import (
    feed_forward_backward,
    feed_forward_forward,
    layer_norm_backward,
    layer_norm_forward,
    linear_backward,
    linear_forward,
)
from cllm_lib.model.transformer import CLLM, TokenEmbedding, TransformerLayer

DIFFERENCES = {
    "norm first": "LayerNorm before each part, not after the sum",
    "ReLU": "max(x, 0) in the feed-forward part, not tanh",
    "no residual": "a part's input is not added to what it returns",
    "no attention": "its line is commented out: the hidden state goes on as it came",
    "positions": "a row that depends on the position is added to each embedding",
}


def inference_model(model, differences=tuple(DIFFERENCES)):
    """The model that speaks with the weights of the one that was trained.

    Parameters
    ----------
    model : CLLM
        Of sound parts; left as it is.
    differences : collection of str
        Names from :data:`DIFFERENCES`; all five by default, as in the program.

    Returns
    -------
    CLLM
        With a copy of the weights.

    Raises
    ------
    ValueError
        If a difference is unknown; the error lists those that exist.
    """
    differences = {differences} if isinstance(differences, str) else set(differences)
    for name in sorted(differences, key=str):
        one_of(name, DIFFERENCES, "difference")

    def same_weights(parameters, generator):
        for name, array in parameters.items():
            array[...] = model.parameters[name]

    embedding = PositionsAdded() if "positions" in differences else None
    return CLLM(model.config, init=same_weights, layer=LayerAtInference(differences), embedding=embedding)


class AttentionCommentedOut(CausalSelfAttention):
    """Attention whose weights are there, and whose line is not."""

    weights = None  # nobody looks anywhere, so there is nothing to show

    def forward(self, x, parameters, config):
        """What came in."""
        return x, parameters

    def backward(self, dy, cache):
        """The gradient as it came; the weights, unused, get none."""
        return dy, {name: np.zeros_like(array) for name, array in cache.items()}


class PositionsAdded(TokenEmbedding):
    """An entrance that adds sines and cosines of the position, in rows of length 1, which training never saw."""

    def forward(self, tokens, embedding):  # (B, T), (V, D) -> (B, T, D)
        """The embedding's rows and those of the positions."""
        x, cache = super().forward(tokens, embedding)
        time, width = x.shape[1:]
        angles = np.arange(time, dtype=np.int64)[:, None] / 10_000 ** (np.arange(0, width, 2, dtype=np.int64) / width)
        rows = np.hstack([np.sin(angles), np.cos(angles)])[:, :width]
        return x + (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(x.dtype), cache


@exhibit("another layer at inference", "layer", TransformerLayer, 21)
class LayerAtInference(TransformerLayer):
    """The layer that spoke, which is not the layer that was trained.

    What it did
        Normalised before each part instead of after it, used ReLU where training used tanh, added no input to any
        output, had the line of attention commented out, and added positions that training had never added.
    Symptom
        None while training: the loss falls. What the model says has nothing to do with it, and repeats itself.
    Exposed by
        One assertion: on one sequence, the logits that training computes and those that speaking uses are equal.
    In the documents
        003 hears "is the blue is the blue is the blue" and expects its new backward pass to end it.

    Parameters
    ----------
    differences : collection of str
        Names from :data:`DIFFERENCES`, but for "positions", which are added before the layers.
    """

    of_2017 = True

    def __init__(self, differences=tuple(DIFFERENCES)):
        self.differences = set(differences)
        super().__init__(AttentionCommentedOut() if "no attention" in differences else None)

    def forward(self, x, parameters, config):
        """Attention and feed-forward in the sound order, each as the differences have it."""

        def attention(x):
            return self.attention.forward(x, parameters["attention"], config)

        def feed_forward(x):
            passes = relu_feed_forward_forward if "ReLU" in self.differences else feed_forward_forward
            return passes(x, **parameters["feed_forward"])

        x, attention_cache = self._part_forward(x, attention, parameters["attention_norm"])
        y, feed_forward_cache = self._part_forward(x, feed_forward, parameters["feed_forward_norm"])
        return y, (attention_cache, feed_forward_cache)

    def backward(self, dy, cache):
        """True to this forward pass, though nobody ever went back through it."""
        attention_cache, feed_forward_cache = cache
        passes = relu_feed_forward_backward if "ReLU" in self.differences else feed_forward_backward
        dx, feed_forward, feed_forward_norm = self._part_backward(dy, passes, feed_forward_cache)
        dx, attention, attention_norm = self._part_backward(dx, self.attention.backward, attention_cache)
        return dx, {
            "attention": attention,
            "attention_norm": attention_norm,
            "feed_forward": feed_forward,
            "feed_forward_norm": feed_forward_norm,
        }

    def units(self, cache):
        """What was between the two maps, through ReLU or tanh."""
        _, ((_, between, _), _) = cache
        return np.maximum(between, 0.0) if "ReLU" in self.differences else between

    def _part_forward(self, x, part, norm):
        """One part, its norm and its residual, in the order that the differences say."""
        keeps = "no residual" not in self.differences
        if "norm first" in self.differences:
            normalised, norm_cache = layer_norm_forward(x, **norm)
            y, part_cache = part(normalised)
            return (x + y if keeps else y), (part_cache, norm_cache)
        y, part_cache = part(x)
        y, norm_cache = layer_norm_forward(x + y if keeps else y, **norm)
        return y, (part_cache, norm_cache)

    def _part_backward(self, dy, part_backward, cache):
        part_cache, norm_cache = cache
        keeps = 0.0 if "no residual" in self.differences else 1.0
        if "norm first" in self.differences:
            d_normalised, part = part_backward(dy, part_cache)
            dx, norm = layer_norm_backward(d_normalised, norm_cache)
            return dx + keeps * dy, part, norm
        d_sum, norm = layer_norm_backward(dy, norm_cache)
        dx, part = part_backward(d_sum, part_cache)
        return dx + keeps * d_sum, part, norm


def relu_feed_forward_forward(x, expand_weight, expand_bias, contract_weight, contract_bias):  # (..., D) -> (..., D)
    """Two linear maps with ReLU between them."""
    expanded, expand_cache = linear_forward(x, expand_weight, expand_bias)
    y, contract_cache = linear_forward(np.maximum(expanded, 0.0), contract_weight, contract_bias)
    return y, (expand_cache, expanded, contract_cache)


def relu_feed_forward_backward(dy, cache):  # (..., D) -> (..., D), gradients of the four arrays
    """Gradients of :func:`relu_feed_forward_forward`; the slope is asked of ReLU's input, not of its output."""
    expand_cache, expanded, contract_cache = cache
    d_hidden, contract = linear_backward(dy, contract_cache)
    dx, expand = linear_backward(d_hidden * (expanded > 0.0), expand_cache)
    return dx, {f"{name}_{key}": array for name, both in (("expand", expand), ("contract", contract)) for key, array in both.items()}


def keep_first_k(probabilities, top_k):  # (V,) -> (V,)
    """The `top_k` first ids, sharing all probability: what the program's top-k kept, in the place of the best ones.

    With ids in the order of frequency they are the commonest words of the text, whatever was said before.
    """
    if top_k is None or top_k >= probabilities.size:
        return probabilities
    kept = np.zeros_like(probabilities)
    kept[:top_k] = probabilities[:top_k]
    return kept / kept.sum()
