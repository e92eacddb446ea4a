"""Defects of the text and of its batches, by counting."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from casebook.faults.twins import SMALL, planted

from cllm_lib.casebook import faults
from cllm_lib.casebook.settings import HELD_OUT, SEQ_LEN, words_of
from cllm_lib.text.corpora import read_text, windows
from cllm_lib.text.normalization import tokenize
from cllm_lib.training.trainer import validation_windows

NAMES = [name for name, entry in faults.ALL.items() if entry.plant.__module__.endswith(".texts")]
PAIRS = [
    "target is the word itself",
    "targets shifted twice",
    "targets of another sequence",
    "inputs sorted",
    "padding counted in the loss",
]
SOUND = SMALL.corpus()


def corpus_of(name, settings=SMALL):
    return planted(name, settings).corpus


def epoch(corpus, seed=0, batch_size=4):
    return list(corpus.batches(batch_size, SEQ_LEN, np.random.default_rng(seed)))


def words(corpus):
    return [corpus.vocabulary[i] for i in corpus.tokens]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_the_text_is_changed(name):
    parts, before = planted(name, SMALL), SOUND.fingerprint
    assert (parts.seams, parts.hooks, parts.wrap, parts.clip_norm) == ({}, (), None, SMALL.clip_norm)
    assert parts.optimizer.settings() == SMALL.make_optimizer().settings()
    assert SMALL.corpus().fingerprint == before
    assert len(parts.corpus.vocabulary) <= SMALL.vocab_size


@pytest.mark.parametrize("name", [*PAIRS, "batches never shuffled", "the same batch at every step", "validated on the training text"])
def test_tokens_and_vocabulary_are_the_sound_ones_where_the_loader_is_ill(name):
    assert corpus_of(name).fingerprint == SOUND.fingerprint


def spoilt(name, inputs, targets):
    """What becomes of a sound pair, row by row and word by word."""
    rows, time = inputs.shape
    theirs, aims = inputs.copy(), targets.copy()
    for b in range(rows):
        for t in range(time):
            if name == "target is the word itself":
                aims[b, t] = inputs[b, t]
            elif name == "targets shifted twice":
                aims[b, t] = targets[b, min(t + 1, time - 1)]
            elif name == "targets of another sequence":
                aims[b, t] = targets[b - 1, t]
            elif name == "inputs sorted":
                theirs[b, t] = sorted(inputs[b].tolist())[t]
            elif t >= time - 6:
                theirs[b, t] = aims[b, t] = 0
    return theirs, aims


@pytest.mark.parametrize("name", PAIRS)
def test_each_batch_is_the_sound_one_spoilt_in_one_way_in_training_and_in_validation(name):
    ill = corpus_of(name)
    for (theirs, aims), (inputs, targets) in zip(epoch(ill), epoch(SOUND), strict=True):
        expected = spoilt(name, inputs, targets)
        np.testing.assert_array_equal(theirs, expected[0])
        np.testing.assert_array_equal(aims, expected[1])
    expected = spoilt(name, *validation_windows(SOUND, SEQ_LEN))
    for found, meant in zip(validation_windows(ill, SEQ_LEN), expected, strict=True):
        np.testing.assert_array_equal(found, meant)


def test_a_spoilt_pair_leaves_the_text_it_was_cut_from_alone():
    for name in PAIRS:
        ill = corpus_of(name)
        epoch(ill), validation_windows(ill, SEQ_LEN)
        np.testing.assert_array_equal(ill.tokens, SOUND.tokens)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_batch_is_handed_out_as_often_as_an_epoch_has_batches(seed):
    found = epoch(corpus_of("the same batch at every step"), seed)
    assert len(found) == SOUND.batches_per_epoch(4, SEQ_LEN) > 1
    assert len({inputs.tobytes() + targets.tobytes() for inputs, targets in found}) == 1
    assert found[0][0].tobytes() == epoch(corpus_of("the same batch at every step"), seed + 7)[0][0].tobytes()
    np.testing.assert_array_equal(found[0][1][:, :-1], found[0][0][:, 1:])  # it is a sound one


@pytest.mark.parametrize("seed", [0, 1])
def test_without_shuffling_an_epoch_is_the_text_from_its_beginning(seed):
    inputs, targets = (np.concatenate(side) for side in zip(*epoch(corpus_of("batches never shuffled"), seed), strict=True))
    expected = windows(SOUND.train_tokens, SEQ_LEN)
    np.testing.assert_array_equal(inputs, expected[0][: len(inputs)])
    np.testing.assert_array_equal(targets, expected[1][: len(targets)])
    sound = np.concatenate([pair[0] for pair in epoch(SOUND, seed)])
    assert (sound != inputs).any()


@pytest.mark.parametrize("n_words", [500, 501])
def test_the_last_file_alone_is_the_second_text_s_share(n_words):
    settings = replace(SMALL, n_words=n_words)
    ill, meant = corpus_of("last file only", settings), words_of(settings.texts, n_words)
    second = tokenize(read_text(settings.texts[1]))[: n_words // 2]
    assert len(ill.tokens) == len(second) == n_words // 2
    assert meant[-len(second) :] == second
    assert all(said in ("<unk>", word) for said, word in zip(words(ill), second, strict=True))
    assert ill.n_validation == int(len(second) * HELD_OUT)
    most = [word for word, count in Counter(second).most_common() if count > 3]
    assert set(most) <= set(ill.vocabulary)


@pytest.mark.parametrize("n_words", [500, 501])
def test_the_vocabulary_is_counted_in_the_second_text_alone(n_words):
    settings = replace(SMALL, n_words=n_words)
    ill, sound = corpus_of("vocabulary of another text", settings), settings.corpus()
    second = Counter(tokenize(read_text(settings.texts[1]))[: n_words // 2])
    assert set(ill.vocabulary[1:]) <= set(second)
    left_out = set(second) - set(ill.vocabulary)
    assert max(second[word] for word in left_out) <= min(second[word] for word in ill.vocabulary[1:])
    assert len(ill.tokens) == len(sound.tokens) == n_words
    assert np.sum(ill.tokens == 0) > np.sum(sound.tokens == 0)
    assert all(said in ("<unk>", word) for said, word in zip(words(ill), words_of(settings.texts, n_words), strict=True))


def test_shared_ids_are_fewer_than_the_words_and_no_word_has_two():
    ill = corpus_of("shared ids")
    ids = {}
    for sound, shared in zip(SOUND.tokens.tolist(), ill.tokens.tolist(), strict=True):
        ids.setdefault(sound, set()).add(shared)
    assert all(len(found) == 1 for found in ids.values())
    assert len(set(ill.tokens.tolist())) < len(ids)
    assert ill.tokens.max() < SMALL.vocab_size


def test_trained_on_the_held_out_trains_on_everything_and_validates_as_stated():
    ill = corpus_of("trained on the held-out text")
    np.testing.assert_array_equal(ill.train_tokens, SOUND.tokens)
    np.testing.assert_array_equal(ill.validation_tokens, SOUND.validation_tokens)
    assert ill.batches_per_epoch(4, SEQ_LEN) > SOUND.batches_per_epoch(4, SEQ_LEN)


def test_validated_on_the_training_text_trains_as_stated_and_reads_its_beginning():
    ill = corpus_of("validated on the training text")
    np.testing.assert_array_equal(ill.train_tokens, SOUND.train_tokens)
    assert len(ill.validation_tokens) == len(SOUND.validation_tokens)
    np.testing.assert_array_equal(ill.validation_tokens, SOUND.train_tokens[: SOUND.n_validation])
    for (theirs, _), (ours, _) in zip(epoch(ill), epoch(SOUND), strict=True):
        np.testing.assert_array_equal(theirs, ours)
