"""The program as it stood after its last fix, all its faults at once, and the repairs that can be handed in one by one.

    program(config)                                                      # as coded
    program(config, repairs={"norm backward"})                           # one thing mended
    Trainer(program(config, repairs), corpus, **program_training(repairs))

Commit 4d064f4 gave random values to the last of the weights; the loss moved, and crawled. :data:`REPAIRS` names what else
was wrong. With all of them the model computes what the sound one does, in loss and in gradients.
"""

import math
from dataclasses import replace

import numpy as np

from cllm_lib.checks import one_of, positive_integer
from cllm_lib.defects.attention import (
    BlockProjection,
    HeadStride,
    home_made_backward,
    home_made_forward,
    outer_product,
)
from cllm_lib.defects.layers import LostEmbeddingGradient
from cllm_lib.model.attention import (
    PROJECTIONS,
    CausalSelfAttention,
    causal_mask,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
)
from cllm_lib.model.layers import feed_forward_backward, feed_forward_forward, layer_norm_backward, layer_norm_forward
from cllm_lib.model.transformer import CLLM, TokenEmbedding, TransformerLayer
from cllm_lib.training.schedules import warmup

WARM_UP = 100  # steps, as configured and never used

REPAIRS = {
    "exponential": "softmax uses the true exponential, below zero too",
    "norm backward": "LayerNorm goes backward from what it normalised, and the embedding that was read gets its gradient",
    "attention backward": "queries, keys, values and attention's input get the true gradient, not an outer product and a copy",
    "attention forward": "a causal mask, the right stride from position to position, and projections that read all columns",
    "output and residual": "attention gets an output projection, and its input is added to what it returns",
    "Adam": "Adam in place of plain gradient descent",
    "second norm": "a LayerNorm after attention, beside the one after the feed-forward part",
    "warm-up": f"the rate rises over the first {WARM_UP} steps, as had been configured",
}


def program(config, repairs=(), seed=0):
    """The model of commit 4d064f4, less what has been repaired.

    Parameters
    ----------
    config : CLLMConfig
        The program had a tied output and no positions, which are the defaults.
    repairs : collection of str
        Names from :data:`REPAIRS`. "Adam" and "warm-up" are no part of a model: see :func:`program_training`.
    seed : int
        Of the initial weights, which are the same whatever has been repaired.

    Returns
    -------
    CLLM
        With "norm backward" and "attention backward" its backward pass is the true gradient of its forward pass, however
        wrong that is.

    Raises
    ------
    ValueError
        If a repair is unknown; the error lists those that exist.
    """
    repairs = checked_repairs(repairs)
    embedding = TokenEmbedding() if "norm backward" in repairs else LostEmbeddingGradient()
    return CLLM(config, seed=seed, init=uniform_weights, layer=ProgramLayer(repairs), embedding=embedding)


def program_training(repairs=(), learning_rate=1e-3):
    """What the program's loop was told, as arguments for :class:`~cllm_lib.training.trainer.Trainer`.

    Plain gradient descent at a constant rate. A clip of 1.0, a weight decay of 0.01 and a warm-up of 100 steps were
    configured, and no line read them.
    """
    repairs = checked_repairs(repairs)
    # The bare function: chapter 09's runs end before their warm-up, as it says itself, and a trainer that knew would warn.
    schedule = warmup(WARM_UP).factor if "warm-up" in repairs else None
    return {"optimizer": "adam" if "Adam" in repairs else "sgd", "learning_rate": learning_rate, "schedule": schedule}


def checked_repairs(repairs):
    """The repairs as a set; a single name is welcome."""
    repairs = {repairs} if isinstance(repairs, str) else set(repairs)
    for name in sorted(repairs, key=str):
        one_of(name, REPAIRS, "repair")
    return repairs


def uniform_weights(parameters, generator):
    """Initial values after the fixes: embeddings in +-0.05, attention in +-sqrt(2 / 2d), feed-forward in +-sqrt(2 / fan_in).

    What only a repair brings, the output projection, is drawn last: the other weights are the same with it and without.
    """
    for name in sorted(parameters, key=lambda name: "attention.output" in name):  # a stable sort: all others keep their order
        array = parameters[name]
        if name.endswith("bias"):
            array[...] = 0.0
        elif name.endswith("gain"):
            array[...] = 1.0
        else:
            reach = 0.05 if name == "embedding" else math.sqrt((2 if "feed_forward" in name else 1) / len(array))
            array[...] = generator.uniform(-reach, reach, array.shape)


class MendedAttention(CausalSelfAttention):
    """Causal attention, with the program's exponential unless that has been repaired."""

    mask = staticmethod(causal_mask)

    of_2017 = True

    def __init__(self, exponential):
        self.exponential = exponential

    def attend(self, query, key, value):
        """With either exponential."""
        mask = self.mask(query.shape[2])
        if self.exponential == "true":
            return scaled_dot_product_forward(query, key, value, mask)
        return home_made_forward(query, key, value, mask)

    def attend_backward(self, d_output, cache):
        """True to :meth:`attend`."""
        return (scaled_dot_product_backward if self.exponential == "true" else home_made_backward)(d_output, cache)


