"""JupyterLab as a reader meets it, in a real browser."""

import re

import nbformat
import pytest
from browser.labs import needs_a_browser, open_chapter, open_page, run_all, running_lab, wait_for
from notebooks.books import NAMES, ROOT, check_all_pictures, load_tool, texts

pytestmark = needs_a_browser


# Of each widget: what its picture's description begins with, the number it opens with, and where the static figure
# beside it printed the same number.
WIDGETS = {
    "01": [("Loss of a uniform guess", r"it is ([\d.]+) nats", r"this model \(V = 10,000\): at ([\d.]+)")],
    "03": [("Map of attention weights", r" b1 ([\d.]+)", r"head \d, trained: the last row, b, is largest at b1 \(column 3\): ([\d.]+)")],
    "06": [("Gradient against measured slope", r"factor (-?[\d.]+)", r"24 entries: factor (-?[\d.]+)")],
    "07": [("Path of ", r"the loss is ([\d.]+)", r"momentum 0\.01: from 33 to ([\d.]+)")],
    "16": [
        ("A lattice in the plane", r"at ([\d.]+) degrees", r"\(7, 7\) and \(5, 3\), degrees between them: at ([\d.]+)"),
        ("LLL, step ", r"log10 of the potential ([\d.]+)", r"log10 of the potential: from ([\d.]+)"),
    ],
    "15": [
        ("A circle with two arrows", r"from key to query (-?[\d.]+) degrees", r"degrees from key to query: at (-?[\d.]+)"),
        ("Two maps of the clock", r"position 12 ([\d.]+)", r"clock: from 1 to ([\d.]+)"),
    ],
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running_lab(tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture
def page():
    with open_page() as page:
        yield page


def chapter(name):
    """Chapters with a widget on each change, with the first one; the others, whose cells `make test` runs as well, weekly."""
    return pytest.param(f"{name}.ipynb", marks=() if name[:2] in {"00", *WIDGETS} else pytest.mark.slow)


@pytest.mark.parametrize("name", [chapter(name) for name in NAMES])
def test_a_chapter_runs_to_its_end_and_shows_the_stored_numbers(page, lab, name):
    open_chapter(page, lab, name)
    executed = run_all(page, lab, name)
    errors = [o for cell in executed.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert errors == []
    stored = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    for cell in executed.cells:  # the page keeps the pieces in which a kernel printed
        cell["outputs"] = load_tool("execute_notebooks").joined_streams(cell.get("outputs", []))
    assert texts(executed) == texts(stored)
    check_all_pictures(executed, stored)
    for widget in WIDGETS.get(name[:2], ()):
        widget_follows_the_keyboard(page, "\n".join(texts(stored)), *widget)


def widget_follows_the_keyboard(page, stored_text, description, number, stored_number):
    """A widget opens with the static figure's number, its sliders are reached by Tab, and arrow keys move them."""
    picture = page.locator(f"svg[aria-label^='{description}']").first
    panel = page.locator(".jp-WindowedPanel-outer").first
    panel.evaluate("panel => panel.scrollTop = 0")
    for _ in range(100):  # JupyterLab builds only the cells in view
        if picture.count():
            break
        panel.evaluate("panel => panel.scrollTop += 400")
        page.wait_for_timeout(200)
    picture.scroll_into_view_if_needed()
    opened = picture.get_attribute("aria-label")
    expected = float(re.search(stored_number, stored_text)[1])
    assert float(re.search(number, opened)[1]) == pytest.approx(expected, rel=2e-3), opened

    sliders = page.locator(".jp-OutputArea-child", has=picture).get_by_role("slider")
    focused = False
    for i in range(sliders.count()):
        slider = sliders.nth(i)
        if slider.evaluate("slider => slider.closest('[disabled]') !== null"):
            continue
        assert slider.get_attribute("aria-label"), f"slider {i} has no name"
        if focused:
            for _ in range(3):  # the number beside a slider may be a stop of its own
                page.keyboard.press("Tab")
                if slider.evaluate("slider => slider === document.activeElement"):
                    break
            else:
                raise AssertionError(f"Tab does not lead to slider {i}")
        else:
            page.wait_for_timeout(1_000)  # JupyterLab attaches a cell anew when it comes into view, and focus is lost
            slider.focus()
            focused = True
        an_arrow_key_moves(page, slider, picture)


def an_arrow_key_moves(page, slider, picture):
    """The slider that has the focus, at once, and then the picture: the kernel draws it, and may be busy."""
    place, before = place_of(slider), picture.get_attribute("aria-label")
    for key in ("ArrowLeft", "ArrowRight"):  # the slider may stand at its left end
        page.keyboard.press(key)
        page.wait_for_timeout(500)
        if place_of(slider) != place:
            break
    else:
        raise AssertionError(f"no arrow key moves it from {place}: {before}")
    wait_for(lambda: picture.get_attribute("aria-label") != before, lambda: f"a slider moved, and the picture did not: {before}")


def place_of(slider):
    """Where its handle stands; the value that it tells may be rounded."""
    return slider.evaluate("slider => [slider.getAttribute('aria-valuetext'), slider.parentElement.style.transform]")
