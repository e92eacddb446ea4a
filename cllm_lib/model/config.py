"""The size and shape of a model, checked once, when it is written down."""

from dataclasses import dataclass
from functools import wraps

import numpy as np

from cllm_lib.checks import one_of, positive_integer, positive_number
from cllm_lib.lattice.encodings import ROPE_BASE, ROPE_PAIRS
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.transformer_layer import FEED_FORWARDS, NORMS

DTYPES = {"float32": np.float32, "float64": np.float64}
LATER = {  # what older files do not say of a configuration, and what it was
    "rope_base": ROPE_BASE,
    "norm": "layer",
    "norm_first": False,
    "feed_forward": "tanh",
    "n_kv_heads": None,
    "rope_pairs": "neighbours",
}
RENAMED = {"rotary_base": "rope_base"}  # what older files, and programs, call otherwise


@dataclass(frozen=True)
class CLLMConfig:
    """Everything that decides the shape of a :class:`~cllm_lib.model.transformer.CLLM`.

    What is not given makes the model of 2017, of Vaswani et al., "Attention Is All You Need", but for tanh in place of ReLU. The
    layer of Llama is `norm="rms", norm_first=True, feed_forward="swiglu", positions="rotary"`, with fewer `n_kv_heads`.

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
    rope_base : float
        Of the positions "rotary": the slowest pair of columns turns at about one radian in so many positions. More, such as
        500_000.0, is usual for long sequences.
    norm : {"layer", "rms"}
        LayerNorm, or RMSNorm.
    norm_first : bool
        Whether each norm stands before its part (pre-normalisation), with one more behind the last layer, or behind the sum.
    feed_forward : {"tanh", "gelu", "swiglu"}
        What stands between the maps of the feed-forward network. "swiglu" has three matrices, so that two thirds of `d_ff` give
        as many numbers.
    n_kv_heads : int, optional
        G, heads of keys and values, a divisor of `n_heads`: fewer are grouped-query attention, 1 is multi-query attention. As
        many as `n_heads` by default.
    rope_pairs : {"neighbours", "halves"}
        Of the positions "rotary": which columns of a head are turned together; see :func:`~cllm_lib.lattice.encodings.rotate`.

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1, `d_model` is no multiple of `n_heads`, or `n_heads` none of `n_kv_heads`,
        a name is unknown, or the sizes do not suit the positions: "rotary" needs heads of an even width. If `rope_base` is no
        finite number above 0, or it or `rope_pairs` is given for other positions.

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
    rope_base: float = ROPE_BASE
    norm: str = "layer"
    norm_first: bool = False
    feed_forward: str = "tanh"
    n_kv_heads: int | None = None
    rope_pairs: str = "neighbours"

    def __post_init__(self):
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "d_ff", "seq_len"):
            object.__setattr__(self, name, positive_integer(getattr(self, name), name))
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model = {self.d_model} is not divisible by n_heads = {self.n_heads}: "
                f"each head takes d_model / n_heads columns, so choose a multiple of {self.n_heads}"
            )
        if self.n_kv_heads is not None:
            object.__setattr__(self, "n_kv_heads", positive_integer(self.n_kv_heads, "n_kv_heads"))
        if self.n_heads % self.kv_heads:
            raise ValueError(
                f"n_heads = {self.n_heads} is not divisible by n_kv_heads = {self.n_kv_heads}: each head of keys and values serves "
                f"n_heads / n_kv_heads of queries, so choose a divisor of {self.n_heads}"
            )
        if not isinstance(self.dtype, str):
            object.__setattr__(self, "dtype", np.dtype(self.dtype).name)  # np.float32 is welcome too
        one_of(self.dtype, DTYPES, "dtype")
        one_of(self.norm, NORMS, "norm")
        one_of(self.feed_forward, FEED_FORWARDS, "feed_forward")
        one_of(self.positions, POSITIONS, "positions")().parameter_shapes(self)  # which looks at the sizes
        self._check_rotation()
        for name in ("tie_embeddings", "norm_first"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}: give True or False")

    def _check_rotation(self):
        object.__setattr__(self, "rope_base", positive_number(self.rope_base, "rope_base"))
        one_of(self.rope_pairs, ROPE_PAIRS, "rope_pairs")
        for name in ("rope_base", "rope_pairs"):
            given = getattr(self, name)
            if given != LATER[name] and self.positions != "rotary":
                said = f"{given:g}" if isinstance(given, float) else repr(given)
                raise ValueError(f"{name} is {said}, and positions={self.positions!r} turn nothing: it goes with positions='rotary'")

    @property
    def kv_heads(self):
        """Heads of keys and values: `n_kv_heads`, or as many as of queries."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def rotary_base(self):
        """What `rope_base` was called at first."""
        return self.rope_base

    @property
    def d_head(self):
        """Width of one attention head."""
        return self.d_model // self.n_heads


def _with_older_names(init):
    """Let `rotary_base=...` mean `rope_base`. `replace` hands in both, and then the older one is what was asked for."""

    @wraps(init)
    def made(self, *arguments, **settings):
        for older in RENAMED.keys() & settings.keys():
            settings[RENAMED[older]] = settings.pop(older)
        init(self, *arguments, **settings)

    return made


CLLMConfig.__init__ = _with_older_names(CLLMConfig.__init__)
