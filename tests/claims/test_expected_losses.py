"""What was expected of the mended program holds as planned, or with what reaches it."""

import numpy as np
import pytest
from claims.made import SEEDS, store

from cllm_lib import claims, defects
from cllm_lib.claims import expected_losses
from cllm_lib.text.corpora import load_corpus


def logged(**ends):
    """By program: all its losses, of batches the same number; those of epochs fall a little from there, unless it is 9."""
    epochs = range(1, expected_losses.EPOCHS_EXPECTED + 1)
    names = dict(zip(expected_losses.PROGRAMS, (ends.get(key, 9.0) for key in ("planned", "adam", "mended")), strict=True))
    found = {(name, f"batch {i}"): end for name, end in names.items() for i in expected_losses.LOGGED_BATCHES}
    return found | {(name, f"epoch {i}"): end - (0.01 * i if end < 9.0 else 0.0) for name, end in names.items() for i in epochs}


def expect(monkeypatch, numbers):
    """In both experiments."""
    for name in ("expected_losses", "first_epoch_at_full_width"):
        store(monkeypatch, name, numbers)


@pytest.mark.parametrize(
    "judge",
    [
        expected_losses.first_epoch,
        expected_losses.ten_epochs,
        expected_losses.batches_of_the_log,
        expected_losses.first_three_epochs,
        expected_losses.below_six,
        expected_losses.falls_steadily,
    ],
)
def test_an_expectation_holds_as_planned_or_with_what_reaches_it(monkeypatch, judge):
    expect(monkeypatch, logged())
    assert judge()[1] == claims.FAILS
    expect(monkeypatch, logged(adam=4.0))
    assert judge()[1] == "holds only if Adam takes the place of plain gradient descent"
    expect(monkeypatch, logged(mended=4.0))
    assert judge()[1] == "holds only if Adam, a second LayerNorm and the configured warm-up come in"
    expect(monkeypatch, logged(adam=4.0, mended=4.0))
    assert judge()[1] == "holds only if Adam takes the place of plain gradient descent"  # the least of the two
    expect(monkeypatch, logged(planned=4.0))
    assert judge()[1] == claims.HOLDS


def test_about_is_a_quarter_of_a_nat_and_below_is_below(monkeypatch):
    expect(monkeypatch, logged(planned=7.74))
    assert expected_losses.first_epoch()[1] == claims.HOLDS
    expect(monkeypatch, logged(planned=7.76))
    assert expected_losses.first_epoch()[1] == claims.FAILS
    expect(monkeypatch, logged() | {("as planned", "epoch 20"): 6.01})
    assert expected_losses.below_six()[1] == claims.FAILS


def test_a_mean_below_that_is_no_more_than_luck_is_not_enough(monkeypatch):
    numbers = logged()
    store(monkeypatch, "expected_losses", numbers | {("as planned", "epoch 20"): 5.9 + np.resize([-1.0, 1.0], len(SEEDS))})
    assert expected_losses.below_six()[1] == claims.UNDECIDED
    store(monkeypatch, "expected_losses", numbers | {("as planned", "epoch 20"): 5.9 + np.resize([-0.01, 0.01], len(SEEDS))})
    assert expected_losses.below_six()[1] == claims.HOLDS


def test_where_adam_can_neither_reach_nor_miss_it_that_is_said(monkeypatch):
    wild = {("as planned, with Adam", "batch 9"): 7.5 + np.resize([-1.0, 1.0], len(SEEDS))}
    expect(monkeypatch, logged() | wild)
    assert expected_losses.first_epoch()[1] == "does not hold; undecided if Adam takes the place of plain gradient descent"


def test_runs_of_twenty_epochs_begin_as_those_of_one():
    """So the long ones, which are made on demand only, belong to the library that made the short ones."""
    long, short = (claims.runs(name) for name in ("expected_losses", "first_epoch_at_full_width"))
    common = [run for run in long if run in short]
    assert len(common) == 4 * 10 * len(expected_losses.PROGRAMS)
    assert all(long[run] == pytest.approx(short[run], rel=1e-6) for run in common)


def test_learnt_means_more_than_how_often_words_occur(monkeypatch):
    entropy = defects.hashed_corpus(load_corpus("sayings"), 10_000).unigram_entropy(32)
    store(monkeypatch, "expected_losses", logged() | {("as planned", "epoch 20"): entropy + 0.01})
    assert expected_losses.ten_to_fifty_epochs()[1] == claims.FAILS
    store(monkeypatch, "expected_losses", logged() | {("as planned", "epoch 20"): entropy - 0.01})
    assert expected_losses.ten_to_fifty_epochs()[1] == claims.HOLDS


def test_no_first_epoch_of_ten_batches_can_be_as_logged(monkeypatch):
    words, judged, effects = expected_losses.first_epoch_of_the_log()
    assert judged == "holds only if the text is another one, of 2,305 words or more: 18 batches an epoch"
    lowest = [9.2103, *[8.7543] * 4, *[8.3421] * 5]
    assert np.mean([*lowest, *[6.7891] * 8]) <= 7.8234 < np.mean([*lowest, *[6.7891] * 7])
    assert effects[0].interval.mean == 1240 // 32 // 4 == 9
    least = min(  # by brute force: every falling sequence through the three numbers lies on or above this one
        sum([9.2103, *[a] * 4, *[b] * 5]) / 10 for a, b in [(8.7543, 8.3421)]
    )
    assert effects[1].interval.mean == pytest.approx(least)
    assert f"{least:.4f}" in words
    monkeypatch.setattr(expected_losses, "LOGGED_MEANS", {1: 8.6})
    assert expected_losses.first_epoch_of_the_log()[1].endswith("10 batches an epoch")  # there is still no tenth
    monkeypatch.setattr(expected_losses, "BATCH", 3)
    assert expected_losses.first_epoch_of_the_log()[1] == claims.HOLDS
