"""Quantization: weights in few bits, matrix by matrix and for whole models."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "decoders": "QuantizedLayer quantize_layer quantized_decoder",
        "matrices": (
            "Quantized babai_quantize bits_needed dequantize gptq input_hessian largest_scales layer_error pack round_to_nearest unpack"
        ),
        "models": (
            "METHODS PackedMatrix QuantizedModel encoder_hessians layer_hessians load_quantized quantize "
            "quantize_by_hessian quantize_encoder quantize_matrix save_quantized"
        ),
    },
)
