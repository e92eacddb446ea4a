"""Independent ways to the same numbers: a second implementation under automatic differentiation, and differences."""

import math

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.scipy.stats import norm as normal


def reference_row(name, position, width):
    """One row of a table of positions, number by number, divided by its length."""
    angles = {
        "sinusoidal": lambda k: position / 10_000 ** (2 * k / width),
        "spiral": lambda k: (k + 1) * position * 2 * math.pi / ((1 + math.sqrt(5)) / 2) ** 2,
        "clock": lambda k: (k + 1) * 2 * math.pi * position / 12,
        "prime": lambda k: (k + 1) * 2 * math.pi * (nth_prime(position + 1) % 1000) / 1000,
    }
    row = [(math.cos if column % 2 else math.sin)(angles[name](column // 2)) for column in range(width)]
    return [number / math.sqrt(sum(square * square for square in row)) for number in row]


def nth_prime(n):
    """SymPy's, read here only: importing it takes as long as many a test."""
    import sympy

    return int(sympy.prime(n))


def turned(x, position, base=10_000.0, pairs="neighbours"):
    """Rotary embedding of one head's row, written with a rotation matrix for each pair."""
    width = len(x)
    columns = [0] * width
    for i in range(width // 2):
        angle = position * base ** (-2 * i / width)
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        places = (2 * i, 2 * i + 1) if pairs == "neighbours" else (i, i + width // 2)
        for place, row in zip(places, matrix, strict=True):
            columns[place] = row[0] * x[places[0]] + row[1] * x[places[1]]
    return anp.array(columns)


def reference_loss(parameters, tokens, targets, n_layers, n_heads, tied, positions="none", **others):
    """The model once more, position by position and head by head, in plain formulas; `others` as a configuration names them."""
    total = 0.0
    for row, row_targets in zip(tokens, targets, strict=True):
        states = [parameters["embedding"][token] for token in row]
        if "positions.table" in parameters:
            states = [state + parameters["positions.table"][t] for t, state in enumerate(states)]
        elif positions not in ("none", "rotary", "distance_bias"):
            states = [
                state + 0.04 * len(state) ** 0.5 * np.array(reference_row(positions, t, len(state))) for t, state in enumerate(states)
            ]
        for i in range(n_layers):
            states = reference_layer(states, lambda name, i=i: parameters.get(f"layers.{i}.{name}"), n_heads, positions, **others)
        if others.get("norm_first"):
            states = [reference_norm(state, parameters["final_norm.gain"], parameters.get("final_norm.bias")) for state in states]
        for state, target in zip(states, row_targets, strict=True):
            logits = parameters["embedding"] @ state if tied else state @ parameters["output_weight"]
            total = total - anp.log(anp.exp(logits[target]) / anp.sum(anp.exp(logits)))
    return total / np.size(tokens)


def reference_layer(states, p, n_heads, positions="none", norm_first=False, feed_forward="tanh", **others):
    """One layer: norms without a bias are RMSNorm, as reference_norm has it."""

    def normed(x, name):
        return reference_norm(x, p(f"{name}.gain"), p(f"{name}.bias"))

    read = [normed(x, "attention_norm") if norm_first else x for x in states]
    outputs = []
    for x, attended in zip(states, reference_attention(read, p, n_heads, positions, **others), strict=True):
        x = x + attended if norm_first else normed(x + attended, "attention_norm")
        fed = reference_feed_forward(normed(x, "feed_forward_norm") if norm_first else x, p, feed_forward)
        outputs.append(x + fed if norm_first else normed(x + fed, "feed_forward_norm"))
    return outputs


def reference_attention(states, p, n_heads, positions="none", n_kv_heads=None, rope_base=10_000.0, rope_pairs="neighbours", norm=None):
    width, served = len(states[0]) // n_heads, n_heads // (n_kv_heads or n_heads)
    query, key, value = (
        [x @ p(f"attention.{name}_weight") + p(f"attention.{name}_bias") for x in states] for name in ("query", "key", "value")
    )
    outputs = []
    for t in range(len(states)):
        heads = []
        for h in range(n_heads):
            own, shared = (slice(i * width, (i + 1) * width) for i in (h, h // served))

            def place(row, position):
                return turned(row, position, rope_base, rope_pairs) if positions == "rotary" else row

            scores = anp.array([anp.sum(place(query[t][own], t) * place(key[s][shared], s)) for s in range(t + 1)]) / width**0.5
            if positions == "distance_bias":
                scores = scores - p("attention.slopes")[h] * np.arange(t, -1, -1, dtype=np.int64)
            weights = anp.exp(scores) / anp.sum(anp.exp(scores))
            heads.append(sum(weights[s] * value[s][shared] for s in range(t + 1)))
        outputs.append(anp.concatenate(heads) @ p("attention.output_weight") + p("attention.output_bias"))
    return outputs


def reference_feed_forward(x, p, kind="tanh"):
    if kind == "swiglu":
        gate = x @ p("feed_forward.gate_weight")
        return (gate / (1.0 + anp.exp(-gate)) * (x @ p("feed_forward.up_weight"))) @ p("feed_forward.down_weight")
    expanded = x @ p("feed_forward.expand_weight") + p("feed_forward.expand_bias")
    hidden = anp.tanh(expanded) if kind == "tanh" else expanded * normal.cdf(expanded)
    return hidden @ p("feed_forward.contract_weight") + p("feed_forward.contract_bias")


def reference_norm(x, gain, bias=None):
    if bias is None:
        return x / anp.sqrt(anp.mean(x * x) + 1e-5) * gain
    return (x - anp.mean(x)) / anp.sqrt(anp.var(x) + 1e-5) * gain + bias


def reference_gradients(parameters, *arguments, **others):
    """Loss and gradients of :func:`reference_loss` by automatic differentiation."""
    loss, gradients = autograd.value_and_grad(reference_loss)(dict(parameters), *arguments, **others)
    return float(loss), gradients


def difference_gradient(loss, array, step=1e-3):
    """Central differences of fourth order in every entry of `array`, which `loss()` reads; left as it was.

    (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12 h: its error falls with h^4, so h can be large enough that rounding
    does not show (Abramowitz and Stegun 1972, 25.3.6).
    """
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        values = []
        for factor in (1, -1, 2, -2):
            array[index] = before + factor * step
            values.append(loss())
        array[index] = before
        gradient[index] = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
    return gradient


def spread_out(model, seed=0, size=0.4):
    """Move a model's parameters off zero and off their symmetric start, where a wrong backward pass could hide."""
    generator = np.random.default_rng(seed)
    model.flat_parameters += size * generator.standard_normal(model.flat_parameters.size)
    return model


def random_batch(vocab_size, batch, time, seed=0):
    """Tokens and targets, with repeated tokens among them."""
    generator = np.random.default_rng(seed)
    return generator.integers(vocab_size, size=(batch, time)), generator.integers(vocab_size, size=(batch, time))
