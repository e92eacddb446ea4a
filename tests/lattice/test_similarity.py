import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import load_corpus
from cllm_lib.lattice.similarity import (
    feature_matrix,
    feature_primes,
    feature_similarities,
    feature_similarity,
    goedel_numbers,
    letter_ngrams,
    nearest_words,
)

FEATURES = "abcdefghij"
SETS = st.sets(st.sampled_from(FEATURES), min_size=1)
MULTISETS = st.dictionaries(st.sampled_from(FEATURES), st.integers(1, 4), min_size=1).map(Counter)
NUMBERS = st.integers(2, 10**40)


def jaccard(a, b, weights):
    """Feature by feature: the smaller count over the larger."""
    shared = sum(weights[f] * min(a.get(f, 0), b.get(f, 0)) for f in weights)
    return shared / sum(weights[f] * max(a.get(f, 0), b.get(f, 0)) for f in weights)


@given(st.lists(SETS | MULTISETS, min_size=2, max_size=6))
def test_log_gcd_over_log_lcm_is_the_weighted_jaccard_similarity(sets):
    primes = feature_primes(sets)
    goedel = goedel_numbers(sets)
    weights = {feature: math.log(prime) for feature, prime in primes.items()}
    for (a, b), (m, n) in zip(pairwise(sets), pairwise(goedel), strict=True):
        expected = jaccard(Counter(a), Counter(b), weights)
        assert feature_similarity(m, n) == pytest.approx(expected, abs=1e-12)
        assert feature_similarity(a, b, weights) == pytest.approx(expected, abs=1e-12)
        assert math.gcd(m, n) == math.prod(primes[f] ** c for f, c in (Counter(a) & Counter(b)).items())  # whole numbers: exact


@given(st.lists(SETS | MULTISETS, min_size=1, max_size=6))
def test_a_goedel_number_holds_the_features_and_nothing_else(sets):
    primes = feature_primes(sets)
    feature_of = {prime: feature for feature, prime in primes.items()}
    for features, number in zip(sets, goedel_numbers(sets), strict=True):
        assert {feature_of[p]: k for p, k in sympy.factorint(number).items()} == dict(Counter(features))


@given(st.lists(SETS | MULTISETS, min_size=1, max_size=6))
def test_the_matrix_of_all_pairs_agrees_with_exact_integers(sets):
    matrix, goedel = feature_matrix(sets), goedel_numbers(sets)
    similarities = feature_similarities(matrix)
    expected = [[feature_similarity(m, n) for n in goedel] for m in goedel]
    np.testing.assert_allclose(similarities, expected, atol=1e-12)
    np.testing.assert_array_equal(similarities, similarities.T)
    assert (similarities.diagonal() == 1.0).all()
    assert similarities.max() <= 1.0
    assert ((similarities == 0.0) == (np.array(expected) == 0.0)).all()


@given(st.lists(MULTISETS, min_size=2, max_size=5), st.data())
def test_the_matrix_takes_any_weights(sets, data):
    primes = feature_primes(sets)
    weights = {feature: data.draw(st.floats(0.01, 100.0)) for feature in primes}
    found = feature_similarities(feature_matrix(sets), list(weights.values()))
    for i, j in np.ndindex(found.shape):
        assert found[i, j] == pytest.approx(jaccard(sets[i], sets[j], weights), abs=1e-9)


@given(NUMBERS, NUMBERS)
def test_similarity_of_any_two_numbers(m, n):
    similarity = feature_similarity(m, n)
    assert 0.0 <= similarity <= 1.0
    assert similarity == feature_similarity(n, m)
    assert feature_similarity(n, n) == 1.0
    assert (similarity == 0.0) == (math.gcd(m, n) == 1)
    assert feature_similarity(1, n) == 0.0  # no feature: none shared


def test_the_kinds_of_things_that_can_be_compared():
    assert feature_similarity(2 * 3, 3 * 5) == math.log(3) / math.log(30)
    assert feature_similarity(np.int64(6), 15) == math.log(3) / math.log(30)
    assert feature_similarity(2**3, 2**2) == pytest.approx(2 / 3)  # twice of three times
    assert feature_similarity({"x", "y"}, {"y", "z"}) == 1 / 3
    assert feature_similarity({2, 3}, {3, 5}) == 1 / 3  # in a set a number is a feature like any other
    assert feature_similarity(["x", "x"], ["x"]) == feature_similarity({"x": 2}, {"x": 1}) == 0.5
    assert feature_similarity({"x", "y"}, {"y", "z"}, {"x": 1, "y": 2, "z": 5}) == 2 / 8
    assert feature_similarity("king", "kings") == feature_similarity(letter_ngrams("king"), letter_ngrams("kings"))
    assert feature_similarity("king", "king") == 1.0
    assert feature_similarity(set(), {"x"}) == 0.0


