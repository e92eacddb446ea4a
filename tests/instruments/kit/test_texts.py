"""Reading a batch, counting a text, and what was held out: against words counted by hand."""

import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.kit.patients import SMALL, each_word, healthy, ill, just_these_words, numbers, said

from cllm_lib.casebook.settings import corpus_of, words_of
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient
from cllm_lib.text import Corpus

ELSEWHERE = "what is read does not stand in the text"
SAID = {
    "print a batch": {
        "target is the word itself": {"the targets are the inputs"},
        "targets shifted twice": {"the targets stand two words ahead"},
        "targets of another sequence": {"the targets do not follow from the inputs"},
        "inputs sorted": {"the targets do not follow from the inputs", "the inputs are sorted", ELSEWHERE},
        "the same batch at every step": {"every batch is the same"},
        "batches never shuffled": {"every epoch has the same order"},
        "padding counted in the loss": {ELSEWHERE, "all rows end in one and the same word"},
        "shared ids": {ELSEWHERE},
        "last file only": {ELSEWHERE},
        "vocabulary of another text": {ELSEWHERE},
        "trained on the held-out text": set(),
        "validated on the training text": set(),
        "healthy": set(),
        "healthy, in one batch": set(),
        "healthy, one sequence at a time": set(),
    },
    "count the text": {
        "last file only": {"fewer words than the files have"},
        "shared ids": {"fewer ids than words"},
        "vocabulary of another text": {"more unknown words than the vocabulary leaves over"},
        "inputs sorted": set(),
        "padding counted in the loss": set(),
        "healthy": set(),
    },
    "overlap": {
        "trained on the held-out text": {
            "all of the held-out text stands in the training part",
            "training reaches into what is held out",
        },
        "validated on the training text": {"all of the held-out text stands in the training part"},
        "last file only": set(),
        "shared ids": set(),
        "the same batch at every step": set(),
        "healthy": set(),
    },
}


test_just_these_words_are_said = just_these_words(SAID)
test_each_word_is_said_of_a_patient = each_word(SAID)


