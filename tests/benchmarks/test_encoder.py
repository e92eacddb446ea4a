"""Whoever computes other rows is no faster."""

import numpy as np
import pytest

from benchmarks import encoder
from benchmarks.compare import Missing, Ratio


def test_ours_gives_a_row_of_length_1_for_each_sentence():
    rows = encoder.ours(3, 8).answer()
    assert rows.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


@pytest.mark.slow
def test_pytorch_gives_the_same(monkeypatch):
    pytest.importorskip("transformers", reason="a peer; `make test-all` installs it")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    encoder.check(encoder.ours(2, 16).answer(), encoder.pytorch(2, 16).answer())


def test_other_rows_are_found_out():
    rows = np.eye(3)
    encoder.check(rows, rows + 1e-6)
    for other in (rows[::-1], rows * np.nan):
        with pytest.raises(SystemExit, match="nothing to compare"):
            encoder.check(rows, other)


def test_a_row_of_the_table_says_whether_the_ratio_is_reached():
    quick, slow = (Ratio(ours=0.05, peer=0.05, value=value, low=value, high=value) for value in (1.0, 1.6))
    assert encoder.row(1, 32, 16, quick) == ["1", "32", "16", "1.56", "1.56", "1.00", "1.00 to 1.00", "1.5", "reached"]
    assert encoder.row(1, 1, 16, slow)[-1] == "not reached"
    assert encoder.row(1, 1, 16, Missing("torch is not installed"))[5] == "torch is not installed"
    assert encoder.page(["a machine"], [encoder.row(1, 1, 16, quick)]).count("| reached") == 1
