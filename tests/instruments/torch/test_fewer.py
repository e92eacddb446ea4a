"""Batches of large models: what is left of them, and of which none is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from cllm_lib.instruments.torch.fewer import LARGE, LESS, smaller  # noqa: E402


def words(rows, places, seed=0):
    """Ids of which no two that follow each other are the same, as padding would be."""
    found = torch.randint(0, 9, (rows, places + 1), generator=torch.Generator().manual_seed(seed))
    found[:, 1::2] += 10
    return found[:, :-1], found[:, 1:]


def always(pair):
    return True


@given(st.integers(1, 20), st.integers(2, 60), st.sampled_from([1, 100_000, 1_000_000, 5_000_000, 10**9]))
def test_a_cut_is_the_first_that_is_enough_and_inputs_and_targets_go_together(rows, places, weights):
    pairs = [words(rows, places), words(rows, places, seed=1)]
    cut, said = smaller(pairs, weights, always)
    assert bool(said) == any(one is not other for one, other in zip(cut, pairs, strict=True))
    for (inputs, targets), (all_inputs, all_targets) in zip(cut, pairs, strict=True):
        assert inputs.shape == targets.shape
        assert inputs.equal(all_inputs[: len(inputs), : inputs.shape[1]])
        assert targets.equal(all_targets[: len(inputs), : inputs.shape[1]])
    size = weights * cut[0][0].numel()
    if size >= LARGE:
        assert len(cut[0][0]) <= 2, "nothing is left to be cut but a second row, which tells mixed batches"
    if said:
        assert weights * rows * places >= LARGE
        assert f"first {len(cut[0][0])} rows" in said
        assert (f"{cut[0][0].shape[1]} places" in said) == (cut[0][0].shape[1] < places)


def test_a_small_model_sees_all():
    pairs = [words(16, 64)]
    assert smaller(pairs, 100_000, always) == (pairs, "")


@pytest.mark.parametrize("takes", [{(16, 64)}, {(8, 64), (16, 64)}])
def test_of_a_model_of_another_layout_only_what_it_takes_is_cut(takes):
    cut, said = smaller([words(16, 64)], 5_000_000, lambda pair: tuple(pair[0].shape) in takes)
    assert tuple(cut[0][0].shape) == min(takes)
    assert bool(said) == (len(takes) > 1)


def test_padding_stays_at_the_end_of_its_row():
    inputs, targets = words(16, 64)
    inputs[3, 40:] = 0
    [(left, _)], said = smaller([(inputs, targets)], 5_000_000, always)
    assert left.shape == (2, 64) or left.shape == (4, 64) or left.shape == (8, 64)
    assert "places" not in said


def test_numbers_with_fractions_and_one_target_a_row_lose_rows_only():
    inputs, targets = torch.randn(32, 3, 16, 16), torch.arange(32)
    [(left, labels)], said = smaller([(inputs, targets)], 1_000_000, always)
    assert left.shape[1:] == inputs.shape[1:]
    assert len(left) == len(labels) < 32
    assert "places" not in said


def test_all_that_comes_beside_the_words_is_cut_with_them():
    inputs, targets = words(16, 64)
    given_too = {"ids": inputs, "mask": torch.ones(16, 64), "causal": torch.ones(64, 64), "number": torch.tensor(3)}
    [(left, labels)], _ = smaller([(given_too, targets)], 5_000_000, always)
    assert left["ids"].shape == left["mask"].shape == labels.shape == (4, 16)
    assert left["causal"].shape == (64, 64)
    assert int(left["number"]) == 3


def test_the_cuts_get_smaller():
    sizes = [rows * (places or 64) for rows, places in LESS if rows > 2]
    assert sizes == sorted(sizes, reverse=True)
