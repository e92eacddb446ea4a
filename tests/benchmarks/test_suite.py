import re

import pytest
from notebooks.books import NAMES, ROOT

from benchmarks import suite


def test_every_test_of_the_house_is_in_a_group():
    asked = {word for arguments in suite.groups().values() for word in arguments if "/" in word}
    for path in (ROOT / "tests").rglob("test_*.py"):
        name = path.relative_to(ROOT).as_posix()
        assert any(name == word or name.startswith(f"{word}/") for word in asked), name
    assert {f"notebooks/{name}.ipynb" for name in NAMES} <= asked
    assert all((ROOT / word).exists() for word in asked)


def test_seconds_are_those_of_processors_and_tests_are_counted():
    seconds, passed = suite.processor_seconds(["tests/test_words.py"])
    assert passed > 10
    assert 0.0 < seconds < 60.0


def test_a_group_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match="nowhere.py failed"):
        suite.processor_seconds(["tests/nowhere.py"])


def test_only_chapters_count_towards_their_limit():
    rows, chapters = suite.rows_of({"00_start_here": (3.4, 13), "01_the_loss": (30.0, 35), "tests/model": (50.0, 900)})
    assert chapters == pytest.approx(33.4)
    assert rows[1] == ["01_the_loss", "30", "35"]
    text = suite.page(rows, chapters, quick=150.0, elsewhere=480.0, minutes=20.0)
    assert re.search(r"All chapters together: 33 processor seconds; at most 400 are wanted: reached\.", text)
    assert "`make test` 2.5 minutes, `make test-elsewhere` 8.0" in text
    assert "are wanted: not reached" in suite.page(rows, 401.0, 1.0, 1.0, 1.0)
