"""How alike two words are, by what they are made of: features, a prime for each, and a product of primes for each word.

A word's features are pieces of its spelling, or any others that a reader has: stem, part of speech. With a prime p for each
feature, a set of features is one whole number, their product, and arithmetic compares sets: the greatest common divisor of
two such numbers is the product of what both have, the least common multiple the product of what either has. So

    log gcd(a, b) / log lcm(a, b) = sum of log p over the shared features / sum of log p over all,

which is the weighted Jaccard similarity with weights log p. A feature that a word has twice is a square, and counts twice.

Shapes: V words, F features.
"""

import math
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from cllm_lib.checks import positive_integer
from cllm_lib.lattice.primes import first_primes, primes_below

NGRAM_SIZES = (2, 3)
BEGINNING, END = "<", ">"


def letter_ngrams(word, sizes=NGRAM_SIZES):
    """Letter n-grams of a word: all runs of so many letters, its two ends marked, and the whole.

    With the ends marked, a beginning differs from the same letters in the middle. The whole is a piece as well, so no two
    words have the same set, and no word has none.

    Parameters
    ----------
    word : str
    sizes : sequence of int
        How many letters, or ends, a piece has.

    Returns
    -------
    frozenset of str

    Raises
    ------
    ValueError
        If `word` is no text or an empty one, or a size is not a whole number of at least 1.

    Notes
    -----
    Bojanowski, Grave, Joulin, Mikolov 2017, "Enriching Word Vectors with Subword Information", section 3.2, where the pieces
    have three to six letters.

    >>> sorted(letter_ngrams("sea", sizes=[2]))
    ['<s', '<sea>', 'a>', 'ea', 'se']
    """
    if not isinstance(word, str) or not word:
        raise ValueError(f"word is {word!r}: give a text of at least one letter")
    sizes = [positive_integer(size, "size") for size in sizes]
    marked = BEGINNING + word + END
    pieces = {marked[i : i + size] for size in sizes for i in range(len(marked) - size + 1)}
    return frozenset(pieces | {marked})


def feature_similarity(a, b, weights=None):
    """Weighted Jaccard similarity: the share of their features that two words have in common, 1 if all, 0 if none.

    Parameters
    ----------
    a, b : int, or str, or collection of features
        Two of a kind. Whole numbers are Goedel numbers, see :func:`goedel_numbers`: the result is log gcd / log lcm, so that
        the feature of prime p weighs log p. A word stands for its :func:`letter_ngrams`. A set holds each feature once; a
        Counter, a dictionary of counts, or a list in which some stand twice, as often as it says.
    weights : dict, optional
        Of each feature, above 0; every feature weighs 1 by default, also a feature that is a number itself. Goedel numbers
        carry their weights in them.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If both have no feature at all, as the number 1 has none: then nothing is shared, and yet the two are equal. If they
        are not of a kind, a number is below 1, or a feature has no weight.

    Notes
    -----
    Jaccard 1912, "The Distribution of the Flora in the Alpine Zone"; with weights and counts, the sum of the smaller over the
    sum of the larger, also called Ruzicka's. The coding by primes is that of Goedel 1931.

    >>> feature_similarity(2 * 3 * 5, 3 * 5 * 7) == math.log(15) / math.log(210)
    True
    >>> feature_similarity({"round", "red"}, {"round", "green"}) == 1 / 3
    True
    """
    kinds = [isinstance(x, numbers.Number) for x in (a, b)]
    if any(kinds):
        if not all(kinds):
            raise ValueError(f"{a!r} and {b!r} are not of a kind: give two Goedel numbers, two words, or two collections of features")
        if weights is not None:
            raise ValueError("weights are given, and Goedel numbers carry theirs in them: log p; give collections of features instead")
        return _of_numbers(positive_integer(a, "a"), positive_integer(b, "b"))
    a, b = _counted(a, "a"), _counted(b, "b")
    weigh = _weigher(weights)
    shared, all_features = (math.fsum(weigh(feature) * count for feature, count in x.items()) for x in (a & b, a | b))
    if not all_features:
        raise ValueError("a and b have no features: what has none has nothing to be compared by, so give each one at least")
    return shared / all_features


def _of_numbers(a, b):
    if a == b == 1:
        raise ValueError("a and b are 1, the number of no features: what has none has nothing to be compared by")
    return math.log(math.gcd(a, b)) / math.log(math.lcm(a, b))


