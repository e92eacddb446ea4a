"""The model with today's layers against Llama in transformers, with our weights copied in: logits, loss and every gradient."""

import importlib

import numpy as np
import pytest
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig

LAYER = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.output",
    "mlp.gate_proj": "feed_forward.gate",
    "mlp.up_proj": "feed_forward.up",
    "mlp.down_proj": "feed_forward.down",
}
NORMS = {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm"}


def under_their_names(arrays, config):
    """Our arrays as Llama calls them: matrices turned, since there they are (n_out, n_in)."""
    state = {"model.embed_tokens.weight": arrays["embedding"], "model.norm.weight": arrays["final_norm.gain"]}
    if not config.tie_embeddings:
        state["lm_head.weight"] = arrays["output_weight"].T
    for i in range(config.n_layers):
        for their, our in LAYER.items():
            state[f"model.layers.{i}.{their}.weight"] = arrays[f"layers.{i}.{our}_weight"].T
            if "attention" in our:
                state[f"model.layers.{i}.{their}.bias"] = arrays[f"layers.{i}.{our}_bias"]
        for their, our in NORMS.items():
            state[f"model.layers.{i}.{their}.weight"] = arrays[f"layers.{i}.{our}.gain"]
    return state


class InFloat64:
    """PyTorch, in which float32 means float64: norms, angles and softmax are float32 in Llama whatever the weights are."""

    def __init__(self, torch):
        self.torch, self.float32, self.float = torch, torch.float64, torch.float64

    def __getattr__(self, name):
        return getattr(self.torch, name)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(("n_kv_heads", "base"), [(None, 10_000.0), (2, 500_000.0), (1, 100.0)])
def test_it_is_llama(n_kv_heads, base, tied, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    transformers = pytest.importorskip("transformers", reason="transformers is for the weekly tests")
    config = CLLMConfig(
        13,
        d_model=16,
        n_layers=3,
        n_heads=4,
        d_ff=22,
        seq_len=9,
        tie_embeddings=tied,
        positions="rotary",
        rope_base=base,
        rope_pairs="halves",
        norm="rms",
        norm_first=True,
        feed_forward="swiglu",
        n_kv_heads=n_kv_heads,
    )
    theirs = transformers.LlamaConfig(
        vocab_size=13,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=n_kv_heads or 4,
        intermediate_size=22,
        max_position_embeddings=9,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": base},
        rms_norm_eps=1e-5,
        hidden_act="silu",
        attention_bias=True,
        attn_implementation="eager",
    )
    model, peer = spread_out(CLLM(config, seed=1)), transformers.LlamaForCausalLM(theirs).double()
    state = {name: torch.tensor(np.ascontiguousarray(array)) for name, array in under_their_names(model.parameters, config).items()}
    missing, unexpected = peer.load_state_dict(state, strict=False)
    assert (set(missing), unexpected) == ({"lm_head.weight"} if tied else set(), [])
    if tied:
        peer.tie_weights()
    llama = importlib.import_module("transformers.models.llama.modeling_llama")
    monkeypatch.setattr(llama, "torch", InFloat64(torch))
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    peer.model.rotary_emb.inv_freq = 1.0 / base ** (torch.arange(0, 4, 2, dtype=torch.float64) / 4)
    tokens, targets = random_batch(13, 2, 9)
    logits = peer(input_ids=torch.tensor(tokens)).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 13), torch.tensor(targets).reshape(-1))
    loss.backward()
    assert np.abs(model.logits(tokens) - logits.detach().numpy()).max() < 1e-10
    our_loss, gradients = model.loss_and_gradients(tokens, targets)
    assert abs(our_loss - loss.item()) < 1e-12
    ours = under_their_names(gradients, config)
    for name, parameter in peer.named_parameters():
        assert np.abs(ours.pop(name) - parameter.grad.numpy()).max() < 1e-10, name
    assert not ours
