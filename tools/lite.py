"""The book in a browser, with nothing installed: JupyterLite, Pyodide, the library's own wheel and the chapters, in one folder.

`make lite` runs this by the builder's environment (requirements-lite.lock). Nothing is fetched here but the pure wheels of that
lock; Pyodide's own files come from a folder of its release, PYODIDE_DIR, and each is compared with its SHA-256 first.
"""

import argparse
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from base64 import urlsafe_b64encode
from email.parser import HeaderParser
from pathlib import Path
from string import Template
from urllib.parse import quote, urlencode

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # the builder's environment has not the library; the part used here needs nothing but Python

from cllm_lib.workbook.progress import chapter  # noqa: E402
from tools.workbook import without_outputs  # noqa: E402

FILES = Path(__file__).resolve().with_suffix("")  # tools/lite: what goes into the bundle as it stands
LOCK = ROOT / "requirements-lite.lock"
BUILD = ROOT / "build"
MEASURED = ROOT / "evidence" / "measured" / "lite.json"

PYODIDE = "0.27.7"
# The runtime is not in Pyodide's own lock; these are the files of that release.
RUNTIME = {
    "pyodide.asm.js": "6b4c90de5b7172873f04f21884d0e9d2274e305fe32116558fe3e4fbe3618d51",
    "pyodide.asm.wasm": "a50dd1843f805a0b7c45b61037ee0d7b26dfe85efe0e18ef95a34ad24e401f5f",
    "pyodide.js": "b4cb23a53aba19c221659b9fb40a2f18281d685691dc06647fb0afd0681baf98",
    "pyodide.mjs": "04c052c815abb0bf2981fa38c2dfa58e3120ee5288c956df2b2a15e301782c5f",
    "python_stdlib.zip": "16611534726e5d8ac2bd8f926410b2dcb8d6f49aa24913463533b457a2115c16",
}
# From the release: what the kernel asks for before a cell runs (without jedi it hangs, silently), and what is compiled.
FROM_PYODIDE = ("numpy", "matplotlib", "ipython", "micropip", "ssl", "sqlite3", "jedi")
# From the lock of the builder: pure wheels.
FROM_LOCK = ("anywidget", "comm", "ipywidgets", "jupyterlab-widgets", "mpmath", "psygnal", "sympy", "tqdm", "typing-extensions")
# What comes along when a cell imports cllm_lib; SymPy, of which the library knows nothing, does when a cell imports it.
NEEDED = ("anywidget", "ipywidgets", "matplotlib", "numpy", "tqdm")

# Chapters of which cells stand still in a browser, each with a sentence; the others run to their last cell.
READ_HERE = {
    "21": "Its cells that run a real model (83 MB) stand still in a browser: to be read here, and run on a machine.",
    "23": "Its cells that run a real model (93 MB) stand still in a browser: to be read here, and run on a machine.",
}
DARK = "@media (prefers-color-scheme: dark) { body:not([data-jp-theme-name]) { background-color: #111; color: #fff; } }"
APPS = ("lab", "repl")  # of JupyterLite's pages: the whole, and a console, in which the dashboard stands alone
DASHBOARD = "from cllm_lib.workbook.widgets import training_dashboard\n\ntraining_dashboard()"
STATE = "state.txt"  # of what the bundle was made
MOST_ZIPPED = 50_000_000  # bytes of the classroom's file


class Stop(SystemExit):
    """Something the user has to change first; its text is the one sentence they see."""


# Pyodide's files


def pyodide_folder(root=ROOT, environ=os.environ):
    """Where Pyodide's release is.

    Returns
    -------
    Path

    Raises
    ------
    Stop
        If it is nowhere, or another version is there.
    """
    folder = Path(environ.get("PYODIDE_DIR") or root.parent / "shared" / "pyodide").expanduser()
    if not (folder / "pyodide-lock.json").is_file():
        raise Stop(
            f"Python for the browser is not at {folder}: download the official release of Pyodide {PYODIDE}, the full archive "
            f"(pyodide-{PYODIDE}.tar.bz2), unpack it, and name its folder `pyodide`, as in `PYODIDE_DIR=~/pyodide make lite`."
        )
    version = json.loads((folder / "pyodide-lock.json").read_text(encoding="utf-8")).get("info", {}).get("version")
    if version != PYODIDE:
        raise Stop(f"{folder} holds Pyodide {version}, and the book is built on {PYODIDE}: take that release.")
    return folder


