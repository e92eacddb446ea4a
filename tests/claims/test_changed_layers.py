"""Variants are equal but for what changed; rates are chosen by what judges; the verdict turns when the losses do."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm_lib import claims
from cllm_lib.claims import changed, changed_layers, registry
from cllm_lib.claims.changed_layers import CHANGES, D_FF, OLD, RATES, SHAPE, SINES, TEXTS, TODAY, VARIANTS


@pytest.fixture(autouse=True)
def forget():
    registry.forget()
    yield
    registry.forget()


def counted(width, layers, heads, d_ff, settings):
    """Numbers in the layers, counted by hand."""
    narrow = width // heads * settings.get("n_kv_heads", heads)
    attention = 2 * (width * width + width) + 2 * (width * narrow + narrow)
    feed_forward = 3 * width * d_ff if settings.get("feed_forward") == "swiglu" else 2 * width * d_ff + d_ff + width
    norm = width * (1 if settings.get("norm") == "rms" else 2)
    return layers * (attention + feed_forward + 2 * norm) + (norm if settings.get("norm_first") else 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_variants_have_as_many_numbers_in_their_layers_to_one_in_a_hundred(variant):
    change, old = VARIANTS[variant], counted(32, 2, 4, D_FF, {})
    d_ff = changed_layers.equal_d_ff(change)
    ours = changed_layers.layer_parameters(SHAPE | change | {"d_ff": d_ff})
    assert ours == counted(32, 2, 4, d_ff, change)
    assert abs(ours / old - 1) < 0.01
    for text in TEXTS:
        assert set(claims.values("changed_layers", variant, "parameters", text)) == {ours}
        assert set(claims.values("changed_layers", variant, "d_ff", text)) == {d_ff}


@settings(max_examples=settings().max_examples // 2)
@given(st.sampled_from(sorted(VARIANTS)), st.integers(1, 3), st.integers(1, 3), st.integers(8, 80))
def test_no_other_width_comes_nearer(variant, layers, quarter, like):
    shape = dict(d_model=8 * quarter, n_layers=layers, n_heads=4, seq_len=4)
    wanted = counted(8 * quarter, layers, 4, like, {})
    found = changed_layers.equal_d_ff(VARIANTS[variant], shape, like)
    gaps = {d_ff: abs(counted(8 * quarter, layers, 4, d_ff, VARIANTS[variant]) - wanted) for d_ff in range(1, 3 * like + 60)}
    assert gaps[found] == min(gaps.values())


def test_the_changes_are_those_of_today_and_all_together_has_all_but_one_of_two_that_exclude_each_other():
    single = {name: value for name, change in CHANGES.items() if name != TODAY for name, value in change.items()}
    assert set(single) == set(CHANGES[TODAY])
    assert VARIANTS[OLD] == {}


def test_a_rate_is_chosen_by_the_mean_of_the_held_out_losses(monkeypatch):
    losses = {(f"{OLD}, {rate:g}", "held out"): [2.0, 3.0, 4.0 + rate] for rate in RATES}
    losses[f"{OLD}, 0.003", "held out"] = [2.5, 2.5, 2.5]  # on one of the three seeds another one is lower
    store(monkeypatch, "changed_layer_rates", losses, changed_layers.TUNING_SEEDS, text="prose")
    assert changed_layers.best_rate("changed_layer_rates", OLD, "held out", "prose") == 0.003
    losses[f"{OLD}, 0.01", "held out"] = [0.0, 0.0, np.inf]  # where one run overflows, no other makes up for it
    store(monkeypatch, "changed_layer_rates", losses, changed_layers.TUNING_SEEDS, text="prose")
    assert changed_layers.best_rate("changed_layer_rates", OLD, "held out", "prose") == 0.003


def test_runs_at_other_rates_than_the_tuning_chose_are_refused():
    chosen = changed_layers.chosen_rates()
    assert set(chosen.values()) <= set(RATES)
    changed_layers.check_rates("changed_layers", chosen)
    with pytest.raises(ValueError, match="changed_layers has 'GELU' on prose at .*, and the tuning chooses 7: run both anew, tuning first"):
        changed_layers.check_rates("changed_layers", chosen | {("GELU", "prose"): 7.0})


@pytest.mark.parametrize(
    ("ends", "verdict"), [(4.0, changed.BETTER), (5.0, changed.SAME), (5.5, changed.WORSE)], ids=["lower", "alike", "higher"]
)
def test_the_verdict_turns_when_the_losses_do(ends, verdict, monkeypatch):
    monkeypatch.setattr(changed_layers, "check_rates", lambda name, chosen: None)
    generator = np.random.default_rng(0)
    noise, own = generator.normal(0, 0.3, 10), generator.normal(0, 0.005, 10)  # what a seed does to both is no difference
    store(monkeypatch, "changed_layers", {("GELU", "held out"): ends + noise + own, (OLD, "held out"): 5.0 + noise}, text="prose")
    one = next(one for one in changed.comparisons() if (one.name, one.against, one.text) == ("GELU", OLD, "prose"))
    assert changed.judged(one, changed.confidence()).verdict == verdict


def test_each_change_is_compared_with_2017_on_each_text_and_what_tells_positions_with_the_sines():
    asked = {(one.name, one.against, one.text) for one in changed.comparisons() if one.part == "layer"}
    assert asked == {(name, OLD, text) for name in (SINES, *CHANGES) for text in TEXTS} | {
        (name, SINES, text) for name in (changed_layers.ROTARY, TODAY) for text in TEXTS
    }


def test_a_training_that_overflows_is_infinitely_bad():
    assert changed_layers.held_out_loss(OLD, 1e300, 0, "patterns") == np.inf


@pytest.mark.parametrize("name", ["changed_layer_rates", "changed_layers"])
def test_a_few_runs_made_now_are_those_stored(name):
    assert_comes_back(name, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_more_of_them(text):
    assert_comes_back("changed_layers", rel=1e-2, variants=[OLD, TODAY], seeds=[3], texts=[text])
