"""The five voices: each shows in numbers what it is, and all speak with the weights of one model."""

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, casebook, load_corpus
from cllm_lib.casebook.voices import VOICES
from cllm_lib.model import distinct_n, generate

PROMPTS = ["the sea is", "in the morning"]


@pytest.fixture(scope="module")
def trained():
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=32), seed=0)
    Trainer(model, corpus, learning_rate=1e-2).fit(epochs=6)
    return model, corpus


def test_each_voice_is_what_its_name_says(trained):
    model, corpus = trained
    said = {VOICES[letter]: texts for letter, texts in casebook.five_voices(model, corpus, PROMPTS).items()}
    assert all(words.shape == (27,) and words.dtype == np.int64 for texts in said.values() for words in texts)
    assert set(np.concatenate(said["first five"])) <= set(range(5))
    start = corpus.encode(PROMPTS[0])
    np.testing.assert_array_equal(said["likeliest"][0], generate(model, start, 27, temperature=0)[len(start) :])
    assert not np.array_equal(said["other pass"], said["likeliest"])
    for words, prompt in zip(said["ten best"], PROMPTS, strict=True):
        text = np.concatenate([corpus.encode(prompt), words])
        for place in range(len(text) - 27, len(text)):
            logits = model.logits([text[:place]])[0, -1]
            assert (logits > logits[text[place]]).sum() < 10
    assert np.mean([distinct_n(words, 2) for words in said["bold"]]) > np.mean([distinct_n(words, 2) for words in said["ten best"]])


def test_the_model_is_left_as_it_was_and_the_same_seed_says_the_same(trained):
    model, corpus = trained
    before = model.flat_parameters.copy()
    first, second = (casebook.five_voices(model, corpus, PROMPTS, count=40, seed=3) for _ in range(2))
    np.testing.assert_array_equal(model.flat_parameters, before)
    for letter in VOICES:
        np.testing.assert_array_equal(first[letter], second[letter])
