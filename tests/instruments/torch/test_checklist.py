"""docs/DOCTOR.md: its programs run and say what it says, and its checklist has every cause in its place."""

import re
from itertools import pairwise

import numpy as np
import pytest
from notebooks.books import ROOT, code_blocks

from cllm_lib.instruments.torch import CAUSES

TEXT = (ROOT / "docs" / "DOCTOR.md").read_text(encoding="utf-8")
TABLE = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
    for line in TEXT.split("## Checklist")[1].splitlines()
    if line.startswith("|")
]
ROWS = [row for row in TABLE[2:] if not row[0].startswith("**")]
REASON = "large; `make test-all` installs it"


def test_every_cause_has_its_row_in_the_order_of_the_doctor():
    assert [row[0].strip("`") for row in ROWS] == list(CAUSES)


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip("`") for row in ROWS])
def test_a_row_says_what_one_sees_where_to_look_and_what_to_do(row):
    assert len(row) == len(TABLE[0]) == 4
    assert all(row)


def test_no_row_refers_to_the_one_above_it_across_a_heading():
    for before, row in pairwise(TABLE):
        if any(cell.startswith("the same") and cell != "the same run with a tenth of the rate" for cell in row):
            assert not before[0].startswith("**"), row


def test_a_second_softmax_never_gets_below_what_the_checklist_says():
    for classes in (2, 3, 100):
        sure = np.zeros(classes)
        sure[0] = 1.0  # the best there is: probability 1 for the target
        assert -np.log(np.exp(sure) / np.exp(sure).sum())[0] == pytest.approx(np.log(1.0 + (classes - 1) / np.e))
    (row,) = [row for row in ROWS if row[0] == "`double_softmax`"]
    assert "ln(1 + (V - 1) / e)" in row[1]


def test_its_links_lead_to_headings_of_its_own_and_the_front_page_leads_to_it():
    headings = {re.sub(r"\W+", "-", heading.lower()) for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings
    assert "(docs/DOCTOR.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_prints_what_the_page_says(capsys):
    pytest.importorskip("torch", reason=REASON)
    exec(code_blocks(TEXT)[0], {"__name__": "a_readers_file"})
    said = capsys.readouterr().out
    told = re.search(r"^prints \*(.+?) \(\.\.\.\)\*", TEXT, re.MULTILINE)[1]
    assert said.startswith(told)
    assert "not looked at, because no step was given" not in said


@pytest.mark.slow
def test_both_callbacks_of_the_page_are_made():
    for package in ("torch", "transformers", "lightning"):
        pytest.importorskip(package, reason=REASON)
    names = {}
    exec(code_blocks(TEXT)[1], names)
    assert names["callbacks"][0].stop
