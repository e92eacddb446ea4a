"""The two parts at a model's end: from a hidden state to logits, and from logits to the loss.

Both are parts that a model can be given, `CLLM(config, output=..., loss=...)`; these are the sound ones. Any object with
`forward` and `backward` can take the place of either. Training runs the quick :class:`~cllm_lib.model.fast.Output` in
place of both, as long as both are these.
"""

from cllm_lib.model.layers import cross_entropy_backward, cross_entropy_forward
from cllm_lib.model.products import product


class LinearOutput:
    """Output layer (language-model head): logits = hidden @ matrix.

    The matrix is the embedding, transposed, where weights are tied, and one of its own where they are not. The part trains
    no other weights.
    """

    __slots__ = ()

    def forward(self, hidden, matrix):  # (B, T, D), (D, V) -> (B, T, V), cache
        """One product."""
        return product(hidden, matrix), (hidden, matrix)

    def backward(self, d_logits, cache, out):  # (B, T, V), (D, V) -> (B, T, D)
        """The gradient of the hidden state; that of the matrix is left in `out`, which holds zeros before."""
        hidden, matrix = cache
        # forward: logits = hidden @ matrix, with all B * T positions under each other
        rows, d_rows = hidden.reshape(-1, hidden.shape[-1]), d_logits.reshape(-1, d_logits.shape[-1])
        product(rows.T, d_rows, out=out)
        return product(d_rows, matrix.T).reshape(hidden.shape)


class CrossEntropy:
    """Cross-entropy loss: see :func:`~cllm_lib.model.layers.cross_entropy_forward`."""

    __slots__ = ()

    def forward(self, logits, targets):  # (B, T, V), (B, T) -> scalar, cache
        """The mean over all positions, in nats."""
        return cross_entropy_forward(logits, targets)

    def backward(self, cache):  # -> (B, T, V)
        """The gradient of the logits."""
        return cross_entropy_backward(cache)
