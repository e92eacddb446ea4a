"""One layer of the model: attention and a feed-forward network, each with a residual connection and a norm.

Which norm, which feed-forward network, and whether the norm stands before its part or behind it, a configuration says by name:
`norm`, `feed_forward`, `norm_first`. What a name stands for is in :data:`NORMS` and :data:`FEED_FORWARDS`.

Shapes: B batch, T time, D d_model, F d_ff.
"""

from functools import partial

from cllm_lib.model import fast
from cllm_lib.model.activation_functions import gelu_backward, gelu_forward
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.contracts import backward_of, checked_part, checked_shapes, forward_of
from cllm_lib.model.layers import (
    feed_forward_backward,
    feed_forward_forward,
    layer_norm_backward,
    layer_norm_forward,
    rms_norm_backward,
    rms_norm_forward,
    swiglu_backward,
    swiglu_forward,
)


class LayerNorm:
    """LayerNorm: see :func:`~cllm_lib.model.layers.layer_norm_forward`."""

    def parameter_shapes(self, config):
        """Names and shapes of what it trains."""
        return {"gain": (config.d_model,), "bias": (config.d_model,)}

    def forward(self, x, parameters):  # (..., D) -> (..., D), cache
        """Mean 0 and variance 1, then scale and shift."""
        return layer_norm_forward(x, **parameters)

    def backward(self, dy, cache):  # (..., D) -> (..., D), gradients
        """See :func:`~cllm_lib.model.layers.layer_norm_backward`."""
        return layer_norm_backward(dy, cache)


class RMSNorm:
    """RMSNorm: see :func:`~cllm_lib.model.layers.rms_norm_forward`."""

    def parameter_shapes(self, config):
        """Names and shapes of what it trains."""
        return {"gain": (config.d_model,)}

    def forward(self, x, parameters):  # (..., D) -> (..., D), cache
        """Mean square 1, then scale."""
        return rms_norm_forward(x, **parameters)

    def backward(self, dy, cache):  # (..., D) -> (..., D), gradients
        """See :func:`~cllm_lib.model.layers.rms_norm_backward`."""
        return rms_norm_backward(dy, cache)


class FeedForward:
    """Position-wise feed-forward network with tanh: see :func:`~cllm_lib.model.layers.feed_forward_forward`."""

    def parameter_shapes(self, config):
        """Names and shapes of what it trains."""
        width, inner = config.d_model, config.d_ff
        return {
            "expand_weight": (width, inner),
            "expand_bias": (inner,),
            "contract_weight": (inner, width),
            "contract_bias": (width,),
        }

    def forward(self, x, parameters):  # (..., D) -> (..., D), cache
        """D to F, tanh, and back."""
        return feed_forward_forward(x, **parameters)

    def backward(self, dy, cache):  # (..., D) -> (..., D), gradients
        """See :func:`~cllm_lib.model.layers.feed_forward_backward`."""
        return feed_forward_backward(dy, cache)

    def inputs(self, cache):
        """What each matrix was multiplied by, by its name; the last one by the hidden units."""
        (x, _), _, (hidden, _) = cache
        return {"expand_weight": x, "contract_weight": hidden}


class GeluFeedForward(FeedForward):
    """Position-wise feed-forward network with GELU: see :func:`~cllm_lib.model.activation_functions.gelu_forward`."""

    def forward(self, x, parameters):  # (..., D) -> (..., D), cache
        """D to F, GELU, and back. GELU's slope is asked of its input, which is therefore its cache."""
        return feed_forward_forward(x, **parameters, activation=lambda expanded: (gelu_forward(expanded), expanded))

    def backward(self, dy, cache):  # (..., D) -> (..., D), gradients
        """See :func:`~cllm_lib.model.layers.feed_forward_backward`."""
        return feed_forward_backward(dy, cache, gelu_backward)


class SwiGLU:
    """Gated feed-forward network: see :func:`~cllm_lib.model.layers.swiglu_forward`."""

    def parameter_shapes(self, config):
        """Names and shapes of what it trains: no biases."""
        wide, back = (config.d_model, config.d_ff), (config.d_ff, config.d_model)
        return {"gate_weight": wide, "up_weight": wide, "down_weight": back}

    def forward(self, x, parameters):  # (..., D) -> (..., D), cache
        """(SiLU(x gate) * (x up)) down."""
        return swiglu_forward(x, **parameters)

    def backward(self, dy, cache):  # (..., D) -> (..., D), gradients
        """See :func:`~cllm_lib.model.layers.swiglu_backward`."""
        return swiglu_backward(dy, cache)

    def inputs(self, cache):
        """What each matrix was multiplied by, by its name; the last one by the hidden units."""
        (x, _), _, _, (hidden, _) = cache
        return {"gate_weight": x, "up_weight": x, "down_weight": hidden}


NORMS = {"layer": LayerNorm(), "rms": RMSNorm()}
FEED_FORWARDS = {"tanh": FeedForward(), "gelu": GeluFeedForward(), "swiglu": SwiGLU()}


