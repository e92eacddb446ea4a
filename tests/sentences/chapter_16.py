"""Rules of the chapter on lattice reduction."""

from fractions import Fraction

import numpy as np
from sentences.trials import fallen, rule

from cllm_lib.lattice import knapsack, lll_reduce, lll_steps, shortest_vector
from cllm_lib.workbook.exercises.chapter_16 import break_knapsack

TWENTY = range(20)


def random_lattice(n, seed, prime=10**12 + 39):
    """As the chapter makes one."""
    basis = np.eye(n, dtype=object)
    column = np.random.default_rng(seed).integers(1, prime, n - 1)
    basis[:, 0] = [prime, *column.tolist()]
    return basis


def length(vector):
    return float(vector @ vector) ** 0.5


# How short is short?


def twenty_lattices(seed):
    """First rows as shares of the shortest, in dimension 10; the chapter's own twenty are those of seed 0."""
    ratios = {"3/4": [], "0.99": []}
    for basis in (random_lattice(10, 20 * seed + i) for i in range(20)):
        shortest = length(shortest_vector(basis))
        for name, delta in (("3/4", Fraction(3, 4)), ("0.99", Fraction(99, 100))):
            ratios[name].append(length(lll_reduce(basis, delta)[0][0]) / shortest)
    return {name: {"hits": sum(ratio < 1.000001 for ratio in those), "worst": max(those)} for name, those in ratios.items()}


@rule("no first row is twice as long as the shortest at ¾", of=twenty_lattices)
def never_twice_as_long(found):
    return found["3/4"]["worst"] < 2


@rule("and none is longer by a quarter at 0.99", of=twenty_lattices)
def never_longer_by_a_quarter(found):
    return found["0.99"]["worst"] < 1.25


@rule("it is in about half of them at ¾, and in nine of ten at 0.99", of=twenty_lattices, together=True)
def how_often_it_is_the_shortest(twenties):
    shares = {name: sum(one[name]["hits"] for one in twenties) / (20 * len(twenties)) for name in ("3/4", "0.99")}
    return 0.4 < shares["3/4"] < 0.6 and 0.85 <= shares["0.99"] < 0.95


@fallen(
    "By twenties, the shortest was found 6 to 13 times, and 17 to 20 times",
    of=twenty_lattices,
    seeds=range(20, 30),
    together=True,
    instead="Twenties differ much",
)
def how_often_by_twenties(twenties):
    return all(6 <= one["3/4"]["hits"] <= 13 and 17 <= one["0.99"]["hits"] <= 20 for one in twenties)


def twenty_rows(seed):
    """Swaps and first rows in dimension 20."""
    found = {}
    for name, delta in (("3/4", 0.75), ("0.99", 0.99)):
        steps = list(lll_steps(random_lattice(20, seed), delta))
        found[name] = {"swaps": sum(step.kind == "swap" for step in steps), "first row": length(steps[-1].basis[0])}
    return found


@rule("and about twice as many on other such lattices", of=twenty_rows)
def twice_as_many_swaps(found):
    return 1.5 <= found["0.99"]["swaps"] / found["3/4"]["swaps"] < 2.5


@fallen(
    "1.7 to 2.2 times on ten such lattices",
    of=twenty_rows,
    seeds=range(20, 30),
    together=True,
    instead="about twice as many on other such lattices",
)
def swaps_in_a_range(lattices):
    return all(1.65 <= found["0.99"]["swaps"] / found["3/4"]["swaps"] < 2.25 for found in lattices)


@rule("and its first row is shorter than with ¾, or just as long", of=twenty_rows)
def no_longer_first_row(found):
    return found["0.99"]["first row"] <= found["3/4"]["first row"]


# The lock of 1978


def lock(seed):
    """Whether LLL opens it."""
    public, total, secret = knapsack(18, 60, seed=seed)
    return break_knapsack(public, total) == secret


@rule("twenty of this size were tried, seeds 0 to 19, and all opened", of=lock, seeds=TWENTY, together=True)
def all_open(opened):
    return all(opened)
