"""The builder of the book for a browser, without Pyodide: locks, wheels, pages, the classroom's server."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
import zipfile
from functools import partial
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
from notebooks.books import NAMES, ROOT, load_tool
from patience import PATIENCE

lite = load_tool("lite")
serve = load_tool("lite/serve")
PACKAGES = {
    "a": {"depends": ["B_b"], "file_name": "a-1-py3-none-any.whl"},
    "b-b": {"depends": ["c"], "file_name": "b-1-py3-none-any.whl"},
    "c": {"depends": ["a"], "file_name": "c-1-py3-none-any.whl"},
    "d": {"depends": [], "file_name": "d-1-py3-none-any.whl"},
}
METADATA = """Metadata-Version: 2.4
Name: cllm-workbook
Version: 0.2.0
Requires-Dist: numpy>=2.0
Requires-Dist: safetensors>=0.5.3
Requires-Dist: matplotlib>=3.9; extra == 'notebooks'
Provides-Extra: notebooks

What it is."""


def made_wheel(path, files):
    """A wheel of these files, its own list of them filled in."""
    record = "\n".join([*(lite.record_line(name, text.encode()) for name, text in files.items()), "x-1.dist-info/RECORD,,", ""])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (files | {"x-1.dist-info/RECORD": record}).items():
            archive.writestr(name, text)
    return path


# Pyodide's files


def test_without_pyodide_one_sentence_says_what_to_fetch_and_which_variable_to_set(tmp_path):
    for environ in ({}, {"PYODIDE_DIR": str(tmp_path / "nowhere")}):
        with pytest.raises(SystemExit, match=r"official release of Pyodide 0\.27\.7.*PYODIDE_DIR") as caught:
            lite.pyodide_folder(tmp_path / "book", environ)
        assert "\n" not in str(caught.value)


def test_another_version_is_refused(tmp_path):
    (tmp_path / "pyodide-lock.json").write_text('{"info": {"version": "0.28.0"}}', encoding="utf-8")
    with pytest.raises(SystemExit, match=r"holds Pyodide 0\.28\.0"):
        lite.pyodide_folder(tmp_path, {"PYODIDE_DIR": str(tmp_path)})


def test_it_is_found_beside_the_folder_or_where_the_variable_says(tmp_path):
    beside = tmp_path / "shared" / "pyodide"
    beside.mkdir(parents=True)
    (beside / "pyodide-lock.json").write_text('{"info": {"version": "0.27.7"}}', encoding="utf-8")
    assert lite.pyodide_folder(tmp_path / "book", {}) == beside
    assert lite.pyodide_folder(tmp_path / "elsewhere" / "book", {"PYODIDE_DIR": str(beside)}) == beside


def test_a_damaged_or_missing_file_is_not_used(tmp_path):
    source, target = tmp_path / "a.whl", tmp_path / "target"
    target.mkdir()
    with pytest.raises(SystemExit, match=r"a\.whl is missing"):
        lite.copy_checked(source, target, "")
    source.write_bytes(b"whole")
    with pytest.raises(SystemExit, match=r"is not the file of Pyodide"):
        lite.copy_checked(source, target, hashlib.sha256(b"other").hexdigest())
    assert list(target.iterdir()) == []
    lite.copy_checked(source, target, hashlib.sha256(b"whole").hexdigest())
    assert (target / "a.whl").read_bytes() == b"whole"


def test_the_closure_holds_what_is_needed_and_nothing_else():
    assert lite.closure(PACKAGES, ["A"]) == ["a", "b-b", "c"]
    assert lite.closure(PACKAGES, ["d"]) == ["d"]


def test_a_first_visit_fetches_what_the_kernel_and_the_library_use(tmp_path):
    packages = {name: {"depends": [], "file_name": f"{name}.whl"} for name in lite.FROM_PYODIDE}
    packages |= {"cllm-workbook": {"depends": ["numpy"], "file_name": "cllm.whl"}, "sympy": {"depends": [], "file_name": "sympy.whl"}}
    for name in (*lite.RUNTIME, "pyodide-lock.json", *(package["file_name"] for package in packages.values())):
        (tmp_path / name).write_bytes(b"12345")
    sizes = lite.first_visit(tmp_path, packages)
    assert {"pyodide.asm.wasm", "pyodide-lock.json", "numpy.whl", "cllm.whl"} <= set(sizes)
    assert not {"sympy.whl", "pyodide.mjs"} & set(sizes)
    assert set(sizes.values()) == {5}


# Wheels


def test_the_lock_has_every_wheel_that_goes_into_the_bundle_with_its_hashes():
    wanted = lite.blocks(lite.LOCK.read_text(encoding="utf-8"), lite.FROM_LOCK)
    names = re.findall(r"^([\w.-]+)==", wanted, re.MULTILINE)
    assert sorted(names) == sorted(lite.FROM_LOCK)
    assert wanted.count("--hash=sha256:") >= len(names)


def test_a_browser_is_asked_for_what_it_has_in_its_versions():
    told = lite.for_the_browser(METADATA, {"numpy": "2.0.2", "matplotlib": "3.8.4"})
    assert "Requires-Dist: numpy>=2.0.2\n" in told
    assert "Requires-Dist: matplotlib>=3.8.4; extra == 'notebooks'\n" in told
    assert "safetensors" not in told
    assert told.endswith("What it is.")


def test_a_changed_wheel_lists_its_files_rightly(tmp_path):
    wheel = made_wheel(tmp_path / "x-1-py3-none-any.whl", {"x/__init__.py": "x = 1\n", "x-1.dist-info/METADATA": METADATA})
    changed = tmp_path / "changed.whl"
    lite.rewrite_wheel(wheel, changed, {".dist-info/METADATA": lambda text: text.replace("0.2.0", "0.3.0")})
    with zipfile.ZipFile(changed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert b"Version: 0.3.0" in files["x-1.dist-info/METADATA"]
    listed = files["x-1.dist-info/RECORD"].decode().splitlines()
    assert listed == [*(lite.record_line(name, files[name]) for name in files if "RECORD" not in name), "x-1.dist-info/RECORD,,"]
    again = tmp_path / "again.whl"
    lite.rewrite_wheel(wheel, again, {".dist-info/METADATA": lambda text: text.replace("0.2.0", "0.3.0")})
    assert again.read_bytes() == changed.read_bytes()


def test_matplotlib_gets_a_list_of_its_own_fonts_in_the_version_that_it_reads(tmp_path):
    fonts = {"_version": 390, "afmlist": [], "ttflist": [{"fname": "fonts/ttf/DejaVuSans.ttf"}, {"fname": "/usr/share/fonts/other.ttf"}]}
    files = {"matplotlib/font_manager.py": "class FontManager:\n    __version__ = 330\n", "matplotlib/fontlist.json": json.dumps(fonts)}
    wheel = made_wheel(tmp_path / "x-1-py3-none-any.whl", files)
    lite.mend_fonts(wheel)
    with zipfile.ZipFile(wheel) as archive:
        mended = json.loads(archive.read("matplotlib/fontlist.json"))
    assert mended == {"_version": 330, "afmlist": [], "ttflist": [{"fname": "fonts/ttf/DejaVuSans.ttf"}]}


def test_an_entry_of_the_lock_says_what_a_wheel_holds_and_needs(tmp_path):
    needs = "Requires-Dist: numpy>=2.0\nRequires-Dist: Typing_Extensions\nRequires-Dist: colorama; platform_system == 'Windows'\n"
    metadata = f"Metadata-Version: 2.1\nName: X_x\nVersion: 1.5\n{needs}Requires-Dist: nowhere\n"
    files = {"x/__init__.py": "", "y.py": "", "x-1.dist-info/METADATA": metadata}
    wheel = made_wheel(tmp_path / "x-1-py3-none-any.whl", files)
    found = lite.entry(wheel, {"numpy", "typing-extensions"})
    assert (found["name"], found["version"], found["imports"]) == ("x-x", "1.5", ["x", "y"])
    assert found["depends"] == ["numpy", "typing-extensions"]
    assert found["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert lite.entry(wheel, {"numpy"}, depends=["d"])["depends"] == ["d"]


# Pages


class Links(HTMLParser):
    """Addresses that a page names."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("href", "src")]


