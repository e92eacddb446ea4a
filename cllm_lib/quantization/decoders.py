"""A pretrained decoder in few bits, layer by layer: each is calibrated on what the layers below it, already quantised, make of a text.

So at no moment is there more than one layer in two forms, and what a layer is judged by is what it will be given. Quantised are
the seven matrices of every layer; the embedding, which is the output matrix too, and the norms stay.

Shapes: B pieces, T tokens, D d_model.

Notes
-----
Frantar, Ashkboos, Hoefler, Alistarh 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
section 4: blocks of layers one after the other, the inputs of each those from the quantised ones before it.
"""

from typing import NamedTuple

import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.pretrained.decoder_backward import adapted_layer_forward, layer_inputs
from cllm_lib.quantization.matrices import bits_needed, input_hessian
from cllm_lib.quantization.models import LLL_BLOCK, METHODS

DAMPING = 0.01
SHARED = (  # matrices that are multiplied by the same: their rows are quantised together, and one reduction serves them all
    ("attention.query_weight", "attention.key_weight", "attention.value_weight"),
    ("attention.output_weight",),
    ("feed_forward.gate_weight", "feed_forward.up_weight"),
    ("feed_forward.down_weight",),
)


class QuantizedLayer(NamedTuple):
    """A layer on dequantised weights.

    Attributes
    ----------
    parameters : dict
        As :func:`~cllm_lib.pretrained.decoder_layers.decoder_layer_forward` takes them.
    bits : int
        Of the widest integer, or as many as were asked for where that is more.
    errors : dict of str to float
        By matrix, or the first of those that share their inputs: the outputs' squared error over their own square. Empty where no
        inputs were given.
    """

    parameters: dict
    bits: int
    errors: dict


def quantize_layer(parameters, inputs, method, bits, group_size=None, clip=True, lll_block=LLL_BLOCK):
    """Quantise the seven matrices of a decoder's layer.

    Parameters
    ----------
    parameters : dict
        Of the layer; they stay as they are.
    inputs : dict of str to ndarray, or None
        From :func:`~cllm_lib.pretrained.decoder_backward.layer_inputs`: what the matrices are multiplied by. None for "round", which
        does not look at them.
    method, bits, group_size, clip, lll_block
        See :func:`~cllm_lib.quantization.models.quantize_matrix`.

    Returns
    -------
    QuantizedLayer

    Raises
    ------
    ValueError
        If a setting makes no sense.
    """
    rounded = one_of(method, METHODS, "method")
    if inputs is None and method != "round":
        raise ValueError(f"{method} needs the inputs of the matrices: give those of a text, as layer_inputs(cache) returns them")
    changed, widest, errors = {}, bits, {}
    for names in SHARED:
        weights = [_matrix(parameters, name).T for name in names]  # rows are outputs
        together = np.concatenate(weights)
        hessian = None if inputs is None else input_hessian(inputs[names[0]], DAMPING)
        integers, _, dequantized = rounded(together, hessian, bits, group_size, clip, lll_block)
        widest = max(widest, bits_needed(integers))
        dequantized = dequantized.astype(together.dtype)
        if hessian is not None:
            errors[names[0]] = _relative_error(together, dequantized, hessian)
        cuts = np.cumsum([len(one) for one in weights], dtype=np.int64)[:-1]
        changed |= {name: part.T for name, part in zip(names, np.split(dequantized, cuts), strict=True)}
    return QuantizedLayer(_replaced(parameters, changed), widest, errors)


def quantized_decoder(parameters, config, x, method, bits, group_size=None, clip=True, lll_block=LLL_BLOCK):
    """Quantise a decoder's layers one after the other, on a text that goes through them as they become.

    Parameters
    ----------
    parameters : dict
        Of the decoder.
    config : ChatConfig
    x : ndarray, shape (B, T, D)
        Embedded pieces of a text to calibrate on: `parameters["embedding"][ids]`.
    method, bits, group_size, clip, lll_block
        See :func:`quantize_layer`.

    Yields
    ------
    QuantizedLayer
        From the first layer to the last. Only the one that is under way takes room.
    """
    for layer in parameters["layers"]:
        _, cache = adapted_layer_forward(x, layer, config)
        found = quantize_layer(layer, layer_inputs(cache), method, bits, group_size, clip, lll_block)
        del cache
        x, _ = adapted_layer_forward(x, found.parameters, config)
        yield found


def _matrix(parameters, name):
    part, _, matrix = name.partition(".")
    return parameters[part][matrix]


def _replaced(parameters, changed):
    """A layer with other matrices; all else is shared."""
    parts = {part: dict(arrays) for part, arrays in parameters.items()}
    for name, array in changed.items():
        part, _, matrix = name.partition(".")
        parts[part][matrix] = array
    return parts


def _relative_error(weights, dequantized, hessian):
    """The outputs' squared error over their own square, by the damped second moments of the inputs, in the weights' type."""
    hessian, difference = hessian.astype(weights.dtype), weights - dequantized
    return float(np.sum((difference @ hessian) * difference) / np.sum((weights @ hessian) * weights))
