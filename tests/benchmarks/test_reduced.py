import numpy as np

from benchmarks import reduced
from cllm_lib.claims import stored
from cllm_lib.lattice.lll import is_lll_reduced


def test_the_rows_are_integers_of_eight_bits_and_reducing_keeps_their_shape():
    rows = reduced.trained_rows(width=16, epochs=1)
    assert rows.dtype == np.int64
    assert np.abs(rows).max() == 127
    found = reduced.measure(rows, rounds=2, steps=1)
    assert (found["rows"], found["width"]) == (found["reduced rows"], found["reduced width"]) == rows.shape
    assert is_lll_reduced(reduced.lll_reduce(rows)[0])


def test_both_uses_do_what_they_say():
    rows = np.random.default_rng(0).integers(-9, 9, (4, 3))
    uses = reduced.uses(rows)
    assert uses["dot products"]().shape == (reduced.QUERIES, 4)
    assert {tuple(row) for row in uses["look-ups"]().tolist()} <= {tuple(map(float, row)) for row in rows.tolist()}


def test_what_is_stored_has_the_names_that_are_measured_and_says_how():
    kept, found = stored("reduced"), reduced.measure(np.eye(4, dtype=np.int64), rounds=2, steps=1)
    assert set(found) < set(kept)
    assert (kept["command"], kept["rounds"]) == (reduced.COMMAND, reduced.ROUNDS)
    assert [row["work"] for row in kept["measurements"]] == [row["work"] for row in found["measurements"]]
