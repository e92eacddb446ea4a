"""Instruments that look at the loss from its outside: what it wants of each output, found by its own gradient.

The gradient of a cross-entropy by a position's logits is `share * (softmax - one_hot)`: below 0 at the target, 0 everywhere where a
position does not count. So it says, of any loss, which word is wanted where, whatever was shifted, masked or left out inside.
"""

from typing import NamedTuple

import torch

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.torch.structures import exchanged, tensors_in
from cllm_lib.instruments.torch.subject import once, quiet

MATCH = 0.95  # of the positions; a row may end in another sentence
ENOUGH = 8  # positions, at least
SHIFTS = (1, 0, 2)


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
    return float(value), found


def class_axis(subject):
    """The axis of the outputs along which the classes lie, or None: where targets are whole numbers, one for each other place."""
    if subject.main is None:
        return None
    whole = [t for t in tensors_in(subject.targets) if not t.is_floating_point() and t.dtype != torch.bool]
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
    largest = float(subject.main.abs().max())
    if not largest < float("inf"):
        return None
    # Outputs of moderate size: where a softmax is sure to the last digit, its gradient is 0 though the place counts.
    _, gradient = gradient_by_outputs(subject, scale=1.0 / (1.0 + largest))
    if gradient is None or not torch.isfinite(gradient).all():
        return None
    turned, outputs = gradient.movedim(axis, -1), subject.main.movedim(axis, -1)
    size = turned.abs().amax()
    targets, counts = turned.argmin(-1), turned.abs().amax(-1) > 1e-9 * size
    below = (turned < -1e-9 * size).sum(-1)
    if size == 0.0 or (float((below > 1).double().mean()) > 0.1 and not _are_stated(subject, targets, counts)):
        return None  # more than one class is wanted at a place: no cross-entropy
    return Wanted(axis, targets, counts, outputs)


def _are_stated(subject, targets, counts):
    """Whether what is wanted is what was handed over."""
    stated = [t.reshape(targets.shape) for t in tensors_in(subject.targets) if t.numel() == targets.numel() and not t.is_floating_point()]
    return any(float((one == targets)[counts].double().mean()) >= MATCH for one in stated) and bool(counts.any())


