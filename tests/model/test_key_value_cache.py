"""The cache against the model, which knows nothing of it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.model.attention import CausalSelfAttention, DistanceBiasAttention, causal_mask, scaled_dot_product_forward
from cllm_lib.model.generation import generate
from cllm_lib.model.key_value_cache import KeyValueCache, OneTokenLayer, can_cache
from cllm_lib.model.positions import POSITIONS, LearnedPositions
from cllm_lib.model.transformer import TokenEmbedding, TransformerLayer

CONFIG = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7, positions="learned")


def build(config=CONFIG, seed=0, **parts):
    return spread_out(CLLM(config, seed=seed, **parts), seed)


@given(
    head=st.integers(1, 5),
    n_heads=st.integers(1, 3),
    n_layers=st.integers(1, 3),
    d_ff=st.integers(1, 9),
    batch=st.integers(1, 3),
    chunks=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    room=st.integers(0, 2),
    vocab_size=st.integers(1, 12),
    tied=st.booleans(),
    positions=st.sampled_from(sorted(POSITIONS)),
    seed=st.integers(0, 10_000),
)
def test_after_each_chunk_the_logits_are_the_models(head, n_heads, n_layers, d_ff, batch, chunks, room, vocab_size, tied, positions, seed):
    head += head % 2 if positions == "rotary" else head * n_heads == 1
    config = CLLMConfig(vocab_size, head * n_heads, n_layers, n_heads, d_ff, sum(chunks) + room, "float64", tied, positions)
    model = build(config, seed)
    tokens, _ = random_batch(vocab_size, batch, sum(chunks), seed)
    cache, read = KeyValueCache(model, batch), 0
    for size in chunks:
        logits = cache.extend(tokens[:, read : read + size])
        read += size
        np.testing.assert_allclose(logits, model.logits(tokens[:, :read])[:, -1], rtol=1e-10, atol=1e-10)
        assert cache.length == read


@given(
    others=st.fixed_dictionaries(
        {
            "norm": st.sampled_from(["layer", "rms"]),
            "norm_first": st.booleans(),
            "feed_forward": st.sampled_from(["tanh", "gelu", "swiglu"]),
            "n_kv_heads": st.sampled_from([None, 1, 2, 4]),
            "positions": st.sampled_from(["none", "learned", "rotary", "distance_bias"]),
            "tie_embeddings": st.booleans(),
        }
    ),
    pairs=st.sampled_from(["neighbours", "halves"]),
    batch=st.integers(1, 3),
    chunks=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    seed=st.integers(0, 10_000),
)
def test_whatever_the_layer_the_logits_are_the_models(others, pairs, batch, chunks, seed):
    if others["positions"] == "rotary":
        others = others | {"rope_pairs": pairs, "rope_base": 50.0}
    model = build(CLLMConfig(11, d_model=16, n_layers=2, n_heads=4, d_ff=6, seq_len=sum(chunks), **others), seed)
    tokens, _ = random_batch(11, batch, sum(chunks), seed)
    cache, read = KeyValueCache(model, batch), 0
    for size in chunks:
        logits = cache.extend(tokens[:, read : read + size])
        read += size
        np.testing.assert_allclose(logits, model.logits(tokens[:, :read])[:, -1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_what_is_kept_are_the_heads_of_keys_and_values(n_kv_heads):
    model = build(CLLMConfig(11, d_model=16, n_layers=2, n_heads=4, d_ff=6, seq_len=5, n_kv_heads=n_kv_heads))
    cache = KeyValueCache(model, batch=3)
    assert cache.keys.shape == cache.values.shape == (2, 3, n_kv_heads, 5, 4)
    assert cache.keys.nbytes == 2 * 3 * n_kv_heads * 5 * 4 * 8
    tokens, _ = random_batch(11, 3, 5)
    for t in range(5):
        cache.extend(tokens[:, t : t + 1])
    x, p = model.parameters["embedding"][tokens], model.layer_parameters(0)["attention"]
    projected = x @ p["value_weight"] + p["value_bias"]
    for head in range(n_kv_heads):
        np.testing.assert_allclose(cache.values[0, :, head], projected[..., 4 * head : 4 * head + 4], atol=1e-13)


@pytest.mark.parametrize("others", [{"norm": "rms", "norm_first": True, "feed_forward": "swiglu", "n_kv_heads": 1}, {"norm_first": True}])
def test_a_text_of_todays_layers_is_the_same_with_and_without_a_cache(others):
    model = build(CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7, positions="rotary", **others))
    texts = [generate(model, [1, 2, 3], 12, use_cache=use_cache) for use_cache in (True, False)]
    np.testing.assert_array_equal(*texts)


@pytest.mark.parametrize(("dtype", "rounding"), [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("positions", ["none", "rotary", "distance_bias"])
def test_the_quick_layer_is_the_plain_one(positions, batch, dtype, rounding):
    model = build(CLLMConfig(11, d_model=12, n_layers=3, n_heads=3, d_ff=10, seq_len=9, dtype=dtype, positions=positions))
    tokens, _ = random_batch(11, batch, 9)
    quick, plain = KeyValueCache(model, batch), KeyValueCache(model, batch)
    plain._one_token = lambda rows: plain._through_layers(rows[:, None])[:, 0]
    for t in range(9):
        pair = [cache.extend(tokens[:, t : t + 1]) for cache in (quick, plain)]
        np.testing.assert_allclose(*pair, rtol=rounding, atol=rounding)
        assert {logits.dtype.name for logits in pair} == {dtype}
    np.testing.assert_allclose(quick.keys, plain.keys, rtol=rounding, atol=rounding)
    np.testing.assert_allclose(quick.values, plain.values, rtol=rounding, atol=rounding)


def test_a_model_told_to_compute_plainly_does_so_here_too(monkeypatch):
    quick, plain = (CLLM(CONFIG, seed=1, fast=way) for way in (True, False))
    caches = KeyValueCache(quick), KeyValueCache(plain)
    for token in (3, 1, 4):
        first, second = (cache.extend([[token]]) for cache in caches)
        np.testing.assert_allclose(first, second, atol=1e-12)

    def nobody(*arguments):
        raise AssertionError("a quick layer ran")

    monkeypatch.setattr(OneTokenLayer, "forward", nobody)
    caches[1].extend([[1]])
    with pytest.raises(AssertionError, match="a quick layer ran"):
        caches[0].extend([[1]])


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("chunks", [[7], [1] * 7, [3, 1, 3]])
def test_distances_of_ones_own_and_fixed_slopes_are_remembered(learned, chunks):
    part = DistanceBiasAttention(np.random.default_rng(1).random((7, 7)) * 5.0, learned)
    model, (tokens, _) = build(replace(CONFIG, positions="none"), attention=part), random_batch(11, 2, 7)
    cache, read = KeyValueCache(model, 2), 0
    for size in chunks:
        logits = cache.extend(tokens[:, read : read + size])
        read += size
        np.testing.assert_allclose(logits, model.logits(tokens[:, :read])[:, -1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_text_longer_than_the_window_is_the_same_with_and_without_a_cache(positions):
    model = build(CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7, positions=positions))
    texts = [generate(model, [1, 2, 3], 12, use_cache=use_cache) for use_cache in (True, False)]
    np.testing.assert_array_equal(*texts)


def test_what_is_kept_are_the_keys_and_values_of_the_formula():
    model, tokens = build(), [3, 1, 4, 1, 5]
    cache = KeyValueCache(model)
    cache.extend([tokens[:3]])
    for token in tokens[3:]:
        cache.extend([[token]])
    x = model.parameters["embedding"][tokens] + model.parameters["positions.table"][:5]
    p = model.layer_parameters(0)["attention"]
    for kept, name in ((cache.keys, "key"), (cache.values, "value")):
        projected = x @ p[f"{name}_weight"] + p[f"{name}_bias"]
        for h in range(3):
            np.testing.assert_allclose(kept[0, 0, h, :5], projected[:, 4 * h : 4 * h + 4], atol=1e-13)
    assert cache.keys.shape == cache.values.shape == (2, 1, 3, 7, 4)


@pytest.mark.parametrize("chunks", [[5], [1] * 5, [2, 1, 1, 1]])
def test_scores_out_of_the_range_of_exp_are_shifted(chunks):
    model = build()
    for i in range(2):
        model.layer_parameters(i)["attention"]["query_weight"] *= 5000.0
    tokens, _ = random_batch(11, 1, 5)
    cache, starts = KeyValueCache(model), np.cumsum([0, *chunks])
    for start, size in zip(starts, chunks, strict=False):
        logits = cache.extend(tokens[:, start : start + size])
    np.testing.assert_allclose(logits, model.logits(tokens)[:, -1], rtol=1e-9, atol=1e-9)


def test_training_in_between_does_not_disturb_the_cache_nor_the_cache_the_training():
    model, tokens = build(), [[1, 2, 3, 4]]
    before = model.logits(tokens)[:, -1]
    cache = KeyValueCache(model)
    cache.extend([[1, 2]])
    weights = model.flat_parameters.copy()
    model.forward_backward(*random_batch(11, 2, 7))
    gradients = model.flat_gradients.copy()
    model.flat_parameters -= 0.5 * model.flat_gradients
    cache.extend([[3]])
    np.testing.assert_allclose(cache.extend([[4]]), before, atol=1e-10)
    np.testing.assert_array_equal(model.flat_parameters, weights - 0.5 * gradients)
    np.testing.assert_array_equal(model.flat_gradients, gradients)
    np.testing.assert_allclose(KeyValueCache(model).extend(tokens), model.logits(tokens)[:, -1], atol=1e-10)
    assert np.abs(model.logits(tokens)[:, -1] - before).max() > 1e-3


def test_another_continuation_from_the_same_beginning():
    model = build()
    cache = KeyValueCache(model)
    cache.extend([[1, 2, 3, 4, 5]])
    for length, more in ((3, [9]), (2, [8, 7, 6]), (5, [1]), (0, [4, 4])):
        beginning = [1, 2, 3, 8, 7][:length] if length < 5 else [1, 2, 8, 7, 6]
        cache.truncate(length)
        assert cache.length == length
        np.testing.assert_allclose(cache.extend([more]), model.logits([beginning + more])[:, -1], atol=1e-10)
    cache.truncate()
    assert cache.length == 0


def test_logits_handed_out_outlive_the_next_token():
    cache = KeyValueCache(build())
    first = cache.extend([[1]])
    kept = first.copy()
    cache.extend([[2]])
    cache.extend([[3, 4]])
    np.testing.assert_array_equal(first, kept)


def test_two_caches_of_one_model_do_not_disturb_each_other():
    model = build()
    one, other = KeyValueCache(model), KeyValueCache(model)
    one.extend([[1, 2]])
    other.extend([[5]])
    np.testing.assert_allclose(one.extend([[3]]), model.logits([[1, 2, 3]])[:, -1], atol=1e-10)
    np.testing.assert_allclose(other.extend([[6]]), model.logits([[5, 6]])[:, -1], atol=1e-10)


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([1], r"shape \(1,\): give \(2, time\)"),
        ([[1]], r"shape \(1, 1\): give \(2, time\)"),
        ([[], []], r"shape \(2, 0\): give \(2, time\)"),
        ([[1] * 5] * 2, "5 more tokens, and the cache has room for 4 of seq_len = 7: truncate.. it and read the last seq_len tokens anew"),
        ([[1], [11]], r"tokens\[1, 0\] is 11, outside the vocabulary of 11"),
        ([[1.0], [2.0]], "token ids are integers"),
    ],
)
def test_tokens_that_cannot_be_read_leave_the_cache_as_it_was(tokens, words):
    model = build()
    cache = KeyValueCache(model, batch=2)
    cache.extend([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(ValueError, match=words):
        cache.extend(tokens)
    assert cache.length == 3
    np.testing.assert_allclose(cache.extend([[7], [8]]), model.logits([[1, 2, 3, 7], [4, 5, 6, 8]])[:, -1], atol=1e-10)


@pytest.mark.parametrize("length", [4, -1, 1.5, True, "2", None])
def test_only_what_was_read_can_be_forgotten(length):
    cache = KeyValueCache(build())
    cache.extend([[1, 2, 3]])
    with pytest.raises(ValueError, match=f"length is {length!r}: give a whole number from 0 to 3, the tokens read; extend reads more"):
        cache.truncate(length)
    assert cache.length == 3


def test_no_batch_is_refused():
    with pytest.raises(ValueError, match="batch is 0: give a whole number of at least 1"):
        KeyValueCache(build(), batch=0)


class AnotherAttention(CausalSelfAttention):
    pass


class AnotherLayer(TransformerLayer):
    pass


class AnotherEmbedding(TokenEmbedding):
    pass


class AnotherModel(CLLM):
    pass


def changed(what):
    """A model in which one thing is not the sound one."""
    if what == "attention":
        return build(attention=AnotherAttention())
    if what == "layer":
        return build(layer=AnotherLayer())
    if what == "embedding":
        return build(embedding=AnotherEmbedding())
    if what == "model":
        return AnotherModel(CONFIG)
    model = build()
    if what == "positions":
        model.positions = type("Mine", (LearnedPositions,), {})()
    elif what == "logits hung onto it":
        model.logits = lambda tokens: 0.0
    elif what == "attend hung onto it":
        model.layer.attention.attend = lambda query, key, value: (value, None)
    return model


@pytest.mark.parametrize("what", ["attention", "layer", "embedding", "model", "positions", "logits hung onto it", "attend hung onto it"])
def test_other_parts_get_no_cache(what):
    model = changed(what)
    assert not can_cache(model)
    with pytest.raises(ValueError, match="other parts than the sound ones.*use model.logits"):
        KeyValueCache(model)


@pytest.mark.parametrize(
    "name", [name for name, defect in defects.ALL.items() if defect.seam not in ("init", "optimizer", "corpus", "loader")]
)
def test_the_museum_gets_no_cache(name):
    assert not can_cache(defects.ALL[name].patient(CONFIG))


def test_a_sound_model_and_its_copy_get_one():
    assert can_cache(CLLM(CONFIG))
    assert can_cache(copy.deepcopy(CLLM(CONFIG)))


def test_the_mask_of_later_queries_is_a_part_of_the_whole():
    whole = causal_mask(6)
    for start in range(6):
        np.testing.assert_array_equal(causal_mask(6 - start, start), whole[start:])


def test_fewer_queries_than_keys_are_the_last_ones():
    query, key, value = np.random.default_rng(0).standard_normal((3, 2, 3, 5, 4))
    whole, _ = scaled_dot_product_forward(query, key, value)
    last, _ = scaled_dot_product_forward(query[:, :, 3:], key, value)
    np.testing.assert_allclose(last, whole[:, :, 3:], atol=1e-14)


def test_positions_count_from_where_the_sequence_goes_on():
    model = build()
    x, parameters = np.zeros((1, 2, 12)), {"table": model.parameters["positions.table"]}
    np.testing.assert_array_equal(model.positions.forward(x, parameters, start=3)[0], parameters["table"][3:5])


def test_another_rope_base_is_remembered():
    model = build(CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=9, positions="rotary", rope_base=50.0))
    tokens, _ = random_batch(11, 2, 9)
    cache = KeyValueCache(model, 2)
    cache.extend(tokens[:, :3])
    for t in range(3, 9):
        np.testing.assert_allclose(cache.extend(tokens[:, t : t + 1]), model.logits(tokens[:, : t + 1])[:, -1], rtol=1e-10, atol=1e-10)
