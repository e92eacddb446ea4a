import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import difference_gradient, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.model import attention


def slow_attention(query, key, value):
    """Written to be read: for each query, look back at each key of the group that its head belongs to."""
    output = np.zeros_like(query)
    group = query.shape[1] // key.shape[1]
    for b, h, t in np.ndindex(query.shape[:3]):
        scores = [query[b, h, t] @ key[b, h // group, s] / math.sqrt(query.shape[-1]) for s in range(t + 1)]
        total = sum(math.exp(score) for score in scores)
        for s, score in enumerate(scores):
            output[b, h, t] += math.exp(score) / total * value[b, h // group, s]
    return output


@settings(max_examples=settings().max_examples // 4)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_scaled_dot_product_agrees_with_the_slow_loop(batch, n_kv_heads, group, time, d_head, seed):
    generator = np.random.default_rng(seed)
    query = generator.standard_normal((batch, n_kv_heads * group, time, d_head))
    key, value = generator.standard_normal((2, batch, n_kv_heads, time, d_head))
    output, _ = attention.scaled_dot_product_forward(query, key, value, attention.causal_mask(time))
    np.testing.assert_allclose(output, slow_attention(query, key, value), atol=1e-12)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_the_backward_pass_of_shared_heads_agrees_with_differences(n_kv_heads):
    generator = np.random.default_rng(n_kv_heads)
    arrays = {
        name: generator.standard_normal((2, heads, 3, 2)) for name, heads in (("query", 4), ("key", n_kv_heads), ("value", n_kv_heads))
    }

    upstream = generator.standard_normal((2, 4, 3, 2))
    _, cache = attention.scaled_dot_product_forward(**arrays)
    gradients = dict(zip(arrays, attention.scaled_dot_product_backward(upstream, cache), strict=True))
    for name, array in arrays.items():
        numeric = difference_gradient(lambda: float((attention.scaled_dot_product_forward(**arrays)[0] * upstream).sum()), array)
        assert gradients[name].shape == array.shape
        assert np.abs(gradients[name] - numeric).max() < 1e-7 * np.abs(numeric).max(), name


def test_each_head_is_shared_by_those_of_its_group_in_order():
    x = np.random.default_rng(0).standard_normal((2, 2, 3, 5))
    shared = attention.share_heads(x, 6)
    for h in range(6):
        np.testing.assert_array_equal(shared[:, h], x[:, h // 3])
    assert attention.share_heads(x, 2) is x
    back = attention.share_heads_backward(shared, 2)
    np.testing.assert_allclose(back, 3.0 * x)
    assert attention.share_heads_backward(x, 2) is x
    with pytest.raises(ValueError, match="5 heads of queries cannot share 2 of keys and values evenly: give a divisor of 5"):
        attention.share_heads(x, 5)


@pytest.mark.parametrize("width", [(5, 4), (3, 5, 4)])
def test_a_matrix_is_one_head(width):
    query, key, value = np.random.default_rng(0).standard_normal((3, *width))
    one = [x.reshape(1, -1, *width[-2:]) for x in (query, key, value)]
    output, _ = attention.scaled_dot_product_forward(query, key, value)
    np.testing.assert_allclose(output.reshape(one[0].shape), attention.scaled_dot_product_forward(*one)[0], atol=1e-14)
    wider, _ = attention.scaled_dot_product_forward(query, key, np.concatenate([value, value], axis=-1))
    np.testing.assert_allclose(wider[..., :4], output, atol=1e-14)


@pytest.mark.parametrize("name", ["projection by blocks", "home-made exponential", "outer-product backward", "lattice-aware attention"])
def test_what_counts_on_a_head_of_keys_for_each_of_queries_says_so(name):
    config = CLLMConfig(11, d_model=8, n_heads=4, n_kv_heads=2)
    with pytest.raises(
        ValueError, match="knows as many heads of keys as of queries alone, .* n_kv_heads=2 beside n_heads=4: leave n_kv_heads out"
    ):
        defects.ALL[name].patient(config)
    assert defects.ALL["no causal mask"].patient(config).logits([[1, 2]]).shape == (1, 2, 11)


def test_other_pairs_are_another_part_in_a_file():
    names = [attention.RotarySelfAttention(*given).name_in_file for given in ((), (50.0,), (10_000.0, "halves"), (5e5, "halves"))]
    assert names == [f"RotarySelfAttention{said}" for said in ("", "(50)", "(halves)", "(500000, halves)")]
    with pytest.raises(ValueError, match="unknown pairs 'thirds'"):
        attention.RotarySelfAttention(pairs="thirds")
    with pytest.raises(AttributeError):
        attention.RotarySelfAttention().pairs = "halves"


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


@pytest.mark.parametrize("seed", range(10))
def test_a_key_bias_changes_no_output_and_gets_no_gradient_while_all_else_does(seed):
    """Chapter 06 says so of any weights: all scores of a query are shifted alike, and softmax does not see that."""
    generator = np.random.default_rng(seed)
    config = CLLMConfig(vocab_size=9, d_model=6, n_heads=3)
    shapes = attention.CausalSelfAttention().parameter_shapes(config)
    parameters = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    x, dy = generator.standard_normal((2, 2, 5, 6))
    y, cache = attention.attention_forward(x, parameters, config.n_heads)
    shifted, _ = attention.attention_forward(x, parameters | {"key_bias": parameters["key_bias"] + 100}, config.n_heads)
    np.testing.assert_allclose(shifted, y, atol=1e-9)
    dx, gradients = attention.attention_backward(dy, cache)
    largest = {name: np.abs(gradient).max() for name, gradient in ({"x": dx} | gradients).items()}
    assert largest.pop("key_bias") < 1e-12
    assert min(largest.values()) > 0.1


@pytest.mark.parametrize("time", [1, 4])
def test_causal_mask_lets_each_query_see_itself_and_the_past(time):
    mask = attention.causal_mask(time)
    assert all(mask[q, k] == (k <= q) for q in range(time) for k in range(time))


def small_model(**parts):
    config = CLLMConfig(vocab_size=11, d_model=8, n_layers=3, n_heads=2, d_ff=6, seq_len=5)
    return spread_out(CLLM(config, **parts))


def test_attention_weights_are_those_of_the_formula_in_every_layer():
    model, tokens = small_model(), [3, 1, 4, 1, 5]
    collected = attention.attention_weights(model, tokens)
    x = model.parameters["embedding"][None, tokens]
    for i, weights in enumerate(collected):
        p = model.layer_parameters(i)["attention"]
        query, key = (x[0] @ p[f"{name}_weight"] + p[f"{name}_bias"] for name in ("query", "key"))
        for h, q in np.ndindex(2, 5):
            columns = slice(4 * h, 4 * h + 4)
            scores = [math.exp(query[q, columns] @ key[k, columns] / 2.0) if k <= q else 0.0 for k in range(5)]
            np.testing.assert_allclose(weights[h, q], np.array(scores) / sum(scores), atol=1e-12)
        x, _ = model.layer.forward(x, model.layer_parameters(i), model.config)
    assert [weights.shape for weights in collected] == [(2, 5, 5)] * 3


def test_looking_leaves_the_model_alone():
    model = small_model()
    layer, before = model.layer, model.flat_parameters.copy()
    loss = model.loss([[1, 2, 3]], [[2, 3, 4]])
    attention.attention_weights(model, [1, 2, 3])
    assert model.layer is layer
    assert type(layer.attention) is attention.CausalSelfAttention
    np.testing.assert_array_equal(model.flat_parameters, before)
    assert model.loss([[1, 2, 3]], [[2, 3, 4]]) == loss


def test_collected_weights_are_copies():
    model = small_model()
    first = attention.attention_weights(model, [1, 2, 3])
    kept = np.array(first)
    attention.attention_weights(model, [5, 6, 7])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("part", [{"attention": defects.OuterProductAttention()}, {"layer": defects.LayerOfTheHalfRepair()}])
def test_defects_with_attention_can_be_looked_at(part):
    for weights in attention.attention_weights(small_model(**part), [1, 2, 3]):
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0)


@pytest.mark.parametrize(
    ("attention_part", "tokens", "words"),
    [
        (None, [[1, 2]], r"shape \(1, 2\): give one sequence"),
        (None, 3, r"shape \(\): give one sequence"),
        (None, [1, 99], r"\[0, 1\] is 99, outside the vocabulary"),
        (defects.SimplifiedAttention(), [1, 2], "SimplifiedAttention has no attention weights"),
    ],
)
def test_what_has_no_weights_to_show_says_so(attention_part, tokens, words):
    with pytest.raises(ValueError, match=words):
        attention.attention_weights(small_model(attention=attention_part), tokens)


def heads(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal((3, *shape))


def test_a_bias_is_added_to_the_scores_of_its_head():
    query, key, value = heads(2, 3, 5, 4)
    bias = np.random.default_rng(1).standard_normal((3, 5, 5))
    _, (*_, weights) = attention.scaled_dot_product_forward(query, key, value, bias=bias)
    for b, h, t in np.ndindex(2, 3, 5):
        scores = [math.exp(query[b, h, t] @ key[b, h, s] / 2.0 + bias[h, t, s]) for s in range(t + 1)]
        np.testing.assert_allclose(weights[b, h, t, : t + 1], np.array(scores) / sum(scores), rtol=1e-12)


@pytest.mark.parametrize("positions", ["rotary", "distance_bias"])
def test_weights_depend_on_how_far_apart_tokens_stand_not_on_where(positions):
    """Equal tokens: the score is a function of the difference, so each row is the last one cut off and shared out anew."""
    config = CLLMConfig(7, d_model=8, n_layers=1, n_heads=2, d_ff=6, seq_len=9, positions=positions)
    (weights,) = attention.attention_weights(spread_out(CLLM(config)), [3] * 9)
    for h, t in np.ndindex(2, 9):
        last = weights[h, -1, 8 - t :]
        np.testing.assert_allclose(weights[h, t, : t + 1], last / last.sum(), rtol=1e-9)
        assert t == 0 or np.ptp(weights[h, t, : t + 1]) > 1e-3


def test_fixed_slopes_are_alibis_and_not_trained():
    model = CLLM(CLLMConfig(7, d_model=8, n_heads=4), attention=attention.DistanceBiasAttention(learned=False))
    assert not [name for name in model.parameters if "slopes" in name]
    learned = CLLM(CLLMConfig(7, d_model=8, n_heads=4, positions="distance_bias"))
    np.testing.assert_array_equal(model.logits([[1, 2, 3]]), learned.logits([[1, 2, 3]]))


def test_distances_of_ones_own_take_the_place_of_the_difference():
    distances = np.random.default_rng(0).random((5, 5))
    part = attention.DistanceBiasAttention(distances, learned=False)
    np.testing.assert_array_equal(part.bias({"query_weight": np.zeros(1)}, 2, 2, start=3), -distances[3:, :] * [[[1 / 16]], [[1 / 256]]])


@pytest.mark.parametrize(
    ("distances", "words"),
    [
        (np.zeros((3, 4)), r"distances have shape \(3, 4\), and sequences are up to 5 long"),
        ([[0.0, -1.0], [1.0, 0.0]], r"distances\[0, 1\] is -1.0: a distance is a finite number of at least 0"),
        ([[0.0, 1.0], [np.nan, 0.0]], r"distances\[1, 0\] is nan"),
        ([0.0, 1.0], r"shape \(2,\)"),
    ],
)
def test_distances_that_are_none_get_a_clear_error(distances, words):
    with pytest.raises(ValueError, match=words):
        small_model(attention=attention.DistanceBiasAttention(distances))
