"""Exercises of 13_what_a_curve_keeps_together."""

import math
import operator
from itertools import pairwise

import numpy as np

from cllm_lib.lattice.locality import curve_grid, memory_distances
from cllm_lib.workbook.exercises.forms import as_integer, as_number, several
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, Unexplained, brief, call, close, compared, number, shown, told_apart

RUNS_OF_PRIMES = 245  # of four along a diagonal of Ulam's spiral, in a square of side 256


def runs_bet(answer):
    """A prediction: how many runs of four have odd numbers that were drawn blindly, as dense as the primes?"""
    if answer is None or isinstance(answer, bool):
        raise NotYet(f"your runs are {answer}; a number was asked for, such as 200.")
    value = number(answer, "your runs")
    if value < 0:
        raise NotYet(f"{value:g} is below 0, and runs are counted. Write a number from 0 on.")
    if 0 < value < 1:
        raise NotYet("that reads like a share of the primes' 245. How many runs are they?")
    if value > 65_536:
        raise NotYet(f"{value:,.0f} runs are more than the square has cells, 65,536.")
    return f"{value:,.0f}, where the primes have {RUNS_OF_PRIMES}. Two hundred draws will be counted."


# Ulam's spiral


def _walk(steps):
    """Places of 1, 2, 3, ..., walked: sides of 1, 1, 2, 2, 3, 3, ... steps, turning left after each."""
    x, y, dx, dy, side = 0, 0, 1, 0, 1
    places = [(0, 0)]
    while len(places) < steps:
        for _ in range(2):
            for _ in range(side):
                x, y = x + dx, y + dy
                places.append((x, y))
            dx, dy = -dy, dx
        side += 1
    return places[:steps]


def _vogel(n):
    angle = n * math.pi * (3 - math.sqrt(5))
    return math.sqrt(n) * math.cos(angle), math.sqrt(n) * math.sin(angle)


_TURNED = {
    "It turns the other way, clockwise. After the step to the right comes a step *up*.": lambda x, y: (x, -y),
    "x and y have changed places: the first step leads to the right, to (1, 0).": lambda x, y: (y, x),
    "The first step leads to the left; it should lead to the right.": lambda x, y: (-x, y),
    "It sets out to the left and turns counter-clockwise: half a turn too far. The first step leads to the right.": lambda x, y: (-x, -y),
    "It sets out upwards: a quarter of a turn too far. The first step leads to the right.": lambda x, y: (-y, x),
    "It sets out downwards. The first step leads to the right, the next one up.": lambda x, y: (y, -x),
}


def ulam(n):
    """Reference: walk, turning left after sides of 1, 1, 2, 2, 3, 3, ... steps."""
    x, y, dx, dy = 0, 0, 1, 0
    side, left, turns = 1, 1, 0
    for _ in range(n - 1):
        x, y, left = x + dx, y + dy, left - 1
        if left == 0:
            dx, dy, turns = -dy, dx, turns + 1
            side += turns % 2 == 0
            left = side
    return x, y


def examine_ulam(answer):
    """Against a walk, step by step, as far as the page goes."""
    right = _walk(1681)

    def look(numbers):
        seen = tuple(_place(_called(answer, n), f"ulam({n})") for n in numbers)
        wanted = tuple(right[n - 1] for n in numbers)
        if all(math.dist(place, _vogel(n)) < 0.01 for n, place in zip(numbers, seen, strict=True)):
            raise NotYet("that is the program's formula. Ulam wrote on squared paper: every place is a pair of whole numbers.")
        if any(x != int(x) or y != int(y) for x, y in seen):
            raise NotYet(f"ulam(2) is {seen[1]}; on squared paper every place is a pair of whole numbers.")
        n, place, asked = next(
            ((n, *pair) for n, *pair in zip(numbers, seen, wanted, strict=True) if pair[0] != pair[1]), (0, (0, 0), (0, 0))
        )
        mistakes = {reason: tuple(turn(x, y) for x, y in wanted) for reason, turn in _TURNED.items()}
        mistakes["It is one number ahead: ulam(1) is the origin, (0, 0)."] = tuple(right[n] for n in numbers)
        mistakes["It is one number behind: ulam(1) is the origin, and ulam(2) is (1, 0)."] = (seen[0], *right[: len(numbers) - 1])
        return f"ulam({n}) is ({place[0]:g}, {place[1]:g}), and ({asked[0]}, {asked[1]}) was asked for.", seen, wanted, mistakes

    hint = "One step to the right, one up, two to the left, two down: a side grows only after every second turn."
    try:
        told_apart(look, [(range(1, 27),)], operator.eq, hint)
    except Unexplained as reason:
        raise NotYet(str(reason)) from None  # a walk has many forms: what the solution's would be says less than the rule
    for n in (100, 101, 999, 1681):
        place = _place(_called(answer, n), f"ulam({n})")
        if place != right[n - 1]:
            raise Unexplained(f"right to 26, but ulam({n}) is {place}; {right[n - 1]} was asked for.")


