"""Gradients through the frozen decoder, against central differences and PyTorch; with fresh adapters it is the decoder itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretrained.small_decoder import CONFIG, small_parameters

from cllm_lib.instruments import check_gradients
from cllm_lib.model import activation_functions, layers
from cllm_lib.pretrained import lora_init, loss_and_gradients, merge
from cllm_lib.pretrained.decoder_backward import adapted_decoder_forward
from cllm_lib.pretrained.decoder_layers import Cache, decoder_forward


def case(seed=0, config=CONFIG, rank=3, batch=2, time=7):
    """Random adapters, weights, ids, and targets."""
    generator = np.random.default_rng(seed)
    lora = lora_init(config, rank, seed, alpha=5.0, dtype=np.float64)
    lora.flat[...] = generator.normal(0.0, 0.3, lora.flat.size)
    ids = generator.integers(0, config.vocab_size, (batch, time))
    is_target = generator.random((batch, time)) < 0.5
    is_target[:, 0], is_target[0, -1] = False, True
    return ids, is_target, small_parameters(config, seed), lora


def test_fresh_adapters_change_no_bit():
    ids, *_ = case(batch=1, time=20)
    for dtype in (np.float32, np.float64):
        own = small_parameters(dtype=dtype)
        hidden, _ = adapted_decoder_forward(ids, own, CONFIG, lora_init(CONFIG, 4, dtype=dtype))
        without = adapted_decoder_forward(ids, own, CONFIG)[0]
        np.testing.assert_array_equal(hidden, without)
        assert hidden.dtype == dtype
        kept = decoder_forward(ids[0], own, CONFIG, Cache(CONFIG, 20))  # keys and values in float32
        np.testing.assert_allclose(hidden[0], kept, atol=2e-5)
        if dtype == np.float32:
            np.testing.assert_array_equal(hidden[0], kept)


def test_adapters_aside_and_merged_give_the_same():
    ids, _, parameters, lora = case(batch=3)
    aside, _ = adapted_decoder_forward(ids, parameters, CONFIG, lora)
    merged, _ = adapted_decoder_forward(ids, merge(parameters, lora), CONFIG)
    np.testing.assert_allclose(aside, merged, atol=1e-12)
    plain, _ = adapted_decoder_forward(ids, parameters, CONFIG)
    assert np.abs(aside - plain).max() > 0.01


@pytest.mark.parametrize(("n_kv_heads", "pairs"), [(1, "halves"), (2, "neighbours")])
def test_gradients_are_the_slopes_of_the_loss(n_kv_heads, pairs):
    config = CONFIG.__class__(**vars(CONFIG) | {"n_kv_heads": n_kv_heads, "rope_pairs": pairs})
    ids, is_target, parameters, lora = case(3, config, rank=2, batch=1)
    report = check_gradients(lambda arrays: loss_and_gradients(ids, is_target, parameters, config, lora), lora.arrays)
    assert sum(row.checked for row in report.rows) == lora.flat.size
    assert report.max_relative_error < 1e-6


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), rank=st.integers(1, 4), batch=st.integers(1, 3), time=st.integers(2, 9))
def test_along_any_direction_too(seed, rank, batch, time):
    ids, is_target, parameters, lora = case(seed, CONFIG, rank, batch, time)
    loss, gradients = loss_and_gradients(ids, is_target, parameters, CONFIG, lora)
    direction = np.random.default_rng(seed).standard_normal(lora.flat.size)
    slope = np.concatenate([gradients[name].ravel() for name in lora.arrays]) @ direction
    before, ends = lora.flat.copy(), []
    for step in (1e-5, -1e-5):
        lora.flat[...] = before + step * direction
        ends.append(loss_and_gradients(ids, is_target, parameters, CONFIG, lora)[0])
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-7)
    assert loss > 0.0


def test_a_wrong_step_back_is_found(monkeypatch):
    """The gate's slope left out: the gradient check sees it."""
    monkeypatch.setattr(layers, "silu_backward", lambda dy, x: dy * activation_functions.sigmoid(x))
    ids, is_target, parameters, lora = case(rank=1, batch=1, time=4)
    report = check_gradients(lambda arrays: loss_and_gradients(ids, is_target, parameters, CONFIG, lora), lora.arrays)
    assert report.max_relative_error > 1e-3


