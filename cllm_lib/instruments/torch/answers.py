"""Instruments that look at the loss: which places count, and whether it is what it should be of the outputs."""

import torch
from torch import nn

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.torch.inside import watched
from cllm_lib.instruments.torch.layout import padding_of, sequence
from cllm_lib.instruments.torch.structures import exchanged, tensors_in
from cllm_lib.instruments.torch.subject import quiet
from cllm_lib.instruments.torch.wants import gradient_by_outputs, labels_of, wanted


def _which_targets_count(subject):
    found = wanted(subject)
    numbers = {"padding that counts": 0.0, "a class that does not count": 0.0}
    row = sequence(subject)
    padding = padding_of(row.tokens) if row is not None else None
    told = {m.padding_idx for m in subject.still.modules() if isinstance(m, nn.Embedding)}
    if padding is not None and (padding in told or padding_of(row.tokens, surely=True) is not None):
        numbers["padding that counts"] = float((row.counts & (row.tokens == padding) & (row.targets == padding)).sum())
    stated = _stated_targets(subject, found)
    if stated is not None:
        padding = padding_of(stated) if padding is None and stated.ndim == 2 else padding
        for word in stated[~found.counts].unique().tolist():
            here = stated == word
            silent = not bool((here & found.counts).any())
            others = bool(found.counts[~here & (stated >= 0) & (stated < found.outputs.shape[-1])].all())
            if silent and others and 0 <= word < found.outputs.shape[-1] and word != padding and bool(found.counts.any()):
                numbers["a class that does not count"] += float(here.sum())
    return numbers


def _stated_targets(subject, found):
    """The targets as they were handed over, where they lie place by place as the loss wants them; else None."""
    for target in labels_of(subject):
        if target.dtype != torch.bool and target.numel() == found.targets.numel():
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
        "probabilities, where the loss is linear in them": float(probabilities and _is_linear(subject, found)),
    }


def _is_unmoved_along(subject, axis, reported):
    """Whether the loss stays when one number is added to all outputs of a place: then it takes a softmax itself."""
    shape = list(subject.main.shape)
    shape[axis] = 1
    shift = torch.linspace(0.5, 1.5, int(torch.tensor(shape).prod())).reshape(shape).to(subject.main.dtype)
    return abs(gradient_by_outputs(subject, shift)[0] - reported) < 1e-4 * max(abs(reported), 1e-3)


def _is_linear(subject, found):
    """Whether the loss is minus the mean of the outputs at the targets, without a logarithm."""
    _, gradient = gradient_by_outputs(subject)
    chosen = gradient.movedim(found.axis, -1).gather(-1, found.targets[..., None])[..., 0][found.counts]
    others = float(gradient.abs().sum()) - float(chosen.abs().sum())
    return bool((chosen - chosen.mean()).abs().max() < 1e-6 * chosen.abs().max()) and others < 1e-6 * float(chosen.abs().sum())


def _squashed_twice(subject):
    """Whether outputs of a sigmoid go into a loss that takes one itself."""
    main = subject.main.detach().double()
    target = next((t for t in tensors_in(subject.targets) if t.numel() == main.numel()), None)
    seen = watched(subject)
    squashed = [values for kind, values in seen.units if kind == "sigmoid" and values.numel() == main.numel()]
    if target is None or not any(torch.equal(values.flatten().double().sort()[0], main.flatten().sort()[0]) for values in squashed):
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
    moved = target.clone(memory_format=torch.contiguous_format)
    lowest = int(moved.argmin())  # moved past all outputs, so that a loss of sizes, whose slope is a sign, feels it at most of them
    moved.view(-1)[lowest] = 1.0 + 2.0 * max(float(target.abs().max()), float(main.detach().abs().max()))
    given = main.detach().requires_grad_()
    with quiet(), torch.enable_grad():
        value = subject.loss(exchanged(subject.outputs, main, given), exchanged(subject.targets, target, moved))
        after = torch.autograd.grad(value, given)[0]
    apart = (after - before).abs().flatten() > 1e-9
    return {"outputs moved by another's target": float(apart[torch.arange(len(apart)) != lowest].double().mean())}


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
        Word("outputs are probabilities, and the loss takes logarithms",
             lambda n: n["probabilities, where the loss is linear in them"] > 0.0, "-log p is the loss, and -p is not"),
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
