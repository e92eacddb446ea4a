"""How the learning rate changes while training: each schedule is a function from the step, 0 first, to a factor.

The trainer multiplies its learning rate by the factor before each step. The schedules made here know their own name and
numbers, so that a checkpoint can hold them; any other function from step to factor serves as well.
"""

import math
from dataclasses import dataclass, field

from cllm_lib.checks import non_negative_number, one_of, positive_integer


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule: a function from the step to a factor, with the name and the numbers it was made of.

    Attributes
    ----------
    name : str
        The function of this module that makes it.
    arguments : dict
        What that function was called with.
    factor : callable
    """

    name: str
    arguments: dict
    factor: object = field(repr=False, compare=False)

    def __call__(self, step):
        """The factor at a step, 0 for the first."""
        return self.factor(step)


def constant():
    """Constant schedule: the factor 1, always."""
    return Schedule("constant", {}, lambda step: 1.0)


def warmup(steps):
    """Linear warm-up: rise in a straight line to 1 over `steps` steps, and stay there.

    A deep post-LayerNorm model has its largest gradients before the first step (Xiong et al. 2020, "On Layer
    Normalization in the Transformer Architecture", section 3): short steps first let it leave that region.

    Parameters
    ----------
    steps : int
        The first step has the factor 1 / steps, so that it moves at all.
    """
    steps = positive_integer(steps, "steps")
    return Schedule("warmup", {"steps": steps}, lambda step: min(1.0, (step + 1) / steps))


def cosine(total, floor=0.0):
    """Cosine decay: fall along half a cosine from 1 to `floor` over `total` steps, and stay there.

    Parameters
    ----------
    total : int
    floor : float
        From 0 to 1.

    Notes
    -----
    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5, without restarts.
    """
    total = positive_integer(total, "total")
    floor = _share(floor, "floor")

    def factor(step):
        return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * min(1.0, step / total))) / 2.0

    return Schedule("cosine", {"total": total, "floor": floor}, factor)


def warmup_cosine(warmup_steps, total, floor=0.0):
    """Linear warm-up, then cosine decay: :func:`warmup`, then :func:`cosine` over what remains of `total` steps.

    Raises
    ------
    ValueError
        If the warm-up leaves no step to fall in.
    """
    rise = warmup(warmup_steps)
    if positive_integer(total, "total") <= warmup_steps:
        raise ValueError(f"total is {total}, and the warm-up alone takes {warmup_steps} steps: make total larger")
    fall = cosine(total - warmup_steps, floor)

    def factor(step):
        return rise(step) if step < warmup_steps else fall(step - warmup_steps)

    return Schedule("warmup_cosine", {"warmup_steps": warmup_steps, "total": total, "floor": fall.arguments["floor"]}, factor)


SCHEDULES = {"constant": constant, "warmup": warmup, "cosine": cosine, "warmup_cosine": warmup_cosine}


def make_schedule(name, **arguments):
    """The schedule of that name.

    Raises
    ------
    ValueError
        If the name is unknown, or an argument makes no sense.
    """
    return one_of(name, SCHEDULES, "schedule")(**arguments)


def schedule_for(name, total, warmup_steps=100):
    """The schedule of that name for a run of `total` steps; those that begin with a warm-up rise over `warmup_steps`.

    Raises
    ------
    ValueError
        As :func:`make_schedule`.
    """
    numbers = {"warmup": {"steps": warmup_steps}, "cosine": {"total": total}}
    numbers["warmup_cosine"] = {"warmup_steps": warmup_steps, "total": total}
    return make_schedule(name, **numbers.get(name, {}))


def _share(value, name):
    value = non_negative_number(value, name)
    if value > 1.0:
        raise ValueError(f"{name} is {value!r}: give a share from 0 to 1")
    return value