def test_products_beyond_every_machine_number_stay_exact():
    n = math.prod(sympy.primerange(2, 2000))
    assert n > 10**800
    assert feature_similarity(n, 2003 * n) == pytest.approx(math.log(n) / (math.log(n) + math.log(2003)))
    assert feature_similarity(n, 2003) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: feature_similarity(1, 1), "the number of no features"),
        (lambda: feature_similarity(set(), []), "have no features.*give each one at least"),
        (lambda: feature_similarity({"x": 0}, {"y": 0}), "have no features"),
        (lambda: feature_similarity(0, 6), "a is 0: give a whole number of at least 1"),
        (lambda: feature_similarity(6, -2), "b is -2"),
        (lambda: feature_similarity(6.0, 2), "a is 6.0"),
        (lambda: feature_similarity(True, 2), "a is True"),
        (lambda: feature_similarity(6, {"x"}), "not of a kind: give two Goedel numbers, two words, or two collections"),
        (lambda: feature_similarity(6, "six"), "not of a kind"),
        (lambda: feature_similarity(6, 2, {2: 1.0}), "Goedel numbers carry theirs in them"),
        (lambda: feature_similarity(None, {"x"}), "a is None: give a Goedel number, a word, or a collection"),
        (lambda: feature_similarity([["x"]], {"x"}), "a holds something that cannot be in a set"),
        (lambda: feature_similarity({"x"}, {"x": 1.5}), "b counts 'x' 1.5 times"),
        (lambda: feature_similarity({"x"}, {"x": -1}), "b counts 'x' -1 times"),
        (lambda: feature_similarity({"x"}, {"y"}, {"x": 1.0}), "'y' has no weight"),
        (lambda: feature_similarity({"x"}, {"x"}, {"x": 0.0}), "the weight of 'x' is 0.0: give a finite number above 0"),
        (lambda: feature_similarity({"x"}, {"x"}, [1.0]), "give a dictionary"),
        (lambda: feature_similarity("", "x"), "word is ''"),
        (lambda: letter_ngrams(5), "word is 5: give a text"),
        (lambda: letter_ngrams("x", sizes=[0]), "size is 0"),
        (lambda: goedel_numbers("king"), "feature_sets is 'king': give a list"),
        (lambda: goedel_numbers([]), "feature_sets is empty"),
        (lambda: goedel_numbers([{"x"}, 5]), r"feature_sets\[1\] is 5"),
        (lambda: goedel_numbers([{"x"}], {"y": 2}), "'x' has no prime: give one to each feature"),
        (lambda: goedel_numbers([{"x"}], {"x": 4}), "another prime for each feature"),
        (lambda: goedel_numbers([{"x"}], {"x": 3, "y": 3}), "another prime for each feature"),
        (lambda: feature_matrix([{"x"}], {"y": 2}), "'x' has no column"),
        (lambda: feature_similarities([[1, 0], [0, 0]]), "row 1 has no features"),
        (lambda: feature_similarities([[1, -1]]), r"matrix\[0, 1\] is -1"),
        (lambda: feature_similarities([[0.5]]), "dtype float64: give counts"),
        (lambda: feature_similarities([1, 2]), r"shape \(2,\)"),
        (lambda: feature_similarities([[1, 1]], [1.0]), r"weights have shape \(1,\), matrix \(1, 2\)"),
        (lambda: feature_similarities([[1, 1]], [1.0, 0.0]), r"weights\[1\] is 0.0: give finite numbers above 0"),
        (lambda: nearest_words("x", ["x"]), "holds no word but 'x'"),
        (lambda: nearest_words("x", ["y"], count=0), "count is 0"),
    ],
)
def test_bad_input_gets_a_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@given(st.text(min_size=1, max_size=12), st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_pieces_are_the_runs_of_letters_between_marked_ends(word, sizes):
    pieces = letter_ngrams(word, sizes)
    marked = f"<{word}>"
    assert marked in pieces
    assert all(piece in marked for piece in pieces)
    for size in sizes:
        assert {piece for piece in pieces if len(piece) == size} - {marked} == {
            "".join(t) for t in zip(*(marked[k:] for k in range(size)), strict=False)
        } - {marked}


@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=2, max_size=6, unique=True))
def test_no_two_words_are_the_same(words):
    similarities = feature_similarities(feature_matrix(words))
    assert (similarities[~np.eye(len(words), dtype=bool)] < 1.0).all()


def test_common_features_get_small_primes_whatever_the_order_of_the_words():
    sets = [{"x", "y"}, {"y", "z"}, {"y", "x"}]
    assert feature_primes(sets) == feature_primes(sets[::-1]) == {"y": 2, "x": 3, "z": 5}
    assert feature_primes([{"x": 9}, {"y": 1}, {"y": 1}]) == {"y": 2, "x": 3}  # by words that have it, not by how often they do


def test_columns_and_default_weights_are_those_of_the_primes():
    sets = [{"x", "y"}, {"y", "z"}, Counter(y=2, x=1)]
    primes = feature_primes(sets)
    np.testing.assert_array_equal(feature_matrix(sets), [[1, 1, 0], [1, 0, 1], [2, 1, 0]])
    explicit = feature_similarities(feature_matrix(sets, primes), np.log(list(primes.values())))
    np.testing.assert_array_equal(feature_similarities(feature_matrix(sets)), explicit)


def test_words_of_a_corpus_find_their_relatives():
    vocabulary = load_corpus("sayings").vocabulary
    assert nearest_words("learning", vocabulary, count=1)[0][0] == "learn"
    found = nearest_words("learns", vocabulary, count=len(vocabulary))  # a word it does not have
    assert found[0][0] == "learn"
    assert len(found) == len(vocabulary)
    similarities = [similarity for _, similarity in found]
    assert similarities == sorted(similarities, reverse=True)
    assert "learn" not in [word for word, _ in nearest_words("learn", vocabulary, count=len(vocabulary))]


def test_nearest_words_agree_with_the_matrix():
    vocabulary = load_corpus("sayings").vocabulary
    row = feature_similarities(feature_matrix(vocabulary))[7]
    row[7] = -1.0
    found = nearest_words(vocabulary[7], vocabulary, count=20)
    np.testing.assert_allclose([similarity for _, similarity in found], np.sort(row)[::-1][:20], atol=1e-12)


def test_among_equals_the_earlier_comes_first():
    assert nearest_words("q", ["b", "c", "a"], count=2) == [("b", 0.0), ("c", 0.0)]