def test_the_start_page_links_every_chapter_and_names_no_other_host():
    page = lite.start_page({"00": 55.0}, 37_400_000)
    links = Links(page).found
    assert [link for link in links if link.startswith("lab/index")] == [f"lab/index.html?path={name}.ipynb" for name in NAMES]
    assert not any("//" in link or link.startswith("/") for link in links)
    assert "About 1 minute of computing in a browser." in page
    assert page.count("Not measured in a browser yet.") == len(NAMES) - 1 - len(lite.READ_HERE)
    assert all(reason in page for reason in lite.READ_HERE.values())
    assert "37 MB" in page
    assert "$" not in page
    (alone,) = [link for link in links if link.startswith("repl/index")]
    assert parse_qs(urlsplit(alone).query)["code"] == [lite.DASHBOARD]
    assert {link for link in links if "?" not in link} == {"lab/favicon.ico", "start.css", "progress.js", "start.js"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "not measured"), (3, "about 10 seconds"), (44, "about 40 seconds"), (55, "about 1 minute of"), (200, "about 3 minutes of")],
)
def test_times_are_said_roughly(seconds, words):
    assert lite.in_words(seconds).startswith(words)


def test_what_was_measured_is_read_and_its_absence_is_no_error(tmp_path):
    assert lite.measured_seconds(tmp_path / "nothing.json") == {}
    (tmp_path / "lite.json").write_text('{"chapters": {"00": {"cpu_seconds": 50.5}}}', encoding="utf-8")
    assert lite.measured_seconds(tmp_path / "lite.json") == {"00": 50.5}


