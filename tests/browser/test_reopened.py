"""A notebook with a panel, saved and opened again: JupyterLab finds no widget there, and the reader finds a sentence."""

import os
from pathlib import Path

import pytest
from browser.labs import TOKEN, needs_a_browser, open_notebook, open_page, run_cell, running_lab, wait_for, write_notebook
from patience import PATIENCE
from playwright.sync_api import expect

pytestmark = needs_a_browser

SCREENSHOTS = os.environ.get("CLLM_SCREENSHOTS")
NAME = "reopened.ipynb"
CELL = "from cllm_lib.workbook.widgets import gauss_viewer\n\ngauss_viewer()"
BAR = "from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus\n\n"
BAR += "Trainer(CLLM(CLLMConfig(280)), load_corpus('sayings')).fit(3, progress=True);"
AGAIN = "Nothing to move here? The panel lives as long as its kernel: run this cell again."


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    with running_lab(home) as address:
        write_notebook(home / "workspace" / NAME, (CELL, BAR))
        yield address, home / "workspace" / NAME


def test_a_panel_that_sleeps_says_how_it_wakes(lab, tmp_path):
    address, path = lab
    expect.set_options(timeout=1000 * PATIENCE)
    with open_page(width=1100, height=900) as page:
        open_notebook(page, address, NAME)
        run_cell(page, 0)
        run_cell(page, 1)
        panel, sentence = page.locator("svg[aria-label^='A lattice']"), page.get_by_text(AGAIN)
        expect(panel).to_be_visible()
        expect(sentence).to_be_hidden()
        expect(page.get_by_text("training: 100%")).to_be_visible()
        page.keyboard.press("Control+s")
        wait_for(lambda: "cllm-sleeping" in path.read_text(encoding="utf-8"))
    with open_page(width=1100, height=900) as page:  # in a browser that knows nothing of the first one
        page.request.delete(f"{address}/api/sessions/{sessions(page, address)[0]['id']}?token={TOKEN}")
        open_notebook(page, address, NAME)
        sentence = page.get_by_text(AGAIN)
        expect(sentence).to_be_visible()
        expect(page.get_by_text("training: 100%")).to_be_visible()
        folder = Path(SCREENSHOTS or tmp_path)
        page.screenshot(path=folder / "reopened.png")
        run_cell(page, 0)
        expect(page.locator("svg[aria-label^='A lattice']")).to_be_visible()
        expect(sentence).to_be_hidden()


def sessions(page, address):
    return page.request.get(f"{address}/api/sessions?token={TOKEN}").json()