def feature_primes(feature_sets):
    """Give each feature a prime: 2 to the one that most words have, 3 to the next.

    So a feature that tells little, because many words have it, weighs little, if not by much: log p grows slowly.

    Parameters
    ----------
    feature_sets : sequence of collections of features, or of words
        As for :func:`feature_similarity`.

    Returns
    -------
    dict of feature to int
        In ascending order; features that equally many words have follow in the order of their spelling.

    Raises
    ------
    ValueError
        If `feature_sets` is no sequence of them.
    """
    counts = Counter(feature for features in _counted_sets(feature_sets) for feature in features)
    ordered = sorted(counts, key=lambda feature: (-counts[feature], repr(feature)))
    return dict(zip(ordered, first_primes(len(ordered)).tolist(), strict=True))


def goedel_numbers(feature_sets, primes=None):
    """Goedel numbers: a whole number for each word, the product of the primes of its features.

    Exact, and as long as it must be: a word of a dozen features has a number of some thirty digits, which no array holds.

    Parameters
    ----------
    feature_sets : sequence of collections of features, or of words
        As for :func:`feature_similarity`. What stands there twice is a factor twice.
    primes : dict of feature to int, optional
        By default :func:`feature_primes` of these sets. A number can only be compared with others made of the same primes.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        If a feature has no prime, two have the same, one is no prime, or `feature_sets` is no sequence of sets.

    >>> goedel_numbers([{"round", "red"}, {"round", "green"}])
    [10, 6]
    """
    sets = _counted_sets(feature_sets)
    primes = feature_primes(sets) if primes is None else _checked_primes(primes)
    return [math.prod(_entry(primes, feature, "prime") ** count for feature, count in features.items()) for features in sets]


def feature_matrix(feature_sets, primes=None):  # -> (V, F)
    """Return how often each word has each feature.

    Parameters
    ----------
    feature_sets : sequence of collections of features, or of words
        As for :func:`feature_similarity`.
    primes : dict of feature to int, optional
        Its order is that of the columns; by default :func:`feature_primes` of these sets.

    Returns
    -------
    ndarray of int64, shape (V, F)

    Raises
    ------
    ValueError
        If a feature has no column, or `feature_sets` is no sequence of them.

    >>> feature_matrix([{"round", "red"}, {"round", "green"}]).tolist()
    [[1, 0, 1], [1, 1, 0]]
    """
    sets = _counted_sets(feature_sets)
    primes = feature_primes(sets) if primes is None else primes
    column_of = {feature: column for column, feature in enumerate(primes)}
    matrix = np.zeros((len(sets), len(column_of)), dtype=np.int64)
    for row, features in zip(matrix, sets, strict=True):
        for feature, count in features.items():
            row[_entry(column_of, feature, "column")] = count
    return matrix


def feature_similarities(matrix, weights=None):  # (V, F), (F,) -> (V, V)
    """Return the similarity of every pair of words, as :func:`feature_similarity` gives it for one, by matrix products.

    For words that have a feature or not, what two share is a dot product. For counts it is a sum of such products, one for
    each level: the smaller of two counts says how many levels both reach.

    Parameters
    ----------
    matrix : array_like of int, shape (V, F)
        From :func:`feature_matrix`.
    weights : array_like of float, shape (F,), optional
        Of each feature, above 0; log p by default, with the primes in order, as the columns are.

    Returns
    -------
    ndarray, shape (V, V)
        Symmetric; 1 on the diagonal.

    Raises
    ------
    ValueError
        If a row has no features, a count is negative, or a weight is not above 0.
    """
    matrix, weights = _checked_matrix(matrix, weights)
    levels, shared = np.unique(matrix[matrix > 0]), np.zeros((len(matrix), len(matrix)))
    for level, step in zip(levels, np.diff(levels, prepend=0), strict=True):
        rows = (matrix >= level) * np.sqrt(step * weights)  # the root, so that the product is one of a matrix with itself: symmetric
        shared += rows @ rows.T
    own = shared.diagonal()
    return np.minimum(shared / (own[:, None] + own - shared), 1.0)