def test_chapters_come_without_outputs_but_those_that_are_read_there_and_the_glossary(tmp_path):
    lite.write_contents(tmp_path / "contents")
    assert {path.stem for path in (tmp_path / "contents").iterdir()} == {*NAMES, "GLOSSARY"}
    for name in NAMES:
        one = json.loads((tmp_path / "contents" / f"{name}.ipynb").read_text(encoding="utf-8"))
        found = [output for cell in one["cells"] for output in cell.get("outputs", [])]
        assert bool(found) == (name[:2] in lite.READ_HERE)
        assert all(isinstance(output.get("text", ""), str) for output in found)
        assert all(isinstance(output.get("data", {}).get("text/plain", ""), str) for output in found)
        assert "../docs/GLOSSARY.md" not in json.dumps(one)


def test_a_page_that_would_ask_another_host_is_refused(tmp_path):
    kernel = {"pyodideUrl": "./static/pyodide/pyodide.js", "disablePyPIFallback": True}
    for change, fine in (({}, True), ({"pyodideUrl": None}, False), ({"disablePyPIFallback": False}, False)):
        settings = {"@jupyterlite/pyodide-kernel-extension:kernel": kernel | change}
        content = {"jupyter-config-data": {"litePluginSettings": settings}}
        (tmp_path / "jupyter-lite.json").write_text(json.dumps(content), encoding="utf-8")
        if fine:
            lite.check_local(tmp_path)
        else:
            with pytest.raises(SystemExit, match="would ask another host"):
                lite.check_local(tmp_path)


def test_arrow_keys_of_a_slider_are_its_own():
    keys = {"command": "a", "keys": ["ArrowLeft"], "selector": ".jp-Notebook :focus"}
    other = {"command": "b", "keys": ["Ctrl ArrowLeft"], "selector": ".jp-Notebook :focus"}
    spared = lite.spare_sliders([{"schema": {"jupyter.lab.shortcuts": [keys, other]}}])
    assert spared[0]["schema"]["jupyter.lab.shortcuts"] == [keys | {"selector": '.jp-Notebook :focus:not([role="slider"])'}, other]


