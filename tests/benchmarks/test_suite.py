import pytest
from notebooks.books import NAMES

from benchmarks import suite

REPORT = """<testsuites><testsuite>
<testcase classname="notebooks.00_start_here.ipynb" name="Cell 1" time="2.5"/>
<testcase classname="notebooks.01_x.ipynb" name="Cell 1" time="1.0"/>
<testcase classname="tests.model.test_layers" name="test_linear" time="0.25"/>
<testcase classname="tests.workbook.widgets.test_svg" name="test_it" time="0.5"/>
<testcase classname="tests.test_words" name="test_it" time="0.125"/>
</testsuite></testsuites>"""


def test_every_chapter_is_measured():
    assert list(suite.chapters()) == NAMES


def test_seconds_are_those_of_processors_and_tests_are_counted():
    seconds, passed = suite.processor_seconds("tests/test_words.py")
    assert passed > 10
    assert seconds > 0.0


def test_a_run_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match=r"nowhere\.py failed"):
        suite.processor_seconds("tests/nowhere.py")


def test_seconds_are_added_up_by_folder_the_longest_first():
    assert suite.seconds_by_group(REPORT) == {
        "notebooks, under nbval": (3.5, 2),
        "tests/workbook": (0.5, 1),
        "tests/model": (0.25, 1),
        "tests, beside the folders": (0.125, 1),
    }


def test_the_page_says_whether_the_chapters_stay_within_their_seconds():
    chapters, commands = {"00_start_here": (3.4, 13), "01_x": (30.0, 1_035)}, {"make test": (150.0, suite.seconds_by_group(REPORT))}
    text = suite.page(chapters, commands, minutes=15.0)
    assert "All chapters together: 33 seconds; at most 400 are wanted: reached." in text
    assert "| 01_x          | 30      | 1,035 |" in text
    assert "`make test`: 2.5 minutes by the clock" in text
    assert "wanted: not reached" in suite.page({"00": (401.0, 1)}, commands, 1.0)
