"""The museum: each historical bug of CLLM as a part, to be handed in where the sound part would go.

    CLLM(config, init=defects.SilentZeroInit())
    CLLM(config, attention=defects.SimplifiedAttention())

The sound model contains none of these lines and no switch that would turn one on. :data:`ALL` is the catalogue.
"""

import inspect
import itertools
from dataclasses import dataclass

import numpy as np

from cllm_lib.model.attention import PROJECTIONS, CausalSelfAttention, attention_backward
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.model.layers import feed_forward_backward, feed_forward_forward, layer_norm_backward, layer_norm_forward
from cllm_lib.model.transformer import CLLM, TokenEmbedding, TransformerLayer


class SilentZeroInit:
    """The root cause: an initialiser that leaves without a word, and every weight stays zero.

    What it did
        The application built its model in zeroed memory, layer by layer, and then called an initialiser that began
        "if the one big weight block is missing, return". On that path the block was never allocated. Filling it
        would not have helped either: the layers had memory of their own.
    Symptom
        Loss ln V at every batch, with every gradient exactly 0.
    Exposed by
        One line of weight magnitudes.
    In the documents
        001, root cause 1, "may not be initialized properly", listed and passed over; 002 asks for the printout.

    Parameters
    ----------
    weight_block : ndarray, optional
        The one big block that this path never allocates.
    """

    def __init__(self, weight_block=None):
        self.weight_block = weight_block

    def __call__(self, parameters, generator):
        """Initialise `weight_block`, if there is one; `parameters` are never touched."""
        if self.weight_block is None:
            return  # no error, no message: the caller goes on with zeros
        self.weight_block[...] = generator.uniform(-0.05, 0.05, self.weight_block.shape)


class EmbeddingsOnlyInit:
    """The half repair: embeddings random, every matrix still zero.

    What it did
        Commit d018b3c gave the embeddings uniform values in +-0.05 and the norms their gain of 1, and left queries,
        keys, values and the feed-forward part as calloc had made them.
    Symptom
        In the layer it was made for (:class:`LayerOfTheHalfRepair`): 9.2103, a second number, NaN.
    Exposed by
        The variance that enters each LayerNorm: exactly 0, so every layer multiplies the gradient by 1 / sqrt(1e-5).
    In the documents
        None: the last of them was written an hour before.
    """

    def __call__(self, parameters, generator):
        """Fill the embedding and the gains; the rest stays 0."""
        for name, array in parameters.items():
            if name == "embedding":
                array[...] = generator.uniform(-0.05, 0.05, array.shape)
            elif name.endswith("gain"):
                array[...] = 1.0


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
        return y, (x, attended, feed_forward_cache, wrong_cache)

    def backward(self, dy, cache):
        """The wrong statistics, then the outer product."""
        x, _, feed_forward_cache, wrong_cache = cache
        d_sum, norm = layer_norm_backward(dy, wrong_cache)
        d_fed, feed_forward = feed_forward_backward(d_sum, feed_forward_cache)
        d_attended = d_sum + d_fed
        shortcut = outer_product(x, d_attended)
        attention = {f"{name}_weight": shortcut for name in PROJECTIONS}
        return d_attended, {"attention": attention, "feed_forward": feed_forward, "feed_forward_norm": norm}


def outer_product(x, dy):  # (B, T, D), (B, T, D) -> (D, D)
    """x^T dy, summed over all positions: document 003's stand-in for the gradient of query, key and value alike."""
    return x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])


def incident(config, seed=0, **parts):
    """The model as the application built it before the first fix; `parts` replace what one wants to test.

    Parameters
    ----------
    config : CLLMConfig
    seed : int
    **parts
        Arguments of :class:`~cllm_lib.model.transformer.CLLM`, such as `attention=CausalSelfAttention()`.

    Returns
    -------
    CLLM
    """
    return CLLM(config, seed=seed, **({"init": SilentZeroInit(), "attention": SimplifiedAttention()} | parts))


def half_repaired(config, seed=0):
    """The model after commit d018b3c: embeddings random, the rest zero, in the layer of that day."""
    return CLLM(config, seed=seed, init=EmbeddingsOnlyInit(), layer=LayerOfTheHalfRepair(), embedding=LostEmbeddingGradient())


@dataclass(frozen=True)
class Defect:
    """One exhibit.

    Attributes
    ----------
    part : type
        Call it without arguments to get the part.
    seam : {"init", "attention", "layer", "embedding"}
        The argument of :class:`~cllm_lib.model.transformer.CLLM` that takes it.
    sound : callable
        Makes the part that belongs there.
    symptom, exposure : str
        What one sees, and the measurement that shows the cause.
    """

    part: type
    seam: str
    sound: object
    symptom: str
    exposure: str


def _paragraph(part, title):
    """The indented text under `title` in a docstring, as one line: catalogue and docstring cannot disagree."""
    lines = inspect.cleandoc(part.__doc__).splitlines()
    below = itertools.takewhile(lambda line: line.startswith("    "), lines[lines.index(title) + 1 :])
    return " ".join(line.strip() for line in below)


def _exhibit(part, seam, sound):
    return Defect(part, seam, sound, _paragraph(part, "Symptom"), _paragraph(part, "Exposed by"))


ALL = {
    "silent zero initialisation": _exhibit(SilentZeroInit, "init", lambda: scaled_normal),
    "half repair": _exhibit(EmbeddingsOnlyInit, "init", lambda: scaled_normal),
    "simplified attention": _exhibit(SimplifiedAttention, "attention", CausalSelfAttention),
    "outer-product backward": _exhibit(OuterProductAttention, "attention", CausalSelfAttention),
    "lost embedding gradient": _exhibit(LostEmbeddingGradient, "embedding", TokenEmbedding),
    "layer of the half repair": _exhibit(LayerOfTheHalfRepair, "layer", TransformerLayer),
}