def test_the_line_of_progress_comes_into_jupyterlites_page_once():
    page = lite.with_progress("<html><head><title>x</title></head><body></body></html>")
    assert page.count('<script src="../progress.js" defer></script>') == 1
    assert page.index("progress.js") < page.index("</head>")
    assert "dark" in page[page.index("<style>") : page.index("</style>")]  # or its first seconds are white


# What it is made of


@pytest.mark.parametrize("name", ["cllm_lib/a.py", "notebooks/00.ipynb", "data/a.txt", "tools/lite/start.css", "tools/lite.py"])
def test_the_state_changes_with_whatever_the_bundle_is_made_of(tmp_path, name):
    for path in ("cllm_lib/a.py", "notebooks/00.ipynb", "data/a.txt", "tools/lite/start.css", "tools/lite.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("before", encoding="utf-8")
    for path in (lite.LOCK.name, "pyproject.toml"):
        (tmp_path / path).write_text("before", encoding="utf-8")
    before = lite.state(tmp_path)
    (tmp_path / "cllm_lib" / "a.pyc").write_text("what Python keeps beside", encoding="utf-8")
    assert lite.state(tmp_path) == before
    (tmp_path / name).write_text("after", encoding="utf-8")
    assert lite.state(tmp_path) != before


# The classroom's file and server


def test_the_classroom_file_has_the_book_the_server_and_ten_lines(tmp_path, monkeypatch):
    book = tmp_path / "lite"
    book.mkdir()
    (book / "index.html").write_text("the book", encoding="utf-8")
    lite.pack(book, tmp_path / "class.zip")
    with zipfile.ZipFile(tmp_path / "class.zip") as archive:
        assert set(archive.namelist()) == {"class/book/index.html", "class/serve.py", "class/README.txt"}
        told = archive.read("class/README.txt").decode()
    assert len(told.splitlines()) <= 12
    assert "needs this server" in told
    monkeypatch.setattr(lite, "MOST_ZIPPED", 10)
    with pytest.raises(SystemExit, match="are the most"):
        lite.pack(book, tmp_path / "class.zip")


@pytest.fixture
def book(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("index.html", "a.wasm", "a.mjs", "a.whl", "a.js"):
        (tmp_path / "book" / name).write_bytes(name.encode())
    shutil.copy(ROOT / "tools" / "lite" / "serve.py", tmp_path)
    return tmp_path / "book"


def test_files_get_their_types_and_stay_in_the_browsers_cache_if_unchanged(book):
    server = serve.Server(("127.0.0.1", 0), partial(serve.Handler, directory=str(book)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    types = {"a.wasm": "application/wasm", "a.mjs": "text/javascript", "a.whl": "application/zip", "": "text/html; charset=utf-8"}
    for name, kind in types.items():
        with urllib.request.urlopen(f"{address}/{name}", timeout=PATIENCE) as answer:
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.headers["Last-Modified"]
    server.shutdown()
    server.server_close()


def started(book, *words):
    return subprocess.Popen(
        [sys.executable, "-u", str(book.parent / "serve.py"), "--no-browser", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_its_address_and_a_port_in_use_is_told_in_a_sentence(book):
    first = started(book, "--port", "0")
    address = re.search(r"http://127\.0\.0\.1:(\d+)/", first.stdout.readline())
    try:
        with urllib.request.urlopen(address[0], timeout=PATIENCE) as answer:
            assert answer.read() == b"index.html"
        second = started(book, "--port", address[1])
        _, said = second.communicate(timeout=PATIENCE)
        assert second.returncode == 1
        assert re.fullmatch(rf"Port {address[1]} is in use, or not allowed: choose another.*\n", said)
    finally:
        first.terminate()
        first.communicate()


def test_a_half_unzipped_file_is_told(book):
    (book / "index.html").unlink()
    _, said = started(book).communicate(timeout=PATIENCE)
    assert "unzip the whole file" in said
    assert said.count("\n") == 1
