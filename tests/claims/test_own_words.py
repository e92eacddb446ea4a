import pytest

from cllm_lib.claims import OwnSentence, own_sentences
from cllm_lib.claims.own_words import EACH, TOGETHER, write_sentences

TEN = tuple(range(10))


@pytest.mark.parametrize(
    ("fell_on", "stands", "holds_in"),
    [((), True, "10 of 10"), ((3,), True, "9 of 10"), ((3, 7), False, "8 of 10"), (TEN, False, "0 of 10")],
    ids=["on all", "on all but one", "on eight", "on none"],
)
def test_a_rule_stands_if_it_is_true_on_nine_of_ten(fell_on, stands, holds_in):
    one = OwnSentence("04", "Adam is ahead", EACH, TEN, fell_on)
    assert (one.stands, one.holds_in) == (stands, holds_in)


def test_of_twelve_seeds_one_may_fall_and_of_twenty_two():
    assert OwnSentence("04", "so", EACH, tuple(range(12)), (1,)).stands
    assert not OwnSentence("04", "so", EACH, tuple(range(12)), (1, 2)).stands
    assert OwnSentence("04", "so", EACH, tuple(range(20)), (1, 2)).stands
    assert not OwnSentence("04", "so", EACH, tuple(range(20)), (1, 2, 3)).stands


def test_a_mean_or_a_share_is_true_of_all_seeds_together_or_not():
    assert OwnSentence("04", "half of them", TOGETHER, TEN, ()).holds_in == "true of all 10 together"
    assert OwnSentence("04", "half of them", TOGETHER, TEN, TEN).holds_in == "not true of all 10 together"


def test_what_is_written_is_read_again(tmp_path):
    written = [
        OwnSentence("04", 'Adam, "tuned", is ahead ... by half', EACH, TEN, (3,)),
        OwnSentence("05", "half of them", TOGETHER, TEN, TEN, instead="a third of them"),
    ]
    write_sentences(tmp_path / "own_sentences.csv", written)
    assert own_sentences(path=tmp_path / "own_sentences.csv") == written
    assert own_sentences("05", tmp_path / "own_sentences.csv") == written[1:]
    assert "python -m benchmarks.sentences 04\n" in (tmp_path / "own_sentences.csv").read_text(encoding="utf-8")


def test_before_the_first_trial_there_are_none(tmp_path):
    assert own_sentences(path=tmp_path / "own_sentences.csv") == []
