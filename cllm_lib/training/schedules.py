"""How the learning rate changes while training: each schedule is a function from the step, 0 first, to a factor.

The trainer multiplies its learning rate by the factor before each step.
"""

import math

from cllm_lib.checks import non_negative_number, positive_integer


def constant():
    """The factor 1, always."""
    return lambda step: 1.0


def warmup(steps):
    """Rise in a straight line to 1 over `steps` steps, and stay there.

    A deep post-LayerNorm model has its largest gradients before the first step (Xiong et al. 2020, "On Layer
    Normalization in the Transformer Architecture", section 3): short steps first let it leave that region.

    Parameters
    ----------
    steps : int
        The first step has the factor 1 / steps, so that it moves at all.
    """
    steps = positive_integer(steps, "steps")
    return lambda step: min(1.0, (step + 1) / steps)


def cosine(total, floor=0.0):
    """Fall along half a cosine from 1 to `floor` over `total` steps, and stay there.

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
    return lambda step: floor + (1.0 - floor) * (1.0 + math.cos(math.pi * min(1.0, step / total))) / 2.0


def warmup_cosine(warmup_steps, total, floor=0.0):
    """:func:`warmup`, then :func:`cosine` over what remains of `total` steps.

    Raises
    ------
    ValueError
        If the warm-up leaves no step to fall in.
    """
    rise = warmup(warmup_steps)
    if positive_integer(total, "total") <= warmup_steps:
        raise ValueError(f"total is {total}, and the warm-up alone takes {warmup_steps} steps: make total larger")
    fall = cosine(total - warmup_steps, floor)
    return lambda step: rise(step) if step < warmup_steps else fall(step - warmup_steps)


def _share(value, name):
    value = non_negative_number(value, name)
    if value > 1.0:
        raise ValueError(f"{name} is {value!r}: give a share from 0 to 1")
    return value