@given(healthy(steps=25))
@settings(max_examples=settings().max_examples * 2 // 5)
def test_nothing_is_said_of_healthy_texts(patient):
    assert all(said(instrument, patient) == set() for instrument in SAID)


def reading(corpus, stated=None, batch_size=2, seq_len=6):
    """A patient that is nothing but a text to read."""
    model = SimpleNamespace(config=SimpleNamespace(seq_len=seq_len))
    meant = SimpleNamespace(corpus=lambda: corpus if stated is None else stated)
    return Patient(meant, lambda: SimpleNamespace(corpus=corpus, batch_size=batch_size, model=model), 1)


def text_of(ids, n_words=9, n_validation=20, cls=Corpus):
    return cls("made", np.array(ids, dtype=np.int64), tuple(f"w{i}" for i in range(n_words)), n_validation)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_the_shares_of_a_batch_are_those_counted_place_by_place(seed, n_words):
    generator = np.random.default_rng(seed)
    patient = reading(text_of(generator.integers(n_words, size=60)))
    rows = [pair for epoch in range(6) for pair in patient.batches(9, epoch)][:6]
    pairs = [(row.tolist(), aims.tolist()) for inputs, targets in rows for row, aims in zip(inputs, targets, strict=True)]
    found = numbers("print a batch", patient)

    def share(hits):
        hits = list(hits)
        return pytest.approx(sum(hits) / len(hits))

    assert found["target is the word itself"] == share(a == b for row, aims in pairs for a, b in zip(row, aims, strict=True))
    assert found["target is the next input"] == share(aims[t] == row[t + 1] for row, aims in pairs for t in range(5))
    assert found["target is two ahead"] == share(aims[t] == row[t + 2] for row, aims in pairs for t in range(4))
    assert found["rows that rise"] == share(row == sorted(row) for row, _ in pairs)
    assert found["different batches"] == len({str(inputs.tolist()) for inputs, _ in rows})
    assert found["rows that stand in the text"] == 1.0


class Characters(Corpus):
    """A text of characters, whose words are read without spaces."""

    def decode(self, ids):
        return "".join(self.vocabulary[i] for i in ids)


def test_a_text_of_characters_stands_in_itself():
    letters = "the cat sat on the mat and the dog sat on the cat, as cats and dogs will do on mats, and so on to the end"
    vocabulary = ("<unk>", *sorted(set(letters)))
    corpus = Characters("letters", np.array([vocabulary.index(one) for one in letters], dtype=np.int64), vocabulary, 20, unit="character")
    assert said("print a batch", reading(corpus)) == set()


def test_an_id_without_a_word_stands_nowhere():
    sound = text_of(np.random.default_rng(0).integers(9, size=60))
    broken = replace(sound, tokens=np.where(sound.tokens == 3, 30, sound.tokens))
    assert numbers("print a batch", reading(broken, sound))["rows that stand in the text"] < 1.0


def test_one_row_in_ten_that_does_not_follow_is_no_target_elsewhere_and_more_is():
    """A row may have one place where text ends and padding begins; all targets of some rows may not be elsewhere."""
    usual = numbers("print a batch", ill("healthy"))
    for share, heard in [(1.0, False), (0.93, False), (0.89, True), (0.0, True)]:
        words = kit.words_for(kit.ALL["print a batch"], usual | {"target is the next input": share})
        assert ("the targets do not follow from the inputs" in words) == heard


@pytest.mark.parametrize("described", ["healthy", "shared ids", "vocabulary of another text", "last file only"])
def test_words_and_ids_are_those_counted_in_the_files(described):
    found, held = numbers("count the text", ill(described)), ill(described).begun.corpus
    words = words_of(SMALL.texts, SMALL.n_words)
    frequent = {word for word, _ in Counter(words).most_common(SMALL.vocab_size - 1)}
    assert found["words in the files"] == len(words) == SMALL.n_words
    assert found["words read"] == len(held.tokens)
    assert found["unknown, expected"] == len(words) - sum(Counter(words)[word] for word in frequent)
    assert found["unknown"] == sum(token == 0 for token in held.tokens.tolist())
    assert found["ids in use"] == len(set(held.tokens.tolist()))
    if len(held.tokens) == len(words):
        assert found["words to tell apart"] == len(frequent) + 1


def test_a_vocabulary_that_lacks_a_single_word_is_told():
    stated = SMALL.corpus()
    fewer = corpus_of(words_of(SMALL.texts, SMALL.n_words), SMALL.vocab_size, "fewer", stated.vocabulary[:-1])
    assert "more unknown words than the vocabulary leaves over" in said("count the text", reading(fewer, stated))
    assert said("count the text", reading(stated)) == set()


@given(st.integers(0, 2**32 - 1), st.integers(8, 40), st.integers(0, 60))
def test_the_overlap_is_that_found_by_looking_for_each_run_in_the_text(seed, n_validation, repeated):
    generator = np.random.default_rng(seed)
    ids = generator.integers(3, size=120)
    ids[120 - n_validation :][:repeated] = ids[: min(repeated, n_validation)]
    corpus = text_of(ids, n_validation=n_validation)
    text = "".join(map(str, corpus.train_tokens))
    runs = ["".join(map(str, corpus.validation_tokens[i : i + 5])) for i in range(n_validation - 4)]
    found = numbers("overlap", reading(corpus))
    assert found["runs held out, seen in training"] == pytest.approx(sum(run in text for run in runs) / len(runs))
    assert found["trained, of all words"] == (120 - n_validation) / 120
    assert math.isclose(found["trained and held out, of all words"], 1.0)


class Reaching(Corpus):
    """A text whose training part goes some words too far."""

    @property
    def train_tokens(self):
        return self.tokens[: len(self.tokens) - self.n_validation + 5]


def test_training_that_reaches_a_little_too_far_is_told():
    ids = np.random.default_rng(0).integers(9, size=200)
    assert said("overlap", reading(text_of(ids, cls=Reaching))) == {"training reaches into what is held out"}
    assert said("overlap", reading(text_of(ids))) == set()
