"""What the benchmark of the case files counts, in small, and what its page says."""

import pytest

from benchmarks import case_files
from cllm_lib import casebook
from cllm_lib.casebook import belief, building, faults
from cllm_lib.instruments import kit

OF_TWO = ["healthy", "shared ids"]


def test_each_purpose_has_patients_of_its_own_the_same_each_time():
    assert case_files.drawn(1, "shared ids", 0).settings == case_files.drawn(1, "shared ids", 0).settings
    seeds = {case_files.drawn(purpose, name, k).settings.seed for purpose in (1, 2, 3) for name in OF_TWO for k in range(5)}
    assert len(seeds) == 30


def test_jobs_are_patients_of_each_defect_and_healthy_ones():
    jobs = case_files.jobs_for(2, sick=3, healthy=4)
    assert len(jobs) == len(set(jobs)) == 4 + 3 * len(faults.ALL)
    assert {(purpose, defect) for purpose, defect, _ in jobs} == {(2, name) for name in (casebook.HEALTHY, *faults.ALL)}


@pytest.fixture(scope="module")
def rows():
    """Two healthy patients and one with a defect, measured."""
    return [case_files.measured((8, defect, k)) for defect, k in (("healthy", 0), ("healthy", 1), ("shared ids", 0))]


def test_a_patient_is_measured_by_every_instrument_as_in_a_case(rows):
    defect, number, found, healthy_curve, told = rows[2]
    assert (defect, number, told) == ("shared ids", 0, True)
    assert list(found) == list(kit.ALL)
    assert found["count the text"] == building.read(case_files.drawn(8, "shared ids", 0), "count the text").numbers
    assert healthy_curve is True


def test_a_written_table_is_read_as_it_was_measured(rows, monkeypatch, tmp_path):
    monkeypatch.setattr(case_files, "TABLE", tmp_path / "table.csv")
    monkeypatch.setattr(belief, "shipped", lambda folder, name: tmp_path / "table.csv")
    try:
        case_files.write_table(rows)
        read = belief.table()
        assert [defect for defect, _ in read] == ["healthy", "healthy", "shared ids"]
        for (_, readings), (_, _, found, *_) in zip(read, rows, strict=True):
            assert readings == {name: pytest.approx(found[name], rel=1e-8) for name in kit.ALL}
        words = belief.words_of_patients()[2][1]
        assert words["count the text"] == set(kit.words_for(kit.ALL["count the text"], rows[2][2]["count the text"]))
    finally:
        for cached in (belief.table, belief.words_of_patients, belief.experience, belief.told_by):
            cached.cache_clear()


def test_separation_counts_patients_with_a_word_that_no_healthy_one_says(rows):
    found = case_files.separation(rows)
    assert found["shared ids"] == 1
    assert found["rate zero"] == 0  # none was measured
    usual = [("healthy", 2, rows[2][2]), *rows]  # its words are said of a healthy one too
    assert case_files.separation(usual)["shared ids"] == 0


def test_a_patient_of_the_table_is_solved_by_what_the_others_taught(monkeypatch):
    taught = []

    def solve(case, known):
        taught.append(known)
        return ("shared ids" if case.ask("count the text").words else "healthy"), ["count the text"]

    monkeypatch.setattr(casebook.belief, "solve", solve)
    monkeypatch.setattr(casebook.belief, "Experience", lambda patients: [defect for defect, _ in patients])
    table = [(name, sum(other == name for other, _ in casebook.table()[:i]), found) for i, (name, found) in enumerate(casebook.table())]
    some = [row for row in table if row[0] in OF_TWO][:10]
    solved = case_files.cross_validated(some)
    assert len(solved) == len(taught) == 10
    assert all(len(known) == 8 for known in taught)
    assert all((truth == "shared ids") == (accused == "shared ids") for truth, accused, _ in solved)


def test_a_summary_counted_by_hand():
    solved = [
        ("healthy", "healthy", ["a"] * 9),
        ("healthy", "rate zero", ["a"] * 5),
        ("rate zero", "rate zero", ["a"] * 2),
        ("shared ids", "rate zero", ["a"] * 4),
        ("shared ids", "rate zero", ["a"] * 3),
    ]
    assert case_files.summary(solved) == {
        "cases": 5,
        "right": 2,
        "healthy": 2,
        "acquitted": 1,
        "questions": {"all": 4, "sick": 3, "healthy": 7},
        "confused": [["healthy", "rate zero", 1], ["shared ids", "rate zero", 2]],
    }
    assert case_files.summary(solved[2:])["questions"]["healthy"] is None


