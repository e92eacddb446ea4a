"""What the page for instructors says of a defect of one's own, and of cases for a class, is done here word for word."""

import re

import numpy as np
import pytest
from notebooks.books import ROOT

from cllm_lib import casebook
from cllm_lib.casebook import belief, cases, faults
from cllm_lib.casebook.faults import catalogue

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/INSTRUCTORS.md").read_text(encoding="utf-8"), re.DOTALL)
NEW = "values start at zero"


@pytest.fixture
def own_catalogue(monkeypatch):
    """A catalogue to write into; the global one stays as it was."""
    monkeypatch.setattr(catalogue, "_FAULTS", dict(catalogue._FAULTS))
    monkeypatch.delitem(vars(catalogue), "ALL", raising=False)
    for cache in (belief.experience, belief.told_by):
        cache.cache_clear()
    yield
    for cache in (belief.experience, belief.told_by):
        cache.cache_clear()


def test_the_recipe_makes_a_defect_that_is_admitted_and_told(own_catalogue):
    recipe = next(block for block in BLOCKS if "@fault" in block)
    exec(recipe, {"__name__": "a_file_of_its_own"})
    assert NEW in casebook.DEFECTS
    patient = casebook.patient_of(NEW, np.random.default_rng(3))
    assert cases.is_told(NEW, patient)
    assert faults.ALL[NEW].source == "A defect for a class."


def test_afterwards_nobody_knows_it():
    assert NEW not in faults.ALL


def test_the_cases_for_a_class_are_those_of_the_answer_sheet(capsys):
    names = {}
    for block in BLOCKS[:2]:
        exec(block, names)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert str(names["case"].seed) == said[0].split()[1]
