"""Files where Python runs in a browser, without one: what is offered, what is handed in, and a dashboard that has both."""

import re
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from workbook.in_a_loop import in_a_loop, until, words

from cllm_lib.workbook.widgets import browser_files, dashboard, training_dashboard
from cllm_lib.workbook.widgets.browser_files import HandIn, offered

LONG_AGO = datetime(2025, 11, 1, tzinfo=UTC)
TINY = {"d_model": 12, "n_layers": 1, "n_heads": 2, "d_ff": 8}


@pytest.fixture
def browser(monkeypatch, tmp_path):
    for module in (browser_files, dashboard):
        monkeypatch.setattr(module, "in_browser", lambda: True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def downloaded(link):
    """Name and bytes of the file behind a link."""
    name, content = re.search(r'download="([^"]+)" href="data:application/octet-stream;base64,([^"]+)"', link).groups()
    return name, b64decode(content)


def hand_in(upload, name, content):
    upload.value = ({"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": LONG_AGO},)


def test_on_a_machine_nothing_is_offered(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"abc")
    assert offered(tmp_path / "a.safetensors") == ""
    assert training_dashboard().hand_in == []


def test_a_link_holds_the_file(browser):
    (browser / "a&b.safetensors").write_bytes(b"\x00abc\xff")
    link = offered("a&b.safetensors")
    assert downloaded(link) == ("a&amp;b.safetensors", b"\x00abc\xff")
    assert "Download a&amp;b.safetensors</a> (0.0 MB)" in link


def test_what_is_handed_in_is_put_down_beside_what_is_there(browser):
    taken = []
    upload = HandIn(".safetensors", taken.append)
    for name in ("run.safetensors", "run.safetensors", "../../run.safetensors"):
        hand_in(upload, name, name.encode())
    assert [path.name for path in taken] == ["run.safetensors", "run-2.safetensors", "run-3.safetensors"]
    assert [path.read_bytes() for path in taken] == [b"run.safetensors", b"run.safetensors", b"../../run.safetensors"]
    assert {path.name for path in browser.iterdir()} == {path.name for path in taken}


def test_a_dashboard_saves_offers_takes_back_and_goes_on(browser):
    async def action():
        first = training_dashboard(epochs=2, **TINY)
        first.start.click()
        assert first.hand_in[0].disabled
        await until(lambda: first.task is None)
        first.save.click()
        assert "Saved after step 16, in dashboard.safetensors." in words(first.saved)
        name, content = downloaded(first.saved.value)
        for path in browser.iterdir():  # the browser's data were cleared
            path.unlink()
        second = training_dashboard(epochs=1)
        hand_in(second.hand_in[0], name, content)
        assert "Loaded: 16 steps on sayings, from dashboard.safetensors" in words(second.status)
        second.start.click()
        await until(lambda: second.task is None)
        assert second.trainer.steps == 24

    in_a_loop(action)


def test_a_foreign_file_gets_its_sentence(browser):
    panel = training_dashboard()
    hand_in(panel.hand_in[0], "picture.png", b"\x89PNG\r\n\x1a\n" + bytes(40))
    assert "Not done." in words(panel.status)
    assert panel.trainer is None
