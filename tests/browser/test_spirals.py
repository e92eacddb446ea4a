"""The spiral explorer in JupyterLab: by mouse and by keyboard, typed in as fast as one can, in both themes."""

import os
import re
from pathlib import Path

import pytest
from browser.labs import lab_with, needs_a_browser, open_notebook, open_page, run_cell, wait_for

pytestmark = needs_a_browser

SCREENSHOTS = os.environ.get("CLLM_SCREENSHOTS")
NAME = "explorer.ipynb"
CELLS = [
    "from cllm_lib.workbook.widgets import spiral_explorer\n\nexplorer = spiral_explorer()\nexplorer",
    "print('chosen:', explorer.view.number)",
]
PLANE = "canvas[aria-label^='Numbers on the plane']"
lab = lab_with(NAME, CELLS)


@pytest.fixture
def page(lab):
    address, _ = lab
    with open_page(height=1100) as page:
        open_notebook(page, address, NAME)
        run_cell(page, 0)
        page.locator(PLANE).wait_for()
        yield page


def label(page):
    return page.locator(PLANE).get_attribute("aria-label")


def wait_for_label(page, pattern):
    wait_for(lambda: re.search(pattern, label(page)), lambda: label(page))


def press(page, name, key="Enter"):
    page.get_by_role("button", name=name, exact=True).focus()
    page.keyboard.press(key)


def field(page, name):
    return page.get_by_role("spinbutton", name=name, exact=True)


def type_number(page, name, number):
    field(page, name).focus()
    page.keyboard.press("Control+a")
    page.keyboard.type(str(number))


def window(page):
    """Left, bottom and width of what is in view, in cells."""
    left, right, bottom = map(int, re.search(r"x from (-?\d+) to (-?\d+), y from (-?\d+)", label(page)).groups())
    return left, bottom, right - left + 1


def on_the_page(page, x, y):
    """Where a cell of the plane is on the page."""
    left, bottom, width = window(page)
    box = page.locator(PLANE).bounding_box()
    unit = box["width"] / width
    return box["x"] + (x - left + 0.5) * unit, box["y"] + (bottom + width - y - 0.5) * unit


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
    modulus = page.get_by_label("modulus", exact=True)
    modulus.fill("25")
    page.keyboard.press("Enter")
    page.get_by_text("modulus is '25': give a whole number from 2 to 24").wait_for()
    modulus.fill("5")
    page.keyboard.press("Enter")
    wait_for_label(page, "residue mod 5.*4 mod 5: 200,000")
    press(page, "zoom in")
    wait_for_label(page, "x from -499 to 500")
    for name, pattern in (("left", "x from -749 to 250"), ("right", "x from -499 to 500"), ("all", "1,000,000 numbers")):
        press(page, name)
        wait_for_label(page, pattern)


def test_a_click_chooses_and_shows_memory_the_wheel_zooms_dragging_moves(page, lab, tmp_path):
    page.mouse.move(*on_the_page(page, 0, 0))
    for _ in range(15):
        page.mouse.wheel(0, -150)
    wait_for(lambda: window(page)[2] < 12, lambda: label(page))
    page.mouse.click(*on_the_page(page, -3, -1))
    wait_for_label(page, r"Chosen: 41 at \(-3, -1\), framed")
    assert field(page, "number").input_value() == "41"
    rows = page.locator(".cllm-explorer table tr").all_inner_texts()
    assert [row.split("\t") for row in rows[1:4]] == [
        ["41", "(-3, -1)", "prime", "chosen", "chosen"],
        ["20", "(-2, -1)", "22 × 5", "21", "1"],
        ["40", "(-3, 0)", "23 × 5", "1", "1,000"],
    ]
    memory = page.locator("svg[aria-label^='Where they lie in memory, in rows from 41']").get_attribute("aria-label")
    assert "along the curve 20 at −21, 40 at −1, 42 at +1, 70 at +29; row by row 42 at −1,000, 70 at −1, 20 at +1, 40 at +1,000" in memory
    page.screenshot(path=Path(SCREENSHOTS or tmp_path) / f"explorer-click-{lab[1]}.png")
    run_cell(page, 1)
    page.get_by_text("chosen: 41").wait_for()

    before = window(page)
    begin = on_the_page(page, 0, 0)
    page.mouse.move(*begin)
    page.mouse.down()
    unit = page.locator(PLANE).bounding_box()["width"] / before[2]
    page.mouse.move(begin[0] + 3 * unit, begin[1] + 2 * unit, steps=5)
    page.mouse.up()
    wait_for(lambda: abs(window(page)[0] - before[0] + 3) <= 1 and abs(window(page)[1] - before[1] - 2) <= 1, lambda: label(page))
    assert field(page, "number").input_value() == "41"  # dragging chooses nothing
    for _ in range(30):
        page.mouse.wheel(0, 300)
    wait_for_label(page, "1,000,000 numbers")


def test_field_and_picture_agree_however_fast_one_types(page):
    field(page, "number").focus()
    for number in (7, 123_456, 1_000_000, 999_983, 12, 500_000):
        page.keyboard.press("Control+a")
        for digit in str(number):
            page.keyboard.press(digit)
            typed = int(field(page, "number").input_value())
            assert f"Chosen: {typed:,} at" in label(page)
            assert page.locator(".cllm-explorer table th[scope=row]").first.inner_text() == f"{typed:,}"
    page.keyboard.press("ArrowUp")
    assert "Chosen: 500,001 at" in label(page)
    page.wait_for_timeout(1_000)  # whatever the kernel answers changes nothing
    assert field(page, "number").input_value() == "500001"
    assert "Chosen: 500,001 at" in label(page)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("99999999999", "number is 99999999999: give a whole number from 1 to 1,000,000. Chosen is still"),
        ("0", "number is 0: give a whole number"),
        ("2.5", "number is 2.5: give a whole number"),
        ("1e9", "number is 1e9: give a whole number"),
    ],
)
def test_a_number_out_of_range_is_said_and_chooses_nothing(page, typed, said):
    type_number(page, "number", 41)
    type_number(page, "number", typed)
    assert field(page, "number").input_value() == typed
    page.get_by_text(said).wait_for()
    assert field(page, "number").get_attribute("aria-invalid") == "true"
    still = re.search(r"Chosen is still ([\d,]+)\.", page.locator(".cllm-explorer .problem").inner_text())[1]
    assert f"Chosen: {still} at" in label(page)
    type_number(page, "number", 97)
    assert "Chosen: 97 at" in label(page)
    assert page.locator(".cllm-explorer .problem").inner_text() == ""


def test_all_its_controls_have_names_and_tab_leads_through_them(page):
    names = ("Ulam", "Hilbert", "prime", "factors", "find", "zoom in", "zoom out", "left", "right", "up", "down", "to the number", "all")
    for name in names:
        assert page.get_by_role("button", name=name, exact=True).count() == 1, name
    for name in ("number", "x", "y"):
        assert page.get_by_role("spinbutton", name=name, exact=True).count() == 1, name
    assert page.get_by_label("modulus", exact=True).count() == 1
    field(page, "y").focus()
    for name in ("find", "zoom in", "zoom out"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").strip() == name
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
