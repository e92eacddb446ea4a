"""The layer against PyTorch's own, with our weights copied in: outputs and every gradient."""

import numpy as np
import pytest
from oracles import spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model import activation_functions, layers
from cllm_lib.model.attention import PROJECTIONS, scaled_dot_product_backward, scaled_dot_product_forward
from cllm_lib.model.transformer import by_name


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_layer_is_pytorchs_transformer_encoder_layer(seed):
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    config = CLLMConfig(vocab_size=5, d_model=12, n_layers=1, n_heads=3, d_ff=10, seq_len=7)
    compare_with_encoder_layer(torch, config, seed, activation=torch.tanh)


def compare_with_encoder_layer(torch, config, seed, activation):
    """Outputs and every gradient of our layer and of PyTorch's, with the same weights."""
    model = spread_out(CLLM(config, seed=seed), seed)
    parameters = by_name(model.layer_parameters(0))
    peer = torch.nn.TransformerEncoderLayer(
        12, 3, 10, dropout=0.0, activation=activation, batch_first=True, norm_first=config.norm_first, dtype=torch.float64
    )
    names = {
        "self_attn.out_proj": "attention.output",
        "linear1": "feed_forward.expand",
        "linear2": "feed_forward.contract",
    }
    norms = {"norm1": "attention_norm", "norm2": "feed_forward_norm"}

    def theirs(arrays):
        """Our arrays under PyTorch's names: matrices turned, the three projections under each other."""
        state = {"self_attn.in_proj_weight": np.concatenate([arrays[f"attention.{p}_weight"].T for p in PROJECTIONS])}
        state["self_attn.in_proj_bias"] = np.concatenate([arrays[f"attention.{p}_bias"] for p in PROJECTIONS])
        for their, our in names.items():
            state |= {f"{their}.weight": arrays[f"{our}_weight"].T, f"{their}.bias": arrays[f"{our}_bias"]}
        for their, our in norms.items():
            state |= {f"{their}.weight": arrays[f"{our}.gain"], f"{their}.bias": arrays[f"{our}.bias"]}
        return state

    peer.load_state_dict({name: torch.tensor(array) for name, array in theirs(parameters).items()})
    generator = np.random.default_rng(seed)
    x, upstream = generator.standard_normal((2, 2, 7, 12))
    y, cache = model.layer.forward(x, model.layer_parameters(0), config)
    dx, gradients = model.layer.backward(upstream, cache)

    x_theirs = torch.tensor(x, requires_grad=True)
    y_theirs = peer(x_theirs, src_mask=torch.nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64), is_causal=True)
    y_theirs.backward(torch.tensor(upstream))
    np.testing.assert_allclose(y, y_theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, x_theirs.grad.numpy(), rtol=1e-9, atol=1e-11)
    ours = theirs(by_name(gradients))
    for name, parameter in peer.named_parameters():
        np.testing.assert_allclose(ours[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_rms_norm_gelu_and_silu_are_pytorchs(seed):
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    generator = np.random.default_rng(seed)
    x, upstream = 3.0 * generator.standard_normal((2, 2, 7, 12))
    gain = generator.standard_normal(12)
    y, cache = layers.rms_norm_forward(x, gain, eps=1e-6)
    dx, gradients = layers.rms_norm_backward(upstream, cache)
    peer = torch.nn.RMSNorm(12, eps=1e-6, dtype=torch.float64)
    peer.load_state_dict({"weight": torch.tensor(gain)})
    expected = gradients_of(torch, peer, upstream, x)
    np.testing.assert_allclose((y, dx), (expected[0], expected[1][0]), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradients["gain"], peer.weight.grad.numpy(), rtol=1e-12, atol=1e-13)
    functional = torch.nn.functional
    for forward, backward, theirs in (
        (activation_functions.gelu_forward, activation_functions.gelu_backward, functional.gelu),
        (activation_functions.silu_forward, activation_functions.silu_backward, functional.silu),
    ):
        expected = gradients_of(torch, theirs, upstream, x)
        np.testing.assert_allclose(forward(x), expected[0], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(backward(upstream, x), expected[1][0], rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("n_kv_heads", [6, 3, 2, 1])
def test_grouped_query_attention_is_pytorchs(n_kv_heads):
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    generator = np.random.default_rng(n_kv_heads)
    query, upstream = generator.standard_normal((2, 2, 6, 7, 4))
    key, value = generator.standard_normal((2, 2, n_kv_heads, 7, 4))
    y, cache = scaled_dot_product_forward(query, key, value)
    gradients = scaled_dot_product_backward(upstream, cache)

    def theirs(*arrays):
        return torch.nn.functional.scaled_dot_product_attention(*arrays, is_causal=True, enable_gqa=True)

    expected_y, expected = gradients_of(torch, theirs, upstream, query, key, value)
    np.testing.assert_allclose(y, expected_y, rtol=1e-12, atol=1e-13)
    for ours, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
def test_a_layer_with_norms_first_and_gelu_is_pytorchs_too():
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    config = CLLMConfig(vocab_size=5, d_model=12, n_layers=1, n_heads=3, d_ff=10, seq_len=7, norm_first=True, feed_forward="gelu")
    compare_with_encoder_layer(torch, config, seed=0, activation="gelu")


def gradients_of(torch, function, upstream, *arrays):
    """What PyTorch's function returns, and its gradients."""
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    y = function(*inputs)
    y.backward(torch.tensor(upstream))
    return y.detach().numpy(), [tensor.grad.numpy() for tensor in inputs]
