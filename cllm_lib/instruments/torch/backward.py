"""Instruments that look at gradients: weights that get none though the loss feels them, and gradients that are wrong."""

import copy
import time

import numpy as np
import torch

from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.kit.gradient_checks import WRONG
from cllm_lib.instruments.slopes import FAINT, rounding_of, slopes_along
from cllm_lib.instruments.torch.inside import always, watched
from cllm_lib.instruments.torch.structures import dense, tensors_in
from cllm_lib.instruments.torch.subject import once, quiet, without_dropout

FELT = 1e-3  # of the loss, or of its gradient's promise: what a change of a tenth of the weights does at least
SECONDS = 0.8  # for nudges, on a machine that is very busy
NUDGED = 2e8  # weights times numbers that come in times tensors: how many tensors are nudged, the same on every machine


@once
def gradients(subject):
    """By name; None where autograd gives none. In evaluation mode."""
    module = subject.still
    module.zero_grad(set_to_none=True)
    with quiet():
        value = subject.loss_of(module, *subject.pair())
        if value.requires_grad:
            value.backward()
    found = {name: None if p.grad is None else dense(p.grad) for name, p in module.named_parameters() if p.requires_grad}
    for p in module.parameters():
        p.grad = None
    return float(value.detach()), found


def _felt(subject, name, value):
    """Whether the loss changes when a tensor does: by a tenth of its size, or a tenth where it is zero."""
    parameter = subject.parameters[name]
    kept = parameter.detach().clone()
    size = float(kept.norm()) / kept.numel() ** 0.5 or 1.0
    generator = torch.Generator().manual_seed(1)
    moved = []
    with torch.no_grad(), quiet():
        try:
            for scale in (0.1, 0.3):
                parameter.copy_(kept + scale * size * torch.randn(kept.shape, generator=generator).to(kept.dtype))
                moved.append(abs(float(subject.loss_of(subject.still, *subject.pair())) - value))
        finally:  # a loss may raise, and others look at the same copy
            parameter.copy_(kept)
    floor = 1e-7 if subject.exact else 1e-4
    return min(moved) > floor * max(abs(value), 1e-3)


def _which_get_none(subject):
    """Weights to be trained that get no gradient, though the loss changes with them."""
    value, found = gradients(subject)
    none = [name for name, gradient in found.items() if gradient is None or not bool(gradient.any())]
    with quiet():
        jumps = watched(subject).jumps
        graph = _has_graph(subject)
    # Where something is chosen, what was not chosen gets a gradient of 0, and a large change makes it the chosen one.
    felt = [name for name in none if (found[name] is None or not jumps) and _felt(subject, name, value)]
    felt = [name for name in felt if name not in _trained_only(subject)] if felt else []
    known = {id(p) for p in subject.still.parameters()}
    strangers = [leaf for leaf in leaves_of(subject, subject.still) if id(leaf) not in known]
    return {
        "tensors": float(len(found)),
        "felt, without a gradient": float(len(felt)),
        "graphs": float(graph),
        "not the module's, with a gradient": float(len(strangers)),
    }


def _has_graph(subject):
    """Whether the loss depends on any weight, in evaluation or in training mode."""
    if any(gradient is not None for gradient in gradients(subject)[1].values()):
        return True
    in_training = without_dropout(copy.deepcopy(subject.still)).train()
    return any(subject.loss_of(module, *subject.pair()).grad_fn is not None for module in (subject.still, in_training))


def _trained_only(subject):
    """Names of weights that get a gradient in training mode, as where evaluation uses a running mean of them."""
    module = without_dropout(copy.deepcopy(subject.still)).train()
    with quiet():
        value = subject.loss_of(module, *subject.pair())
        if value.requires_grad:
            value.backward()
    return {name for name, p in module.named_parameters() if p.grad is not None and bool(dense(p.grad).any())}


def leaves_of(subject, module):
    """All tensors that want a gradient and are in the graph of the loss; those of the loss itself left out.

    Returns
    -------
    list of torch.Tensor
    """
    with quiet():
        value = subject.loss_of(module, *(subject.pair() if module is subject.still else subject.pairs[0]))
    own = {id(p) for p in subject.loss.parameters()} if isinstance(subject.loss, torch.nn.Module) else set()
    found, queue, known = {}, [value.grad_fn], set()
    while queue:
        node = queue.pop()
        if node is None or node in known:
            continue
        known.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in own:
            found[id(leaf)] = leaf
        queue += [after for after, _ in node.next_functions]
    return list(found.values())


