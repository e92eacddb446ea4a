import json

import pytest
from notebooks.books import NAMES

from cllm_lib.workbook.copies import GOES_ON, home_of, notices, stale_imports


@pytest.mark.parametrize(
    ("source", "stale"),
    [
        ("from cllm_lib import CLLM, defects", []),
        ("from cllm_lib.text import load_corpus", []),
        ("from cllm_lib.workbook import figures, check", []),
        ("from cllm_lib.model.layers import softmax", []),  # not by a face, and it works
        ("from cllm_lib.statistics import interval", [("cllm_lib.statistics", "interval")]),
        ("from cllm_lib.no.such.room import thing", [("cllm_lib.no.such.room", "thing")]),
        ("from cllm_lib.text import load_corpus, karpus", [("cllm_lib.text", "karpus")]),
        ("def f():\n    from cllm_lib.workbook import lattice_figures", [("cllm_lib.workbook", "lattice_figures")]),
        ("from numpy import nothing", []),
        ("from cllm_lib import (", []),
    ],
)
def test_what_is_no_longer_there_is_found(source, stale):
    assert stale_imports(source) == stale


def test_a_name_is_found_where_it_is_offered_now():
    assert home_of("interval") == "cllm_lib.experiments"
    assert home_of("karpus") is None


def book(*sources):
    return json.dumps({"cells": [{"cell_type": "code", "source": [source]} for source in sources]})


def test_each_old_copy_is_named_once_with_what_to_do(tmp_path):
    old = "from cllm_lib.statistics import interval, p_value"
    (tmp_path / "18_evidence.ipynb").write_text(book("x = 1", old), encoding="utf-8")
    (tmp_path / "mine.ipynb").write_text(book("from cllm_lib.statistics import karpus"), encoding="utf-8")
    (tmp_path / "18_evidence.mine-1.ipynb").write_text(book(old), encoding="utf-8")
    (tmp_path / "00_start_here.ipynb").write_text(book("from cllm_lib import CLLM"), encoding="utf-8")
    (tmp_path / "damaged.ipynb").write_text("{", encoding="utf-8")
    assert notices(tmp_path) == [
        "Your 18_evidence.ipynb imports interval from cllm_lib.statistics, which stands in cllm_lib.experiments now and 1 more: "
        "`make fresh CHAPTER=18` sets it aside and gives you the new one.",
        "Your mine.ipynb imports karpus from cllm_lib.statistics: change these imports in it.",
    ]


def test_the_chapters_of_today_import_nothing_stale():
    from notebooks.books import ROOT

    assert notices(ROOT / "notebooks") == []


def test_a_copy_of_a_chapter_that_was_split_is_named_with_those_it_goes_on_in(tmp_path):
    (tmp_path / "04_adam.ipynb").write_text(book("from cllm_lib.statistics import interval"), encoding="utf-8")
    assert notices(tmp_path) == [
        "Your 04_adam.ipynb is of an earlier edition and goes on in 07_adam.ipynb and 08_when_a_right_optimiser_still_fails.ipynb. "
        "Yours stays as it is; its checks ask for other exercises now."
    ]


def test_every_chapter_of_the_first_edition_goes_on_in_one_of_today():
    assert {name for names in GOES_ON.values() for name in names} <= set(NAMES)
    assert not set(GOES_ON) & set(NAMES)
