"""Where a token stands, added to what it is: parts for the model's seam between embedding and first layer.

`start` is the position of the first token handed in: 0, or more when a :class:`~cllm_lib.model.cache.KeyValueCache` has
read those before it.

Shapes: B batch, T time, S seq_len (the longest sequence), D d_model.
"""

import numpy as np


class NoPositions:
    """Nothing is added: the order of tokens shows through the causal mask only."""

    def parameter_shapes(self, config):
        """Nothing to train."""
        return {}

    def forward(self, x, parameters, start=0):
        """Return x as it is."""
        return x

    def backward(self, dx, parameters):
        """No gradients."""
        return {}


class LearnedPositions:
    """A table with one row for each position, trained like any other weight.

    Notes
    -----
    Vaswani et al. 2017, "Attention Is All You Need", section 3.5, and Devlin et al. 2019, "BERT", section 3.
    """

    def parameter_shapes(self, config):
        """One row for each position of the longest sequence."""
        return {"table": (config.seq_len, config.d_model)}

    def forward(self, x, parameters, start=0):  # (B, T, D) -> (B, T, D)
        """Add row t of the table to whatever stands at position t."""
        return x + parameters["table"][start : start + x.shape[1]]

    def backward(self, dx, parameters):  # (B, T, D) -> {table: (S, D)}
        """Row t was added in every sequence, so it collects from all; rows beyond T were not used and get 0."""
        gradient = np.zeros_like(parameters["table"])
        gradient[: dx.shape[1]] = dx.sum(axis=0)
        return {"table": gradient}


POSITIONS = {"none": NoPositions, "learned": LearnedPositions}
