"""Writes GGUF files, right and wrong ones, and a tiny chat model made of a CLLM."""

import struct

import numpy as np

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.pretrained.chat import PARTS
from cllm_lib.pretrained.gguf import KINDS
from cllm_lib.text.bpe import bytes_as_characters, train_bpe

CODES = {kind.name: code for code, kind in KINDS.items()}
STRING, ARRAY, UINT32 = 8, 9, 4


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def record(name, shape, kind, offset):
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
    return text(name) + axes + struct.pack("<IQ", CODES.get(kind, kind), offset)


def file_of(pairs=(), records=(), data=b"", version=3, magic=b"GGUF", counts=None, alignment=32):
    """The bytes of a GGUF file, right or wrong as the arguments are."""
    head = magic + struct.pack("<IQQ", version, *(counts or (len(records), len(pairs)))) + b"".join([*pairs, *records])
    return head + bytes(-len(head) % alignment) + data


def words(values):
    """A list of texts."""
    return struct.pack("<IQ", STRING, len(values)) + b"".join(map(text, values))


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are tiny.<|im_end|>\n' }}{% endif %}..."
TOKENIZER = train_bpe("the sky is blue because the air is thin, and the sea is deep", 270, SPECIAL)


def tiny_model(seed=0, tied=True, n_kv_heads=2, pairs="neighbours", seq_len=96):
    """A CLLM of the form of Llama, in float64, with weights large enough to have opinions; attention's biases are 0."""
    config = CLLMConfig(
        len(TOKENIZER), d_model=32, n_layers=2, n_heads=4, n_kv_heads=n_kv_heads, d_ff=64, seq_len=seq_len, tie_embeddings=tied, norm="rms",
        norm_first=True, feed_forward="swiglu", positions="rotary", rope_base=1_000.0, rope_pairs=pairs,
    )  # fmt: skip
    model, generator = CLLM(config), np.random.default_rng(seed)
    for name, array in model.parameters.items():
        if name.endswith("bias"):
            array[...] = 0.0
        else:
            array[...] = generator.normal(float(name.endswith("gain")), 0.3, array.shape).astype(np.float32)
    return model


def as_gguf(model, without=(), changed=None):
    """A CLLM of :func:`tiny_model` as a GGUF file in float32."""
    config = model.config
    numbers = {
        "llama.block_count": config.n_layers, "llama.context_length": config.seq_len, "llama.embedding_length": config.d_model,
        "llama.feed_forward_length": config.d_ff, "llama.attention.head_count": config.n_heads,
        "llama.attention.head_count_kv": config.kv_heads,
    }  # fmt: skip
    pairs = {name: pair(name, UINT32, struct.pack("<I", value)) for name, value in numbers.items()}
    for name, value in {"llama.rope.freq_base": config.rope_base, "llama.attention.layer_norm_rms_epsilon": 1e-5}.items():
        pairs[name] = pair(name, 6, struct.pack("<f", value))
    tokens = [t.decode() if t.decode("utf-8", "replace") in SPECIAL else bytes_as_characters(t) for t in TOKENIZER.vocabulary]
    merges = [" ".join(map(bytes_as_characters, merge)) for merge in TOKENIZER.merges]
    kinds = struct.pack(f"<IQ{len(tokens)}i", 5, len(tokens), *(3 if t in SPECIAL else 1 for t in tokens))
    pairs |= {
        "general.architecture": pair("general.architecture", STRING, text("llama")),
        "tokenizer.ggml.pre": pair("tokenizer.ggml.pre", STRING, text("smollm")),
        "tokenizer.ggml.tokens": pair("tokenizer.ggml.tokens", ARRAY, words(tokens)),
        "tokenizer.ggml.merges": pair("tokenizer.ggml.merges", ARRAY, words(merges)),
        "tokenizer.ggml.token_type": pair("tokenizer.ggml.token_type", ARRAY, kinds),
        "tokenizer.chat_template": pair("tokenizer.chat_template", STRING, text(TEMPLATE)),
    }
    pairs |= changed or {}
    own, records, data = model.parameters, [], b""
    arrays = {"token_embd.weight": own["embedding"], "output_norm.weight": own["final_norm.gain"]}
    if not config.tie_embeddings:
        arrays["output.weight"] = own["output_weight"].T
    for i in range(config.n_layers):
        arrays |= {f"blk.{i}.{theirs}.weight": own[f"layers.{i}.{ours}"].T for ours, theirs in PARTS.items()}
    for name, array in arrays.items():
        if name not in without:
            records.append(record(name, array.shape, "F32", len(data)))
            data += array.astype("<f4").tobytes()
            data += bytes(-len(data) % 32)
    return file_of([one for name, one in pairs.items() if name not in without], records, data)
