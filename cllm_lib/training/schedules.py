"""How the learning rate changes while training: each schedule is a function from the step, 0 first, to a factor.

The trainer multiplies its learning rate by the factor before each step. The schedules made here know their own name and
numbers, so that a checkpoint or a pickle can hold them; any other function from step to factor serves as well.
"""

import math
import numbers
import warnings
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from cllm_lib.checks import non_negative_number, one_of, positive_integer

FAR = 1_000  # steps that are looked ahead where no end is known


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

    def __reduce__(self):
        """A copy or a pickle is made anew from name and numbers: the factor, a function made in another, could not be pickled."""
        return partial(make_schedule, self.name, **self.arguments), ()


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
    """Linear warm-up, then cosine decay: :func:`warmup`, then :func:`cosine` from its last step on, over what remains of `total` steps.

    The factor is 1 in one step, the last of the warm-up.

    Raises
    ------
    ValueError
        If the warm-up leaves no step to fall in.
    """
    rise = warmup(warmup_steps)
    if positive_integer(total, "total") <= warmup_steps:
        raise ValueError(f"total is {total}, and the warm-up alone takes {warmup_steps} steps: make total larger")
    top = warmup_steps - 1
    fall = cosine(total - top, floor)

    def factor(step):
        return rise(step) if step < top else fall(step - top)

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
        As :func:`make_schedule`; and if the run ends before the warm-up does.
    """
    arguments = {"warmup": {"steps": warmup_steps}, "cosine": {"total": total}}
    arguments["warmup_cosine"] = {"warmup_steps": warmup_steps, "total": total}
    schedule = make_schedule(name, **arguments.get(name, {}))
    if name == "warmup" and warmup_steps > total:
        raise ValueError(f"the run has {total} steps, and the warm-up alone takes {warmup_steps} steps: make it shorter, or the run longer")
    return schedule


def checked_schedule(schedule, optimizer):
    """Return a schedule that can be called, for an optimiser that has a rate, or say what is wrong.

    Raises
    ------
    ValueError
        If it is a name, a function of this module that makes one, or a class; or if the optimiser has no rate to change.
    """
    if isinstance(schedule, str):
        call = {"constant": "constant()", "warmup": "warmup(100)", "warmup_cosine": "warmup_cosine(100, total)"}.get(
            schedule, "cosine(total)"
        )
        one_of(schedule, SCHEDULES, "schedule")
        raise ValueError(
            f"schedule is the name {schedule!r}, and a name does not say over how many steps: give schedule={call} from "
            "cllm_lib.training, where total is epochs times corpus.batches_per_epoch(batch_size, seq_len)"
        )
    if not callable(schedule) or isinstance(schedule, type) or schedule in SCHEDULES.values():
        shown = f"{schedule.__name__} itself" if hasattr(schedule, "__name__") else repr(schedule)
        raise ValueError(f"schedule is {shown}: give a function from the step, 0 first, to a factor on the rate, such as cosine(total)")
    if not isinstance(getattr(optimizer, "learning_rate", None), numbers.Real):
        raise ValueError(
            f"a schedule changes the learning_rate of the optimizer, and {type(optimizer).__name__} has none: give it one, or leave "
            "schedule out"
        )
    return schedule


def checked_factor(schedule, step):
    """The factor that a schedule gives for a step.

    Raises
    ------
    ValueError
        If it is no finite number of at least 0.
    """
    factor = schedule(step)
    if isinstance(factor, np.ndarray) and factor.ndim == 0:
        factor = factor.item()
    if not isinstance(factor, numbers.Real) or not 0.0 <= factor < math.inf:
        raise ValueError(
            f"the schedule gave {factor!r} at step {step}: a factor on the learning rate is a finite number of at least 0, "
            "and 1 leaves the rate as it is"
        )
    return factor


def stands_still(schedule, step, end=None):
    """Raise if a schedule that gave 0 at this step and the one before gives nothing else any more.

    Parameters
    ----------
    schedule : callable
    step : int
    end : int, optional
        Of the run; if not given, or past, a thousand steps are looked at.

    Raises
    ------
    ValueError
        If all factors up to the end are 0.
    """
    ahead = range(step + 1, step + FAR if end is None or end <= step else end)
    if not any(schedule(later) for later in ahead):
        raise ValueError(
            f"the schedule gave 0 at steps {step - 1} and {step}, and gives nothing else before step {ahead.stop}: at a learning rate of 0 "
            "no weight moves, so make the schedule longer, or give it a floor"
        )


def warn_of_a_long_rise(schedule, end):
    """Warn if a run ends before the warm-up of its schedule does, so far as that is known."""
    arguments = getattr(schedule, "arguments", {})
    rise = arguments.get("warmup_steps", arguments.get("steps", 0))
    if rise > end:
        warnings.warn(
            f"the warm-up takes {rise} steps, and this run ends at step {end}: the learning rate never gets further than "
            f"{checked_factor(schedule, end - 1):.3g} of what was asked for",
            stacklevel=3,
        )


def _share(value, name):
    value = non_negative_number(value, name)
    if value > 1.0:
        raise ValueError(f"{name} is {value!r}: give a share from 0 to 1")
    return value
