"""The quick twins of :mod:`~cllm_lib.model.layers`, on preallocated arrays: see :mod:`~cllm_lib.model.fast`.

Each is made once for a number of rows, from its block of the parameters, the block of their gradients, and N. `forward` keeps
what `backward` needs, and both return arrays that the next call overwrites; `backward` may write into what it is given back
from another part, never into what the caller still adds. `shapes(config)` says how a part's parameters are cut: a matrix and
the bias behind it in memory are one block, (n + 1, m).

Shapes: N rows, D d_model, F d_ff.
"""

import numpy as np

from cllm_lib.model.activation_functions import gelu_backward, gelu_forward
from cllm_lib.model.products import product


class Product:
    """A linear layer without a bias, y = x W, for one matrix or a stack of them."""

    def __init__(self, weight, d_weight, n_rows):
        self.weight, self.d_weight = weight, d_weight
        *stack, n_in, n_out = weight.shape
        self.y = np.empty((*stack, n_rows, n_out), weight.dtype)
        self.dx = np.empty((*stack, n_rows, n_in), weight.dtype)

    def forward(self, x):  # (N, n) -> (..., N, m)
        """Compute y."""
        self.x = x
        return product(x, self.weight, out=self.y)

    def backward(self, dy):  # (..., N, m) -> (..., N, n)
        """Leave the gradient of W, return that of x."""
        product(self.x.T, dy, out=self.d_weight)
        return product(dy, self.weight.mT, out=self.dx)


class Affine(Product):
    """A linear layer, y = x W + b, for one matrix or a stack of them: :func:`~cllm_lib.model.layers.linear_forward`."""

    def __init__(self, block, d_block, n_rows):
        super().__init__(block[..., :-1, :], d_block[..., :-1, :], n_rows)
        self.bias, self.d_bias = block[..., -1:, :], d_block[..., -1:, :]
        self.ones = np.ones((1, n_rows), block.dtype)

    def forward(self, x):  # (N, n) -> (..., N, m)
        """Compute y."""
        y = super().forward(x)
        y += self.bias
        return y

    def backward(self, dy):  # (..., N, m) -> (..., N, n)
        """Leave the gradients of W and b, return that of x."""
        np.matmul(self.ones, dy, out=self.d_bias)  # a sum over rows, several times faster than sum(axis=0)
        return super().backward(dy)


class LayerNorm:
    """LayerNorm: :func:`~cllm_lib.model.layers.layer_norm_forward`. Means are products with a column of 1 / D."""

    def __init__(self, block, d_block, n_rows, eps=1e-5):
        self.gain, self.bias = block
        self.d_gain, self.d_bias = d_block
        width, self.eps = self.gain.size, eps
        self.mean = np.full((width, 1), 1.0 / width, block.dtype)
        self.ones = np.ones(n_rows, block.dtype)
        self.normalised, self.y, self.dx, self.scratch = np.empty((4, n_rows, width), block.dtype)

    @staticmethod
    def shapes(config):
        """Gain and bias, a row each."""
        return (2, config.d_model)

    def forward(self, x):  # (N, D) -> (N, D)
        """Rows of mean 0 and variance 1, scaled and shifted."""
        centred = np.subtract(x, x @ self.mean, out=self.normalised)
        variance = np.vecdot(centred, centred)[:, None] / self.gain.size
        self.inverse_std = 1.0 / np.sqrt(variance + self.eps)
        self.normalised *= self.inverse_std
        np.multiply(self.normalised, self.gain, out=self.y)
        self.y += self.bias
        return self.y

    def backward(self, dy):  # (N, D) -> (N, D)
        """See :func:`~cllm_lib.model.layers.layer_norm_backward`."""
        along = np.multiply(dy, self.normalised, out=self.scratch)
        np.matmul(self.ones, along, out=self.d_gain)
        np.matmul(self.ones, dy, out=self.d_bias)
        gain_mean = self.gain[:, None] * self.mean  # mean(dy * gain) = dy @ (gain / D)
        shift, stretch = dy @ gain_mean, along @ gain_mean
        dx = np.multiply(dy, self.gain, out=self.dx)
        dx -= shift
        dx -= np.multiply(self.normalised, stretch, out=self.scratch)
        dx *= self.inverse_std
        return dx


class RMSNorm:
    """RMSNorm: :func:`~cllm_lib.model.layers.rms_norm_forward`."""

    def __init__(self, block, d_block, n_rows, eps=1e-5):
        self.gain, self.d_gain, self.eps = block, d_block, eps
        self.ones = np.ones(n_rows, block.dtype)
        self.normalised, self.y, self.dx, self.scratch = np.empty((4, n_rows, block.size), block.dtype)

    @staticmethod
    def shapes(config):
        """The gain alone."""
        return (config.d_model,)

    def forward(self, x):  # (N, D) -> (N, D)
        """Rows of mean square 1, scaled."""
        mean_square = np.vecdot(x, x)[:, None] / self.gain.size
        self.inverse_rms = 1.0 / np.sqrt(mean_square + self.eps)
        np.multiply(x, self.inverse_rms, out=self.normalised)
        return np.multiply(self.normalised, self.gain, out=self.y)

    def backward(self, dy):  # (N, D) -> (N, D)
        """See :func:`~cllm_lib.model.layers.rms_norm_backward`."""
        along = np.multiply(dy, self.normalised, out=self.scratch)
        np.matmul(self.ones, along, out=self.d_gain)
        stretch = along @ (self.gain[:, None] / self.gain.size)
        dx = np.multiply(dy, self.gain, out=self.dx)
        dx -= np.multiply(self.normalised, stretch, out=self.scratch)
        dx *= self.inverse_rms
        return dx


