"""The suspect whose mending moves the loss is convicted, and no other."""

import numpy as np
import pytest
from claims.made import kind, losses, store

from cllm_lib import claims
from cllm_lib.claims import suspects

CAUSES = {
    "attention": (suspects.simplified_attention_as_the_cause, lambda one: one.attention == "real"),
    "weights": (suspects.zero_weights_as_the_cause, lambda one: one.weights == "random"),
    "rate": (suspects.rate_as_the_cause, lambda one: one.rate > 1e-3),
    "clipping": (suspects.clipping_as_the_cause, lambda one: one.clip is not None),
    "backward pass": (suspects.missing_backward_as_the_cause, lambda one: one.attention == "real"),
    "last fix": (suspects.training_as_delivered, lambda one: one.attention == "outer product"),
}


@pytest.mark.parametrize("true", CAUSES)
def test_the_suspect_whose_mending_moves_the_loss_is_convicted_and_no_other(monkeypatch, true):
    store(monkeypatch, "suspects", losses(lambda one: 9.21 - CAUSES[true][1](one)))
    convicted = {name for name, (judge, _) in CAUSES.items() if kind(judge) == claims.HOLDS}
    assert convicted == ({"attention", "backward pass"} if true in ("attention", "backward pass") else {true})


def test_zeros_stay_at_the_logarithm_of_the_vocabulary_to_the_last_bit():
    found = suspects.suspects("zero weights, real attention, adam 0.001", 0)
    assert found["before"] == found["after"] == pytest.approx(np.log(10_000), abs=1e-12)
    assert found["gradient"] == 0.0
