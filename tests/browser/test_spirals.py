"""The spiral explorer in JupyterLab: reached and moved by the keyboard alone, in both themes."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from browser.labs import TOKEN, kernel_is_idle, needs_a_browser, open_page, running_lab, wait_for

pytestmark = needs_a_browser

SCREENSHOTS = os.environ.get("CLLM_SCREENSHOTS")
NAME = "explorer.ipynb"
CELL = "from cllm_lib.workbook.widgets import spiral_explorer\n\nspiral_explorer()"


@pytest.fixture(scope="module", params=["JupyterLab Light", "JupyterLab Dark"], ids=["light", "dark"])
def lab(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    with running_lab(home, theme=request.param) as address:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
        notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        nbformat.write(notebook, home / "workspace" / NAME)
        yield address, request.param.split()[-1].lower()


@pytest.fixture
def page(lab):
    address, _ = lab
    with open_page() as page:
        page.set_viewport_size({"width": 1280, "height": 1100})
        page.set_default_timeout(30_000)
        page.goto(f"{address}/lab/tree/{NAME}?token={TOKEN}&reset")
        page.locator(".jp-CodeCell").first.wait_for()
        wait_for(lambda: kernel_is_idle(address), 60)
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        page.locator("svg[aria-label^='Numbers on the plane']").wait_for()
        yield page


def label(page):
    return page.locator("svg[aria-label^='Numbers on the plane']").get_attribute("aria-label")


def wait_for_label(page, pattern):
    wait_for(lambda: re.search(pattern, label(page)), 20, lambda: label(page))


def press(page, name, key="Enter"):
    page.get_by_role("button", name=name, exact=True).focus()
    page.keyboard.press(key)


def type_number(page, name, number):
    field = page.get_by_role("spinbutton", name=name, exact=True)
    field.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type(str(number))
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)  # what the kernel answers must not come while the next field is being typed in


def test_the_keyboard_is_enough(page, lab, tmp_path):
    wait_for_label(page, r"Ulam, 1 to 1,000,000.* 1,000,000 numbers: not prime: 921,502; prime: 78,498")
    type_number(page, "number", 41)
    wait_for_label(page, r"Chosen: 41 at \(-3, -1\), framed")
    for _ in range(6):
        press(page, "zoom in", "Space")
    press(page, "to the number")
    wait_for_label(page, "x from -10 to 5, y from -8 to 7, 256 numbers")
    assert page.get_by_role("rowheader", name="70", exact=True).is_visible()
    page.screenshot(path=Path(SCREENSHOTS or tmp_path) / f"explorer-{lab[1]}.png")
    type_number(page, "x", 4)
    type_number(page, "y", -4)
    press(page, "find")
    wait_for_label(page, r"Chosen: 81 at \(4, -4\), framed")
    press(page, "Sacks")
    wait_for_label(page, "Sacks, 1 to 1,000,000, coloured by prime")
    press(page, "residue")
    wait_for_label(page, "residue mod 12")
    type_number(page, "modulus", 5)
    wait_for_label(page, "residue mod 5.*4 mod 5: 200,000")
    press(page, "zoom in")
    wait_for_label(page, "x from -499 to 500")
    for name, pattern in (("left", "x from -749 to 250"), ("right", "x from -499 to 500"), ("all", "1,000,000 numbers")):
        press(page, name)
        wait_for_label(page, pattern)


def test_all_its_controls_have_names_and_tab_leads_through_them(page):
    names = ("Ulam", "Hilbert", "prime", "factors", "find", "zoom in", "zoom out", "left", "right", "up", "down", "to the number", "all")
    for name in names:
        assert page.get_by_role("button", name=name, exact=True).count() == 1, name
    for name in ("number", "x", "y", "modulus"):
        assert page.get_by_role("spinbutton", name=name, exact=True).count() == 1, name
    page.get_by_role("spinbutton", name="y", exact=True).focus()
    for name in ("find", "zoom in", "zoom out"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").strip() == name
