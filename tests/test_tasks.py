import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import CLLM, CLLMConfig, Trainer, defects
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.tasks import AssociativeRecall


@given(n_pairs=st.integers(1, 30), count=st.integers(1, 4), seed=st.integers(0, 1000))
def test_every_query_is_answered_by_the_pair_it_was_told_in(n_pairs, count, seed):
    task = AssociativeRecall(n_pairs)
    for row in task.sequences(count, np.random.default_rng(seed)):
        words = [task.vocabulary[i] for i in row]
        pairs, queries = words[:n_pairs], words[n_pairs:]
        assert sorted(key + value for key, value in zip(queries[::2], queries[1::2], strict=True)) == sorted(pairs)
        assert len(set(queries[::2])) == n_pairs


def test_the_vocabulary_has_no_doubles_and_fits_the_ids():
    for n_pairs in (1, 8, 30):
        task = AssociativeRecall(n_pairs)
        assert len(set(task.vocabulary)) == len(task.vocabulary) == n_pairs**2 + 2 * n_pairs
        assert task.sequences(50, np.random.default_rng(0)).max() < len(task.vocabulary)


def test_values_are_independent_so_that_elimination_does_not_help():
    """With K values drawn freely, 1 - (1 - 1 / K)^K of them occur on average, not all."""
    task = AssociativeRecall(8)
    rows = task.sequences(4_000, np.random.default_rng(1))[:, task.query_positions + 1]
    distinct = np.mean([len(set(row)) for row in rows]) / 8
    assert distinct == pytest.approx(1 - (7 / 8) ** 8, abs=0.01)


def test_queried_keys_stand_where_the_task_says():
    task = AssociativeRecall(5)
    tokens, targets = next(task.batches(3, task.seq_len, np.random.default_rng(0)))
    assert (tokens[:, task.query_positions] < 5).all()
    assert ((targets[:, task.query_positions] >= 5) & (targets[:, task.query_positions] < 10)).all()


def test_attention_solves_it_and_its_stand_in_stays_at_chance():
    task = AssociativeRecall(4, batches_in_epoch=200)
    reached = {}
    for name, part in (("sound", None), ("simplified", defects.SimplifiedAttention())):
        config = CLLMConfig(
            len(task.vocabulary), 16, n_layers=1, n_heads=2, d_ff=32, seq_len=task.seq_len, tie_embeddings=False, positions="learned"
        )
        model = CLLM(config, attention=part)
        Trainer(model, task, learning_rate=1e-2, batch_size=32).fit(1)
        reached[name] = task.accuracy(model, np.random.default_rng(5), count=500)
    assert reached["sound"] > 0.95
    assert reached["simplified"] == pytest.approx(1 / 4, abs=0.05)


class Frozen(CausalSelfAttention):
    """Queries, keys and values stay as they were drawn; all other gradients are true."""

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {name: g if name.startswith("output") else np.zeros_like(g) for name, g in gradients.items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("part", "n_layers", "width", "steps", "rate", "low", "high"),
    [
        (CausalSelfAttention, 1, 24, 300, 1e-2, 0.98, 1.0),
        (Frozen, 1, 24, 300, 1e-2, 0.4, 0.75),
        (defects.SimplifiedAttention, 1, 24, 300, 1e-2, 0.13, 0.21),
        (CausalSelfAttention, 2, 48, 200, 5e-3, 0.98, 1.0),
        (Frozen, 2, 48, 200, 5e-3, 0.9, 1.0),
    ],
)
def test_what_chapter_02_says_of_recall_holds_for_other_seeds(part, n_layers, width, steps, rate, low, high, seed):
    task = AssociativeRecall(6, batches_in_epoch=steps)
    sizes = dict(d_model=width, n_layers=n_layers, n_heads=4, d_ff=4 * width, seq_len=task.seq_len)
    model = CLLM(CLLMConfig(len(task.vocabulary), **sizes, tie_embeddings=False, positions="learned"), seed=seed, attention=part())
    Trainer(model, task, learning_rate=rate, batch_size=32, seed=seed).fit(1)
    assert low <= task.accuracy(model, np.random.default_rng(7), count=500) <= high


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="n_pairs is 0"):
        AssociativeRecall(0)
    with pytest.raises(ValueError, match="a sequence of 4 pairs has 11: set seq_len"):
        next(AssociativeRecall(4).batches(2, 32, np.random.default_rng(0)))
