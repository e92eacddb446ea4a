"""Embeddings first was right if no other part alone ends lower."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store

from cllm_lib import CLLM, CLLMConfig, claims
from cllm_lib.claims import first_part

NOISE = np.linspace(-0.01, 0.01, 10)


@pytest.mark.parametrize(
    ("attention", "verdict"), [(5.5, claims.HOLDS), (4.0, claims.FAILS), (4.95, claims.FAILS)]
)  # as good is not better
def test_the_best_other_part_decides(attention, verdict, monkeypatch):
    ends = dict.fromkeys(first_part.PARTS, 5.5) | {"embeddings": 4.95, "attention": attention}
    store(monkeypatch, "one_part", {(name, "after"): end + (NOISE if name == "embeddings" else 0.0) for name, end in ends.items()})
    assert first_part.embeddings_first()[1] == verdict


@pytest.mark.parametrize("part", first_part.PARTS)
def test_one_part_alone_moves(part):
    model = CLLM(CLLMConfig(9, d_model=8, n_layers=2, n_heads=2, seq_len=4), seed=0)
    before = {name: array.copy() for name, array in model.parameters.items()}
    model.loss_and_gradients(*np.random.default_rng(0).integers(0, 9, (2, 2, 4)))
    first_part.OnePart(model, first_part.PARTS[part]).step(model.flat_parameters, model.flat_gradients)
    moved = {name for name, array in model.parameters.items() if not np.array_equal(array, before[name])}
    assert moved == {name for name in before if first_part.PARTS[part] in name} != set()


def test_every_tensor_belongs_to_one_part():
    for name in CLLM(CLLMConfig(9, d_model=8, n_layers=2, n_heads=2, seq_len=4)).parameters:
        assert sum(word in name for word in first_part.PARTS.values()) == 1, name


def test_a_few_runs_made_now_are_those_stored():
    assert_comes_back("one_part")
