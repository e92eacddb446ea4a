"""The quick step against the plain layers, which define the model."""

import copy
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.model import attention as attention_module
from cllm_lib.model import ends, fast, layers, transformer, transformer_layer
from cllm_lib.model.attention import (
    CausalSelfAttention,
    DistanceBiasAttention,
    RotarySelfAttention,
    causal_mask,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
)
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.transformer import TransformerLayer

CONFIG = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7, positions="learned")
ROUNDING = {"float64": 1e-12, "float32": 2e-4}
WITHOUT_A_TWIN = {"embedding_forward", "embedding_backward"}  # the look-up: the plain functions are what runs in both
# For looking, for weights that are not trained, and of GELU's inside.
NOT_IN_A_STEP = {"weights_of", "attention_weights", "frozen_linear_backward", "erf"}
BOUND = {"tanh_forward", "tanh_backward"}  # what other functions take by default: nothing put in their place is called
PLAIN = {
    name
    for module in (layers, attention_module)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
} - NOT_IN_A_STEP
LATER = {  # of which configurations a function is
    "gelu": {"feed_forward": "gelu"},
    "silu": {"feed_forward": "swiglu"},
    "sigmoid": {"feed_forward": "swiglu"},
    "swiglu": {"feed_forward": "swiglu"},
    "rms": {"norm": "rms"},
}


class AnotherAttention(CausalSelfAttention):
    """Sound, but not the sound part itself: a model with it goes by the plain functions."""


def pair(config, seed, attention=None):
    """A model, and the same one by the plain functions; weights far from 0."""
    quick = spread_out(CLLM(config, seed=seed, attention=attention), seed)
    plain = quick.with_parameters(quick.flat_parameters.copy())
    part = copy.copy(quick.layer.attention)
    part.__class__ = type("Another", (type(part),), {})
    plain.layer = TransformerLayer(part)
    assert quick.is_sound
    assert not plain.is_sound
    return quick, plain


def assert_same_step(quick, plain, tokens, targets):
    allowed = ROUNDING[quick.config.dtype]
    losses = [model.forward_backward(tokens, targets) for model in (quick, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=allowed, abs=allowed)
    largest = max(np.abs(plain.flat_gradients).max(), 1e-2)  # of one word, every gradient is 0 but for rounding
    for name, gradient in plain.gradients.items():
        np.testing.assert_allclose(quick.gradients[name], gradient, rtol=allowed, atol=allowed * largest, err_msg=name)


@given(
    head=st.integers(1, 5),
    n_heads=st.integers(1, 3),
    n_layers=st.integers(1, 3),
    d_ff=st.integers(1, 9),
    batches=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 7)), min_size=1, max_size=3),
    vocab_size=st.integers(1, 12),
    tied=st.booleans(),
    positions=st.sampled_from(sorted(POSITIONS)),
    dtype=st.sampled_from(["float64", "float32"]),
    queries=st.integers(1, 8),
    seed=st.integers(0, 10_000),
)
def test_loss_and_gradients_are_those_of_the_plain_layers(
    head, n_heads, n_layers, d_ff, batches, vocab_size, tied, positions, dtype, queries, seed
):
    head += head % 2 if positions == "rotary" else head * n_heads == 1
    config = CLLMConfig(vocab_size, head * n_heads, n_layers, n_heads, d_ff, 7, dtype, tied, positions)
    quick, plain = pair(config, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "QUERIES", queries)  # one query block, or several, the last of them shorter
        for batch, time in batches:  # other shapes, and what the last step left behind
            assert_same_step(quick, plain, *random_batch(vocab_size, batch, time, seed))


@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("positions", ["none", "rotary", "distance_bias"])
def test_a_sequence_longer_than_a_query_block(positions, n_kv_heads):
    sizes = dict(d_model=8, n_layers=1, n_heads=4, d_ff=10, seq_len=2 * fast.QUERIES + 5)
    config = CLLMConfig(11, positions=positions, n_kv_heads=n_kv_heads, **sizes)
    assert_same_step(*pair(config, 0), *random_batch(11, 2, config.seq_len))


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("distances", [None, np.random.default_rng(0).random((7, 7)) * 9.0], ids=["|i - j|", "others"])
def test_other_distances_and_fixed_slopes(distances, learned):
    config = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "QUERIES", 3)
        assert_same_step(*pair(config, 0, DistanceBiasAttention(distances, learned)), *random_batch(11, 2, 7))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["layers.1.attention.query_weight", "embedding", "output_weight"])
