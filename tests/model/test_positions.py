import numpy as np
import pytest
from oracles import random_batch, reference_row, spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.attention import RotarySelfAttention
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


def test_the_attention_of_rotary_positions_turns_by_the_configurations_base():
    config = CLLMConfig(9, d_model=8, n_heads=2, positions="rotary", rope_base=100.0)
    model = spread_out(CLLM(config))
    assert model.layer.attention.base == 100.0
    part = model.layer.attention
    query = np.random.default_rng(0).standard_normal((1, 2, 5, 4))
    turned, _ = part.placed(query, query)
    angles = np.arange(5.0)[:, None] * np.array([1.0, 100.0 ** (-2 / 4)])
    np.testing.assert_allclose(turned[0, 0, :, 0], query[0, 0, :, 0] * np.cos(angles[:, 0]) - query[0, 0, :, 1] * np.sin(angles[:, 0]))
    np.testing.assert_allclose(turned[0, 1, :, 3], query[0, 1, :, 2] * np.sin(angles[:, 1]) + query[0, 1, :, 3] * np.cos(angles[:, 1]))
    given = spread_out(CLLM(CLLMConfig(9, d_model=8, n_heads=2), attention=RotarySelfAttention(100.0)))
    tokens, targets = random_batch(9, 2, 5)
    assert model.loss(tokens, targets) == given.loss(tokens, targets)
    assert all(POSITIONS[name]().make_attention(CLLMConfig(9)) is None for name in FIXED)


def test_a_rope_base_that_is_none_is_refused():
    with pytest.raises(ValueError, match="base is 0: give a finite number above 0"):
        RotarySelfAttention(0)
    with pytest.raises(AttributeError):
        RotarySelfAttention().base = 5.0


def test_a_rotary_part_with_a_beginning_of_its_own_turns_as_usual():
    class Mine(RotarySelfAttention):
        def __init__(self):
            self.calls = 0

    config, (tokens, targets) = CLLMConfig(9, d_model=8, n_heads=2), random_batch(9, 2, 5)
    assert CLLM(config, attention=Mine()).loss(tokens, targets) == CLLM(config, attention=RotarySelfAttention()).loss(tokens, targets)
