"""The sound model, and nothing but: every historical bug lives in :mod:`cllm_lib.defects`."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "config": "CLLMConfig",
        "transformer": "CLLM TokenEmbedding",
        "transformer_layer": "FEED_FORWARDS NORMS TransformerLayer",
        "attention": (
            "PROJECTIONS CausalSelfAttention DistanceBiasAttention RotarySelfAttention attention_backward "
            "attention_forward attention_weights causal_mask merge_heads scaled_dot_product_backward "
            "scaled_dot_product_forward share_heads share_heads_backward split_heads"
        ),
        "layers": (
            "cross_entropy_backward cross_entropy_forward embedding_backward embedding_forward feed_forward_backward "
            "feed_forward_forward frozen_linear_backward layer_norm_backward layer_norm_forward linear_backward linear_forward "
            "rms_norm_backward rms_norm_forward softmax softmax_backward swiglu_backward swiglu_forward"
        ),
        "activation_functions": "erf gelu_backward gelu_forward silu_backward silu_forward",
        "ends": "CrossEntropy LinearOutput",
        "positions": "POSITIONS",
        "initializers": "INITIALIZERS scaled_normal zeros",
        "key_value_cache": "KeyValueCache can_cache",
        "taps": "Activations activations",
        "generation": "distinct_n draw generate keep_top_k keep_top_p next_token_probabilities stream",
    },
)
