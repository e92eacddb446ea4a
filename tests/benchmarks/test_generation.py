"""A token that is another one is no faster."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import generation, peers, run
from benchmarks.compare import Missing

TINY = replace(peers.SMALL, vocab_size=30, d_model=16, n_heads=4, d_ff=24, seq_len=9)


def test_with_and_without_the_cache_it_is_the_same_token():
    cached, recomputed = generation.Cached(TINY), generation.Recomputed(TINY)
    assert cached.step() == recomputed.step() == recomputed.model.logits(recomputed.tokens)[0, -1].argmax()
    assert generation.apart(recomputed.logits(), cached.logits()) < 1e-6


@pytest.mark.slow
def test_pytorch_with_a_cache_gives_our_logits_and_with_other_weights_is_found_out(monkeypatch):
    pytest.importorskip("torch", reason="large; `make test-all` installs it")
    ours, theirs = generation.Cached(TINY), generation.PyTorchCached(TINY)
    for _ in range(2):
        assert generation.apart(ours.logits(), theirs.logits()) < 1e-6
        assert ours.step() == theirs.step()
    other = peers.initial_weights(TINY)
    other["layers.1.attention.key_weight"][0, 0] += 0.1
    monkeypatch.setattr(peers, "initial_weights", lambda config: other)
    assert generation.apart(ours.logits(), generation.PyTorchCached(TINY).logits()) > run.ALLOWED_LOGITS


def test_the_cache_goes_back_and_forward_between_lengths():
    cached, model = generation.Cached(TINY), generation.Recomputed(TINY)
    for length in (9, 3, 8, 1, 9):
        expected = model.model.logits(model.tokens[:, :length])[0, -1]
        assert generation.apart(expected, cached.logits(length)) < 1e-6


def test_apart_is_a_share_of_the_largest_logit():
    assert generation.apart(np.array([1.0, -4.0]), np.array([1.0, -3.0])) == 0.25


@pytest.mark.parametrize("length", [1, 2, 9])
def test_operations_are_those_of_one_row_of_the_whole_forward_pass(length):
    whole = peers.product_shapes(replace(TINY, seq_len=length), batch=1)
    assert generation.operations(TINY, length) * length == 2 * sum(int(np.prod(shape)) for shape in whole)


def test_growth_returns_each_step_of_each_round_for_each_length():
    times = generation.Growth(TINY, lengths=(2, 5)).measure(rounds=3, steps=4)
    assert list(times) == [2, 5]
    assert all(len(turn) == 4 and min(turn) > 0 for rounds in times.values() for turn in rounds)
    assert {len(rounds) for rounds in times.values()} == {3}


def test_a_longer_context_brings_no_weights():
    assert generation.lengthened(TINY).seq_len == generation.CONTEXT
    sizes = {generation.Recomputed(config).model.flat_parameters.size for config in (TINY, generation.lengthened(TINY))}
    assert len(sizes) == 1


class Fixed:
    """Stands for a worker."""

    def __init__(self, logits, missing=None):
        self.logits, self.missing = np.array(logits), missing

    def call(self, name):
        return {"logits": self.logits}[name]


@pytest.mark.parametrize(("logit", "ok"), [(2.0, True), (2.00001, True), (2.0001, False), (float("nan"), False)])
def test_nothing_is_timed_unless_all_give_the_same_logits(logit, ok):
    workers = {run.CACHED: Fixed([1.0, 2.0]), run.RECOMPUTED: Fixed([1.0, logit]), run.PYTORCH_CACHED: Fixed([], Missing("no torch"))}
    if ok:
        assert run.check_same_logits(workers).startswith("recomputed within ")
    else:
        with pytest.raises(SystemExit, match="recomputed computes something else: logits apart by .*Nothing was timed"):
            run.check_same_logits(workers)


def test_every_speaker_can_be_built():
    assert {name for work, peer, _ in run.SPEAKERS_PAIRS for name in (work, peer)} == run.SPEAKERS.keys()
    assert run.SPEAKERS_TURNS.keys() == run.SIZES.keys()


@pytest.mark.parametrize(("value", "words"), [(1.234, "1.23"), (0.1, "0.10"), (0.0123, "0.012"), (0.00471, "0.0047")])
def test_a_tiny_ratio_keeps_its_digits(value, words):
    assert run.two_digits(value) == words
