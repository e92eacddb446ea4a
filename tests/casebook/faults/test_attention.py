"""Defects of attention: what each computes in the place of attention, by hand, and what its backward pass leaves out."""

import math

import numpy as np
import pytest
from casebook.faults.twins import SMALL, gradients_of, planted, slope_errors, twins, wrong_tensors
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_batch

from cllm_lib import CLLMConfig
from cllm_lib.model import CausalSelfAttention
from cllm_lib.model.attention import PROJECTIONS

FORWARD = [
    "simplified attention",
    "no causal mask",
    "transposed mask",
    "mask after softmax",
    "softmax over queries",
    "head stride",
    "projection by blocks",
    "home-made exponential",
    "scores not divided by sqrt(d)",
    "batch taken for time",
    "heads merged without transposing",
    "keys by the query's weights",
]
BACKWARD = ["missing attention gradient", "outer-product backward"]


def part_of(name):
    return planted(name, SMALL).seams["attention"]


def weights_for(config, seed):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape) for name, shape in CausalSelfAttention().parameter_shapes(config).items()}


def by_hand(x, p, heads, name):
    """What each defect's first line says, number by number: batches, heads, queries and keys in loops."""
    batch, time, width = x.shape
    d = width // heads
    query, key, value = (x @ p[f"{kind}_weight"] + p[f"{kind}_bias"] for kind in ("query", "key", "value"))
    if name == "keys by the query's weights":
        key = query
    rows = np.zeros((batch, heads, time, d))
    for b in range(batch):
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            scores = np.array([[query[b, i, part] @ key[b, j, part] for j in range(time)] for i in range(time)])
            scores /= 1.0 if name == "scores not divided by sqrt(d)" else math.sqrt(d)
            powers = np.exp(scores)
            for i in range(time):
                for j in range(time):
                    seen = j >= i if name == "transposed mask" else True if name == "no causal mask" else j <= i
                    everything = range(time) if name in ("no causal mask", "mask after softmax") else range(i + 1)
                    if name == "transposed mask":
                        everything = range(i, time)
                    total = sum(powers[i, k] for k in everything)
                    if name == "softmax over queries":
                        total = sum(powers[k, j] for k in range(j, time))
                    rows[b, h, i] += powers[i, j] / total * value[b, j, part] * seen
    merged = rows.reshape(batch, time, width) if name == "heads merged without transposing" else rows.transpose(0, 2, 1, 3)
    return merged.reshape(batch, time, width) @ p["output_weight"] + p["output_bias"]


BY_HAND = [
    "no causal mask",
    "transposed mask",
    "mask after softmax",
    "softmax over queries",
    "scores not divided by sqrt(d)",
    "heads merged without transposing",
    "keys by the query's weights",
]


@pytest.mark.parametrize("name", BY_HAND)
@given(batch=st.integers(1, 2), time=st.integers(1, 5), heads=st.sampled_from([1, 2, 3]), seed=st.integers(0, 99))
def test_it_computes_what_its_first_line_says(name, batch, time, heads, seed):
    config = CLLMConfig(7, d_model=6, n_layers=1, n_heads=heads, d_ff=6, seq_len=8)
    x, p = 0.5 * np.random.default_rng(seed).standard_normal((batch, time, 6)), weights_for(config, seed)
    y, _ = part_of(name).forward(x, p, config)
    np.testing.assert_allclose(y, by_hand(x, p, heads, name), rtol=1e-9, atol=1e-10)


def test_the_oracle_gives_the_sound_attention_where_nothing_is_wrong():
    config = CLLMConfig(7, d_model=6, n_layers=1, n_heads=2, d_ff=6, seq_len=8)
    x, p = np.random.default_rng(0).standard_normal((2, 5, 6)), weights_for(config, 0)
    np.testing.assert_allclose(CausalSelfAttention().forward(x, p, config)[0], by_hand(x, p, 2, "nothing"), rtol=1e-9)


@given(batch=st.integers(1, 4), time=st.integers(1, 4), seed=st.integers(0, 99))
def test_batch_taken_for_time_is_the_sound_attention_of_exchanged_axes(batch, time, seed):
    config = CLLMConfig(7, d_model=6, n_layers=1, n_heads=2, d_ff=6, seq_len=8)
    x, p = np.random.default_rng(seed).standard_normal((batch, time, 6)), weights_for(config, seed)
    y, _ = part_of("batch taken for time").forward(x, p, config)
    for t in range(time):
        alone, _ = CausalSelfAttention().forward(x[None, :, t], p, config)
        np.testing.assert_allclose(y[:, t], alone[0], rtol=1e-12, atol=1e-12)


