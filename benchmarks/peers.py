"""The contestants: our model, the same model in PyTorch and in JAX, and its matrix products alone.

All compute one step of training on the same batch from the same weights: post-LayerNorm, causal attention, tanh, mean
cross-entropy, an output matrix of its own. PyTorch knows the layer of today's models, too. :func:`agreement` measures that they do,
before anything is timed.
"""

import math
from dataclasses import replace

import numpy as np

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.lattice.encodings import rotation_angles
from cllm_lib.model.attention import PROJECTIONS
from cllm_lib.training.optimizers import Adam

BATCH = 4
RATE = 1e-4
LARGE = CLLMConfig(10_000, d_model=512, n_layers=2, n_heads=8, d_ff=2048, seq_len=32, dtype="float32", tie_embeddings=False)
SMALL = CLLMConfig(512, d_model=64, n_layers=2, n_heads=8, d_ff=256, seq_len=32, dtype="float32", tie_embeddings=False)
OF_TODAY = dict(norm="rms", norm_first=True, feed_forward="swiglu", positions="rotary", rope_pairs="halves")  # as Llama
LARGE_OF_TODAY = replace(LARGE, **OF_TODAY, n_kv_heads=2, d_ff=1360)  # two thirds: of three matrices as many numbers as of two
SMALL_OF_TODAY = replace(SMALL, **OF_TODAY, n_kv_heads=2, d_ff=172)


def batch_of(config, batch=BATCH):
    """Random tokens and targets, the same for everybody: two arrays (batch, seq_len)."""
    return np.random.default_rng(0).integers(0, config.vocab_size, (2, batch, config.seq_len))


def initial_weights(config):
    """Copies of our initial weights, by name."""
    return {name: array.copy() for name, array in CLLM(config, seed=0).parameters.items()}


class Ours:
    """The library: forward, backward and, if asked for, Adam."""

    def __init__(self, config, adam=True, batch=BATCH):
        self.model, self.tokens, self.targets = CLLM(config, seed=0), *batch_of(config, batch)
        self.optimizer = Adam(RATE) if adam else None

    def step(self):
        """One step; returns the loss before it."""
        loss = self.model.forward_backward(self.tokens, self.targets)
        if self.optimizer:
            self.optimizer.step(self.model.flat_parameters, self.model.flat_gradients)
        return loss

    def parameters(self):
        """By name."""
        return self.model.parameters


class Products:
    """The matrix products of forward and backward pass, into arrays that stand ready, and nothing else."""

    def __init__(self, config):
        generator = np.random.default_rng(0)
        self.products = []
        for *left, n, m, p in product_shapes(config, BATCH):
            # (n, m) @ (m, p), as forward, then the gradients of both factors. Attention's products come in stacks.
            a, b, dy = (generator.standard_normal((*left, *shape), np.float32) for shape in ((n, m), (m, p), (n, p)))
            self.products += [(a, b, np.empty_like(dy)), (a.mT, dy, np.empty_like(b)), (dy, b.mT, np.empty_like(a))]

    def step(self):
        """All products once."""
        for a, b, out in self.products:
            np.matmul(a, b, out=out)


def product_shapes(config, batch):
    """Shapes of the matrix products of a forward pass: (..., n, m, p) for (..., n, m) @ (..., m, p).

    Backward takes two products of the same size for each.
    """
    rows, time, width, inner = batch * config.seq_len, config.seq_len, config.d_model, config.d_ff
    heads, d_head = (batch, config.n_heads), config.d_head
    attention = [(*heads, time, d_head, time), (*heads, time, time, d_head)]
    layer = [(rows, width, 3 * width), *attention, (rows, width, width), (rows, width, inner), (rows, inner, width)]
    return config.n_layers * layer + [(rows, width, config.vocab_size)]


def _heads(x, n_heads):  # (B, T, width) -> (B, H, T, d)
    return x.view(*x.shape[:2], n_heads, -1).transpose(1, 2)


def _as_ours(name, linear):
    """A linear layer of PyTorch as our two arrays by name: the matrix turned, and the bias if it has one."""
    yield f"{name}_weight", linear.weight.T
    if linear.bias is not None:
        yield f"{name}_bias", linear.bias


