"""Instruments that look inside: noise, weights at zero, units that are dead or saturated, and axes of softmaxes."""

import copy

import torch
from torch import nn

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.torch.structures import is_finite, tensors_in
from cllm_lib.instruments.torch.subject import once, quiet
from cllm_lib.instruments.torch.watching import watch

DEAD = 0.8  # of a layer's units; by chance half of them are off for inputs that are all alike
SATURATED = 0.99
SURE = 0.999  # of one weight of attention
STEPS = 4  # of plain descent, to see what zeros do


def _repeat(subject):
    """Outputs in evaluation mode, three times, with other random numbers."""
    module, spread = subject.fresh().eval(), 0.0
    with quiet(), torch.no_grad():
        found = []
        for seed in range(3):
            torch.manual_seed(seed)
            found.append([t.double() for t in tensors_in(module(subject.pairs[0][0])) if t.is_floating_point()])
        seen = watch(module, lambda: module(subject.pairs[0][0]))
    for other in found[1:]:
        spread = max([spread, *(float((a - b).abs().nan_to_num(0.0).max()) for a, b in zip(found[0], other, strict=True))])
    # A variational autoencoder draws numbers by design, and so does who chooses: they are held still by a seed and looked at.
    noise = seen.drops or (seen.noise and not seen.jumps)
    return {"spread of three losses": spread if noise else 0.0, "training less evaluation": 0.0, "spread of two gradients": 0.0}


def _is_finite(subject):
    value = float(subject.loss_of(subject.still, *subject.pair()).detach())
    outputs = all(is_finite(t) for t in tensors_in(subject.outputs) if t.is_floating_point())
    weights = all(is_finite(p) for p in subject.still.parameters())
    return {"loss is finite": float(value == value and abs(value) != float("inf")), "outputs are finite": float(outputs),
            "weights are finite": float(weights)}  # fmt: skip


