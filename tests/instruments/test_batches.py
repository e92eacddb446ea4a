import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import load_corpus
from cllm_lib.instruments.batches import finding_in_batch, what_targets_are


def text(length=40, words=50, seed=0):
    return np.random.default_rng(seed).integers(words, size=length)


def windows(stream, ahead, rows=3, length=8):
    starts = 5 + length * np.arange(rows, dtype=np.intp)
    return tuple(np.stack([stream[start + shift : start + shift + length] for start in starts]) for shift in (0, ahead))


@given(st.integers(0, 200), st.sampled_from([-2, -1, 0, 1, 2, 3]))
def test_how_far_ahead_targets_stand_is_found(seed, ahead):
    assert what_targets_are(*windows(text(seed=seed), ahead)) == ahead


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, "The targets are the inputs themselves"),
        (2, "2 words ahead of its input instead of one ahead: the targets were shifted twice"),
        (3, "3 words ahead of its input instead of one ahead: the targets were shifted too far"),
        (-1, "the word before of its input instead of one ahead: the targets were shifted the wrong way"),
    ],
)
def test_other_targets_than_the_next_words_are_said(ahead, said):
    assert said in finding_in_batch(*windows(text(), ahead))


@pytest.mark.parametrize("name", ["sayings", "prose", "patterns"])
@pytest.mark.parametrize("length", [2, 5, 32])
def test_batches_of_the_books_texts_have_nothing_to_say(name, length):
    corpus = load_corpus(name)
    for seed in range(5):
        batch = next(corpus.batches(4, length, np.random.default_rng(seed)))
        assert finding_in_batch(*batch, len(corpus.vocabulary)) == ""
        assert length < 3 or what_targets_are(*batch) == 1


def test_targets_of_another_kind_are_not_judged():
    """Random pairs, a made task, a class for each word: nothing follows, and nothing is said."""
    generator = np.random.default_rng(0)
    tokens, targets = generator.integers(60, size=(2, 4, 8))
    assert what_targets_are(tokens, targets) is None
    assert finding_in_batch(tokens, targets, 60) == ""


def test_one_word_over_and_over_fits_every_shift_and_is_called_what_it_is():
    ones = np.full((2, 8), 7, dtype=np.int64)
    assert what_targets_are(ones, ones) == 1
    assert finding_in_batch(ones, ones, 50).startswith("100% of the targets are id 7")


@pytest.mark.parametrize(("share", "found"), [(0.4, False), (0.6, True)])
def test_targets_that_are_mostly_one_id_are_said(share, found):
    tokens, targets = windows(text(2000, 500), 1, rows=10, length=50)
    targets = np.where(np.random.default_rng(1).random(targets.shape) < share, 0, targets)
    assert bool(finding_in_batch(tokens, targets, 500)) == found


def test_of_two_words_one_is_in_the_majority_and_that_is_no_finding():
    tokens, targets = windows(np.random.default_rng(3).choice(2, p=[0.3, 0.7], size=200), 1, rows=4, length=20)
    assert finding_in_batch(tokens, targets, 2) == ""


def test_ids_beyond_the_words_of_the_text_are_said():
    """As where a model has more rows than its text has words, and the ids come from elsewhere."""
    words = tuple(f"word{k}" for k in range(50))
    tokens, targets = windows(text(), 1)
    assert finding_in_batch(tokens, targets, 64, words) == ""
    targets[1, 2] = 50
    assert finding_in_batch(tokens, targets, 64, words).startswith("1 of 48 ids lie beyond the 50 words of the text, the largest is 50: ")
    tokens[0, 0] = 63
    assert finding_in_batch(tokens, targets, 64, words).startswith("2 of 48 ids lie beyond the 50 words of the text, the largest is 63: ")


def test_the_most_frequent_target_is_named_where_the_words_are_known():
    zeros = np.zeros((2, 8), dtype=np.int64)
    assert finding_in_batch(zeros, zeros, 50, ("<unk>", *"abc")).startswith("100% of the targets are id 0 ('<unk>'): padding")
