"""Ranges are judged by what is printed, and the printout is that of document 002."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store

from cllm_lib import CLLM, CLLMConfig, claims
from cllm_lib.claims import magnitudes, registry


def printed(variant, weight, gradient):
    return {(variant, "weight embed, batch 1"): weight, (variant, "gradient embed max, batch 1"): gradient}


@pytest.mark.parametrize(
    ("gradient", "narrow", "wide"),
    [
        ([1e-3] * 10, claims.HOLDS, claims.HOLDS),
        ([5e-2] * 10, "holds only if either end", claims.HOLDS),
        ([1e-7] * 10, claims.FAILS, claims.FAILS),
    ],
)
def test_ranges_are_judged_by_what_is_printed(gradient, narrow, wide, monkeypatch):
    store(monkeypatch, "magnitudes", printed("uniform", 0.02, gradient) | printed("scaled", 0.02, gradient))
    monkeypatch.setattr(magnitudes, "runs", registry.runs)
    assert magnitudes.weight_range()[1] == claims.HOLDS
    assert magnitudes.gradient_range()[1].startswith(narrow)
    assert magnitudes.wider_gradient_range()[1].startswith(wide)


def test_the_printout_is_that_of_document_002():
    model = CLLM(CLLMConfig(400, d_model=128, seq_len=8), seed=0)
    tokens = np.random.default_rng(0).integers(0, 400, (2, 2, 8))
    model.loss_and_gradients(*tokens)
    model.gradients["embedding"][:3] = 1e-12  # too small to be counted
    found = magnitudes.printed_magnitudes(model)
    embedding, gradient = model.parameters["embedding"].ravel(), np.abs(model.gradients["embedding"].ravel()[:10_000])
    assert found["weight embed"] == pytest.approx(np.abs(embedding[:100]).mean())
    assert found["gradient embed max"] == gradient.max()
    assert found["gradient embed avg"] == pytest.approx(gradient[gradient > 1e-10].mean())
    assert found["gradient attn max"] == np.abs(model.gradients["layers.0.attention.query_weight"].ravel()[:10_000]).max()


@pytest.mark.slow
def test_a_long_run_made_now_is_the_one_stored():
    assert_comes_back("magnitudes", rel=1e-3, variants=["scaled"], seeds=[4])


@pytest.mark.parametrize(("weight", "verdict"), [(0.02, claims.HOLDS), (0.0005, claims.FAILS)])
def test_the_least_weight_is_judged_by_what_is_printed(weight, verdict, monkeypatch):
    store(monkeypatch, "magnitudes", printed("uniform", weight, 1e-3) | printed("scaled", weight, 1e-3))
    monkeypatch.setattr(magnitudes, "runs", registry.runs)
    assert magnitudes.least_weight()[1] == verdict


@pytest.mark.parametrize(("gradient", "verdict"), [(5.0, claims.HOLDS), (1e-7, claims.FAILS), (500.0, claims.FAILS)])
def test_the_outer_bounds_are_judged_by_what_is_printed(gradient, verdict, monkeypatch):
    store(monkeypatch, "magnitudes", printed("uniform", 0.02, gradient) | printed("scaled", 0.02, gradient))
    monkeypatch.setattr(magnitudes, "runs", registry.runs)
    assert magnitudes.outer_bounds()[1] == verdict
