"""The same bytes twice, and the same words on other processors."""

import os
import subprocess
import sys

import nbformat
import pytest
from notebooks.books import NAMES, ROOT, read, texts

# Processors as OpenBLAS and NumPy know them. Only x86 has these names; elsewhere they change nothing.
MACHINES = {
    "an old processor on one thread": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_NUM_THREADS": "1",
    },
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "without NumPy's vector code": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
    "one thread": {"OPENBLAS_NUM_THREADS": "1"},
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
}


def execute(name, folder, **environment):
    command = [sys.executable, "-W", "ignore", "tools/execute_notebooks.py", "--out", str(folder), name]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True, capture_output=True, text=True)
    return folder / f"{name}.ipynb"


@pytest.mark.parametrize("name", NAMES)
class TestTwice:
    def test_two_executions_give_the_same_bytes(self, name, tmp_path):
        assert execute(name, tmp_path / "a").read_bytes() == execute(name, tmp_path / "b").read_bytes()


def _machines(*names):
    return [pytest.param(name, id=name.replace(" ", "-")) for name in names]


@pytest.mark.parametrize("machine", _machines("an old processor on one thread"))
class TestOldMachine:
    @pytest.mark.parametrize("name", NAMES)
    def test_it_prints_what_is_stored(self, name, machine, tmp_path):
        executed = nbformat.read(execute(name, tmp_path, **MACHINES[machine]), as_version=4)
        assert texts(executed) == texts(read(name))


@pytest.mark.slow
@pytest.mark.parametrize("machine", _machines(*list(MACHINES)[1:]))
class TestOtherMachines:
    @pytest.mark.parametrize("name", NAMES)
    def test_it_prints_what_is_stored(self, name, machine, tmp_path):
        executed = nbformat.read(execute(name, tmp_path, **MACHINES[machine]), as_version=4)
        assert texts(executed) == texts(read(name))
