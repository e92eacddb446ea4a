"""The library's own tests in a browser's Python: 32 bits, one thread, no BLAS, no SciPy. What CI runs of them takes minutes."""

import re

import pytest
from wasm.node import needs_pyodide, run_in_node

pytestmark = needs_pyodide

FILES = {
    "texts and training": "text/test_counts text/test_numbering text/test_ngrams text/test_subwords training/test_optimizers "
    "training/test_schedules training/test_divergence training/test_trainer",
    "the model": "model/test_products model/test_layers model/test_fast_layers model/test_generation",
    "the rest": "experiments/test_intervals lattice/test_primes lattice/test_integers lattice/test_similarity quantization/test_matrices "
    "instruments/test_batches instruments/test_slopes test_browser test_checks test_progress test_special",
}
LEFT_OUT = 0.25  # the largest share of tests that need what a browser lacks, as oracle or for themselves


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_units_pass_in_a_browsers_python(files):
    run = run_in_node("tests/wasm/run_tests.py", *(f"/book/tests/{name}.py" for name in files.split()))
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-4000:]
    passed, skipped = (int((re.findall(rf"(\d+) {word}", run.stdout) or [0])[-1]) for word in ("passed", "skipped"))
    assert passed > 0, run.stdout[-2000:]
    assert skipped <= LEFT_OUT * (passed + skipped), run.stdout[-4000:]
