import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm_lib.model import attention


def slow_attention(query, key, value):
    """Written to be read: for each query, look back at each key."""
    output = np.zeros_like(value)
    for b, h, t in np.ndindex(query.shape[:3]):
        scores = [query[b, h, t] @ key[b, h, s] / math.sqrt(query.shape[-1]) for s in range(t + 1)]
        total = sum(math.exp(score) for score in scores)
        for s, score in enumerate(scores):
            output[b, h, t] += math.exp(score) / total * value[b, h, s]
    return output


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_scaled_dot_product_agrees_with_the_slow_loop(batch, n_heads, time, d_head, seed):
    generator = np.random.default_rng(seed)
    query, key, value = generator.standard_normal((3, batch, n_heads, time, d_head))
    output, _ = attention.scaled_dot_product_forward(query, key, value, attention.causal_mask(time))
    np.testing.assert_allclose(output, slow_attention(query, key, value), atol=1e-12)


def test_heads_are_columns_side_by_side_and_merging_undoes_splitting():
    x = np.arange(2 * 3 * 6.0).reshape(2, 3, 6)
    heads = attention.split_heads(x, 3)
    np.testing.assert_array_equal(heads[1, 2, 0], x[1, 0, 4:6])
    np.testing.assert_array_equal(attention.merge_heads(heads), x)


def test_weights_survive_huge_scores():
    query = np.full((1, 1, 2, 1), 100.0)
    key = np.array([100.0, -100.0]).reshape(1, 1, 2, 1)
    output, (*_, weights) = attention.scaled_dot_product_forward(query, key, key, attention.causal_mask(2))
    assert np.isfinite(output).all()
    np.testing.assert_array_equal(weights[0, 0], [[1.0, 0.0], [1.0, 0.0]])


@pytest.mark.parametrize("time", [1, 4])
def test_causal_mask_lets_each_query_see_itself_and_the_past(time):
    mask = attention.causal_mask(time)
    assert all(mask[q, k] == (k <= q) for q in range(time) for k in range(time))
