"""Instruments of the loop: which weights the optimizer holds, and what of a gradient reaches it."""

import math

import torch
from torch import nn

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.torch.backward import gradients
from cllm_lib.instruments.torch.running import SIXTEEN, cosine, flat, followed, has_optimizer, median, runs, usable
from cllm_lib.instruments.torch.structures import mapped
from cllm_lib.instruments.torch.subject import quiet, without_dropout

NO_STEP = {
    "steps of the optimizer": 0.0, "share of its own": 1.0, "share of the last batch's": 0.0, "received, of its own": 1.0,
    "gradients made": 1.0, "gradients that arrive": 1.0, "lost to rounding": 0.0, "batches a step": 0.0,
    "weight of the first of them": 1.0, "mean of their weights": 1.0,
}  # fmt: skip


def _leftover(subject):
    """How much of its own batch, and of the last one, is in what the optimizer receives; with words of the kit."""
    run = followed(subject)
    steps = [(call, received) for call in run.calls for received in call.received]
    if not steps:
        return NO_STEP
    each = len(steps) >= len(run.calls)
    pairs = [(call.own, received) for call, received in steps] if each else []
    turned = [cosine(own, received) for own, received in pairs if usable(own, received)]
    ratios = [float(received.norm() / own.norm()) for own, received in pairs if usable(own, received)]
    first, whole, count = _accumulated(run)
    return {
        "steps of the optimizer": float(len(steps)),
        "share of its own": -1.0 if turned and max(turned) < -0.5 else 1.0,
        "share of the last batch's": float(run.left is True),
        "received, of its own": median(ratios) if ratios and (median(turned) > 0.2 or max(ratios) == 0.0) else 1.0,
        "gradients made": float(sum(call.made for call in run.calls)),
        "gradients that arrive": float(sum(call.arrived for call in run.calls)),
        "lost to rounding": _lost(subject, run),
        "batches a step": count,
        "weight of the first of them": first,
        "mean of their weights": whole,
    }


def _accumulated(run):
    """Where the optimizer steps after several batches: how much of each is in what it receives.

    Returns
    -------
    first : float
        Weight of the first batch beside that of the last: 1 if all count alike.
    whole : float
        The mean of all weights: 1 for a mean over the batches, their number for a sum.
    count : float
        Batches a step.
    """
    several, current = [], []
    for call in run.calls:
        current.append(call.own)
        if call.received:
            gradients_of = call.parts if len(current) == 1 and len(call.received) == 1 else [own / len(current) for own in current]
            if len(gradients_of) > 1 and all(usable(own, call.received[-1]) for own in gradients_of):
                several.append((gradients_of, call.received[-1]))
            current = []
    if not several:
        return 1.0, 1.0, 1.0
    found = []
    for cycle, received in several:
        basis = torch.stack(cycle, 1)
        mean = basis.sum(1)
        along = float(received @ mean / (mean @ mean))
        singular = torch.linalg.svdvals(basis / basis.norm(dim=0))
        if float(singular[-1]) > 1e-3:  # gradients that can be told apart
            weights = torch.linalg.lstsq(basis, received[:, None]).solution[:, 0]
            found.append(
                (float(weights[0] / weights[-1]) if abs(float(weights[-1])) > 1e-9 else math.inf, float(weights.mean()), len(cycle))
            )
        else:
            found.append((1.0, along, len(cycle)))
    return tuple(median([one[k] for one in found]) for k in range(3))


def _lost(subject, run):
    """Share of the gradient's numbers that reach the optimizer as 0, and are none in float32; and of weights too coarse for their step."""
    call = next((call for call in run.calls if call.received and call.own is not None), None)
    if call is None:
        return 0.0
    module = without_dropout(subject.fresh())
    sixteen = any(p.dtype in SIXTEEN for p in module.parameters())
    own, received = call.own, call.received[0]
    if not bool(received.any()) and not sixteen and not run.kinds & set(SIXTEEN):
        return 0.0  # cut off by something else
    if sixteen:
        own = _in_single(subject, module, run)
        if own is None:
            return 0.0
    if not usable(own, received) or own.shape != received.shape:
        return 0.0
    there = own.abs() > 1e-30
    lost = float((there & (received == 0.0)).double().sum() / max(int(there.sum()), 1))
    if sixteen and max(call.rates, default=0.0) > 0.0:
        moving = torch.ones_like(call.before, dtype=torch.bool)
        for later in run.calls:
            moving &= later.before == later.after
        pushed = (received != 0.0) & (call.before != 0.0)
        lost = max(lost, float((moving & pushed).double().sum() / max(int(pushed.sum()), 1)) - 0.4)  # half of them, at least
    return lost if lost > 0.1 else 0.0


