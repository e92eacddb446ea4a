"""Accumulation is essential by how much is lost without it."""

import pytest
from claims.made import kind, store

from cllm_lib import claims
from cllm_lib.claims import accumulation


@pytest.mark.parametrize(("place", "sequence", "verdict"), [(5.2, 5.3, claims.HOLDS), (4.7, 5.3, claims.PARTLY), (4.6, 5.3, claims.FAILS)])
def test_accumulation_is_essential_by_how_much_is_lost_without(monkeypatch, place, sequence, verdict):
    after = dict(zip(accumulation.ACCUMULATIONS, (4.6, place, sequence), strict=True))
    store(monkeypatch, "accumulation", {(name, "before"): 5.6 for name in after} | {(name, "after"): end for name, end in after.items()})
    assert kind(accumulation.accumulating) == verdict
