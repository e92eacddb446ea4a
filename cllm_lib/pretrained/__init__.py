"""Pretrained models that the world uses, run by the same functions as the reader's own."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "encoder": "Encoder EncoderConfig Trace",
        "bert_layers": "encoder_forward encoder_layer_forward l2_normalize mean_pooling pad_batch",
        "folders": "installed_folder load_encoder",
        "gguf": "read_gguf",
        "chat": "ChatConfig ChatModel load_chat_model",
        "lora": "Lora adapted load_lora lora_init lora_linear_backward lora_linear_forward merge save_lora",
        "decoder_backward": "Places adapted_decoder_forward adapted_layer_forward layer_inputs loss_and_gradients",
        "lora_training": "answer_losses pack_examples train_lora training_example",
    },
)
