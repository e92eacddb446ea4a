"""A window of 900 pixels, with the list of files at its side: every picture fits into what is left."""

import pytest
from browser.labs import needs_a_browser, open_notebook, open_page, run_cell, running_lab, write_notebook

pytestmark = needs_a_browser

NAME = "narrow.ipynb"
PANELS = ("OptimizerRavine()", "gauss_viewer()", "lll_viewer()", "rotation_viewer()", "position_viewer()", "spiral_explorer(10_000)")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    with running_lab(home) as address:
        write_notebook(home / "workspace" / NAME, [f"from cllm_lib.workbook.widgets import *\n\n{panel}" for panel in PANELS])
        yield address


def test_every_picture_fits(lab):
    with open_page() as page:
        page.set_viewport_size({"width": 900, "height": 6_000})  # all of it in view
        page.set_default_timeout(30_000)
        open_notebook(page, lab, NAME)
        for i in range(len(PANELS)):
            run_cell(page, i)
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
