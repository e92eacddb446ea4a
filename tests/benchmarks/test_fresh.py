import pytest

from benchmarks import fresh
from cllm_lib import claims
from cllm_lib.claims import judging, protocol, registry

LINE = {"chapter": "10", "claim": "c", "verdict": "holds", "fresh_verdict": "holds", "seeds": "200 to 219", "protocol": "abc1234"}


def test_seeds_are_named_as_a_range_or_one_by_one():
    assert fresh.seeds_of("200..219") == tuple(range(200, 220))
    assert fresh.seeds_of("300,301,302,303,304,305,306,307,308,309") == tuple(range(300, 310))


@pytest.mark.parametrize(
    ("words", "message"),
    [("200-219", "give a range such as 200..219"), ("0..19", "names 0, which the first runs have used"), ("200..204", "names 5: where")],
    ids=["another notation", "seeds used before", "too few"],
)
def test_other_seeds_are_refused_by_name(words, message):
    with pytest.raises(ValueError, match=message):
        fresh.seeds_of(words)


def test_nothing_is_run_by_rules_that_changed(monkeypatch):
    monkeypatch.setattr(protocol, "changes", lambda: ["'10: a claim' has other rules"])
    with pytest.raises(SystemExit, match=r"The rules are not those of evidence/protocol.json any more: '10: a claim' has other rules"):
        fresh.check_protocol()


def test_runs_of_another_folder_are_judged_and_the_first_ones_are_as_before(tmp_path, monkeypatch):
    kept = registry.evidence_file
    monkeypatch.setattr(registry, "evidence_file", lambda name: tmp_path / name if name.startswith(registry.FRESH) else kept(name))
    (tmp_path / registry.FRESH).mkdir()
    before = claims.values("accumulation", "summed", "after").tolist()
    made = {run: value + 0.5 for run, value in claims.runs("accumulation").items()}
    (tmp_path / registry.FRESH / "accumulation.csv").write_text(registry.csv_of_runs(made))
    with registry.reading(registry.FRESH):
        assert claims.values("accumulation", "summed", "after").tolist() == [value + 0.5 for value in before]
        assert len(claims.values("recall", "real, 1 layer of 24", "right")) == 10  # what was not run anew
    assert claims.values("accumulation", "summed", "after").tolist() == before


def test_what_is_no_claim_of_the_documents_and_what_chooses_is_not_run_anew(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(claims, "recompute", lambda name, **options: asked.append(name) or {})
    monkeypatch.setattr(fresh, "_positions", lambda *arguments: {})
    monkeypatch.setattr(fresh, "_similarities", lambda *arguments: {})
    fresh.measure(tmp_path, tmp_path / "cache", range(200, 210), report=lambda line: None)
    assert {*asked, "tuning"} == {name for name in claims.EXPERIMENTS if not name.startswith("changed_")}


def row(verdict, **more):
    effects = (judging.Effect("e", "u", None, None, n_seeds=10),)
    return judging.Row("c", "000", "m", verdict, "s", "e", "m", effects, "10", **more)


def test_both_verdicts_are_written_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "judged", lambda: [row("does not hold")])
    lines = fresh.judge(tmp_path / "fresh.csv", range(200, 220), "abc1234", [row("holds only if so"), row("holds")][1:])
    assert judging.fresh_lines(tmp_path / "fresh.csv") == lines
    assert (lines[0]["verdict"], lines[0]["fresh_verdict"], lines[0]["seeds"]) == ("holds", "does not hold", "200 to 219")
    assert fresh.summary(lines).endswith("by the protocol of commit abc1234, 0 of 1 verdicts stayed.")
    assert fresh.summary([LINE]).endswith("1 of 1 verdicts stayed.")
    assert judging.fresh_lines(tmp_path / "none.csv") == []


def test_a_verdict_that_changes_with_fresh_seeds_is_undecided():
    changed = judging._weighed(row("holds"), LINE | {"fresh_verdict": "does not hold"})
    assert changed.verdict == "undecided (the first seeds: holds; fresh ones: does not hold)"
    assert changed.fresh == "does not hold (seeds 200 to 219, protocol abc1234)"
    assert judging._weighed(row("holds"), LINE).verdict == "holds"
    assert judging._weighed(row("holds"), None).fresh == ""
