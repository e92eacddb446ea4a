"""A trained model in few bits: its matrices rounded one by one, a file of the integers, and the model that speaks from it.

What is quantised are the matrices of every layer, six or, with a gate, seven, which hold most of a large model. Biases, norms
and positions stay as they are: they are a hundredth of it. So do the embedding and an output matrix of its own, unless
`embedding_bits` is given: they are half of a small model's file or more, and 8 bits for them cost next to nothing
(evidence/pages/QUANTIZATION.md). A look-up multiplies nothing, so there rounding is all there is to do.

The model computes with the dequantised weights, in its own type. Packed integers save room in a file, not time: computing with
them is for hardware that can.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cllm_lib.checks import finite_matrix, one_of
from cllm_lib.faces import needed
from cllm_lib.files import digest, write_atomically
from cllm_lib.model.config import LATER, CLLMConfig
from cllm_lib.model.key_value_cache import can_cache
from cllm_lib.model.transformer import CLLM, by_name
from cllm_lib.quantization.matrices import babai_quantize, bits_needed, dequantize, gptq, input_hessian, pack, round_to_nearest, unpack
from cllm_lib.training import plain_safetensors
from cllm_lib.training.safetensors_file import safetensors_for_numpy

FORMAT = 1
KEY = "cllm-quantized"  # under it stands a file's description
LLL_BLOCK = 32
LOOKED_UP = ("embedding", "output_weight")  # what embedding_bits rounds: one row, or column, for each token
METHODS = {
    "round": lambda weights, hessian, bits, group_size, clip, lll_block: round_to_nearest(weights, bits, group_size),
    "gptq": lambda weights, hessian, bits, group_size, clip, lll_block: gptq(weights, hessian, bits, group_size, clip=clip),
    "gptq, act-order": lambda weights, hessian, bits, group_size, clip, lll_block: gptq(weights, hessian, bits, group_size, True, clip),
    # In act-order, for reduction moves no column from one block to another.
    "lll + babai": lambda weights, hessian, bits, group_size, clip, lll_block: babai_quantize(
        weights, hessian, bits, group_size, act_order=True, clip=clip, lll_block=lll_block
    ),
}


class PackedMatrix(NamedTuple):
    """A matrix as it is stored.

    Attributes
    ----------
    packed : ndarray of uint8
        The integers, by rows; see :func:`~cllm_lib.quantization.matrices.pack`.
    bits : int
        Of each of them: as many as were asked for, or more where they were not clipped.
    shape : tuple
        (n_out, n_in): a row for each output.
    scales : ndarray, shape (n_out, groups)
        In the type of the weights.
    """

    packed: np.ndarray
    bits: int
    shape: tuple
    scales: np.ndarray

    def weight(self):  # -> (n_in, n_out)
        """The matrix as `linear_forward` takes it."""
        return np.ascontiguousarray(dequantize(unpack(self.packed, self.bits, self.shape), self.scales).T)

    @property
    def nbytes(self):
        """Of integers and scales together."""
        return self.packed.nbytes + self.scales.nbytes


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A model on dequantised weights, and what it was made of.

    Attributes
    ----------
    model : CLLM or Encoder
        An ordinary one: `generate(quantized.model, ...)`, `quantized.model.embed(...)`.
    matrices : dict of str to PackedMatrix
        By parameter name. All other parameters are as they were.
    method : str
    bits : int
        As asked for.
    vocabulary : tuple of str
        Words of the ids, where they were given.
    """

    model: object
    matrices: dict
    method: str
    bits: int
    vocabulary: tuple = ()

    def arrays(self):
        """Everything that a file holds, by name: `packed.` and `scales.` of each matrix, `plain.` of each other parameter."""
        found = {f"plain.{name}": array for name, array in self.model.parameters.items() if name not in self.matrices}
        for name, matrix in self.matrices.items():
            found |= {f"packed.{name}": matrix.packed, f"scales.{name}": matrix.scales}
        return {name: np.asarray(array, order="C") for name, array in found.items()}  # safetensors scrambles others, silently

    @property
    def nbytes(self):
        """Of all parameters as they are stored, without a file's header."""
        return sum(array.nbytes for array in self.arrays().values())


