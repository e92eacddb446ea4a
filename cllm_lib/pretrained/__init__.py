"""Pretrained models that the world uses, run by the same functions as the reader's own."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "encoder": (
            "Encoder EncoderConfig Trace encoder_forward encoder_layer_forward gelu_forward installed_folder "
            "load_encoder mean_of_tokens side_by_side unit_rows"
        ),
    },
)
