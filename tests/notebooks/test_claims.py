"""What the chapters say of more seeds, or longer runs, than they show."""

import functools

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.model.generation import distinct_n, generate
from cllm_lib.text.ngrams import KneserNeyTrigram
from cllm_lib.text.tasks import LastFollower
from cllm_lib.training.schedules import cosine

pytestmark = pytest.mark.slow


CHAPTER_06 = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ff": 256, "tie_embeddings": False}


@pytest.mark.parametrize("seed", range(5))
def test_chapter_10_the_held_out_loss_is_lowest_after_epoch_3_and_ends_above_ln_v(seed):
    corpus = load_corpus("sayings", validation_fraction=0.1)
    trainer = Trainer(CLLM(CLLMConfig(10_000, **CHAPTER_06), seed=seed), corpus, learning_rate=3e-3, evaluate_every=8, seed=seed)
    assert trainer.fit(epochs=30).epoch_losses[-1] < 0.4
    losses = list(trainer.history.validation_losses.values())
    assert int(np.argmin(losses)) == 2
    assert np.log(10_000) < losses[-1] < 9.85


@functools.cache
def stopped_in_time(seed):
    """Chapter 10's model of the prose, which chapter 11 lets speak, at its best weights; the text, and its held-out loss."""
    corpus = load_corpus("prose", validation_fraction=0.15)
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **CHAPTER_06), seed=seed)
    trainer = Trainer(model, corpus, learning_rate=1e-3, batch_size=8, evaluate_every=19, patience=4, seed=seed)
    trainer.fit(epochs=40)
    trainer.restore_best()
    return corpus, model, trainer.best.loss


@pytest.mark.parametrize("seed", range(5))
def test_chapter_10_the_model_stands_between_words_and_triples(seed):
    corpus, _, loss = stopped_in_time(seed)
    triples = KneserNeyTrigram(corpus.train_tokens, len(corpus.vocabulary)).probabilities(corpus.validation_tokens)
    counts = np.bincount(corpus.train_tokens.astype(np.intp), minlength=len(corpus.vocabulary)) + 1
    words = -np.log((counts / counts.sum())[corpus.validation_tokens]).mean()
    assert 0.15 < words - loss < 0.35
    assert 0.35 < loss + np.log(triples).mean() < 0.55


@pytest.mark.parametrize(("seed", "circle"), [(0, 3), (1, 3), (2, None), (3, None), (4, 3)])
def test_chapter_11_always_the_likeliest_word_turns_in_circles(seed, circle):
    corpus, model, _ = stopped_in_time(seed)
    said = generate(model, corpus.encode("the sea is"), 120, temperature=0)
    assert distinct_n(said[-60:], 2) < 0.3
    assert circle is None or (said[-60 + circle :] == said[-60:-circle]).all()


@pytest.mark.parametrize("seed", range(10))
def test_chapter_15_attention_as_coded_learns_no_more_than_a_heap_and_less_than_attention_without_positions(seed):
    task = LastFollower(seq_len=16)
    heap = task.accuracy_without_order(np.random.default_rng(1))
    shares = []
    for part in (defects.LatticeAwareAttention(), None):
        config = CLLMConfig(len(task.vocabulary), d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=64, tie_embeddings=False)
        model = CLLM(config, seed=seed, attention=part)
        Trainer(model, task, learning_rate=5e-3, batch_size=16, seed=seed, schedule=cosine(600)).fit(steps=600)
        shares.append(task.accuracy(model, np.random.default_rng(1), count=500))
    assert shares[0] == pytest.approx(heap, abs=0.05)
    assert shares[0] < shares[1] - 0.2
