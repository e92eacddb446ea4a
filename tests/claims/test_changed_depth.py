"""The deep model is chapter 08's, in five forms of one size; freed is what ends below the line."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store
from hypothesis import given
from hypothesis import strategies as st
from notebooks.books import ROOT

from cllm_lib.claims import changed, changed_depth, changed_layers
from cllm_lib.claims.changed_depth import D_FF, SHAPE, VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_forms_have_as_many_numbers_to_one_in_a_hundred(variant):
    old = changed_layers.layer_parameters(SHAPE | {"d_ff": D_FF})
    settings = VARIANTS[variant]
    ours = changed_layers.layer_parameters(SHAPE | settings | {"d_ff": changed_layers.equal_d_ff(settings, SHAPE, D_FF)})
    assert abs(ours / old - 1) < 0.01


def test_the_form_of_2017_is_the_deep_model_of_chapter_08():
    rules = (ROOT / "tests/sentences/chapter_08.py").read_text(encoding="utf-8")
    assert "d_model=48, n_layers=n_layers, n_heads=4" in rules
    assert "corpus_and_config(n_layers=6, d_ff=192)" in rules
    assert dict(d_model=48, n_layers=6, n_heads=4, seq_len=32, d_ff=192) == SHAPE | {"d_ff": D_FF}


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(2, 1000))
def test_no_loss_counts_as_worse_than_twice_that_of_knowing_nothing(loss, vocab_size):
    found = changed_depth.capped(loss, vocab_size)
    assert found <= 2 * np.log(vocab_size)
    assert found == loss or not loss <= 2 * np.log(vocab_size)


@pytest.mark.parametrize(
    ("ends", "verdict"), [(-1.0, changed.BETTER), (0.0, changed.SAME), (0.4, changed.WORSE)], ids=["freed", "on the line", "above it"]
)
def test_the_verdict_turns_when_the_runs_do(ends, verdict, monkeypatch):
    above = ends + np.linspace(-0.02, 0.02, 10)
    store(monkeypatch, "changed_depth", {(variant, "above the line"): above for variant in VARIANTS})
    assert {one.verdict for one in changed.changes("depth")} == {verdict}


def test_a_run_made_now_is_the_one_stored():
    assert_comes_back("changed_depth", rel=1e-2)
