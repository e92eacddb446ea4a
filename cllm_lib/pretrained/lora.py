"""Low-rank adaptation (LoRA): beside a frozen matrix the product of two thin ones, which alone are trained.

    y = x W + (alpha / r) x A B

W stays as it was pretrained. A is drawn at random and B is zero, so that training begins at the pretrained model, exactly. Merged
into W afterwards, the product costs nothing.

Shapes: n inputs of a matrix, m outputs, r rank, D d_model.

Notes
-----
Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1; on the matrices of queries and values, as
there in section 7.1. Their matrices stand to the left of x, so their B A is our A B.
"""

import json
from pathlib import Path

import numpy as np

from cllm_lib.checks import at_most, positive_integer, positive_number
from cllm_lib.files import write_atomically
from cllm_lib.model.layers import frozen_linear_backward, linear_backward, linear_forward
from cllm_lib.pretrained.chat import ChatModel
from cllm_lib.training.safetensors_file import CheckpointError, loads, read_arrays, read_bytes, safetensors_for_numpy

ADAPTED = ("query", "value")
KEY, FORMAT = "cllm-lora", 1  # under the key stands what a file says of its adapters


class Lora:
    """Adapters of all layers: the thin matrices A and B beside each matrix of queries and of values.

    Parameters
    ----------
    config : ChatConfig
        Of the decoder that they are for.
    flat : ndarray, shape (size,)
        All their numbers, which an optimiser changes in place. `arrays` are views of it.
    rank : int
    alpha : float

    Attributes
    ----------
    arrays : dict of str to ndarray
        Such as `arrays["layers.0.query.a"]`, (D, r), and `arrays["layers.0.query.b"]`, (r, m).
    scale : float
        alpha / r: what is added keeps its size when the rank is changed.
    """

    def __init__(self, config, flat, rank, alpha):
        self.flat, self.rank, self.alpha, self.scale = flat, rank, alpha, alpha / rank
        self.arrays = views(flat, shapes(config, rank))

    def adapter(self, layer, name):
        """A and B beside one matrix, or None where it has none: `lora.adapter(0, "query")`."""
        return (self.arrays[f"layers.{layer}.{name}.a"], self.arrays[f"layers.{layer}.{name}.b"]) if name in ADAPTED else None


def shapes(config, rank):
    """Of every array of the adapters, by name, in the order in which they lie in a flat array."""
    narrow = config.d_model // config.n_heads * config.n_kv_heads
    widths = {"query": config.d_model, "value": narrow}
    found = {}
    for i in range(config.n_layers):
        for name in ADAPTED:
            found[f"layers.{i}.{name}.a"] = (config.d_model, rank)
            found[f"layers.{i}.{name}.b"] = (rank, widths[name])
    return found


def views(flat, named):
    """Parts of a flat array by name, one behind the other, each in its shape."""
    found, start = {}, 0
    for name, shape in named.items():
        size = shape[0] * shape[1]
        found[name] = flat[start : start + size].reshape(shape)
        start += size
    return found


def lora_init(config, rank=4, seed=0, alpha=8.0, dtype=np.float32):
    """Adapters that change nothing yet: A normal with variance 1 / D, B zero.

    Parameters
    ----------
    config : ChatConfig
    rank : int
        At most the width of a value, all heads together.
    seed : int
        Of A.
    alpha : float
        The product is multiplied by alpha / rank.
    dtype : dtype

    Returns
    -------
    Lora

    Raises
    ------
    ValueError
        If a number makes no sense.
    """
    rank, alpha = positive_integer(rank, "rank"), positive_number(alpha, "alpha")
    narrow = config.d_model // config.n_heads * config.n_kv_heads
    at_most(rank, narrow, "rank", "the matrices of values have a side of that length, and no product is of higher rank")
    generator = np.random.default_rng(seed)
    lora = Lora(config, np.zeros(sum(n * m for n, m in shapes(config, rank).values()), dtype), rank, alpha)
    for name, array in lora.arrays.items():
        if name.endswith(".a"):
            array[...] = generator.normal(0.0, config.d_model**-0.5, array.shape)
    return lora


def lora_linear_forward(x, weight, a, b, scale):  # (..., n), (n, m), (n, r), (r, m) -> (..., m)
    """Adapted linear layer: y = x W + scale x A B.

    Returns
    -------
    y : ndarray, shape (..., m)
    cache : tuple
        Those of the three products, and the scale.
    """
    y, frozen_cache = linear_forward(x, weight)
    thin, a_cache = linear_forward(x, a)
    added, b_cache = linear_forward(thin, b)
    return y + scale * added, (frozen_cache, a_cache, b_cache, scale)


