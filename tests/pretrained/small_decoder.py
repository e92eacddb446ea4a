"""A small decoder with random weights, for gradients and quantisation: no file, no tokenizer."""

import numpy as np

from cllm_lib.pretrained import ChatConfig

CONFIG = ChatConfig(
    vocab_size=11, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24, seq_len=32, eps=1e-5, rope_base=1_000.0
)  # fmt: skip


def small_parameters(config=CONFIG, seed=0, dtype=np.float64):
    """Weights large enough to have opinions."""
    generator = np.random.default_rng(seed)
    width, inner, narrow = config.d_model, config.d_ff, config.d_model // config.n_heads * config.n_kv_heads

    def matrix(n, m):
        return generator.normal(0.0, n**-0.5, (n, m)).astype(dtype)

    def gain():
        return {"gain": generator.normal(1.0, 0.2, width).astype(dtype)}

    layers = [
        {
            "attention": {
                "query_weight": 2.0 * matrix(width, width),
                "key_weight": 2.0 * matrix(width, narrow),
                "value_weight": matrix(width, narrow),
                "output_weight": matrix(width, width),
            },
            "attention_norm": gain(),
            "feed_forward": {"gate_weight": matrix(width, inner), "up_weight": matrix(width, inner), "down_weight": matrix(inner, width)},
            "feed_forward_norm": gain(),
        }
        for _ in range(config.n_layers)
    ]
    return {
        "embedding": matrix(config.vocab_size, width),
        "layers": layers,
        "final_norm": gain(),
        "output_weight": matrix(width, config.vocab_size),
    }
