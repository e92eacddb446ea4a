import sys

from cllm_lib.browser import in_browser, no_threads


def test_a_python_of_its_own_is_in_no_browser(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    assert not in_browser()


def test_the_platform_of_a_page_is_known(monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert in_browser()


def test_what_needs_threads_says_so_in_one_sentence():
    error = no_threads("workers=2", "leave workers out")
    assert str(error) == "Python in a browser has one thread and one process, too few for workers=2: leave workers out"
