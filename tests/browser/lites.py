"""The book in a browser that runs its Python itself: what its tests and its measurements share."""

import contextlib
import functools
import os
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import nbformat
import psutil
import pytest
from browser.labs import CHROMIUM, REQUIRED, choose_run_all, open_page, wait_for
from notebooks.books import ROOT, load_tool
from wasm.node import pyodide_folder

lite = load_tool("lite")
serve = load_tool("lite/serve")
SUBPATH = "some/where/"
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # no other host has an address


needs_pyodide = [
    pytest.mark.elsewhere,
    pytest.mark.skipif(not pyodide_folder(), reason="Pyodide's files are not here; PYODIDE_DIR names the folder of its full release"),
    pytest.mark.skipif(not CHROMIUM and not REQUIRED, reason="no Chromium here (Debian: apt install chromium); CI requires one"),
]


def built(folder):
    """The bundle, built as `make lite` does it, in a folder; its path."""
    environment = os.environ | {"CLLM_LITE": str(folder)}
    done = subprocess.run([sys.executable, "tools/workbook.py", "lite"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@contextlib.contextmanager
def served(folder):
    """The address of a folder, served as the classroom's server does it."""
    handler = functools.partial(serve.Handler, directory=str(folder))
    server = serve.Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def offline_page(height=1250, scheme="light", width=1280, arguments=(OFFLINE,)):
    """An empty page of a browser that reaches no other host, and a list of the hosts that were asked for anything."""
    with open_page(width, height, arguments, color_scheme=scheme, accept_downloads=True) as page:
        hosts = set()
        page.context.on("request", lambda request: hosts.add(urlsplit(request.url).netloc) if request.url.startswith("http") else None)
        yield page, hosts


def status(page):
    """The kernel's state: "idle", "busy", and so on; None before there is one."""
    return page.evaluate("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status ?? null")


def open_chapter(page, address, name):
    """Follow the start page's link to a chapter, and wait until its kernel has nothing to do."""
    page.goto(address)
    page.locator(f'a[href="lab/index.html?path={name}"]').click()
    wait_for_kernel(page)


def wait_for_kernel(page):
    """Until Python has started."""
    wait_for(lambda: page.evaluate("() => document.documentElement.dataset.cllmPython") == "ready", lambda: said(page))
    wait_for(lambda: status(page) == "idle", lambda: str(status(page)))


def said(page):
    """What the line at the bottom says."""
    return page.evaluate("() => document.getElementById('cllm-progress')?.innerText ?? ''")  # at once: it may be gone in a moment


def content(page):
    """The notebook in the page, as it would be saved."""
    model = page.evaluate(
        """() => {
            const model = window.jupyterapp.shell.currentWidget.content.model;
            const notebook = model.sharedModel.toJSON();
            notebook.cells.forEach((cell, i) => { if (cell.cell_type === 'code') cell.outputs = model.cells.get(i).outputs.toJSON(); });
            return JSON.stringify(notebook);
        }"""
    )
    return nbformat.reads(model, as_version=4)


def run_all(page):
    """Run every cell as a reader does, from the menu; the notebook once all have run."""
    choose_run_all(page)

    def counts():
        return [cell["execution_count"] for cell in content(page).cells if cell["cell_type"] == "code"]

    page.wait_for_timeout(500)
    wait_for(lambda: status(page) == "idle" and all(counts()), lambda: f"{sum(map(bool, counts()))} of {len(counts())} cells have run")
    return content(page)


def new_notebook(page, address, name, cells):
    """A notebook of these cells, put into the browser's store, and opened."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}
    page.goto(f"{address}lab/index.html")
    page.wait_for_function("() => window.jupyterapp?.serviceManager")
    page.evaluate(
        """async ([name, content]) => {
            await window.jupyterapp.restored;
            const contents = window.jupyterapp.serviceManager.contents;
            await contents.save(name, {type: 'notebook', format: 'json', content: JSON.parse(content)});
            await window.jupyterapp.commands.execute('docmanager:open', {path: name});
        }""",
        [name, nbformat.writes(notebook)],
    )
    wait_for_kernel(page)


def processor_seconds():
    """What all processes of the browsers below this one have spent."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total
