"""Exercises of 14_lattice_inside_the_model."""

import itertools
import math

import numpy as np

from cllm_lib.workbook.exercises.forms import as_array, as_number
from cllm_lib.workbook.exercises.machinery import (
    Exercise,
    NotYet,
    Unexplained,
    array,
    call,
    close,
    compared,
    matches,
    number,
    shown,
    told_apart,
    worst,
)

# Three numbers, before anything is computed

NUMBERS = ("different values", "times as fast", "nats")
UNTRAINED = 5.6  # nats: the logarithm of 280 words


def examine_bets(answer):
    """A prediction: how many similarities a million pairs have, how fast they come, and what spelling is worth."""
    try:
        given = {str(name).strip().lower(): entry for name, entry in dict(answer).items()}
    except (TypeError, ValueError):
        raise NotYet(f"this is of type {type(answer).__name__}; a dictionary with three numbers was asked for.") from None
    open_ones = [name for name in NUMBERS if given.get(name, ...) is ...]
    if open_ones:
        raise NotYet(f"still open: {', '.join(repr(name) for name in open_ones)}. A guess is fine.")
    values, fast, nats = (number(given[name], f"your number for {name!r}") for name in NUMBERS)
    if not 1 <= values <= 1_000_000:
        raise NotYet(f"{shown(values)} different values among a million pairs: it is at least 1, and at most a million.")
    if fast <= 0:
        raise NotYet(f"{shown(fast)} times as fast: that is a ratio of two times, above 0. Half as fast is 0.5.")
    if abs(nats) > UNTRAINED:
        raise NotYet(f"{shown(nats)} nats is more than the whole loss of who knows nothing, {UNTRAINED}; 0 means that it is worth nothing.")
    return f"{values:,.0f} different values, {shown(fast)} times as fast, {shown(nats)} nats. The first is settled in the next section."


# Similarity of two products of primes


def feature_likeness(a, b):
    """Reference: log gcd / log lcm."""
    return math.log(math.gcd(a, b)) / math.log(math.lcm(a, b))


_PAIRS = (  # exponents of 2, 3, 5, ...: the numbers are their products
    ((1, 1, 1), (0, 1, 1, 1)),
    ((2, 1), (1, 2)),
    ((1, 0, 1), (0, 1, 0, 1)),
    ((0, 1, 1), (0, 1, 1)),
    ((1, 1, 0, 1, 1), (1,)),
    ((1,) * 180 + (0,) * 60, (0,) * 90 + (1,) * 150),
)


def examine_feature_likeness(answer):
    """Against sums over exponents; of numbers with few factors, with squares, with none in common, and with 700 digits."""
    primes = [n for n in range(2, 1600) if all(n % d for d in range(2, math.isqrt(n) + 1))]

    def look(first, second):
        rows = list(itertools.zip_longest(first, second, fillvalue=0))
        weights = [math.log(p) for p in primes[: len(rows)]]
        a, b = (math.prod(p ** row[side] for p, row in zip(primes, rows, strict=False)) for side in (0, 1))
        shared, either, own, other = (
            math.fsum(w * kept(*row) for w, row in zip(weights, rows, strict=True)) for kept in (min, max, lambda x, y: x, lambda x, y: y)
        )
        large = len(first) > 9
        what = "the likeness of two numbers of hundreds of digits" if large else f"the likeness of {a} and {b}"
        value = _likeness(answer, a, b, what, large)
        gcd, lcm = math.gcd(a, b), math.lcm(a, b)
        mistakes = {
            "That is gcd / lcm without logarithms: it shrinks with each feature that differs, and sums of weights were asked for.": (
                gcd / lcm
            ),
            "That is the log of the quotient; the quotient of the logs was asked for.": shared - either,
            "That is log gcd alone, the weight of what they share. Divide by the weight of all, log lcm.": shared,
            "Below the line stands the log of a * b, which counts what they share twice. lcm counts it once.": shared / (own + other),
            "That is Dice's coefficient, 2 log gcd / log(a b). For Jaccard's divide by log lcm.": 2 * shared / (own + other),
            "You divide by the log of the larger number; the union is larger than either: log lcm.": shared / max(own, other),
            "You divide by the log of the smaller number; the union is larger than either: log lcm.": shared / min(own, other),
            "That is the distance, 1 - likeness.": 1 - shared / either,
            "That is gcd / max, the program's formula for ids.": gcd / max(a, b),
            "Every prime counts the same in yours; here a prime p weighs log p.": (
                sum(min(*row) for row in rows) / sum(max(*row) for row in rows)
            ),
            "A prime counts once in yours, however often it divides. Equal factors count as often as they occur.": (
                math.fsum(w * (min(*row) > 0) for w, row in zip(weights, rows, strict=True))
                / math.fsum(w * (max(*row) > 0) for w, row in zip(weights, rows, strict=True))
            ),
            "Upside down: what is shared belongs above the line.": either / shared if shared else None,
        }
        return compared(what, value, shared / either), value, shared / either, mistakes

    told_apart(look, _PAIRS, close, "Two functions of math are enough, and two logarithms.")


