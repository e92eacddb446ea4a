"""The layer against PyTorch's own, with our weights copied in: outputs and every gradient."""

import numpy as np
import pytest
from oracles import spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.attention import PROJECTIONS
from cllm_lib.model.transformer import by_name


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_layer_is_pytorchs_transformer_encoder_layer(seed):
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    config = CLLMConfig(vocab_size=5, d_model=12, n_layers=1, n_heads=3, d_ff=10, seq_len=7)
    model = spread_out(CLLM(config, seed=seed), seed)
    parameters = by_name(model.layer_parameters(0))
    peer = torch.nn.TransformerEncoderLayer(
        12, 3, 10, dropout=0.0, activation=torch.tanh, batch_first=True, norm_first=False, dtype=torch.float64
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