def test_scores_and_logits_out_of_the_range_of_exp_are_shifted(name, tied):
    config = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7, tie_embeddings=tied)
    quick, plain = pair(config, 0)
    for model in (quick, plain):
        if name in model.parameters:
            model.parameters[name] *= 2000.0
    assert_same_step(quick, plain, *random_batch(11, 2, 7))


@pytest.mark.parametrize(("score", "safe"), [(49.0, True), (-49.0, True), (51.0, False), (-51.0, False), (np.inf, False), (np.nan, False)])
def test_one_score_far_from_zero_is_enough_to_shift(score, safe):
    assert fast.safe_for_exp(np.array([[0.0, 1.0], [score, 2.0]])) == safe
    largest = np.full((10, 10_000), 49.9, np.float32)
    assert np.isfinite(np.exp(largest).sum())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("positions", ["learned", "rotary", "distance_bias"])
def test_whatever_stood_in_the_gradients_is_overwritten(tied, positions):
    model = CLLM(CLLMConfig(50, d_model=8, n_heads=2, d_ff=6, tie_embeddings=tied, positions=positions))
    tokens, targets = random_batch(50, 2, 5)
    model.forward_backward(tokens, targets)
    expected = model.flat_gradients.copy()
    for value in (np.nan, 1.0):
        model.flat_gradients[:] = value
        model.forward_backward(tokens, targets)
        np.testing.assert_array_equal(model.flat_gradients, expected)


def broken(patch, names):
    """Make plain functions raise, wherever the model finds them."""

    def raising(name):
        def function(*arguments, **named):
            raise RuntimeError(f"{name} was called")

        return function

    for name in names:
        for module in (layers, attention_module, ends, transformer, transformer_layer):
            if hasattr(module, name):
                patch.setattr(module, name, raising(name))


def test_training_runs_the_twins_and_no_plain_function_but_the_look_up(monkeypatch):
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), d_model=12, n_layers=2, n_heads=3, d_ff=10)
    expected = Trainer(CLLM(config), corpus).fit(epochs=1).losses
    broken(monkeypatch, PLAIN - WITHOUT_A_TWIN)
    assert Trainer(CLLM(config), corpus).fit(epochs=1).losses == expected
    with pytest.raises(RuntimeError, match="_forward was called"):
        Trainer(CLLM(config, fast=False), corpus).fit(epochs=1)


@pytest.mark.parametrize("name", sorted(PLAIN - BOUND))
def test_without_the_twins_each_plain_function_is_what_runs(name, monkeypatch):
    config = replace(CONFIG, **LATER.get(name.split("_")[0], {}))
    broken(monkeypatch, [name])
    with pytest.raises(RuntimeError, match=f"{name} was called"):
        CLLM(config, fast=False).forward_backward(*random_batch(11, 2, 7))
    if name in WITHOUT_A_TWIN:
        with pytest.raises(RuntimeError, match=f"{name} was called"):
            CLLM(config).forward_backward(*random_batch(11, 2, 7))
    else:
        CLLM(config).forward_backward(*random_batch(11, 2, 7))


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("positions", ["none", "learned", "rotary", "distance_bias"])
def test_with_and_without_the_twins_loss_and_gradients_are_the_same(positions, tied):
    config = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7, tie_embeddings=tied, positions=positions)
    quick, plain = (spread_out(CLLM(config, seed=2, fast=fast)) for fast in (True, False))
    assert_same_step(quick, plain, *random_batch(11, 3, 7))
    assert plain._stack is None
    assert quick._stack is not None


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), lambda model: model.with_parameters(model.flat_parameters)],
    ids=["copy", "deepcopy", "pickle", "with_parameters"],
)
def test_a_copy_of_a_plain_model_is_plain(duplicate, monkeypatch):
    model = duplicate(CLLM(CONFIG, fast=False))
    broken(monkeypatch, ["attention_backward"])
    with pytest.raises(RuntimeError, match="attention_backward was called"):
        model.forward_backward(*random_batch(11, 2, 7))


def test_the_switch_is_given_by_name_only():
    with pytest.raises(TypeError, match="positional"):
        CLLM(CONFIG, 0, "scaled_normal", None, None, None, None, None, False)


