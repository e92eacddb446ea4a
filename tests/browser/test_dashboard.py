"""The training dashboard in JupyterLab: pressed, watched, interrupted, stopped, saved, and taken up again by a new kernel."""

import os
import re
from pathlib import Path

import pytest
from browser.labs import (
    TOKEN,
    ask,
    from_the_kernel_menu,
    kernel_is_idle,
    lab_with,
    needs_a_browser,
    open_notebook,
    open_page,
    run_cell,
    wait_for,
)

pytestmark = needs_a_browser

# `make docs` names the folder of the stored screenshots; a test run leaves them in a temporary one.
SCREENSHOTS = os.environ.get("CLLM_SCREENSHOTS")
NAME = "dashboard.ipynb"
CELLS = (
    "from cllm_lib.workbook.widgets import training_dashboard\n\ndashboard = training_dashboard(epochs=600)\ndashboard",
    "print('asked in between, at step', dashboard.trainer.steps)",
)
DEAD = "This panel is dead: its kernel was restarted. Run this cell again."
lab = lab_with(NAME, CELLS)


@pytest.fixture
def page():
    with open_page(height=1250) as page:  # all of it in view
        yield page


class Dashboard:
    """The dashboard on the page, as a reader sees it."""

    def __init__(self, page, lab):
        self.page, self.lab = page, lab

    def open(self):
        open_notebook(self.page, self.lab, NAME)
        self.run_cell(0)
        self.page.get_by_role("button", name="START", exact=True).wait_for()

    def run_cell(self, i):
        run_cell(self.page, i)

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def press_by_keyboard(self, name, key):
        button = self.page.get_by_role("button", name=name, exact=True)
        button.focus()
        self.page.keyboard.press(key)

    def status(self):
        """All that the dashboard says, of the run and of what was saved."""
        said = self.page.locator(".jp-OutputArea-output :is(p[role=status], p[role=alert])")
        return "\n".join(said.all_inner_texts())

    def wait_for_status(self, pattern):
        wait_for(lambda: re.search(pattern, self.status()), self.status)
        return re.search(pattern, self.status())

    def label(self, beginning):
        return self.page.locator(f"svg[aria-label^='{beginning}']").first.get_attribute("aria-label")

    def training_loss(self):
        return float(re.search(r"training ([\d.]+)", self.label("Loss after"))[1])

    def stop(self):
        """Press STOP; how many steps were done then. Nothing here asks for how many seconds: a busy machine has its own."""
        self.press("STOP")
        return int(self.wait_for_status(r"Stopped after ([\d,]+) of")[1].replace(",", ""))


def test_start_watch_stop_save_restart_load_resume(page, lab, tmp_path):
    address, theme = lab
    dashboard = Dashboard(page, address)
    dashboard.open()
    dashboard.press("START")
    dashboard.wait_for_status(r"Epoch ([2-9]|\d\d)")
    early = dashboard.training_loss()
    dashboard.run_cell(1)  # the kernel is free meanwhile
    page.get_by_text(re.compile(r"asked in between, at step \d+")).wait_for()
    dashboard.wait_for_status(r"Epoch \d\d")
    wait_for(lambda: dashboard.training_loss() < 0.8 * early, dashboard.status)
    page.get_by_text(re.compile("it says: the sky is")).wait_for()
    assert "embedding" in dashboard.label("Change of the weights")
    folder = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
    page.locator(".jp-OutputArea-output").first.screenshot(path=folder / f"dashboard_{theme}.png")

    stopped = dashboard.stop()
    dashboard.press("SAVE")
    dashboard.wait_for_status(rf"Saved after step {stopped:,}")
    from_the_kernel_menu(page, "Restart Kernel…")
    page.get_by_text(DEAD).wait_for()
    for name in ("STOP", "LOAD", "START"):  # pressed in vain, it goes on saying so
        page.locator("button", has_text=name).click(force=True)
        assert page.get_by_text(DEAD).is_visible()
    page.locator(".jp-OutputArea-output").first.screenshot(path=tmp_path / f"dead_{theme}.png")
    wait_for(lambda: kernel_is_idle(address))
    dashboard.run_cell(0)
    dashboard.wait_for_status("Nothing has been made yet")
    assert page.get_by_text(DEAD).count() == 0
    page.get_by_label("epochs", exact=True).fill("60000")
    dashboard.press("LOAD")
    dashboard.wait_for_status(rf"Loaded: {stopped:,} steps on sayings, from dashboard.safetensors")
    loaded = dashboard.label("Loss after")
    assert loaded.startswith(f"Loss after {stopped:,} steps: training ")
    dashboard.press("START")
    dashboard.wait_for_status(r"Epoch \d\d")
    wait_for(lambda: not dashboard.label("Loss after").startswith(f"Loss after {stopped:,} "))
    assert dashboard.training_loss() < max(early, 1.0)  # the curve goes on below; begun anew, it would stand above 4
    dashboard.press("PAUSE")
    dashboard.wait_for_status("Paused after step")
    dashboard.press("GO ON")
    dashboard.wait_for_status("Epoch")
    dashboard.stop()


