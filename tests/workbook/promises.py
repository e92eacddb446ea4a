"""Where several answers are right: what one of them has to keep, on inputs that no check has, by another road than the check's.

Tests ask this of a slip that passes. A reader may have written it as well; is it right, or did it leak?
"""

import itertools
import math
import threading

import numpy as np
import sympy

from cllm_lib.lattice.locality import curve_grid
from cllm_lib.workbook.exercises.arguments import TRIALS

SEEDS = range(2_000, 2_020)


def initialises(answer):
    """Whether it fills the arrays given with weights about 0 of the spread asked for, gains of 1 and biases of 0."""
    shapes = {"embedding": (200, 70), "a.key_weight": (50, 300), "b.gain": (7,), "b.bias": (9,), "a.key_bias": (3,)}
    wanted = {"embedding": 0.02, "a.key_weight": 50**-0.5}
    for seed in SEEDS[:5]:
        arrays = {name: np.full(shape, 5.0) for name, shape in shapes.items()}
        answer(dict(arrays), np.random.default_rng(seed))
        if any((arrays[name] != value).any() for name, value in (("b.gain", 1), ("b.bias", 0), ("a.key_bias", 0))):
            return False
        for name, spread in wanted.items():
            if abs(arrays[name].mean()) > 0.05 * spread or abs(arrays[name].std() / spread - 1) > 0.05:
                return False
    return True


def builds_once(answer):
    """Whether it builds at the first touch and never again, whoever touches; whatever the value is."""
    for value in (None, 0, [1, 2], "text"):
        built = []
        get = answer(lambda value=value, built=built: built.append(None) or value)
        touches = []
        threads = [threading.Thread(target=lambda get=get, touches=touches: touches.append(get())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(built) != 1 or len(touches) != 6 or any(touch is not value for touch in touches):
            return False
    return True


def keeps_the_promises(answer):
    """Whether a measure of locality puts chaos last and Hilbert first, and turned or moved tables say the same."""
    for side, seed in itertools.product((32, 64), SEEDS[:3]):
        rows, hilbert = curve_grid("row_major", side), curve_grid("hilbert", side)
        snake = np.array([row[:: 1 - 2 * (y % 2)] for y, row in enumerate(rows)])
        chaos = np.random.default_rng(seed).permutation(side * side).reshape(side, side) + 1
        values = [float(answer(grid)) for grid in (hilbert, rows, snake, chaos)]
        if not (values[3] > max(values[:3]) and values[0] < min(values[1:3])):
            return False
        for other in (hilbert.T, hilbert[::-1], np.rot90(hilbert, 3), hilbert + 1024):
            if not math.isclose(float(answer(np.ascontiguousarray(other))), values[0], rel_tol=1e-9, abs_tol=1e-9):
                return False
    return True


def makes_a_step(answer):
    """Whether a step of LLL leaves the same lattice and a small row, and goes where Lovasz's condition sends it."""
    for seed in SEEDS:
        given = []
        result = TRIALS["16.3"](lambda *arguments, given=given: given.extend(arguments) or answer(*arguments), np.random.default_rng(seed))
        (basis, k, delta), (new, after) = given, result
        old, new = sympy.Matrix(basis.tolist()), sympy.Matrix(np.asarray(new, dtype=object).tolist())
        change = new * old.inv()
        if any(entry.q != 1 for entry in change) or abs(change.det()) != 1:
            return False
        swapped = after <= k
        rows = new.tolist()
        if swapped:
            rows[k - 1], rows[k] = rows[k], rows[k - 1]
        if any(rows[i] != old.tolist()[i] for i in range(len(rows)) if i != k):
            return False
        own, shares = _orthogonal(rows)
        if any(abs(shares[k][j]) > sympy.Rational(1, 2) for j in range(k)):
            return False
        holds = own[k].dot(own[k]) >= (sympy.Rational(delta) - shares[k][k - 1] ** 2) * own[k - 1].dot(own[k - 1])
        if int(after) != (k + 1 if holds else max(k - 1, 1)):
            return False
    return True


def _orthogonal(rows):
    """Gram and Schmidt's own parts of rows, and how much of earlier ones is in each, by SymPy's rationals."""
    own, shares = [], []
    for row in rows:
        row = sympy.Matrix([row])
        shares.append([row.dot(other) / other.dot(other) for other in own])
        own.append(row - sum((share * other for share, other in zip(shares[-1], own, strict=True)), sympy.zeros(1, row.cols)))
    return own, shares


PROMISES = {"02.3": initialises, "12.4": builds_once, "13.3": keeps_the_promises, "16.3": makes_a_step}
