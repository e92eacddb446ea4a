"""Instruments of the rate: the rates at which steps are made, where a schedule leads, and what another rate would do."""

import copy
import math
import time

import torch

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.torch.running import CALLS, flat, followed, is_large, plain_step, runs
from cllm_lib.instruments.torch.structures import is_finite
from cllm_lib.instruments.torch.subject import SEED, on_cpu, quiet, seeded, without_dropout

AHEAD = 200  # steps of a schedule alone
GONE = 0.0101  # of the largest rate
SOON = 30  # steps of a schedule that ends at 0 on purpose


def _rates(subject):
    """The rates at which steps were made, and where the schedule would lead."""
    run = followed(subject)
    rates = [rate for call in run.calls for rate in call.rates]
    moves = [bool((call.before != call.after).any()) for call in run.calls]
    _, optimizer, scheduler = run.module, run.optimizer, run.scheduler
    stepped = _count(scheduler) - _count(subject.whole()[2])
    per_batch = stepped >= 0.9 * len(run.calls) > 0.0
    ahead = _ahead(optimizer, scheduler) if scheduler is not None else []
    if per_batch and ahead:  # the last call has set the rate of the next
        ahead.insert(0, max(float(group["lr"]) for group in optimizer.param_groups))
    largest = max([*rates, *ahead, 1e-300])
    gone = [k for k, rate in enumerate(rates + ahead) if rate <= GONE * largest and k > 0] if per_batch else []
    peak = next((k for k, rate in enumerate(rates + ahead) if rate >= (1.0 - 1e-9) * largest), 0)  # a wave's later tops are rounded
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


def _another_rate(subject):
    """Some calls of the loop at its own rates, and at a tenth, a hundredth and a thousandth of them, on the same batches."""
    step = subject.step or plain_step(subject)
    own, length = _trained(subject, step, 1.0)
    start = own[0]
    numbers = {"as it is": own[-1], "at the start": start, "longest step": length, "the best of the lower": own[-1]}
    suspicious = not math.isfinite(own[-1]) or own[-1] > 1.02 * start or length > 0.3
    for factor in (0.001, 0.01, 0.1) if suspicious and math.isfinite(start) else ():
        lower = _trained(subject, step, factor)[0][-1]
        if math.isfinite(lower):
            numbers["the best of the lower"] = min(lower, numbers["the best of the lower"])
        if subject.late or _too_high(numbers):
            break
    return {name: value if math.isfinite(value) else 1e30 for name, value in numbers.items()}


def _trained(subject, step, factor):
    """Losses before and after some calls, and the length of the longest step as a share of the weights' length before it."""
    module, optimizer, scheduler = subject.whole()
    without_dropout(module)
    kept = []
    optimizer.register_step_pre_hook(lambda o, *_: (kept.append([g["lr"] for g in o.param_groups]), _scale(o, factor))[0])
    optimizer.register_step_post_hook(lambda o, *_: [g.__setitem__("lr", lr) for g, lr in zip(o.param_groups, kept.pop(), strict=True)])
    lengths, began = [], time.perf_counter()
    pairs = subject.pairs[:4]
    losses = [_loss_on(subject, module, pairs)]
    before = flat(module, "weights")
    for number in range(5 * CALLS):
        try:
            seeded(SEED + number)
            with quiet(), torch.enable_grad():
                step(module, optimizer, scheduler, *on_cpu(pairs[number % len(pairs)]))
        except Exception:
            break
        after = flat(module, "weights")
        if not is_finite(after):
            losses.append(math.inf)
            return losses, math.inf
        lengths.append(float((after - before).norm() / before.norm().clamp_min(1e-30)))
        before = after
        if number >= (1 if is_large(after) else 3) and time.perf_counter() - began > 0.3:
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


def _too_high(n):
    lower, now, start = n["the best of the lower"], n["as it is"], n["at the start"]
    explodes = now > 2.0 * abs(start) + 0.5 or (now > 1.02 * start and n["longest step"] > 0.1)
    lost = lower < 0.5 * now and ((n["longest step"] > 0.3 and now > 0.7 * start) or n["longest step"] > 1.0)  # than all weights
    return lower < start and (explodes or lost)


_KIT = kit.ALL
INSTRUMENTS = (
    (Instrument("rate log", 2, _rates, (
        Word("the rate is 0", lambda n: n["rate is 0 and stays there"] > 0.0, "a rate is above 0"),
        Word("the rate is next to 0", lambda n: n["rate is next to 0"] > 0.0, "smaller steps than a ten-millionth do not move float32"),
        Word("the rate is gone after a few batches", lambda n: n["batches until the rate is gone"] < AHEAD and not n["ends on purpose"],
             "a schedule is planned for the whole training"),
    ), _KIT["rate log"].asks), runs),
    (Instrument("another rate", 8, _another_rate, (
        Word("at this rate it goes up, at a lower one down", lambda n: _too_high(n), "a small step down the slope makes a loss smaller"),
    ), _KIT["another rate"].asks), runs),
)  # fmt: skip
