import itertools
from collections import Counter

import numpy as np
import pytest

from cllm_lib.workbook import row_order as lookup
from cllm_lib.workbook.row_order import AS_IT_IS, DOCUMENTS, WORK, compare, numbered_as_met, row_orders, zipf_stream

TOKENS = numbered_as_met(zipf_stream(60, 500))
ROWS = int(TOKENS.max()) + 1


def test_words_are_numbered_as_a_reader_meets_them():
    words = ["the", "sky", "is", "blue", "and", "the", "sea", "is", "blue"]
    _, ids = np.unique(words, return_inverse=True)
    assert numbered_as_met(ids).tolist() == [0, 1, 2, 3, 4, 0, 5, 2, 3]


def test_the_second_word_of_zipf_comes_half_as_often_as_the_first():
    counts = Counter(zipf_stream(1_000, 200_000).tolist())
    expected = 200_000 / (1.0 / np.arange(1, 1_001, dtype=np.int64)).sum()
    for rank in (1, 2, 5, 20):
        assert counts[rank - 1] == pytest.approx(expected / rank, rel=0.06)
    assert 0 <= min(counts) <= max(counts) < 1_000


def test_an_order_names_each_row_once_and_the_documents_spiral_is_the_order_by_id():
    orders = row_orders(TOKENS, ROWS)
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(ROWS))
    np.testing.assert_array_equal(orders[DOCUMENTS], orders[AS_IT_IS])
    counts = np.bincount(TOKENS.astype(np.intp))
    assert (np.diff(counts[orders["frequency"]]) <= 0).all()
    different = [name for name in orders if name != DOCUMENTS]
    for one, other in itertools.combinations(different, 2):
        assert (orders[one] != orders[other]).any()


@pytest.mark.parametrize("work", WORK)
def test_every_kind_of_work_does_what_it_says(work):
    act, ids = WORK[work](10, 3, 4), np.array([7, 2, 7], dtype=np.int64)
    if work == "gradient":
        act(ids)
        assert act.gradient.sum(axis=1).tolist() == [0, 0, 3, 0, 0, 0, 0, 6, 0, 0]
    else:
        act.table[:] = np.arange(30, dtype=np.int64).reshape(10, 3)
        np.testing.assert_array_equal(act(ids), act.table[[7, 2, 7]])


def test_each_order_fetches_the_rows_of_the_same_words(monkeypatch):
    orders, heard = row_orders(TOKENS, ROWS), []
    monkeypatch.setitem(WORK, "listen", lambda rows, width, batch: lambda ids: heard.append(ids))
    ticks = itertools.count()
    compare(TOKENS, ROWS, 1, "listen", rounds=2, clock=lambda: next(ticks))
    read = Counter(len(ids) for ids in heard)
    assert read == {63: 2 * len(orders), 250: 2 * len(orders)}  # a quarter of the stretch before, and the stretch
    stretches = [tuple(TOKENS[:250]), tuple(TOKENS[250:])]
    for turn in range(2):
        timed = [ids for ids in heard[turn * 2 * len(orders) : (turn + 1) * 2 * len(orders)] if len(ids) == 250]
        for order in orders.values():
            assert any(tuple(order[ids]) == stretches[turn] for ids in timed)


def test_a_slow_order_is_found_and_an_equal_one_is_not(monkeypatch):
    """With work that takes three times as long in one order, by a clock that counts it."""
    slow = row_orders(TOKENS, ROWS)["random"]
    place = np.empty(ROWS, dtype=np.int64)
    place[slow] = np.arange(ROWS, dtype=np.int64)
    now = [0.0]

    def act(ids):
        now[0] += 3.0 if any(np.array_equal(ids, place[stretch]) for stretch in np.array_split(TOKENS, 5)) else 1.0

    monkeypatch.setitem(WORK, "known", lambda rows, width, batch: act)
    found = compare(TOKENS, ROWS, 1, "known", rounds=5, clock=lambda: now[0])
    for name, timing in found.items():
        expected = 3.0 if name == "random" else 1.0
        assert (timing.seconds, timing.ratio, timing.low, timing.high) == (expected,) * 4


@pytest.mark.parametrize("work", WORK)
def test_real_work_is_timed(work):
    found = compare(TOKENS, ROWS, 16, work, rounds=3)
    assert list(found) == list(row_orders(TOKENS, ROWS))
    assert found[AS_IT_IS].ratio == found[AS_IT_IS].low == found[AS_IT_IS].high == 1.0
    assert all(timing.seconds > 0 and timing.low <= timing.ratio <= timing.high for timing in found.values())


def test_the_largest_cache_is_read_and_one_is_assumed_where_the_system_is_silent(monkeypatch, tmp_path):
    assert lookup.last_level_cache()[0] > 0
    monkeypatch.setattr(lookup, "LINUX_CACHES", tmp_path)
    assert lookup.last_level_cache() == (32 * 2**20, False)
    for i, size in enumerate(["48K", "1024K", "24576K", ""]):
        (tmp_path / f"index{i}").mkdir()
        (tmp_path / f"index{i}" / "size").write_text(f"{size}\n")
    assert lookup.last_level_cache() == (24 * 2**20, True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare([5], 5, 4), r"tokens\[0\] is 5, outside the vocabulary of 5 ids"),
        (lambda: compare([], 5, 4), "tokens have dtype float64"),
        (lambda: compare(TOKENS, ROWS, 0), "width is 0"),
        (lambda: compare(TOKENS, ROWS, 4, rounds=1), "500 tokens in 1 rounds: give two rounds"),
        (lambda: compare(TOKENS[:2], ROWS, 4, rounds=3), "2 tokens in 3 rounds"),
        (lambda: compare(TOKENS, ROWS, 4, "juggle"), r"unknown work 'juggle': choose one of 'table\[ids\]'"),
        (lambda: zipf_stream(0, 5), "rows is 0"),
    ],
)
def test_what_makes_no_sense_gets_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
