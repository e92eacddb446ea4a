import numpy as np
import pytest
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig

SIZES = dict(vocab_size=7, d_model=8, n_layers=1, n_heads=2, d_ff=6, seq_len=5)


def test_the_table_is_added_row_by_row():
    model = CLLM(CLLMConfig(**SIZES, positions="learned"))
    x = np.random.default_rng(0).standard_normal((2, 3, 8))
    added = model.positions.forward(x, {"table": model.parameters["positions.table"]}) - x
    for t in range(3):
        np.testing.assert_allclose(added[:, t], np.tile(model.parameters["positions.table"][t], (2, 1)), atol=1e-15)


@pytest.mark.parametrize(("positions", "told_apart"), [("none", False), ("learned", True)])
def test_a_row_of_equal_tokens_is_told_apart_by_positions_only(positions, told_apart):
    """Every prefix of equal tokens averages equal values, so without positions all outputs are the same."""
    model = spread_out(CLLM(CLLMConfig(**SIZES, positions=positions)))
    logits = model.logits([[3, 3, 3, 3, 3]])[0]
    assert (np.abs(logits - logits[0]).max() > 1e-3) == told_apart


def test_positions_beyond_the_sequence_get_no_gradient():
    model = spread_out(CLLM(CLLMConfig(**SIZES, positions="learned")))
    _, gradients = model.loss_and_gradients(*random_batch(7, 2, 3))
    table = gradients["positions.table"]
    assert not table[3:].any()
    assert (np.abs(table[:3]).max(axis=1) > 0).all()


def test_the_table_stands_between_embedding_and_layers_in_memory():
    model = CLLM(CLLMConfig(**SIZES, positions="learned"))
    assert list(model.parameters)[:2] == ["embedding", "positions.table"]
