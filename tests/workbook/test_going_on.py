import ast
import textwrap

import pytest
from IPython.core.interactiveshell import InteractiveShell

from cllm_lib.browser import no_threads
from cllm_lib.workbook import going_on, or_go_on
from cllm_lib.workbook.going_on import Missing, go_on_in_a_browser, made_by, needed_by

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


def test_names_that_a_cell_makes_itself_are_no_hindrance(shell, capsys):
    run(shell, "model = or_go_on(absent)")
    run(shell, "for word in model:\n    last = word\nprint(last)")
    capsys.readouterr()
    run(shell, "model = or_go_on(lambda: 'abc')")
    run(shell, "for word in model:\n    last = word\nprint(last)")
    assert capsys.readouterr().out == "c\n"


def test_it_is_asked_for_twice_and_said_once_a_cell(shell, capsys):
    for _ in range(2):
        run(shell, "model = or_go_on(absent)")
    capsys.readouterr()
    run(shell, "model")
    assert capsys.readouterr().out == SAID + "\n"


ONE_THREAD = "Python in a browser has one thread and one process: a cell that needs more stands still here.\n"


@pytest.fixture
def page(shell):
    """A notebook's shell in a browser, in which no thread starts."""

    def start():
        raise RuntimeError("can't start new thread")

    shell.user_ns.update(start=start, warm_up=lambda: (_ for _ in ()).throw(no_threads("warm_up", "touch the entries")))
    go_on_in_a_browser()
    return shell


def test_in_a_browser_a_cell_goes_as_far_as_it_can_and_says_what_it_lacks(page, capsys):
    page.run_cell("before = 1\nprint('first')\nstart()\nafter = 2")
    assert capsys.readouterr() == (f"first\n{ONE_THREAD}", "")
    run(page, "print(before)")
    run(page, "print(after)")
    assert capsys.readouterr().out == f"1\n{ONE_THREAD}"


def test_in_a_browser_the_librarys_own_sentence_is_said(page, capsys):
    page.run_cell("lattice = warm_up()")
    run(page, "lattice")
    said = "Python in a browser has one thread and one process, too few for warm_up: touch the entries.\n"
    assert capsys.readouterr() == (2 * said, "")


def test_in_a_browser_a_cell_that_was_mended_runs(page, capsys):
    page.run_cell("start()\nfound = 3\nprint(found)")
    run(page, "found = 3\nprint(found)")
    assert capsys.readouterr().out == f"{ONE_THREAD}3\n"


def test_in_a_browser_any_other_error_is_shown_as_ever(page, capsys):
    for source in ("raise RuntimeError('a fault of one\\'s own')", "1 / 0"):
        assert not page.run_cell(source).success
        assert "Traceback" in capsys.readouterr().out
    run(page, "print('and on')")


def test_a_name_is_needed_where_it_is_loaded_before_it_is_made():
    source = """
    a = b
    for c in d:
        e = c
    f = f + a
    g = [(h, i) for h in g]
    def j(k, l=m):
        n = k
        return e, n, o, [j(p) for p in l]
    """
    assert needed_by(ast.parse(textwrap.dedent(source)).body) == set("bdfgimo")
    assert needed_by(ast.parse("await q").body) == {"q"}


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