class TransformerLayer:
    """A transformer layer, with a residual connection around attention and around the feed-forward network.

    Its norms stand behind the sums, x -> attention -> + x -> norm -> feed-forward -> + -> norm, or, with `config.norm_first`,
    before the parts: x + attention(norm(x)), then x + feed-forward(norm(x)). Then x itself goes past all layers as it is, and
    the model normalises it once more behind the last one.

    Parameters
    ----------
    attention : part, optional
        What stands in attention's place; :class:`~cllm_lib.model.attention.CausalSelfAttention` by default.

    Attributes
    ----------
    of_2017 : bool
        Whether it knows one layer alone: LayerNorm behind the sums, and tanh. A subclass whose forward pass does not ask the
        configuration says True, and is refused where another layer was meant.

    Notes
    -----
    Vaswani et al. 2017, "Attention Is All You Need", section 3.1: LayerNorm(x + Sublayer(x)), twice. Norms first: Xiong et al.
    2020, "On Layer Normalization in the Transformer Architecture", section 3, with the last norm; GPT-2 and Llama have it so.
    """

    of_2017 = False

    def __init__(self, attention=None):
        self.attention = CausalSelfAttention() if attention is None else checked_part(attention, "attention")

    def fast_twin(self):
        """What makes the quick twin of this layer, around that of its attention; None if its attention has none."""
        attention = fast.twin_of(self.attention)
        return None if attention is None else partial(fast.Layer, attention)

    def parameter_shapes(self, config):
        """Names and shapes of the arrays this layer trains, one dictionary for each part of it."""
        if self.of_2017 and (config.norm, config.norm_first, config.feed_forward) != ("layer", False, "tanh"):
            raise ValueError(
                f"{type(self).__name__} knows LayerNorm behind its parts and tanh alone, and the configuration says norm={config.norm!r}, "
                f"norm_first={config.norm_first}, feed_forward={config.feed_forward!r}: leave these settings out"
            )
        norm = NORMS[config.norm].parameter_shapes(config)
        feed_forward = FEED_FORWARDS[config.feed_forward].parameter_shapes(config)
        attention = checked_shapes(self.attention, "attention", self.attention.parameter_shapes(config))
        return {"attention": attention, "attention_norm": norm, "feed_forward": feed_forward, "feed_forward_norm": norm}

    def forward(self, x, parameters, config):  # (B, T, D) -> (B, T, D)
        """Compute the layer's output, and what its backward pass needs; last of all the configuration, by which it was computed."""
        norm, feed_forward = NORMS[config.norm], FEED_FORWARDS[config.feed_forward]
        if config.norm_first:
            normed, attention_norm_cache = norm.forward(x, parameters["attention_norm"])
            attended, attention_cache = self._attended(normed, parameters["attention"], config)
            x = x + attended
            normed, feed_forward_norm_cache = norm.forward(x, parameters["feed_forward_norm"])
            fed, feed_forward_cache = feed_forward.forward(normed, parameters["feed_forward"])
            y = x + fed
        else:
            attended, attention_cache = self._attended(x, parameters["attention"], config)
            x, attention_norm_cache = norm.forward(x + attended, parameters["attention_norm"])
            fed, feed_forward_cache = feed_forward.forward(x, parameters["feed_forward"])
            y, feed_forward_norm_cache = norm.forward(x + fed, parameters["feed_forward_norm"])
        return y, (attention_cache, attention_norm_cache, feed_forward_cache, feed_forward_norm_cache, config)

    def _attended(self, x, parameters, config):
        result = self.attention.forward(x, parameters, config)
        return forward_of(self.attention, "attention", result, x.shape, x.dtype)

    def units(self, cache):  # -> (B, T, F)
        """The hidden units of the feed-forward network, out of a cache: for looking. A subclass with another cache has its own, or None."""
        _, _, feed_forward_cache, *_ = cache
        *_, (hidden, _) = feed_forward_cache  # of any network the last matrix is multiplied by them
        return hidden

    def inputs(self, cache):
        """What each matrix of the layer was multiplied by, out of a cache: {"attention.query_weight": (B, T, D), ...}."""
        (projection_caches, _, (merged, _), _), _, feed_forward_cache, _, config = cache
        x, _ = projection_caches[0]
        attention = {f"attention.{name}_weight": x for name in ("query", "key", "value")} | {"attention.output_weight": merged}
        fed = FEED_FORWARDS[config.feed_forward].inputs(feed_forward_cache)
        return attention | {f"feed_forward.{name}": rows for name, rows in fed.items()}

    def backward(self, dy, cache):  # (B, T, D) -> (B, T, D), gradients
        """Undo :meth:`forward` from its last line to its first. A residual connection sends its gradient down both roads."""
        attention_cache, attention_norm_cache, feed_forward_cache, feed_forward_norm_cache, config = cache
        norm, fed = NORMS[config.norm], FEED_FORWARDS[config.feed_forward]
        if config.norm_first:
            # forward: y = x + feed_forward(norm(x))
            d_normed, feed_forward = fed.backward(dy, feed_forward_cache)
            d_fed, feed_forward_norm = norm.backward(d_normed, feed_forward_norm_cache)
            d_sum = dy + d_fed
            # forward: x = x + attention(norm(x))
            d_normed, attention = self._attended_backward(d_sum, attention_cache)
            d_attended, attention_norm = norm.backward(d_normed, attention_norm_cache)
        else:
            # forward: y = norm(x + fed)
            d_sum, feed_forward_norm = norm.backward(dy, feed_forward_norm_cache)
            # forward: fed = feed_forward(x), and x goes past it, too
            d_fed, feed_forward = fed.backward(d_sum, feed_forward_cache)
            # forward: x = norm(x + attended)
            d_sum, attention_norm = norm.backward(d_sum + d_fed, attention_norm_cache)
            # forward: attended = attention(x), and x goes past it, too
            d_attended, attention = self._attended_backward(d_sum, attention_cache)
        return d_sum + d_attended, {
            "attention": attention,
            "attention_norm": attention_norm,
            "feed_forward": feed_forward,
            "feed_forward_norm": feed_forward_norm,
        }

    def _attended_backward(self, dy, cache):
        return backward_of(self.attention, "attention", self.attention.backward(dy, cache), dy)
