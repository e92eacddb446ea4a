"""What runs when a chat model answers computes what the plain functions do, whatever is read at once, and however heads are shared."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretrained.writing_gguf import as_gguf, tiny_model

from cllm_lib.model import layers
from cllm_lib.pretrained import load_chat_model, quick
from cllm_lib.pretrained.decoder_layers import Cache, decoder_forward
from cllm_lib.pretrained.quick import quick_decoder_forward


def in_float64(parameters):
    if isinstance(parameters, np.ndarray):
        return parameters.astype(np.float64)
    if isinstance(parameters, list):
        return [in_float64(one) for one in parameters]
    return {name: in_float64(one) for name, one in parameters.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A configuration and float64 parameters for each number of heads of keys and values."""
    found = {}
    for n_kv_heads in (1, 2, 4):
        path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
        path.write_bytes(as_gguf(tiny_model(seed=n_kv_heads, n_kv_heads=n_kv_heads, seq_len=600)))
        model = load_chat_model(path)
        found[n_kv_heads] = model.config, in_float64(model.parameters)
    return found


@given(
    n_kv_heads=st.sampled_from([1, 2, 4]),
    pairs=st.sampled_from(["neighbours", "halves"]),
    pieces=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_it_is_the_plain_decoder_to_ten_digits(models, n_kv_heads, pairs, pieces, seed):
    config, parameters = models[n_kv_heads]
    config = dataclasses.replace(config, rope_pairs=pairs)
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, sum(pieces))
    plain, quickly = (Cache(config, sum(pieces) + 3, np.float64) for _ in range(2))
    for piece in np.split(ids, np.cumsum(pieces)[:-1]):
        exact = decoder_forward(piece, parameters, config, plain)
        found = quick_decoder_forward(piece, parameters, config, quickly)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, exact, atol=1e-10 * np.abs(exact).max())
    assert quickly.ids == plain.ids == ids.tolist()
    np.testing.assert_allclose(quickly.keys, plain.keys, atol=1e-10)
    np.testing.assert_allclose(quickly.values, plain.values, atol=1e-10)


@pytest.mark.parametrize("before", [0, 200])
def test_more_tokens_than_a_block_of_queries(models, before):
    config, parameters = models[2]
    ids = np.random.default_rng(0).integers(0, config.vocab_size, 500)
    exact = decoder_forward(ids, parameters, config, Cache(config, 500, np.float64))
    cache = Cache(config, 500, np.float64)
    if before:
        quick_decoder_forward(ids[:before], parameters, config, cache)
    found = quick_decoder_forward(ids[before:], parameters, config, cache)
    np.testing.assert_allclose(found, exact[before:], atol=1e-10 * np.abs(exact).max())


def test_scores_that_are_too_large_for_exp_lose_nothing(models):
    config, parameters = models[2]
    layers = [
        one | {"attention": one["attention"] | {"query_weight": 1e4 * one["attention"]["query_weight"]}} for one in parameters["layers"]
    ]
    ids = np.arange(40, dtype=np.int64)
    exact, found = (
        forward(ids, parameters | {"layers": layers}, config, Cache(config, 40, np.float64))
        for forward in (decoder_forward, quick_decoder_forward)
    )
    np.testing.assert_allclose(found, exact, atol=1e-8 * np.abs(exact).max())


def test_a_gate_is_shut_without_a_word_where_exp_overflows():
    x, gate, up, down = np.array([[-200.0], [200.0], [0.0]], np.float32), *np.ones((3, 1, 1), np.float32)
    found = quick.swiglu(x, gate, up, down)
    np.testing.assert_allclose(found, layers.swiglu_forward(x, gate, up, down)[0], rtol=1e-6)
    assert found[:, 0].tolist() == [0.0, 40_000.0, 0.0]


def test_what_stands_behind_the_last_token_is_not_looked_at(models):
    config, parameters = models[2]
    ids, spoilt = np.arange(10, dtype=np.int64), Cache(config, 30, np.float64)
    spoilt.keys[...], spoilt.values[...] = 9.0, np.nan
    clean = quick_decoder_forward(ids, parameters, config, Cache(config, 10, np.float64))
    np.testing.assert_array_equal(quick_decoder_forward(ids, parameters, config, spoilt), clean)
