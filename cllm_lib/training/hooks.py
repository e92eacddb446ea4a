"""Hooks of a trainer: `Trainer(model, corpus, hooks=[look])`, functions that are called between the backward pass and the step.

    def look(trainer):
        print(np.abs(trainer.model.gradients["embedding"]).max())

A hook is a function of the trainer. It sees the gradients as the regularizer has left them and clipping will find them,
and may change them in place.
"""

import numpy as np


def run_hooks(hooks, trainer):
    """Call each hook with the trainer, in their order.

    Raises
    ------
    ValueError
        If one returns an array: nobody reads it, so the gradient it was meant to be would be lost without a word.
    """
    for hook in hooks:
        result = hook(trainer)
        if isinstance(result, np.ndarray) and result is not trainer.model.flat_gradients:
            said = f"the hook {name_of(hook)} returned an array, which nobody reads"
            raise ValueError(f"{said}: change trainer.model.flat_gradients in place, and return nothing")


def name_of(hook):
    """How errors and checkpoints name a hook: by its own name, or that of its class."""
    return getattr(hook, "__name__", type(hook).__name__)