def _called(answer, n):
    try:
        return call(answer, n)
    except NotYet as failure:
        if "RecursionError" not in str(failure):
            raise
        raise NotYet(f"ulam({n}) calls itself more often than Python allows, about a thousand times. Walk with a loop.") from None


def _place(result, what):
    """A pair of finite numbers."""
    if isinstance(result, str) or any(isinstance(value, str) for value in np.ravel(np.asarray(result, dtype=object))):
        raise NotYet(f"{what} is {brief(result)}; a pair (x, y) of numbers was asked for, without quotes.")
    try:
        place = tuple(np.asarray(value, dtype=float).item() for value in result)
    except (TypeError, ValueError):
        raise NotYet(f"{what} is {brief(result)}; a pair (x, y) was asked for.") from None
    if len(place) != 2:
        raise NotYet(f"{what} holds {len(place)} numbers; a pair (x, y) was asked for, without a third coordinate.")
    if not all(math.isfinite(value) for value in place):
        raise NotYet(f"{what} is {place}; finite numbers were asked for.")
    return place


# A measure of locality


def far_apart(grid):
    """Reference: the mean logarithm of the distance in memory between neighbours on the plane."""
    return float(np.log2(memory_distances(grid)).mean())


_SIDES = (32, 64)


def _snake(side):
    """Rows to and fro, as one ploughs a field: each number beside the one before it, and yet no closer to the row above."""
    grid = curve_grid("row_major", side)
    grid[1::2] = grid[1::2, ::-1]
    return grid


def examine_far_apart(answer):
    """No one formula is right. It has to be a number, the same however the page lies, and to know order from chaos."""
    generator = np.random.default_rng(20)
    for side in _SIDES:
        grids = {
            "Hilbert's curve": curve_grid("hilbert", side),
            "row by row": curve_grid("row_major", side),
            "rows to and fro": _snake(side),
            "a random order": generator.permutation(side * side).reshape(side, side) + 1,
        }
        values = {name: _measure(answer, grid, name) for name, grid in grids.items()}
        for name, grid in grids.items():
            for how, other in {"turned by 90 degrees": np.rot90(grid), "seen in a mirror": grid[:, ::-1]}.items():
                again = _measure(answer, np.ascontiguousarray(other), f"{name}, {how}")
                if not close(again, values[name], 1e-5):
                    raise NotYet(
                        f"{name} gives {shown(values[name])}, and {how} {shown(again)}. A plane has no preferred direction: do you "
                        "take neighbours side by side *and* one above the other, both in one way?"
                    )
        _compare(values, side, memory_distances(grids["Hilbert's curve"]))
        # a multiple of 16: who counts rows that share a line of 64 bytes looks at n // 16
        moved = _measure(answer, grids["Hilbert's curve"] + 1024, "Hilbert's curve from 1,025 on")
        if not close(moved, values["Hilbert's curve"], 1e-5):
            raise NotYet("the same table, stored 1,024 rows further on, gets another number. Only differences of numbers should count.")
    return "No one formula is right here; yours keeps the promises, and the page ranks the curves with it."


