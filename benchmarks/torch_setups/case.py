"""What a set-up is, which causes there are, and the list that set-ups enter."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

CAUSES = (
    "no_causal_mask", "transposed_mask", "batch_mixed", "detached", "zero_weights", "dead_units", "saturated", "frozen",
    "not_in_optimizer", "double_softmax", "softmax_axis", "no_residual", "targets_not_shifted", "targets_by_two", "padding_in_loss",
    "ignore_index", "no_zero_grad", "zero_rate", "rate_too_high", "scheduler_per_batch", "clipped_away", "dropout_on", "untied",
    "underflow", "accumulation", "stale_optimizer",
)  # fmt: skip
LANGUAGE, CLASSES, OTHER = "language", "classes", "other"  # next words; one class an example, by cross-entropy; anything else
MODULES = (
    "faults.masks", "faults.graph", "faults.weights", "faults.outputs", "faults.losses", "faults.rates", "faults.loops",
    "sound.gpt", "sound.gpt_loops", "sound.encoder", "sound.recurrent", "sound.plain",
)  # fmt: skip
_ENTERED = {}


@dataclass(frozen=True)
class Setup:
    """One training, as somebody would hand it in.

    Attributes
    ----------
    name, architecture : str
    cause : str or None
        Which of :data:`CAUSES` is planted; None if it is sound.
    build : callable
        Takes a seed; returns the keyword arguments of `examine`: module, loss, inputs, targets, and where there is a loop
        optimizer, scheduler, step, batches. Leaves the global random numbers as they were.
    task : str
        :data:`LANGUAGE`, :data:`CLASSES` or :data:`OTHER`: what its owner knows, and some peers have to be told.
    trained : bool
        Whether the weights have been trained before they are handed in.
    """

    name: str
    architecture: str
    cause: str | None
    build: Callable[[int], dict]
    task: str = OTHER
    trained: bool = False


def setup(name, architecture, cause=None, task=OTHER, trained=False):
    """Enter the function below: of a seed, returning the keyword arguments of `examine`."""
    if cause is not None and cause not in CAUSES:
        raise ValueError(f"no cause is called {cause!r}: choose among {', '.join(CAUSES)}")
    if name in _ENTERED:
        raise ValueError(f"two set-ups are called {name!r}: rename one")

    def enter(make):
        @functools.wraps(make)
        def build(seed):
            import torch

            with torch.random.fork_rng(devices=[]):
                torch.random.default_generator.manual_seed(seed)  # `torch.manual_seed` would reach other devices too
                return make(seed)

        _ENTERED[name] = Setup(name, architecture, cause, build, task, trained)
        return build

    return enter


def everything():
    """All set-ups by name, the faulty ones first. Needs PyTorch."""
    for module in MODULES:
        importlib.import_module(f"benchmarks.torch_setups.{module}")
    return dict(_ENTERED)
