"""The reader's own loop, run on copies: what each of its calls did."""

import contextlib
import copy
import math
import time

import torch

from cllm_lib.instruments.torch.structures import dense, is_finite, mapped, tensors_in
from cllm_lib.instruments.torch.subject import SEED, on_cpu, once, quiet, seeded, without_dropout
from cllm_lib.instruments.torch.watching import kinds_into

CALLS = 12  # of the loop, for one batch each
SECONDS = 0.5  # for them
MOST, PATIENCE = 64, 2.0  # calls of a loop that gathers gradients and makes no step yet, and seconds for them
BY_NAME = "it trains the module by a name of its own: use what the step is given"
ON_CPU = "copies are on the CPU: let the step take the device from its module, next(module.parameters()).device"
SIXTEEN = (torch.float16, torch.bfloat16)
WIDE = 1_000_000  # weights: of fewer all sums are made in float64


class Call:
    """What one call of the loop did.

    Attributes
    ----------
    own : torch.Tensor
        The batch's own gradient, of the weights before the call, made by `loss(module(inputs), targets).backward()`.
    received : list of torch.Tensor
        What the optimizer was handed, for each of its steps.
    rates : list of float
        The largest of the rates of its groups, for each of its steps.
    before, after : torch.Tensor
        All weights.
    pieces : list
        The inputs of each call of the module, where the loop cuts a batch into pieces.
    made, arrived : int
        Gradients of tensors that backward passes made, and that lay there when the optimizer stepped.
    left : torch.Tensor
        The gradients that lay there after the call.
    parts : list of torch.Tensor
        The gradient of each piece, as a share of the whole mean; empty where the pieces are not the batch.
    """

    def __init__(self, before):
        self.before, self.own, self.received, self.rates, self.after, self.left = before, None, [], [], None, None
        self.pieces, self.parts, self.made, self.arrived = [], [], 0, 0


def flat(module, what):
    """One vector of all weights ("weights") or all gradients ("gradients"), zeros where there is none.

    In float64; of a large model in float32, which takes half the time.
    """
    parameters = list(module.parameters())
    size = sum(p.numel() for p in parameters)
    wide = size < WIDE or any(p.dtype == torch.float64 for p in parameters)
    found, start = torch.zeros(size, dtype=torch.float64 if wide else torch.float32), 0
    for p in parameters:
        value = p.detach() if what == "weights" else p.grad
        if value is not None:
            found[start : start + p.numel()] = dense(value.detach()).flatten()
        start += p.numel()
    return found


def is_large(vector):
    """Whether a vector that :func:`flat` made is a large model's."""
    return vector.dtype == torch.float32


