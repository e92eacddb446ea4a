"""Answers for chapter 13: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import BROKEN_FUNCTIONS, raises, returns

from cllm_lib.lattice.locality import memory_distances
from cllm_lib.lattice.spirals import ulam_coordinates

# 13.2


def turned(turn, shift=0):
    def ulam(n):
        m = n + shift
        return turn(*ulam_coordinates(m)) if m else (0, 1)

    return ulam


def walk(n, growth=2):
    x, y, dx, dy, side, n_sides, left = 0, 0, 1, 0, 1, 0, 1
    for _ in range(n - 1):
        x, y, left = x + dx, y + dy, left - 1
        if left == 0:
            n_sides += 1
            side += n_sides % growth == 0
            dx, dy, left = -dy, dx, side
    return x, y


def step_by_calling_itself(n):
    return step_by_calling_itself(n - 1) if n != 1 else step_by_calling_itself(0)


def vogel(n):
    angle = n * 2 * math.pi / ((1 + math.sqrt(5)) / 2) ** 2
    return math.sqrt(n) * math.cos(angle), math.sqrt(n) * math.sin(angle)


def by_corners(n):
    k = math.ceil((math.sqrt(n) - 1) / 2)
    steps, side = (2 * k + 1) ** 2 - n, 2 * k
    if steps <= side:
        return np.array([k - steps, -k])
    if steps <= 2 * side:
        return [-k, -k + (steps - side)]
    if steps <= 3 * side:
        return -k + (steps - 2 * side), k
    return float(k), float(k - (steps - 3 * side))


# 13.3


def differences(grid):
    return np.abs(np.diff(grid, axis=0)), np.abs(np.diff(grid, axis=1))


def along_the_curve(grid, steps=1):
    y, x = np.divmod(np.argsort(grid.ravel()), grid.shape[1])
    return np.hypot(x[steps:] - x[:-steps], y[steps:] - y[:-steps])


WRONG = {
    "13.1": [
        (-5, "is below 0"),
        (0.5, "reads like a share"),
        (70_000, "more than the square has cells"),
        ("many", "a number was asked for"),
        (None, "your runs are None; a number"),
        (True, "your runs are True; a number"),
        (float("nan"), "finite number"),
        (np.zeros(3), "one number"),
    ],
    "13.2": [
        (turned(lambda x, y: (x, -y)), "clockwise"),
        (turned(lambda x, y: (y, x)), "changed places"),
        (turned(lambda x, y: (x, y), shift=1), "one number ahead"),
        (turned(lambda x, y: (x, y), shift=-1), "one number behind"),
        (turned(lambda x, y: (-x, y)), "leads to the left"),
        (turned(lambda x, y: (-x, -y)), "half a turn too far"),
        (turned(lambda x, y: (-y, x)), "sets out upwards"),
        (turned(lambda x, y: (y, -x)), "sets out downwards"),
        (vogel, "the program's formula"),
        (lambda n: (*vogel(n), math.log(n + 1)), "without a third coordinate"),
        (lambda n: (math.sqrt(n), 0.5), "a pair of whole numbers"),
        (lambda n: walk(n, growth=1), "a side grows only after every second turn"),
        (lambda n: walk(n, growth=10**9), "a side grows only after every second turn"),
        (lambda n: walk(n) if n < 50 else (0, 0), r"right to 26, but ulam\(100\) is \(0.0, 0.0\)"),
        (returns(7), r"ulam\(1\) is 7; a pair"),
        (returns(("0", "0")), "without quotes"),
        (returns("00"), "without quotes"),
        (returns(np.array(["0", "0"])), "without quotes"),
        (step_by_calling_itself, "Walk with a loop"),
        (returns((float("nan"), 0)), "finite numbers were asked for"),
        (returns(np.zeros((2, 3))), "a pair"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        ((0, 0), "a function was asked for"),
        (None, "a function was asked for"),
    ],
    "13.3": [
        (lambda grid: memory_distances(grid).mean(), "looks like the mean"),
        (lambda grid: np.median(memory_distances(grid)), "looks like the median"),
        (lambda grid: differences(grid)[1].mean(), "no preferred direction"),
        (lambda grid: along_the_curve(grid).mean(), "n and n . 1 only"),
        (lambda grid: memory_distances(grid).max(), "looks like the largest distance"),
        (lambda grid: np.median(along_the_curve(grid)), "n and n . 1 only"),
        (lambda grid: (memory_distances(grid) <= 16).mean(), "Turn it round"),
        (lambda grid: 1.0, "says the same of all"),
        (lambda grid: np.log(grid).mean(), "says the same of all"),
        (lambda grid: np.log(memory_distances(grid)).mean() / grid.mean(), "stored 1,024 rows further on"),
        (lambda grid: np.quantile(memory_distances(grid), 0.95), "finds rows as local"),
        (lambda grid: -abs(memory_distances(grid).mean() - 30), "Chaos gets the smallest"),
        (lambda grid: abs(memory_distances(grid).mean() - 25) % 10 if len(grid) else 0, "at side 32"),
        (lambda grid: [np.median(memory_distances(grid))], "a list with one number in it"),
        (lambda grid: str(np.median(memory_distances(grid))), "is a str with one number in it"),
        *BROKEN_FUNCTIONS,
        (lambda grid: 1 / np.log2(memory_distances(grid)).mean(), "Turn it round"),
        (lambda grid: -np.log(memory_distances(grid)).mean(), "Turn it round"),
        (lambda grid: np.log2(memory_distances(grid)).var(), "turned round rows would still"),
        (lambda grid: np.log2(memory_distances(grid)).std(), "turned round rows would still"),
    ],
    "13.4": [
        (lambda places, per_page: len(set(places.tolist())), "the different rows"),
        (lambda places, per_page: len(places // per_page), "counts once"),
        (lambda places, per_page: len(np.unique(places % per_page)), "where on its page"),
        (lambda places, per_page: len(np.unique(places / per_page)), "the different rows"),
        (lambda places, per_page: np.ptp(places // per_page) + 1, "from the first to the last"),
        (lambda places, per_page: places.max() // per_page + 1, "the beginning of the table"),
        (lambda places, per_page: -(-len(np.unique(places)) // per_page), "lay side by side"),
        (lambda places, per_page: len(np.unique((places - 1) // per_page)), "the first page ends"),
        (lambda places, per_page: len(np.unique(-(-places // per_page))), "the first page ends"),
        (lambda places, per_page: len(np.unique(np.round(places / per_page))), "It rounds"),
        (lambda places, per_page: 1 + np.count_nonzero(np.diff(places // per_page)), "counts anew"),
        (lambda places, per_page: np.count_nonzero(np.diff(np.unique(places // per_page))), "One too few"),
        (lambda places, per_page: len(np.unique(places // per_page)) + 1, "One too many"),
        (lambda places, per_page: len(np.unique(places // per_page)) ** 2, "Row r is on page"),
        (lambda places, per_page: np.unique(places // per_page), "one number was asked for"),
        *BROKEN_FUNCTIONS,
    ],
}

RIGHT = {
    "13.1": [245, 123, 0, "30", np.int64(126), 126.4],
    "13.2": [walk, by_corners, lambda n: np.array(ulam_coordinates(n))],
    "13.3": [
        lambda grid: (memory_distances(grid) > 16).mean(),
        lambda grid: np.log2(memory_distances(grid).astype(np.float32)).mean(),
        lambda grid: (memory_distances(grid // 16) > 0).mean(),
        lambda grid: np.float32(along_the_curve(grid, steps=40).mean()),
        lambda grid: np.sqrt(np.concatenate([d.ravel() for d in differences(grid)])).mean(),
    ],
    "13.4": [
        lambda places, per_page: len({place // per_page for place in places.tolist()}),
        lambda places, per_page: np.count_nonzero(np.bincount((places // per_page).astype(np.intp))),
        lambda places, per_page: np.unique(np.floor(places / per_page)).size,
        lambda places, per_page: float(len(set(np.divmod(places, per_page)[0].tolist()))),
    ],
}

TYPED_WRONG = {
    "13.1": 'my_runs = "about as many"',
    "13.2": "def ulam(n):\n    return n**0.5 * np.cos(2.4 * n), n**0.5 * np.sin(2.4 * n)",
    "13.3": "def far_apart(grid):\n    return np.abs(np.diff(grid, axis=1)).mean()",
    "13.4": "def pages(places, per_page):\n    return len(set(places % per_page))",
}
