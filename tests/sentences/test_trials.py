"""The book's own rules: each stands in its chapter word for word, has been on trial, and held; those that fell are gone."""

import ast
import re

import pytest
from notebooks.books import NAMES, read
from sentences import trials

from cllm_lib.claims import own_sentences, quotes

TRIALS = trials.all_trials()
CHAPTERS = {name[:2]: name for name in NAMES}


def words_of(name):
    """All that a chapter says: its texts, and what its cells print or show as a caption, without marks."""
    said = []
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            said.append(quotes.plain(cell.source))
        else:
            said += [
                node.value for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    return re.sub(r"\[([^]]*)\]\([^)]*\)|[*_]", r"\1", "\n".join(said))


def named(trial):
    return f"{trial.chapter}: {trial.words[:60]}"


@pytest.mark.parametrize("trial", TRIALS, ids=named)
def test_the_chapter_says_it(trial):
    said = words_of(CHAPTERS[trial.chapter])
    assert quotes.places_in(trial.instead or trial.words, said, f"chapter {trial.chapter}")


@pytest.mark.parametrize("trial", [one for one in TRIALS if one.instead], ids=named)
def test_no_chapter_says_what_fell(trial):
    for name in NAMES:
        with pytest.raises(ValueError, match="does not say"):
            quotes.places_in(trial.words, words_of(name), name)


@pytest.mark.parametrize("trial", TRIALS, ids=named)
def test_a_rule_is_measured_on_ten_seeds_at_least(trial):
    assert len(set(trial.seeds)) == len(trial.seeds) >= 10


def test_each_has_been_on_trial_as_it_is_written_now():
    stored = [(one.chapter, one.words, one.instead, one.seeds) for one in own_sentences()]
    assert stored == [(one.chapter, one.words, one.instead, one.seeds) for one in TRIALS], "run `python -m benchmarks.sentences`"


def test_what_stands_held_and_what_fell_did_not():
    assert [one for one in own_sentences() if not one.as_told] == []


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS, ids=named)
def test_it_comes_out_again(trial):
    stored = own_sentences(trial.chapter)
    again = trials.hold([trial])[0]
    assert again.as_told
    assert again.words in {one.words for one in stored}


class TestMachinery:
    """On sentences about dice, which are nobody's chapter."""

    @staticmethod
    def enter(monkeypatch, how, words, judge, measure=None, **options):
        monkeypatch.setattr(trials, "_TRIALS", [])
        judge.__module__ = "sentences.chapter_99"
        how(words, of=measure or (lambda seed: {"eyes": seed % 6 + 1}), **options)(judge)
        return trials._TRIALS

    def test_a_rule_is_judged_seed_by_seed(self, monkeypatch):
        (sentence,) = trials.hold(self.enter(monkeypatch, trials.rule, "less than six", lambda one: one["eyes"] < 6))
        assert (sentence.chapter, sentence.fell_on, sentence.holds_in, sentence.stands) == ("99", (5,), "9 of 10", True)

    def test_a_share_is_judged_of_all_together(self, monkeypatch):
        judge = lambda all_of_them: sum(one["eyes"] < 4 for one in all_of_them) == 6  # noqa: E731
        (sentence,) = trials.hold(self.enter(monkeypatch, trials.rule, "six of ten below four", judge, together=True))
        assert (sentence.holds_in, sentence.stands) == ("true of all 10 together", True)
        (sentence,) = trials.hold(trials._TRIALS, seeds=range(20, 30))
        assert not sentence.stands

    def test_a_sentence_that_fell_says_what_took_its_place(self, monkeypatch):
        options = {"instead": "mostly less than six", "seeds": range(12)}
        (sentence,) = trials.hold(self.enter(monkeypatch, trials.fallen, "less than six", lambda one: one["eyes"] < 6, **options))
        assert (sentence.instead, sentence.fell_on, sentence.stands) == ("mostly less than six", (5, 11), False)

    def test_what_two_sentences_are_about_is_measured_once(self, monkeypatch):
        seen = []
        entered = self.enter(monkeypatch, trials.rule, "one", lambda one: True, measure=lambda seed: seen.append(seed))
        trials.rule("two", of=entered[0].measure)(entered[0].judge)
        assert len(trials.hold(entered)) == 2
        assert seen == list(range(10))
