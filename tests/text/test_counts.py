from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cllm_lib import load_corpus
from cllm_lib.text import bits_per_byte, conditional_entropy, entropy

symbols = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@given(values=symbols)
def test_entropy_is_that_of_scipy(values):
    counts = [values.count(value) for value in set(values)]
    assert entropy(values) == pytest.approx(stats.entropy(counts), abs=1e-12)


@given(values=symbols, seed=st.integers(0, 99))
def test_what_one_knows_never_adds_uncertainty(values, seed):
    given_ones = np.random.default_rng(seed).integers(0, 3, len(values))
    assert -1e-12 <= conditional_entropy(values, given_ones) <= entropy(values) + 1e-12
    assert conditional_entropy(values, values) == pytest.approx(0.0, abs=1e-12)


@given(values=symbols, given_one=st.integers(0, 3))
def test_the_mean_over_what_is_given_of_the_entropy_there(values, given_one):
    """By definition, not by the chain rule."""
    given_ones = [(value * 7 + i + given_one) % 3 for i, value in enumerate(values)]
    groups = [[v for v, g in zip(values, given_ones, strict=True) if g == known] for known in set(given_ones)]
    expected = sum(len(group) / len(values) * entropy(group) for group in groups)
    assert conditional_entropy(values, given_ones) == pytest.approx(expected, abs=1e-12)


@given(
    pairs=st.lists(st.tuples(*2 * [st.sampled_from([0, 1, 5, -3, 2**31, 2**40, -(2**62), 2**63 - 1])]), min_size=1, max_size=30),
    kind=st.sampled_from([np.int64, np.float64, np.uint64, np.int8, bool, str]),
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_far_numbers_and_other_kinds_are_told_apart_as_well(pairs, kind):
    """By sets of Python's, which know no overflow."""
    symbols, known = (np.array(column, dtype=np.int64).astype(kind) for column in zip(*pairs, strict=True))
    of_pairs = Counter(zip(symbols.tolist(), known.tolist(), strict=True))
    of_known = Counter(known.tolist())
    expected = stats.entropy(list(of_pairs.values())) - stats.entropy(list(of_known.values()))
    assert conditional_entropy(symbols, known) == pytest.approx(expected, abs=1e-12)


def test_wide_numbers_do_not_wrap_around_onto_each_other():
    """2**31 times 2**33 is 0 in 64 bits."""
    known = np.array([0, 0, 2**31, 2**31], dtype=np.int64)
    symbols = np.array([0, 2**33 - 1, 0, 2**33 - 1], dtype=np.int64)
    assert conditional_entropy(symbols, known) == pytest.approx(np.log(2), abs=1e-12)


def test_of_nothing_there_is_no_entropy():
    assert entropy(np.array([], dtype=np.int64)) == conditional_entropy([], []) == 0.0


def test_small_texts_keep_their_numbers_to_the_last_digit():
    """As summed over the sorted rows of two, which is what a pair was before it was one integer."""
    tokens = load_corpus("prose").tokens
    _, counts = np.unique(np.stack([tokens[:-1], tokens[1:]], axis=1), axis=0, return_counts=True)
    shares = counts / counts.sum()
    assert conditional_entropy(tokens[1:], tokens[:-1]) == float(-(shares * np.log(shares)).sum()) - entropy(tokens[:-1])


@pytest.mark.parametrize("unit", ["word", "character", "bpe"])
def test_a_model_that_guesses_by_frequency_has_the_bits_that_a_compressor_by_frequency_needs(unit):
    """The sum over the tokens of -log2 of their shares, divided by the bytes."""
    corpus = load_corpus("sayings", unit=unit)
    counts = np.bincount(corpus.tokens.astype(np.intp))
    bits = -np.log2(counts[corpus.tokens] / len(corpus.tokens)).sum()
    text = corpus.decode(corpus.tokens)
    assert bits_per_byte(entropy(corpus.tokens), corpus) == pytest.approx(bits / len(text.encode()), rel=1e-12)
    assert bits_per_byte(entropy(corpus.tokens), corpus, text) == pytest.approx(bits / len(text.encode()), rel=1e-12)


def test_who_knows_nothing_of_bytes_needs_eight_bits_each():
    corpus = load_corpus("sayings", unit="bpe", vocab_size=257)
    assert bits_per_byte(np.log(256), corpus) == pytest.approx(8.0)
    assert bits_per_byte(np.log(256), corpus, "größer 🙂") == pytest.approx(8.0)


def test_what_is_held_out_is_what_counts():
    corpus = load_corpus("prose", unit="bpe", vocab_size=500, validation_fraction=0.2)
    size = len(corpus.decode(corpus.validation_tokens).encode())
    assert bits_per_byte(2.0, corpus) == pytest.approx(2.0 * corpus.n_validation / (size * np.log(2)))


def test_bytes_are_counted_where_a_character_is_cut_through():
    corpus = load_corpus("sayings", unit="bpe", vocab_size=257)
    assert corpus.byte_count(corpus.encode("é")[:1]) == 1


def test_of_a_text_without_tokens_there_are_no_bits():
    with pytest.raises(ValueError, match="the text has no token"):
        bits_per_byte(1.0, load_corpus("sayings"), " ")
