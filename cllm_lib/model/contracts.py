"""What a part of a model has to hand back, looked at as it comes: a shape that merely broadcasts would go on without a word.

A look compares types and shapes, and takes well under a microsecond: it stands in every call. The numbers are not looked at.
"""

import numpy as np

from cllm_lib.checks import instance

METHODS = {"attention": ("parameter_shapes", "forward", "backward"), "embedding": ("forward", "backward")}
METHODS |= {"layer": METHODS["attention"], "output": METHODS["embedding"], "loss": METHODS["embedding"]}


def checked_part(part, seam):
    """Return a part handed in for that seam of a model, or say why it is none.

    Raises
    ------
    ValueError
        If it is a class, or lacks a method.
    """
    return instance(part, seam, METHODS[seam])


def checked_shapes(part, seam, shapes):
    """Return what a part's `parameter_shapes` gave: a shape for each name, or a dictionary of such.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(shapes, dict):
        returned = f"{_said(part, seam, 'parameter_shapes')} returned {_shown(shapes)}"
        raise ValueError(f"{returned}: return a dictionary from names to shapes, {{}} if it trains nothing")
    for name, shape in shapes.items():
        if isinstance(shape, dict):
            checked_shapes(part, seam, shape)
        elif not isinstance(shape, tuple | list) or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
            raise ValueError(f"{_said(part, seam, 'parameter_shapes')} says {shape!r} for {name!r}: give a tuple, such as (16,) or (16, 4)")
    return shapes


def forward_of(part, seam, result, shape, dtype):
    """Return output and cache, as a part's `forward` gave them.

    Raises
    ------
    ValueError
        If it gave something else, or an output of another shape, or of a type that is no float, or a wider one.
    """
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ValueError(f"{_said(part, seam, 'forward')} returned {_shown(result)}: return two things, its output and its cache")
    _check_array(part, seam, "forward", "an output", result[0], shape, dtype)
    return result


def backward_of(part, seam, result, dy):
    """Return the gradient of a part's input and those of its parameters, as its `backward` gave them.

    Raises
    ------
    ValueError
        If it gave something else, or a gradient of the input of another shape or type than `dy`.
    """
    if not isinstance(result, tuple | list) or len(result) != 2 or not isinstance(result[1], dict):
        raise ValueError(
            f"{_said(part, seam, 'backward')} returned {_shown(result)}: return two things, the gradient of its input and a dictionary "
            "of those of its parameters, {} if it has none"
        )
    _check_array(part, seam, "backward", "a gradient of its input", result[0], dy.shape, dy.dtype)
    return result


def embedding_backward_of(part, result, out):
    """Look at what an embedding's `backward` gave: it adds to `out`, and returns nothing, or that.

    Raises
    ------
    ValueError
        If it returned an array of its own, which nobody would read.
    """
    if result is not None and result is not out:
        returned = f"{_said(part, 'embedding', 'backward')} returned {_shown(result)}"
        raise ValueError(f"{returned}, which nobody reads: add the gradient to out, as out += ... does")


def loss_of(part, result):
    """Return loss and cache, as a loss part's `forward` gave them; the loss as a Python float.

    Raises
    ------
    ValueError
        If it gave something else than one number and a cache.
    """
    if not isinstance(result, tuple | list) or len(result) != 2 or not _is_a_number(result[0]):
        raise ValueError(f"{_said(part, 'loss', 'forward')} returned {_shown(result)}: return two things, one number and its cache")
    return float(result[0]), result[1]


def gradient_of(part, seam, gradient, shape, dtype):
    """Return the gradient of the logits, as a loss part's `backward` gave it, or that of the hidden state, as an output part's.

    It is widened to the model's type, where it came in a narrower one: the part below is judged by the model's.

    Raises
    ------
    ValueError
        If it is of another shape than what came in, or of a type that is no float, or a wider one.
    """
    what = {"loss": "a gradient of the logits", "output": "a gradient of the hidden state"}[seam]
    _check_array(part, seam, "backward", what, gradient, shape, dtype)
    return gradient.astype(dtype, copy=False)


def write_into(views, gradients, part, name):
    """Copy a layer's gradients into views arranged alike, after looking at each: every one is there, in the parameter's shape.

    Parameters
    ----------
    views : dict of str to ndarray, or to such a dict
    gradients : dict
        What `backward` of the layer returned.
    part : object
        Whose they are; used in the error.
    name : str
        Of the place in the model, such as "layers.0"; used in the error.

    Raises
    ------
    ValueError
        If one is missing, or of another shape or kind of number.
    """
    gradients = gradients if isinstance(gradients, dict) else {}
    for key, view in views.items():
        gradient = gradients.get(key)
        if isinstance(view, dict):
            write_into(view, gradient, getattr(part, key, part), f"{name}.{key}")
        elif getattr(gradient, "shape", None) != view.shape or not _holds(view.dtype, gradient.dtype):
            raise ValueError(_what_is_wrong(part, f"{name}.{key}", key, view, gradient, gradients))
        else:
            view[...] = gradient


def _is_a_number(value):
    return isinstance(value, int | float | np.number | np.ndarray) and np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiu"


def _holds(own, other):
    return own == other or np.can_cast(other, own, "same_kind")


def _what_is_wrong(part, place, key, view, gradient, gradients):
    said = f"backward of {type(part).__name__}"
    if gradient is None:
        others = ", ".join(map(repr, gradients)) if gradients else "none"
        return (
            f"{said} gives no gradient for {place}, of shape {view.shape}: it names {others}; return one for {key!r} too, "
            "of zeros if it is not to learn"
        )
    return f"{said} gives for {place} {_shown(gradient)}: the parameter is {view.shape} of {view.dtype}, and its gradient has to be, too"


def _check_array(part, seam, method, what, array, shape, dtype):
    # A narrower float is let through: what few digits do to a model is for an instrument to say (see instruments.diagnosis).
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind != "f" or array.dtype.itemsize > dtype.itemsize:
        raise ValueError(
            f"{_said(part, seam, method)} returned {what} that is {_shown(array)}: it has to be of shape {shape} and type {dtype}"
        )


def _said(part, seam, method):
    return f"{seam} {type(part).__name__}: {method}"


def _shown(value):
    if isinstance(value, np.ndarray | np.generic):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} ({', '.join(_shown(one) for one in value[:3])})" if value else "an empty tuple"
    return "None" if value is None else f"a {type(value).__name__}"
