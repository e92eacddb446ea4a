"""The museum: each historical bug of CLLM as a part, to be handed in where the sound part would go.

    CLLM(config, init=defects.SilentZeroInit())
    CLLM(config, attention=defects.SimplifiedAttention())
    program(config, repairs={"exponential"})  # many at once, less what is repaired
    Trainer(model, TargetIsTheWordItself(corpus))  # a spoilt text
    inference_model(trained)  # the same weights, computed with by other lines

The sound model contains none of these lines and no switch that would turn one on. :data:`ALL` is the catalogue.
Wherever a forward pass is the exhibit, its backward pass is the true gradient of that wrong forward pass; and the
other way round. So each fault stands alone, and a measurement that shows it shows nothing else. :func:`program` is the
exception: all that was wrong after the program's last fix, at once.
"""

import inspect
import itertools
from dataclasses import dataclass

from cllm_lib.defects.attention import (
    BlockProjection,
    HeadStride,
    MissingAttentionGradient,
    NoCausalMask,
    OuterProductAttention,
    SimplifiedAttention,
    TaylorExponential,
    home_made_exponential,
)
from cllm_lib.defects.data import SortedByLocality, TargetIsTheWordItself, TrainedOnTheHeldOut, last_file_only, shared_ids
from cllm_lib.defects.inference import DIFFERENCES, LayerAtInference, inference_model, keep_first_k
from cllm_lib.defects.initialization import EmbeddingsOnlyInit, SilentZeroInit
from cllm_lib.defects.lattice import (
    LatticeAwareAttention,
    LatticeLoss,
    gcd_similarity,
    lattice_loss,
    moebius,
    prime_similarity,
    spiral_distance,
    symmetry_rotation,
)
from cllm_lib.defects.layers import LayerNormFromTheWrongTensor, LayerOfTheHalfRepair, LostEmbeddingGradient, NoResidual
from cllm_lib.defects.primes import faulty_primes_below, overflowing_lattice
from cllm_lib.defects.program import REPAIRS, hashed_corpus, hashed_ids, program, program_training
from cllm_lib.defects.training import GradientOfAnotherLoss, OnlyEmbeddings
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.model.transformer import CLLM, TokenEmbedding, TransformerLayer
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.optimizers import SGD

__all__ = [
    "ALL",
    "DIFFERENCES",
    "REPAIRS",
    "BlockProjection",
    "Defect",
    "EmbeddingsOnlyInit",
    "GradientOfAnotherLoss",
    "HeadStride",
    "LatticeAwareAttention",
    "LatticeLoss",
    "LayerAtInference",
    "LayerNormFromTheWrongTensor",
    "LayerOfTheHalfRepair",
    "LostEmbeddingGradient",
    "MissingAttentionGradient",
    "NoCausalMask",
    "NoResidual",
    "OnlyEmbeddings",
    "OuterProductAttention",
    "SilentZeroInit",
    "SimplifiedAttention",
    "SortedByLocality",
    "TargetIsTheWordItself",
    "TaylorExponential",
    "TrainedOnTheHeldOut",
    "faulty_primes_below",
    "gcd_similarity",
    "half_repaired",
    "hashed_corpus",
    "hashed_ids",
    "home_made_exponential",
    "incident",
    "inference_model",
    "keep_first_k",
    "last_file_only",
    "lattice_loss",
    "moebius",
    "overflowing_lattice",
    "prime_similarity",
    "program",
    "program_training",
    "shared_ids",
    "spiral_distance",
    "symmetry_rotation",
]


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
        Call it without arguments to get the part; at the seam "model" it takes the place of CLLM itself, at the seam
        "loader" that of load_corpus, and at the seams "optimizer" and "corpus" it is called with the model it is to
        train, or with the corpus it is to spoil.
    seam : {"init", "attention", "layer", "embedding", "model", "optimizer", "corpus", "loader"}
        The argument of :class:`~cllm_lib.model.transformer.CLLM` that takes it; "optimizer" and "corpus" are two of
        :class:`~cllm_lib.training.trainer.Trainer`, and a loader makes what the latter takes.
    sound : callable
        Makes the part that belongs there, called as `part` is.
    symptom, exposure : str
        What one sees, and the measurement that shows the cause.
    """

    part: type
    seam: str
    sound: object
    symptom: str
    exposure: str

    def patient(self, config, seed=0):
        """A model that has this defect and no other; where optimiser or text are the defect, a sound one to train with it."""
        return self._model(self.part, config, seed)

    def healthy(self, config, seed=0):
        """The same model with the sound part in its place."""
        return self._model(self.sound, config, seed)

    def _model(self, part, config, seed):
        if self.seam == "model":
            return part(config, seed=seed)
        outside = self.seam in ("optimizer", "corpus", "loader")
        return CLLM(config, seed=seed, **({} if outside else {self.seam: part()}))


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
    "gradient of another loss": _exhibit(GradientOfAnotherLoss, "model", CLLM),
    "simplified attention": _exhibit(SimplifiedAttention, "attention", CausalSelfAttention),
    "no causal mask": _exhibit(NoCausalMask, "attention", CausalSelfAttention),
    "head stride": _exhibit(HeadStride, "attention", CausalSelfAttention),
    "projection by blocks": _exhibit(BlockProjection, "attention", CausalSelfAttention),
    "no residual": _exhibit(NoResidual, "layer", TransformerLayer),
    "home-made exponential": _exhibit(TaylorExponential, "attention", CausalSelfAttention),
    "missing attention gradient": _exhibit(MissingAttentionGradient, "attention", CausalSelfAttention),
    "outer-product backward": _exhibit(OuterProductAttention, "attention", CausalSelfAttention),
    "LayerNorm from the wrong tensor": _exhibit(LayerNormFromTheWrongTensor, "layer", TransformerLayer),
    "lost embedding gradient": _exhibit(LostEmbeddingGradient, "embedding", TokenEmbedding),
    "layer of the half repair": _exhibit(LayerOfTheHalfRepair, "layer", TransformerLayer),
    "only embeddings updated": _exhibit(OnlyEmbeddings, "optimizer", lambda model: SGD(1e-3)),
    "target is the word itself": _exhibit(TargetIsTheWordItself, "corpus", lambda corpus: corpus),
    "sorted by locality": _exhibit(SortedByLocality, "corpus", lambda corpus: corpus),
    "trained on the held-out": _exhibit(TrainedOnTheHeldOut, "corpus", lambda corpus: corpus),
    "shared ids": _exhibit(shared_ids, "corpus", lambda corpus: corpus),
    "last file only": _exhibit(last_file_only, "loader", load_corpus),
    "another layer at inference": _exhibit(LayerAtInference, "layer", TransformerLayer),
    "lattice-aware attention": _exhibit(LatticeAwareAttention, "attention", CausalSelfAttention),
    "lattice loss": _exhibit(LatticeLoss, "model", CLLM),
}
