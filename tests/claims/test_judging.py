"""From effects to verdicts to a table: corrected for looking at many claims, and never without enough seeds."""

import csv
import re

import numpy as np
import pytest

from cllm_lib import claims
from cllm_lib.claims import judging, questions, registry
from cllm_lib.claims.questions import above
from cllm_lib.experiments import intervals as statistics

VALUES = np.random.default_rng(0).normal(0.3, 0.2, 12)
ALWAYS = dict(claim="c", source="003", section="s", experiment="e", change_our_mind="m")


GAIN = above("gain", 0.0, 0.05, "nats")


def register(monkeypatch, *judges):
    """Judges, each with how many questions it asks."""
    registry.load_all()  # while the claims are the real ones
    monkeypatch.setattr(judging, "_CLAIMS", {})
    monkeypatch.setattr(judging, "_ASKED", asked := {})
    monkeypatch.setattr(questions, "_ASKED", asked)
    for count, judge in judges:
        judging.measured("18", **ALWAYS, asks=[GAIN] * count)(judge)


def by_chance():
    one = GAIN(VALUES)
    return "found", judging.verdict(one.answer), [one]


def counted():
    return "counted", judging.HOLDS, [judging.exact("primes", 4, "numbers")]


def test_the_corrected_interval_is_that_of_all_questions_together(monkeypatch):
    register(monkeypatch, (1, by_chance), (0, counted), (6, lambda: None))
    assert questions.comparisons() == 7
    assert by_chance()[2][0].corrected == statistics.interval(VALUES, 1 - 0.05 / 7)


def test_more_questions_widen_the_interval_until_nothing_can_be_decided(monkeypatch):
    register(monkeypatch, (1, by_chance))
    assert judging.rows("18")[0].verdict == judging.HOLDS
    register(monkeypatch, (1, by_chance), (100_000, counted))
    assert by_chance()[1] == judging.UNDECIDED


def test_all_intervals_hold_at_once_as_often_as_they_say(monkeypatch):
    """Twenty effects of nothing, 400 tables: one corrected interval of the twenty misses 0 in 5 % of the tables or fewer."""
    register(monkeypatch, (20, counted))
    generator = np.random.default_rng(1)
    wrong = [any(GAIN(generator.normal(size=10)).corrected.low > 0 for _ in range(20)) for _ in range(400)]
    plain = np.mean([any(GAIN(generator.normal(size=10)).interval.clear_of_zero for _ in range(20)) for _ in range(50)])
    assert 0.0 < np.mean(wrong) < 0.06  # one side only: half of 5 % is expected
    assert plain > 0.4


def test_a_row_that_answers_other_questions_than_it_was_registered_with_is_refused(monkeypatch):
    register(monkeypatch, (2, by_chance))
    with pytest.raises(ValueError, match="by_chance answers 'gain', and was registered with asks='gain', 'gain': the questions have to"):
        judging.rows("18")


def test_a_row_says_how_many_seeds_and_on_what(monkeypatch):
    register(monkeypatch, (1, by_chance))
    assert judging.rows("18")[0].measured == "12 seeds on one text, sayings: found"


def test_what_is_counted_has_no_seeds_and_no_interval(monkeypatch):
    register(monkeypatch, (0, counted))
    row = judging.rows("18")[0]
    assert (row.n_seeds, row.effects[0].interval, row.measured) == (None, statistics.Interval(4.0, 4.0, 4.0), "counted")


def of_module(module, judge, name=None):
    """The same judge, as if it stood elsewhere."""
    return type(judge)(judge.__code__, judge.__globals__ | {"__name__": module}, name or judge.__name__)


def test_a_second_judge_of_one_name_is_refused_and_the_same_once_more_is_not(monkeypatch):
    register(monkeypatch, (0, counted), (0, counted))  # as when a module is loaded anew, or a cell is executed again
    other = of_module("another_module", counted)
    with pytest.raises(
        ValueError, match=rf"there is a judge 'counted' of chapter 18 already, in {__name__}: take another name in another_module"
    ):
        judging.measured("18", **ALWAYS)(other)
    judging.measured("11", **ALWAYS)(other)
    assert len(judging.rows()) == 2


def test_a_chapters_rows_come_by_module_and_line_whichever_was_loaded_first(monkeypatch):
    register(monkeypatch)
    for module, name in (("b", "second"), ("b", "last"), ("a", "first")):
        judging.measured("18", **(ALWAYS | {"claim": name}))(of_module(module, counted, name))
    assert [row.claim for row in judging.rows("18")] == ["first", "second", "last"]


def test_the_table_has_its_lines_in_the_order_of_the_documents(monkeypatch):
    register(monkeypatch)
    said = (("a", "of nobody", "001"), ("b", "Too large: Divergence", "001"), ("c", "PROBLEM", "001"), ("d", "Next Steps", "000"))
    for module, claim, source in said:
        judging.measured("18", **(ALWAYS | {"claim": claim, "source": source}))(of_module(module, counted, claim))
    assert [row.claim for row in judging.table()] == ["Next Steps", "PROBLEM", "Too large: Divergence", "of nobody"]


def test_an_unknown_chapter_is_told_which_there_are():
    with pytest.raises(ValueError, match="'17'"):
        claims.rows("17")