def nearest_words(word, vocabulary, count=5, features=letter_ngrams):
    """Return the words of a vocabulary that share most with one, by their Goedel numbers.

    Parameters
    ----------
    word : str
        In the vocabulary or not.
    vocabulary : sequence of str
        Where two are equally near, the earlier comes first.
    count : int
    features : callable
        From a word to its features.

    Returns
    -------
    list of (str, float)
        Words with their similarities, the nearest first; `word` itself is none of them.

    Raises
    ------
    ValueError
        If `count` is not a whole number of at least 1, or the vocabulary holds no other word.
    """
    count, others = positive_integer(count, "count"), [other for other in vocabulary if other != word]
    if not others:
        raise ValueError(f"the vocabulary holds no word but {word!r}: give others to compare it with")
    number, *numbers_of_others = goedel_numbers([features(each) for each in (word, *others)])
    similarities = [feature_similarity(number, other) for other in numbers_of_others]
    ranked = sorted(range(len(others)), key=lambda i: -similarities[i])
    return [(others[i], similarities[i]) for i in ranked[:count]]


def _counted(features, name):
    """Features as a Counter; a word is taken for its pieces."""
    if isinstance(features, str):
        return Counter(letter_ngrams(features))
    try:
        counted = Counter(features) if isinstance(features, Iterable) else None
    except TypeError:
        raise ValueError(f"{name} holds something that cannot be in a set, such as a list: give texts, numbers or tuples") from None
    if counted is None:
        raise ValueError(f"{name} is {features!r}: give a Goedel number, a word, or a collection of features")
    wrong = [feature for feature, count in counted.items() if not isinstance(count, numbers.Integral) or count < 0]
    if wrong:
        raise ValueError(f"{name} counts {wrong[0]!r} {counted[wrong[0]]!r} times: give whole numbers of at least 0")
    return +counted  # without those that are there 0 times


def _counted_sets(feature_sets):
    if isinstance(feature_sets, str | numbers.Number) or not isinstance(feature_sets, Iterable):
        raise ValueError(f"feature_sets is {feature_sets!r}: give a list, with the features of each word, or with words")
    sets = [_counted(features, f"feature_sets[{i}]") for i, features in enumerate(feature_sets)]
    if not sets:
        raise ValueError("feature_sets is empty: give the features of one word at least")
    return sets


def _entry(table, feature, what):
    if not isinstance(table, Mapping):
        raise ValueError(f"what gives each feature its {what} is {table!r}: give a dictionary")
    if feature not in table:
        raise ValueError(f"{feature!r} has no {what}: give one to each feature, or let feature_primes see all sets at once")
    return table[feature]


def _checked_primes(primes):
    given = list(primes.values()) if isinstance(primes, Mapping) else []
    if not given or len(set(given)) < len(given) or not np.isin(given, primes_below(1 + positive_integer(max(given), "a prime"))).all():
        raise ValueError("primes must hold another prime for each feature, or numbers would share factors that words do not share")
    return primes


def _weigher(weights):
    if weights is None:
        return lambda feature: 1

    def weigh(feature):
        weight = _entry(weights, feature, "weight")
        if not (isinstance(weight, numbers.Real) and 0.0 < weight < math.inf):
            raise ValueError(f"the weight of {feature!r} is {weight!r}: give a finite number above 0")
        return weight

    return weigh


def _checked_matrix(matrix, weights):
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "biu":
        raise ValueError(
            f"matrix has shape {matrix.shape} and dtype {matrix.dtype}: give counts, (words, features); feature_matrix makes them"
        )
    if (matrix < 0).any():
        where = tuple(int(i) for i in np.argwhere(matrix < 0)[0])
        raise ValueError(f"matrix{list(where)} is {matrix[where]}: a feature is there a whole number of times, at least 0")
    if not matrix.any(axis=1).all():
        raise ValueError(
            f"row {int(np.argmin(matrix.any(axis=1)))} has no features: what has none has nothing to be compared by, not even with itself"
        )
    weights = np.log(first_primes(matrix.shape[1])) if weights is None else np.asarray(weights)
    if weights.shape != matrix.shape[1:] or weights.dtype.kind not in "iuf":
        raise ValueError(f"weights have shape {weights.shape}, matrix {matrix.shape}: give one number for each feature")
    wrong = ~((weights > 0) & np.isfinite(weights))
    if wrong.any():
        raise ValueError(f"weights[{int(np.argmax(wrong))}] is {weights[np.argmax(wrong)]}: give finite numbers above 0")
    return matrix, weights
