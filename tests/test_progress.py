"""The progress bar as a reader sees it: in a kernel on stdout, in a terminal on stderr, at its end the same line each time."""

import builtins
import itertools
import re
import sys
import threading

import pytest
from tqdm import tqdm

from cllm_lib.progress import progress_bar


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)


def last_state(text):
    """A line that was written over shows its last state."""
    return re.sub(r".*\r(?=[^\n])", "", text)


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 0.03, 1.0, 5000.0])
def test_in_a_kernel_it_ends_as_the_same_line_however_long_it_took(seconds, kernel, capsys, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr("tqdm.std.time", lambda: 1e9 + seconds * next(ticks))
    with progress_bar(total=7, unit="batch", desc="training") as bar:
        for _ in range(7):
            bar.update()
            bar.set_postfix(loss="1.25", refresh=False)
    out, err = capsys.readouterr()
    assert err == ""
    line = last_state(out)
    assert re.fullmatch(r"training: 100%\|█+\| 7 of 7, 00:00 left, loss=1.25\n", line)
    assert len(line) == 73  # fits beside the file browser


def test_in_a_kernel_it_goes_through_what_it_is_given(kernel, capsys):
    assert list(progress_bar([3, 4], initial=1, total=3, unit="run")) == [3, 4]
    assert "3 of 3" in last_state(capsys.readouterr().out)


def test_in_a_terminal_it_stands_beside_what_is_printed(monkeypatch, capsys):
    monkeypatch.delattr(builtins, "__IPYTHON__", raising=False)
    with progress_bar(total=2, unit="batch") as bar:
        bar.update(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err


def test_in_a_browser_no_thread_looks_after_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(tqdm, "monitor_interval", 10)
    before = threading.active_count()
    with progress_bar(total=2, unit="batch") as bar:
        assert threading.active_count() == before
        bar.update(2)
    assert tqdm.monitor_interval == 0


@pytest.mark.parametrize("settings", [dict(visible=False), dict(delay=60.0)], ids=["not asked for", "soon done"])
def test_it_can_stay_away(settings, kernel, capsys):
    assert list(progress_bar("ab", total=2, unit="letter", **settings)) == ["a", "b"]
    assert capsys.readouterr() == ("", "")
