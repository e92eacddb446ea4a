"""Whether LLL makes an embedding faster to use: `python -m benchmarks.reduced`.

The claim: "LLL reduction (2-4x speedup)", document 003. The rows of the 64 commonest words of a trained embedding, rounded to
8 bits, are a basis of a lattice; the reduced basis has as many rows, as wide. Look-ups and dot products with both are timed
in paired rounds. Some seconds; writes evidence/measured/reduced.json.
"""

import json
import time

import numpy as np

from benchmarks.compare import ratio, seconds_of
from benchmarks.run import describe_machine, say
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.files import shipped, write_atomically
from cllm_lib.lattice.lll import lll_reduce
from cllm_lib.lattice.quality import orthogonality_defect

COMMAND = "python -m benchmarks.reduced"
WIDTH, BITS, EPOCHS = 64, 8, 5
QUERIES, LOOK_UPS = 4096, 50_000
ROUNDS, STEPS = 15, 5


def trained_rows(width=WIDTH, epochs=EPOCHS):  # -> (width, width)
    """Rows of the commonest words after a short training, as integers of 8 bits."""
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=width, n_layers=1, d_ff=2 * width), seed=0)
    Trainer(model, corpus).fit(epochs=epochs)
    rows = model.parameters["embedding"][1 : width + 1]  # after "<unk>", which the text has not
    return np.rint(rows * (2 ** (BITS - 1) - 1) / np.abs(rows).max()).astype(np.int64)


def uses(rows):
    """What a model does with an embedding, as something to call."""
    table = rows.astype(np.float32)
    generator = np.random.default_rng(0)
    queries = generator.standard_normal((QUERIES, table.shape[1]), dtype=np.float32)
    ids = generator.integers(0, len(table), LOOK_UPS).astype(np.intp)
    scores, fetched = np.empty((QUERIES, len(table)), np.float32), np.empty((LOOK_UPS, table.shape[1]), np.float32)
    return {
        "dot products": lambda: np.matmul(queries, table.T, out=scores),
        "look-ups": lambda: np.take(table, ids, axis=0, out=fetched, mode="clip"),
    }


def measure(rows=None, rounds=ROUNDS, steps=STEPS):
    """Both uses, with the rows as they are and reduced.

    Returns
    -------
    dict
    """
    rows = trained_rows() if rows is None else rows
    started = time.perf_counter()
    reduced = lll_reduce(rows)[0]
    seconds = time.perf_counter() - started
    before, after = uses(rows), uses(reduced)
    found = []
    for work in before:
        times = [[], []]
        for _ in range(rounds):
            for side, use in zip(times, (after[work], before[work]), strict=True):
                side.append(seconds_of(use, steps))
        against = ratio(*times)
        found.append({"work": work, "ratio": against.value, "low": against.low, "high": against.high})
    shapes = dict(zip(("rows", "width", "reduced rows", "reduced width"), (*rows.shape, *reduced.shape), strict=True))
    defects = {"defect": float(orthogonality_defect(rows)), "reduced defect": float(orthogonality_defect(reduced))}
    return shapes | defects | {"seconds of reduction": seconds, "measurements": found}


def numbers():
    """Everything that is kept."""
    return {"command": COMMAND, "machine": describe_machine(), "rounds": ROUNDS} | measure()


def main():
    """Measure, say it, and write it down."""
    found = numbers()
    write_atomically(shipped("evidence", "measured/reduced.json"), (json.dumps(found, indent=1) + "\n").encode("utf-8"))
    say(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