def test_times_are_judged_twice_and_a_disagreement_is_the_verdict(monkeypatch):
    monkeypatch.setattr(judging, "stored", {"t": 1.0}.get)
    judge = judging.timed("t")(lambda run: (f"{run} s", judging.verdict(run < 2), []))
    for fresh, verdict in (
        (1.5, judging.HOLDS),
        (3.0, "holds only if the machine suits: where the stored times were taken it holds, where"),
    ):
        monkeypatch.setattr(judging, "fresh", {"t": fresh}.get)
        assert judge()[0] == "1.0 s"  # what the table says is the stored one: the same whenever it is made
        assert judge()[1].startswith(verdict)


@pytest.mark.parametrize("once", [(7, 3), (3, 7)])
def test_a_condition_that_only_one_of_two_measurements_finds_is_none(once, monkeypatch):
    for name, run in zip(("stored", "fresh"), once, strict=True):
        monkeypatch.setattr(judging, name, {"t": run}.get)
    assert judging.timed("t")(lambda run: ("", judging.verdict(False, "so" if run > 5 else None), []))()[1] == judging.FAILS


def test_conditions_may_differ_where_the_verdict_is_of_one_kind(monkeypatch):
    monkeypatch.setattr(judging, "stored", {"t": 7}.get)
    monkeypatch.setattr(judging, "fresh", {"t": 8}.get)
    assert judging.timed("t")(lambda run: ("", judging.verdict(False, f"{run} times"), []))()[1] == "holds only if 7 times"


VERDICTS = {
    judging.verdict(True, "so", "so"): judging.HOLDS,
    judging.verdict(None, "so", "so"): judging.UNDECIDED,
    judging.verdict(False): judging.FAILS,
    judging.verdict(False, "so", "thus"): judging.PARTLY,
    judging.verdict(False, None, "thus"): judging.FAILS,
    judging.untestable("as it is said"): judging.UNTESTABLE,
}


@pytest.mark.parametrize("words", VERDICTS)
def test_a_verdict_is_of_one_of_five_kinds(words):
    assert words.startswith(VERDICTS[words])
    assert judging.kind_of(words) == VERDICTS[words]
    assert (judging.kind_of(words) == judging.HOLDS) == (words == "holds")


@pytest.mark.parametrize("once", [(True, None), (None, False)])
def test_times_of_which_one_measurement_decides_nothing_are_undecided(once, monkeypatch):
    for name, run in zip(("stored", "fresh"), once, strict=True):
        monkeypatch.setattr(judging, name, {"t": run}.get)
    assert judging.timed("t")(lambda run: ("", judging.verdict(run), []))()[1] == judging.UNDECIDED


@pytest.fixture(scope="module")
def table():
    return claims.table()


def test_every_row_says_where_it_comes_from_and_what_would_change_it(table):
    for row in table:
        for words in (row.claim, row.source, row.section, row.experiment, row.measured, row.verdict, row.change_our_mind):
            assert words.strip() == words != ""
        assert re.match(r"00[0-4]", row.source)
        assert row.kind in (claims.HOLDS, claims.PARTLY, claims.FAILS, claims.UNDECIDED, claims.UNTESTABLE)
        assert row.effects or row.kind == claims.UNTESTABLE
        assert row.n_seeds is None or row.n_seeds >= 10


def test_a_claim_is_told_from_all_others_of_its_chapter_by_its_words(table):
    assert len({(row.chapter, row.claim) for row in table}) == len(table)


def test_the_sections_are_those_of_the_documents_in_order(table):
    numbers = [re.search(r"\d{3}", row.source).group() for row in table]
    assert numbers == sorted(numbers)
    assert set(numbers) == {"000", "001", "002", "003", "004"}


def test_the_correction_counts_what_the_rows_answer(table):
    asked = sum(one.question is not None for row in table for one in row.effects)
    assert asked == sum(len(row.asks) for row in table) == claims.comparisons() > 1


def test_no_interval_is_of_no_width_by_chance_nor_out_of_its_range(table):
    for one in (one for row in table for one in row.effects if one.n_seeds is not None):
        assert one.is_constant == (one.spread == 0.0) or one.question is None or one.question.kind == "yes or no", one.name
        if one.unit.startswith("share right") or one.unit == "share of seeds":
            assert -1.0 <= one.corrected.low <= one.corrected.high <= 1.0, one.name


def test_every_corrected_interval_holds_the_plain_one(table):
    for one in (one for row in table for one in row.effects):
        assert one.corrected.low <= one.interval.low <= one.interval.mean <= one.interval.high <= one.corrected.high


def test_the_table_is_the_same_twice_and_can_be_read_back(table, tmp_path):
    for name in ("a", "b"):
        claims.write_table(tmp_path / f"{name}_table.csv")
        claims.write_effects(tmp_path / f"{name}_effects.csv")
    for kind in ("table", "effects"):
        assert (tmp_path / f"a_{kind}.csv").read_bytes() == (tmp_path / f"b_{kind}.csv").read_bytes()
    with (tmp_path / "a_table.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["claim"], line["verdict"]) for line in lines] == [(row.claim, row.verdict) for row in table]
    with (tmp_path / "a_effects.csv").open(newline="", encoding="utf-8") as file:
        effects = list(csv.DictReader(file))
    assert len(effects) == sum(len(row.effects) for row in table)
    answers = [judging.ANSWERS[one.answer] if one.question else "" for row in table for one in row.effects]
    assert [line["answer"] for line in effects] == answers
    assert all(line["low"] and line["high"] for line in effects if line["detectable"])


def test_the_stored_table_is_what_the_stored_runs_give(table, tmp_path):
    claims.write_table(tmp_path / "table.csv", table)
    claims.write_effects(tmp_path / "effects.csv", table)
    for name in ("table.csv", "effects.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == registry.evidence_file(name).read_text(encoding="utf-8"), name
