"""The book in a browser that runs its Python itself, from a folder below a server's address, with no other host in reach."""

import re
import shutil
import zipfile

import nbformat
import pytest
from browser.labs import wait_for
from browser.lites import (
    SUBPATH,
    built,
    content,
    lite,
    needs_pyodide,
    new_notebook,
    offline_page,
    open_chapter,
    run_all,
    said,
    served,
    status,
)
from notebooks.books import NAMES, ROOT, load_tool, texts

pytestmark = needs_pyodide

READY = "() => document.documentElement.dataset.cllmPython"
MOVING = "() => document.getAnimations().map(moving => String(moving.effect?.target?.className))"
RUN_HERE = [name for name in NAMES if name[:2] not in lite.READ_HERE]
QUICK = ("00",)  # chapters that run to their end on each change; the others weekly
CELLS = (
    "import matplotlib.pyplot as plt\n\nplt.plot([1, 2])\nplt.show()",
    "import sympy\n\nsympy.factorint(92_103)",
    "from cllm_lib.workbook.widgets import training_dashboard\n\ndashboard = training_dashboard(epochs=600)\ndashboard",
    "from cllm_lib.workbook.widgets import UniformLossExplorer, spiral_explorer\n\nUniformLossExplorer()",
    "spiral_explorer()",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A server's folder; the bundle stands deeper in it."""
    folder = tmp_path_factory.mktemp("served")
    built(folder / SUBPATH)
    return folder


@pytest.fixture(scope="module")
def address(home):
    with served(home) as root:
        yield root + SUBPATH


@pytest.fixture(scope="module")
def panels(address):
    """A page with a notebook of widgets, and its hosts."""
    with offline_page() as (page, hosts):
        new_notebook(page, address, "panels.ipynb", CELLS)
        yield page, hosts


def outputs(page, i):
    """What the code cell of that number shows."""
    cell = content(page).cells[i]
    return "".join("".join(output.get("text", "") or output.get("data", {}).get("text/plain", "")) for output in cell["outputs"])


def finish_cell(page, i):
    """Run a cell, and wait until it has run; JupyterLab builds only the cells in view."""
    page.evaluate(
        """i => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = i;
            notebook.scrollToItem(i, 'start').then(() => window.jupyterapp.commands.execute('notebook:run-cell'));
            return null;
        }""",
        i,
    )
    wait_for(lambda: content(page).cells[i]["execution_count"] and status(page) == "idle", lambda: str(status(page)))


def test_the_bundle_asks_nobody_else_for_its_python(home):
    lite.check_local(home / SUBPATH)
    for name in ("index.html", "progress.js", "start.js", "start.css", "lab/index.html", "repl/index.html"):
        assert "//cdn" not in (home / SUBPATH / name).read_text(encoding="utf-8")


def test_the_classroom_file_is_small_enough(home, tmp_path):
    lite.pack(home / SUBPATH, tmp_path / "class.zip")
    with zipfile.ZipFile(tmp_path / "class.zip") as archive:
        names = archive.namelist()
    assert {"class/serve.py", "class/README.txt", "class/book/index.html", "class/book/static/pyodide/pyodide.asm.wasm"} <= set(names)
    assert (tmp_path / "class.zip").stat().st_size <= lite.MOST_ZIPPED


def test_the_dashboard_opens_by_itself_in_another_page_and_hears_mouse_and_keyboard(home, address):
    frame = f'<iframe title="it" src="{SUBPATH}{lite.dashboard_link()}" style="width: 328px; height: 700px"></iframe>'
    (home / "page.html").write_text(frame, encoding="utf-8")
    with offline_page(width=360, height=800) as (page, hosts):
        page.goto(f"{address.removesuffix(SUBPATH)}page.html")
        inside = page.frame_locator("iframe")
        start = inside.get_by_role("button", name="START")
        wait_for(start.is_visible, lambda: inside.locator("body").inner_text())
        assert inside.locator(".jp-CodeConsole-input").is_hidden()  # a prompt would take the focus
        wait_for(inside.locator("#cllm-progress").is_hidden)
        start.click()  # the first one: a page that then scrolled below the mouse would take it for none
        wait_for(inside.get_by_text(re.compile(r"After step \d+ it says")).first.is_visible)
        inside.get_by_role("button", name="STOP").press("Enter")
        wait_for(inside.get_by_text(re.compile("Stopped after|Done:")).first.is_visible)
        assert hosts == {address.split("/")[2]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_start_page_leads_to_every_chapter_and_fetches_python_on_demand(address, scheme):
    with offline_page(scheme=scheme, width=900) as (page, hosts):
        page.goto(address)
        links = page.locator("main ol a")
        assert [link.get_attribute("href") for link in links.all()] == [f"lab/index.html?path={name}.ipynb" for name in NAMES]
        assert page.locator("#needs-server").is_hidden()
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("Tab")  # the first stop
        assert page.evaluate("() => document.activeElement.id") == "fetch"
        page.keyboard.press("Enter")
        page.get_by_text("Fetched: a chapter now opens without waiting").wait_for()
        assert page.locator("#bar").evaluate("bar => bar.value") == 1
        assert hosts == {address.split("/")[2]}


def test_a_page_opened_as_a_file_says_what_it_needs(home):
    with offline_page() as (page, _):
        page.goto((home / SUBPATH / "index.html").as_uri())
        assert "It needs the small server" in page.get_by_role("alert").inner_text()
        page.goto((home / SUBPATH / "lab" / "index.html").as_uri())
        assert "It needs the small server" in page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name[:2] in QUICK else pytest.mark.slow) for name in RUN_HERE])
