"""The site as readers meet it: built as `make site` does it, below a path of a server with no other host in reach, and as files."""

import itertools
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from browser.labs import needs_a_browser
from browser.lites import offline_page, served
from notebooks.books import NAMES, ROOT

pytestmark = needs_a_browser

SUBPATH = "workbook/"
KINDS = (  # a page of each kind
    "index.html",
    f"notebooks/{NAMES[1]}.html",
    f"notebooks/{NAMES[7]}.html",
    "docs/GLOSSARY.html",
    "docs/BIBLIOGRAPHY.html",
    "docs/DOCTOR.html",
    "evidence/pages/index.html",
    "evidence/pages/DOCTOR.html",
    "api/cllm_lib.model.html",
    "api/cllm_lib.training.html",
    "docs/teach/slides_01.html",
    "search.html",
)
MOST_BYTES = 2_500_000  # of a page with all that it fetches
PHONE = 360  # pixels


class Page(HTMLParser):
    """What a page links to, the names of its places, and its pictures' texts."""

    def __init__(self, path):
        super().__init__()
        self.names, self.links, self.pictures, self.fetched = set(), [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = {name: value for name, value in attributes if not (value or "").startswith("data:")}  # a picture of its own
        self.names.add(found.get("id"))
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        if found.get("src") or (tag == "link" and found.get("rel") == "stylesheet"):
            self.fetched.append(found.get("src") or found["href"])
        if tag == "img":
            self.pictures.append((found.get("src"), found.get("alt")))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A server's folder; the site stands below a path of it, with a stand-in for the book in a browser."""
    folder = tmp_path_factory.mktemp("served")
    for app, what in (("lab", "a chapter"), ("repl", "the dashboard")):
        (folder / "lite" / app).mkdir(parents=True)
        (folder / "lite" / app / "index.html").write_text(f"<title>{what} runs here</title><p>{what}</p>", encoding="utf-8")
    environment = os.environ | {"CLLM_SITE": str(folder / SUBPATH), "CLLM_LITE": str(folder / "lite")}
    done = subprocess.run([sys.executable, "tools/workbook.py", "site"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(home):
    with served(home) as root:
        yield root + SUBPATH


@pytest.fixture(scope="module")
def pages(home):
    """All pages of the site, by their files."""
    return {path.resolve(): Page(path) for path in (home / SUBPATH).rglob("*.html") if "lite" not in path.relative_to(home).parts}


def test_every_link_and_fragment_is_good_and_nothing_is_fetched_from_elsewhere(pages):
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                assert link.startswith("https://"), (path.name, link)
                continue
            name, _, fragment = link.partition("#")
            target = (path.parent / unquote(name.partition("?")[0])).resolve() if name else path
            assert target.is_file(), (path.name, link)
            assert not fragment or target not in pages or unquote(fragment) in pages[target].names, (path.name, link)


def test_every_picture_has_the_text_that_the_notebook_has_for_it(home, pages):
    for name in NAMES:
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        texts = [output["metadata"]["image/png"]["alt"] for output in outputs]
        page = pages[(home / SUBPATH / "notebooks" / f"{name}.html").resolve()]
        assert [text for _, text in page.pictures] == texts
    assert all(text and not text.endswith(".png") for page in pages.values() for _, text in page.pictures)


def test_no_page_shows_what_only_a_notebook_can_use(pages):
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert "not attempted yet: the notebook goes on" not in text
        assert "cllm-sleeping" not in text


def test_no_page_shows_the_stars_of_words_that_are_stressed(pages):
    """A line of HTML in a notebook, and a docstring, are not read as Markdown is."""
    for path in pages:
        seen = re.sub(r"<(script|style|pre|code|math|dt)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.findall(r"(?<![\w*])\*{1,2}[A-Za-z][^*\n]{0,60}[A-Za-z.]\*{1,2}(?![\w*])", re.sub("<[^>]+>", "", seen)), path.name


def lacking(page):
    """What a page lacks for those who hear or cannot see it well: rules of WCAG 2.1, A and AA, and headings in order."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("() => Promise.all(document.getAnimations().map(moving => moving.finished))")  # a button's colour fades in
    only = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=only)
    levels = page.evaluate("() => [...document.querySelectorAll('h1, h2, h3, h4')].map(heading => Number(heading.tagName[1]))")
    in_order = levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    return [found.generate_report()] * bool(found.violations_count) + [f"headings of levels {levels}"] * (not in_order)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_each_kind_is_accessible_and_asks_nobody_else(address, scheme):
    with offline_page(scheme=scheme, height=900) as (page, hosts):
        for name in KINDS:
            page.goto(address + name)
            assert lacking(page) == [], name
        assert hosts == {address.split("/")[2]}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(home, address, pages, scheme):
    found = {}
    with offline_page(scheme=scheme, height=900) as (page, _):
        for path in sorted(pages):
            page.goto(address + path.relative_to((home / SUBPATH).resolve()).as_posix())
            found[path.name] = lacking(page)
    assert {name: lacks for name, lacks in found.items() if lacks} == {}


def test_every_page_fits_a_phone(home, address, pages):
    widths = {}
    with offline_page(width=PHONE, height=740) as (page, _):
        for path in sorted(pages):
            page.goto(address + path.relative_to((home / SUBPATH).resolve()).as_posix())
            widths[path.name] = page.evaluate("() => document.documentElement.scrollWidth")
    assert {name: width for name, width in widths.items() if width > PHONE} == {}


def test_every_page_is_small_with_all_that_it_fetches(pages):
    for path, page in pages.items():
        files = {path, *((path.parent / link.partition("?")[0]).resolve() for link in page.fetched)}
        assert sum(file.stat().st_size for file in files) < MOST_BYTES, path.name


def test_a_bet_is_placed_by_keyboard_and_answered_at_once(address):
    with offline_page() as (page, _):
        page.goto(address)
        page.get_by_label("The weights were never initialised properly").focus()
        page.keyboard.press("Space")
        assert "would move the loss" in page.locator("#answer").inner_text()
        page.keyboard.press("ArrowDown")
        assert "a thousand times as large" in page.locator("#answer").inner_text()


def led_to(page, title):
    """Wait until a click has led to the page whose title begins so, and that is loaded with all that it looks like."""
    page.wait_for_function("title => document.title.startsWith(title) && document.readyState === 'complete'", arg=title)


def test_a_chapter_is_run_in_the_browser_from_its_page(address):
    with offline_page() as (page, _):
        page.goto(f"{address}notebooks/{NAMES[0]}.html")
        page.get_by_role("link", name="Run this chapter").click()
        led_to(page, "a chapter runs here")


def test_the_dashboard_opens_in_the_first_page_and_then_on_its_own(address):
    with offline_page(scheme="dark") as (page, _):
        page.goto(address)
        page.get_by_role("link", name="Start the dashboard").focus()
        page.keyboard.press("Enter")
        page.frame_locator('iframe[title="The training dashboard"]').get_by_text("the dashboard").wait_for()
        source = parse_qs(urlsplit(page.locator("#dashboard iframe").get_attribute("src")).query)
        assert "training_dashboard()" in source["code"][0]
        assert source["theme"] == ["JupyterLab Dark"]
        page.get_by_role("link", name="Open it on a page of its own").click()
        led_to(page, "the dashboard runs here")


def test_a_picture_opens_larger_over_the_page_and_leads_back_to_where_one_read(address):
    with offline_page(width=PHONE, height=740) as (page, _):
        page.goto(f"{address}notebooks/{NAMES[1]}.html")
        link = page.locator("a.larger").first
        link.focus()
        page.keyboard.press("Enter")
        view = page.locator("dialog.picture[open]")
        picture, told = view.locator("img"), view.locator("p")
        told.filter(has_text=re.compile(r"\w")).wait_for()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
        assert picture.bounding_box()["width"] > 1.5 * PHONE
        assert told.inner_text() == picture.get_attribute("alt") == link.locator("img").get_attribute("alt")
        assert lacking(page) == []
        page.keyboard.press("Tab")  # to the picture, which the arrow keys then move
        page.keyboard.press("Escape")
        view.wait_for(state="hidden")
        assert link.evaluate("link => link === document.activeElement")
        here = page.url
        link.click()
        page.go_back()  # a phone's way out of what lies over the page
        view.wait_for(state="hidden")
        assert page.url == here


def test_on_a_phone_contents_and_menu_lie_over_the_page_until_a_place_is_chosen_or_they_are_closed(address):
    with offline_page(width=PHONE, height=740) as (page, _):
        page.goto(f"{address}notebooks/{NAMES[1]}.html")
        panel = page.locator("dialog[open]")
        page.get_by_role("button", name="Contents").click()
        panel.get_by_role("link", name="The incident").click()
        assert (panel.count(), urlsplit(page.url).fragment) == (0, "the-incident")
        page.get_by_role("button", name="Menu").click()
        panel.get_by_role("button", name="Close").click()
        assert panel.count() == 0


def test_a_chapter_that_the_search_found_opens_where_the_word_is(address):
    with offline_page() as (page, _):
        page.goto(f"{address}search.html?q=residual")
        link = page.locator(f'#search-results a[href*="{NAMES[1]}"]').first
        link.wait_for()
        assert "System Settings" not in page.locator("#search-results").inner_text()
        link.click()
        page.wait_for_function("() => document.title !== 'Search - The CLLM Workbook' && window.scrollY > 100")


def test_colours_are_chosen_by_keyboard_and_the_focus_stays_where_it_was(address):
    with offline_page() as (page, _):
        page.goto(address)
        button = page.locator(".theme-switch-button")
        button.focus()
        for key in ("Enter", "ArrowDown", "ArrowDown", "ArrowDown", "Enter"):  # the third choice is dark
            page.keyboard.press(key)
        page.locator("html[data-theme=dark]").wait_for()
        assert button.evaluate("button => button === document.activeElement")


@pytest.mark.parametrize(
    ("asked", "place"), [("residual", "residual-connection"), ("mean pooling", "mean-pooling"), ("cross-entropy", "cross-entropy")]
)
def test_search_shows_a_term_of_the_glossary_first_by_each_of_its_forms(address, asked, place):
    with offline_page() as (page, _):
        page.goto(f"{address}search.html?q={asked}")
        first = page.locator("#search-results li > a").first
        first.wait_for()
        page.get_by_text("Search finished").wait_for()
        assert first.get_attribute("href").partition("#")[::2] == ("docs/GLOSSARY.html", place)


def test_search_finds_a_chapter_and_as_files_it_says_what_it_cannot(home, address):
    with offline_page() as (page, _):
        page.goto(f"{address}search.html?q=softmax")
        page.locator("#search-results a").first.wait_for()
        assert page.get_by_text("These pages were opened as files").count() == 0
        page.goto((home / SUBPATH / "search.html").as_uri() + "?q=softmax")
        page.get_by_text("These pages were opened as files").wait_for()
        page.locator("#search-results a").first.wait_for()


def test_as_files_the_pages_look_and_lead_as_they_should(home):
    with offline_page() as (page, hosts):
        page.goto((home / SUBPATH / "index.html").as_uri())
        page.get_by_role("link", name="Read chapter 01: the case").click()
        led_to(page, "01 · The loss that never moves")
        assert page.evaluate("() => getComputedStyle(document.querySelector('.run-chapter')).display") == "flex"
        assert hosts == set()


def test_the_folder_has_no_file_that_no_page_needs_and_no_path_of_this_machine(home):
    assert [path for path in (home / SUBPATH).rglob(".*") if path.name != ".nojekyll"] == []
    for path in (path for path in (home / SUBPATH).rglob("*") if path.is_file() and path.suffix in (".html", ".js", ".css", ".txt")):
        assert str(ROOT).encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_the_book_on_paper_leads_to_no_machine(tmp_path):
    environment = os.environ | {"CLLM_SITE": str(tmp_path / "site"), "CLLM_LITE": str(tmp_path / "none")}
    done = subprocess.run([sys.executable, "tools/workbook.py", "pdf"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = (tmp_path / "cllm-workbook.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert int(re.search(r"Printed .*: (\d+) pages", done.stdout)[1]) > 300
    for address in (b"(file:", b"(http://127.", b"(http://localhost"):  # how a link is written there
        assert address not in printed
