"""The first step of somebody else's trainer, written down from its settings.

A callback sees model, optimizer, schedule and settings, and no loop that could be called. What the loop does with a batch is
written down here; and it is believed only where it makes of the first batches, with the same random numbers, the gradient that the
trainer really handed to its optimizer. Where it does not, the doctor is given no loop, and the report says why.
"""

import copy
import functools
from typing import NamedTuple

import torch
from torch import nn

from cllm_lib.instruments.torch.loop import flat
from cllm_lib.instruments.torch.structures import is_finite
from cllm_lib.instruments.torch.subject import Subject, quiet, untouched

SAME_GRADIENT = 0.05  # share of its length by which it may be off: a trainer may compute in 16 bits
ENDED = 0.01  # of the largest rate
AT_THE_END = 0.85  # of the steps of a training
LONGEST_PLAN = 100_000  # steps: a schedule is not followed further


class Clip(NamedTuple):
    """How a trainer clips gradients.

    Attributes
    ----------
    limit : float
        Longest gradient, or largest number in it; 0 for any.
    by_value : bool
        Whether it is the numbers that are clipped.
    of_the_module : bool
        Whether those of all its weights are, and not of those that the optimizer holds.
    """

    limit: float = 0.0
    by_value: bool = False
    of_the_module: bool = False

    def apply(self, module, optimizer):
        """Clip them, in place."""
        weights = module.parameters() if self.of_the_module else [p for group in optimizer.param_groups for p in group["params"]]
        if self.limit > 0.0:
            (nn.utils.clip_grad_value_ if self.by_value else nn.utils.clip_grad_norm_)(weights, self.limit)


def loop_step(loss, accumulate=1, clip=Clip(), every=0, shares=None):  # noqa: B008 - it cannot be changed
    """What a trainer does with one batch, by its settings.

    Parameters
    ----------
    loss : callable
    accumulate : int
        Batches a step.
    clip : Clip
    every : int
        Steps of the optimizer for one of the schedule; 0 if none is made here.
    shares : list of float, optional
        Weight of each batch of a step; all the same by default.

    Returns
    -------
    callable
        `step(module, optimizer, scheduler, inputs, targets)`. It counts in `module.calls`.
    """
    shares = shares or [1.0 / accumulate] * accumulate

    def step(module, optimizer, scheduler, inputs, targets):
        place = module.calls % accumulate
        value = shares[place] * loss(module(inputs), targets)
        if place == 0:
            module.zero_grad()
        value.backward()
        module.calls += 1
        if module.calls % accumulate == 0:
            clip.apply(module, optimizer)
            optimizer.step()
            if scheduler is not None and every and (module.calls // accumulate) % every == 0:
                scheduler.step()

    return step


class Held:
    """A schedule that is followed to the end of the training and no further; and not to its own end, if that is the same by plan.

    The doctor does not know how long a training is to be, and would take the end of a short one for a rate that is lost.
    """

    def __init__(self, scheduler, last):
        self.scheduler, self.last, self.last_epoch = scheduler, last, 0

    def step(self):
        """A step of the schedule, while it goes on."""
        if self.last_epoch < self.last:
            self.scheduler.step()
        self.last_epoch += 1


def until_its_end(optimizer, scheduler, steps):
    """A schedule as far as the training goes, and without its end where it ends with the training.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    scheduler : object or None
    steps : int
        Of the schedule, in the whole training.
    """
    if scheduler is None or not 0 < steps <= LONGEST_PLAN:
        return scheduler
    holder, plan = copy.deepcopy((optimizer, scheduler))
    rates = [max(float(group["lr"]) for group in holder.param_groups)]
    with quiet():
        for _ in range(steps):
            try:
                plan.step()
            except Exception:  # one that wants a metric, or has come to its end
                break
            rates.append(max(float(group["lr"]) for group in holder.param_groups))
    peak = rates.index(max(rates))
    gone = next((k for k in range(peak, len(rates)) if rates[k] <= ENDED * rates[peak]), None)
    return Held(scheduler, gone - 1 if gone is not None and gone >= AT_THE_END * steps else steps)


def is_the_trainers_own(arguments, states, received):
    """Whether a step makes of the first batches the gradient that the trainer's optimizer was handed.

    Parameters
    ----------
    arguments : dict
        Of examine.
    states : list of torch.Tensor
        Of the random numbers, before each batch.
    received : torch.Tensor
        The gradient.
    """
    pairs = [(arguments["inputs"], arguments["targets"]), *arguments["batches"]]
    subject = Subject(arguments["module"], arguments["loss"], pairs, arguments["optimizer"], arguments["scheduler"])
    (module, optimizer, scheduler), made = subject.whole(), []
    optimizer.register_step_pre_hook(lambda *_: made.append(flat(module, "gradients")))
    with torch.random.fork_rng(devices=[]), quiet(), torch.enable_grad():
        for pair, state in zip(subject.pairs, states, strict=True):
            torch.set_rng_state(state)
            arguments["step"](module, optimizer, scheduler, *pair)
    if len(made) != 1:
        return False
    if not is_finite(received):
        return not is_finite(made[0])
    return float((made[0] - received).norm()) <= SAME_GRADIENT * float(received.norm())


def with_the_loop(arguments, step, states, received):
    """The arguments of examine with a step, if it is the trainer's own; and why not, otherwise."""
    try:
        same = is_the_trainers_own(arguments | {"step": step}, states, received)
    except Exception as error:  # of a model that nobody thought of: then it is examined without a loop
        return arguments, f"its first step could not be made again ({type(error).__name__}: {error})"
    if same:
        return arguments | {"step": step}, ""
    return arguments, "made again from its settings, its first step hands the optimizer another gradient"


def leaving_it_as_it_was(function):
    """A function of a module that calls it, or copies of it, and leaves the module and all random states as they were."""

    @functools.wraps(function)
    def careful(module, *arguments):
        with untouched(module, None, None):
            return function(module, *arguments)

    return careful
