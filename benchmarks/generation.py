"""The next token after a long context: with the cache, without it, and PyTorch with a cache of its own.

All read the same context with the same weights, and give the scores of what comes after it: :func:`apart` measures that
they agree, before anything is timed. A step reads the last token of the context, and takes the likeliest to follow.
"""

from dataclasses import replace

import numpy as np

from benchmarks import peers
from benchmarks.compare import seconds_of
from cllm_lib import CLLM
from cllm_lib.model.key_value_cache import KeyValueCache

CONTEXT = 256  # tokens
LENGTHS = (32, 64, 128, 256, 512, 1024)


def lengthened(config, length=CONTEXT):
    """The same model for longer sequences; without positions it has no more weights."""
    return replace(config, seq_len=length)


def context_of(config):
    """Random tokens (1, seq_len), the same for everybody."""
    return peers.batch_of(config, batch=1)[0]


class Recomputed:
    """The library without its cache: the whole context again for each token."""

    def __init__(self, config):
        self.model, self.tokens = CLLM(config, seed=0), context_of(config)

    def logits(self):  # -> (V,)
        """Scores of what follows the context."""
        return self.model.logits(self.tokens)[0, -1]

    def step(self):
        """One token."""
        return int(self.logits().argmax())


class Cached(Recomputed):
    """The library with its cache, which has read the context."""

    def __init__(self, config):
        super().__init__(config)
        self.cache = KeyValueCache(self.model)
        self.cache.extend(self.tokens)

    def logits(self, length=None):  # -> (V,)
        """Scores of what follows the context, or the first `length` tokens of it."""
        last = (length or self.tokens.shape[1]) - 1
        self.cache.length = last  # back, or forward again: what the context left behind this position is still there
        return self.cache.extend(self.tokens[:, last : last + 1])[0]


class PyTorchCached:
    """PyTorch on the CPU, eager, fused attention, keys and values written into arrays that stand ready."""

    def __init__(self, config):
        peer = peers.pytorch_fused(config)
        self.torch, self.embedding, self.layers, self.output = peer.torch, peer.embedding, peer.layers, peer.output
        self.tokens, self.n_heads = self.torch.from_numpy(context_of(config)), config.n_heads
        self.keys, self.values = self.torch.zeros(2, config.n_layers, 1, config.n_heads, config.seq_len, config.d_head)
        self._read(self.tokens[:, :-1], 0)

    def _read(self, tokens, start):  # (1, T) -> (V,)
        attend, stop = self.torch.nn.functional.scaled_dot_product_attention, start + tokens.shape[1]
        with self.torch.inference_mode():
            x = self.embedding(tokens)
            for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
                split = (*x.shape[:2], self.n_heads, -1)
                query, key, value = (y.view(split).transpose(1, 2) for y in layer.projections(x).split(x.shape[-1], dim=-1))
                keys[:, :, start:stop], values[:, :, start:stop] = key, value
                # Only the prompt needs a mask: a single query may look at every key.
                attended = attend(query, keys[:, :, :stop], values[:, :, :stop], is_causal=start == 0)
                x = layer.attention_norm(x + layer.output(attended.transpose(1, 2).reshape(x.shape)))
                x = layer.feed_forward_norm(x + layer.contract(self.torch.tanh(layer.expand(x))))
            return self.output(x[0, -1])

    def logits(self):  # -> (V,)
        """Scores of what follows the context."""
        return self._read(self.tokens[:, -1:], self.tokens.shape[1] - 1).numpy()

    def step(self):
        """One token."""
        return int(self._read(self.tokens[:, -1:], self.tokens.shape[1] - 1).argmax())


def apart(logits, others):  # 2 x (V,) -> float
    """The largest difference, as a share of the largest logit."""
    return float(np.abs(logits - others).max() / np.abs(logits).max())


class Growth:
    """One cache that goes back to each length in turn; `measure()` returns seconds of each step, in rounds."""

    def __init__(self, config, lengths=LENGTHS):
        self.lengths, self.contestant = lengths, Cached(lengthened(config, max(lengths)))

    def measure(self, rounds, steps):
        """By length, as :func:`~benchmarks.compare.ratio` takes them."""
        times = {length: [] for length in self.lengths}
        for _ in range(rounds):
            for length in self.lengths:
                times[length].append(seconds_of(lambda n=length: self.contestant.logits(n), steps))
        return times


def operations(config, length):
    """Additions and multiplications in the matrix products of the `length`-th token."""
    width, inner = config.d_model, config.d_ff
    weights = config.n_layers * (4 * width * width + 2 * width * inner) + width * config.vocab_size
    return 2 * (weights + config.n_layers * 2 * width * length)  # queries with keys, and weights with values