def normalized(name):
    """A package's name as locks write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(packages, wanted):
    """The packages that are wanted, and all that these depend on.

    Parameters
    ----------
    packages : dict
        Of pyodide-lock.json, by normalised name.
    wanted : iterable of str

    Returns
    -------
    list of str
        In alphabetical order.
    """
    found, ahead = set(), [normalized(name) for name in wanted]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += [normalized(other) for other in packages[name]["depends"]]
    return sorted(found)


def sha256(path):
    """The SHA-256 of a file, as text."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def copy_checked(source, folder, expected):
    """Copy a file once it is what it should be.

    Raises
    ------
    Stop
        If it is missing, or another one.
    """
    if not source.is_file():
        raise Stop(f"{source.name} is missing in {source.parent}: take the full archive of Pyodide {PYODIDE}, not its core alone.")
    if sha256(source) != expected:
        raise Stop(f"{source} is not the file of Pyodide {PYODIDE}, or is damaged: unpack the archive anew.")
    shutil.copyfile(source, folder / source.name)  # not its permissions: the source may be read-only


# Wheels


def blocks(lock, names):
    """The part of a lock that says version and hashes of these packages."""
    parts = re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)
    return "".join(part for part in parts if normalized(part.split("==")[0]) in names)


def fetch_wheels(folder):
    """The pure wheels of the lock, into a folder, their hashes checked by pip."""
    wanted = blocks(LOCK.read_text(encoding="utf-8"), FROM_LOCK)
    stamp = folder / "wanted.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)  # wheels of another lock
    folder.mkdir(parents=True)
    asked = folder / "asked.txt"
    asked.write_text(wanted, encoding="utf-8")
    for_any_machine = ["--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.12"]
    pip("download", "--no-deps", "--require-hashes", *for_any_machine, "--dest", folder, "-r", asked)
    asked.replace(stamp)


def library_wheel(folder):
    """The library's wheel, built from the repository.

    Returns
    -------
    Path
    """
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("cllm_workbook-*.whl")
    return built


def pip(*words):
    """Run pip quietly; what it says of a failure is shown."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, words)]
    if subprocess.call(command, cwd=ROOT):
        raise Stop("pip could not do this; above is what it said. The same command tries again.")


def for_the_browser(metadata, versions):
    """A wheel's metadata, its dependencies as the browser has them: what is missing there is not asked for.

    Parameters
    ----------
    metadata : str
        Of the wheel.
    versions : dict of str to str
        What the browser has, by normalised name.

    Returns
    -------
    str
    """
    lines = []
    for line in metadata.split("\n"):
        asked = re.match(r"Requires-Dist: ([\w.-]+)([^;]*)(;.*)?$", line)
        if asked and normalized(asked[1]) in versions:
            lines.append(f"Requires-Dist: {asked[1]}>={versions[normalized(asked[1])]}{asked[3] or ''}")
        elif not asked:
            lines.append(line)
    return "\n".join(lines)


def rewrite_wheel(wheel, target, changes):
    """Copy a wheel with other contents of some files; its own list of files stays right.

    Parameters
    ----------
    wheel, target : Path
    changes : dict
        By the end of a file's name, a function from the old text to the new one.
    """
    with zipfile.ZipFile(wheel) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    (record,) = (name for name in contents if name.endswith(".dist-info/RECORD"))
    listed = contents[record].decode()
    for ending, change in changes.items():
        (name,) = (name for name in contents if name.endswith(ending))
        contents[name] = change(contents[name].decode()).encode()
        listed = re.sub(rf"^{re.escape(name)},.*$", record_line(name, contents[name]), listed, flags=re.MULTILINE)
    contents[record] = listed.encode()
    with zipfile.ZipFile(target, "w") as new:
        for name, content in contents.items():
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)  # without a date: the same twice


def record_line(name, content):
    """How a wheel's RECORD speaks of a file."""
    digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}"


