"""Layers and an entrance that lose something on the way, forward or backward."""

import numpy as np

from cllm_lib.defects.attention import outer_product
from cllm_lib.defects.catalogue import exhibit
from cllm_lib.model.attention import PROJECTIONS
from cllm_lib.model.layers import feed_forward_backward, feed_forward_forward, layer_norm_backward, layer_norm_forward
from cllm_lib.model.transformer import TokenEmbedding, TransformerLayer


@exhibit("lost embedding gradient", "embedding", TokenEmbedding, 13)
class LostEmbeddingGradient(TokenEmbedding):
    """An entrance whose gradient is dropped: the embedding learns as the output only.

    What it did
        The backward pass ended at the lowest layer; what it owed to the rows that had been read was never added.
    Symptom
        Training goes on: with a tied output the same rows still learn from the other end.
    Exposed by
        The gradient check of the embedding.
    In the documents
        003 lists "Backward through embeddings" as done.
    """

    def backward(self, dx, cache, out):
        """Adds nothing."""


@exhibit("layer of the half repair", "layer", TransformerLayer, 14)
class LayerOfTheHalfRepair(TransformerLayer):
    """The layer in which the half repair was tried: no residual around attention, one LayerNorm, its backward wrong.

    What it did
        x -> attention -> feed-forward -> + -> LayerNorm. Attention's backward is the outer product, and LayerNorm's
        takes mean and variance from the attention output instead of from what it normalised. (Its attention had
        other faults besides; with zero weights none of them can show, and here it is the sound one, unprojected.)
    Symptom
        With weights of usual size, gradients that grow from layer to layer downwards; with zero weights, NaN.
    Exposed by
        The gradient check; the variance that enters each LayerNorm.
    In the documents
        003, "Complete Training Pipeline Now".
    """

    of_2017 = True

    def parameter_shapes(self, config):
        """Query, key and value without biases, the feed-forward part, one norm."""
        shapes = super().parameter_shapes(config)
        attention = {f"{name}_weight": (config.d_model, config.d_model) for name in PROJECTIONS}
        return {"attention": attention} | {name: shapes[name] for name in ("feed_forward", "feed_forward_norm")}

    def forward(self, x, parameters, config):
        """Without a way around attention: what attention does not pass on is lost."""
        width = config.d_model
        missing = {f"{name}_bias": np.zeros(width, x.dtype) for name in (*PROJECTIONS, "output")}
        missing["output_weight"] = np.eye(width, dtype=x.dtype)
        attended, _ = self.attention.forward(x, parameters["attention"] | missing, config)
        fed, feed_forward_cache = feed_forward_forward(attended, **parameters["feed_forward"])
        norm = parameters["feed_forward_norm"]
        y, _ = layer_norm_forward(attended + fed, **norm)
        _, wrong_cache = layer_norm_forward(attended, **norm)  # what backward takes for the statistics of y
        return y, (x, attended, feed_forward_cache, wrong_cache)  # `units` looks at the third

    def backward(self, dy, cache):
        """The wrong statistics, then the outer product."""
        x, _, feed_forward_cache, wrong_cache = cache
        d_sum, norm = layer_norm_backward(dy, wrong_cache)
        d_fed, feed_forward = feed_forward_backward(d_sum, feed_forward_cache)
        d_attended = d_sum + d_fed
        shortcut = outer_product(x, d_attended)
        attention = {f"{name}_weight": shortcut for name in PROJECTIONS}
        return d_attended, {"attention": attention, "feed_forward": feed_forward, "feed_forward_norm": norm}


@exhibit("no residual", "layer", TransformerLayer, 8)
class NoResidual(TransformerLayer):
    """A layer without a way around attention: what attention does not pass on is lost.

    What it did
        Replaced output = 2 * input, which had been a path for the input, by attention alone: no input was added to
        it, and no output projection followed. (Here the output projection stays.)
    Symptom
        Training is slower and its result worse; gradients reach the lower layers through attention only.
    Exposed by
        Setting the value weights to zero: nothing of the input comes through the layer.
    In the documents
        003 shows the new order, attention -> feed-forward -> LayerNorm, as complete.
    """

    of_2017 = True

    def forward(self, x, parameters, config):
        """The sound order without its first `x +`."""
        attended, attention_cache = self.attention.forward(x, parameters["attention"], config)
        x, attention_norm_cache = layer_norm_forward(attended, **parameters["attention_norm"])
        fed, feed_forward_cache = feed_forward_forward(x, **parameters["feed_forward"])
        y, feed_forward_norm_cache = layer_norm_forward(x + fed, **parameters["feed_forward_norm"])
        return y, (attention_cache, attention_norm_cache, feed_forward_cache, feed_forward_norm_cache)

    def backward(self, dy, cache):
        """True to this forward pass: one road where the sound layer has two."""
        attention_cache, attention_norm_cache, feed_forward_cache, feed_forward_norm_cache = cache
        d_sum, feed_forward_norm = layer_norm_backward(dy, feed_forward_norm_cache)
        d_fed, feed_forward = feed_forward_backward(d_sum, feed_forward_cache)
        d_attended, attention_norm = layer_norm_backward(d_sum + d_fed, attention_norm_cache)
        dx, attention = self.attention.backward(d_attended, attention_cache)
        return dx, {
            "attention": attention,
            "attention_norm": attention_norm,
            "feed_forward": feed_forward,
            "feed_forward_norm": feed_forward_norm,
        }


@exhibit("LayerNorm from the wrong tensor", "layer", TransformerLayer, 12)
class LayerNormFromTheWrongTensor(TransformerLayer):
    """A sound layer whose LayerNorm goes backward with the mean and variance of another tensor.

    What it did
        Computed the backward pass of LayerNorm from attention's output, not from what LayerNorm had normalised.
        (The program had one LayerNorm, after the feed-forward part; here both are given attention's output.)
    Symptom
        Gradients that grow or shrink from layer to layer downwards by the ratio of two standard deviations.
    Exposed by
        The gradient check of LayerNorm, alone or in its layer.
    In the documents
        003 lists "Backward through LayerNorm" as done.
    """

    of_2017 = True

    def forward(self, x, parameters, config):
        """As the sound layer, and then the cache of a LayerNorm that was never part of it."""
        y, (attention_cache, _, feed_forward_cache, _, _) = super().forward(x, parameters, config)
        attended, _ = self.attention.forward(x, parameters["attention"], config)
        wrong_caches = [layer_norm_forward(attended, **parameters[name])[1] for name in ("attention_norm", "feed_forward_norm")]
        return y, (attention_cache, wrong_caches[0], feed_forward_cache, wrong_caches[1], config)
