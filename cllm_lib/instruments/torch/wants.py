"""What a loss wants of each output, found by its own gradient, from the outside.

The gradient of a cross-entropy by a position's logits is `share * (softmax - one_hot)`: below 0 at the target, 0 everywhere where a
position does not count. So it says, of any loss, which word is wanted where, whatever was shifted, masked or left out inside.
"""

from typing import NamedTuple

import torch

from cllm_lib.instruments.torch.structures import exchanged, is_finite, tensors_in
from cllm_lib.instruments.torch.subject import once, quiet

MATCH = 0.95  # of the positions; a row may end in another sentence


class Wanted(NamedTuple):
    """What a loss wants of the outputs.

    Attributes
    ----------
    axis : int
        Of the classes.
    targets : torch.Tensor of int
        The class wanted at each position: the outputs' shape without that axis.
    counts : torch.Tensor of bool
        Whether the position has a part in the loss.
    outputs : torch.Tensor
        With the classes last.
    """

    axis: int
    targets: torch.Tensor
    counts: torch.Tensor
    outputs: torch.Tensor


def gradient_by_outputs(subject, shift=0.0, scale=1.0):
    """Loss and its gradient by the main output, as if that were given: multiplied first, and shifted.

    Returns
    -------
    float, torch.Tensor or None
        None where the loss does not depend on it.
    """
    given = (scale * subject.main.detach() + shift).requires_grad_()
    with quiet(), torch.enable_grad():
        value = subject.loss(exchanged(subject.outputs, subject.main, given), subject.targets)
        found = torch.autograd.grad(value, given, allow_unused=True)[0] if value.requires_grad else None
        if found is None:  # a module that makes its loss itself, out of these outputs
            value = subject.loss(subject.outputs, subject.targets)
            inside = value.requires_grad and subject.main.requires_grad
            found = torch.autograd.grad(value, subject.main, allow_unused=True, retain_graph=True)[0] if inside else None
    return float(value.detach()), found


def labels_of(subject):
    """Tensors of whole numbers that may be the targets: those that were given as such, and inputs of a model that takes its labels."""
    given = [t for t in tensors_in(subject.targets) if not t.is_floating_point()]
    return given + [t for t in tensors_in(subject.inputs) if not t.is_floating_point() and t.ndim and bool((t < 0).any())]


def class_axis(subject):
    """The axis of the outputs along which the classes lie, or None: where targets are whole numbers, one for each other place."""
    if subject.main is None:
        return None
    whole = [t for t in labels_of(subject) if t.dtype != torch.bool]
    shape = subject.main.shape
    for target in whole:
        for axis in (len(shape) - 1, 1):
            if 0 < axis < len(shape) and shape[axis] > 1:
                rest = shape[:axis] + shape[axis + 1 :]
                if rest == target.shape or (rest.numel() == target.numel() and axis == len(shape) - 1):
                    return axis
    if whole or subject.tokens is None or len(shape) < 3:
        return None
    return len(shape) - 1  # targets of another form, or none: a loss that makes them by itself


@once
def wanted(subject):
    """What the loss wants, or None where it is none of classes.

    Returns
    -------
    Wanted or None
    """
    axis = class_axis(subject)
    if axis is None:
        return None
    largest = float(subject.main.detach().abs().max())
    if not largest < float("inf"):
        return None
    # Outputs of moderate size: where a softmax is sure to the last digit, its gradient is 0 though the place counts.
    _, gradient = gradient_by_outputs(subject, scale=1.0 / (1.0 + largest))
    if gradient is None or not is_finite(gradient):
        return None
    turned, outputs = gradient.movedim(axis, -1), subject.main.movedim(axis, -1)
    size = turned.abs().amax()
    targets, counts = turned.argmin(-1), turned.abs().amax(-1) > 1e-9 * size
    below = (turned < -1e-9 * size).sum(-1)
    if size == 0.0 or (float((below > 1).double().mean()) > 0.1 and not are_stated(subject, targets, counts)):
        return None  # more than one class is wanted at a place: no cross-entropy
    return Wanted(axis, targets, counts, outputs)


def are_stated(subject, targets, counts):
    """Whether what is wanted is what was handed over."""
    stated = [t.reshape(targets.shape) for t in labels_of(subject) if t.numel() == targets.numel()]
    return any(float((one == targets)[counts].double().mean()) >= MATCH for one in stated) and bool(counts.any())