def plain_step(subject):
    """A loop as the manual has it: used where the reader gave an optimizer and no loop."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        subject.loss(module(inputs), targets).backward()
        optimizer.step()

    return step


class Run:
    """The loop on copies of module, optimizer and scheduler.

    Attributes
    ----------
    failed : str
        What the loop raised, or nothing.
    calls : list of Call
    left : bool or None
        Whether gradients that lay there before a call were in what the optimizer received.
    """

    def __init__(self, subject, step):
        self.subject, self.step, self.failed, self.calls, self.left = subject, step, "", [], None
        self.module, self.optimizer, self.scheduler = subject.whole()
        without_dropout(self.module)
        self.mode, self._current = None, None
        self.kinds = set()
        self.module.register_forward_pre_hook(lambda module, inputs: self._enters(module, inputs))  # a function: copies share it
        for parameter in self.module.parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda gradient: self._made())
        self.optimizer.register_step_pre_hook(lambda optimizer, *_: self._note(optimizer))

    def _enters(self, module, inputs):
        self.mode = module.training
        if self._current is not None and inputs:
            self._current.pieces.append(inputs[0])

    def _made(self):
        if self._current is not None:
            self._current.made += 1

    def _note(self, optimizer, *_):
        if self._current is not None:
            self._current.arrived += sum(p.grad is not None for p in self.module.parameters())
            self._current.received.append(flat(self.module, "gradients"))
            self._current.rates.append(max(float(group["lr"]) for group in optimizer.param_groups))

    @property
    def least(self):
        """The number of the last call that is made whatever time it takes: two of a large model, if each makes a step."""
        return 1 if is_large(self.calls[-1].before) and all(call.received for call in self.calls) else 3

    def once(self, number, own=True):
        """One call of the loop with one of the batches; False if it raised."""
        inputs, targets = self.subject.pairs[number % len(self.subject.pairs)]
        probe = copy.deepcopy(self.module) if own else None
        self._current = call = Call(self.calls[-1].after if self.calls else flat(self.module, "weights"))
        try:
            seeded(SEED + number)
            with quiet(), torch.enable_grad(), kinds_into(self.kinds) if not self.calls else contextlib.nullcontext():
                self.step(self.module, self.optimizer, self.scheduler, *on_cpu((inputs, targets)))  # a loop may change its batch in place
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"
            return False
        finally:
            self._current = None
        call.after = flat(self.module, "weights")
        if not any(other.received for other in (*self.calls, call)):
            call.left = flat(self.module, "gradients")
        if own:
            call.own = self.own_gradient(copy.deepcopy(probe) if len(call.pieces) > 1 else probe, number)
            call.parts = self._parts(probe, call.pieces, inputs, targets)
        self.calls.append(call)
        return True

    def _parts(self, probe, pieces, inputs, targets):
        """Gradients of the pieces into which a batch was cut, if they make up the batch, row by row."""
        whole, labels = tensors_in(inputs), tensors_in(targets)
        sizes = [len(tensors_in(piece)[0]) for piece in pieces if tensors_in(piece) and tensors_in(piece)[0].ndim]
        if len(sizes) < 2 or not whole or not labels or sum(sizes) != len(whole[0]) or len(labels[0]) != len(whole[0]):
            return []
        found, start = [], 0
        for piece, size in zip(pieces, sizes, strict=True):
            rows = slice(start, start + size)
            cut = mapped(targets, lambda t, rows=rows: t[rows])
            found.append(size / len(whole[0]) * self._gradient(copy.deepcopy(probe), piece, cut))
            start += size
        return found

    def own_gradient(self, probe, number):
        """The gradient of a batch, at the weights of a copy, in the mode in which the loop calls the module."""
        inputs, targets = self.subject.pairs[number % len(self.subject.pairs)]
        seeded(SEED + number)
        return self._gradient(probe, inputs, targets)

    def _gradient(self, probe, inputs, targets):
        probe.train(self.mode if self.mode is not None else probe.training)
        probe.zero_grad(set_to_none=True)
        with quiet(), torch.enable_grad():
            value = self.subject.loss(probe(inputs), targets)
            if value.requires_grad:
                value.backward()
        return flat(probe, "gradients")


def _marked(run):
    """Put a mark into all gradients, call the loop once more, and look for the mark in what the optimizer receives.

    Only where the last call left gradients behind: a loop may clear them at its end.
    """
    gradients = [p.grad for p in run.module.parameters() if p.grad is not None and not p.grad.is_sparse]
    if not any(bool(g.any()) for g in gradients):
        return False
    generator = torch.Generator().manual_seed(3)
    size = max(float(g.abs().max()) for g in gradients)
    with torch.no_grad():
        for g in gradients:
            large = 1e3 if g.dtype in SIXTEEN else 1e8  # a scaler may divide it by some ten thousand
            g.copy_(large * size * torch.randn(g.shape, generator=generator).to(g.dtype))
    mark = flat(run.module, "gradients")
    twin = copy.deepcopy((run.module, run.optimizer, run.scheduler))
    if not run.once(len(run.calls), own=False) or not run.calls[-1].received:
        return None
    received = run.calls.pop().received[0]
    run.module, run.optimizer, run.scheduler = twin  # as they were before it
    if not is_finite(received):
        return True
    return any(cosine(received * part, mark * part) > 0.9 for part in _loudest(run.module, received))


def _loudest(module, received):
    """Masks: of all numbers, and of the tensors whose numbers are the largest by far, if a part was not cleared."""
    pieces = torch.split(received.abs(), [p.numel() for p in module.parameters()])
    largest = [float(piece.max()) for piece in pieces]
    loud = torch.cat([torch.full_like(piece, float(top > 1e-3 * max(largest))) for piece, top in zip(pieces, largest, strict=True)])
    return [torch.ones_like(loud), *([loud] if int(loud.sum()) >= 10 else [])]


def cosine(one, other):
    """Of two vectors; 0 if one is 0 or no number."""
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if 0.0 < size < math.inf else 0.0


def usable(own, received):
    """Whether two gradients can be compared: numbers, and the first not 0."""
    return bool(torch.isfinite(own).all() and is_finite(received)) and float(own.norm()) > 0.0


def median(values):
    """Of a list of float; 0 of none."""
    return float(torch.tensor(values, dtype=torch.float64).median()) if values else 0.0


def _trace(subject):
    """How often each of the originals' weights and gradients was changed, and which gradients they have."""
    return [(p._version, id(p.grad), None if p.grad is None else p.grad._version) for p in subject.originals[0].parameters()]


