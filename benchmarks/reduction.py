"""How fast LLL is, beside SymPy's in pure Python and FLINT's in C: `python -m benchmarks.reduction`, or with `make bench`.

Writes REDUCTION.md, in a few minutes. All contestants have one thread, and return the reduced basis and the transform. FLINT
is measured where python-flint is installed; nothing else here needs it.
"""

import os
import random

import numpy as np

from benchmarks.compare import Missing, Worker, alternate, ratio
from benchmarks.lattice import Call
from benchmarks.run import describe_machine, describe_settings, say, table, two_digits
from cllm_lib.files import shipped, write_atomically
from cllm_lib.lattice.integers import is_unimodular
from cllm_lib.lattice.lll import lll_reduce

PAGE = shipped("evidence", "pages/REDUCTION.md")
SEED = 1
OURS, UNPROVED, SYMPY, FLINT = "LLL", "LLL, without the proof", "SymPy, pure Python", "python-flint"


def random_basis(n, bits):
    """Rows of random integers: nearly reduced as they are."""
    rng = random.Random(SEED)
    return [[rng.randrange(-(2**bits), 2**bits) for _ in range(n)] for _ in range(n)]


def knapsack_basis(n, bits):
    """The identity with a column of random integers behind it: far from reduced."""
    rng = random.Random(SEED)
    return [[int(i == j) for j in range(n)] + [rng.randrange(2**bits)] for i in range(n)]


def ntru_basis(n, q):
    """[[I, H], [0, q I]], H a random circulant matrix modulo q, as in the attacks on NTRU; 2 n rows."""
    rng = random.Random(SEED)
    h = [rng.randrange(q) for _ in range(n)]
    top = [[int(i == j) for j in range(n)] + [h[(j - i) % n] for j in range(n)] for i in range(n)]
    return top + [[0] * n + [q * int(i == j) for j in range(n)] for i in range(n)]


BASES = {
    "32 x 32, random, 20 bits": (random_basis, 32, 20),
    "80 x 80, random, 20 bits": (random_basis, 80, 20),
    "24 x 25, knapsack, 40 bits": (knapsack_basis, 24, 40),
    "40 x 41, knapsack, 80 bits": (knapsack_basis, 40, 80),
    "32 x 32, NTRU, q = 12,289": (ntru_basis, 16, 12_289),
    "64 x 64, NTRU, q = 12,289": (ntru_basis, 32, 12_289),
}
LONG_BASES = {
    "20 x 20, random, 600 bits": (random_basis, 20, 600),
    "20 x 21, knapsack, 600 bits": (knapsack_basis, 20, 600),
    "50 x 50, random, 1,000 bits": (random_basis, 50, 1_000),
    "50 x 51, knapsack, 1,000 bits": (knapsack_basis, 50, 1_000),
}
TARGET, LONG_TARGET = "32 x 32, random, 20 bits", "20 x 20, random, 600 bits"
PAIRS = [(OURS, SYMPY, 1 / 20), (OURS, FLINT, 25.0), (UNPROVED, FLINT, 12.0)]
LONG_PAIRS = [(OURS, FLINT, 15.0)]
LARGEST_FOR_SYMPY = 32  # more rows take it a minute
TURNS = dict(rounds=8, steps=3)
LONG_TURNS = dict(rounds=5, steps=1)


class Reduction(Call):
    """A call that returns a reduced basis and a transform, in matrices of its own kind: turning them into arrays is not timed."""

    def answer(self):
        """Both, as arrays of Python integers."""
        return [_integers(result) for result in self.step()]


def ours(basis):
    """Ours, proved."""
    return Reduction(lambda: lll_reduce(basis))


def unproved(basis):
    """Ours, as floating point leaves it."""
    return Reduction(lambda: lll_reduce(basis, certified=False))


def sympy_lll(basis):
    """SymPy's, on integers of Python."""
    os.environ["SYMPY_GROUND_TYPES"] = "python"  # read when SymPy is imported, in this process
    from sympy import ZZ
    from sympy.polys.matrices import DomainMatrix

    matrix = DomainMatrix.from_list([[ZZ(x) for x in row] for row in basis], ZZ)
    return Reduction(matrix.lll_transform)


