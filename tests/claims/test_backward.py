"""Rows on forward and backward pass turn when the program is given the sound part."""

import numpy as np
import pytest

from cllm_lib import CLLM, claims, defects
from cllm_lib.claims import backward
from cllm_lib.model.attention import CausalSelfAttention


def sound_program(config, repairs=(), seed=0):
    return CLLM(config, seed=seed)


def test_gradients_hold_once_the_program_is_mended(monkeypatch):
    assert backward.gradients_of_the_program()[1].startswith("holds only if the layers are left out")
    assert backward.complete_gradients()[1] == claims.FAILS
    monkeypatch.setattr(backward.defects, "program", sound_program)
    assert backward.gradients_of_the_program()[1] == claims.HOLDS
    assert backward.complete_gradients()[1] == claims.HOLDS


def test_a_wrong_softmax_gradient_is_seen(monkeypatch):
    monkeypatch.setattr(backward, "cross_entropy_backward", lambda cache: np.ones((6, 9)))
    assert backward.gradients_of_the_program()[1] == claims.FAILS


def test_all_parameters_are_updated_where_weights_are_not_zero(monkeypatch):
    assert backward.updates_all()[1] == "holds only if the weights are not zero"
    monkeypatch.setattr(backward, "delivered", lambda: defects.program(backward.CONFIG))
    assert backward.updates_all()[1] == claims.HOLDS
    monkeypatch.setattr(backward, "delivered", lambda: CLLM(backward.CONFIG, init="zeros"))
    monkeypatch.setattr(backward.defects, "program", lambda config: CLLM(config, attention=defects.FrozenAttention()))
    assert backward.updates_all()[1] == claims.FAILS


def test_only_the_named_tensors_are_untouched():
    still = backward.untouched(CLLM(backward.CONFIG, attention=defects.FrozenAttention()))
    assert still == [
        f"layers.{i}.attention.{name}_{kind}" for i in (0, 1) for name in ("query", "key", "value") for kind in ("weight", "bias")
    ]


def test_stored_weights_would_be_required_if_gradients_differed_without(monkeypatch):
    assert backward.stored_weights()[1] == claims.FAILS
    monkeypatch.setattr(backward, "Recomputing", defects.OuterProductAttention)
    assert backward.stored_weights()[1] == claims.HOLDS


def test_recomputing_keeps_no_weights():
    part, x = backward.Recomputing(), np.random.default_rng(0).standard_normal((3, 2, 4, 5, 3))
    output, cache = part.attend(*x)
    assert all(np.shares_memory(kept, x) for kept in cache)
    np.testing.assert_array_equal(output, CausalSelfAttention().attend(*x)[0])


def test_two_bugs_were_all_if_nothing_is_left(monkeypatch):
    _, words, (left,) = backward.two_bugs()
    assert (words, left.interval.mean) == (claims.FAILS, 6.0)
    monkeypatch.setattr(backward, "leaves_a_mark", lambda name: False)
    monkeypatch.setattr(backward, "delivered", lambda: CLLM(backward.CONFIG))
    assert backward.two_bugs()[1] == claims.HOLDS


@pytest.mark.parametrize("repair", backward.COMPUTED)
def test_a_fault_that_is_mended_leaves_no_mark(repair, monkeypatch):
    assert backward.leaves_a_mark(repair)
    monkeypatch.setattr(backward, "COMPUTED", tuple(name for name in backward.COMPUTED if name != repair))
    assert not backward.leaves_a_mark(repair)  # left out of both


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (defects.BlockProjection, "share of the projections that is never read"),
        (defects.TaylorExponential, "share of weights outside 0 to 1"),
        (defects.NoCausalMask, "change of the first output by a later token"),
    ],
)
def test_each_fault_of_attention_is_seen_alone(part, fault):
    assert [name for name, size in backward.faults_of_attention(part()).items() if size] == [fault]


def test_sound_attention_would_be_proper_and_the_forward_pass_lack_positions_only(monkeypatch):
    assert backward.proper_attention()[1] == claims.FAILS
    assert backward.forward_pass()[2][0].interval.mean == 3.0

    class Layer:
        def __init__(self, repairs):
            self.attention = CausalSelfAttention()

    monkeypatch.setattr(backward, "ProgramLayer", Layer)
    assert backward.proper_attention()[1] == claims.HOLDS
    assert backward.forward_pass()[2][0].interval.mean == 4.0
    config = backward.CONFIG
    monkeypatch.setattr(
        backward.defects, "program", lambda _: CLLM(type(config)(50, d_model=16, n_heads=4, seq_len=8, positions="learned"))
    )
    assert backward.forward_pass()[1] == claims.HOLDS


def test_gradients_mean_nothing_where_they_are_not_slopes(monkeypatch):
    assert backward.gradients_of_simplified_attention()[1] == claims.FAILS
    monkeypatch.setattr(backward.defects, "SimplifiedAttention", defects.OuterProductAttention)
    assert backward.gradients_of_simplified_attention()[1] == claims.HOLDS


def of_all_weights(model, tokens, targets):
    return sum(float(((array + 1.0) ** 2).sum()) for array in model.parameters.values())


def test_a_pattern_that_reaches_the_layers_would_hold(monkeypatch):
    assert backward.same_pattern()[1] == claims.FAILS
    assert backward.gradients_of_pattern() == ["embedding"]
    found = backward.gradients_of_pattern(of_all_weights)
    monkeypatch.setattr(backward, "gradients_of_pattern", lambda: found)
    assert backward.same_pattern()[1] == claims.HOLDS


def test_the_pattern_is_the_gradient_that_the_museum_takes():
    model = defects.TowardTheTarget(backward.CONFIG)
    tokens, targets = backward.batch()
    model.forward_backward(tokens, targets)
    row, column = int(tokens[0, 0]), 3
    slopes = []
    for step in (1e-6, -1e-6):
        model.parameters["embedding"][row, column] += step
        slopes.append(backward.distance_of_pattern(model, tokens, targets))
        model.parameters["embedding"][row, column] -= step
    # the museum takes the slope at the current word, and not at the target
    current = model.gradients["embedding"][row, column]
    as_target = (
        np.sum((model.parameters["embedding"][targets] - model.parameters["embedding"][tokens])[targets == row, column]) / tokens.size
    )
    assert (slopes[0] - slopes[1]) / 2e-6 == pytest.approx(current + as_target, rel=1e-4)