def quantize_matrix(weight, inputs, method, bits, group_size=None, clip=True, lll_block=LLL_BLOCK, damping=0.01):
    """Quantise one matrix of `linear_forward`.

    Parameters
    ----------
    weight : ndarray, shape (n_in, n_out)
    inputs : array_like, shape (..., n_in)
        What it is multiplied by, for a few thousand rows or more; "round" does not look at them.
    method : {"round", "gptq", "gptq, act-order", "lll + babai"}
    bits, group_size, clip
        See :func:`~cllm_lib.quantization.matrices.gptq`. "round" has nothing to clip.
    lll_block : int
        Inputs that are reduced together; for "lll + babai", which takes its blocks in act-order.
    damping : float
        See :func:`~cllm_lib.quantization.matrices.input_hessian`.

    Returns
    -------
    PackedMatrix

    Raises
    ------
    ValueError
        If a shape does not fit, a number is not finite, or a setting makes no sense.
    """
    return quantize_by_hessian(weight, input_hessian(inputs, damping), method, bits, group_size, clip, lll_block)


def quantize_by_hessian(weight, hessian, method, bits, group_size=None, clip=True, lll_block=LLL_BLOCK):
    """As :func:`quantize_matrix`, where all that counts of the inputs, X^T X / n with some damping, is at hand.

    Returns
    -------
    PackedMatrix
    """
    rounded = one_of(method, METHODS, "method")
    weight = np.asarray(weight)
    weights = finite_matrix(weight, "weight").T
    integers, scales, _ = rounded(weights, hessian, bits, group_size, clip, lll_block)
    stored_bits = max(bits, bits_needed(integers))
    dtype = weight.dtype if weight.dtype == np.float32 else np.float64
    return PackedMatrix(pack(integers, stored_bits), stored_bits, integers.shape, scales.astype(dtype))


def quantize(model, tokens, method, bits, group_size=None, clip=True, lll_block=LLL_BLOCK, embedding_bits=None, vocabulary=()):
    """Quantise a CLLM.

    Parameters
    ----------
    model : CLLM
        Left as it was; of the sound parts.
    tokens : array_like of int, shape (B, T)
        A text to calibrate on, such as some of what the model was trained on: `windows(corpus.train_tokens, seq_len)[0]`.
    method, bits, group_size, clip, lll_block
        See :func:`quantize_matrix`.
    embedding_bits : int, optional
        Round the embedding, and an output matrix of its own, to so many bits, with one scale a word. By default they stay.
    vocabulary : sequence of str
        The words of the ids, to be saved along.

    Returns
    -------
    QuantizedModel

    Raises
    ------
    ValueError
        As :func:`quantize_matrix`; if `tokens` are none of this model; or if the model has parts that are not the sound ones.

    Notes
    -----
    Every matrix is calibrated on what it is given in the full model. Frantar et al. 2023 take what the layers below, already
    quantised, make of the text.
    """
    hessians = layer_hessians(model, tokens)
    matrices = _quantized(model.parameters, hessians, (method, bits, group_size, clip, lll_block), embedding_bits)
    return QuantizedModel(_with_matrices(model, matrices), matrices, method, bits, tuple(vocabulary))


def quantize_encoder(encoder, sentences, method, bits, group_size=None, clip=True, lll_block=LLL_BLOCK, embedding_bits=None):
    """Quantise a pretrained encoder.

    Parameters
    ----------
    encoder : Encoder
        Left as it was.
    sentences : list of str
        A hundred or more to calibrate on.
    method, bits, group_size, clip, lll_block, embedding_bits
        As for :func:`quantize`.

    Returns
    -------
    QuantizedModel
        Its `model` is an Encoder.

    Raises
    ------
    ValueError
        As :func:`quantize_matrix`, and if there is no sentence.
    """
    hessians = encoder_hessians(encoder, sentences)
    matrices = _quantized(encoder.parameters, hessians, (method, bits, group_size, clip, lll_block), embedding_bits)
    return QuantizedModel(_with_matrices(encoder, matrices), matrices, method, bits)


