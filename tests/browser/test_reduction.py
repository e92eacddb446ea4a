"""Gauss and LLL to step through in JupyterLab: by the keyboard alone, in both themes."""

import os
import re
from pathlib import Path

import pytest
from browser.labs import lab_with, needs_a_browser, open_notebook, open_page, run_cell, wait_for

pytestmark = needs_a_browser

SCREENSHOTS = os.environ.get("CLLM_SCREENSHOTS")
NAME = "reduction.ipynb"
CELLS = [f"from cllm_lib.workbook.widgets import {name}\n\n{name}()" for name in ("gauss_viewer", "lll_viewer")]
lab = lab_with(NAME, CELLS)


@pytest.fixture
def page(lab):
    address, _ = lab
    with open_page(height=1900) as page:
        open_notebook(page, address, NAME)
        for i in range(len(CELLS)):
            run_cell(page, i)
        page.locator("svg[aria-label^='A lattice']").wait_for()
        page.locator("svg[aria-label^='LLL, step']").wait_for()
        yield page


def press(page, i, name, key="Enter"):
    page.get_by_role("button", name=name, exact=True).nth(i).focus()
    page.keyboard.press(key)


def wait_for_label(page, begins, pattern):
    picture = page.locator(f"svg[aria-label^='{begins}']")
    wait_for(lambda: re.search(pattern, picture.get_attribute("aria-label")), lambda: picture.get_attribute("aria-label"))


def test_the_keyboard_is_enough(page, lab, tmp_path):
    wait_for_label(page, "A lattice", r"\(7, 7\) of length 9.90 and \(5, 3\) of length 5.83, at 14.04 degrees")
    for pattern in (r"\(5, 3\) of length", r"and \(-3, 1\) of length", r"basis now: \(-3, 1\)", r"and \(2, 4\) of length"):
        press(page, 0, "next step", "Space")
        wait_for_label(page, "A lattice", pattern)
    press(page, 0, "undo")
    wait_for_label(page, "A lattice", r"\(-3, 1\) of length 3.16 and \(5, 3\)")
    wait_for_label(page, "LLL", r"step 0 of 26: the basis as given; rows 1 0 0 316;")
    press(page, 1, "next step")
    wait_for_label(page, "LLL", r"step 1 of 26: row 2 minus 1 times row 1; rows 1 0 0 316; -1 1 0 121;")
    press(page, 1, "next step")
    wait_for_label(page, "LLL", r"step 2 of 26: rows 1 and 2 change places; rows -1 1 0 121;")
    page.screenshot(path=Path(SCREENSHOTS or tmp_path) / f"reduction-{lab[1]}.png")
    press(page, 1, "undo")
    wait_for_label(page, "LLL", r"step 1 of 26")
    press(page, 0, "three", "Space")
    wait_for_label(page, "LLL", r"step 0 of 5: the basis as given; rows 1 1 1; -1 0 2; 3 5 6")
    press(page, 0, "knapsack")
    press(page, 0, "0.99")
    wait_for_label(page, "LLL", r"step 0 of 31")


def test_all_its_controls_have_names(page):
    for name in ("three", "four", "knapsack", "3/4", "0.99"):
        assert page.get_by_role("button", name=name, exact=True).count() == 1, name
    for name in ("next step", "undo"):
        assert page.get_by_role("button", name=name, exact=True).count() == 2, name
    assert page.get_by_role("slider").count() == 6
    named = {"first, x": 1, "first, y": 1, "second, x": 1, "second, y": 1, "step": 2}

    def found():
        return {name: page.get_by_role("slider", name=name, exact=True).count() for name in named}

    wait_for(lambda: found() == named, lambda: str(found()))  # the panel names them once it is there
    slider = page.get_by_role("slider", name="first, x", exact=True)
    assert slider.get_attribute("aria-valuetext") == "7"
    slider.focus()
    page.keyboard.press("ArrowLeft")
    wait_for(lambda: slider.get_attribute("aria-valuetext") == "6")
