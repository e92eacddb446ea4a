"""Experiments by name, found where they stand, and what was stored of them."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import claims
from cllm_lib.claims import Run, registry


def twice_and_half(variant, seed, text):
    return {"twice": 2.0 * seed + len(variant), "half": seed / 2 + len(text)}


def no_numbers(variant, seed):
    return {"word": variant}


@pytest.fixture
def registered(monkeypatch):
    registry.load_all()  # while the registry is the real one
    monkeypatch.setattr(registry, "_EXPERIMENTS", {})
    registry.experiment(["a", "bb"], range(3), ["t", "uu"])(twice_and_half)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "evidence_file", lambda name: tmp_path / name)
    registry.forget()
    yield tmp_path
    registry.forget()


@pytest.mark.usefixtures("registered")
def test_a_run_is_named_by_all_that_makes_it():
    made = registry.recompute("twice_and_half", variants=["bb"], seeds=[7])
    assert made == {
        Run("bb", "t", 7, "twice"): 16.0,
        Run("bb", "t", 7, "half"): 4.5,
        Run("bb", "uu", 7, "twice"): 16.0,
        Run("bb", "uu", 7, "half"): 5.5,
    }


@pytest.mark.usefixtures("registered")
def test_naming_nothing_makes_the_fast_part():
    assert {run.seed for run in registry.recompute("twice_and_half")} == {0, 1}
    registry.experiment(["a"], range(3), ["t"], fast={"seeds": [2]})(twice_and_half)
    assert {run.seed for run in registry.recompute("twice_and_half")} == {2}
    registry.experiment(["a"], range(3), ["t"], fast=None)(twice_and_half)
    with pytest.raises(ValueError, match=r"no run of 'twice_and_half' is short: name .* seeds=\[0\]"):
        registry.recompute("twice_and_half")


@pytest.mark.usefixtures("registered")
def test_what_was_stored_comes_back_bit_for_bit_and_equals_what_is_made_now(folder):
    made = registry.recompute("twice_and_half", ["a", "bb"], range(3), ["t", "uu"]) | {Run("a", "t", 0, "third"): 1 / 3}
    (folder / "twice_and_half.csv").write_text(registry.csv_of_runs(made))
    assert registry.runs("twice_and_half") == made
    assert all(registry.runs("twice_and_half")[run] == value for run, value in registry.recompute("twice_and_half").items())
    assert registry.values("twice_and_half", "a", "twice", "uu").tolist() == [1.0, 3.0, 5.0]


def test_infinity_and_nan_come_back(folder):
    (folder / "odd.csv").write_text(registry.csv_of_runs({Run("a", "", 0, "x"): math.inf, Run("a", "", 1, "x"): math.nan}))
    first, second = registry.values("odd", "a", "x")
    assert first == math.inf
    assert math.isnan(second)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(name="nobody"), "unknown experiment 'nobody': choose one of 'twice_and_half'"),
        (dict(name="twice_and_half", variants=["c"]), "unknown variant of twice_and_half 'c': choose one of 'a', 'bb'"),
        (dict(name="twice_and_half", texts=["v"]), "unknown text of twice_and_half 'v': choose one of 't', 'uu'"),
    ],
)
def test_an_unknown_name_is_told_which_there_are(arguments, message):
    with pytest.raises(ValueError, match=message):
        registry.recompute(**arguments)


def test_a_measure_must_return_numbers_and_may_not_take_a_name_that_is_taken(monkeypatch):
    registry.load_all()  # while the registry is the real one
    monkeypatch.setattr(registry, "_EXPERIMENTS", {})
    registry.experiment(["a"], [0])(no_numbers)
    with pytest.raises(ValueError, match=r"no_numbers\('a', seed 0\) returned .*: an experiment returns a dict of numbers"):
        registry.recompute("no_numbers")
    with pytest.raises(ValueError, match="has no texts: leave texts out"):
        registry.recompute("no_numbers", texts=["t"])
    other = type(no_numbers)(no_numbers.__code__, {"__name__": "another_module"}, "no_numbers")
    with pytest.raises(ValueError, match="there is an experiment 'no_numbers' already"):
        registry.experiment(["a"], [0])(other)


def test_what_is_missing_says_how_to_make_it(folder):
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv: `make evidence` writes it"):
        registry.runs("nothing")
    with pytest.raises(FileNotFoundError, match=r"timings\.csv: `make evidence` writes it"):
        registry.fresh("startup")
    (folder / "timings.csv").write_text(registry.csv_of_timings({"other": {"a": 1}}))
    with pytest.raises(FileNotFoundError, match="no timings of 'startup': `make evidence` measures them"):
        registry.fresh("startup")
    with pytest.raises(FileNotFoundError, match="script of that name in benchmarks"):
        claims.stored("nothing-of-the-kind")


def test_a_number_that_was_not_stored_is_told_which_were(folder):
    (folder / "few.csv").write_text(registry.csv_of_runs({Run("a", "", 0, "loss"): 1.0, Run("b", "t", 0, "loss"): 1.0}))
    with pytest.raises(ValueError, match="few stored nothing under 'c, loss'; it stored a, loss; b, t, loss"):
        registry.values("few", "c", "loss")


keys = st.text(st.characters(codec="ascii", categories=("L",)), min_size=1, max_size=4)
nested = st.recursive(
    st.floats(allow_nan=False) | st.text(max_size=3) | st.booleans() | st.none() | st.integers(),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(keys, inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, nested, min_size=1, max_size=3))
def test_what_is_flattened_can_be_put_together_again(value):
    assert registry.unflattened(registry.flattened(value)) == value


def test_timings_come_back_as_they_were_stored(folder):
    found = {name: claims.stored(name) for name in ("startup", "lookup")}
    (folder / "timings.csv").write_text(registry.csv_of_timings(found))
    assert {name: registry.fresh(name) for name in found} == found


NEWCOMER = """
from cllm_lib import claims

