"""Where a token stands: parts for the model's seam between embedding and first layer.

Most add a row to what a token is. Two add nothing, and bring an attention of their own, in which positions meet.

`start` is the position of the first token handed in: 0, or more when a :class:`~cllm_lib.model.key_value_cache.KeyValueCache` has
read those before it.

Shapes: B batch, T time, S seq_len (the longest sequence), D d_model.
"""

import math

import numpy as np

from cllm_lib.checks import at_most
from cllm_lib.lattice.encodings import MOST_POSITIONS, clock_positions, prime_positions, sinusoidal_positions, spiral_positions
from cllm_lib.model.attention import DistanceBiasAttention, RotarySelfAttention


class NoPositions:
    """No positional encoding: the order of tokens shows through the causal mask only."""

    attention = None  # the kind of attention that goes with it, where it must be another than the sound one

    def parameter_shapes(self, config):
        """Nothing to train."""
        return {}

    def make_attention(self, config):
        """The attention that goes with it, for a model of this configuration; None where it is the sound one."""
        return None if self.attention is None else self.attention()

    def forward(self, x, parameters, start=0):
        """Return x as it is."""
        return x

    def backward(self, dx, parameters):
        """No gradients."""
        return {}


class LearnedPositions(NoPositions):
    """Learned positional embedding: a table with one row for each position, trained like any other weight.

    Notes
    -----
    Vaswani et al. 2017, "Attention Is All You Need", section 3.5, and Devlin et al. 2019, "BERT", section 3.
    """

    def parameter_shapes(self, config):
        """One row for each position of the longest sequence."""
        return {"table": (config.seq_len, config.d_model)}

    def forward(self, x, parameters, start=0):  # (B, T, D) -> (B, T, D)
        """Add row t of the table to whatever stands at position t."""
        table, stop = parameters["table"], start + x.shape[1]
        if stop > len(table):
            raise ValueError(f"positions up to {stop - 1} are asked for, the table ends at {len(table) - 1}: raise seq_len")
        return x + table[start:stop]

    def backward(self, dx, parameters):  # (B, T, D) -> {table: (S, D)}
        """Row t was added in every sequence, so it collects from all; rows beyond T were not used and get 0."""
        gradient = np.zeros_like(parameters["table"])
        gradient[: dx.shape[1]] = dx.sum(axis=0)
        return {"table": gradient}


class FixedPositions(NoPositions):
    """Fixed positional encoding: a table given by a formula, added and never trained; it is there for any position.

    Its rows, of length 1 in the formulas, are brought to twice the length that an embedding starts with. A row as long as
    in the formulas, four times that at D = 32, costs 0.2 nats on a text, for words are drowned; one as long as the
    embedding itself is heard so late that the prime's table misses the task
    :class:`~cllm_lib.text.tasks.StepsBack` in 300 steps. Twice does neither.
    """

    SIZE = 0.04  # of an entry, as a root of the mean of squares; embeddings start at 0.02

    def __init__(self):
        self.table = np.zeros((0, 0))

    def parameter_shapes(self, config):
        """Nothing to train; a ValueError if the formula cannot fill such a table."""
        if config.d_model < 2:
            raise ValueError(f"d_model is {config.d_model}: a position shows as a sine and a cosine, so give two columns at least")
        at_most(config.seq_len, MOST_POSITIONS, "seq_len", "angles of so many positions would be inexact")
        return {}

    def forward(self, x, parameters, start=0):  # (B, T, D) -> (B, T, D)
        """Add row t of the table to whatever stands at position t."""
        stop = start + x.shape[1]
        if len(self.table) < stop:  # twice as many as needed: a text that grows by a token needs no new table each time
            self.table = self.SIZE * math.sqrt(x.shape[2]) * self.rows(min(2 * stop, MOST_POSITIONS), x.shape[2])
        return x + self.table[start:stop].astype(x.dtype)


class SinusoidalPositions(FixedPositions):
    """See :func:`~cllm_lib.lattice.encodings.sinusoidal_positions`."""

    rows = staticmethod(sinusoidal_positions)


class SpiralPositions(FixedPositions):
    """See :func:`~cllm_lib.lattice.encodings.spiral_positions`."""

    rows = staticmethod(spiral_positions)


class ClockPositions(FixedPositions):
    """See :func:`~cllm_lib.lattice.encodings.clock_positions`."""

    rows = staticmethod(clock_positions)


class PrimePositions(FixedPositions):
    """See :func:`~cllm_lib.lattice.encodings.prime_positions`."""

    rows = staticmethod(prime_positions)


class RotaryPositions(NoPositions):
    """Rotary position embedding: nothing is added; attention turns queries and keys by their positions."""

    attention = RotarySelfAttention

    def parameter_shapes(self, config):
        """Nothing to train; a ValueError if a head's columns cannot be paired."""
        if config.d_head % 2:
            raise ValueError(
                f"positions='rotary' turns pairs of columns, and d_model / n_heads = {config.d_head} is odd: "
                f"choose d_model as an even multiple of n_heads = {config.n_heads}"
            )
        return {}

    def make_attention(self, config):
        """That which turns, at the speeds of `config.rope_base` and the columns of `config.rope_pairs`."""
        return self.attention(config.rope_base, config.rope_pairs)


class DistanceBias(NoPositions):
    """Distance bias: nothing is added; attention subtracts from each score what the distance of the two tokens is worth."""

    attention = DistanceBiasAttention


POSITIONS = {
    "none": NoPositions,
    "sinusoidal": SinusoidalPositions,
    "spiral": SpiralPositions,
    "clock": ClockPositions,
    "prime": PrimePositions,
    "learned": LearnedPositions,
    "rotary": RotaryPositions,
    "distance_bias": DistanceBias,
}
