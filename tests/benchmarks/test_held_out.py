"""Bits a byte are those of the probabilities, whatever the tokens are."""

import math

import numpy as np
import pytest
from pretrained.writing_gguf import as_gguf, tiny_model

from benchmarks import held_out
from cllm_lib.model import softmax
from cllm_lib.pretrained import load_chat_model

TEXT = "the sky is blue because the air is thin, and the sea is deep.\n" * 6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model()))
    return load_chat_model(path)


def test_pieces_follow_each_other_from_either_end(tiny):
    ids = tiny.encode(TEXT)
    np.testing.assert_array_equal(held_out.pieces(tiny, TEXT, 3, 20).ravel(), ids[:60])
    np.testing.assert_array_equal(held_out.pieces(tiny, TEXT, 3, 20, end=True).ravel(), ids[-60:])
    with pytest.raises(ValueError, match="ask for fewer"):
        held_out.pieces(tiny, TEXT, 100, 20)


def test_bits_a_byte_by_hand(tiny):
    rows = held_out.pieces(tiny, TEXT, 4, 15)
    nats, size, bits = held_out.losses(tiny, rows), held_out.n_bytes(tiny, rows), 0.0
    for row in rows:
        probabilities = softmax(tiny.logits(row).astype(np.float64))
        bits -= sum(math.log2(probabilities[t - 1, row[t]]) for t in range(1, 15))
    text = b"".join(tiny.decode(row[1:]).encode() for row in rows)
    assert size == len(text)
    assert held_out.bits_per_byte(nats, 15, size) == pytest.approx(bits / len(text), rel=1e-5)