@pytest.mark.parametrize("kind", [CausalSelfAttention, RotarySelfAttention, DistanceBiasAttention])
def test_a_subclass_inherits_no_twin_and_may_name_its_own(kind):
    def forward(self, x, parameters, config):
        return kind.forward(self, 2.0 * x, parameters, config)

    other = type("Other", (kind,), {"forward": forward})
    own = type("Own", (kind,), {"fast_twin": lambda self: kind().fast_twin()})
    assert fast.twin_of(kind()) is not None
    assert fast.twin_of(TransformerLayer(kind())) is not None
    assert fast.twin_of(other()) is None
    assert fast.twin_of(TransformerLayer(other())) is None
    assert fast.twin_of(type("OtherLayer", (TransformerLayer,), {})(kind())) is None
    config, batch = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7), random_batch(11, 2, 7)
    sound, doubled, named = (CLLM(config, attention=part()) for part in (kind, other, own))
    for model in (sound, doubled, named):
        spread_out(model)
    assert abs(doubled.forward_backward(*batch) - sound.forward_backward(*batch)) > 1e-3
    assert named.forward_backward(*batch) == sound.forward_backward(*batch)
    assert [model._stack is None for model in (sound, doubled, named)] == [False, True, False]
    assert not named.is_sound  # a cache knows nothing of it


@pytest.mark.parametrize("part", [object(), type("Slots", (), {"__slots__": (), "fast_twin": lambda self: None})()], ids=["none", "slots"])
def test_a_part_without_a_twin_has_none(part):
    assert fast.twin_of(part) is None


def test_a_part_that_is_exchanged_after_a_step_is_what_the_next_step_runs():
    config, batch = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7), random_batch(11, 2, 7)
    model = spread_out(CLLM(config))
    before = model.forward_backward(*batch)
    model.layer.attention = RotarySelfAttention()
    expected = spread_out(CLLM(config, attention=RotarySelfAttention())).forward_backward(*batch)
    assert model.forward_backward(*batch) == expected != before


def test_only_the_sound_parts_themselves_are_computed_the_quick_way():
    calls = []

    class Watched(AnotherAttention):
        def backward(self, dy, cache):
            calls.append("attention")
            return super().backward(dy, cache)

    class WatchedLayer(TransformerLayer):
        def backward(self, dy, cache):
            calls.append("layer")
            return super().backward(dy, cache)

    batch = random_batch(11, 2, 7)
    for parts in (dict(attention=Watched()), dict(layer=WatchedLayer()), dict(layer=TransformerLayer(Watched()))):
        CLLM(CONFIG, **parts).forward_backward(*batch)
    assert calls == ["attention"] * 2 + ["layer"] * 2 + ["attention"] * 2


@pytest.mark.parametrize("which", ["layer", "attention"])
def test_a_part_with_something_of_its_own_hung_onto_it_is_called(which):
    model, calls = CLLM(CONFIG), []
    part = model.layer if which == "layer" else model.layer.attention
    sound = part.backward
    part.backward = lambda *arguments: calls.append(which) or sound(*arguments)
    model.forward_backward(*random_batch(11, 2, 7))
    assert calls == [which] * 2


def test_logits_and_gradients_handed_out_outlive_later_steps():
    model = spread_out(CLLM(CONFIG))
    tokens, targets = random_batch(11, 2, 7)
    logits, (_, gradients) = model.logits(tokens), model.loss_and_gradients(tokens, targets)
    kept = logits.copy(), {name: gradient.copy() for name, gradient in gradients.items()}
    model.forward_backward(targets, tokens)
    model.logits(targets)
    np.testing.assert_array_equal(logits, kept[0])
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, kept[1][name])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("attention", [None, AnotherAttention()], ids=["sound", "another"])
def test_a_copy_is_a_model_of_its_own(duplicate, attention):
    model = CLLM(CONFIG, seed=3, attention=attention)
    batch = random_batch(11, 2, 7)
    model.forward_backward(*batch)
    other = duplicate(model)
    np.testing.assert_array_equal(other.flat_gradients, model.flat_gradients)
    assert type(other.layer.attention) is type(model.layer.attention)
    before = model.flat_parameters.copy()
    for name, array in other.parameters.items():
        assert np.shares_memory(array, other.flat_parameters), name
        array += 0.01
    np.testing.assert_array_equal(model.flat_parameters, before)
    model.flat_parameters += 0.01
    assert other.forward_backward(*batch) == model.forward_backward(*batch)
    np.testing.assert_array_equal(other.flat_gradients, model.flat_gradients)


