"""The chat panel in JupyterLab, with the real model: asked, watched, walked through, stopped, by keyboard and by mouse."""

import os
import re
from pathlib import Path

import pytest
from browser.labs import from_the_kernel_menu, lab_with, needs_a_browser, open_notebook, open_page, run_cell, wait_for

pytestmark = needs_a_browser

# `make docs` names the folder of the stored screenshots; a test run leaves them in a temporary one.
SCREENSHOTS = os.environ.get("CLLM_SCREENSHOTS")
NAME = "chat.ipynb"
CELLS = (
    "from cllm_lib.pretrained import load_chat_model\nfrom cllm_lib.workbook.widgets import chat_panel\n\n"
    "panel = chat_panel(load_chat_model(), max_new_tokens=44)\npanel",
    "print('asked in between, at token', len(panel.answer))",
)
lab = lab_with(NAME, CELLS)


@pytest.fixture
def page():
    with open_page(height=1000) as page:
        yield page


def opened(page, lab):
    open_notebook(page, lab[0], NAME)
    run_cell(page, 0)
    page.get_by_label("you say", exact=True).wait_for()


def status(page):
    return page.locator(".jp-OutputArea-output p[role=status], .jp-OutputArea-output p[role=alert]").first.inner_text()


def wait_for_status(page, pattern):
    wait_for(lambda: re.search(pattern, status(page)), lambda: status(page))


def ask(page, words):
    page.get_by_label("you say", exact=True).fill(words)
    page.keyboard.press("Enter")


def runners_up(page):
    return page.locator("svg[aria-label^='Token ']").get_attribute("aria-label")


def test_enter_sends_and_the_answer_can_be_walked_through(page, lab, tmp_path):
    opened(page, lab)
    ask(page, "Why is the sky blue?")
    page.locator("svg[aria-label^='Token ']").wait_for()
    run_cell(page, 1)  # the kernel is free meanwhile
    page.get_by_text(re.compile(r"asked in between, at token \d+")).wait_for()
    wait_for_status(page, r"No more than 44 tokens were asked for: 44 tokens, 36 read before them")
    assert "Rayleigh scattering" in page.get_by_role("log", name="conversation").inner_text()
    assert runners_up(page).startswith("Token 44 of 44: ")
    slider = page.get_by_role("slider", name="token", exact=True)
    slider.focus()
    for _ in range(21):
        page.keyboard.press("ArrowLeft")
    page.locator("svg[aria-label^='Token 23 of 44: ']").wait_for()
    assert re.search(r"probability 0\.\d\d\. Runners-up: (\S+ \d\.\d\d, ){4}\S+ \d\.\d\d$", runners_up(page))
    folder = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
    page.get_by_label("you say", exact=True).evaluate("field => field.blur()")
    page.locator(".cllm-panel").first.screenshot(path=folder / f"chat_{lab[1]}.png")


def test_stop_is_heard_within_a_token(page, lab):
    opened(page, lab)
    ask(page, "Tell me a long story.")
    page.locator("svg[aria-label^='Token ']").wait_for()
    button = page.get_by_role("button", name="STOP", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    pressed_at = int(re.match(r"Token \d+ of (\d+)", runners_up(page))[1])
    wait_for_status(page, r"Stopped: \d+ tokens")
    assert int(re.search(r"Stopped: (\d+)", status(page))[1]) <= pressed_at + 3  # with what was on its way to the page
    page.get_by_role("button", name="NEW", exact=True).press("Space")
    wait_for_status(page, "The conversation is forgotten")
    wait_for(lambda: page.get_by_role("log", name="conversation").inner_text().strip() == "")


def test_interrupt_kernel_stops_it_and_what_cannot_be_done_is_said(page, lab):
    opened(page, lab)
    ask(page, "  ")
    wait_for_status(page, "Not done. There is no message yet")
    ask(page, "Count to a hundred.")
    page.locator("svg[aria-label^='Token ']").wait_for()
    from_the_kernel_menu(page, "Interrupt Kernel")
    wait_for_status(page, r"Stopped: \d+ tokens")


def test_it_fits_into_a_narrow_window(page, lab):
    opened(page, lab)
    page.set_viewport_size({"width": 900, "height": 1200})
    ask(page, "Hello")
    page.locator("svg[aria-label^='Token ']").wait_for()
    wait_for_status(page, "tokens,")
    outside = page.evaluate(
        """() => [...document.querySelectorAll(".cllm-panel :is(svg, p, button, input)")].map(part => {
            const [inner, outer] = [part, part.closest(".jp-OutputArea-output")].map(e => e.getBoundingClientRect());
            return inner.right - outer.right;
        })"""
    )
    assert max(outside) <= 1
