import statistics
import subprocess
import sys
import time

LIGHT = "from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus"


def seconds(statement):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def test_importing_the_library_loads_nothing_heavy():
    heavy = ("matplotlib", "sympy", "ipywidgets", "IPython", "tqdm", "autograd")
    program = f"import sys; {LIGHT}; print(sorted(set({heavy}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"


def test_importing_the_library_takes_little_longer_than_numpy():
    """A ratio of two programs run alternately, start of Python taken off, median of ten."""
    seconds(LIGHT)  # writes the bytecode
    samples = [(seconds("pass"), seconds("import numpy"), seconds(LIGHT)) for _ in range(10)]
    empty, numpy, library = (statistics.median(column) for column in zip(*samples, strict=True))
    assert (library - empty) < 1.5 * (numpy - empty)