def flint_lll(basis):
    """FLINT's, in C."""
    from flint import fmpz_mat

    return Reduction(lambda: fmpz_mat(basis).lll(transform=True, delta=0.75))


BUILDERS = {OURS: ours, UNPROVED: unproved, SYMPY: sympy_lll, FLINT: flint_lll}


def _integers(matrix):
    rows = matrix.to_list() if hasattr(matrix, "to_list") else matrix.tolist()
    return np.array([[int(x) for x in row] for row in rows], dtype=object)


def agree(basis, answer):
    """Whether an answer is of the same lattice, with a first row that LLL's bound allows."""
    reduced, transform = answer
    same = is_unimodular(transform) and (transform @ np.array(basis, dtype=object) == reduced).all()
    expected = lll_reduce(basis)[0][0]
    return bool(same and reduced[0] @ reduced[0] <= 2 ** (len(basis) - 1) * (expected @ expected))


def measure(title):
    """Rows of the table: each pair's times and ratio for one basis."""
    is_long = title in LONG_BASES
    build, *sizes = LONG_BASES[title] if is_long else BASES[title]
    basis, pairs = build(*sizes), LONG_PAIRS if is_long else PAIRS
    names = [name for name in BUILDERS if any(name in pair for pair in pairs) and (name != SYMPY or len(basis) <= LARGEST_FOR_SYMPY)]
    workers = {name: Worker(BUILDERS[name], basis) for name in names}
    for name, worker in workers.items():
        if worker.missing is None and not agree(basis, worker.call("answer")):
            raise SystemExit(f"{name} reduces {title} to another lattice: nothing to compare")
    times = alternate(workers, **(LONG_TURNS if is_long else TURNS))
    for worker in workers.values():
        worker.close()
    return [row(title, work, peer, ratio(times[work], times[peer]), target) for work, peer, target in pairs if peer in times]


def row(title, work, peer, result, target):
    """One line of a table; a ratio is to be reached for one basis of each table only."""
    if isinstance(result, Missing):
        return [title, work, peer, "", "", result.reason, "", ""]
    times = [f"{1e3 * result.ours:.2f}", f"{1e3 * result.peer:.2f}"]
    goal = [two_digits(target), "reached" if result.value <= target else "not reached"] if title in (TARGET, LONG_TARGET) else ["", ""]
    return [title, work, peer, *times, two_digits(result.value), *goal]


HEADER = ["basis", "work", "peer", "ours, ms", "peer, ms", "ratio", "to reach", ""]


def page(conditions, rows):
    """The whole of REDUCTION.md."""
    how = (
        "Written by `python -m benchmarks.reduction`, also with `make bench`. Every result was checked to be of the same lattice. Each "
        "contestant runs in a process of its own; they take turns, and a ratio is the median over the rounds. delta is 3/4. FLINT "
        "leaves what SymPy and we go on to prove: it allows coefficients of up to 0.51."
    )
    return "\n\n".join(["# LLL side by side", how, *conditions, "\n".join(table(HEADER, rows))]) + "\n"


def long_section(rows):
    """What REDUCTION.md has of entries beyond 500 bits, a table of their own."""
    how = "Squares of such entries pass the largest float64: lengths have exponents of their own there, and each basis fewer turns."
    return "\n\n".join(["\n## Entries of more than 500 bits", how, "\n".join(table(HEADER, rows))]) + "\n"


def main():
    """Measure, print and write the page."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the workers inherit it
    conditions = [describe_machine(), describe_settings(os.environ)]
    rows, long_rows = [], []
    for title in [*BASES, *LONG_BASES]:
        say(title)
        (long_rows if title in LONG_BASES else rows).extend(measure(title))
    text = page(conditions, rows) + long_section(long_rows)
    write_atomically(PAGE, text.encode("utf-8"))
    say(text)


if __name__ == "__main__":
    main()
