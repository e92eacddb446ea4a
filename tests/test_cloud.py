"""The book on other people's computers, made anew as far as packages go: Colab's first cell disturbs nothing, Binder's file is enough."""

import os
import re
import shutil
import subprocess
import tomllib

import pytest
from environments import empty_environment, packages, pip, plain, run_chapter
from notebooks.books import NAMES, ROOT, load_tool
from packaging.requirements import Requirement

PAGE = (ROOT / "docs" / "CLOUD.md").read_text(encoding="utf-8")
ADDRESS = "git+https://github.com/<owner>/<repository>"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BINDER = ROOT / ".binder"
WANTED = [Requirement(line) for line in (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def first_cell():
    """The line for Colab, as the page gives it."""
    (line,) = re.findall(r"^%pip install .*<repository>$", PAGE, re.MULTILINE)
    return line


# What the files say


def test_the_first_cell_is_one_line_that_takes_nothing_along():
    assert first_cell() == f"%pip install -q --no-deps {ADDRESS}"


def test_binder_gets_what_chapters_import_in_the_versions_of_the_lock():
    readers = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["experiments"] + PROJECT["optional-dependencies"]["notebooks"]
    names = {Requirement(line).name for line in readers} - {PROJECT["name"], "jupyterlab"}  # Binder's own
    assert {requirement.name for requirement in WANTED} == names
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for requirement in WANTED:
        if requirement.name != "ipywidgets":  # Binder's own, if it is new enough
            assert re.search(rf"^{re.escape(str(requirement))}( ; python_full_version < '3.12')? \\$", lock, re.MULTILINE), requirement


def test_binder_has_the_python_by_which_outputs_are_stored():
    assert (BINDER / "runtime.txt").read_text(encoding="utf-8") == "python-3.11\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such mark")
def test_binder_may_run_what_it_runs_at_last():
    assert os.access(BINDER / "postBuild", os.X_OK)


def test_the_address_that_nobody_knows_stands_on_one_page():
    """So one command puts the true one there."""
    found = subprocess.run(["git", "grep", "-lF", "<repository>"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert found == ["docs/CLOUD.md", "tests/test_cloud.py", "tests/tools/test_site.py", "tools/site.py"]  # a page, and what fills it in


@pytest.mark.skipif(not shutil.which("sed"), reason="no sed here")
def test_one_command_puts_the_true_address_in_its_place():
    (command,) = re.findall(r"^sed -i '(.*)' docs/CLOUD.md$", PAGE, re.MULTILINE)
    text = subprocess.run(["sed", command], input=PAGE, capture_output=True, text=True, check=True).stdout
    assert not re.search("<owner>|<repository>|<!--", text)
    assert text == load_tool("site").named(PAGE, "someone/cllm-workbook")
    assert "https://colab.research.google.com/github/someone/cllm-workbook/blob/main/notebooks/00_start_here.ipynb" in text
    assert "repo=https%3A%2F%2Fgithub.com%2Fsomeone%2Fcllm-workbook&branch=main&urlpath=lab%2Ftree%2Fcllm-workbook%2Fnotebooks%2F" in text


def test_the_models_are_those_of_their_lock():
    locked = re.findall(r"^[\w-]+==[\d.]+", (ROOT / "requirements-pretrained.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"--no-deps ([\w-]+==[\d.]+)`", PAGE) == locked


# What they do


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """Python of an environment with Colab's packages, and the module by which one knows Colab."""
    folder = tmp_path_factory.mktemp("colab")
    python = empty_environment(folder)
    pip(python, "install", "--no-deps", "--no-compile", "-r", ROOT / "tests" / "colab.txt")
    (google,) = folder.glob("[Ll]ib/**/site-packages")
    (google / "google" / "colab").mkdir(parents=True)
    (google / "google" / "colab" / "__init__.py").touch()
    return python


@pytest.mark.slow
def test_colabs_first_cell_disturbs_nothing_and_chapters_print_what_is_stored(colab, tmp_path, monkeypatch):
    before = packages(colab)
    assert before["numpy"] == "2.0.2"
    line = first_cell().replace(ADDRESS, str(ROOT))  # this folder, in place of an address that nobody knows
    for number, (said, stored) in enumerate(run_chapter(colab, NAMES[0], tmp_path, monkeypatch, 99, ["import google.colab", line])):
        assert said == stored, f"code cell {number} of {NAMES[0]}"
    after = packages(colab)
    assert after.pop("cllm-workbook")
    assert after == before
    for number, (said, stored) in enumerate(run_chapter(colab, NAMES[1], tmp_path, monkeypatch, 7, ["import google.colab"])):
        assert said == stored, f"code cell {number} of {NAMES[1]}"


@pytest.fixture(scope="module")
def binder(tmp_path_factory):
    """Python of an environment as Binder builds it, and the folder that it has of this one: what git knows."""
    folder, house = tmp_path_factory.mktemp("binder"), tmp_path_factory.mktemp("house")
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, house / name)
    python = empty_environment(folder)
    pip(python, "install", "--no-compile", "ipykernel", "ipywidgets")  # of what Binder brings itself, what a kernel needs
    pip(python, "install", "--no-deps", "--no-compile", "jupyterlab")  # and a page, which is not opened here
    return python, house


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Binder is a Linux")
def test_binder_brings_few_packages_and_the_chapters_run(binder, tmp_path, monkeypatch):
    python, house = binder
    theirs = packages(python)
    pip(python, "install", "--no-compile", "-r", house / ".binder" / "requirements.txt")
    environment = plain() | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([".binder/postBuild"], cwd=house, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    brought = packages(python).keys() - theirs.keys()
    assert {"cllm-workbook", "numpy", "matplotlib"} <= brought
    assert len(brought) < 60, sorted(brought)
    assert not brought & {"pytest", "ruff", "playwright", "torch"}
    assert sorted(path.stem for path in (house / "workspace").glob("*.ipynb")) == NAMES
    for number, (said, stored) in enumerate(run_chapter(python, NAMES[0], tmp_path, monkeypatch, 99)):
        assert said == stored, f"code cell {number} of {NAMES[0]}"
