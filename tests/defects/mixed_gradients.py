"""Attention with the true gradient or another, for its weights and for what it hands down: which of the two errors costs what?"""

from cllm_lib.defects import outer_product
from cllm_lib.model import PROJECTIONS, CausalSelfAttention


class Mixed(CausalSelfAttention):
    """Attention of which two things are open: what its weights get, and what is handed down."""

    def __init__(self, of_weights, handed_down):
        self.of_weights, self.handed_down = of_weights, handed_down

    def forward(self, x, parameters, config):
        y, cache = super().forward(x, parameters, config)
        return y, (x, cache)

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache[1])
        if self.of_weights != "true":
            share = {"shortcut": 1.0, "nothing": 0.0}[self.of_weights]
            wrong = {"weight": share * outer_product(cache[0], dy), "bias": share * dy.sum(axis=(0, 1))}
            gradients |= {f"{name}_{kind}": wrong[kind] for name in PROJECTIONS for kind in wrong}
        return {"true": dx, "nothing": 0 * dy, "as it came": dy}[self.handed_down], gradients
