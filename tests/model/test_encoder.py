"""The encoder's layer is the model's, but for mask and gate: BERT looks both ways, and its gate is GELU, not tanh.

Its small weights, configuration and tokenizer are offered here too, so that they can be had by loading this one file by
its path, from anywhere.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.attention import causal_mask
from cllm_lib.pretrained import bert_layers

_spec = importlib.util.spec_from_file_location("tiny_encoder", Path(__file__).parents[1] / "pretrained" / "tiny.py")
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)
CONFIG, tiny_arrays, tiny_tokenizer = tiny.CONFIG, tiny.tiny_arrays, tiny.tiny_tokenizer


@pytest.mark.parametrize("n_heads", [1, 2, 4])
def test_with_a_causal_mask_and_tanh_it_computes_what_the_models_layer_computes(n_heads, monkeypatch):
    monkeypatch.setattr(bert_layers, "gelu_forward", np.tanh)
    model = CLLM(CLLMConfig(vocab_size=9, d_model=8, n_layers=1, n_heads=n_heads, d_ff=12, seq_len=6), seed=3)
    parameters = model.layer_parameters(0)
    for array in parameters["attention"].values():  # biases start at 0, where one that is forgotten would not show
        array += 0.1 * np.random.default_rng(array.size).standard_normal(array.shape)
    x = np.random.default_rng(4).standard_normal((2, 6, 8))
    ours, _ = model.layer.forward(x, parameters, model.config)
    theirs, _ = bert_layers.encoder_layer_forward(x, parameters, n_heads, 1e-5, causal_mask(6))
    np.testing.assert_allclose(theirs, ours, atol=1e-12)
    both_ways, _ = bert_layers.encoder_layer_forward(x, parameters, n_heads, 1e-5, True)
    assert np.abs(both_ways[:, :-1] - ours[:, :-1]).max() > 1e-3
