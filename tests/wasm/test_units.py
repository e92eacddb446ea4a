"""The library's own tests in a browser's Python: 32 bits, one thread, no BLAS, no SciPy. What CI runs of them takes minutes."""

import re

import pytest
from wasm.node import needs_pyodide, run_in_node

pytestmark = needs_pyodide

FILES = {
    "text": ["tests/text/test_counts.py", "tests/text/test_numbering.py", "tests/text/test_ngrams.py", "tests/text/test_subwords.py"],
    "model": ["tests/model/test_products.py", "tests/model/test_layers.py", "tests/model/test_ends.py", "tests/model/test_generation.py"],
    "training": ["tests/training/test_optimizers.py", "tests/training/test_schedules.py", "tests/training/test_divergence.py"],
    "the rest": [
        "tests/experiments/test_intervals.py",
        "tests/lattice/test_primes.py",
        "tests/lattice/test_integers.py",
        "tests/lattice/test_similarity.py",
        "tests/quantization/test_matrices.py",
        "tests/instruments/test_batches.py",
        "tests/test_browser.py",
        "tests/test_checks.py",
        "tests/test_progress.py",
        "tests/test_special.py",
    ],
}
LEFT_OUT = 0.25  # the largest share of tests that need what a browser lacks, as oracle or for themselves


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_units_pass_in_a_browsers_python(files):
    run = run_in_node("tests/wasm/run_tests.py", *(f"/book/{name}" for name in files))
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-4000:]
    passed, skipped = (int((re.findall(rf"(\d+) {word}", run.stdout) or [0])[-1]) for word in ("passed", "skipped"))
    assert passed > 0, run.stdout[-2000:]
    assert skipped <= LEFT_OUT * (passed + skipped), run.stdout[-4000:]
