"""The size and shape of a model, checked once, when it is written down."""

from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import one_of, positive_integer, positive_number
from cllm_lib.model.attention import ROTARY_BASE
from cllm_lib.model.positions import POSITIONS

DTYPES = {"float32": np.float32, "float64": np.float64}


@dataclass(frozen=True)
class CLLMConfig:
    """Everything that decides the shape of a :class:`~cllm_lib.model.transformer.CLLM`.

    Parameters
    ----------
    vocab_size : int
        V, the number of token ids the model can read and predict.
    d_model : int
        D, the width of the hidden state; a multiple of `n_heads`.
    n_layers, n_heads, d_ff : int
        Layers, attention heads in each, and the width inside the feed-forward part.
    seq_len : int
        The longest sequence the model accepts, in tokens.
    dtype : {"float64", "float32"}
        float64 reproduces to the last printed digit on every machine; float32 is about twice as fast.
    tie_embeddings : bool
        Whether the output reuses the embedding (logits = hidden @ embedding.T) or has a matrix of its own.
    positions : {"none", "sinusoidal", "spiral", "clock", "prime", "learned", "rotary", "distance_bias"}
        How the model learns where a token stands; see :mod:`~cllm_lib.model.positions`.
    rotary_base : float
        Of the positions "rotary": the slowest pair of columns turns at about one radian in so many positions. More, such as
        500_000.0, is usual for long sequences.

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1, `d_model` is no multiple of `n_heads`, a name is unknown, or the
        sizes do not suit the positions: "rotary" needs heads of an even width. If `rotary_base` is no finite number above 0,
        or is given for other positions.

    Examples
    --------
    >>> CLLMConfig(vocab_size=10_000).d_model
    128
    """

    vocab_size: int
    d_model: int = 128
    n_layers: int = 2
    n_heads: int = 4
    d_ff: int = 512
    seq_len: int = 32
    dtype: str = "float64"
    tie_embeddings: bool = True
    positions: str = "none"
    rotary_base: float = ROTARY_BASE

    def __post_init__(self):
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "d_ff", "seq_len"):
            object.__setattr__(self, name, positive_integer(getattr(self, name), name))
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model = {self.d_model} is not divisible by n_heads = {self.n_heads}: "
                f"each head takes d_model / n_heads columns, so choose a multiple of {self.n_heads}"
            )
        if not isinstance(self.dtype, str):
            object.__setattr__(self, "dtype", np.dtype(self.dtype).name)  # np.float32 is welcome too
        one_of(self.dtype, DTYPES, "dtype")
        one_of(self.positions, POSITIONS, "positions")().parameter_shapes(self)  # which looks at the sizes
        object.__setattr__(self, "rotary_base", positive_number(self.rotary_base, "rotary_base"))
        if self.rotary_base != ROTARY_BASE and self.positions != "rotary":
            raise ValueError(
                f"rotary_base is {self.rotary_base:g}, and positions={self.positions!r} turn nothing: it goes with positions='rotary'"
            )
        if not isinstance(self.tie_embeddings, bool):
            raise ValueError(f"tie_embeddings is {self.tie_embeddings!r}: give True or False")

    @property
    def d_head(self):
        """Width of one attention head."""
        return self.d_model // self.n_heads
