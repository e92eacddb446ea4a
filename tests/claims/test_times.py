"""What was said of times, judged by numbers made up here."""

import pytest

from cllm_lib import claims
from cllm_lib.claims import times


def start_up(pool, floats, cache):
    return {
        "command": "somehow",
        "alone": {"lattice cache, one entry at a time": cache, "pool of 3 threads": pool, "5,120,000 floats from a file": floats},
    }


@pytest.mark.parametrize(("pool", "floats"), [(claims.FAILS, claims.HOLDS), (claims.HOLDS, claims.FAILS)])
def test_a_cause_of_a_slow_start_takes_a_tenth_of_it(pool, floats):
    run = start_up(*(501.0 if words == claims.HOLDS else 499.0 for words in (pool, floats)), cache=51.0)
    assert times.threads_at_start.__wrapped__(run)[1] == pool
    assert times.loading_at_start.__wrapped__(run)[1] == floats


def test_the_programs_own_start_is_not_judged_by_ours():
    run = {"command": "somehow", "until the first answer": {"at once": 50.0, "on first touch": 1.0}}
    assert times.start_after_the_fix.__wrapped__(run)[1].startswith(claims.UNTESTABLE)


@pytest.mark.parametrize(("idle", "two", "verdict"), [(1.2, 1.1, claims.HOLDS), (1.0, 1.1, claims.FAILS), (1.2, 0.8, claims.FAILS)])
def test_threads_are_overhead_if_they_cost_and_bring_nothing(idle, two, verdict):
    rows = [
        {"size": "s", "with": name, "ratio": r, "low": r - 0.05, "high": r}
        for name, r in (("an idle pool of 3", idle), ("two threads", two))
    ]
    assert times.threads_in_training.__wrapped__({"command": "somehow", "measurements": rows})[1] == verdict


@pytest.mark.parametrize(("high", "verdict"), [(0.5, claims.HOLDS), (0.6, claims.FAILS), (1.0, claims.FAILS)])
def test_reduced_rows_would_have_to_take_half_the_time_in_every_use(high, verdict):
    works = [{"work": work, "ratio": r - 0.05, "high": r} for work, r in (("look-ups", 0.4), ("dot products", high))]
    run = {"command": "somehow", "rows": 2, "width": 2, "reduced rows": 2, "reduced width": 2, "measurements": works}
    assert times.speed_of_reduced_rows.__wrapped__(run)[1] == verdict
