"""Pretrained models that the world uses, run by the same functions as the reader's own."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "encoder": "Encoder EncoderConfig Trace",
        "bert_layers": "encoder_forward encoder_layer_forward l2_normalize mean_pooling pad_batch",
        "folders": "installed_folder load_encoder",
        "gguf": "read_gguf",
        "chat": "ChatConfig ChatModel installed_file load_chat_model",
    },
)
