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

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "catalogue": "ALL Defect",
        "inference": "DIFFERENCES LayerAtInference PositionsAdded inference_model keep_first_k",
        "whole_program": "REPAIRS hashed_corpus hashed_ids program program_training",
        "attention": (
            "BlockProjection FrozenAttention HeadStride MissingAttentionGradient NoCausalMask "
            "OuterProductAttention SimplifiedAttention TaylorExponential home_made_exponential outer_product"
        ),
        "initialization": "EmbeddingsOnlyInit SilentZeroInit half_repaired incident",
        "training": "GradientOfAnotherLoss LastOneWins LastSequenceWins OnlyEmbeddings TowardTheTarget",
        "lattice": (
            "LatticeAwareAttention LatticeLoss gcd_similarity lattice_factors lattice_loss moebius "
            "prime_similarity spiral_distance symmetry_rotation token_primes"
        ),
        "layers": "LayerNormFromTheWrongTensor LayerOfTheHalfRepair LostEmbeddingGradient NoResidual",
        "data": "SortedByLocality TargetIsTheWordItself TrainedOnTheHeldOut last_file_only shared_ids",
        "primes": "faulty_primes_below overflowing_lattice",
    },
)
