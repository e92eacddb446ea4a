"""What modules take and return: tensors, or tuples, lists and dictionaries of tensors, of whatever depth."""

import copy

import torch
from torch import nn


def _fields(structure):
    """The attributes of a plain object that holds tensors, such as a dataclass; None for anything else."""
    if isinstance(structure, nn.Module | type) or callable(structure) or not hasattr(structure, "__dict__"):
        return None
    return vars(structure)


def tensors_in(structure):
    """All tensors, in order.

    Parameters
    ----------
    structure : object
        A tensor; a tuple, list, dictionary or plain object of such; anything else holds none.

    Returns
    -------
    list of torch.Tensor
    """
    if isinstance(structure, torch.Tensor):
        return [structure]
    if isinstance(structure, dict):  # what transformers' models return is one, too
        return [tensor for value in structure.values() for tensor in tensors_in(value)]
    if isinstance(structure, list | tuple):
        return [tensor for value in structure for tensor in tensors_in(value)]
    return [tensor for value in (_fields(structure) or {}).values() for tensor in tensors_in(value)]


def mapped(structure, change):
    """The same structure, each tensor exchanged for `change(tensor)`.

    Parameters
    ----------
    structure : object
    change : callable
        From a tensor to a tensor.

    Returns
    -------
    object
        New, but for what is neither a tensor nor a tuple, list or dictionary.
    """
    if isinstance(structure, torch.Tensor):
        return change(structure)
    if isinstance(structure, dict):
        values = {name: mapped(value, change) for name, value in structure.items()}
        return type(structure)(**values) if all(isinstance(name, str) for name in structure) else values
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):  # a named tuple takes its fields one by one
        return type(structure)(*(mapped(value, change) for value in structure))
    if isinstance(structure, list | tuple):
        return type(structure)(mapped(value, change) for value in structure)
    if tensors_in(structure):
        other = copy.copy(structure)
        for name, value in _fields(structure).items():
            object.__setattr__(other, name, mapped(value, change))  # a frozen dataclass, too
        return other
    return structure


def exchanged(structure, old, new):
    """The same structure with one tensor exchanged for another."""
    return mapped(structure, lambda tensor: new if tensor is old else tensor)


def main_output(outputs):
    """The tensor that a loss is most likely made of: what is called `logits`, or the first with fractions.

    Returns
    -------
    torch.Tensor or None
    """
    named = outputs.get("logits") if isinstance(outputs, dict) else getattr(outputs, "logits", None)
    if isinstance(named, torch.Tensor):
        return named
    return next((tensor for tensor in tensors_in(outputs) if tensor.is_floating_point()), None)


def dense(tensor):
    """The same, not sparse."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def is_finite(tensor):
    """Whether all its numbers are. A sum that is one needs one pass and no memory; only what overflows is looked at again."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())
