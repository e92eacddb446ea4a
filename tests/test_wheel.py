"""The library as others get it: built, installed alone into an environment of its own, and used from another folder."""

import os
import re
import subprocess
import sys
import zipfile

import pytest
from environments import PIP, empty_environment, pip, plain
from notebooks.books import ROOT

import cllm_lib

pytestmark = pytest.mark.elsewhere

MOST_PACKAGES = 6


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Of an environment into which pip put the wheel, with what its metadata asks for, and nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    found = empty_environment(environment)
    pins = re.findall(r"^[\w.-]+==[^\\]+", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    (environment / "pins.txt").write_text("\n".join(pins), encoding="utf-8")  # without hashes, which would be asked of the wheel, too
    pip(found, "install", "-c", environment / "pins.txt", wheel)
    return found


def run(program, folder, *words):
    """What a program prints, in a folder where nothing of the house is."""
    done = subprocess.run([str(program), *words], cwd=folder, env=plain(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_the_library_and_its_texts_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"cllm_lib"}
    data = {f"cllm_lib/data/{name}" for name in ("sayings.txt", "prose.txt", "python-docs.txt", "stuck_pytorch.py")}
    assert data | {"cllm_lib/evidence/table.csv"} <= set(names)
    assert {f"cllm_lib/evidence/documents/00{i}.txt" for i in range(5)} <= set(names)
    assert not any("__pycache__" in name or name.endswith(".ipynb") for name in names)
    kinds = (".py", ".mjs", ".css")  # the last two are what panels have in the page
    modules = {path.relative_to(ROOT).as_posix() for kind in kinds for path in (ROOT / "cllm_lib").rglob(f"*{kind}")}
    assert modules == {name for name in names if name.endswith(kinds)} - data


def test_it_brings_few_packages(python, tmp_path):
    lines = run(python, tmp_path, "-m", "pip", "--disable-pip-version-check", "list", "--format", "freeze").split()
    packages = {line.split("==")[0].lower() for line in lines} - {"pip", "setuptools"}
    assert {"cllm-workbook", "numpy", "safetensors", "tqdm"} <= packages
    assert len(packages) <= MOST_PACKAGES, packages


def test_it_is_the_one_that_is_imported_and_brings_its_texts(python, tmp_path):
    sizes = ", ".join(f"len(cllm_lib.load_corpus({name!r}).tokens)" for name in ("sayings", "prose", "python-docs"))
    file, *sizes = run(python, tmp_path, "-c", f"import cllm_lib; print(cllm_lib.__file__, {sizes})").split()
    assert file.startswith(str(python.parents[1]))
    assert all(int(size) > 100 for size in sizes)


def test_its_command_trains_and_speaks_and_tells_what_is_wrong(python, tmp_path):
    cllm = python.with_name("cllm.exe" if os.name == "nt" else "cllm")
    assert run(cllm, tmp_path, "--version") == f"cllm-workbook {cllm_lib.__version__}\n"
    small = ["--d-model", "16", "--layers", "1", "--heads", "2", "--d-ff", "16", "--epochs", "1"]
    assert "let it speak: cllm generate" in run(cllm, tmp_path, "train", "--text", "sayings", "--save", "model.safetensors", *small)
    run(cllm, tmp_path, "resume", "model.safetensors", "--epochs", "1", "--quiet")
    assert run(cllm, tmp_path, "generate", "model.safetensors", "--prompt", "the sky is", "--tokens", "3").strip()
    assert run(cllm, tmp_path, "diagnose", "model.safetensors").strip()


def test_what_the_notebooks_need_besides_is_named(python, tmp_path):
    done = subprocess.run(
        [python, "-c", "from cllm_lib.workbook.widgets import training_dashboard"],
        cwd=tmp_path,
        env=plain(),
        capture_output=True,
        text=True,
    )
    assert 'pip install "cllm-workbook[notebooks]"' in done.stderr
