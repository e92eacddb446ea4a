import json

import pytest

from benchmarks import texts

STORED = json.loads(texts.RESULTS.read_text(encoding="utf-8"))


def test_the_page_is_made_of_what_is_stored():
    assert texts.PAGE.read_text(encoding="utf-8") == texts.page(STORED)
    assert STORED["command"] == texts.COMMAND
    assert STORED["rounds"] == texts.ROUNDS


def test_both_sides_find_the_same_and_all_that_is_stored_is_measured():
    found = texts.measure(megabytes=0.3, rounds=2)
    assert found.keys() == STORED.keys() - {"command", "machine", "rounds"}
    assert found["results"].keys() == STORED["results"].keys()
    assert found["bytes"] == pytest.approx(0.3e6, rel=10)
    for ours, result in found["results"].items():
        assert result.keys() == STORED["results"][ours].keys()
        assert result["ratio"]["value"] > 0


def test_the_made_text_has_what_a_real_one_has():
    text = texts.made_text(100_000).decode("utf-8")
    assert text == texts.made_text(100_000).decode("utf-8") != texts.made_text(100_000, seed=1).decode("utf-8")
    assert {"“", ",", "\n", "é"} <= set(text)
    counts = sorted(map(text.split().count, set(text.split()[:200])))
    assert counts[-1] > 20 * counts[0]


@pytest.mark.parametrize(("value", "memory", "words"), [(1.9, 7.9, "reached"), (2.1, 1.0, "not reached"), (1.0, 8.1, "not reached")])
def test_a_row_says_whether_the_goal_is_reached(value, memory, words):
    timing = {"ours": 2.0, "peer": 1.0, "value": value, "low": 1.0, "high": 3.0}
    results = {texts.LOAD: {"peer": texts.COUNT, "ratio": timing, "memory": {texts.LOAD: memory, texts.COUNT: 9.0}, "found": 1}}
    assert texts.rows_of({"results": results})[0][-1] == words