def _likeness(answer, a, b, what, large):
    """What an answer makes of two numbers; those of hundreds of digits have ways of their own to fail."""
    try:
        return number(call(answer, a, b), what)
    except Unexplained as reason:
        if large:
            raise NotYet(
                "right for small numbers; with hundreds of digits it fails. Python's integers have any length, floats end at 1e308 and "
                "NumPy's integers at 9e18: use math.gcd, math.log, and //."
            ) from reason
        if math.gcd(a, b) == 1 and "ZeroDivision" in str(reason):
            raise Unexplained(
                f"it divides by 0 for {a} and {b}, which share nothing: their gcd is 1, and log 1 = 0.", "The gcd belongs above the line."
            ) from reason
        raise


# The pull of similar words


def pull_gradient(embedding, similarities):
    """Reference: (sums of the rows - S) E."""
    return similarities.sum(axis=1, keepdims=True) * embedding - similarities @ embedding


def _pull(embedding, similarities):
    pairs = itertools.combinations(range(len(embedding)), 2)
    return sum(similarities[i][j] * sum((a - b) ** 2 for a, b in zip(embedding[i], embedding[j], strict=True)) for i, j in pairs) / 2


def examine_pull_gradient(answer):
    """Against slopes measured by nudging; the penalty is a polynomial of degree 2, so they are exact but for rounding."""
    generator = np.random.default_rng(17)

    def look(n, width):
        embedding, similarities = generator.standard_normal((n, width)), generator.uniform(0.1, 0.9, (n, n))
        similarities = (similarities + similarities.T) / 2
        np.fill_diagonal(similarities, 1.0)
        given = call(answer, embedding, similarities)
        found = array(given, embedding.shape, "the gradient", "it has the shape of the embedding.")
        slope = np.empty_like(embedding)
        for index in np.ndindex(embedding.shape):
            step = np.zeros_like(embedding)
            step[index] = 0.5
            slope[index] = _pull((embedding + step).tolist(), similarities) - _pull((embedding - step).tolist(), similarities)
        sums = similarities.sum(axis=1, keepdims=True)
        without = similarities - np.eye(n)
        mistakes = {
            "All zero: that is the gradient of the loss made of ids. Here the embedding occurs in the loss.": 0 * slope,
            "The sign: it pushes words apart. The slope of |e_i - e_j|^2 / 2 with respect to e_i is e_i - e_j.": -slope,
            "Twice what was asked for: each pair counts once, and the half takes the 2 of the square away.": 2 * slope,
            "Half of what was asked for: the square brings a 2, which the half in front takes away.": slope / 2,
            "Only the share of the others, S E. What does e_i itself do? It occurs in each of its pairs.": similarities @ embedding,
            "That is minus the share of the others, S E. e_i itself occurs in each of its pairs, too.": -similarities @ embedding,
            "Only e_i's own share; that of the others, S E, is missing: e_i is pulled to 0, not to them.": sums * embedding,
            "The diagonal stands in one of your two sums and not in the other: the pair (i, i) must cancel.": [
                (sums - 1) * embedding - similarities @ embedding,
                sums * embedding - without @ embedding,
            ],
            "You subtract a mean of the others, each row divided by its sum. Asked for was the plain sum of S_ij (e_i - e_j).": (
                embedding - similarities @ embedding / sums
            ),
            "You count each pair for its first word only; it pulls on both.": [
                one.sum(axis=1, keepdims=True) * embedding - one @ embedding for one in (np.triu(similarities), np.tril(similarities))
            ],
            "All your pairs weigh the same: S_ij is missing.": n * embedding - embedding.sum(axis=0),
            "That is a mean over the words; the sum over all j was asked for.": slope / n,
        }
        return worst("the gradient", found, slope), found, slope, mistakes

    told_apart(look, ((5, 3), (2, 1), (3, 7)), matches, "For each word i: the sum over all j of S_ij (e_i - e_j).")


