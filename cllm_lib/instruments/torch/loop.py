"""Instruments that run the reader's own loop, on copies: what reaches the optimizer, at what rate, and what the weights do."""

import contextlib
import copy
import math
import time
from functools import lru_cache
from types import SimpleNamespace

import torch
from torch import nn

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.torch.backward import gradients
from cllm_lib.instruments.torch.structures import mapped, tensors_in
from cllm_lib.instruments.torch.subject import SEED, quiet
from cllm_lib.instruments.torch.watching import kinds_into

CALLS = 12  # of the loop, for one batch each
SECONDS = 0.8  # for them
AHEAD = 200  # steps of a schedule alone
GONE = 0.0101  # of the largest rate
SOON = 30  # steps of a schedule that ends at 0 on purpose
SIXTEEN = (torch.float16, torch.bfloat16)


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
    parts : list of torch.Tensor
        The gradient of each piece, as a share of the whole mean; empty where the pieces are not the batch.
    """

    def __init__(self, before):
        self.before, self.own, self.received, self.rates, self.after = before, None, [], [], None
        self.pieces, self.parts = [], []


def flat(module, what):
    """One vector of all weights ("weights") or all gradients ("gradients"), zeros where there is none."""
    values = ((p.detach() if what == "weights" else p.grad) for p in module.parameters())
    return torch.cat(
        [
            (torch.zeros(p.numel(), dtype=torch.float64) if value is None else value.detach().double().flatten())
            for p, value in zip(module.parameters(), values, strict=True)
        ]
    )


def without_dropout(module):
    """Set every dropout of a module to 0, in place: then its loop can be followed number by number."""
    for inner in module.modules():
        if "dropout" in type(inner).__name__.lower() and hasattr(inner, "p"):
            inner.p = 0.0
        for name in ("dropout", "dropout_p", "attn_dropout", "resid_dropout", "p_drop"):
            if isinstance(getattr(inner, name, None), float):
                setattr(inner, name, 0.0)
    return module


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
        self.mode, self._current, self._factor = None, None, 1.0
        self.kinds = set()
        self.module.register_forward_pre_hook(lambda module, inputs: self._enters(module, inputs))  # a function: copies share it
        self.optimizer.register_step_pre_hook(lambda optimizer, *_: self._note(optimizer))

    def _enters(self, module, inputs):
        self.mode = module.training
        if self._current is not None and inputs:
            self._current.pieces.append(inputs[0])

    def _note(self, optimizer, *_):
        if self._current is not None:
            self._current.received.append(flat(self.module, "gradients"))
            self._current.rates.append(max(float(group["lr"]) for group in optimizer.param_groups))

    def once(self, number, own=True):
        """One call of the loop with one of the batches; False if it raised."""
        inputs, targets = self.subject.pairs[number % len(self.subject.pairs)]
        probe = copy.deepcopy(self.module) if own else None
        self._current = call = Call(flat(self.module, "weights"))
        try:
            torch.manual_seed(SEED + number)
            with quiet(), torch.enable_grad(), kinds_into(self.kinds) if not self.calls else contextlib.nullcontext():
                self.step(self.module, self.optimizer, self.scheduler, inputs, targets)
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"
            return False
        finally:
            self._current = None
        call.after = flat(self.module, "weights")
        if own:
            call.own = self.own_gradient(copy.deepcopy(probe), number)
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
        torch.manual_seed(SEED + number)
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
    gradients = [p.grad for p in run.module.parameters() if p.grad is not None]
    if not gradients or not any(bool(g.any()) for g in gradients):
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
    if not torch.isfinite(received).all():
        return True
    return cosine(received, mark) > 0.9


def cosine(one, other):
    """Of two vectors; 0 if one is 0 or no number."""
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if 0.0 < size < math.inf else 0.0


@lru_cache(maxsize=4)
def followed(subject):
    """The loop, some calls of it, followed number by number.

    Returns
    -------
    Run
    """
    run, began = Run(subject, subject.step or plain_step(subject)), time.perf_counter()
    for number in range(CALLS):
        if not run.once(number) or (number >= 3 and time.perf_counter() - began > SECONDS):
            break
        if not torch.isfinite(run.calls[-1].after).all():
            break
    stepped = sum(len(call.received) for call in run.calls)
    if not run.failed and run.calls and stepped >= len(run.calls) and torch.isfinite(run.calls[-1].after).all():
        run.left = _marked(run)
    return run


def _leftover(subject):
    """How much of its own batch, and of the last one, is in what the optimizer receives; with words of the kit."""
    run = followed(subject)
    steps = [(call, received) for call in run.calls for received in call.received]
    if not steps:
        return {"steps of the optimizer": 0.0, "share of its own": 1.0, "share of the last batch's": 0.0, "received, of its own": 1.0,
                "lost to rounding": 0.0, "batches a step": 0.0, "weight of the first of them": 1.0, "mean of their weights": 1.0}  # fmt: skip
    each = len(steps) >= len(run.calls)
    pairs = [(call.own, received) for call, received in steps] if each else []
    turned = [cosine(own, received) for own, received in pairs if _usable(own, received)]
    ratios = [float(received.norm() / own.norm()) for own, received in pairs if _usable(own, received)]
    first, whole, count = _accumulated(run)
    return {
        "steps of the optimizer": float(len(steps)),
        "share of its own": -1.0 if turned and max(turned) < -0.5 else 1.0,
        "share of the last batch's": float(run.left is True),
        "received, of its own": _median(ratios) if ratios and (_median(turned) > 0.2 or max(ratios) == 0.0) else 1.0,
        "lost to rounding": _lost(subject, run),
        "batches a step": count,
        "weight of the first of them": first,
        "mean of their weights": whole,
    }


def _usable(own, received):
    return bool(torch.isfinite(own).all() and torch.isfinite(received).all()) and float(own.norm()) > 0.0


def _median(values):
    return float(torch.tensor(values, dtype=torch.float64).median()) if values else 0.0


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
            if len(gradients_of) > 1 and all(_usable(own, call.received[-1]) for own in gradients_of):
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
        if float(singular[-1]) > 0.02:  # gradients that can be told apart
            weights = torch.linalg.lstsq(basis, received[:, None]).solution[:, 0]
            found.append(
                (float(weights[0] / weights[-1]) if abs(float(weights[-1])) > 1e-9 else math.inf, float(weights.mean()), len(cycle))
            )
        else:
            found.append((1.0, along, len(cycle)))
    return tuple(float(torch.tensor([one[k] for one in found], dtype=torch.float64).median()) for k in range(3))


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
    if not _usable(own, received) or own.shape != received.shape:
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


def _rates(subject):
    """The rates at which steps were made, and where the schedule would lead."""
    run = followed(subject)
    rates = [rate for call in run.calls for rate in call.rates]
    moves = [bool((call.before != call.after).any()) for call in run.calls]
    _, optimizer, scheduler = run.module, run.optimizer, run.scheduler
    stepped = _count(scheduler) - _count(subject.whole()[2])
    ahead = _ahead(optimizer, scheduler) if scheduler is not None else []
    per_batch = stepped >= 0.9 * len(run.calls) > 0.0
    largest = max([*rates, *ahead, 1e-300])
    gone = [k for k, rate in enumerate(rates + ahead) if rate <= GONE * largest and k > 0] if per_batch else []
    peak = (rates + ahead).index(largest) if largest in rates + ahead else 0
    falls = [k - peak for k in gone if k > peak]
    still = bool(rates) and max(rates) == 0.0
    rises = subject.step is None or per_batch
    if still and rises and any(rate > 0.0 for rate in ahead):
        still = False
    faint = bool(rates) and 0.0 < max(rates) < 1e-7 and not any(rate > 1e-7 for rate in ahead)
    planned = bool(falls) and _ends_on_purpose(rates + ahead, peak)
    return {
        "steps": float(len(rates)),
        "largest rate": max(rates, default=0.0),
        "rate is 0 and stays there": float(still),
        "rate is next to 0": float(faint),
        "calls in which weights moved": float(sum(moves)),
        "calls": float(len(run.calls)),
        "batches until the rate is gone": float(min(falls)) if falls else math.inf,
        "ends on purpose": float(planned),
    }


def _count(scheduler):
    return getattr(scheduler, "last_epoch", 0) or 0


def _ahead(optimizer, scheduler):
    """Rates of a schedule alone, on a copy."""
    optimizer, scheduler = copy.deepcopy((optimizer, scheduler))
    found = []
    with quiet():
        for _ in range(AHEAD):
            try:
                scheduler.step()
            except Exception:  # one that wants a metric, or has come to its end
                break
            found.append(max(float(group["lr"]) for group in optimizer.param_groups))
    return found


def _ends_on_purpose(rates, peak):
    """Whether a rate comes down to its end by a plan of many steps (a line, a cosine), and not by factors."""
    falling = rates[peak:]
    if len(falling) < 3:
        return True
    half = next((k for k, rate in enumerate(falling) if rate <= 0.5 * falling[0]), None)
    end = next((k for k, rate in enumerate(falling) if rate <= GONE * falling[0]), None)
    return end is None or half is None or (end <= 2.5 * half and end > SOON)


def _static(subject):
    """Which weights the optimizer holds, of the module as it was handed over."""
    module, optimizer, _ = subject.originals
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    owned = {id(p): name for name, p in module.named_parameters()}
    of_loss = {id(p) for p in subject.loss.parameters()} if isinstance(subject.loss, nn.Module) else set()
    used = _used(subject)
    missing = [
        name for key, name in owned.items() if key not in held and dict(module.named_parameters())[name].requires_grad and name in used
    ]
    foreign = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in owned and id(p) not in of_loss]
    frozen = [name for key, name in owned.items() if key in held and not dict(module.named_parameters())[name].requires_grad]
    return {
        "tensors": float(len(owned)),
        "missing": float(len(missing)),
        "not the module's": float(len(foreign)),
        "held, and frozen": float(len(frozen)),
    }


def _used(subject):
    """Names of weights that get a gradient."""
    return {name for name, gradient in gradients(subject)[1].items() if gradient is not None and bool(gradient.any())}


def _another_rate(subject):
    """Some calls of the loop at its own rates, and at a tenth, a hundredth and a thousandth of them, on the same batches."""
    step = subject.step or plain_step(subject)
    own, length = _trained(subject, step, 1.0)
    start = own[0]
    numbers = {"as it is": own[-1], "at the start": start, "longest step": length, "the best of the lower": own[-1]}
    suspicious = not math.isfinite(own[-1]) or own[-1] > 1.02 * start or length > 0.3
    if suspicious and math.isfinite(start):
        lower = [_trained(subject, step, factor)[0][-1] for factor in (0.1, 0.01, 0.001) if not subject.late]
        numbers["the best of the lower"] = min([value for value in lower if math.isfinite(value)], default=own[-1])
    return {name: value if math.isfinite(value) else 1e30 for name, value in numbers.items()}


def _trained(subject, step, factor):
    """Losses before and after some calls, and the length of the longest step as a share of the weights' length before it."""
    module, optimizer, scheduler = subject.whole()
    without_dropout(module)
    kept = []
    optimizer.register_step_pre_hook(lambda o, *_: (kept.append([g["lr"] for g in o.param_groups]), _scale(o, factor))[0])
    optimizer.register_step_post_hook(lambda o, *_: [g.__setitem__("lr", lr) for g, lr in zip(o.param_groups, kept.pop(), strict=True)])
    run, lengths, began = SimpleNamespace(failed=False), [], time.perf_counter()
    pairs = subject.pairs[:4]
    losses = [_loss_on(subject, module, pairs)]
    for number in range(5 * CALLS):
        before = flat(module, "weights")
        try:
            torch.manual_seed(SEED + number)
            with quiet(), torch.enable_grad():
                step(module, optimizer, scheduler, *pairs[number % len(pairs)])
        except Exception:
            run.failed = True
            break
        after = flat(module, "weights")
        if not torch.isfinite(after).all():
            losses.append(math.inf)
            return losses, math.inf
        lengths.append(float((after - before).norm() / before.norm().clamp_min(1e-30)))
        if number >= 9 and time.perf_counter() - began > 0.3:
            break
    losses.append(_loss_on(subject, module, pairs))
    return losses, max(lengths, default=0.0)


