import json

import numpy as np
import pytest

from benchmarks import positions
from benchmarks.positions import FIXED, LONG, MEASURES, SEEDS, SHORT, ULAM, VARIANTS
from cllm_lib.experiments.intervals import interval
from cllm_lib.model.positions import POSITIONS

STORED = json.loads(positions.RESULTS.read_text(encoding="utf-8"))


def test_what_is_stored_is_whole_and_says_how_it_was_made():
    assert STORED["command"] == "python -m benchmarks.positions"
    assert STORED["seeds"] == list(SEEDS)
    assert STORED["steps"] == positions.STEPS
    assert (STORED["model"], STORED["lengths"]) == (positions.MODEL, [SHORT, LONG])
    assert STORED["tasks"] == {name: repr(task) for name, task in positions.tasks().items()}
    assert set(STORED["rows"]) == set(MEASURES)
    for rows in STORED["rows"].values():
        assert set(rows) == set(VARIANTS) == {*POSITIONS, FIXED, ULAM}
        assert all(np.shape(pairs) == (len(SEEDS), 2) for pairs in rows.values())


def test_the_page_has_the_stored_numbers():
    page = positions.PAGE.read_text(encoding="utf-8")
    for name, rows in STORED["rows"].items():
        digits = ".3f" if name == "prose" else ".2f"
        for variant, pairs in rows.items():
            cells = [format(interval(column), digits) for column in zip(*pairs, strict=True)]
            line = next(line for line in page.split(f"| {name}: ")[1].splitlines() if line.startswith(f"| {variant} "))
            assert [cell.strip() for cell in line.split("|")[2:4]] == cells
    assert str(positions.PAGE.parent) not in page


@pytest.mark.parametrize(("variant", "seed"), [("clock", 0), ("rotary", 3), (ULAM, 1)])
def test_a_stored_number_comes_out_again(variant, seed):
    """To two digits: another processor rounds sums elsewhere."""
    again = positions.measure_task(positions.tasks()["steps back"], positions.STEPS["steps back"], variant, seed)
    np.testing.assert_allclose(again, STORED["rows"]["steps back"][variant][SEEDS.index(seed)], atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["last follower", "prose"])
def test_all_other_numbers_of_the_first_seed_come_out_again(name, variant):
    rows = positions.measure(name, positions.STEPS[name], [variant], SEEDS[:1], n_jobs=1)
    np.testing.assert_allclose(rows[variant], STORED["rows"][name][variant][:1], atol=0.01)


def test_variants_start_alike_where_nothing_differs_but_positions():
    """Learned and fixed slopes are one model before the first step."""
    tokens = np.arange(6, dtype=np.int64)[None] % 5
    fixed, learned = (positions.build(variant, 7, 0).logits(tokens) for variant in (FIXED, "distance_bias"))
    np.testing.assert_array_equal(fixed, learned)
    assert np.abs(positions.build(ULAM, 7, 0).logits(tokens) - learned).max() > 1e-6


def test_ulam_distances_are_those_on_the_plane():
    distances = positions.ulam_distances(10)  # 1 at the centre, 2 to the right, 3 above it, 10 below on the right
    np.testing.assert_allclose(distances[0], [0, 1, 2**0.5, 1, 2**0.5, 1, 2**0.5, 1, 2**0.5, 5**0.5])
    np.testing.assert_array_equal(distances, distances.T)


def test_the_text_is_trained_short_and_judged_on_the_same_words():
    batch, _ = next(positions.text().batches(4, LONG, np.random.default_rng(0)))
    assert batch.shape == (4, SHORT)


def test_ranking_puts_the_best_at_the_longer_length_first():
    rows = {"a": [[1.0, 0.2], [1.0, 0.4]], "b": [[0.5, 0.9], [0.5, 0.7]]}
    assert [name for name, *_ in positions.ranking(rows)] == ["b", "a"]
    assert [name for name, *_ in positions.ranking(rows, lower_is_better=True)] == ["a", "b"]


def test_trying_it_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(positions, "PAGE", tmp_path / "POSITIONS.md")
    monkeypatch.setattr(positions, "RESULTS", tmp_path / "positions.json")
    monkeypatch.setattr(positions, "MEASURES", ("steps back",))
    monkeypatch.setattr(positions, "QUESTIONS", {"count": 20})
    positions.main(["--tiny", "--jobs", "1"])
    assert "# Ways to tell a model where a token stands" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