def matrices(module):
    """Weights of two axes and more that take part in products: no embeddings, no tables of positions, no state of one row."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    return {
        name: p
        for name, p in module.named_parameters()
        if p.ndim >= 2 and id(p) not in tables and min(p.shape[0], p[0].numel()) > 1 and p.shape[0] > 1
    }


def _weights(subject):
    """Zeros among the weights, and what four steps of plain descent make of them: what starts at zero on purpose moves."""
    every = {name: p for name, p in subject.still.named_parameters() if p.ndim >= 2}
    flat = [name for name, p in matrices(subject.still).items() if p.requires_grad and _is_flat(p)]
    empty = [name for name in flat if not bool(every[name].any())]
    tables = [name for name, p in every.items() if name not in matrices(subject.still) and not bool(p.any())]
    stuck = _never_freed(subject, flat)
    zero = [name for name in empty if name in stuck]
    return {
        "matrices": float(len(every)),
        "matrices at zero": float(len(zero) + (len(tables) if zero else 0)),
        "matrices of one number": float(len([name for name in flat if name in stuck and name not in empty and _is_wide(every[name])])),
    }


def _has_matrices(subject):
    return "" if any(p.ndim >= 2 for p in subject.still.parameters()) else "it has no matrices"


def _is_wide(matrix):
    """Whether it is more than a few gains, side by side."""
    return min(matrix.shape[0], matrix[0].numel()) >= 4


def _is_flat(matrix):
    """Whether all its numbers are the same."""
    return bool((matrix == matrix.flatten()[0]).all())


def _never_freed(subject, names):
    """Those of the matrices that are still at their one number, or all of whose rows or columns are alike, after some steps."""
    if not names:
        return []
    every = dict(stirred(subject).named_parameters())
    return [name for name in names if _is_flat(every[name]) or _rows_alike(every[name]) or _rows_alike(every[name].transpose(0, 1))]


@once
def stirred(subject):
    """The still copy after some steps of plain descent: what begins at zero on purpose has moved.

    Returns
    -------
    torch.nn.Module
        Not to be changed.
    """
    module = copy.deepcopy(subject.still)
    for _ in range(STEPS):
        with quiet():
            module.zero_grad()
            value = subject.loss_of(module, *subject.pair())
            if not value.requires_grad:
                break
            value.backward()
        length = sum(float(p.grad.norm()) ** 2 for p in module.parameters() if p.grad is not None) ** 0.5
        with torch.no_grad():
            for p in module.parameters():
                if p.grad is not None and length > 0.0:
                    p -= 0.3 * p.grad / length
    return module


def _rows_alike(matrix):
    rows = matrix.detach().flatten(1)
    return bool((rows - rows[0]).abs().max() <= 1e-9 * rows.abs().max())


@once
def watched(subject):
    """What the still copy does with the first batch.

    Returns
    -------
    Seen
    """
    with quiet():
        return watch(subject.still, lambda: subject.outputs_of(subject.still, subject.inputs))


def _units(subject):
    """Units of rectifiers, and of tanh and sigmoid between input and output, over all batches."""
    dead, full, sites = 0.0, 0.0, {}
    for number in range(min(4, len(subject.pairs))):
        inputs, _ = subject.pair(number)
        with quiet():
            seen = watch(subject.still, lambda inputs=inputs: subject.outputs_of(subject.still, inputs))
        final = max((t.numel() for t in tensors_in(subject.outputs) if t.is_floating_point()), default=0)
        for place, (kind, values) in enumerate(seen.units):
            if values.ndim < 2 or (kind != "relu" and values.numel() == final):
                continue
            sites.setdefault((place, kind), []).append(values.reshape(-1, values.shape[-1]).double())
    for (_, kind), values in sites.items():
        values = torch.cat(values)
        if kind == "relu":
            dead = max(dead, float((values <= 0.0).all(0).double().mean()))
        else:
            wide = values.abs() if kind == "tanh" else (2.0 * values - 1.0).abs()
            full = max(full, float((wide > SATURATED).double().mean()))
    full = max(full, _recurrent_saturation(subject))
    return {"units that never change": dead, "units saturated": full}


def _recurrent_saturation(subject):
    """Share of a recurrent layer's outputs beyond 0.99; the layer computes where nobody can watch."""
    found = []

    def look(module, inputs, outputs):
        found.append(float((tensors_in(outputs)[0].detach().abs() > SATURATED).double().mean()))

    hooks = [m.register_forward_hook(look) for m in subject.still.modules() if isinstance(m, nn.RNN | nn.LSTM | nn.GRU)]
    try:
        subject.outputs_of(subject.still, subject.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return max(found, default=0.0)


def _softmaxes(subject):
    """Softmaxes of square scores, word by word: do they run over the keys, and is one weight of a row all there is?"""
    seen = watched(subject)
    squares, others = [], []
    for w, axis in seen.softmaxes:
        (squares if w.ndim >= 3 and w.shape[-1] == w.shape[-2] > 1 else others).append((w, axis))
    wrong = sum(axis != w.ndim - 1 for w, axis in squares)
    wrong += sum(axis == 0 and w.ndim > 1 and w.shape[0] > 1 for w, axis in others)
    wrong += sum(w.shape[axis] == 1 < w.numel() for w, axis in seen.softmaxes)  # each is 1
    sure = [float((w[..., 1:, :].amax(-1) > SURE).double().mean()) for w, axis in squares if axis == w.ndim - 1]
    return {"softmaxes": float(len(squares)), "over another axis": float(wrong), "rows of one weight": max(sure, default=0.0)}


def _has_softmaxes(subject):
    seen = watched(subject)
    return "" if seen.softmaxes else "no softmax was seen in it"


def always(subject):
    """An instrument that applies to every module."""
    return ""


_KIT = kit.ALL


REPEAT = (Instrument("repeat", 2, _repeat, _KIT["repeat"].only("the same batch, other losses"), _KIT["repeat"].asks), always)
INSTRUMENTS = (
    (Instrument("is it finite", 2, _is_finite, (
        Word("weights that are no numbers", lambda n: n["weights are finite"] == 0.0, "a weight is a number"),
        Word("no number comes out", lambda n: n["weights are finite"] > n["outputs are finite"], "a finite batch gives finite outputs"),
        Word("the loss is no number", lambda n: n["outputs are finite"] > n["loss is finite"], "finite outputs have a finite loss"),
    ), "Are weights, outputs and loss numbers?"), always),
    (Instrument("weights", 2, _weights, _KIT["weights"].only("every matrix is zero", "some matrices are zero",
                                                           "a matrix holds one number only"),
                _KIT["weights"].asks), _has_matrices),
    (Instrument("activation statistics", 3, _units, (
        Word("hidden units that never change", lambda n: n["units that never change"] > DEAD,
             "of units with drawn weights half are off for one input, and fewer for many"),
        *_KIT["activation statistics"].only("most hidden units are saturated"),
    ), _KIT["activation statistics"].asks), always),
    (Instrument("softmaxes", 2, _softmaxes, (
        Word("a softmax over another axis than the keys", lambda n: n["over another axis"] > 0.0,
             "a row of attention sums to 1 over the keys"),
        Word("each row of attention sees one place only", lambda n: n["rows of one weight"] > 0.9,
             "scores divided by sqrt(d) lie about 1 apart"),
    ), "Over which axis do they sum to 1?"), _has_softmaxes),
)  # fmt: skip
