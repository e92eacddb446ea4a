import ast
import textwrap

import pytest
from IPython.core.interactiveshell import InteractiveShell

from cllm_lib.workbook import going_on, or_go_on
from cllm_lib.workbook.going_on import Missing, made_by

SAID = "The model is not installed: `make pretrained` brings it."


def absent():
    raise FileNotFoundError("the model is not installed: `make pretrained` brings it")


@pytest.fixture
def shell(monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr(going_on, "_shell", lambda: shell)
    shell.user_ns.update(or_go_on=or_go_on, absent=absent)
    return shell


def run(shell, source):
    """Run a cell as a notebook does, which stops at an error."""
    result = shell.run_cell(textwrap.dedent(source))
    assert result.success, source
    return result


def test_what_is_there_is_handed_on_with_its_arguments(shell):
    assert or_go_on(lambda *given, **named: (given, named), 1, dtype="float64") == ((1,), {"dtype": "float64"})
    assert shell.ast_transformers == []


def test_outside_a_notebook_the_error_is_the_loaders_own(monkeypatch):
    monkeypatch.setattr(going_on, "_shell", lambda: None)
    with pytest.raises(FileNotFoundError, match="is not installed"):
        or_go_on(absent)


def test_another_error_is_no_missing_model(shell):
    with pytest.raises(ZeroDivisionError):
        or_go_on(lambda: 1 / 0)


def test_cells_that_need_it_say_one_sentence_and_the_others_run(shell, capsys):
    run(shell, "model = or_go_on(absent)")
    assert capsys.readouterr().out == SAID + "\n"
    run(shell, "import math\nlogits = model.logits([1])\nprint(logits)")
    assert capsys.readouterr().out == SAID + "\n"
    run(shell, "print(math.floor(1.5))")  # an import of a cell that was left out
    assert capsys.readouterr().out == "1\n"
    run(shell, "def speak(text):\n    left = logits @ text\n    return left")
    run(shell, "for word in ('a', 'b'):\n    print(speak(word))")
    assert capsys.readouterr().out == 2 * (SAID + "\n")
    assert isinstance(shell.user_ns["word"], Missing)
    assert "left" not in shell.user_ns
    run(shell, "squares = [n * n for n in range(3)]\nprint(squares)")
    assert capsys.readouterr().out == "[0, 1, 4]\n"


def test_once_it_is_there_cells_run_again(shell, capsys):
    run(shell, "model = or_go_on(absent)")
    run(shell, "double = 2 * model")
    run(shell, "model = or_go_on(lambda: 21)")
    capsys.readouterr()
    run(shell, "double = 2 * model")
    run(shell, "print(double)")
    assert capsys.readouterr().out == "42\n"


def test_it_is_asked_for_twice_and_said_once_a_cell(shell, capsys):
    for _ in range(2):
        run(shell, "model = or_go_on(absent)")
    capsys.readouterr()
    run(shell, "model")
    assert capsys.readouterr().out == SAID + "\n"


def test_the_names_that_statements_make():
    source = """
    a, (b, *c) = 1, (2, 3)
    for d in a:
        e: int = 1
    with open("f") as f:
        g += [h for h in f]
    def i(j):
        k = 1
    class l:
        m = 1
    n = lambda o: (p := o)
    """
    assert made_by(ast.parse(textwrap.dedent(source)).body) == set("abcdefgiln")