def _compare(values, side, distances):
    hilbert, rows, snake, chaos = values.values()
    seen = f"at side {side}: Hilbert's curve {shown(hilbert)}, row by row {shown(rows)}, to and fro {shown(snake)}, random {shown(chaos)}."
    if close(hilbert, rows, 1e-9) and close(hilbert, chaos, 1e-9):
        raise NotYet(f"{seen} It says the same of all, so it measures nothing about order.")
    if chaos < min(hilbert, rows, snake):
        if hilbert <= max(rows, snake):
            raise NotYet(f"{seen} Chaos gets the smallest, and turned round rows would still be more local than Hilbert's curve.")
        raise NotYet(f"{seen} Chaos gets the smallest: does a larger number mean *nearer*? Turn it round.")
    if chaos <= max(hilbert, rows, snake):
        raise NotYet(f"{seen} Chaos does not get the largest, so it does not measure how far neighbours are thrown apart.")
    if close(hilbert, np.median(distances)) and close(rows, (1 + side) / 2):
        raise NotYet(
            f"{seen} That looks like the median: half of all pairs are steps of the curve itself, and it sees nothing of the rest."
        )
    if close(hilbert, snake, 1e-9):
        raise NotYet(
            f"{seen} To and fro counts as Hilbert's: do you look at n and n + 1 only? Ask who lies *beside* a number on the plane."
        )
    if hilbert < min(rows, snake):
        return
    if close(hilbert, distances.mean()):
        raise NotYet(f"{seen} That looks like the mean: a few huge jumps of Hilbert's curve outweigh all small ones. What is *typical*?")
    if close(hilbert, distances.max()):
        raise NotYet(f"{seen} That looks like the largest distance: one jump decides. What do most neighbours do?")
    raise NotYet(f"{seen} It finds rows as local as Hilbert's curve. Which pairs make it so: most of them, or a few huge jumps?")


def _measure(answer, grid, what):
    result = call(answer, grid)
    value = number(result, f"far_apart of {what}")
    if np.ndim(result) or isinstance(result, str):
        raise NotYet(f"far_apart of {what} is a {type(result).__name__} with one number in it. Return the number itself.")
    return value


# Pages of memory


def pages(places, per_page):
    """Reference: how many pages hold the rows at some places."""
    return len(np.unique(np.asarray(places) // per_page))


_FETCHED = (  # places of rows, and how many rows are on a page
    ([0, 1, 2, 3, 4, 5], 4),
    ([3, 4, 11, 12, 3, 25], 4),
    ([17, 2, 18, 3, 19, 40, 16], 16),
    ([25, 26, 31, 32, 30, 38, 37, 47], 8),
    ([9, 9, 10, 30, 9], 10),
    ([100, 5, 101, 6, 102, 37], 32),
    ([54, 30, 39, 51, 75, 73, 57, 73, 57], 10),  # neither rounding nor pages of a row more or less gives another's count
)


def examine_pages(answer):
    """On a few rows each, against a set of pages built one by one."""

    def look(places, per_page):
        value = number(call(answer, np.array(places, dtype=np.int64), per_page), "the count")
        right = len({_page(place, per_page) for place in places})
        told = f"{compared('the count', value, right)} Rows {' '.join(map(str, places))}, {per_page} on a page."
        return told, value, right, _page_slips(places, per_page)

    told_apart(look, _FETCHED, close, "Row r is on page r // per_page, counted from 0. How many different pages is that?")


def _page(place, per_page):
    """Counted off, page by page."""
    page = 0
    while place >= per_page:
        place, page = place - per_page, page + 1
    return page


def _page_slips(places, per_page):
    on = [_page(place, per_page) for place in places]
    return {
        "Those are the different rows; some of them share a page. // cuts the fraction off, and / does not.": len(set(places)),
        "A page that holds several of them counts once: they come together.": len(places),
        "% tells where on its page a row stands. Which page is it?": len({place % per_page for place in places}),
        "Those are all pages from the first to the last; what lies between need not be touched.": max(on) - min(on) + 1,
        "Those are the pages from the beginning of the table on; only those that are touched count.": max(on) + 1,
        "So few could hold as many rows, if they lay side by side. Where do they lie?": -(-len(set(places)) // per_page),
        "Places count from 0: the first page ends with row per_page - 1, and the next begins with per_page.": len(
            {(place - 1) // per_page for place in places}
        ),
        "It rounds: the second half of a page counts as the next one. // cuts off.": len({round(place / per_page) for place in places}),
        "A page that is left and come back to counts anew. Count each once.": 1 + sum(a != b for a, b in pairwise(on)),
        "One too many.": len(set(on)) + 1,
        "One too few.": len(set(on)) - 1,
    }


EXERCISES = {
    "13.1": Exercise(None, runs_bet, bet=True),
    "13.2": Exercise(ulam, examine_ulam, form=several(as_integer, as_integer)),
    "13.3": Exercise(far_apart, examine_far_apart, form=as_number),
    "13.4": Exercise(pages, examine_pages, form=as_integer),
}
