"""A folder of the right form, so small that a test can write many, and the formulas once more."""

import json
import math

import numpy as np
from safetensors.numpy import save_file
from scipy.stats import norm

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": 14,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
    "position_embedding_type": "absolute",
    "pad_token_id": 0,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat", "a", "dog", "##s", ".", "not"]
SENTENCES = ["the cat", "a dog sat on the mat .", "", "cats", "not a cat", "unheard of"]


def tiny_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=10)  # as some folders ask for, and nobody should get
    tokenizer.enable_truncation(4)
    return tokenizer


def tiny_arrays(seed=0):
    """All arrays of a model so small that a test can write many, by the names of such files."""
    generator = np.random.default_rng(seed)
    width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]

    def linear(name, n_in, n_out):
        return {f"{name}.weight": generator.normal(0, 0.5, (n_out, n_in)), f"{name}.bias": generator.normal(0, 0.5, n_out)}

    def layer_norm(name):
        return {f"{name}.weight": 1 + generator.normal(0, 0.2, width), f"{name}.bias": generator.normal(0, 0.2, width)}

    tables = {"word": CONFIG["vocab_size"], "position": CONFIG["max_position_embeddings"], "token_type": 2}
    arrays = {f"embeddings.{name}_embeddings.weight": generator.normal(size=(n, width)) for name, n in tables.items()}
    arrays |= layer_norm("embeddings.LayerNorm")
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        for name in ("query", "key", "value"):
            arrays |= linear(f"{layer}attention.self.{name}", width, width)
        arrays |= linear(f"{layer}attention.output.dense", width, width) | layer_norm(f"{layer}attention.output.LayerNorm")
        arrays |= linear(f"{layer}intermediate.dense", width, inner) | linear(f"{layer}output.dense", inner, width)
        arrays |= layer_norm(f"{layer}output.LayerNorm")
    arrays |= linear("pooler.dense", width, width)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def write_folder(folder):
    """Make it such a folder."""
    save_file(tiny_arrays(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def as_pytorch_would(arrays, ids):
    """The formulas of BERT once more, for one sentence, in loops over heads and positions."""
    p = {name: array.astype(np.float64) for name, array in arrays.items()}
    width, heads = CONFIG["hidden_size"], CONFIG["num_attention_heads"]
    part = width // heads

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def layer_norm(x, name):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = np.stack(
        [p["embeddings.word_embeddings.weight"][token] + p["embeddings.position_embeddings.weight"][t] for t, token in enumerate(ids)]
    )
    x = layer_norm(x + p["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        q, k, v = (linear(x, f"{layer}attention.self.{name}") for name in ("query", "key", "value"))
        attended = np.zeros_like(x)
        for h in range(heads):
            cut = slice(h * part, (h + 1) * part)
            for t in range(len(ids)):
                weights = [math.exp(q[t, cut] @ k[s, cut] / math.sqrt(part)) for s in range(len(ids))]
                attended[t, cut] = sum(w * v[s, cut] for s, w in enumerate(weights)) / sum(weights)
        x = layer_norm(x + linear(attended, f"{layer}attention.output.dense"), f"{layer}attention.output.LayerNorm")
        inside = linear(x, f"{layer}intermediate.dense")
        x = layer_norm(x + linear(inside * norm.cdf(inside), f"{layer}output.dense"), f"{layer}output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / math.sqrt(mean @ mean)