def own_fonts(fonts, version):
    """Matplotlib's list of fonts, mended: Pyodide's has another version's number, so that it is made anew, with a red line, each time.

    Parameters
    ----------
    fonts : str
        The list as it came: with the fonts of the machine that built it, which no browser has.
    version : int
        That the reader of the list asks for.

    Returns
    -------
    str
    """
    found = json.loads(fonts)
    for kind in ("afmlist", "ttflist"):
        found[kind] = [font for font in found[kind] if not font["fname"].startswith("/")]
    return json.dumps(found | {"_version": version}, indent=1)


def mend_fonts(wheel):
    """Give Matplotlib's wheel a list of fonts that it reads, in its place."""
    with zipfile.ZipFile(wheel) as archive:
        (version,) = re.findall(r"^    __version__ = (\d+)", archive.read("matplotlib/font_manager.py").decode(), re.MULTILINE)
    mended = wheel.with_suffix(".mended")
    rewrite_wheel(wheel, mended, {"matplotlib/fontlist.json": lambda fonts: own_fonts(fonts, int(version))})
    mended.replace(wheel)


def entry(wheel, known, depends=None):
    """What pyodide-lock.json says of a wheel.

    Parameters
    ----------
    wheel : Path
    known : container of str
        Names of packages that are there; the wheel's metadata may ask for others, which a browser goes without.
    depends : sequence of str, optional
        In place of what the metadata ask for.

    Returns
    -------
    dict
    """
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (place,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(place).decode())
    if depends is None:
        asked = [line for line in metadata.get_all("Requires-Dist") or [] if ";" not in line]
        depends = [name for name in (normalized(re.match(r"[\w.-]+", line)[0]) for line in asked) if name in known]
    tops = {name.split("/")[0].removesuffix(".py") for name in names if "/" in name or name.endswith(".py")}
    return {
        "name": normalized(metadata["Name"]),
        "version": metadata["Version"],
        "file_name": wheel.name,
        "install_dir": "site",
        "sha256": sha256(wheel),
        "package_type": "package",
        "imports": sorted(top for top in tops if "." not in top),
        "depends": sorted(depends),
        "unvendored_tests": False,
    }


def write_runtime(source, wheels, folder):
    """Pyodide, the packages of the book, and a lock that names them, so that a plain import loads them.

    Parameters
    ----------
    source : Path
        Pyodide's release.
    wheels : Path
        Of :func:`fetch_wheels`.
    folder : Path
        Is filled.
    """
    for name, expected in RUNTIME.items():
        copy_checked(source / name, folder, expected)
    lock = json.loads((source / "pyodide-lock.json").read_text(encoding="utf-8"))
    packages = {name: lock["packages"][name] for name in closure(lock["packages"], FROM_PYODIDE)}
    for package in packages.values():
        copy_checked(source / package["file_name"], folder, package["sha256"])
    mend_fonts(folder / packages["matplotlib"]["file_name"])
    packages["matplotlib"]["sha256"] = sha256(folder / packages["matplotlib"]["file_name"])
    known = {*packages, *FROM_LOCK}
    for wheel in sorted(wheels.glob("*.whl")):
        shutil.copyfile(wheel, folder / wheel.name)
        found = entry(wheel, known)
        packages[found["name"]] = found
    with tempfile.TemporaryDirectory() as scratch:
        built = library_wheel(Path(scratch))
        versions = {name: packages[name]["version"] for name in NEEDED}
        rewrite_wheel(built, folder / built.name, {".dist-info/METADATA": lambda metadata: for_the_browser(metadata, versions)})
    packages["cllm-workbook"] = entry(folder / built.name, known, depends=NEEDED)
    write_json(folder / "pyodide-lock.json", {"info": lock["info"], "packages": dict(sorted(packages.items()))})
    write_json(folder / "sizes.json", first_visit(folder, packages))


def first_visit(folder, packages):
    """The files that a first visit fetches, with their sizes: the page shows how far it is."""
    used = {packages[name]["file_name"] for name in closure(packages, [*FROM_PYODIDE, "cllm-workbook"])}
    names = sorted(used | {*RUNTIME, "pyodide-lock.json"} - {"pyodide.mjs"})
    return {name: (folder / name).stat().st_size for name in names}


