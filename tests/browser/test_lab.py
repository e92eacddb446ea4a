"""JupyterLab as a reader meets it, in a real browser."""

import json
import math
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
    if name.startswith("01"):
        slider_follows_the_keyboard(page)


def slider_follows_the_keyboard(page):
    """The widget opens with the static figure's number, and the arrow keys move it."""
    handle = page.get_by_role("slider").first
    panel = page.locator(".jp-WindowedPanel-outer").first
    panel.evaluate("panel => panel.scrollTop = 0")
    for _ in range(60):  # JupyterLab builds only the cells in view
        if handle.count():
            break
        panel.evaluate("panel => panel.scrollTop += 400")
        page.wait_for_timeout(200)
    handle.scroll_into_view_if_needed()
    picture = page.locator("svg[aria-label*='uniform guess']").first
    assert "at V = 10,000 it is 9.2103 nats" in picture.get_attribute("aria-label")
    handle.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("!document.querySelector(\"svg[aria-label*='uniform guess']\").getAttribute('aria-label').includes('10,000')")
    label = picture.get_attribute("aria-label")
    size, loss = re.search(r"at V = ([\d,]+) it is ([\d.]+) nats", label).groups()
    assert float(loss) == pytest.approx(math.log(int(size.replace(",", ""))), abs=1e-4)
    assert int(size.replace(",", "")) < 10_000
