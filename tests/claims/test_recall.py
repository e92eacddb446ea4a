"""Verdicts on attention turn with the share of queries that are answered rightly."""

import numpy as np
import pytest
from claims.made import losses, store

from cllm_lib import claims
from cllm_lib.claims import recall, suspects


def right(**shares):
    kinds = dict.fromkeys(suspects.ATTENTIONS, 1 / 6) | {"real": 1.0} | shares
    rooms = list(recall.ROOMS)
    return {
        (f"{kind}, {room}", "right"): share if np.isscalar(share) else share[i]
        for kind, share in kinds.items()
        for i, room in enumerate(rooms)
    }


@pytest.mark.parametrize(
    ("judge", "shares", "verdict"),
    [
        (recall.frozen_attention, {}, claims.HOLDS),
        (recall.frozen_attention, {"frozen": (0.5, 1.0), "no backward": 1.0}, "holds only if there is little room (1 layer of 24)"),
        (recall.frozen_attention, {"frozen": 1.0, "no backward": 1.0}, claims.FAILS),
        (recall.simplified_attention_sees_one_token, {}, claims.HOLDS),
        (recall.simplified_attention_sees_one_token, {"simplified": (1 / 6, 0.5)}, claims.FAILS),
        (recall.simplified_attention_sees_one_token, {"real": 0.5}, claims.FAILS),  # then the task would show nothing
        (recall.outer_product, {}, claims.FAILS),
        (recall.outer_product, {"outer product": (0.2, 1.0)}, "holds only if there is room enough (2 layers of 48)"),
        (recall.outer_product, {"outer product": 1.0}, claims.HOLDS),
        (recall.forward_pass_alone, {}, "holds only if attention gets a true backward pass as well"),
        (recall.forward_pass_alone, {"no backward": 1.0}, claims.HOLDS),
        (recall.forward_pass_alone, {"real": 0.5}, claims.FAILS),
        (recall.updated_every_step, {}, claims.FAILS),
        (recall.updated_every_step, {"outer product": 1.0}, claims.HOLDS),
    ],
)
def test_recall_decides(monkeypatch, judge, shares, verdict):
    store(monkeypatch, "suspects", losses(lambda one: 9.0))
    store(monkeypatch, "recall", right(**shares))
    assert judge()[1] == verdict


def test_frozen_attention_that_hands_no_gradient_down_is_a_condition_of_its_own(monkeypatch):
    store(monkeypatch, "recall", right(**{"frozen": (0.5, 1.0)}))
    assert recall.frozen_attention()[1] == (
        "holds only if there is little room (1 layer of 24), or what lies below attention gets no true gradient either, as in the program"
    )