def test_head_stride_lets_the_first_tokens_alone_reach_the_last_output():
    for heads, reached in ((2, 9), (4, 5)):
        config = CLLMConfig(7, d_model=8, n_layers=1, n_heads=heads, d_ff=6, seq_len=16)
        x, p = np.random.default_rng(0).standard_normal((1, 16, 8)), weights_for(config, 1)
        y, _ = part_of("head stride").forward(x, p, config)
        moved = set()
        for place in range(15):
            other = x.copy()
            other[0, place] += 1.0
            if np.abs(part_of("head stride").forward(other, p, config)[0] - y)[0, -1].max() > 1e-12:
                moved.add(place)
        assert moved == set(range(reached)), (heads, 16 // heads + 1)


@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (2, 16)])
@pytest.mark.parametrize("name", FORWARD)
def test_a_wrong_forward_pass_has_its_own_true_gradient(name, shape):
    ill, sound = twins(name, SMALL, size=0.5)
    batch = random_batch(SMALL.vocab_size, *shape)
    assert max(slope_errors(ill, batch)) < 1e-5
    assert (ill.logits(batch[0]) != sound.logits(batch[0])).any()


@pytest.mark.parametrize("name", BACKWARD)
def test_a_wrong_backward_pass_leaves_the_forward_pass_as_it_was(name):
    ill, sound = twins(name, SMALL)
    tokens, _ = batch = random_batch(SMALL.vocab_size, 3, 9)
    np.testing.assert_array_equal(ill.logits(tokens), sound.logits(tokens))
    assert ill.loss(*batch) == sound.loss(*batch) == ill.forward_backward(*batch)
    wrong = wrong_tensors(name, SMALL)
    top = {f"layers.1.{tensor}" for tensor in ("attention.output_weight", "feed_forward.expand_weight", "attention_norm.gain")}
    assert {f"layers.{i}.attention.{kind}_weight" for i in (0, 1) for kind in PROJECTIONS} <= wrong
    assert not wrong & top  # what lies above attention is right


def test_missing_attention_gradient_leaves_queries_keys_and_values_without_one():
    gradients = gradients_of(twins("missing attention gradient", SMALL)[0], random_batch(SMALL.vocab_size, 3, 9))
    assert {name for name, g in gradients.items() if not g.any()} == {
        f"layers.{i}.attention.{kind}_{what}" for i in (0, 1) for kind in PROJECTIONS for what in ("weight", "bias")
    }


@pytest.mark.parametrize("heads", [2, 4])
def test_projection_by_blocks_reads_a_share_of_one_in_h(heads):
    from dataclasses import replace

    gradients = gradients_of(twins("projection by blocks", replace(SMALL, n_heads=heads))[0], random_batch(SMALL.vocab_size, 3, 9))
    for kind in PROJECTIONS:
        assert np.mean(gradients[f"layers.0.attention.{kind}_weight"] != 0.0) == 1 / heads


def test_the_key_s_own_weights_get_no_gradient_where_the_query_s_are_used():
    gradients = gradients_of(twins("keys by the query's weights", SMALL)[0], random_batch(SMALL.vocab_size, 3, 9))
    for i in (0, 1):
        assert not gradients[f"layers.{i}.attention.key_weight"].any()
        assert gradients[f"layers.{i}.attention.query_weight"].all()


@pytest.mark.parametrize("name", ["mask after softmax", "softmax over queries", "transposed mask", "no causal mask"])
def test_the_future_leaks_where_it_is_said_to(name):
    """A later token changes an earlier output; in the sound model none does."""
    for model, leaks in zip(twins(name, SMALL), (True, False), strict=True):
        tokens, _ = random_batch(SMALL.vocab_size, 1, 8)
        other = tokens.copy()
        other[0, -1] = (other[0, -1] + 1) % SMALL.vocab_size
        assert (model.logits(tokens)[0, :-1] != model.logits(other)[0, :-1]).any() == leaks


def test_rows_of_a_late_mask_sum_to_less_than_one_and_columns_of_the_other_axis_to_one():
    config = CLLMConfig(7, d_model=6, n_layers=1, n_heads=2, d_ff=6, seq_len=8)
    x, p = np.random.default_rng(0).standard_normal((2, 5, 6)), weights_for(config, 0)
    late, over = (part_of(name).weights(part_of(name).forward(x, p, config)[1]) for name in ("mask after softmax", "softmax over queries"))
    assert (late.sum(axis=-1)[..., :-1] < 1.0).all()
    np.testing.assert_allclose(late.sum(axis=-1)[..., -1], 1.0)
    np.testing.assert_allclose(over.sum(axis=-2), 1.0)
    assert np.abs(over.sum(axis=-1) - 1.0).max() > 0.1
