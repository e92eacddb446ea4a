"""One repair left out of the mended whole, in two layers: each fault is there, alone, and the verdict turns with the losses."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store
from oracles import random_batch, spread_out

from cllm_lib import CLLM
from cllm_lib.claims import changed, changed_layers
from cllm_lib.claims.changed_ladder import ASKED, CHANGED, D_FF, OF_2017, OF_TODAY, SHAPE, VARIANTS, mended, named
from cllm_lib.defects import REPAIRS
from cllm_lib.instruments import central_difference, relative_error

WORDS = 20


def slope_error(layer, left_out):
    """Relative gap between the promised and the measured slope along a random direction in all weights, which are off zero.

    The step is short, for by the home-made exponential the loss is steep.
    """
    model, batch = spread_out(mended(layer, left_out, WORDS, 0), size=0.1), random_batch(WORDS, 2, 5)
    model.forward_backward(*batch)
    direction = np.random.default_rng(0).standard_normal(model.flat_gradients.size)
    measured = central_difference(lambda: model.loss(*batch), model.flat_parameters, 1e-7 * direction) / 2e-7
    return relative_error(float(model.flat_gradients @ direction), measured)


@pytest.mark.parametrize("layer", [OF_2017, OF_TODAY])
@pytest.mark.parametrize("left_out", [None, *ASKED])
def test_a_wrong_gradient_is_there_where_a_backward_repair_is_left_out_and_only_there(layer, left_out):
    if left_out in ("norm backward", "attention backward"):
        assert slope_error(layer, left_out) > 1e-3
    else:
        assert slope_error(layer, left_out) < 1e-5


@pytest.mark.parametrize("left_out", [None, *ASKED])
def test_a_left_out_repair_leaves_the_forward_pass_of_today_as_it_is_but_for_the_exponential(left_out):
    tokens, _ = random_batch(WORDS, 2, 5)
    model = spread_out(mended(OF_TODAY, left_out, WORDS, 0), size=0.3)
    sound = CLLM(model.config)
    sound.flat_parameters[:] = model.flat_parameters
    gap = np.abs(model.logits(tokens) - sound.logits(tokens)).max()
    assert gap > 1e-3 if left_out == "exponential" else gap < 1e-9


def test_both_wholes_have_as_many_numbers_to_one_in_a_hundred_and_nothing_is_asked_that_the_program_cannot_lack():
    old, new = (mended(layer, None, WORDS, 0).flat_parameters.size for layer in (OF_2017, OF_TODAY))
    biases = 4 * SHAPE["d_model"] * SHAPE["n_layers"]  # which the program's attention does not have
    assert abs((old + biases) / new - 1) < 0.01
    assert set(ASKED) | {"attention forward", "output and residual", "second norm"} == set(REPAIRS)
    assert changed_layers.equal_d_ff(CHANGED, SHAPE, D_FF) < D_FF


def test_all_begin_at_weights_of_one_kind():
    """The embedding, which both layers have, is drawn alike."""
    old, new = (mended(layer, None, WORDS, 3).parameters["embedding"] for layer in (OF_2017, OF_TODAY))
    assert np.abs(old).max() <= 0.05
    np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("without", "verdict"), [(-0.5, changed.BETTER), (0.0, changed.SAME), (0.5, changed.WORSE)])
def test_the_verdict_turns_when_the_losses_do(without, verdict, monkeypatch):
    noise = np.linspace(-0.05, 0.05, 10)
    numbers = {(variant, "above the line"): (0.0 if one is None else without + noise) for variant, (_, one) in VARIANTS.items()}
    store(monkeypatch, "changed_ladder", numbers)
    assert {one.verdict for one in changed.changes("ladder")} == {verdict}


def test_a_run_made_now_is_the_one_stored():
    assert_comes_back("changed_ladder", rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("left_out", [None, "exponential", "Adam"])
def test_more_of_them(left_out):
    assert_comes_back("changed_ladder", rel=2e-2, variants=[named(layer, left_out) for layer in (OF_2017, OF_TODAY)], seeds=[1])
