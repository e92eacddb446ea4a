"""How the time of a token grows with the sequence and the width, beside what counting operations predicts."""

import math
import statistics
from dataclasses import replace

import numpy as np

from benchmarks.compare import seconds_of
from benchmarks.peers import SMALL, Ours, product_shapes

TOKENS = 1024  # in a batch, however long its sequences are
LENGTHS = (32, 64, 128, 256, 512, 1024)  # at width 512
WIDTHS = (64, 96, 128, 192, 256, 384, 512)  # at length 128


def sized(width, length):
    """A configuration of that width, and the batch that makes TOKENS tokens of it."""
    return replace(SMALL, d_model=width, d_ff=4 * width, seq_len=length), TOKENS // length


def operation_counts(config, batch):
    """Operations of a forward and backward pass for each token, counted from the shapes of the plain layers.

    Returns
    -------
    dict
        `flops`: additions and multiplications of the matrix products; `passes`: numbers that go through one simple
        operation on whole arrays, such as an addition; `exps`: numbers whose exponential or tanh is taken.
    """
    tokens, layers = batch * config.seq_len, config.n_layers
    scores = layers * config.n_heads * config.seq_len  # mask, maximum, -, /; backward -, *
    inner = layers * config.d_ff  # bias; backward square, 1 -, *
    width = layers * config.d_model  # 5 biases and a scale, 2 residuals, 2 norms of 6; backward 2 residuals, 2 norms of 6, scale, 2 sums
    logits = config.vocab_size  # maximum, -, *
    return {
        "flops": 3 * 2 * sum(math.prod(shape) for shape in product_shapes(config, batch)) / tokens,
        "passes": 6 * scores + 4 * inner + 37 * width + 3 * logits,
        "exps": scores + inner + logits,
    }


class Growth:
    """Everything the measurement needs, in one process: `measure()` goes round all sizes, again and again."""

    def __init__(self, sizes):
        self.contestants = {size: Ours(config, adam=False, batch=batch) for size, (config, batch) in sizes.items()}

    def measure(self, rounds):
        """Median seconds of a step at each size, and of one operation of each kind."""
        times = {size: [] for size in self.contestants}
        prices = {kind: [] for kind in ("flops", "passes", "exps")}
        for _ in range(rounds):
            for size, contestant in self.contestants.items():
                times[size] += seconds_of(contestant.step, 1)
            for kind, price in prices_now().items():
                prices[kind].append(price)
        return [{key: statistics.median(values) for key, values in table.items()} for table in (times, prices)]


def prices_now(n=512):
    """Seconds of one operation of each kind, on arrays that fit in the processor's cache."""
    generator = np.random.default_rng(0)
    a, b, out = generator.standard_normal((3, n, n), np.float32)
    return {
        "flops": statistics.median(seconds_of(lambda: np.matmul(a, b, out=out), 5)) / (2 * n**3),
        "passes": statistics.median(seconds_of(lambda: np.add(a, b, out=out), 5)) / n**2,
        "exps": statistics.median(seconds_of(lambda: np.exp(a, out=out), 5)) / n**2,
    }


def slope(x, y):
    """Of the straight line through the logarithms, by least squares: 1 when y grows in proportion to x."""
    x, y = np.log(x), np.log(y)
    return float(np.polyfit(x, y, 1)[0])
