"""The counted model against sums, a slow second version, and its own idea."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import load_corpus
from cllm_lib.text.ngrams import KneserNeyTrigram

texts = st.integers(1, 6).flatmap(lambda size: st.tuples(st.just(size), st.lists(st.integers(0, size - 1), min_size=3, max_size=60)))


def slowly(tokens, size, word, u, v):
    """The formulas of the paper with sets and dictionaries, and nothing else in common with the library."""
    trigrams = Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))
    before_pair, before_word = defaultdict(set), defaultdict(set)
    for a, b, c in trigrams:
        before_pair[b, c].add(a)
    for b, c in before_pair:
        before_word[c].add(b)
    pairs, words = {pair: len(seen) for pair, seen in before_pair.items()}, {w: len(seen) for w, seen in before_word.items()}

    def discount(counts):
        once, twice = list(counts.values()).count(1), list(counts.values()).count(2)
        return once / (once + 2 * twice) if once else 0.0

    def smoothed(counts, key_of, lower):
        followers = [count for key, count in counts.items() if key_of(key)]
        own = next((count for key, count in counts.items() if key_of(key) and (key if isinstance(key, int) else key[-1]) == word), 0)
        if not followers:
            return lower
        d = discount(counts)
        return (max(own - d, 0.0) + d * len(followers) * lower) / sum(followers)

    one = smoothed(words, lambda key: True, 1.0 / size)
    two = smoothed(pairs, lambda key: key[0] == v, one)
    return smoothed(trigrams, lambda key: key[:2] == (u, v), two)


@given(texts, st.data())
def test_it_is_the_formula_of_the_paper(text, data):
    size, tokens = text
    u, v, word = (data.draw(st.integers(0, size - 1)) for _ in range(3))
    assert KneserNeyTrigram(tokens, size).probability(word, (u, v)) == pytest.approx(slowly(tokens, size, word, u, v), rel=1e-12)


@given(texts, st.lists(st.integers(0, 5), max_size=3))
def test_the_chances_of_all_words_sum_to_one(text, context):
    size, tokens = text
    model = KneserNeyTrigram(tokens, size)
    context = [min(token, size - 1) for token in context]
    chances = [model.probability(word, context) for word in range(size)]
    assert sum(chances) == pytest.approx(1.0, rel=1e-12)
    assert min(chances) >= 0.0


def test_a_word_that_follows_one_word_only_is_a_poor_guess_elsewhere():
    san, francisco, the, dog, cat, x = range(6)
    tokens = [san, francisco] * 20 + [the, dog, x, dog, cat, dog, san, dog, x, the, cat, x, cat]
    model = KneserNeyTrigram(tokens, 7)
    assert tokens.count(francisco) > tokens.count(dog)
    unseen = (6, 6)
    assert model.probability(dog, unseen) > model.probability(francisco, unseen)
    assert model.probability(francisco, (francisco, san)) > 0.8  # where it does belong


def test_probabilities_of_a_text_use_the_two_words_before_each():
    corpus = load_corpus("sayings", validation_fraction=0.2)
    model = KneserNeyTrigram(corpus.train_tokens, len(corpus.vocabulary))
    held_out = corpus.validation_tokens
    found = model.probabilities(held_out)
    assert found[10] == model.probability(held_out[10], held_out[8:10])
    assert found[0] == model.probability(held_out[0], ())
    assert found[1] == model.probability(held_out[1], held_out[:1])
    assert (found > 0).all()
    loss = -np.log(found).mean()
    unigram = np.bincount(corpus.train_tokens.astype(np.intp), minlength=len(corpus.vocabulary)) + 1.0
    assert loss < -np.log(unigram / unigram.sum())[held_out].mean() - 0.2


def test_it_is_sure_of_what_it_has_read():
    corpus = load_corpus("prose")
    model = KneserNeyTrigram(corpus.tokens, len(corpus.vocabulary))
    assert -np.log(model.probabilities(corpus.tokens)).mean() < corpus.bigram_entropy(32)


@pytest.mark.parametrize(
    ("tokens", "size", "words"),
    [
        ([1, 2], 5, "three tokens at least"),
        ([[1, 2, 3]], 5, "three tokens at least"),
        ([1, 2, 5], 5, "outside the vocabulary"),
        ([1.0, 2.0, 3.0], 5, "token ids are integers"),
        ([1, 2, 3], 0, "vocab_size is 0"),
    ],
)
def test_bad_input_gets_a_clear_error(tokens, size, words):
    with pytest.raises(ValueError, match=words):
        KneserNeyTrigram(tokens, size)