def write_json(path, content):
    """Write a JSON file for people, too."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


# The pages


def write_contents(folder):
    """The chapters without outputs, so that a reader guesses first, but for those to be read here; and the glossary that they link to."""
    folder.mkdir(parents=True)
    for book in chapters():
        notebook = json.loads(book.read_text(encoding="utf-8").replace("../docs/GLOSSARY.md", "GLOSSARY.md"))
        shown = with_whole_texts(notebook) if book.name[:2] in READ_HERE else without_outputs(notebook)
        write_json(folder / book.name, shown)
    shutil.copyfile(ROOT / "docs" / "GLOSSARY.md", folder / "GLOSSARY.md")


def with_whole_texts(notebook):
    """A notebook whose outputs are whole texts, as a Jupyter server hands them out: lists of lines would be shown with commas."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for table in (output, output.get("data", {})):
                for name, value in table.items():
                    if isinstance(value, list) and name != "traceback" and not name.endswith("json"):
                        table[name] = "".join(value)
    return notebook


def chapters():
    """The notebooks, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def in_words(seconds):
    """How long a chapter computes in a browser, roughly: "about 2 minutes"; None for one that was not measured."""
    if seconds is None:
        return "not measured in a browser yet"
    if seconds < 50:
        return f"about {max(10, 10 * round(seconds / 10))} seconds of computing in a browser"
    minutes = max(1, round(seconds / 60))
    return f"about {minutes} minute{'s' * (minutes > 1)} of computing in a browser"


def chapter_item(book, chapter, seconds):
    """A chapter's line on the start page."""
    name, title = html.escape(book.name), html.escape(chapter.title)
    computing = READ_HERE.get(chapter.number) or in_words(seconds).capitalize() + "."
    kind = ' class="read-only"' if chapter.number in READ_HERE else ""
    return (
        f'<li{kind}><a href="lab/index.html?path={name}">'
        f'<span class="number">{chapter.number} </span><span class="title">{title}</span></a>\n'
        f"<p>{round(chapter.minutes)} minutes to read and do. {html.escape(computing)}</p></li>"
    )


def start_page(measured, size):
    """The page that a visitor meets first: plain HTML, links to the chapters.

    Parameters
    ----------
    measured : dict
        Seconds by number of chapter.
    size : int
        Bytes that a first visit fetches.

    Returns
    -------
    str
    """
    items = [chapter_item(book, one, measured.get(one.number)) for book in chapters() for one in [chapter(book)]]
    page = Template((FILES / "start.html").read_text(encoding="utf-8"))
    return page.substitute(chapters="\n".join(items), megabytes=round(size / 1e6), dashboard=html.escape(dashboard_link()))


def dashboard_link():
    """The address, below the bundle's, of a console in which the training dashboard opens by itself."""
    return "repl/index.html?" + urlencode({"kernel": "python", "showBanner": "0", "execute": "1", "code": DASHBOARD}, quote_via=quote)


def measured_seconds(path=MEASURED):
    """Seconds of computing in a browser, by number of chapter, as benchmarks/lite.py stored them; none without its file."""
    if not path.is_file():
        return {}
    return {number: found["cpu_seconds"] for number, found in json.loads(path.read_text(encoding="utf-8"))["chapters"].items()}


def with_progress(page):
    """JupyterLite's page, which then shows how far Python's start is, and is not white before a dark theme has come."""
    added = f'  <style>{DARK}</style>\n    <script src="../progress.js" defer></script>\n  </head>'
    return page.replace("</head>", added, 1)


def spare_sliders(found):
    """Settings of JupyterLab in which a bare arrow key, pressed on a slider, is the slider's: not a way to the next heading."""
    if isinstance(found, list):
        return [spare_sliders(each) for each in found]
    if not isinstance(found, dict):
        return found
    found = {name: spare_sliders(each) for name, each in found.items()}
    if {*found.get("keys", ())} & {"ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"} and str(found.get("selector")).endswith(":focus"):
        found["selector"] += ':not([role="slider"])'
    return found


