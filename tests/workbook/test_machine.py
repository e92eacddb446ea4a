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


def test_the_tools_of_the_tests_are_not_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda name: "0" if name in ("playwright", "ruff", "torch") else "99")
    machine.check_machine()
    assert capsys.readouterr().out.endswith("Your machine is ready.\n")


def test_other_random_numbers_are_noticed(monkeypatch, capsys):
    monkeypatch.setattr(machine.np.random, "default_rng", lambda seed: np.random.Generator(np.random.MT19937(seed)))
    machine.check_machine()
    assert "draws other random numbers" in capsys.readouterr().out
