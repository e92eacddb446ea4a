"""Independent ways to the same numbers: a second implementation under automatic differentiation, and differences."""

import math

import autograd
import autograd.numpy as anp
import numpy as np


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


def turned(x, position):
    """Rotary embedding of one head's row, written with a rotation matrix for each pair."""
    pieces = []
    for i in range(0, len(x), 2):
        angle = position * 10_000 ** (-i / len(x))
        pieces.append(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ x[i : i + 2])
    return anp.concatenate(pieces)


def reference_loss(parameters, tokens, targets, n_layers, n_heads, tied, positions="none"):
    """The model once more, position by position and head by head, in plain formulas."""
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
            states = reference_layer(states, lambda name, i=i: parameters[f"layers.{i}.{name}"], n_heads, positions)
        for state, target in zip(states, row_targets, strict=True):
            logits = parameters["embedding"] @ state if tied else state @ parameters["output_weight"]
            total = total - anp.log(anp.exp(logits[target]) / anp.sum(anp.exp(logits)))
    return total / np.size(tokens)


def reference_layer(states, p, n_heads, positions="none"):
    width = len(states[0]) // n_heads
    query, key, value = (
        [x @ p(f"attention.{name}_weight") + p(f"attention.{name}_bias") for x in states] for name in ("query", "key", "value")
    )
    outputs = []
    for t in range(len(states)):
        heads = []
        for h in range(n_heads):
            part = slice(h * width, (h + 1) * width)

            def place(row, position, part=part):
                return turned(row[part], position) if positions == "rotary" else row[part]

            scores = anp.array([anp.sum(place(query[t], t) * place(key[s], s)) for s in range(t + 1)]) / width**0.5
            if positions == "distance_bias":
                scores = scores - p("attention.slopes")[h] * np.arange(t, -1, -1, dtype=np.int64)
            weights = anp.exp(scores) / anp.sum(anp.exp(scores))
            heads.append(sum(weights[s] * value[s][part] for s in range(t + 1)))
        attended = anp.concatenate(heads) @ p("attention.output_weight") + p("attention.output_bias")
        x = reference_norm(states[t] + attended, p("attention_norm.gain"), p("attention_norm.bias"))
        hidden = anp.tanh(x @ p("feed_forward.expand_weight") + p("feed_forward.expand_bias"))
        fed = hidden @ p("feed_forward.contract_weight") + p("feed_forward.contract_bias")
        outputs.append(reference_norm(x + fed, p("feed_forward_norm.gain"), p("feed_forward_norm.bias")))
    return outputs


def reference_norm(x, gain, bias):
    return (x - anp.mean(x)) / anp.sqrt(anp.var(x) + 1e-5) * gain + bias


def reference_gradients(parameters, *arguments):
    """Loss and gradients of :func:`reference_loss` by automatic differentiation."""
    loss, gradients = autograd.value_and_grad(reference_loss)(dict(parameters), *arguments)
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
