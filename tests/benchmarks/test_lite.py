import json

from notebooks.books import NAMES

from benchmarks import lite


def test_new_numbers_come_in_and_the_others_stay():
    old = {"chapters": {"00": {"cpu_seconds": 50.0}, "09": {"cpu_seconds": 30.0}}, "machine": "an old one"}
    found = lite.merged(old, {"09": {"cpu_seconds": 31.0}, "01": {"cpu_seconds": 9.0}}, "this one")
    assert found["chapters"] == {"00": {"cpu_seconds": 50.0}, "01": {"cpu_seconds": 9.0}, "09": {"cpu_seconds": 31.0}}
    assert list(found["chapters"]) == ["00", "01", "09"]
    assert found["machine"] == "this one"


def test_what_is_stored_is_of_chapters_that_are_there():
    content = json.loads(lite.RESULTS.read_text(encoding="utf-8"))
    assert set(content["chapters"]) <= {name[:2] for name in NAMES}
    assert all(found["cpu_seconds"] > 0 for found in content["chapters"].values())
    assert content["command"] == lite.COMMAND


def test_how_busy_the_machine_was_is_the_mean_of_five_minutes(monkeypatch):
    monkeypatch.setattr(lite.os, "getloadavg", lambda: (9.0, 4.26, 1.0), raising=False)
    assert lite.load() == {"load": 4.3}
    monkeypatch.delattr(lite.os, "getloadavg")  # as on Windows
    assert lite.load() == {}


def test_what_runs_chapters_here_is_what_tests_them():
    assert lite.driver().lite.READ_HERE.keys() <= {name[:2] for name in NAMES}
