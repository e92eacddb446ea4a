import tempfile

import numpy as np

from benchmarks import startup
from cllm_lib.claims import stored
from cllm_lib.defects import faulty_primes_below
from cllm_lib.lattice.entries import build_lattice


def test_both_ways_to_fill_the_cache_give_the_same_entries():
    with tempfile.TemporaryFile() as file:
        suspects = startup.suspects(file, 20_000)
        all_at_once = suspects["lattice cache, all at once"]()
    one_at_a_time = startup.one_at_a_time(20_000)
    for name in all_at_once.dtype.names:
        np.testing.assert_allclose(one_at_a_time[name], all_at_once[name], rtol=1e-9)
    assert len(all_at_once) == len(build_lattice(faulty_primes_below(20_000)))


def test_a_slow_build_delays_the_first_answer_only_where_it_is_waited_for():
    startup.first_answer(lambda: None)  # whatever the first call loads
    built = []
    answers = startup.first_answer(lambda: (startup.time.sleep(1.0), built.append(None)))
    assert answers["at once"] > 1_000
    assert max(answers["in the background"], answers["on first touch"]) < answers["at once"]
    assert len(built) == 2  # the background one has ended too


def test_what_is_stored_has_the_names_that_are_measured_and_says_how():
    measured, kept = startup.measure(rounds=1, limit=2_000), stored("startup")
    assert {name: list(times) for name, times in measured.items()} == {name: list(kept[name]) for name in measured}
    assert kept["command"] == startup.COMMAND
    assert kept["rounds"] == startup.ROUNDS
