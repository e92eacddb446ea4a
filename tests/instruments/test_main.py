"""The doctor as it is called from a terminal: what is wrong with the call is said in a sentence, and the exit code tells what came out."""

import subprocess
import sys
import types
from dataclasses import dataclass

import pytest

from cllm_lib.instruments.__main__ import BAD_USE, FOUND, HEALTHY, OWN_STAGE, main

REASON = "PyTorch is large; `make test-all` installs it"


@dataclass
class Said:
    """A report of which nothing but this is needed."""

    is_healthy: bool

    def __str__(self):
        return "verdict: one thing.\n  a detail"


@pytest.fixture
def doctor(monkeypatch):
    """An examination that needs no PyTorch: it keeps what it was given, and answers what it is told to."""
    kept = types.SimpleNamespace(given=None, answer=Said(is_healthy=True))

    def examine(module, loss, inputs, targets, optimizer=None, scheduler=None, step=None, batches=None):
        kept.given = dict(locals())
        if isinstance(kept.answer, Exception):
            raise kept.answer
        return kept.answer

    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    monkeypatch.setattr("cllm_lib.instruments.torch.examine", examine, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return kept


@pytest.fixture
def script(tmp_path):
    """Write a script; returns how to name one of its functions."""

    def write(text, name="a_training_to_examine.py"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return f"{tmp_path / name}:made"

    return write


def said(place, capsys):
    """Exit code, what was printed, and the complaint."""
    code = main([str(place)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(("is_healthy", "code"), [(True, HEALTHY), (False, FOUND)])
def test_the_report_is_printed_and_the_exit_code_tells_whether_something_was_found(is_healthy, code, doctor, script, capsys):
    doctor.answer = Said(is_healthy)
    assert said(script("def made():\n    return 1, 2, 3, 4"), capsys) == (code, "verdict: one thing.\n  a detail\n", "")


@pytest.mark.parametrize("returned", ["(1, 2, 3, 4, 5, 6, 7, [8])", "dict(step=7, batches=[8], module=1, loss=2, inputs=3, targets=4)"])
def test_a_tuple_or_a_dict_reaches_the_doctor_by_name(returned, doctor, script, capsys):
    assert said(script(f"def made():\n    return {returned}"), capsys)[0] == HEALTHY
    names = ("module", "loss", "inputs", "targets", "step", "batches")
    assert [doctor.given[name] for name in names] == [1, 2, 3, 4, 7, [8]]
    assert doctor.given["optimizer"] == (5 if returned.startswith("(") else None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no 'made': define a function of that name at the outermost level"),
        ("made = 3", "has something of the type int as its 'made': define a function"),
        ("def made(model):\n    return 1, 2, 3, 4", "is called without arguments, and that does not fit (missing a"),
        ("def made():\n    pass", "returned NoneType: it has to return a dict of examine's arguments, or a tuple (module, loss"),
        ("def made():\n    return 1, 2, 3", "returned a tuple of 3: it has to be (module, loss, inputs, targets), perhaps"),
        ("def made():\n    return (1,) * 9", "returned a tuple of 9"),
        ("def made():\n    return dict(module=1, loss=2, input=3, targets=4)", "returned a dict with input: examine takes module"),
        ("def made():\n    return dict(module=1, loss=2)", "returned a dict without inputs, targets: examine needs"),
        ("raise SystemExit(0)", 'ended while it was loaded: put what runs by itself under `if __name__ == "__main__":`'),
    ],
    ids=["no function", "a number", "an argument", "nothing", "three", "nine", "a slip", "too little", "a program"],
)  # fmt: skip
def test_what_the_script_gets_wrong_is_one_sentence(text, complaint, doctor, script, capsys):
    code, out, err = said(script(text), capsys)
    assert (code, out, err.count("\n")) == (BAD_USE, "", 1)
    assert complaint in err
    assert "Traceback" not in err


def test_a_place_that_is_none_is_said(capsys, tmp_path):
    for place, complaint in (
        ("train.py", "'train.py' names no function: write script.py:function"),
        ("train.py:a-b", "names no function"),
        (f"{tmp_path}/nowhere.py:made", f"there is no file {tmp_path}/nowhere.py"),
        (f"{tmp_path}:made", "there is no file"),
    ):
        code, out, err = said(place, capsys)
        assert (code, out) == (BAD_USE, "")
        assert complaint in err


def test_no_place_at_all_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == BAD_USE
    assert "script.py:function" in capsys.readouterr().err


def test_without_pytorch_a_sentence_says_what_brings_it(script, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = said(script("import torch"), capsys)
    assert code == BAD_USE
    assert err == "cllm_lib.instruments: the doctor for PyTorch needs the package torch: `pip install torch` brings it\n"


@pytest.mark.parametrize("text", ["raise ZeroDivisionError('mine')", "def made():\n    raise ZeroDivisionError('mine')"])
def test_what_the_script_raises_keeps_its_traceback_and_ours_is_left_out(text, doctor, script, capsys):
    code, _, err = said(script(text), capsys)
    assert code == BAD_USE
    assert "a_training_to_examine.py" in err
    assert err.endswith("ZeroDivisionError: mine\n")
    assert "__main__.py" not in err


def test_what_a_loss_of_the_script_raises_keeps_its_traceback(doctor, script, capsys):
    """A ValueError too: only the doctor's own are sentences."""
    doctor.answer = ValueError("raised by a function that is not the doctor's")
    code, _, err = said(script("def made():\n    return 1, 2, 3, 4"), capsys)
    assert code == BAD_USE
    assert err.startswith("Traceback")
    assert err.endswith("ValueError: raised by a function that is not the doctor's\n")


def test_the_script_finds_its_neighbours_and_its_main_part_sleeps(doctor, script, tmp_path, capsys):
    (tmp_path / "a_neighbour_of_it.py").write_text("four = (1, 2, 3, 4)", encoding="utf-8")
    text = 'import a_neighbour_of_it\n\ndef made():\n    return a_neighbour_of_it.four\n\nif __name__ == "__main__":\n    1 / 0'
    assert said(script(text), capsys)[0] == HEALTHY
    assert doctor.given["targets"] == 4


@pytest.mark.parametrize("name", ["random.py", "pytest.py", "my training.py", "training.txt"])
def test_a_script_may_bear_any_name_and_takes_nobodys_place(name, doctor, script, capsys):
    before = {module: sys.modules.get(module) for module in ("random", "pytest")}
    assert said(script("def made():\n    return 1, 2, 3, 4", name), capsys)[0] == HEALTHY
    assert {module: sys.modules.get(module) for module in before} == before
    assert (OWN_STAGE in sys.modules) == (name != "training.txt")


PROGRAM = """
import torch
from torch import nn

def made():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3){more})
    return module, {loss}, torch.randn(16, 4), torch.randint(0, 3, (16,)), torch.optim.Adam(module.parameters())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "loss", "code", "out", "err"),
    [
        ("", "nn.CrossEntropyLoss()", HEALTHY, "verdict: Nothing wrong", ""),
        (", nn.Softmax(-1)", "nn.CrossEntropyLoss()", FOUND, "verdict: Softmax is taken twice", ""),
        ("", "lambda outputs, targets: outputs", BAD_USE, "", "gave (16, 3): it has to be one number"),
        ("", "lambda outputs, targets: outputs.sum(7)", BAD_USE, "", "IndexError"),
    ],
    ids=["sound", "two softmaxes", "no number", "an error of its own"],
)
def test_a_real_training_is_examined(more, loss, code, out, err, script):
    pytest.importorskip("torch", reason=REASON)
    place = script(PROGRAM.replace("{more}", more).replace("{loss}", loss))
    done = subprocess.run([sys.executable, "-m", "cllm_lib.instruments", place], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(out)
    assert err in done.stderr
    assert ("Traceback" in done.stderr) == ("IndexError" in err)
