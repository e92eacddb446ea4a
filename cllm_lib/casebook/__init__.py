"""The casebook: patients with a hidden fault, for the reader to find by measuring."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "encoders": "faulty_encoder",
        "patients": "attention_patients faulty_quantizer gradient_patients spoilt_texts stuck_trainers",
        "voices": "five_voices",
    },
)
