"""A window of 900 pixels, with the list of files at its side: every picture fits into what is left."""

import nbformat
import pytest
from browser.labs import TOKEN, kernel_is_idle, needs_a_browser, open_page, running_lab, wait_for

pytestmark = needs_a_browser

NAME = "narrow.ipynb"
PANELS = ("OptimizerRavine()", "gauss_viewer()", "lll_viewer()", "rotation_viewer()", "position_viewer()", "spiral_explorer(10_000)")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    with running_lab(home) as address:
        cells = [nbformat.v4.new_code_cell(f"from cllm_lib.workbook.widgets import *\n\n{panel}") for panel in PANELS]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        nbformat.write(notebook, home / "workspace" / NAME)
        yield address


def test_every_picture_fits(lab):
    with open_page() as page:
        page.set_viewport_size({"width": 900, "height": 6_000})  # all of it in view
        page.set_default_timeout(30_000)
        page.goto(f"{lab}/lab/tree/{NAME}?token={TOKEN}&reset")
        page.locator(".jp-CodeCell").first.wait_for()
        wait_for(lambda: kernel_is_idle(lab), 60)
        for i in range(len(PANELS)):
            page.locator(".jp-CodeCell .cm-content").nth(i).click()
            page.keyboard.press("Control+Enter")
        page.locator("canvas[aria-label^='Numbers on the plane']").wait_for()
        outside = page.evaluate(
            """() => [...document.querySelectorAll(".jp-OutputArea-output :is(svg[role=img], canvas)")].map(picture => {
                const [inner, outer] = [picture, picture.closest(".jp-OutputArea-output")].map(e => e.getBoundingClientRect());
                return [picture.getAttribute("aria-label").slice(0, 30), inner.width, inner.right - outer.right];
            })"""
        )
        assert len(outside) >= len(PANELS)
        for label, width, beyond in outside:
            assert width > 300, label
            assert beyond <= 1, label