def test_a_chapter_runs_to_its_end_and_prints_the_stored_text(address, name):
    with offline_page() as (page, hosts):
        open_chapter(page, address, f"{name}.ipynb")
        assert not any(cell.get("outputs") for cell in content(page).cells)  # a reader guesses first
        stored = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        executed = run_all(page)
        assert hosts == {address.split("/")[2]}
    found = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert [output for output in found if output.output_type == "error" or output.get("name") == "stderr"] == []
    for cell in executed.cells:
        cell["outputs"] = load_tool("execute_notebooks").joined_streams(cell.get("outputs", []))
    assert texts(executed) == texts(stored)


def test_python_starts_with_a_line_that_says_how_far_it_is(address):
    with offline_page() as (page, _):
        page.goto(f"{address}lab/index.html?path=00_start_here.ipynb")
        seen, turning = [], set()

        def ready():
            seen.append(said(page))
            turning.update(page.evaluate(MOVING))
            return page.evaluate(READY) == "ready"

        wait_for(ready, lambda: seen[-1] if seen else "")
        told = "\n".join(seen)
        assert re.search(r"Fetching Python\n\d+ of \d+ MB", told)
        assert "Starting Python" in told
        assert not any("KernelStatus" in name for name in turning)  # a turning wheel takes time that Python needs
        assert page.locator("#cllm-progress").count() == 0


def test_on_a_phone_the_chapter_has_the_room_and_a_page_loaded_once_more_opens_it_again(address):
    with offline_page(width=360, height=740) as (page, _):
        page.goto(f"{address}lab/index.html?path=00_start_here.ipynb")
        chapter = page.locator(".jp-Notebook")
        chapter.wait_for()
        wait_for(lambda: chapter.bounding_box()["width"] > 250, lambda: str(chapter.bounding_box()))
        wait_for(lambda: "path=00_start_here.ipynb" in page.url, lambda: page.url)
        page.reload()
        page.locator(".jp-Notebook").wait_for()


def test_a_picture_and_plain_imports_bring_no_red_line(panels):
    page, hosts = panels
    for i in (0, 1):
        finish_cell(page, i)
    assert outputs(page, 1) == "{3: 1, 11: 1, 2791: 1}"
    kinds = [output.get("name", output.output_type) for cell in content(page).cells[:2] for output in cell["outputs"]]
    assert "stderr" not in kinds
    assert "error" not in kinds
    assert len(hosts) == 1


class Dashboard:
    """The dashboard on the page."""

    def __init__(self, page):
        self.page = page

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def press_by_keyboard(self, name, key):
        self.page.get_by_role("button", name=name, exact=True).focus()
        self.page.keyboard.press(key)

    def told(self):
        return "\n".join(self.page.locator(".jp-OutputArea-output p[role=status], .jp-OutputArea-output p[role=alert]").all_inner_texts())

    def wait_for(self, pattern):
        wait_for(lambda: re.search(pattern, self.told()), self.told)
        return re.search(pattern, self.told())

    def step(self):
        return int(self.wait_for(r"step ([\d,]+): loss")[1].replace(",", ""))


def test_the_dashboard_trains_stops_saves_to_a_download_and_takes_a_file(panels, tmp_path):
    page, _ = panels
    finish_cell(page, 2)
    dashboard = Dashboard(page)
    dashboard.press("START")
    dashboard.wait_for(r"Epoch [2-9]")
    page.get_by_text(re.compile("it says: the sky is")).wait_for()
    assert "training" in page.locator("svg[aria-label^='Loss after']").first.get_attribute("aria-label")
    at = dashboard.step()
    dashboard.press("STOP")
    stopped, steps = (int(number.replace(",", "")) for number in dashboard.wait_for(r"Stopped after ([\d,]+) of ([\d,]+)").groups())
    assert at <= stopped < steps
    dashboard.press_by_keyboard("SAVE", "Enter")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download dashboard.safetensors").click()
    kept = tmp_path / "mine.safetensors"
    shutil.copy(download.value.path(), kept)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="FROM A FILE").click()
    chooser.value.set_files(kept)
    dashboard.wait_for(rf"Loaded: {stopped:,} steps on sayings, from mine.safetensors")
    dashboard.press_by_keyboard("START", "Enter")
    dashboard.wait_for(r"Epoch \d")
    wait_for(lambda: dashboard.step() > stopped, dashboard.told)
    dashboard.press_by_keyboard("PAUSE", "Space")
    dashboard.wait_for("Paused after step")
    dashboard.press_by_keyboard("GO ON", "Space")
    dashboard.press_by_keyboard("STOP", "Enter")
    dashboard.wait_for("Stopped after")


def test_a_slider_follows_the_arrow_keys_and_pages_of_our_own_work(panels):
    page, _ = panels
    for i in (3, 4):
        finish_cell(page, i)
    slider = page.get_by_role("slider").first
    slider.scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)  # JupyterLab attaches a cell anew when it comes into view, and focus is lost
    slider.focus()
    value = slider.get_attribute("aria-valuetext")  # the other attribute is rounded
    page.keyboard.press("ArrowRight")
    wait_for(lambda: slider.get_attribute("aria-valuetext") != value)
    page.locator(".jp-OutputArea-output canvas").first.wait_for()  # the plane of the spirals' explorer
