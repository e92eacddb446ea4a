"""JupyterLab as a reader meets it, in a real browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import psutil
import pytest
from notebooks.books import NAMES, ROOT, load_tool, texts

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = bool(os.environ.get("CI"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM and not REQUIRED, reason="no Chromium here (Debian: apt install chromium); CI requires one"),
]
TOKEN = "a-test-needs-no-secret"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """What `make lab` starts, with every folder it writes in a temporary one. Yields its address."""
    home = tmp_path_factory.mktemp("lab")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{name}": str(home / name.lower()) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    folders |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    folders |= {"CLLM_WORKSPACE": str(home / "workspace"), "HOME": str(home)}
    command = [sys.executable, "tools/workbook.py", "lab", str(port), "--no-browser", f"--IdentityProvider.token={TOKEN}"]
    log = home / "lab.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | folders, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: ask(address, "/api") is not None, 60, lambda: log.read_text(errors="replace")[-2000:])
        yield address
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), server]:
            process.terminate()
        server.wait(20)


def ask(address, path):
    """A JSON answer of the server, or None while it does not listen."""
    try:
        with urllib.request.urlopen(f"{address}{path}?token={TOKEN}", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def wait_for(condition, seconds, explain=lambda: ""):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s. {explain()}"
        time.sleep(0.3)


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()


def kernel_is_idle(lab):
    sessions = ask(lab, "/api/sessions") or []
    return any(s["kernel"]["execution_state"] == "idle" and s["kernel"]["connections"] >= 1 for s in sessions)


def open_chapter(page, lab, name):
    page.set_default_timeout(30_000)
    page.goto(f"{lab}/lab/tree/{name}?token={TOKEN}&reset")
    page.get_by_role("heading", name=re.compile(r"^0\d · ")).first.wait_for()
    wait_for(lambda: kernel_is_idle(lab), 60)


def run_all(page, lab, name, seconds):
    """Run every cell as a reader does, from the menu; return the chapter as saved once all have run."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator("#jp-mainmenu-run").get_by_text("Run All Cells", exact=True).click()
    content = {}

    def all_have_run():
        page.keyboard.press("Control+s")
        page.wait_for_timeout(700)
        was_idle = kernel_is_idle(lab)  # between two cells a kernel is idle for a moment; hence the counts, and twice
        content.update(ask(lab, f"/api/contents/{name}")["content"])
        code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        return was_idle and kernel_is_idle(lab) and all(cell["execution_count"] for cell in code)

    wait_for(all_have_run, seconds)
    return nbformat.from_dict(content)


@pytest.mark.parametrize("name", [f"{name}.ipynb" for name in NAMES])
def test_a_chapter_runs_to_its_end_and_shows_the_stored_numbers(page, lab, name):
    open_chapter(page, lab, name)
    executed = run_all(page, lab, name, seconds=150)
    errors = [o for cell in executed.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert errors == []
    stored = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    for cell in executed.cells:  # the page keeps the pieces in which a kernel printed
        cell["outputs"] = load_tool("execute_notebooks").joined_streams(cell.get("outputs", []))
    assert texts(executed) == texts(stored)
    for widget in WIDGETS.get(name[:2], ()):
        widget_follows_the_keyboard(page, "\n".join(texts(stored)), *widget)


# Of each widget: what its picture's description begins with, the number it opens with, and where the static figure
# beside it printed the same number.
WIDGETS = {
    "01": [("Loss of a uniform guess", r"it is ([\d.]+) nats", r"this model \(V = 10,000\): at ([\d.]+)")],
    "02": [("Map of attention weights", r" b1 ([\d.]+)", r"head \d, trained: the last row, b, is largest at b1 \(column 3\): ([\d.]+)")],
    "03": [("Gradient against measured slope", r"factor (-?[\d.]+)", r"24 entries: factor (-?[\d.]+)")],
    "04": [("Path of ", r"the loss is ([\d.]+)", r"momentum 0\.01: from 33 to ([\d.]+)")],
}


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
        before = picture.get_attribute("aria-label")
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
        for key in ("ArrowLeft", "ArrowRight"):  # the slider may stand at its left end
            page.keyboard.press(key)
            if changes(page, picture, before):
                break
        else:
            raise AssertionError(f"slider {i} moves nothing: {before}")


def changes(page, picture, before, seconds=8):
    """Whether a picture's description becomes another one: the kernel draws it, and may be busy."""
    for _ in range(10 * seconds):
        if picture.get_attribute("aria-label") != before:
            return True
        page.wait_for_timeout(100)
    return False
