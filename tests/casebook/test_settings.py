"""What a patient was meant to be: drawn within its limits, told in full, and counted by hand."""

import dataclasses
from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.casebook.settings import (
    RATES,
    SEQ_LEN,
    TEXTS,
    WARM_UP,
    corpus_of,
    draw_settings,
    words_of,
)
from cllm_lib.text.corpora import read_text
from cllm_lib.text.normalization import tokenize
from cllm_lib.training import Adam, AdamW

SEEDS = st.integers(0, 2**63)


@lru_cache
def whole(text):
    return list(tokenize(read_text(text)))


def drawn(seed=0, **changes):
    return dataclasses.replace(draw_settings(np.random.default_rng(seed)), **changes)


@given(SEEDS)
def test_the_same_seed_draws_the_same_and_all_is_within_its_limits(seed):
    one = drawn(seed)
    assert one == drawn(seed)
    assert one.texts in TEXTS
    assert 1_600 <= one.n_words < 2_400
    assert 100 <= one.vocab_size <= 300
    assert one.d_model % (2 * one.n_heads) == 0
    assert 120 <= one.steps <= 200
    assert one.steps > WARM_UP
    assert 0.495 * RATES[one.optimizer] <= one.learning_rate <= 2.05 * RATES[one.optimizer]
    assert one.config.seq_len == SEQ_LEN
    assert (one.config.d_ff, one.config.vocab_size, one.config.dtype) == (2 * one.d_model, one.vocab_size, one.dtype)


def test_every_choice_is_drawn():
    some = [drawn(seed) for seed in range(400)]
    for name, choices in {
        "texts": TEXTS,
        "d_model": (16, 24, 32),
        "n_layers": (1, 2),
        "n_heads": (2, 4),
        "dtype": ("float32", "float64"),
        "positions": ("none", "sinusoidal", "learned"),
        "tie_embeddings": (True, False),
        "optimizer": tuple(RATES),
        "schedule": ("constant", "warmup", "warmup_cosine"),
        "clip_norm": (None, 1.0),
        "batch_size": (4, 6, 8),
    }.items():
        counts = Counter(getattr(one, name) for one in some)
        assert set(counts) == set(choices), name
        assert min(counts.values()) > 0.6 * 400 / len(choices), name


def test_its_text_says_all_that_was_meant():
    told = drawn(
        texts=("sayings", "prose"), n_words=2_001, vocab_size=150, d_model=24, n_layers=2, n_heads=4, dtype="float32", positions="learned",
        tie_embeddings=True, optimizer="adamw", learning_rate=0.0051, schedule="warmup_cosine", clip_norm=1.0, batch_size=6, steps=160,
    )  # fmt: skip
    assert str(told) == (
        "text       2,001 words of sayings and prose, the last 15% held out\n"
        "model      V 150, width 24, 2 layers, 4 heads, positions learned, output tied to the embedding, float32\n"
        "training   adamw, rate 0.0051, warm-up over 20 steps, cosine, gradients clipped at 1\n"
        "           160 steps, 6 sequences of 16 words each"
    )
    other = str(dataclasses.replace(told, n_layers=1, tie_embeddings=False, schedule="constant", clip_norm=None))
    assert "1 layer, " in other
    assert "output of its own" in other
    assert "constant, no clipping" in other


@given(SEEDS, st.sampled_from(["n_layers", "d_model", "optimizer", "schedule", "tie_embeddings", "positions", "steps", "batch_size"]))
def test_settings_that_differ_are_told_differently(seed, name):
    one = drawn(seed)
    choices = {"schedule": "warmup constant", "optimizer": "sgd adam", "positions": "none learned"}
    value = next(v for v in choices[name].split() if v != getattr(one, name)) if name in choices else None
    if value is None:
        value = not one.tie_embeddings if name == "tie_embeddings" else getattr(one, name) + 1
    assert str(dataclasses.replace(one, **{name: value})) != str(one)


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        ("constant", 0, 1.0),
        ("constant", 119, 1.0),
        ("warmup", 0, 1 / 20),
        ("warmup", 9, 10 / 20),
        ("warmup", 60, 1.0),
        ("warmup_cosine", 9, 10 / 20),
        ("warmup_cosine", 70, 0.1 + 0.9 * (1 + np.cos(np.pi * 50 / 100)) / 2),
    ],
)
def test_its_rate_is_the_stated_one_times_the_schedule_s_factor(schedule, step, factor):
    one = drawn(schedule=schedule, learning_rate=0.5, steps=120)
    assert one.rate(step) == pytest.approx(0.5 * factor, rel=0.02 if step == 70 else 1e-12)


def test_its_optimizer_is_new_at_each_call_and_as_stated():
    one = drawn(optimizer="adam", learning_rate=0.004)
    assert one.make_optimizer() is not one.make_optimizer()
    assert type(one.make_optimizer()) is Adam
    assert type(drawn(optimizer="adamw").make_optimizer()) is AdamW
    assert one.make_optimizer().learning_rate == 0.004
    assert [drawn(optimizer=name).has_moments for name in RATES] == [False, False, True, True, True]


@given(st.sampled_from(TEXTS), st.integers(20, 2_400))
def test_each_text_gives_the_words_of_its_beginning_half_of_them(texts, n_words):
    words = words_of(texts, n_words)
    first, second = map(whole, texts)
    half = (n_words + 1) // 2
    assert words == first[:half] + second[: n_words - half]


def test_a_corpus_counted_by_hand():
    words = ["a", "b", "a", "c", "a", "b", "d"] * 4
    corpus = corpus_of(words, 3, "by hand")
    assert corpus.vocabulary == ("<unk>", "a", "b")
    assert corpus.tokens.tolist() == [1, 2, 1, 0, 1, 2, 0] * 4
    assert corpus.tokens.dtype == np.int64
    assert len(corpus.validation_tokens) == int(28 * 0.15)
    assert corpus_of(words, 3, "other", vocabulary=("<unk>", "d", "a")).tokens.tolist() == [2, 0, 2, 0, 2, 0, 1] * 4


@given(SEEDS)
def test_its_corpus_has_the_most_frequent_words_and_all_others_share_an_id(seed):
    one = drawn(seed)
    corpus, counts = one.corpus(), Counter(words_of(one.texts, one.n_words))
    assert len(corpus.tokens) == one.n_words == sum(counts.values())
    assert len(corpus.vocabulary) == one.vocab_size
    known = set(corpus.vocabulary[1:])
    assert min(counts[word] for word in known) >= max(count for word, count in counts.items() if word not in known)
    assert (corpus.tokens == 0).sum() == sum(count for word, count in counts.items() if word not in known)
    assert corpus.batches_per_epoch(one.batch_size, SEQ_LEN) >= 1