def layer_hessians(model, tokens, damping=0.01):
    """What every layer matrix of a CLLM is multiplied by while a text goes through, as :func:`input_hessian` of it.

    Returns
    -------
    dict of str to ndarray, shape (n_in, n_in)
        By parameter name. Query, key and value share one array, and so do a gate and what passes it.

    Raises
    ------
    ValueError
        As :func:`quantize`.
    """
    if not can_cache(model):
        raise ValueError("only a CLLM of the sound parts can be quantised: this one, or one of its parts, is another")
    x, _ = model.embedding.forward(model._checked_tokens(tokens), model.parameters["embedding"])
    x = model.positions.forward(x, model.position_parameters)
    found = {}
    for i in range(model.config.n_layers):
        x, cache = model.layer.forward(x, model.layer_parameters(i), model.config)
        made = {}  # one for all matrices that were multiplied by the same
        for name, rows in model.layer.inputs(cache).items():
            if id(rows) not in made:
                made[id(rows)] = input_hessian(rows, damping)
            found[f"layers.{i}.{name}"] = made[id(rows)]
    return found


def encoder_hessians(encoder, sentences, damping=0.01):
    """As :func:`layer_hessians`, for an encoder and sentences.

    Returns
    -------
    dict of str to ndarray, shape (n_in, n_in)
    """
    if len(sentences) == 0:
        raise ValueError("there is no sentence to calibrate on: give a hundred or more")
    rows = {name: [] for name in encoder.matrices if not name.endswith(("key_weight", "value_weight"))}  # which get what the query gets
    encoder.run_with_hook(sentences, lambda name, inputs: rows[name].append(inputs) if name in rows else None)
    found = {name: input_hessian(np.concatenate(parts), damping) for name, parts in rows.items()}
    for name in encoder.matrices:
        found.setdefault(name, found.get(name.replace("key_weight", "query_weight").replace("value_weight", "query_weight")))
    return found


def _quantized(parameters, hessians, settings, embedding_bits):
    matrices = {name: quantize_by_hessian(parameters[name], hessian, *settings) for name, hessian in hessians.items()}
    if embedding_bits is not None:
        for name in LOOKED_UP:
            if name in parameters:
                weight = parameters[name].T if name == "embedding" else parameters[name]
                matrices[name] = quantize_by_hessian(weight, None, "round", embedding_bits)
    return matrices


def _with_matrices(model, matrices):
    """The same model on dequantised weights."""
    changed = {name: matrix.weight() for name, matrix in matrices.items()}
    if "embedding" in changed:
        changed["embedding"] = changed["embedding"].T  # a row for each word
    if not isinstance(model, CLLM):
        return model.with_parameters(changed)
    twin = model.with_parameters(model.flat_parameters.copy())
    for name, array in changed.items():
        twin.parameters[name][...] = array
    return twin


def save_quantized(path, quantized):
    """Write a quantised model into one file, whole or not at all.

    Parameters
    ----------
    path : str or path
    quantized : QuantizedModel

    Raises
    ------
    ValueError
        If the model has distances or slopes of its own, which a file cannot name, or `path` is a folder.
    OSError
        If the file cannot be written; the one that was there is as it was.
    """
    path, model, arrays = Path(path), quantized.model, quantized.arrays()
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file, such as {path / 'model.safetensors'}")
    description = {
        "format": FORMAT,
        "kind": type(model).__name__,
        "config": _written(model.config),
        "method": quantized.method,
        "bits": quantized.bits,
        "matrices": {name: {"bits": matrix.bits, "shape": list(matrix.shape)} for name, matrix in quantized.matrices.items()},
        "vocabulary": list(quantized.vocabulary),
    }
    if isinstance(model, CLLM):
        if _brought_along(model) != _brought_along(_empty(model.config)):
            raise ValueError("this model's attention has distances or slopes of its own, and a file cannot bring them along")
    else:
        description["tokenizer"] = model.tokenizer.to_str()
    description["sha256"] = digest(arrays, description)
    write_atomically(path, safetensors_for_numpy().save(arrays, {KEY: json.dumps(description)}))


