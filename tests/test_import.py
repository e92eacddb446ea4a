import ast
import subprocess
import sys

LIGHT = "from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus"


def loaded_beside_numpy():
    """What the library loads that NumPy has not loaded already, its own modules left out."""
    program = f"import numpy, sys; before = set(sys.modules); {LIGHT}; print(sorted(set(sys.modules) - before))"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    return {name for name in ast.literal_eval(printed) if name.split(".")[0] != "cllm_lib"}


def test_importing_the_library_loads_little_but_numpy():
    """How long it takes depends on the machine; what is loaded does not. `make bench` has the time."""
    names = loaded_beside_numpy()
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
    assert len(names) < 25, names
