import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import CLLM, CLLMConfig, Trainer, defects
from cllm_lib.text.tasks import AssociativeRecall, LastFollower, StepsBack


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


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="n_pairs is 0"):
        AssociativeRecall(0)
    with pytest.raises(ValueError, match="a sequence of 4 pairs has 11: set seq_len"):
        next(AssociativeRecall(4).batches(2, 32, np.random.default_rng(0)))


LETTER_TASKS = [StepsBack(), StepsBack(steps=1, n_letters=3), LastFollower(), LastFollower(n_letters=40, seq_len=30)]


def answer_by_hand(task, letters, t):
    """One question, answered by looking back step by step."""
    if isinstance(task, StepsBack):
        return letters[t - task.steps] if t >= task.steps else task.n_letters
    for s in reversed(range(t)):
        if letters[s] == letters[t]:
            return letters[s + 1]
    return task.n_letters


@pytest.mark.parametrize("task", LETTER_TASKS, ids=repr)
@given(length=st.integers(1, 20), seed=st.integers(0, 1000))
def test_answers_are_found_by_looking_back(task, length, seed):
    letters, answers = task.sequences(3, np.random.default_rng(seed), length)
    assert letters.shape == answers.shape == (3, length)
    assert answers.max() < len(task.vocabulary) == len(set(task.vocabulary))
    for row, right in zip(letters.tolist(), answers.tolist(), strict=True):
        assert right == [answer_by_hand(task, row, t) for t in range(length)]


@pytest.mark.parametrize("task", [StepsBack(n_letters=2, steps=2), LastFollower(n_letters=2)], ids=repr)
def test_the_level_without_order_is_the_best_guess_from_a_heap(task):
    """All 64 sequences of six letters out of two: for each heap and last letter, the answer that is right most often."""
    letters = np.array(list(itertools.product(range(2), repeat=6)))
    answers, right, asked = task.answers(letters), 0, 0
    for t in range(6):
        found = {}
        for row, answer in zip(letters, answers[:, t], strict=True):
            if answer < 2:
                found.setdefault((row[:t].sum(), row[t]), []).append(answer)
        right += sum(max(group.count(0), group.count(1)) for group in found.values())
        asked += sum(map(len, found.values()))
    assert task.accuracy_without_order(np.random.default_rng(0), 20_000, 6) == pytest.approx(right / asked, abs=0.01)


class Perfect:
    """Answers every question, as the task would."""

    def __init__(self, task):
        self.task = task

    def logits(self, letters):
        return np.eye(self.task.n_letters + 1)[self.task.answers(letters)]


@pytest.mark.parametrize("task", LETTER_TASKS, ids=repr)
def test_all_can_be_answered_at_any_length(task):
    for length in (None, 50):
        assert task.accuracy(Perfect(task), np.random.default_rng(0), length=length) == 1.0


def test_order_takes_positions_or_two_layers():
    """One layer and no positions: the heap, and no more. What two layers without positions get, they get by the mask."""
    task = StepsBack(batches_in_epoch=300)
    reached = {}
    for n_layers, positions in ((1, "none"), (2, "none"), (2, "spiral"), (2, "rotary")):
        config = CLLMConfig(7, 32, n_layers=n_layers, n_heads=4, d_ff=64, seq_len=64, tie_embeddings=False, positions=positions)
        model = CLLM(config)
        Trainer(model, task, learning_rate=5e-3, batch_size=16).fit(1)
        reached[n_layers, positions] = task.accuracy(model, np.random.default_rng(5), count=500)
    heap = task.accuracy_without_order(np.random.default_rng(5))
    assert reached[1, "none"] < heap + 0.01
    assert heap < reached[2, "none"] < 0.6
    assert min(reached[2, "spiral"], reached[2, "rotary"]) > 0.9


def test_a_model_may_read_more_than_the_task_and_not_less():
    task = StepsBack(seq_len=5, batches_in_epoch=2)
    shapes = {letters.shape for letters, _ in task.batches(3, 20, np.random.default_rng(0))}
    assert shapes == {(3, 5)}
    with pytest.raises(ValueError, match="the model reads 4 tokens, a sequence of this task has 5: set seq_len to that, or more"):
        next(task.batches(3, 4, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: StepsBack(steps=0), "steps is 0"),
        (lambda: LastFollower(n_letters=2.5), "n_letters is 2.5"),
        (lambda: StepsBack().sequences(1, np.random.default_rng(0), 0), "length is 0"),
        (lambda: StepsBack().accuracy(Perfect(StepsBack()), np.random.default_rng(0), length=3), "sequences of 3 letters ask nothing yet"),
    ],
)
def test_letter_tasks_say_what_they_cannot_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