class Tanh:
    """Tanh and its slope, both in place: no array of its own."""

    def __init__(self, x):
        self.y = x

    def forward(self, x):  # (N, F) -> (N, F)
        """Overwrites x, which is always the array that it was made for."""
        return np.tanh(x, out=self.y)

    def backward(self, dy):  # (N, F) -> (N, F)
        """Overwrites dy, and what forward left."""
        slope = self.y  # tanh' = 1 - tanh^2
        slope *= slope
        np.subtract(1.0, slope, out=slope)
        dy *= slope
        return dy


class Gelu:
    """GELU and its slope: :func:`~cllm_lib.model.activation_functions.gelu_forward` into an array that is kept."""

    def __init__(self, x):
        self.y = np.empty_like(x)

    def forward(self, x):  # (N, F) -> (N, F)
        """Keeps x, of which the slope is asked."""
        self.x = x
        return gelu_forward(x, out=self.y)

    def backward(self, dy):  # (N, F) -> (N, F)
        """Overwrites what forward left."""
        return gelu_backward(dy, self.x, out=self.y)


class FeedForward:
    """The feed-forward network, its activation in place: :func:`~cllm_lib.model.layers.feed_forward_forward`."""

    activation = Tanh

    def __init__(self, blocks, d_blocks, n_rows):
        self.expand = Affine(blocks["expand"], d_blocks["expand"], n_rows)
        self.contract = Affine(blocks["contract"], d_blocks["contract"], n_rows)
        self.between = self.activation(self.expand.y)

    @staticmethod
    def shapes(config):
        """Two matrices, each with its bias."""
        return {"expand": (config.d_model + 1, config.d_ff), "contract": (config.d_ff + 1, config.d_model)}

    def forward(self, x):  # (N, D) -> (N, D)
        """D to F, the activation, and back."""
        return self.contract.forward(self.between.forward(self.expand.forward(x)))

    def backward(self, dy):  # (N, D) -> (N, D)
        """See :func:`~cllm_lib.model.layers.feed_forward_backward`."""
        return self.expand.backward(self.between.backward(self.contract.backward(dy)))


class GeluFeedForward(FeedForward):
    """The same with GELU."""

    activation = Gelu


class SwiGLU:
    """The gated feed-forward network: :func:`~cllm_lib.model.layers.swiglu_forward`. Gate and up are a stack of two."""

    def __init__(self, blocks, d_blocks, n_rows):
        self.gate_and_up = Product(blocks["gate_and_up"], d_blocks["gate_and_up"], n_rows)
        self.down = Product(blocks["down"], d_blocks["down"], n_rows)
        self.d_gate_and_up = np.empty_like(self.gate_and_up.y)
        self.share, self.opened, self.hidden = np.empty((3, *self.gate_and_up.y.shape[1:]), self.down.y.dtype)

    @staticmethod
    def shapes(config):
        """Three matrices without biases."""
        return {"gate_and_up": (2, config.d_model, config.d_ff), "down": (config.d_ff, config.d_model)}

    def forward(self, x):  # (N, D) -> (N, D)
        """SiLU(gate) * up, and back to D."""
        gate, up = self.gate_and_up.forward(x)
        share = np.multiply(0.5, gate, out=self.share)
        np.tanh(share, out=share)  # the sigmoid by tanh: four passes in place
        share *= 0.5
        share += 0.5
        np.multiply(gate, share, out=self.opened)
        return self.down.forward(np.multiply(self.opened, up, out=self.hidden))

    def backward(self, dy):  # (N, D) -> (N, D)
        """See :func:`~cllm_lib.model.layers.swiglu_backward`."""
        d_hidden, (d_gate, d_up) = self.down.backward(dy), self.d_gate_and_up
        _, up = self.gate_and_up.y
        np.multiply(d_hidden, self.opened, out=d_up)
        slope = np.subtract(1.0, self.share, out=d_gate)  # SiLU' = s + x s (1 - s)
        slope *= self.opened
        slope += self.share
        d_hidden *= up
        d_gate *= d_hidden
        dx, d_path = self.gate_and_up.backward(self.d_gate_and_up)
        dx += d_path
        return dx


NORMS = {"layer": LayerNorm, "rms": RMSNorm}
FEED_FORWARDS = {"tanh": FeedForward, "gelu": GeluFeedForward, "swiglu": SwiGLU}