def layer_of_2017(config):
    """A layer in PyTorch: LayerNorm behind the sums, tanh, as many heads of keys as of queries."""
    import torch

    functional, width = torch.nn.functional, config.d_model

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.projections, self.output = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
            self.expand, self.contract = torch.nn.Linear(width, config.d_ff), torch.nn.Linear(config.d_ff, width)
            self.attention_norm, self.feed_forward_norm = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)

        def forward(self, x):  # (B, T, D) -> (B, T, D)
            query, key, value = (_heads(y, config.n_heads) for y in self.projections(x).split(width, dim=-1))
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = self.attention_norm(x + self.output(attended.transpose(1, 2).reshape(x.shape)))
            return self.feed_forward_norm(x + self.contract(torch.tanh(self.expand(x))))

        def named(self):
            for j, name in enumerate(PROJECTIONS):  # query, key and value cut from their stack
                yield f"attention.{name}_weight", self.projections.weight.chunk(3)[j].T
                yield f"attention.{name}_bias", self.projections.bias.chunk(3)[j]
            yield from _as_ours("attention.output", self.output)
            yield from _as_ours("feed_forward.expand", self.expand)
            yield from _as_ours("feed_forward.contract", self.contract)
            for name in ("attention_norm", "feed_forward_norm"):
                yield f"{name}.gain", getattr(self, name).weight
                yield f"{name}.bias", getattr(self, name).bias

    return Layer()


def layer_of_today(config):
    """A layer in PyTorch as Llama's: RMSNorm first, SwiGLU, grouped queries, rotary positions by halves."""
    import torch

    functional, width, inner, d_head = torch.nn.functional, config.d_model, config.d_ff, config.d_head
    angles = torch.from_numpy(rotation_angles(np.arange(config.seq_len, dtype=np.int64), d_head, config.rope_base)).float()
    cosine, sine = angles.cos().tile(2), angles.sin().tile(2)  # (T, d)

    def turned(x):  # (B, H, T, d) -> (B, H, T, d)
        first, second = x.chunk(2, dim=-1)
        return x * cosine + torch.cat([-second, first], dim=-1) * sine

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.output = torch.nn.Linear(width, width), torch.nn.Linear(width, width)
            self.key, self.value = (torch.nn.Linear(width, config.kv_heads * d_head) for _ in range(2))
            self.gate, self.up = (torch.nn.Linear(width, inner, bias=False) for _ in range(2))
            self.down = torch.nn.Linear(inner, width, bias=False)
            self.attention_norm, self.feed_forward_norm = (torch.nn.RMSNorm(width, eps=1e-5) for _ in range(2))

        def forward(self, x):  # (B, T, D) -> (B, T, D)
            normed = self.attention_norm(x)
            query = turned(_heads(self.query(normed), config.n_heads))
            key, value = (_heads(part(normed), config.kv_heads) for part in (self.key, self.value))
            attended = functional.scaled_dot_product_attention(query, turned(key), value, is_causal=True, enable_gqa=True)
            x = x + self.output(attended.transpose(1, 2).reshape(x.shape))
            normed = self.feed_forward_norm(x)
            return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))

        def named(self):
            for name in (*PROJECTIONS, "output"):
                yield from _as_ours(f"attention.{name}", getattr(self, name))
            for name in ("gate", "up", "down"):
                yield from _as_ours(f"feed_forward.{name}", getattr(self, name))
            for name in ("attention_norm", "feed_forward_norm"):
                yield f"{name}.gain", getattr(self, name).weight

    return Layer()


class PyTorch:
    """PyTorch on the CPU, eager, with fused attention and Adam fused or as it comes."""

    def __init__(self, config, fused, weights=None):
        import torch

        self.torch = torch
        self.embedding = torch.nn.Embedding(config.vocab_size, config.d_model)
        self.output = torch.nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.layers = [(layer_of_today if config.norm_first else layer_of_2017)(config) for _ in range(config.n_layers)]
        self.norms = [torch.nn.RMSNorm(config.d_model, eps=1e-5)] if config.norm_first else []
        self.network = torch.nn.Sequential(self.embedding, *self.layers, *self.norms, self.output)
        if weights is not None:
            with torch.no_grad():
                for name, tensor in self._named():
                    tensor.copy_(torch.from_numpy(weights[name]))
        self.optimizer = torch.optim.Adam(self.network.parameters(), RATE, fused=True if fused else None)
        self.tokens, self.targets = torch.from_numpy(batch_of(config))

    def _named(self):
        """Our names, and for each the tensor that is it."""
        yield "embedding", self.embedding.weight
        for i, layer in enumerate(self.layers):
            yield from ((f"layers.{i}.{name}", tensor) for name, tensor in layer.named())
        for norm in self.norms:
            yield "final_norm.gain", norm.weight
        yield "output_weight", self.output.weight.T

    def step(self):
        """One step; returns the loss before it."""
        logits = self.network(self.tokens)
        loss = self.torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.targets.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def parameters(self):
        """By our names."""
        return {name: tensor.detach().numpy() for name, tensor in self._named()}


