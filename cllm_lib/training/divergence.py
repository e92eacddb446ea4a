"""What a run that broke down says: where numbers first stopped being finite, and what to go back to."""

import numpy as np


class TrainingDiverged(FloatingPointError):
    """The loss, or its gradient, became infinite or NaN; the text says where that was first seen, and which checkpoint is good."""


def what_diverged(trainer, loss, inputs):
    """The tensor and the step at which numbers first stopped being finite, for a sentence. The losses of all steps before were finite."""
    bad = _not_finite(trainer.model.parameters)
    if bad and trainer.steps:
        where = f"step {trainer.steps} left numbers that are not finite in {_listed(bad)}"
    elif bad:
        where = f"numbers that are not finite stood in {_listed(bad)} before the first step"
    else:
        where = f"all weights are finite, and the forward pass overflows in {first_overflow(trainer.model, inputs)}"
    return f"the loss is {loss} in step {trainer.steps + 1}: {where}.{_before(trainer)}"


def what_is_not_finite(trainer, loss):
    """Whose gradient is not finite although the loss is, for a sentence. The weights are as they were."""
    bad = _not_finite(trainer.model.gradients)
    return (
        f"the loss is {loss:.4g} in step {trainer.steps + 1}, and its gradient holds numbers that are not finite in {_listed(bad)}: the "
        f"backward pass overflows or divides by zero, or leaves out what it should fill; no weight was changed.{_before(trainer)}"
    )


def first_overflow(model, tokens):
    """Name of the first place in a forward pass where a number is not finite: the embedding, a layer, the output, or else the loss."""
    with np.errstate(all="ignore"):
        x, _ = model.embedding.forward(tokens, model.parameters["embedding"])
        x = model.positions.forward(x, model.position_parameters)
        if not np.isfinite(x).all():
            return "the embedding"
        for i in range(model.config.n_layers):
            x, _ = model.layer.forward(x, model.layer_parameters(i), model.config)
            if not np.isfinite(x).all():
                return f"layer {i}"
        logits, _ = model.output.forward(model.normed(x), model.output_matrix)
    return "the loss" if np.isfinite(logits).all() else "the output"


def _not_finite(arrays):
    return [name for name, array in arrays.items() if not np.isfinite(array).all()]


def _listed(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _before(trainer):
    norms = ", ".join(f"{norm:.3g}" for norm in trainer.history.gradient_norms[-3:])
    lengths = f" Lengths of the last gradients: {norms}." if norms else ""
    kept = f"The last good checkpoint is {trainer.last_checkpoint}." if trainer.last_checkpoint else "This run has saved no checkpoint."
    return f"{lengths} {kept} A lower learning rate, a warm-up or clip_norm=1.0 may keep the numbers together."