def test_a_shallow_copy_shares_the_weights_and_keeps_what_one_added():
    model = spread_out(CLLM(CONFIG, seed=3))
    model.note = "mine"
    other = copy.copy(model)
    other.layer = TransformerLayer(AnotherAttention())
    assert type(model.layer.attention) is CausalSelfAttention
    assert other.note == "mine"
    other.parameters["embedding"][0] = 5.0
    assert (model.parameters["embedding"][0] == 5.0).all()
    batch = random_batch(11, 2, 7)
    assert other.forward_backward(*batch) == pytest.approx(model.forward_backward(*batch), rel=1e-12)


def test_a_pickle_holds_each_number_once():
    model = CLLM(CLLMConfig(500, d_model=32), seed=0)
    model.forward_backward(*random_batch(500, 4, 32))
    both_buffers = 2 * model.flat_parameters.nbytes
    assert both_buffers < len(pickle.dumps(model)) < both_buffers + 10_000


def test_two_models_in_two_threads_do_not_disturb_each_other():
    models = [spread_out(CLLM(CONFIG, seed=seed), seed) for seed in (0, 1)]
    batches = [random_batch(11, 3, 7, seed) for seed in (0, 1)]

    def losses(i):
        run = []
        for _ in range(50):
            run.append(models[i].forward_backward(*batches[i]))
            models[i].flat_parameters -= 0.01 * models[i].flat_gradients
        return run

    starts = [model.flat_parameters.copy() for model in models]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(losses, (0, 1)))
    for model, start in zip(models, starts, strict=True):
        model.flat_parameters[:] = start
    assert together == [losses(0), losses(1)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_are_masked_whole_are_those_of_the_plain_functions(dtype):
    hidden = np.array([[1.0], [0.0], [-1.0]], dtype=dtype)
    matrix, d_matrix = np.array([[-1e30, -2e30]], dtype=dtype), np.zeros((1, 2), dtype=dtype)
    output, targets = fast.Output(matrix, d_matrix, 3), np.array([0, 1, 0], dtype=np.int64)
    logits = hidden @ matrix
    logits[1] = -np.inf

    def product(one, other, out):  # what an overflow would leave: a row of -inf
        np.dot(one, other, out=out)
        if out.shape == logits.shape and other is matrix:
            out[...] = logits
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "product", product)
        loss, _ = output.forward_backward(hidden, targets)
    expected, cache = layers.cross_entropy_forward(logits, targets)
    assert loss == expected == np.inf
    np.testing.assert_allclose(output.logits, layers.cross_entropy_backward(cache), atol=1e-7)
    np.testing.assert_array_equal(output.logits[1], 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_query_whose_scores_are_all_forbidden_gets_zeros(dtype):
    generator = np.random.default_rng(0)
    arrays, d_arrays = generator.standard_normal((2, 4, 1, 2, 3, 4)).astype(dtype)

    class Forbids:
        def forward(self, scores):
            scores[:, :, 1] = -np.inf

        def backward(self, d_scores):
            assert not d_scores[:, :, 1].any()

    block = fast.QueryBlock(tuple(arrays), tuple(d_arrays), 0, 3, Forbids())
    block.forward()  # a RuntimeWarning is an error here
    block.backward()
    np.testing.assert_array_equal(arrays[3][:, :, 1], 0.0)
    assert np.isfinite(d_arrays[:3]).all()
    mask = causal_mask(3).copy()
    mask[1] = False
    query, key, value = arrays[:3].astype(np.float64)
    expected, cache = scaled_dot_product_forward(query * 2.0, key, value, mask)  # the root of the width, which a block takes off before
    np.testing.assert_allclose(arrays[3], expected, rtol=1e-5, atol=1e-6)
    for found, plain in zip(d_arrays[1:3], scaled_dot_product_backward(d_arrays[3].astype(np.float64), cache)[1:], strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("base", [10.0, 500_000.0])
def test_another_rope_base_is_the_same_to_both(base):
    config = CLLMConfig(11, d_model=12, n_layers=2, n_heads=3, d_ff=10, seq_len=7, positions="rotary", rope_base=base)
    quick, plain = pair(config, 0)
    assert_same_step(quick, plain, *random_batch(11, 2, 7, 0))
    usual, _ = pair(replace(config, rope_base=10_000.0), 0)
    assert quick.loss(*random_batch(11, 2, 7, 0)) != usual.loss(*random_batch(11, 2, 7, 0))
