"""A window of 900 pixels, with the list of files at its side: every picture fits into what is left."""

from browser.labs import lab_with, needs_a_browser, open_notebook, open_page, run_cell

pytestmark = needs_a_browser

NAME = "narrow.ipynb"
PANELS = ("OptimizerRavine()", "gauss_viewer()", "lll_viewer()", "rotation_viewer()", "position_viewer()", "spiral_explorer(10_000)")
CELLS = [f"from cllm_lib.workbook.widgets import *\n\n{panel}" for panel in PANELS]

lab = lab_with(NAME, CELLS, themes=["Light"])


def test_every_picture_fits(lab):
    with open_page(width=900, height=6_000) as page:  # all of it in view
        open_notebook(page, lab[0], NAME)
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
