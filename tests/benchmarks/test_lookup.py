import json

import pytest

from benchmarks import lookup
from benchmarks.lookup import CASES, Case, measure, page, reached, verdict
from cllm_lib.workbook.row_order import DOCUMENTS, WORK, last_level_cache


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lookup, "last_level_cache", lambda: (2**20, True))


@pytest.mark.parametrize("case", [case for case in CASES if case.share and case.width != 4])
def test_tables_have_the_size_asked_for(case):
    cache, _ = last_level_cache()
    tokens, rows, width = case.layout(cache, 2)
    assert 4 * rows * width / cache == pytest.approx(case.share, rel=0.02)
    assert tokens.min() >= 0
    assert tokens.max() < rows
    assert len(tokens) == 2 * case.numbers // width


def test_the_whole_measurement_at_a_tiny_size(quick):
    said = []
    found = measure((Case("zipf", 0.5, 8, 8_000), Case("sayings", width=16, numbers=8_000)), rounds=3, report=said.append)
    assert len(found) == len(said) == 2 * len(WORK)
    assert json.loads(json.dumps(found)) == found
    text = page(found, ["A machine."])
    assert f"| sayings | {found[-1]['rows']}" in text
    assert "The claim" in text
    assert "://" not in text


def row(ratio, high):
    timing = {"seconds": 1.0, "ratio": ratio, "low": ratio, "high": high}
    layout = {"text": "zipf", "rows": 1_000, "width": 4, "work": "gradient"}
    return layout | {"orders": {lookup.ULAM: timing, DOCUMENTS: timing | dict.fromkeys(("ratio", "low", "high"), 1.0)}}


@pytest.mark.parametrize(
    ("rows", "count", "said"),
    [
        ([row(0.99, 1.01), row(1.1, 1.2)], 0, "It does not hold."),
        ([row(0.7, 0.75), row(1.1, 1.2)], 1, "It holds in some of them only."),
        ([row(0.7, 0.75), row(0.8, 0.83)], 2, "It holds."),
        ([row(0.7, 0.9)], 0, "It does not hold."),  # it may have been luck
    ],
)
def test_the_verdict_follows_from_the_numbers(rows, count, said):
    assert len(reached(rows)) == count
    assert said in verdict(rows)
    assert f"in {count} of {len(rows)} measurements" in verdict(rows)


def test_the_extremes_are_named_with_where_they_were_found():
    said = verdict([row(0.9, 0.95), row(1.3, 1.4)])
    assert "The fastest of all: Ulam's spiral, 0.90 (0.90 to 0.95) (zipf, rows 1,000, width 4, gradient)." in said
    assert "The slowest of all: Ulam's spiral, 1.30 (1.30 to 1.40)" in said
