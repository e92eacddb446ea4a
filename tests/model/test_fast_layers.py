"""The quick twins of single parts against the plain functions, which define them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model import activation_functions, fast_layers, layers
from cllm_lib.model.transformer import views_of

ROUNDING = {"float64": 1e-12, "float32": 1e-4}
PARTS = {
    "layer norm": (fast_layers.LayerNorm, layers.layer_norm_forward, layers.layer_norm_backward, ("gain", "bias")),
    "rms norm": (fast_layers.RMSNorm, layers.rms_norm_forward, layers.rms_norm_backward, ("gain",)),
    "feed-forward": (
        fast_layers.FeedForward,
        layers.feed_forward_forward,
        layers.feed_forward_backward,
        ("expand_weight", "expand_bias", "contract_weight", "contract_bias"),
    ),
    "feed-forward with GELU": (
        fast_layers.GeluFeedForward,
        lambda *arrays: layers.feed_forward_forward(*arrays, activation=lambda x: (activation_functions.gelu_forward(x), x)),
        lambda dy, cache: layers.feed_forward_backward(dy, cache, activation_functions.gelu_backward),
        ("expand_weight", "expand_bias", "contract_weight", "contract_bias"),
    ),
    "swiglu": (fast_layers.SwiGLU, layers.swiglu_forward, layers.swiglu_backward, ("gate_weight", "up_weight", "down_weight")),
}


def shape_of(name, width, inner):
    """Of a parameter, as the plain functions have it."""
    into, out = (inner, width) if name.startswith(("contract", "down")) else (width, inner)
    return {"gain": (width,), "bias": (width,)}.get(name) or ((into, out) if name.endswith("weight") else (out,))


@pytest.mark.parametrize("part", PARTS)
@given(
    n_rows=st.integers(1, 5),
    width=st.integers(2, 6),
    inner=st.integers(1, 7),
    dtype=st.sampled_from(sorted(ROUNDING)),
    seed=st.integers(0, 10_000),
)
def test_a_part_is_the_plain_one_and_fills_its_gradients_each_time(part, n_rows, width, inner, dtype, seed):
    twin, forward, backward, names = PARTS[part]
    generator, allowed = np.random.default_rng(seed), ROUNDING[dtype]
    config = CLLMConfig(5, d_model=width, n_heads=1, d_ff=inner)
    shapes = {name: shape_of(name, width, inner) for name in names}
    size = sum(int(np.prod(shape)) for shape in shapes.values())
    flat, d_flat = generator.standard_normal(size).astype(dtype), np.full(size, np.nan, dtype)
    cut = views_of(flat, {"part": twin.shapes(config)})["part"], views_of(d_flat, {"part": twin.shapes(config)})["part"]
    made = twin(*cut, n_rows)
    for _ in range(2):  # once more, with what the first call left behind
        x, dy = generator.standard_normal((2, n_rows, width)).astype(dtype)
        kept = x.copy(), dy.copy()
        y, cache = forward(x, *views_of(flat, shapes).values())
        dx, gradients = backward(dy, cache)
        np.testing.assert_allclose(made.forward(x), y, rtol=allowed, atol=allowed)
        largest = max(1.0, *(float(np.abs(gradient).max()) for gradient in gradients.values()))
        np.testing.assert_allclose(made.backward(dy), dx, rtol=allowed, atol=allowed * max(1.0, float(np.abs(dx).max())))
        for name, view in views_of(d_flat, shapes).items():
            np.testing.assert_allclose(view, gradients[name], rtol=allowed, atol=allowed * largest, err_msg=name)
        np.testing.assert_array_equal((x, dy), kept)


def test_units_far_from_0_are_no_trouble():
    """Beyond where exp(-x) fits into a float32."""
    config = CLLMConfig(11, d_model=8, n_heads=2, d_ff=6, seq_len=5, dtype="float32", feed_forward="swiglu", norm="rms")
    tokens, targets = random_batch(11, 2, 5)
    quick, plain = (spread_out(CLLM(config, fast=fast)) for fast in (True, False))
    for model in (quick, plain):
        for i in range(2):
            model.parameters[f"layers.{i}.feed_forward.gate_weight"] *= 300.0
    losses = [model.forward_backward(tokens, targets) for model in (quick, plain)]  # a RuntimeWarning is an error here
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