def write_settings(out):
    """Change JupyterLab's shortcuts where its overrides cannot."""
    schemas = out / "build" / "schemas"
    for path in (schemas / "all.json", schemas / "@jupyterlab" / "notebook-extension" / "tracker.json"):
        path.write_text(json.dumps(spare_sliders(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


def write_pages(out):
    """The start page, and what shows how far a start is, in its place."""
    sizes = json.loads((out / "static" / "pyodide" / "sizes.json").read_text(encoding="utf-8"))
    (out / "index.html").write_text(start_page(measured_seconds(), sum(sizes.values())), encoding="utf-8", newline="\n")
    for name in ("start.css", "start.js", "progress.js"):
        shutil.copyfile(FILES / name, out / name)
    for app in APPS:
        page = out / app / "index.html"
        page.write_text(with_progress(page.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


# The whole


def build(out, pyodide):
    """Build the folder that a web server then serves as it is.

    Parameters
    ----------
    out : Path
        Is replaced.
    pyodide : Path
        Of :func:`pyodide_folder`.
    """
    fetch_wheels(BUILD / "lite-wheels")
    with tempfile.TemporaryDirectory() as scratch:  # a new one each time: an old .jupyterlite.doit.db would drop the runtime's address
        lite = Path(scratch) / "lite"
        (lite / "static" / "pyodide").mkdir(parents=True)
        write_runtime(pyodide, BUILD / "lite-wheels", lite / "static" / "pyodide")
        for name in ("jupyter-lite.json", "overrides.json"):
            shutil.copyfile(FILES / name, lite / name)
        write_contents(Path(scratch) / "contents")
        made = Path(scratch) / "out"
        words = ["--contents", str(Path(scratch) / "contents"), "--output-dir", str(made), "--no-sourcemaps"]
        words += [word for app in APPS for word in ("--apps", app)]
        done = subprocess.run([sys.executable, "-m", "jupyterlite_core", "build", *words], cwd=lite, capture_output=True, text=True)
        if done.returncode:
            raise Stop(f"JupyterLite could not be built:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        check_local(made)
        write_pages(made)
        write_settings(made)
        (made / STATE).write_text(state(), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, out)


def state(root=ROOT):
    """A sum over all that the bundle is made of in this repository: it changes when any of it does.

    Returns
    -------
    str
    """
    folders = [root / name for name in ("cllm_lib", "notebooks", "data", "tools/lite")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    total = hashlib.sha256()
    for path in sorted([*files, root / "tools" / "lite.py", root / LOCK.name, root / "pyproject.toml"]):
        total.update(f"{path.relative_to(root).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()


def check_local(out):
    """Stop if the page would ask another host for Python."""
    settings = json.loads((out / "jupyter-lite.json").read_text(encoding="utf-8"))["jupyter-config-data"]["litePluginSettings"]
    kernel = settings["@jupyterlite/pyodide-kernel-extension:kernel"]
    if not str(kernel.get("pyodideUrl", "")).startswith("./static/pyodide/") or kernel.get("disablePyPIFallback") is not True:
        raise Stop("JupyterLite lost the address of its Python, and would ask another host: build anew, with the versions of the lock.")


def pack(out, target):
    """The folder as one file for a class without a network, with the server that it needs.

    Raises
    ------
    Stop
        If it grew too large.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(path for path in out.rglob("*") if path.is_file()):
            archive.write(path, f"{target.stem}/book/{path.relative_to(out).as_posix()}")
        for name in ("serve.py", "README.txt"):
            archive.write(FILES / name, f"{target.stem}/{name}")
    if target.stat().st_size > MOST_ZIPPED:
        raise Stop(f"{target} has {target.stat().st_size:,} bytes, and {MOST_ZIPPED:,} are the most.")


def main(words):
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("check", "lite", "classroom"))
    parser.add_argument("--output", type=Path, default=Path(os.environ.get("CLLM_LITE") or BUILD / "lite"))
    asked = parser.parse_args(words)
    pyodide = pyodide_folder()
    if asked.what == "check":
        return
    build(asked.output, pyodide)
    print(f"Built {asked.output}: a folder for any web server. To look at it: python3 tools/lite/serve.py {asked.output}")
    if asked.what == "classroom":
        target = asked.output.with_name("cllm-workbook-classroom.zip")
        pack(asked.output, target)
        print(f"Packed {target}, {target.stat().st_size / 1e6:.0f} MB: unzip it anywhere, and its README.txt says how it is started.")


if __name__ == "__main__":
    main(sys.argv[1:])
