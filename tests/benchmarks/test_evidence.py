import csv
from dataclasses import replace

import pytest

from benchmarks import evidence
from cllm_lib import claims
from cllm_lib.claims import judging, registry


def test_runs_are_written_in_full_and_taken_from_the_cache_the_second_time(tmp_path):
    said = []
    for _ in range(2):
        evidence.measure_experiments(tmp_path, tmp_path / "cache", tiny=True, n_jobs=1, names=["rules"], report=said.append)
    with (tmp_path / "rules.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 2 * 4  # variants, seeds, rules
    assert len(list((tmp_path / "cache").glob("*.json"))) == 4
    assert said[1].startswith("rules: 16 numbers, 0 s")


def test_what_has_no_fast_part_is_left_out_of_the_tiny_run(tmp_path):
    evidence.measure_experiments(tmp_path, tmp_path / "cache", tiny=True, n_jobs=1, names=["magnitudes"])
    assert not (tmp_path / "magnitudes.csv").exists()


def test_seeded_numbers_come_out_again_and_a_changed_one_stops_the_run(tmp_path, monkeypatch):
    chosen = dict(n_jobs=1, names=["steps back"], variants=["clock"], seeds=[3])
    evidence.check_positions(tmp_path, **chosen)
    kept = claims.stored("positions")
    rows = kept["rows"]["steps back"]["clock"]
    changed = {"steps back": {"clock": [[short, long + 0.02] for short, long in rows]}}
    monkeypatch.setattr(claims, "stored", lambda name: kept | {"rows": changed})
    with pytest.raises(SystemExit, match=r"positions.json does not come out again: steps back, clock is off by 0.0\d+, more than 0.01"):
        evidence.check_positions(tmp_path, **chosen)


def test_times_are_written_as_they_can_be_read_and_say_that_they_differ(tmp_path, monkeypatch):
    evidence.measure_timings(tmp_path, {"reduced": a_time}, report=lambda line: None)
    monkeypatch.setattr(registry, "evidence_file", lambda name: tmp_path / name)
    registry.forget()
    assert registry.fresh("reduced") == {"threads": "1", "measurements": [{"ratio": 0.25}]}
    assert registry.fresh("these times")["differ"] == "from run to run"
    registry.forget()


def a_time():
    return {"threads": evidence.os.environ["OPENBLAS_NUM_THREADS"], "measurements": [{"ratio": 0.25}]}


def test_the_summary_counts_verdicts_and_questions(monkeypatch):
    monkeypatch.setattr(judging, "fresh_lines", list)
    asked = claims.above("e", 0.0, 0.1, "u")
    row = judging.Row("c", "000", "m", "holds only if so", "s", "e", "m", (), "10", (asked,))
    said = evidence.summary([row, row, replace(row, verdict="undecided (why)")])
    assert said.startswith(
        "Of 3 claims that were judged, 0 hold as they stand, 2 hold under a condition that was found, 0 do not hold, 1 is undecided, and 0 "
    )
    assert "the verdicts answer 3 questions" in said


def test_the_readme_says_what_came_out():
    page = " ".join((evidence.ROOT / "README.md").read_text(encoding="utf-8").split())
    assert evidence.summary(claims.table()) in page


def test_the_paragraph_of_the_readme_is_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n{}\nold\n{}\nafter\n".format(*evidence.MARKS))
    for words in ("some", "other"):
        evidence.say_in_readme(words, page)
    assert page.read_text() == "before\n{}\nother\n{}\nafter\n".format(*evidence.MARKS)


@pytest.mark.slow
def test_trying_it_goes_the_whole_way_and_leaves_nothing(capsys):
    before = {path: path.stat().st_mtime_ns for path in evidence.FOLDER.iterdir()}
    evidence.main(["--tiny"])
    assert evidence.summary(claims.table()) in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in evidence.FOLDER.iterdir()} == before


def test_every_timed_row_is_measured_anew():
    assert set(evidence.TIMINGS) == {"startup", "lookup", "similarity", "threads", "reduced"}
    for name in evidence.TIMINGS:
        assert claims.fresh(name)["command"] == claims.stored(name)["command"]


def test_one_experiment_is_run_alone_and_the_tables_are_written(monkeypatch, tmp_path, capsys):
    called = []
    monkeypatch.setattr(evidence, "FOLDER", tmp_path)
    monkeypatch.setattr(evidence, "measure_experiments", lambda folder, cache, n_jobs, names: called.append(names))
    monkeypatch.setattr(evidence, "say_in_readme", lambda words: called.append("README"))
    for other in ("check_positions", "check_similarity", "measure_timings"):
        monkeypatch.setattr(evidence, other, lambda *arguments: pytest.fail("that was not asked for"))
    evidence.main(["rules"])
    assert called == [["rules"], "README"]
    assert (tmp_path / "table.csv").exists()
    with pytest.raises(SystemExit):
        evidence.main(["ruels"])
    assert "no experiment is called 'ruels': choose among accumulation, " in capsys.readouterr().err