def _nudges(subject):
    """The gradient check of the kit, in float64: each tensor along its gradient and along a random direction."""
    value, found = gradients(subject)
    parameters = {name: p for name, p in subject.parameters.items() if found.get(name) is not None}
    whole = sum(float(found[name].norm()) ** 2 for name in parameters) ** 0.5
    generator, wrong, checked, began = np.random.default_rng(0), [], 0, time.perf_counter()
    pair = subject.pair()

    def loss():
        with torch.no_grad(), quiet():
            return float(subject.loss_of(subject.still, *pair))

    first = max(parameters.values(), key=lambda p: p.numel()).detach().numpy()
    rounding, blur = rounding_of(loss, first, value, generator), FAINT * whole
    for name in _chosen(subject, list(parameters)):
        parameter = parameters[name]
        if time.perf_counter() - began > SECONDS:
            break
        weights, gradient = _that_learn(subject, name, parameter.detach().numpy(), found[name].numpy())
        checked += 1
        slopes = slopes_along(loss, weights, gradient, rounding, blur, generator)
        errors = [abs(s.promised - s.measured) / max(abs(s.promised), abs(s.measured)) for s in slopes if s.differs(blur)]
        if max(errors, default=0.0) >= WRONG and not _at_a_kink(loss, weights, gradient, value):
            wrong.append(name)
    seen = watched(subject)
    jumps = 1.0 if seen.jumps else 0.0
    return {
        "tensors": float(len(parameters)), "checked": float(checked), "wrong": 0.0 if jumps else float(len(wrong)),
        "detached": float(seen.cuts), "jumps": jumps,
    }  # fmt: skip


def _chosen(subject, names):
    """All tensors of a small model; of a larger one some, from first to last."""
    weights = sum(p.numel() for p in subject.parameters.values())
    numbers = sum(t.numel() for t in tensors_in(subject.inputs))
    count = min(len(names), max(2, int(NUDGED / max(weights * numbers, 1))))
    return [names[round(k * (len(names) - 1) / max(count - 1, 1))] for k in range(count)]


def _that_learn(subject, name, weights, gradient):
    """Weights and gradient without the row for padding, which an embedding keeps as it is."""
    module = next((m for m in subject.still.modules() if getattr(m, "weight", None) is subject.parameters[name]), None)
    padding = getattr(module, "padding_idx", None)
    if padding is None:
        return weights, gradient
    rows = slice(padding + 1, None) if padding < len(weights) // 2 else slice(0, padding)
    return weights[rows], gradient[rows]


def _at_a_kink(loss, weights, gradient, value):
    """Whether the loss has two slopes here, forth and back, as where units of a rectifier are at 0 exactly.

    What they differ by stays with a step ten times shorter; of a smooth loss it goes down with the step.
    """
    kept, size = weights.copy(), max(1.0, float(np.linalg.norm(weights)))
    for direction in (gradient, *np.random.default_rng(2).standard_normal((2, *weights.shape))):
        length = float(np.linalg.norm(direction))
        if not length:
            continue
        bends, gaps = [], []
        for step in (1e-6 * size, 1e-7 * size):
            sides = []
            for sign in (1.0, -1.0):
                weights[...] = kept + sign * step / length * direction
                sides.append(sign * (loss() - value) / step)
            bends.append(abs(sides[0] - sides[1]))
            gaps.append(abs(float(np.vdot(gradient, direction)) / length - sum(sides) / 2))
        weights[...] = kept
        if bends[1] > max(0.5 * bends[0], 0.01 * max(gaps)):
            return True
    return False


def _in_double(subject):
    if not subject.exact:
        return "a part of the module computes in float32, whatever the type of its weights"
    value, found = gradients(subject)
    if not any(gradient is not None and bool(gradient.any()) for gradient in found.values()):
        return "there is no gradient"
    return "" if value == value and abs(value) != float("inf") else "the loss is no number"


INSTRUMENTS = (
    (Instrument("gradients", 2, _which_get_none, (
        Word("weights that the loss feels get no gradient", lambda n: n["felt, without a gradient"] > 0.0,
             "a loss that depends on weights has a gradient"),
        Word("the loss has no graph", lambda n: n["graphs"] == 0.0 < n["tensors"], "a loss that depends on weights has a gradient"),
        Word("weights that the module does not name get a gradient", lambda n: n["not the module's, with a gradient"] > 0.0,
             "parameters() names what is to be trained"),
    ), "Which weights get a gradient?"), always),
    (Instrument("gradient check", 3, _nudges, (
        Word("the gradient forgets a part that was detached", lambda n: n["wrong"] > 0.0 < n["detached"],
             "a right gradient agrees with the slope it promises, in float64 to six digits"),
        Word("wrong somewhere", lambda n: n["wrong"] > 0.0 == n["detached"],
             "a right gradient agrees with the slope it promises, in float64 to six digits"),
    ), "Does the loss follow the gradient?"), _in_double),
)  # fmt: skip