class Sequence(NamedTuple):
    """Words, and what the loss wants at their places.

    Attributes
    ----------
    tokens, targets, counts : torch.Tensor, shape (B, T)
        Time is the second axis, whatever the module takes.
    time : int
        The axis of time in the module's inputs.
    skipped : int
        Inputs before the first that has an output, such as a picture before its caption.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    counts: torch.Tensor
    time: int
    skipped: int


@once
def sequence(subject):
    """Words and wanted targets, place by place; None where outputs are not words by words.

    Returns
    -------
    Sequence or None
    """
    found, tokens = wanted(subject), subject.tokens
    if found is None or tokens is None:
        return None
    skipped = 0
    if found.targets.ndim == 2 and len(found.targets) == len(tokens) and 1 < found.targets.shape[1] < tokens.shape[1]:
        skipped = tokens.shape[1] - found.targets.shape[1]
    rest = tokens[:, skipped:]
    if found.targets.numel() != rest.numel():
        return None
    targets, counts = found.targets.reshape(rest.shape), found.counts.reshape(rest.shape)
    if not skipped and 1.0 == max(_matches(rest.T, targets.T, counts.T).values()) > max(_matches(rest, targets, counts).values()):
        return Sequence(rest.T, targets.T, counts.T, 0, 0)
    return Sequence(rest, targets, counts, 1, skipped)


def _matches(tokens, targets, counts):
    """By how many words ahead: the share of the targets that stand there."""
    found, length = {}, tokens.shape[1]
    for ahead in SHIFTS:
        if ahead < length:
            same, counted = tokens[:, ahead:] == targets[:, : length - ahead], counts[:, : length - ahead]
            found[ahead] = float(same[counted].double().mean()) if int(counted.sum()) >= ENOUGH else 0.0
    return found or {1: 0.0}


def words_ahead(subject):
    """How many words ahead each target stands: 0, 1 or 2; None where no such number fits."""
    found = sequence(subject)
    if found is None:
        return None
    shares = _matches(found.tokens, found.targets, found.counts)
    best = max(shares, key=lambda ahead: (shares[ahead], ahead == 1))
    return best if shares[best] >= MATCH else None


def padding_of(tokens):
    """The id that fills up rows of different lengths, or None: it stands at their ends (or beginnings) only.

    Parameters
    ----------
    tokens : torch.Tensor of int, shape (B, T)
    """
    for rows in (tokens, tokens.flip(1)):
        ids = rows[:, -1]
        for candidate in ids.unique():
            same = rows == candidate
            runs = same.flip(1).int().cumprod(1).sum(1)  # how many at the end of each row
            if int(same.sum()) == int(runs.sum()) and int((runs >= 2).sum()) >= 2 and len(runs[runs < rows.shape[1]].unique()) >= 2:
                return int(candidate)
    return None


def _which_targets_count(subject):
    found = wanted(subject)
    numbers = {"padding that counts": 0.0, "a class that does not count": 0.0}
    row = sequence(subject)
    padding = padding_of(row.tokens) if row is not None else None
    if padding is not None:
        numbers["padding that counts"] = float((row.counts & (row.tokens == padding) & (row.targets == padding)).sum())
    stated = _stated_targets(subject, found)
    if stated is not None:
        for word in stated[~found.counts].unique().tolist():
            here = stated == word
            silent = not bool((here & found.counts).any())
            others = bool(found.counts[~here & (stated >= 0) & (stated < found.outputs.shape[-1])].all())
            if silent and others and 0 <= word < found.outputs.shape[-1] and word != padding and bool(found.counts.any()):
                numbers["a class that does not count"] += float(here.sum())
    return numbers


def _stated_targets(subject, found):
    """The targets as they were handed over, where they lie place by place as the loss wants them; else None."""
    for target in tensors_in(subject.targets):
        if not target.is_floating_point() and target.dtype != torch.bool and target.numel() == found.targets.numel():
            laid = target.reshape(found.targets.shape)
            if bool(found.counts.any()) and bool((laid == found.targets)[found.counts].all()):
                return laid
    return None


def _is_probability(values, axis):
    """Whether numbers along an axis are above 0 and sum to 1."""
    return bool((values >= 0.0).all()) and bool(((values.sum(axis) - 1.0).abs() < 1e-4).all()) and values.shape[axis] > 1


def _recompute_the_loss(subject):
    """Is the loss a mean cross-entropy of the outputs? Numbers as the kit's instrument has them, and what else can be told."""
    found = wanted(subject)
    outputs, targets, counts = found.outputs.double(), found.targets, found.counts
    reported, _ = gradient_by_outputs(subject)

    def mean(values, axis=-1):
        chosen = torch.log_softmax(values, axis).gather(-1, targets[..., None])[..., 0]
        return float(-chosen[counts].mean())

    by_hand, twice = mean(outputs), mean(torch.softmax(outputs, -1))
    probabilities = _is_probability(outputs, -1)
    takes_logits = _is_unmoved_along(subject, found.axis, reported)
    elsewhere = [a for a in range(outputs.ndim - 1) if outputs.shape[a] > 1]
    over_others = [mean(outputs, axis) for axis in elsewhere]
    meets = min(over_others, key=lambda value: abs(value - reported), default=by_hand + 1.0)
    wrong = [a for a in elsewhere if not probabilities and (_is_probability(outputs, a) or _is_probability(outputs.exp(), a))]
    return {
        "reported": reported,
        "by hand": by_hand,
        "targets": float(counts.sum()),
        "of the last sequence": by_hand,
        "over the positions": meets,
        "of a second softmax": twice,
        "outputs that sum to 1, where the loss takes logits": float(probabilities and takes_logits),
        "outputs that sum to 1 along another axis": float(bool(wrong)),
    }


def _is_unmoved_along(subject, axis, reported):
    """Whether the loss stays when one number is added to all outputs of a place: then it takes a softmax itself."""
    shape = list(subject.main.shape)
    shape[axis] = 1
    shift = torch.linspace(0.5, 1.5, int(torch.tensor(shape).prod())).reshape(shape).to(subject.main.dtype)
    return abs(gradient_by_outputs(subject, shift)[0] - reported) < 1e-4 * max(abs(reported), 1e-3)