def test_a_fresh_case_is_solved_and_its_truth_told():
    truth, accused, asked, healthy_curve, refused = case_files.solved_fresh(4)
    assert truth == accused
    assert len(asked) >= 1
    assert isinstance(healthy_curve, bool)
    assert refused >= 0


def test_the_fingerprint_changes_with_a_word_and_with_a_defect(monkeypatch, tmp_path):
    for folder in case_files.FROZEN:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "one.py").write_text("1", encoding="utf-8")
    monkeypatch.setattr(case_files, "PACKAGE", tmp_path)
    found = {case_files.fingerprint()}
    for folder in case_files.FROZEN:
        (tmp_path / folder / "one.py").write_text("2", encoding="utf-8")
        found.add(case_files.fingerprint())
    (tmp_path / case_files.FROZEN[0] / "one.py").write_text("1", encoding="utf-8")
    found.add(case_files.fingerprint())
    assert len(found) == 4


def test_a_clock_sees_what_lies_beyond_the_healthy_and_what_lies_beside_a_twin():
    healthy = [("healthy", {"a step": (1.0, 1.0)}), ("healthy", {"a step": (1.9, 2.0)}), ("healthy", {"a step": (4.0, 4.0)})]
    slow, slower, same = ("slow", {"a step": (2.6, 2.0)}), ("slower", {"a step": (5.0, 2.0)}), ("same", {"a step": (2.0, 2.0)})
    spread, noise, outside, beside = case_files.seen_by_a_clock([*healthy, slow, slower, same])
    assert spread == {"a step": (0.5, 2.0)}
    assert noise == {"a step": (0.95, 1.0)}
    assert outside == [("slower", "a step", 2.5)]
    assert beside == [("slow", "a step", 1.3), ("slower", "a step", 2.5)]


def test_a_patient_and_its_twin_are_timed_where_no_word_tells_them_apart(monkeypatch):
    monkeypatch.setattr(case_files, "ROUNDS", 1)
    defect, seconds = case_files.timed((8, "shared ids", 0))
    assert defect == "shared ids"
    assert case_files.STEP in seconds
    assert "weights" in seconds
    assert "count the text" not in seconds  # it says a word of the patient
    assert all(ours >= 0.0 and twin >= 0.0 for ours, twin in seconds.values())


FOUND = {
    "command": "python -m benchmarks.case_files",
    "machine": "A processor",
    "words": "0123abcd",
    "defects": 2,
    "instruments": 3,
    "separation": {"rate zero": 10, "shared ids": 9},
    "told by": {"rate zero": 4, "shared ids": 1},
    "looks healthy": {"healthy": 1.0, "rate zero": 0.0, "shared ids": 0.9},
    "five-fold": {
        "cases": 42, "right": 41, "healthy": 30, "acquitted": 29, "questions": {"all": 5, "sick": 4.5, "healthy": 9},
        "confused": [["healthy", "rate zero", 1]],
    },
    "fresh": {
        "cases": 200, "right": 199, "healthy": 28, "acquitted": 28, "questions": {"all": 4, "sick": 4, "healthy": 10},
        "confused": [["shared ids", "healthy", 1]], "first seed": 1_000, "refused": 3, "looks healthy": 80,
    },
}  # fmt: skip


def test_the_page_says_what_was_counted():
    text = case_files.page(FOUND)
    for line in (
        "Written by `python -m benchmarks.case_files`. Machine: A processor. Words: 0123abcd.",
        "Five-fold over the table: 41 of 42 right, 29 of 30 healthy acquitted, 5 questions in the median (4.5 for the sick, 9 for",
        "Fresh cases, seeds 1000 to 1199, drawn after the words were frozen: 199 of 200 right, 28 of 28 healthy acquitted, 4 questions",
        "80 of 200 loss curves look healthy. 3 draws were refused.",
        "| shared ids | healthy   | 1     |",
        "| healthy    | rate zero | 1     |",
        "| rate zero  | 10 of 10 | 4           | 0%                  |",
        "| shared ids | 9 of 10  | 1           | 90%                 |",
    ):
        assert line in text, text
    lonely = FOUND | {"five-fold": FOUND["five-fold"] | {"confused": []}, "fresh": FOUND["fresh"] | {"confused": []}}
    assert "Taken for another, fresh and five-fold:\n\nnone" in case_files.page(lonely)