def load_quantized(path):
    """Read a quantised model: the same weights, to the bit, and so the same words.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    QuantizedModel

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not of :func:`save_quantized`, or is damaged; the error says how.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}: check the path")
    if not path.is_file():
        raise ValueError(f"{path} is no ordinary file: name the file that save_quantized wrote")
    description, arrays = _read(path)
    try:
        if digest(arrays, description) != description["sha256"]:
            raise ValueError("its checksum is not the one that was written")
        return _rebuilt(description, arrays)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"{path} is damaged ({error}): save the model again") from None


def _read(path):
    safe_open, error_of_its_own = _for_reading()
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise ValueError(f"{path} is no quantised model of this library: save_quantized writes them")
            description = json.loads(text)
            if not isinstance(description, dict) or description.get("format") != FORMAT:
                found = description.get("format") if isinstance(description, dict) else None
                raise ValueError(f"{path} has format {found!r}, this library reads format {FORMAT}: take the library that wrote it")
            return description, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no dictionary)
    except (error_of_its_own, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, cut off, or no safetensors file ({error})") from None
    except OSError as error:
        raise ValueError(f"{path} could not be read ({error.strerror or error})") from None


def _rebuilt(description, arrays):
    matrices = {}
    for name, told in description["matrices"].items():
        bits, shape = int(told["bits"]), tuple(int(n) for n in told["shape"])
        matrices[name] = PackedMatrix(arrays[f"packed.{name}"], bits, shape, arrays[f"scales.{name}"])
    plain = {name.removeprefix("plain."): array for name, array in arrays.items() if name.startswith("plain.")}
    build = one_of(description["kind"], {"CLLM": _cllm, "Encoder": _encoder}, "kind")
    model = build(description, plain, matrices)
    return QuantizedModel(
        model, matrices, str(description["method"]), int(description["bits"]), tuple(str(word) for word in description["vocabulary"])
    )


def _all_parameters(plain, matrices):
    weights = {name: matrix.weight() for name, matrix in matrices.items()}
    return plain | {name: weight.T if name == "embedding" else weight for name, weight in weights.items()}


def _cllm(description, plain, matrices):
    config, arrays = CLLMConfig(**description["config"]), _all_parameters(plain, matrices)
    rows = config.vocab_size + config.d_ff + (config.seq_len if config.positions == "learned" else 0)
    if config.d_model * rows > sum(array.size for array in arrays.values()) or config.n_layers > len(arrays):
        raise ValueError("its configuration speaks of a larger model than it holds")
    model = _empty(config)
    _check_shapes(arrays, {name: parameter.shape for name, parameter in model.parameters.items()}, config.dtype)
    for name, parameter in model.parameters.items():
        parameter[...] = arrays[name]
    return model


def _encoder(description, plain, matrices):
    from cllm_lib.pretrained.encoder import Encoder, EncoderConfig

    tokenizers = needed("tokenizers", "a quantised encoder")
    config, arrays = EncoderConfig(**description["config"]), _all_parameters(plain, matrices)
    _check_shapes(arrays, by_name(config.parameter_shapes()), config.dtype)
    return Encoder(config, arrays, tokenizers.Tokenizer.from_str(description["tokenizer"]))


def _check_shapes(arrays, shapes, dtype):
    if arrays.keys() != shapes.keys():
        raise ValueError(f"its arrays do not fit its configuration: {sorted(arrays.keys() ^ shapes.keys())[0]!r}")
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != dtype:
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")


def _empty(config):
    return CLLM(config, init=lambda parameters, generator: None)


def _written(config):
    """A configuration for a file: what came later is said only where it is another than it was."""
    settings = asdict(config)
    return {name: settings[name] for name in settings if name not in LATER or settings[name] != LATER[name]}


def _brought_along(model):
    """What its attention is, where a configuration could not say it."""
    attention = model.layer.attention
    turns = getattr(attention, "base", None), getattr(attention, "pairs", None)
    return type(attention), sorted(model.parameters), getattr(attention, "matrix", None) is None, turns


def _for_reading():
    """What opens a file, and how it says what is wrong: the package's or, where there is none, the same in plain Python."""
    try:
        import safetensors
    except ImportError:
        return plain_safetensors.safe_open, plain_safetensors.SafetensorError
    return safetensors.safe_open, safetensors.SafetensorError
