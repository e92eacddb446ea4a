"""The decoder, layer by layer, against CLLM's own layer; read in pieces it computes the same as at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretrained.writing_gguf import as_gguf, tiny_model

from cllm_lib.pretrained import load_chat_model
from cllm_lib.pretrained.decoder_layers import Cache, decoder_forward, decoder_layer_forward


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A CLLM, and the chat model of the same weights."""
    model, path = tiny_model(seed=5), tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(model))
    return model, load_chat_model(path)


def test_a_layer_is_that_of_a_cllm(both):
    model, own = both
    x, cache = np.random.default_rng(0).standard_normal((1, 9, model.config.d_model)), Cache(own.config, 9)
    found = decoder_layer_forward(x.astype(np.float32), own.parameters["layers"][1], own.config, cache.keys[1], cache.values[1], 0)
    exact, _ = model.layer.forward(x, model.layer_parameters(1), model.config)
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()
    assert cache.keys[1].any(axis=-1).all()
    assert not cache.keys[0].any(), "another layer's room is not touched"


@given(cuts=st.lists(st.integers(1, 23), max_size=4, unique=True))
def test_read_in_pieces_it_is_the_same(both, cuts):
    _, own = both
    ids = np.random.default_rng(1).integers(0, own.config.vocab_size, 24)
    whole = decoder_forward(ids, own.parameters, own.config, Cache(own.config, 24))
    cache = Cache(own.config, 30)
    pieces = [decoder_forward(piece, own.parameters, own.config, cache) for piece in np.split(ids, sorted(cuts))]
    assert cache.length == 24
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=2e-5 * np.abs(whole).max())


def test_what_stands_behind_the_last_token_is_not_looked_at(both):
    _, own = both
    ids, spoilt = np.arange(10, dtype=np.int64), Cache(own.config, 30)
    spoilt.keys[...], spoilt.values[...] = 9.0, np.nan
    clean = decoder_forward(ids, own.parameters, own.config, Cache(own.config, 10))
    np.testing.assert_array_equal(decoder_forward(ids, own.parameters, own.config, spoilt), clean)


@given(before=st.lists(st.integers(0, 2), max_size=6), then=st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_a_cache_keeps_what_both_begin_with_and_leaves_one_token_to_read(both, before, then):
    _, own = both
    cache = Cache(own.config, 12)
    if before:
        decoder_forward(np.array(before, np.int64), own.parameters, own.config, cache)
    new = cache.keep(np.array(then, np.int64))
    assert cache.ids + new.tolist() == then
    assert cache.ids == before[: cache.length]
    assert len(new) == 1 or cache.length == len(before) or before[cache.length] != then[cache.length]