def _squashed_twice(subject):
    """Whether outputs of a sigmoid go into a loss that takes one itself."""
    main = subject.main.double()
    target = next((t for t in tensors_in(subject.targets) if t.numel() == main.numel()), None)
    if target is None or float(main.min()) < 0.0 or float(main.max()) > 1.0:
        return {"squashed twice": 0.0}
    labels = target.reshape(main.shape).double()
    if float(labels.min()) < 0.0 or float(labels.max()) > 1.0:
        return {"squashed twice": 0.0}
    reported, _ = gradient_by_outputs(subject)
    means = (float(torch.nn.functional.binary_cross_entropy_with_logits(main, labels, reduction=kind)) for kind in ("mean", "sum"))
    return {"squashed twice": float(any(abs(reported - value) < 1e-4 * abs(value) for value in means))}


def _paired(subject):
    """Whether each output's gradient goes by its own target alone: a (B, 1) beside a (B,) makes B times B differences of them."""
    main, target = subject.main, next(t for t in tensors_in(subject.targets) if t.is_floating_point())
    _, before = gradient_by_outputs(subject)
    if main.shape == target.shape or main.numel() != target.numel() or before is None:
        return {"outputs moved by another's target": 0.0}
    moved = target.clone()
    moved.view(-1)[0] += 1.0 + float(target.abs().mean())
    given = main.detach().requires_grad_()
    with quiet(), torch.enable_grad():
        value = subject.loss(exchanged(subject.outputs, main, given), exchanged(subject.targets, target, moved))
        after = torch.autograd.grad(value, given)[0]
    return {"outputs moved by another's target": float(((after - before).abs().view(-1)[1:] > 1e-9).double().mean())}


def by_classes(subject):
    """Why an instrument of classes does not apply, or nothing."""
    if subject.main is None:
        return "the module returns no outputs but its loss"
    return "" if wanted(subject) is not None else "the loss is none of classes, one wanted at each place"


def by_words(subject):
    """Why an instrument of words does not apply, or nothing."""
    return by_classes(subject) or ("" if sequence(subject) is not None else "the outputs are not words by words")


def by_numbers(subject):
    """Why an instrument of a loss between numbers does not apply, or nothing."""
    fractions = subject.main is not None and any(t.is_floating_point() for t in tensors_in(subject.targets))
    return "" if fractions and wanted(subject) is None else "the targets are no numbers with fractions"


_KIT = kit.ALL
INSTRUMENTS = (
    (Instrument("which targets count", 2, _which_targets_count, (
        Word("padding counts in the loss", lambda n: n["padding that counts"] >= 2.0, "what fills up a row is no word to be learnt"),
        Word("a class counts for nothing", lambda n: n["a class that does not count"] > 0.0, "a real word or class has a part in the loss"),
    ), "Which places have a part in the loss?"), by_classes),
    (Instrument("recompute the loss", 3, _recompute_the_loss, (
        *(w for w in _KIT["recompute the loss"].words if "softmax" in w.name),
        Word("outputs are probabilities, and the loss takes logits",
             lambda n: n["outputs that sum to 1, where the loss takes logits"] > 0.0, "a softmax of a softmax is nearly even"),
        Word("outputs sum to 1 along another axis than the classes",
             lambda n: n["outputs that sum to 1 along another axis"] > 0.0, "probabilities of classes sum to 1 over the classes"),
    ), _KIT["recompute the loss"].asks), by_classes),
    (Instrument("two sigmoids", 2, _squashed_twice, (
        Word("outputs of a sigmoid, and the loss takes another", lambda n: n["squashed twice"] > 0.0,
             "a loss with logits squashes by itself"),
    ), "Does the loss squash what was squashed?"), by_numbers),
    (Instrument("targets one by one", 2, _paired, (
        Word("each output is held against every target", lambda n: n["outputs moved by another's target"] > 0.5,
             "shapes that differ are broadcast, and a mean over all pairs is learnt"),
    ), "Does an output go by its own target?"), by_numbers),
)  # fmt: skip
