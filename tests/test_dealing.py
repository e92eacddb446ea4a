import pytest
from dealing import RUN_CHAPTERS, ByChapter
from notebooks.books import ROOT


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("notebooks/01_x.ipynb::Cell 3", "notebooks/01_x.ipynb"),
        ("tests/model/test_layers.py::test_linear", "tests/model/test_layers.py"),
        ("tests/x/test_y.py::TestIt::test_z[a]", "tests/x/test_y.py::TestIt"),
        ("tests/browser/test_lab.py::test_a_chapter[01.ipynb]", "tests/browser/test_lab.py::test_a_chapter[01.ipynb]"),
        ("tests/notebooks/test_runs.py::TestSolved::test_all[02]", "tests/notebooks/test_runs.py::TestSolved::test_all[02]"),
    ],
)
def test_a_chapter_is_a_group_and_else_a_module(nodeid, group):
    assert ByChapter._split_scope(object.__new__(ByChapter), nodeid) == group


def test_what_runs_chapters_is_there_and_knows_them_all():
    for module in RUN_CHAPTERS:
        assert "NAMES" in (ROOT / module).read_text(encoding="utf-8")
