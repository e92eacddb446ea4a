"""What training measured, as plain columns."""

import math
from dataclasses import dataclass, field

import numpy as np

from cllm_lib.files import write_atomically


@dataclass
class History:
    """What training measured, step by step.

    Attributes
    ----------
    losses : list of float
        Loss of every batch, before the step it caused, in nats per token.
    learning_rates : list of float
        The rate of every step.
    gradient_norms : list of float
        Length of every step's gradient, before clipping.
    epochs : list of int
        The epoch of every step, 1 for the first.
    epoch_losses : list of float
        Mean loss over each whole epoch.
    validation_losses : dict of int to float
        By the number of steps taken when it was measured.
    """

    losses: list = field(default_factory=list)
    learning_rates: list = field(default_factory=list)
    gradient_norms: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    epoch_losses: list = field(default_factory=list)
    validation_losses: dict = field(default_factory=dict)

    def columns(self):
        """A column for each quantity, one entry a step: `pandas.DataFrame(history.columns())`, if you have pandas.

        Returns
        -------
        dict of str to list
            `validation_loss` is NaN after steps at which it was not measured.
        """
        steps = range(1, len(self.losses) + 1)
        return {
            "step": list(steps),
            "epoch": list(self.epochs),
            "loss": list(self.losses),
            "validation_loss": [self.validation_losses.get(step, math.nan) for step in steps],
            "learning_rate": list(self.learning_rates),
            "gradient_norm": list(self.gradient_norms),
        }

    def to_csv(self, path):
        """Write the columns as a CSV file, whole or not at all; an empty field where nothing was measured."""
        import csv
        import io

        columns = self.columns()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow(["" if isinstance(value, float) and math.isnan(value) else repr(value) for value in row])
        write_atomically(path, text.getvalue().encode("utf-8"))


@dataclass(frozen=True)
class Best:
    """The best model so far, by its validation loss.

    Attributes
    ----------
    step : int
        Steps taken when it was measured.
    loss : float
    parameters : ndarray
        A copy of the model's flat parameters at that moment.
    """

    step: int
    loss: float
    parameters: np.ndarray
