import sys

import numpy as np
import pytest

from cllm_lib.workbook import machine


def test_a_good_machine_is_called_ready(capsys):
    machine.check_machine()
    out = capsys.readouterr().out
    assert out.endswith("Your machine is ready.\n")
    assert "look" not in out


def test_an_old_python_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    machine.check_machine()
    assert "3.11 or newer is needed" in capsys.readouterr().out


def test_an_old_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda name: "1.0" if name == "numpy" else "99")
    machine.check_machine()
    out = capsys.readouterr().out
    assert "Missing or too old: at least numpy 2.0" in out
    assert "Please see to the lines" in out


@pytest.mark.parametrize("package", ["numpy", "jupyterlab", "scipy"])
def test_a_missing_package_of_the_readers_is_named(package, monkeypatch, capsys):
    def version(name):
        if name == package:
            raise machine.importlib.metadata.PackageNotFoundError(name)
        return "99"

    monkeypatch.setattr(machine.importlib.metadata, "version", version)
    machine.check_machine()
    assert f"Missing or too old: at least {package} " in capsys.readouterr().out


def without(*missing, old=()):
    """What `importlib.metadata.version` says where these packages are missing, and these of another version."""

    def version(name):
        if name in missing:
            raise machine.importlib.metadata.PackageNotFoundError(name)
        return dict(old).get(name, "99")

    return version


@pytest.fixture
def browser(monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    there = {"numpy": "2.0.2", "matplotlib": "3.8.4"}
    kept_out = ("jupyterlab", "scipy", "joblib", "safetensors", "threadpoolctl", "tokenizers", "hatchling")
    monkeypatch.setattr(machine.importlib.metadata, "version", without(*kept_out, old=there))


def test_a_browser_is_asked_for_what_it_can_have(browser, capsys):
    machine.check_machine()
    out = capsys.readouterr().out
    assert out.endswith("Your machine is ready.\n")
    assert "look" not in out


def test_what_counts_in_a_browser_is_named_where_it_is_missing(browser, monkeypatch, capsys):
    monkeypatch.setattr(machine.importlib.metadata, "version", without("sympy", old={"matplotlib": "3.8.3"}))
    machine.check_machine()
    assert "at least matplotlib 3.8.4, sympy 1.13 is needed. Load the page anew." in capsys.readouterr().out


@pytest.fixture
def colab(monkeypatch):
    """Google's page, where ipywidgets is of another age, and nobody asked for JupyterLab."""
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr(machine.importlib.metadata, "version", without("jupyterlab", "hatchling", old={"ipywidgets": "7.7.1"}))


def test_colab_is_asked_for_what_its_page_knows(colab, capsys):
    machine.check_machine()
    out = capsys.readouterr().out
    assert out.endswith("Your machine is ready.\n")
    assert "look" not in out


def test_what_counts_in_colab_is_named_with_the_line_that_brings_it(colab, monkeypatch, capsys):
    monkeypatch.setattr(machine.importlib.metadata, "version", without("anywidget", old={"ipywidgets": "7.6"}))
    machine.check_machine()
    out = capsys.readouterr().out
    assert "at least anywidget 0.9.13, ipywidgets 7.7.1 is needed. Run `%pip install -q anywidget ipywidgets` in a cell" in out
    assert "make lab" not in out


def test_what_only_installs_the_library_is_asked_for_nowhere(monkeypatch, capsys):
    """On a JupyterHub the library came without it, and works."""
    monkeypatch.setattr(machine.importlib.metadata, "version", without("hatchling"))
    machine.check_machine()
    assert capsys.readouterr().out.endswith("Your machine is ready.\n")


def missing_itself(name):
    raise machine.importlib.metadata.PackageNotFoundError(name)


def test_the_folder_says_what_is_needed_where_nothing_is_installed(monkeypatch, capsys):
    installed = machine._requirements()
    monkeypatch.setattr(machine.importlib.metadata, "requires", missing_itself)

    def bounds(requirements):
        return {match[1]: match[2] for match in map(machine.NEEDED_BY_READERS.fullmatch, requirements) if match}

    assert bounds(machine._requirements()) == bounds(installed)
    assert {"numpy", "jupyterlab", "joblib"} < bounds(installed).keys()
    machine.check_machine()
    assert capsys.readouterr().out.endswith("Your machine is ready.\n")


def test_a_library_that_nobody_installed_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(machine.importlib.metadata, "requires", missing_itself)
    monkeypatch.setattr(machine, "PACKAGE", tmp_path / "cllm_lib")
    machine.check_machine()
    assert "The package cllm-workbook itself is missing" in capsys.readouterr().out


def test_the_tools_of_the_tests_are_not_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda name: "0" if name in ("playwright", "ruff", "torch") else "99")
    machine.check_machine()
    assert capsys.readouterr().out.endswith("Your machine is ready.\n")


def test_other_random_numbers_are_noticed(monkeypatch, capsys):
    monkeypatch.setattr(machine.np.random, "default_rng", lambda seed: np.random.Generator(np.random.MT19937(seed)))
    machine.check_machine()
    assert "draws other random numbers" in capsys.readouterr().out
