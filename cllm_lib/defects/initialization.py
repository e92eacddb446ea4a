"""Initialisers that leave weights at zero."""

from cllm_lib.defects.attention import SimplifiedAttention
from cllm_lib.defects.catalogue import exhibit
from cllm_lib.defects.layers import LayerOfTheHalfRepair, LostEmbeddingGradient
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.model.transformer import CLLM


@exhibit("silent zero initialisation", "init", lambda: scaled_normal, 1)
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


@exhibit("half repair", "init", lambda: scaled_normal, 2)
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