class JAX:
    """JAX on the CPU: one compiled step, which may write into the arrays it was given."""

    def __init__(self, config, weights):
        import jax
        import jax.numpy as jnp

        self.jax, self.weights = jax, {name: jnp.asarray(array) for name, array in weights.items()}
        self.moments = tuple({name: jnp.zeros_like(array) for name, array in self.weights.items()} for _ in range(2))
        self.steps, self.batch = 0, tuple(jnp.asarray(ids, jnp.int32) for ids in batch_of(config))

        def norm(x, p, name):
            mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
            return (x - mean) / jnp.sqrt(variance + 1e-5) * p[f"{name}.gain"] + p[f"{name}.bias"]

        def linear(x, p, name):
            return x @ p[f"{name}_weight"] + p[f"{name}_bias"]

        def layer(x, p, i):
            name = f"layers.{i}."
            query, key, value = (
                linear(x, p, f"{name}attention.{projection}").reshape(*x.shape[:2], config.n_heads, config.d_head)
                for projection in PROJECTIONS
            )
            scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(config.d_head)
            scores = jnp.where(jnp.tri(x.shape[1], dtype=bool), scores, -jnp.inf)
            attended = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value).reshape(x.shape)
            x = norm(x + linear(attended, p, f"{name}attention.output"), p, f"{name}attention_norm")
            hidden = jnp.tanh(linear(x, p, f"{name}feed_forward.expand"))
            return norm(x + linear(hidden, p, f"{name}feed_forward.contract"), p, f"{name}feed_forward_norm")

        def loss_of(p, tokens, targets):
            x = p["embedding"][tokens]
            for i in range(config.n_layers):
                x = layer(x, p, i)
            log_probabilities = jax.nn.log_softmax(x @ p["output_weight"])
            return -jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1).mean()

        def step(p, m, v, t, tokens, targets):
            loss, g = jax.value_and_grad(loss_of)(p, tokens, targets)
            m = {name: 0.9 * m[name] + 0.1 * g[name] for name in p}
            v = {name: 0.999 * v[name] + 0.001 * g[name] ** 2 for name in p}
            rate, correction = RATE / (1.0 - 0.9**t), 1.0 - 0.999**t
            p = {name: p[name] - rate * m[name] / (jnp.sqrt(v[name] / correction) + 1e-8) for name in p}
            return loss, p, m, v

        self.compiled = jax.jit(step, donate_argnums=(0, 1, 2))

    def step(self):
        """One step; returns the loss before it."""
        self.steps += 1
        loss, self.weights, *self.moments = self.compiled(self.weights, *self.moments, float(self.steps), *self.batch)
        self.jax.block_until_ready(self.weights)
        return float(loss)

    def parameters(self):
        """By name, as ours."""
        return {name: np.asarray(array) for name, array in self.weights.items()}


def pytorch_fused(config):
    """PyTorch with its fused Adam, from our weights."""
    return PyTorch(config, True, initial_weights(config))


def pytorch_default(config):
    """PyTorch with the Adam one gets without asking, from our weights."""
    return PyTorch(config, False, initial_weights(config))


def jax_compiled(config):
    """JAX, from our weights."""
    return JAX(config, initial_weights(config))


def forward_backward_only(config):
    """Ours without the optimiser."""
    return Ours(config, adam=False)


def agreement(ours, theirs, start):
    """How far two contestants are apart after a step, as a share of the step.

    Parameters
    ----------
    ours, theirs : dict of str to ndarray
        Parameters after the step.
    start : dict of str to ndarray
        Parameters before it.

    Returns
    -------
    float
        |ours - theirs| / |ours - start|, over all parameters but the keys' biases. Softmax does not see a bias of the
        keys, so their gradient is 0 but for rounding, and Adam makes full steps even of rounding.

    Raises
    ------
    ValueError
        If the names differ.
    """
    if not ours.keys() == theirs.keys() == start.keys():
        raise ValueError(f"different parameters: {sorted(ours.keys() ^ theirs.keys())}")
    names = [name for name in start if not name.endswith("key_bias")]
    apart, moved = (math.hypot(*(np.linalg.norm(ours[name] - other[name]) for name in names)) for other in (theirs, start))
    return apart / moved