def lora_linear_backward(dy, cache):  # (..., m) -> (..., n), {a: (n, r), b: (r, m)}
    """Gradients of :func:`lora_linear_forward`: of x, A and B; W is frozen and gets none.

    Returns
    -------
    dx : ndarray, shape (..., n)
        The sum of two paths: through W, and through A and B.
    gradients : dict
        `a` and `b`. While B is zero that of A is zero as well: the first step moves B alone.
    """
    frozen_cache, a_cache, b_cache, scale = cache
    # forward: y = x @ weight + scale * added
    dx, _ = frozen_linear_backward(dy, frozen_cache)
    # forward: added = thin @ b
    d_thin, b = linear_backward(scale * dy, b_cache)
    # forward: thin = x @ a
    d_path, a = linear_backward(d_thin, a_cache)
    return dx + d_path, {"a": a["weight"], "b": b["weight"]}


def merge(parameters, lora):
    """Merge adapters into the weights, W + (alpha / r) A B: the same function, at no cost.

    Parameters
    ----------
    parameters : dict
        Of a decoder; they stay as they are.
    lora : Lora

    Returns
    -------
    dict
        With new matrices of queries and values; all else is shared.
    """
    layers = []
    for i, layer in enumerate(parameters["layers"]):
        attention = dict(layer["attention"])
        for name in ADAPTED:
            a, b = lora.adapter(i, name)
            attention[f"{name}_weight"] = attention[f"{name}_weight"] + lora.scale * (a @ b)
        layers.append(layer | {"attention": attention})
    return parameters | {"layers": layers}


def adapted(model, lora):
    """The chat model with adapters merged in; the one given stays as it is."""
    return ChatModel(model.config, merge(model.parameters, lora), model.tokenizer, model.system)


def save_lora(path, lora, dtype=np.float32):
    """Write adapters into a safetensors file, whole or not at all.

    Parameters
    ----------
    path : str or path
    lora : Lora
    dtype : dtype
        In which they are stored; in float16 the file is half as long, and the numbers have three digits.

    Raises
    ------
    OSError
        If it cannot be written; the file that was there is as it was.
    """
    arrays = {name: np.ascontiguousarray(array, dtype) for name, array in lora.arrays.items()}
    told = {"format": FORMAT, "rank": lora.rank, "alpha": lora.alpha}
    write_atomically(path, safetensors_for_numpy().save(arrays, {KEY: json.dumps(told)}))


def load_lora(path, config):
    """Read adapters of :func:`save_lora`.

    Parameters
    ----------
    path : str or path
    config : ChatConfig
        Of the decoder that they are to fit.

    Returns
    -------
    Lora
        In float32.

    Raises
    ------
    ValueError
        If there is no file, it is damaged or another, or its adapters do not fit the decoder; the error says which.
    """
    path = Path(path)
    data = read_bytes(path)
    arrays, (rank, alpha) = read_arrays(path, data), _told(path, data)
    lora = lora_init(config, rank, 0, alpha)
    if arrays.keys() != lora.arrays.keys():
        odd = min(arrays.keys() ^ lora.arrays.keys())
        raise CheckpointError(f"{path} does not fit a decoder of {config.n_layers} layers: {odd!r} is missing, or too much")
    for name, own in lora.arrays.items():
        found = arrays[name]
        if found.shape != own.shape or found.dtype.kind != "f" or not np.isfinite(found).all():
            raise CheckpointError(f"{path}: {name} is {found.dtype} of shape {found.shape}, and finite floats of {own.shape} fit")
        own[...] = found
    return lora


def _told(path, data):
    """Rank and alpha, as the header of a file says them."""
    header = loads(data[8 : 8 + int.from_bytes(data[:8], "little")].decode("utf-8"))
    try:
        told = loads(header["__metadata__"][KEY])
        if told["format"] != FORMAT:
            raise CheckpointError(f"{path} has format {told['format']!r}, this library reads format {FORMAT}: take the one that wrote it")
        return positive_integer(told["rank"], "rank"), positive_number(told["alpha"], "alpha")
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds no adapters of this library ({error}): save_lora writes them") from None
