import pytest
from sentences import trials

from benchmarks import sentences
from cllm_lib.claims import own_sentences


def throw(seed):
    return seed % 6 + 1


@pytest.fixture
def dice(monkeypatch, tmp_path):
    """Two sentences about dice, in the place of the book's."""
    made = [
        trials.Trial("98", "less than six", throw, lambda eyes: eyes < 6, tuple(range(10)), False, ""),
        trials.Trial("99", "always less than five", throw, lambda eyes: eyes < 5, tuple(range(10)), False, "mostly less than six"),
    ]
    monkeypatch.setattr(trials, "_TRIALS", made)
    monkeypatch.setattr(trials, "all_trials", lambda: made)
    monkeypatch.setattr(sentences, "FOLDER", tmp_path)
    monkeypatch.setattr(sentences, "CACHE", tmp_path / "cache")
    return made


def stored(tmp_path):
    return [(one.chapter, one.holds_in) for one in own_sentences(path=tmp_path / "own_sentences.csv")]


def test_a_run_writes_every_sentence_and_a_chapter_alone_leaves_the_others(dice, tmp_path):
    sentences.main(["--jobs", "1"])
    assert stored(tmp_path) == [("98", "9 of 10"), ("99", "8 of 10")]
    dice[0] = trials.Trial("98", "less than seven", throw, lambda eyes: eyes < 7, tuple(range(10)), False, "")
    sentences.main(["98", "--jobs", "1"])
    assert stored(tmp_path) == [("98", "10 of 10"), ("99", "8 of 10")]


def test_other_seeds_are_told_and_not_written(dice, tmp_path, capsys):
    sentences.main(["98", "--seeds", "0..4", "--jobs", "1"])
    assert "98  5 of 5" in capsys.readouterr().out
    assert stored(tmp_path) == []


def test_a_rule_that_falls_is_told_at_the_end(dice, tmp_path):
    dice[0] = trials.Trial("98", "less than four", throw, lambda eyes: eyes < 4, tuple(range(10)), False, "")
    with pytest.raises(SystemExit, match="98: 6 of 10, and the book says otherwise: less than four"):
        sentences.main(["--jobs", "1"])
    assert stored(tmp_path) == [("98", "6 of 10"), ("99", "8 of 10")]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["12"], "chapter '12' has no rule on trial: choose among 98, 99"), (["98", "--seeds", "some"], "--seeds is 'some': give a range")],
    ids=["a chapter without rules", "seeds in words"],
)
def test_what_cannot_be_measured_is_told_in_a_sentence(dice, tmp_path, capsys, words, message):
    with pytest.raises(SystemExit):
        sentences.main(words)
    assert message in capsys.readouterr().err
    assert stored(tmp_path) == []
