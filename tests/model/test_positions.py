import numpy as np
import pytest
from oracles import random_batch, reference_row, spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.positions import POSITIONS, FixedPositions

SIZES = dict(vocab_size=7, d_model=8, n_layers=1, n_heads=2, d_ff=6, seq_len=5)


def test_the_table_is_added_row_by_row():
    model = CLLM(CLLMConfig(**SIZES, positions="learned"))
    x = np.random.default_rng(0).standard_normal((2, 3, 8))
    added = model.positions.forward(x, {"table": model.parameters["positions.table"]}) - x
    for t in range(3):
        np.testing.assert_allclose(added[:, t], np.tile(model.parameters["positions.table"][t], (2, 1)), atol=1e-15)


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_row_of_equal_tokens_is_told_apart_by_rows_added_only(positions):
    """Every prefix of equal tokens averages equal values, however its weights are shared out, unless the values differ."""
    model = spread_out(CLLM(CLLMConfig(**SIZES, positions=positions)))
    logits = model.logits([[3, 3, 3, 3, 3]])[0]
    assert (np.abs(logits - logits[0]).max() > 1e-3) == (positions not in ("none", "rotary", "distance_bias"))


@pytest.mark.parametrize("positions", POSITIONS)
def test_all_but_none_see_the_order_of_earlier_tokens(positions):
    """In one layer the mask tells nothing: without positions the last output sees what came before as a heap."""
    model = spread_out(CLLM(CLLMConfig(**SIZES, positions=positions)))
    one, other = model.logits([[1, 2, 3, 4], [2, 3, 1, 4]])[:, -1]
    assert (np.abs(one - other).max() > 1e-6) == (positions != "none")


def test_two_layers_see_order_by_the_mask_alone():
    model = spread_out(CLLM(CLLMConfig(**(SIZES | {"n_layers": 2}))))
    one, other = model.logits([[1, 2, 3, 4], [2, 3, 1, 4]])[:, -1]
    assert np.abs(one - other).max() > 1e-3


FIXED = [name for name, part in POSITIONS.items() if issubclass(part, FixedPositions)]


@pytest.mark.parametrize("positions", FIXED)
def test_a_table_given_by_a_formula_is_added_row_by_row_from_any_start(positions):
    part, x = POSITIONS[positions](), np.random.default_rng(0).standard_normal((2, 3, 6))
    for start in (0, 4, 1, 900):
        for t in range(3):
            expected = 0.04 * 6**0.5 * np.array(reference_row(positions, start + t, 6))
            np.testing.assert_allclose((part.forward(x, {}, start) - x)[:, t], np.tile(expected, (2, 1)), atol=1e-9)
    assert part.forward(x.astype(np.float32), {}).dtype == np.float32


def test_fixed_tables_are_equally_loud_and_trained_by_nobody():
    for positions in FIXED:
        model = CLLM(CLLMConfig(**SIZES, positions=positions))
        added = model.positions.forward(np.zeros((1, 5, 8)), {})[0]
        np.testing.assert_allclose(np.linalg.norm(added, axis=1), 0.04 * 8**0.5, rtol=1e-12)
        assert not [name for name in model.parameters if name.startswith("positions")]


def test_what_lies_beyond_a_learned_table_is_an_error():
    part = POSITIONS["learned"]()
    with pytest.raises(ValueError, match="positions up to 6 are asked for, the table ends at 4: raise seq_len"):
        part.forward(np.zeros((1, 3, 8)), {"table": np.zeros((5, 8))}, start=4)


def test_positions_beyond_the_sequence_get_no_gradient():
    model = spread_out(CLLM(CLLMConfig(**SIZES, positions="learned")))
    _, gradients = model.loss_and_gradients(*random_batch(7, 2, 3))
    table = gradients["positions.table"]
    assert not table[3:].any()
    assert (np.abs(table[:3]).max(axis=1) > 0).all()


def test_the_table_stands_between_embedding_and_layers_in_memory():
    model = CLLM(CLLMConfig(**SIZES, positions="learned"))
    assert list(model.parameters)[:2] == ["embedding", "positions.table"]