# A control


def dealt_out(similarities, order):
    """Reference: word i gets what word order[i] had, towards all others."""
    return similarities[np.ix_(order, order)]


def examine_dealt_out(answer):
    """Against loops; on orders that are not their own inverse, and on one word alone."""
    generator = np.random.default_rng(31)

    def look(n):
        similarities = generator.uniform(0.1, 0.9, (n, n))
        similarities = (similarities + similarities.T) / 2
        np.fill_diagonal(similarities, 1.0)
        order = _cycle(generator, n)
        why = "one row and one column for each word, as before."
        found = array(call(answer, similarities, order), similarities.shape, "the result", why)
        right = np.array([[similarities[order[i], order[j]] for j in range(n)] for i in range(n)])
        others = similarities[np.triu_indices(n, 1)]
        mistakes = {
            "As it came: every word still has its own features.": similarities,
            "You moved the rows only. A pair has two words: column j moves as row j does, or the result is no longer symmetric.": (
                similarities[order]
            ),
            "You moved the columns only. A pair has two words: row i moves as column i does, or the result is no longer symmetric.": (
                similarities[:, order]
            ),
            "Dealt the other way round: word order[i] got what was word i's. Word i gets what was word order[i]'s.": (
                similarities[np.ix_(np.argsort(order), np.argsort(order))]
            ),
            "That is the other control, one number for all pairs. Here every number stays, and goes to another pair.": (
                [np.full((n, n), others.mean()), _with_ones(others.mean(), n)] if n > 1 else None
            ),
            "You dealt twice: by order, and by order once more.": similarities[np.ix_(order[order], order[order])],
            "Your rows are dealt out one way and your columns the other way.": similarities[np.ix_(order, np.argsort(order))],
        }
        jumbled = np.allclose(np.sort(found, axis=None), np.sort(similarities, axis=None)) and not np.allclose(found, found.T)
        mistakes["The numbers are those, but the pair (i, j) no longer has the number of (j, i): deal out words, not entries."] = (
            (found if jumbled else found + 1) if n > 1 else None
        )
        return worst("the result", found, right), found, right, mistakes

    told_apart(look, ((5,), (1,), (8,)), matches, "Entry [i, j] is what the pair of words order[i], order[j] had.")


def _cycle(generator, n):
    """An order in which no word keeps its place, and which is not its own inverse."""
    ring = generator.permutation(n)
    order = np.empty(n, dtype=np.intp)
    order[ring] = np.roll(ring, 1)
    return order


def _with_ones(value, n):
    table = np.full((n, n), value)
    np.fill_diagonal(table, 1.0)
    return table


EXERCISES = {
    "14.1": Exercise(None, examine_bets, bet=True),
    "14.2": Exercise(feature_likeness, examine_feature_likeness, form=as_number),
    "14.3": Exercise(pull_gradient, examine_pull_gradient, form=as_array),
    "14.4": Exercise(dealt_out, examine_dealt_out, form=as_array),
}