class ProgramAttention(HeadStride, BlockProjection, MendedAttention):
    """The program's attention: three exhibits of the museum in one. It looks ahead, with the wrong stride, at blocks."""

    @staticmethod
    def mask(time):
        """Every query sees every key."""
        return np.ones((time, time), dtype=bool)


class ProgramLayer(TransformerLayer):
    """The program's layer: x -> attention -> feed-forward -> + -> LayerNorm, and back by another way.

    Parameters
    ----------
    repairs : set of str
    """

    of_2017 = True

    def __init__(self, repairs):
        self.repairs = repairs
        part = MendedAttention if "attention forward" in repairs else ProgramAttention
        super().__init__(part("true" if "exponential" in repairs else "home-made"))

    def parameter_shapes(self, config):
        """Query, key and value without biases, and what the repairs add."""
        shapes = super().parameter_shapes(config)
        trained = (*PROJECTIONS, "output") if "output and residual" in self.repairs else PROJECTIONS
        shapes["attention"] = {f"{name}_weight": (config.d_model, config.d_model) for name in trained}
        if "second norm" not in self.repairs:
            del shapes["attention_norm"]
        return shapes

    def forward(self, x, parameters, config):
        """In the order of the sound layer, as far as it is there."""
        missing = {f"{name}_bias": np.zeros(config.d_model, x.dtype) for name in (*PROJECTIONS, "output")}
        missing["output_weight"] = np.eye(config.d_model, dtype=x.dtype)
        attended, attention_cache = self.attention.forward(x, missing | parameters["attention"], config)
        below = x + attended if "output and residual" in self.repairs else attended
        norm_caches = {}
        if "second norm" in self.repairs:
            below, norm_caches["attention_norm"] = layer_norm_forward(below, **parameters["attention_norm"])
        fed, feed_forward_cache = feed_forward_forward(below, **parameters["feed_forward"])
        y, norm_caches["feed_forward_norm"] = layer_norm_forward(below + fed, **parameters["feed_forward_norm"])
        if "norm backward" not in self.repairs:  # the statistics of another tensor
            norm_caches = {name: layer_norm_forward(attended, **parameters[name])[1] for name in norm_caches}
        return y, (x, attention_cache, feed_forward_cache, norm_caches)  # `units` looks at the third

    def backward(self, dy, cache):
        """The sound layer's steps in reverse, as far as they are there; attention's by the outer product until repaired."""
        x, attention_cache, feed_forward_cache, norm_caches = cache
        gradients = {}
        d_sum, gradients["feed_forward_norm"] = layer_norm_backward(dy, norm_caches["feed_forward_norm"])
        d_fed, gradients["feed_forward"] = feed_forward_backward(d_sum, feed_forward_cache)
        d_below = d_sum + d_fed
        if "second norm" in self.repairs:
            d_below, gradients["attention_norm"] = layer_norm_backward(d_below, norm_caches["attention_norm"])
        needed = self.repairs & {"attention backward", "output and residual"}  # without both, nothing of it would be kept
        dx, gradients["attention"] = self.attention.backward(d_below, attention_cache) if needed else (d_below, {})
        if "attention backward" not in self.repairs:
            shortcut = outer_product(x, d_sum)  # over the full square, and before the feed-forward's share was added
            gradients["attention"] |= {f"{name}_weight": shortcut for name in PROJECTIONS}
            dx = d_below  # attention taken for the identity
        return dx + d_below if "output and residual" in self.repairs else dx, gradients


def hashed_ids(words, vocab_size):
    """Ids by which the program knew the words: h = 31 h + byte over its bytes, modulo V. Words collide.

    (That h has 32 bits is our reading.)

    >>> hashed_ids(["a", "b", "aa"], 10_000).tolist()
    [97, 98, 3104]
    """
    vocab_size = positive_integer(vocab_size, "vocab_size")

    def hashed(word):
        h = 0
        for byte in word.encode("utf-8"):
            h = (31 * h + byte) & 0xFFFFFFFF
        return h % vocab_size

    return np.array([hashed(word) for word in words], dtype=np.int64)


def hashed_corpus(corpus, vocab_size):
    """The same text with :func:`hashed_ids`: rows of the embedding far apart, and some words that share one.

    Returns
    -------
    Corpus
        Its vocabulary has a name for all V ids; words that collide are named together, "one/other".
    """
    ids = hashed_ids(corpus.vocabulary, vocab_size)
    names = {}
    for word, i in zip(corpus.vocabulary[1:], ids[1:].tolist(), strict=True):  # 0 is <unk>, which no text says
        names[i] = f"{names[i]}/{word}" if i in names else word
    vocabulary = tuple(names.get(i, f"<id {i}>") for i in range(vocab_size))
    return replace(corpus, tokens=ids[corpus.tokens], vocabulary=vocabulary)