def _scale(optimizer, factor):
    for group in optimizer.param_groups:
        group["lr"] = factor * group["lr"]


def _loss_on(subject, module, pairs):
    """The mean loss in the mode in which it trains, on a copy, so that BatchNorm's averages stay."""
    twin = copy.deepcopy(module)
    twin.train()
    with quiet(), torch.no_grad():
        return sum(float(subject.loss_of(twin, *pair)) for pair in pairs) / len(pairs)


def has_optimizer(subject):
    """Why an instrument of the optimizer does not apply, or nothing."""
    return "" if subject.originals[1] is not None else "no optimizer was given"


def runs(subject):
    """Why the loop cannot be followed, or nothing."""
    if has_optimizer(subject):
        return has_optimizer(subject)
    run = followed(subject)
    if run.failed:
        return f"the loop could not be run on copies ({run.failed})"
    return "" if run.calls else "the loop made no call"


_KIT = kit.ALL


def _of(instrument, *names):
    return tuple(word for word in _KIT[instrument].words if word.name in names)


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
        *_of("leftover gradients", "the last batch's gradient is in it", "its own batch's gradient is turned round"),
        Word("next to nothing of the gradient arrives", lambda n: n["received, of its own"] < 0.01,
             "clipping is for gradients that are too long: the usual limit is 1"),
        Word("of several batches one counts alone", lambda n: n["batches a step"] > 1.0 and n["weight of the first of them"] < 0.1,
             "accumulation adds up the gradients of its batches"),
        Word("several batches are added up, and not divided", lambda n: n["batches a step"] > 1.0 and
             n["weight of the first of them"] >= 0.1 and n["mean of their weights"] > 0.7 * n["batches a step"],
             "accumulation stands for the mean over a larger batch"),
        Word("small numbers of 16 bits are lost", lambda n: n["lost to rounding"] > 0.0, "float16 has no number between 0 and 6e-8"),
    ), _KIT["leftover gradients"].asks), runs),
    (Instrument("rate log", 2, _rates, (
        Word("the rate is 0", lambda n: n["rate is 0 and stays there"] > 0.0, "a rate is above 0"),
        Word("the rate is next to 0", lambda n: n["rate is next to 0"] > 0.0, "below one part in ten million a weight of float32 stands still"),
        Word("the rate is gone after a few batches", lambda n: n["batches until the rate is gone"] < AHEAD and not n["ends on purpose"],
             "a schedule is planned for the whole training"),
    ), _KIT["rate log"].asks), runs),
    (Instrument("another rate", 8, _another_rate, (
        Word("at this rate it goes up, at a lower one down", lambda n: _too_high(n), "a small step down the slope makes a loss smaller"),
    ), _KIT["another rate"].asks), runs),
)  # fmt: skip


def _too_high(n):
    lower, now, start = n["the best of the lower"], n["as it is"], n["at the start"]
    explodes = now > 2.0 * abs(start) + 0.5 or (now > 1.02 * start and n["longest step"] > 0.1)
    lost = n["longest step"] > 0.3 and lower < 0.5 * now and now > 0.7 * start
    return lower < start and (explodes or lost)
