"""Instruments: diagnosis and gradient check, for any model that offers parameters, gradients and a loss."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "protocol": "Examinable",
        "diagnosis": "HEALTHY_UPDATES Diagnosis Movement TensorReport advise diagnose examine judge movements",
        "gradient_check": (
            "GradientReport GradientRow agreement angle_between central_difference check_gradients "
            "compare_entries drawn_entries layer_loss relative_error"
        ),
    },
)
