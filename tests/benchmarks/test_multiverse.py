"""The script behind the multiverse: its targets, its arrivals, and that its curves are those of the claim that it widens."""

import numpy as np
import pytest

from benchmarks import multiverse
from benchmarks.multiverse import RESULTS, arrivals, curve, targets_of
from cllm_lib import claims
from cllm_lib.claims import epochs


def falling_to(loss):
    return [[0.0, 5.0], [1.0, loss], [2.0, loss + 1]]


def test_a_target_is_reached_by_its_share_of_the_tuning_seeds_at_the_best_rate():
    plain = {0.01: [falling_to(3 + i / 10) for i in range(10)], 0.1: [falling_to(4.0)] * 10}
    found = targets_of(plain)
    assert found == pytest.approx({"2 of 10": 3.1, "5 of 10": 3.4, "8 of 10": 3.7})
    for name, target in found.items():
        assert sum(min(loss for _, loss in one) <= target for one in plain[0.01]) == int(name.split()[0])


def test_a_run_that_never_arrives_counts_with_the_horizon():
    found = arrivals([falling_to(3.0), falling_to(4.5)], {"near": 4.0}, horizon=2)
    assert found == {"near": [0.5, 2], "lowest": [3.0, 4.5]}


@pytest.mark.parametrize(
    ("ours", "theirs"), [("plain", "plain"), ("all alike, 1000", "pull, all alike"), ("by features, 1000", "pull, by features")]
)
def test_a_curve_is_that_of_the_claim(ours, theirs):
    again = dict(curve("sayings", (ours, 1e-2), 3))
    expected = {float(name.removeprefix("epoch ")): loss for name, loss in epochs.curve(theirs, 1e-2, 3, "sayings").items()}
    np.testing.assert_allclose(list(again), list(expected), rtol=1e-5)
    assert list(again.values()) == list(expected.values())


def test_some_stored_runs_come_again():
    kept = claims.stored("multiverse")
    tuned = kept["runs"]["sayings"]["all alike, 10000"]["tuning"]["0.003"]
    again = arrivals([curve("sayings", ("all alike, 10000", 3e-3), 100)], kept["texts"]["sayings"]["targets"], 20)
    for name, (epochs_now,) in again.items():
        assert tuned[name][0] == pytest.approx(epochs_now, abs=1e-3)


def test_the_whole_path_at_a_tiny_size_writes_nothing(capsys):
    before = RESULTS.read_bytes()
    multiverse.main(["--tiny"])
    assert "'plain'" in capsys.readouterr().out
    assert RESULTS.read_bytes() == before