def _in_single(subject, module, run):
    """The gradient of the first batch in float32."""
    single, (inputs, targets) = module.float(), subject.pairs[0]
    inputs, targets = (mapped(side, lambda t: t.float() if t.is_floating_point() else t) for side in (inputs, targets))
    try:
        single.train(bool(run.mode))
        with quiet(), torch.enable_grad():
            subject.loss(single(inputs), targets).backward()
    except (RuntimeError, TypeError):
        return None
    return flat(single, "gradients")


def _static(subject):
    """Which weights the optimizer holds, of the module as it was handed over."""
    module, optimizer, _ = subject.originals
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    parameters = dict(module.named_parameters())
    owned = {id(p) for p in parameters.values()}
    of_loss = {id(p) for p in subject.loss.parameters()} if isinstance(subject.loss, nn.Module) else set()
    used = _used(subject)
    missing = [name for name, p in parameters.items() if id(p) not in held and p.requires_grad and name in used]
    foreign = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in owned and id(p) not in of_loss]
    frozen = [name for name, p in parameters.items() if id(p) in held and not p.requires_grad]
    return {
        "tensors": float(len(owned)),
        "missing": float(len(missing)),
        "not the module's": float(len(foreign)),
        "held, and frozen": float(len(frozen)),
    }


def _used(subject):
    """Names of weights that get a gradient."""
    return {name for name, gradient in gradients(subject)[1].items() if gradient is not None and bool(gradient.any())}


_KIT = kit.ALL


INSTRUMENTS = (
    (Instrument("what the optimizer holds", 2, _static, (
        Word("it holds weights that are not the module's, and lacks some that are", lambda n: n["not the module's"] > 0.0 < n["missing"],
             "a step changes what the optimizer was given when it was made"),
        Word("weights to be trained are missing in it", lambda n: n["missing"] > 0.0 == n["not the module's"],
             "a step changes what the optimizer was given when it was made"),
        Word("it holds weights that want no gradient", lambda n: n["held, and frozen"] > 0.0, "what gets no gradient is never changed"),
    ), "Are the optimizer's weights the module's?"), has_optimizer),
    (Instrument("leftover gradients", 3, _leftover, (
        Word("no step is made", lambda n: n["steps of the optimizer"] == 0.0, "training changes weights"),
        *_KIT["leftover gradients"].only("the last batch's gradient is in it", "its own batch's gradient is turned round"),
        Word("no gradient is made", lambda n: n["gradients made"] == 0.0, "a backward pass leaves a gradient"),
        Word("gradients are made, and cleared before the step", lambda n: n["gradients made"] > 0.0 == n["gradients that arrive"],
             "a step goes by the gradient"),
        Word("next to nothing of the gradient arrives", lambda n: n["received, of its own"] < 0.01,
             "clipping is for gradients that are too long: the usual limit is 1"),
        Word("of several batches one counts alone", lambda n: n["batches a step"] > 1.0 and n["weight of the first of them"] < 0.1,
             "accumulation adds up the gradients of its batches"),
        Word("several batches are added up, and not divided", lambda n: n["batches a step"] > 1.0 and
             n["weight of the first of them"] >= 0.1 and n["mean of their weights"] > 0.7 * n["batches a step"],
             "accumulation stands for the mean over a larger batch"),
        Word("small numbers of 16 bits are lost", lambda n: n["lost to rounding"] > 0.0, "float16 has no number between 0 and 6e-8"),
    ), _KIT["leftover gradients"].asks), runs),
)  # fmt: skip
