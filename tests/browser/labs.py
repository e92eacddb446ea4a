"""JupyterLab in a real browser: what the tests of this folder share."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import psutil
import pytest
from notebooks.books import ROOT
from patience import PATIENCE

from tools.workbook import chromium

CHROMIUM = chromium()
REQUIRED = bool(os.environ.get("CI"))

needs_a_browser = [
    pytest.mark.elsewhere,
    pytest.mark.skipif(not CHROMIUM and not REQUIRED, reason="no Chromium here (Debian: apt install chromium); CI requires one"),
]
TOKEN = "a-test-needs-no-secret"


@contextlib.contextmanager
def running_lab(home, theme="JupyterLab Light"):
    """What `make lab` starts, all it writes in `home`, the notebooks in its folder "workspace". Yields the address."""
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}), encoding="utf-8")
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
        wait_for(lambda: ask(address, "/api") is not None, lambda: log.read_text(errors="replace")[-2000:])
        yield address
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), server]:
            process.terminate()
        server.wait(20)


def ask(address, path):
    """A JSON answer of the server, or None while it does not listen."""
    try:
        with urllib.request.urlopen(f"{address}{path}?token={TOKEN}", timeout=PATIENCE) as answer:
            return json.load(answer)
    except OSError:
        return None


def wait_for(condition, explain=lambda: ""):
    """Until it holds. What `explain` says is the failure's reason; while it still changes, something goes on, and no one gives up."""
    changed, last = time.monotonic(), explain()
    while not condition():
        now = explain()
        if now != last:
            changed, last = time.monotonic(), now
        assert time.monotonic() < changed + PATIENCE, f"for {PATIENCE} s nothing happened. {now}"
        time.sleep(0.3)


def lab_with(name, cells, themes=("Light", "Dark")):
    """A fixture: JupyterLab with one notebook of these cells, once in each theme. Its value is the address and the theme in lower case."""

    @pytest.fixture(scope="module", params=themes, ids=str.lower)
    def lab(request, tmp_path_factory):
        home = tmp_path_factory.mktemp("lab")
        with running_lab(home, theme=f"JupyterLab {request.param}") as address:
            write_notebook(home / "workspace" / name, cells)
            yield address, request.param.lower()

    return lab


def write_notebook(path, sources):
    """A notebook of these code cells, for the kernel that every environment has."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, path)


def open_notebook(page, address, name):
    """Go to a notebook of the workspace, and wait until its kernel has nothing to do."""
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}&reset")
    page.locator(".jp-CodeCell").first.wait_for()
    wait_for(lambda: kernel_is_idle(address))


def run_cell(page, i):
    """Run the code cell of that number, counted from 0."""
    page.locator(".jp-CodeCell .cm-content").nth(i).click()
    page.keyboard.press("Control+Enter")


@contextlib.contextmanager
def open_page(width=1280, height=900, arguments=(), **settings):
    """An empty page of so many pixels, in a browser of its own, started with further arguments; settings are those of its context."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        always = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*always, *arguments])
        page = browser.new_page(viewport={"width": width, "height": height}, **settings)
        page.set_default_timeout(1000 * PATIENCE)
        yield page
        browser.close()


def kernel_is_idle(lab):
    sessions = ask(lab, "/api/sessions") or []
    return any(s["kernel"]["execution_state"] == "idle" and s["kernel"]["connections"] >= 1 for s in sessions)


def from_the_kernel_menu(page, entry):
    """Choose an entry of JupyterLab's menu Kernel, and say yes if it asks."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator(".lm-Menu").get_by_text(entry, exact=True).click()
    if entry.endswith("…"):
        page.locator(".jp-Dialog .jp-mod-accept").click()


def open_chapter(page, lab, name):
    page.goto(f"{lab}/lab/tree/{name}?token={TOKEN}&reset")
    page.get_by_role("heading", name=re.compile(r"^\d\d · ")).first.wait_for()
    wait_for(lambda: kernel_is_idle(lab))


def choose_run_all(page):
    """The entry of JupyterLab's menu Run."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator("#jp-mainmenu-run").get_by_text("Run All Cells", exact=True).click()


def run_all(page, lab, name):
    """Run every cell as a reader does, from the menu; return the chapter as saved once all have run."""
    choose_run_all(page)
    content = {}

    def code():
        return [cell for cell in content.get("cells", []) if cell["cell_type"] == "code"]

    def all_have_run():
        page.keyboard.press("Control+s")
        page.wait_for_timeout(700)
        was_idle = kernel_is_idle(lab)  # between two cells a kernel is idle for a moment; hence the counts, and twice
        content.update(ask(lab, f"/api/contents/{name}")["content"])
        return was_idle and kernel_is_idle(lab) and all(cell["execution_count"] for cell in code())

    wait_for(all_have_run, lambda: f"{sum(cell['execution_count'] is not None for cell in code())} of {len(code())} cells have run")
    return nbformat.from_dict(content)
