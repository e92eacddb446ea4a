"""The simplified loss works if the printed one follows."""

import pytest
from claims.made import store

from cllm_lib import claims
from cllm_lib.claims import similarity_loss


def similarity_runs(coded, turned):
    after = dict(zip(similarity_loss.OTHER_LOSSES, (coded, turned, 4.6), strict=True))
    return {(name, measure): value for name, end in after.items() for measure, value in (("before", 5.6), ("after", end), ("nearer", 1.0))}


@pytest.mark.parametrize(
    ("coded", "turned", "verdict"), [(6.0, 5.58, claims.FAILS), (6.0, 5.0, "holds only if the sign is turned"), (5.0, 6.0, claims.HOLDS)]
)
def test_similarity_works_if_the_printed_loss_follows(monkeypatch, coded, turned, verdict):
    store(monkeypatch, "similarity_gradient", similarity_runs(coded, turned))
    assert similarity_loss.similarity_as_loss()[1] == verdict


@pytest.mark.parametrize(
    ("coded", "own", "verdict"),
    [
        (6.0, 4.6, "holds only if embeddings follow the gradient of the cross-entropy"),
        (5.0, 4.6, claims.HOLDS),
        (6.0, 6.0, claims.FAILS),
    ],
)
def test_a_model_trains_if_the_cross_entropy_falls(monkeypatch, coded, own, verdict):
    store(monkeypatch, "similarity_gradient", similarity_runs(coded, 5.5) | {("cross-entropy", "after"): own})
    assert similarity_loss.can_now_train()[1] == verdict
