import json

import numpy as np
import pytest

from benchmarks import repair_ladder
from benchmarks.repair_ladder import RUNGS, TINY
from cllm_lib import load_corpus


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings")


@pytest.fixture
def config(corpus):
    return repair_ladder.replace(TINY, vocab_size=len(corpus.vocabulary), dtype="float64")


def test_every_row_runs_and_none_is_another_in_disguise(config, corpus):
    rows = repair_ladder.measure(config, corpus, 1)
    means = [f"{row['epochs'][0]:.6f}" for row in rows]
    assert len(set(means)) == len(RUNGS)
    assert means[0] == f"{np.log(config.vocab_size):.6f}"


def test_an_interrupted_run_goes_on_where_it_stopped(config, corpus, tmp_path, monkeypatch):
    keep = tmp_path / "rows.json"
    first = repair_ladder.measure(config, corpus, 1, RUNGS[:2], keep)
    climbed = []
    climb = repair_ladder.climb
    monkeypatch.setattr(repair_ladder, "climb", lambda rung, *rest: climbed.append(rung) or climb(rung, *rest))
    rows = repair_ladder.measure(config, corpus, 1, RUNGS[:3], keep)
    assert climbed == [RUNGS[2]]
    assert rows[:2] == first
    repair_ladder.measure(config, corpus, 2, RUNGS[:1], keep)  # other settings: nothing of it is used
    assert climbed == [RUNGS[2], RUNGS[0]]
    assert json.loads(keep.read_text(encoding="utf-8"))["key"]["epochs"] == 2


def test_a_run_that_blows_up_shows_its_first_batches():
    row = {"first": [9.2103, 8.97, float("nan")], "epochs": [float("nan")]}
    assert repair_ladder.cells(RUNGS[1], row, [1, 2]) == [RUNGS[1].name, "SGD", "first batches 9.2103, 8.9700, nan", ""]


def test_the_page_has_a_row_for_each_rung_and_the_levels(config, corpus):
    rows = [{"first": [5.0, 4.0, 3.0], "epochs": [5.25, 1234.5]}] * len(RUNGS)
    text = repair_ladder.page(config, corpus, rows, 2, 3.0)
    assert text.count("| 5.25 | 1,234 |") == len(RUNGS)
    assert "unigram entropy 4.71" in text
    assert str(repair_ladder.PAGE.parent) not in text


def test_trying_it_writes_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(repair_ladder, "RUNGS", RUNGS)
    monkeypatch.setattr(repair_ladder, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(repair_ladder, "TINY", repair_ladder.replace(TINY, vocab_size=300, n_layers=1))
    repair_ladder.main(["--tiny"])
    assert "# The repair ladder at full size" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