def test_on_a_low_screen_what_start_draws_comes_into_view_together_with_stop(page, lab):
    page.set_viewport_size({"width": 900, "height": 640})
    dashboard = Dashboard(page, lab[0])
    dashboard.open()
    button = page.get_by_role("button", name="STOP", exact=True)
    dashboard.press("START")
    dashboard.wait_for_status("Epoch")
    lower_end = "() => document.querySelector(`svg[aria-label^='Loss after']`).getBoundingClientRect().bottom"
    page.locator("svg[aria-label^='Loss after']").first.wait_for()
    wait_for(lambda: page.evaluate(lower_end) <= 640, dashboard.status)
    assert button.bounding_box()["y"] > 0
    dashboard.stop()


def test_interrupt_kernel_pauses(page, lab):
    dashboard = Dashboard(page, lab[0])
    dashboard.open()
    dashboard.press("START")
    dashboard.wait_for_status(r"Epoch \d of 600")
    from_the_kernel_menu(page, "Interrupt Kernel")
    held = dashboard.wait_for_status(r"Paused after step ([\d,]+), by Interrupt Kernel")[1]
    page.wait_for_timeout(500)
    assert held in dashboard.status()
    dashboard.press("GO ON")
    dashboard.wait_for_status("Epoch")
    dashboard.stop()


def test_a_kernel_that_is_gone_without_a_word_is_missed_once_a_button_is_pressed(page, lab):
    address, _ = lab
    dashboard = Dashboard(page, address)
    dashboard.open()
    kernel = ask(address, "/api/sessions")[0]["kernel"]["id"]
    page.request.post(f"{address}/api/kernels/{kernel}/restart?token={TOKEN}")  # by another page, say
    wait_for(lambda: kernel_is_idle(address))
    dashboard.press("START")
    page.get_by_text("No answer yet").wait_for()
    dashboard.run_cell(0)  # JupyterLab goes on naming a shell of the kernel before: a panel made now is heard all the same
    dashboard.wait_for_status("Nothing has been made yet")
    assert page.get_by_text("No answer yet").count() == 0
    page.get_by_label("epochs", exact=True).fill("60000")
    dashboard.press("START")
    dashboard.wait_for_status("Epoch")
    dashboard.press("PAUSE")
    dashboard.wait_for_status("Paused after step")
    dashboard.press("GO ON")
    dashboard.wait_for_status("Epoch")
    dashboard.stop()


def test_what_is_out_of_range_is_said_beside_its_field_and_what_is_not_its_own_is_spared(page, lab):
    dashboard = Dashboard(page, lab[0])
    dashboard.open()
    for name, typed, said in (
        ("epochs", "1e9", "epochs is '1e9': give a whole number from 1 to 100,000"),
        ("batch size", "99999", "batch size is '99999': give a whole number from 1 to 4,096"),
        ("rate", "0,003", "rate is '0,003': give a number above 0"),
    ):
        field = page.get_by_label(name, exact=True)
        right = field.input_value()
        field.fill(typed)
        page.keyboard.press("Tab")
        page.get_by_role("alert").get_by_text(said).wait_for()
        assert field.input_value() == typed
        dashboard.press("START")
        dashboard.wait_for_status(rf"Not done\. {name} is '{typed}'")
        field.fill(right)
    page.get_by_label("epochs", exact=True).fill("1")
    dashboard.press("START")
    dashboard.wait_for_status("Done: ")
    page.get_by_label("file", exact=True).fill("00_start_here.ipynb")
    dashboard.press("SAVE")
    dashboard.wait_for_status("00_start_here.ipynb is there already, and is no checkpoint of this run; it stays as it is")
    assert ask(lab[0], "/api/contents/00_start_here.ipynb")["content"]["cells"]
    wait_for(lambda: page.get_by_label("file", exact=True).input_value() == "00_start_here.safetensors")
    dashboard.press("SAVE")
    dashboard.wait_for_status("Saved after step .* in 00_start_here.safetensors")


def test_from_the_keyboard_and_zeros_are_named_at_once(page, lab):
    dashboard = Dashboard(page, lab[0])
    dashboard.open()
    for name in ("epochs", "batch size", "rate", "files", "file"):  # each field has its name for a screen reader
        assert page.get_by_label(name, exact=True).count() == 1, name
    page.get_by_label("epochs", exact=True).fill("150")
    dashboard.press_by_keyboard("zeros", "Space")
    dashboard.press_by_keyboard("START", "Enter")
    page.wait_for_function("() => document.activeElement.textContent === 'PAUSE'")
    page.get_by_text("Examined at step 1: Every weight is exactly zero: the initialisation never reached them.").wait_for()
    dashboard.press_by_keyboard("PAUSE", "Space")
    dashboard.wait_for_status("Paused after step")
    dashboard.press_by_keyboard("GO ON", "Space")
    dashboard.press_by_keyboard("STOP", "Enter")
    dashboard.wait_for_status("Stopped after")
    page.wait_for_function("() => document.activeElement.textContent === 'START'")
