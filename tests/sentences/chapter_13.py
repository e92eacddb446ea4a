"""Rules of the chapter on what a curve keeps together. What is counted of primes is exact; a seed draws what they are held against."""

import functools

import numpy as np
from sentences.trials import rule

from cllm_lib.lattice import GRID_CURVES, curve_grid, locality_order, primes_below
from cllm_lib.workbook.exercises.chapter_13 import pages


@functools.cache
def square(side):
    """The paper, its numbers from 3 on, and the odd primes among them."""
    return curve_grid("ulam", side), np.arange(3, side**2 + 1, dtype=np.int64), primes_below(side**2 + 1)[1:]


def drawn(generator, side, without=(2,)):
    """As the chapter's: numbers that none of these factors divides, drawn as dense as primes."""
    _, numbers, _ = square(side)
    chance = 1 / np.log(numbers)
    for p in without:
        chance = np.where(numbers % p == 0, 0, chance * p / (p - 1))
    return numbers[generator.random(len(numbers)) < chance]


def drawn_evenly(generator, side):
    """As many odd numbers as there are odd primes, equally likely all over the square."""
    _, numbers, primes = square(side)
    return generator.choice(numbers[numbers % 2 == 1], len(primes), replace=False)


def runs(few, length, side):
    """As the chapter's: how many runs of so many of these numbers lie along a diagonal, either way."""
    lit, found = np.isin(square(side)[0], few), 0
    n = side - length + 1
    for page in (lit, lit[:, ::-1]):
        found += int(np.all([page[i : i + n, i : i + n] for i in range(length)], axis=0).sum())
    return found


def summary(found, primes):
    """What many draws had, beside the primes."""
    return {
        "primes": primes,
        "mean": float(np.mean(found)),
        "from": int(min(found)),
        "to": int(max(found)),
        "z": float((primes - np.mean(found)) / np.std(found)),
    }


# Streaks


def streaks(seed):
    """Pairs and runs of four in 200 draws of odd numbers."""
    generator, primes = np.random.default_rng(seed), square(256)[2]
    draws = [drawn(generator, 256) for _ in range(200)]
    return {str(length): summary([runs(draw, length, 256) for draw in draws], runs(primes, length, 256)) for length in (2, 4)}


@rule("In pairs the primes cannot be told from blind odd numbers", of=streaks)
def pairs_tell_nothing(found):
    return abs(found["2"]["z"]) < 2


@rule("Runs of four they have about twice as many as the mean draw", of=streaks)
def runs_are_twice_as_many(found):
    return 1.75 < found["4"]["primes"] / found["4"]["mean"] < 2.25


@rule("and more than any of two hundred", of=streaks)
def more_than_any_draw(found):
    return found["4"]["to"] < found["4"]["primes"]


def without_factors(seed):
    """Runs of four in a hundred draws each of numbers without some first factors."""
    generator, primes = np.random.default_rng(seed), square(256)[2]
    known = runs(primes, 4, 256)
    return {
        str(last): summary([runs(drawn(generator, 256, (2, *primes[primes <= last].tolist())), 4, 256) for _ in range(100)], known)
        for last in (2, 3, 37)
    }


@rule("Without the factor 3 most of the difference is gone", of=without_factors)
def most_of_it_is_the_factor_3(found):
    return found["3"]["mean"] - found["2"]["mean"] > (found["2"]["primes"] - found["2"]["mean"]) / 2


@rule("without all factors up to 37 blind draws have as many runs as the primes, as far as chance lets us see", of=without_factors)
def all_of_it_is_small_factors(found):
    return abs(found["37"]["z"]) < 1 and found["37"]["from"] < found["37"]["primes"] < found["37"]["to"]


def evenly(seed):
    """Pairs in draws without thinning out, on squares of three sizes."""
    generator, found = np.random.default_rng(seed), {}
    for side, count in {64: 200, 256: 100, 1024: 40}.items():
        pairs = [runs(drawn_evenly(generator, side), 2, side) for _ in range(count)]
        found[str(side)] = summary(pairs, runs(square(side)[2], 2, side))
    return found


@rule("odd numbers have fewer pairs than primes on average, and the larger the square, the less can chance explain it", of=evenly)
def evenly_drawn_there_are_fewer_pairs(found):
    z = [found[side]["z"] for side in ("64", "256", "1024")]
    return found["256"]["mean"] < found["256"]["primes"] and z == sorted(z)


# Who walks on the plane


def patches(seed):
    """The mean number of pages that a patch touches, with 256 rows on a page and with 64."""
    side, generator = 1024, np.random.default_rng(seed)
    x, y = generator.integers(0, side - 7, (2, 500, 1, 1), dtype=np.int64)
    dy, dx = np.indices((8, 8), dtype=np.int64)
    cells = ((y + dy) * side + x + dx).reshape(-1, 64)
    found = {}
    for curve in GRID_CURVES:
        place = np.argsort(locality_order(curve, side**2))
        found[curve] = [float(np.mean([pages(some, size) for some in place[cells]])) for size in (256, 64)]
    return found


@rule("a quarter of the pages, or less than half where rows are longer", of=patches)
def hilbert_and_morton_touch_few(found):
    shares = [[few / rows for few, rows in zip(found[curve], found["row_major"], strict=True)] for curve in ("hilbert", "morton")]
    return all(0.225 < short < 0.275 and long < 0.5 for short, long in shares)


@rule("Ulam's touches as many as plain rows", of=patches)
def ulam_touches_as_many_as_rows(found):
    return all(abs(ulam / rows - 1) < 0.03 for ulam, rows in zip(found["ulam"], found["row_major"], strict=True))
