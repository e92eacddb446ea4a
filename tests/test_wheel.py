"""The library as others get it: built, put where nothing else of the house is, and used from another folder."""

import os
import subprocess
import sys
import zipfile

import pytest
from notebooks.books import ROOT

pytestmark = pytest.mark.elsewhere


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that holds the wheel's files; what they need comes from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed, folder, *words):
    """What a command prints that finds the library in `installed` only."""
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_the_library_and_its_texts_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"cllm_lib"}
    assert {"cllm_lib/data/sayings.txt", "cllm_lib/data/prose.txt", "cllm_lib/evidence/table.csv"} <= set(names)
    assert not any("__pycache__" in name or name.endswith(".ipynb") for name in names)
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cllm_lib").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_it_is_the_one_that_is_imported_and_brings_its_texts(installed, tmp_path):
    sizes = ", ".join(f"len(cllm_lib.load_corpus({name!r}).tokens)" for name in ("sayings", "prose"))
    file, *sizes = run(installed, tmp_path, "-c", f"import cllm_lib; print(cllm_lib.__file__, {sizes})").split()
    assert file.startswith(str(installed))
    assert all(int(size) > 100 for size in sizes)


def test_it_trains_and_speaks_and_tells_what_is_wrong(installed, tmp_path):
    small = ["--d-model", "16", "--layers", "1", "--heads", "2", "--d-ff", "16", "--epochs", "1"]
    run(installed, tmp_path, "-m", "cllm_lib", "train", "--text", "sayings", "--save", "model.safetensors", *small)
    assert run(installed, tmp_path, "-m", "cllm_lib", "generate", "model.safetensors", "--prompt", "the sky is", "--tokens", "3").strip()
    assert run(installed, tmp_path, "-m", "cllm_lib", "diagnose", "model.safetensors").strip()
