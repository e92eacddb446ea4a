import json

import pytest

from benchmarks import by_heart
from cllm_lib.claims import stored


def test_a_short_run_has_every_method_and_width_and_can_be_kept():
    found = json.loads(json.dumps(by_heart.numbers(seeds=(0, 1), again=(2,), epochs=1, all_bits=(4, 2))))
    assert found["seeds"][0]["full"] != found["seeds"][1]["full"]
    for one in (*found["seeds"], *found["again"]):
        assert [(run["method"], run["bits"]) for run in one["runs"]] == [(method, bits) for method in by_heart.VARIANTS for bits in (4, 2)]
        shares = {(run["method"], run["bits"]): run["share"] for run in one["runs"]}
        assert shares["round", 4] == shares["round", 2] == 1.0
        assert shares["gptq", 4] < 1.0
        assert {run["bytes"] for run in one["runs"] if run["bits"] == 4}.isdisjoint(run["bytes"] for run in one["runs"] if run["bits"] == 2)
        assert all(run["widest"] == run["bits"] for run in one["runs"] if run["method"] != by_heart.FREE)


def test_what_is_stored_was_made_by_this_script():
    kept = stored("by_heart")
    assert (kept["model"], kept["training"], kept["epochs"]) == (by_heart.MODEL, by_heart.TRAINING, by_heart.EPOCHS)
    assert (len(kept["seeds"]), len(kept["again"])) == (10, 15)


@pytest.mark.slow
def test_a_stored_seed_can_be_had_again():
    again, kept = by_heart.measure(3), stored("by_heart")["seeds"][3]
    assert again["full"] == pytest.approx(kept["full"], abs=1e-6)
    for ours, theirs in zip(again["runs"], kept["runs"], strict=True):
        assert ours == {**theirs, "loss": pytest.approx(theirs["loss"], abs=1e-4), "share": pytest.approx(theirs["share"], abs=1e-4)}