def _enough(run, seconds):
    """Whether the loop was called often enough: by the clock if it makes steps; else until it is clear that it makes none."""
    count = len(run.calls)
    if any(call.received for call in run.calls):
        return count >= CALLS or (count > run.least and seconds > SECONDS)
    return makes_none(run) or seconds > PATIENCE


def makes_none(run):
    """Whether a loop without a step makes none ever: it clears its gradients each time, or has gathered them for very long."""
    return len(run.calls) >= MOST or (len(run.calls) >= 4 and _clears(run.calls[1:]))


def _clears(calls):
    """Whether what lies in the gradients after each call is its own batch's, always by the same factor; or nothing."""
    factors = [float(call.left.norm() / call.own.norm()) if call.own.any() else 0.0 for call in calls]
    alike = all(factor == 0.0 or cosine(call.left, call.own) > 0.999 for call, factor in zip(calls, factors, strict=True))
    return alike and max(factors) <= 1.01 * min(factors)


@once
def followed(subject):
    """The loop, some calls of it, followed number by number.

    Returns
    -------
    Run
    """
    run, began, originals = Run(subject, subject.step or plain_step(subject)), time.perf_counter(), _trace(subject)
    while not run.calls or (is_finite(run.calls[-1].after) and not _enough(run, time.perf_counter() - began)):
        if not run.once(len(run.calls)):
            break
    stepped = sum(len(call.received) for call in run.calls)
    if not run.failed and not (stepped and any(call.made for call in run.calls)) and _trace(subject) != originals:
        run.failed = BY_NAME
    if not run.failed and run.calls and stepped >= len(run.calls) and is_finite(run.calls[-1].after):
        run.left = _marked(run)
    return run


def has_optimizer(subject):
    """Why an instrument of the optimizer does not apply, or nothing."""
    return "" if subject.originals[1] is not None else "no optimizer was given"


def runs(subject):
    """Why the loop cannot be followed, or nothing."""
    if has_optimizer(subject):
        return has_optimizer(subject)
    run = followed(subject)
    if not run.failed and run.calls and not any(call.received for call in run.calls) and not makes_none(run):
        return f"in {len(run.calls)} calls it made no step, and there was no time to wait for one"
    if run.failed:
        hint = f"; {ON_CPU}" if "device" in run.failed.lower() or "cuda" in run.failed.lower() else ""
        return f"the loop could not be run on copies ({run.failed}{hint})"
    return "" if run.calls else "the loop made no call"
