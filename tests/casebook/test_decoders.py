"""Each fault is what its name says, by another road: another configuration, or arrays looked up by hand."""

from dataclasses import replace

import numpy as np
import pytest
from pretrained.writing_gguf import as_gguf, tiny_model

from cllm_lib.casebook import faulty_chat_model
from cllm_lib.casebook.decoders import DECODER_FAULTS
from cllm_lib.model import scaled_dot_product_forward
from cllm_lib.pretrained.chat import ChatModel, load_chat_model
from cllm_lib.pretrained.decoder_layers import Cache, decoder_forward


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model()))
    return load_chat_model(path)


def off_by_place(model, fault):
    ids = model.encode("the sky is blue because the sky is wide")
    right = model.logits(ids)
    return np.abs(faulty_chat_model(model, fault).logits(ids) - right).max(axis=1) / np.abs(right).max()


@pytest.mark.parametrize("fault", DECODER_FAULTS)
def test_which_faults_show_at_the_first_place(model, fault):
    off = off_by_place(model, fault)
    assert (off[0] > 0.01) == (fault in ("gains", "gate", "heads"))
    assert (off.max() > 0.01) == (fault != "start"), "where places begin changes nothing"


def test_pairs_are_those_of_the_configuration(model):
    ids = np.arange(20, dtype=np.int64)
    other = ChatModel(replace(model.config, rope_pairs="halves"), model.parameters, model.tokenizer, model.system)
    np.testing.assert_array_equal(faulty_chat_model(model).logits(ids), other.logits(ids))


def test_heads_go_round(model, monkeypatch):
    """The same with attention that shares heads of keys out the other way."""
    ids = np.arange(20, dtype=np.int64)

    def round_the_heads(query, key, value, *rest):
        times = (1, query.shape[1] // key.shape[1], 1, 1)
        return scaled_dot_product_forward(query, np.tile(key, times), np.tile(value, times), *rest)

    dealt = faulty_chat_model(model, "heads").logits(ids)
    monkeypatch.setattr("cllm_lib.pretrained.decoder_layers.scaled_dot_product_forward", round_the_heads)
    hidden = decoder_forward(ids, model.parameters, model.config, Cache(model.config, len(ids)))
    np.testing.assert_allclose(dealt, hidden @ model.parameters["output_weight"], atol=1e-4 * np.abs(dealt).max())


def test_the_sound_model_stays_as_it_is(model):
    ids = np.arange(9, dtype=np.int64)
    before = model.logits(ids)
    for fault in DECODER_FAULTS:
        faulty_chat_model(model, fault)
    np.testing.assert_array_equal(model.logits(ids), before)


def test_an_unknown_fault_is_named(model):
    with pytest.raises(ValueError, match="unknown fault 'scale': choose one of 'base', 'gains'"):
        faulty_chat_model(model, "scale")
