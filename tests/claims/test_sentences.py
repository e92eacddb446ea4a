"""What is said is judged by how varied it is, and by whether it can be said at all."""

import numpy as np
import pytest
from claims.made import store

from cllm_lib import claims
from cllm_lib.claims import sentences


@pytest.mark.parametrize(("real", "verdict"), [(0.9, claims.HOLDS), (0.3, claims.FAILS)])
def test_varied_output_is_a_difference_to_simplified_attention(real, verdict, monkeypatch):
    varied = np.linspace(-0.02, 0.02, 10)
    store(monkeypatch, "sentences", {("real", "distinct triples"): real + varied, ("simplified", "distinct triples"): 0.3 - varied})
    assert sentences.varied_output()[1] == verdict


@pytest.mark.parametrize(("real", "verdict"), [([1.0] * 10, "holds only if the text has the sentence"), ([0.0] * 10, claims.FAILS)])
def test_a_sentence_that_the_text_has_not_cannot_be_said(real, verdict, monkeypatch):
    store(monkeypatch, "sentences", {("real", "sentence"): real, ("simplified", "sentence"): 0.0})
    found, words, _ = sentences.after_the_fix()
    assert "2 of its words (scattering, atmosphere)" in found
    assert words.startswith(verdict)