SEEN = "tuning" in claims.EXPERIMENTS, "suspects" in claims.EXPERIMENTS  # asks while all are being loaded

ASKED = claims.above("e", 0.0, 0.1, "nats")

@claims.experiment(["a"], range(3))
def new_experiment(variant, seed):
    return {"seed": seed}

@claims.measured("99", "a new claim", "001", section="s", experiment="e", change_our_mind="m", asks=[ASKED])
def new_judge():
    return "found", claims.verdict(True), [ASKED([0.0, 1.0] * 5)]
"""


def with_module(folder, name, text, program):
    """What a program prints where the package has a module more; a process of its own, for what is registered stays."""
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    program = f"from cllm_lib import claims\nclaims.__path__.append({str(folder)!r})\n{program}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_module_is_found_by_being_there(tmp_path):
    found = with_module(
        tmp_path,
        "newcomer",
        NEWCOMER,
        "print(claims.comparisons())\n"
        "print([int(value) for value in claims.recompute('new_experiment').values()])\n"
        "print(claims.rows('99')[0].verdict)\n"
        "print([row.claim for row in claims.table() if row.source.startswith('001')][-1])\n"
        "from cllm_lib.claims.newcomer import SEEN; print(*SEEN)",
    )
    assert found == [str(claims.comparisons() + 1), "[0, 1]", "holds", "a new claim", "True False"]


def test_a_module_that_cannot_be_loaded_is_told_each_time_and_no_part_taken_for_the_whole(tmp_path):
    program = """
for ask in (claims.comparisons, claims.rows, lambda: claims.EXPERIMENTS, lambda: claims.recompute("tuning")):
    try:
        ask()
    except ZeroDivisionError as error:
        print(error)
"""
    assert with_module(tmp_path, "newcomer", "1 / 0", program) == ["division by zero"] * 4


def test_the_experiments_of_the_face_are_all_there_are():
    assert claims.EXPERIMENTS is registry.EXPERIMENTS
    assert {one.measure.__module__ for one in claims.EXPERIMENTS.values()} > {"cllm_lib.claims.epochs", "cllm_lib.claims.suspects"}
    with pytest.raises(AttributeError, match="has no attribute 'EXPERIMENT'"):
        registry.EXPERIMENT


def test_the_whole_of_every_experiment_is_stored():
    for name, one in claims.EXPERIMENTS.items():
        stored = claims.runs(name)
        made = {(run.variant, run.text, run.seed) for run in stored}
        assert made == {(v, t, s) for v in one.variants for t in (one.texts or ("",)) for s in one.seeds}, name