def test_gradients_are_those_of_pytorch():
    """The decoder once more in PyTorch's own operations, with the adapters as parameters."""
    torch = pytest.importorskip("torch", reason="a peer; `make test-all` installs it")
    ids, is_target, parameters, lora = case(7, batch=3, time=9)
    arrays = {name: torch.tensor(array, requires_grad=True) for name, array in lora.arrays.items()}
    loss = torch_loss(torch, ids, is_target, parameters, arrays, lora.scale)
    loss.backward()
    found, gradients = loss_and_gradients(ids, is_target, parameters, CONFIG, lora)
    assert found == pytest.approx(loss.item(), rel=1e-12)
    for name, array in arrays.items():
        exact = array.grad.numpy()
        assert np.abs(gradients[name] - exact).max() < 1e-10 * np.abs(exact).max(), name


def torch_loss(torch, ids, is_target, parameters, arrays, scale):
    functional, width = torch.nn.functional, (CONFIG.d_model,)

    def of(array):
        return torch.tensor(np.ascontiguousarray(array))

    def norm(x, part):
        return functional.rms_norm(x, width, of(part["gain"]), CONFIG.eps)

    def turned(x):
        """As a product of complex numbers, one for each pair of neighbours."""
        speeds = CONFIG.rope_base ** (-torch.arange(0, x.shape[-1], 2, dtype=torch.float64) / x.shape[-1])
        turns = torch.polar(torch.ones(1, dtype=torch.float64), torch.arange(x.shape[-2])[:, None] * speeds)
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
        return torch.view_as_real(pairs * turns).flatten(-2)

    x = of(parameters["embedding"])[torch.tensor(ids)]
    for i, layer in enumerate(parameters["layers"]):
        normed, heads = norm(x, layer["attention_norm"]), {}
        for name in ("query", "key", "value"):
            y = normed @ of(layer["attention"][f"{name}_weight"])
            if name != "key":
                y = y + scale * (normed @ arrays[f"layers.{i}.{name}.a"]) @ arrays[f"layers.{i}.{name}.b"]
            heads[name] = y.unflatten(-1, (-1, CONFIG.d_model // CONFIG.n_heads)).transpose(1, 2)
        attended = functional.scaled_dot_product_attention(
            turned(heads["query"]), turned(heads["key"]), heads["value"], is_causal=True, enable_gqa=True
        )
        x = x + attended.transpose(1, 2).flatten(-2) @ of(layer["attention"]["output_weight"])
        normed, fed = norm(x, layer["feed_forward_norm"]), {name: of(array) for name, array in layer["feed_forward"].items()}
        x = x + (functional.silu(normed @ fed["gate_weight"]) * (normed @ fed["up_weight"])) @ fed["down_weight"]
    logits = norm(x, parameters["final_norm"]) @ of(parameters["output_weight"])
    marked = torch.tensor(is_target[:, 1:])
    return functional.cross_entropy(logits[:, :-1][marked], torch.tensor(ids[:, 1:])[marked])


def test_what_stands_behind_an_example_changes_nothing():
    ids, is_target, parameters, lora = case(batch=1, time=6)
    longer = np.concatenate([ids, np.full((1, 4), 7, np.int64)], axis=1)
    marked = np.concatenate([is_target, np.zeros((1, 4), bool)], axis=1)
    loss, gradients = loss_and_gradients(ids, is_target, parameters, CONFIG, lora)
    other, others = loss_and_gradients(longer, marked, parameters, CONFIG, lora)
    assert loss == pytest.approx(other, rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, others[name], atol=1e-12)


def test_no_frozen_weight_gets_a_gradient():
    ids, is_target, parameters, lora = case()
    _, gradients = loss_and_gradients(ids, is_target, parameters, CONFIG, lora)
    assert gradients.keys() == lora.arrays.keys()
    assert all(gradients[name].shape == array.shape for name, array in lora.arrays.items())


@pytest.mark.parametrize(
    ("ids", "is_target", "said"),
    [
        ([1, 2, 3], [False, True, True], r"give both as \(B, T\)"),
        ([[1, 2, 3]], [[0, 1, 1]], "True or False"),
        ([[1, 2, 3]], [[False, True]], r"give both as \(B, T\)"),
        ([[1, 2, 99]], [[False, True, True]], r"ids\[0, 2\] is 99"),
        ([[1, 2, 3]], [[False, False, False]], "marks no token"),
        ([[1, 2, 3]], [[True, True, False]], "the first of a sequence"),
        ([[0] * 33], [[False] + [True] * 32], "33 tokens long, and the model reads 32"),
    ],
)
def test_what_does_not_go_together_is_said(ids, is_target, said):
    with pytest.raises(ValueError, match=said):
        loss_and_gradients(ids, is_target, small_parameters(), CONFIG, lora_init(CONFIG, 2))
