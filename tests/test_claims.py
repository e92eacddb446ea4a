"""The rows of claims: words that follow from a measurement, and turn when the measurement does."""

import numpy as np
import pytest
import sympy

from cllm_lib import claims
from cllm_lib.lattice.primes import primes_below
from cllm_lib.training.regularizers import LaplacianRegularizer


def row(chapter, claim):
    return next(row for row in claims.rows(chapter) if claim in row.claim)


def look_ups(*upper_quartiles):
    orders = [{"Ulam's spiral": {"ratio": high - 0.01, "high": high}} for high in upper_quartiles]
    return {"command": "somehow", "measurements": [{"orders": one} for one in orders]}


def start_up(one, all_at_once):
    alone = {"lattice cache, one entry at a time": one, "lattice cache, all at once": all_at_once}
    return {"command": "somehow", "alone": alone, "until the first answer": {"at once": one + 1.0, "on first touch": 1.0}}


@pytest.mark.parametrize("chapter", sorted(claims._MEASUREMENTS))
def test_every_row_names_its_source_and_has_one_of_three_verdicts(chapter):
    for row in claims.rows(chapter):
        assert row.claim
        assert row.source
        assert row.measured
        assert row.verdict.startswith((claims.HOLDS, claims.PARTLY, claims.FAILS))


def test_an_unknown_chapter_is_told_which_there_are():
    with pytest.raises(ValueError, match="'07'"):
        claims.rows("17")


def test_the_primes_of_the_log_are_judged_as_sets():
    listed, true = set(claims.faulty_primes_below(200_000).tolist()), set(sympy.primerange(200_000))
    found = row("07", "Generated 23094")
    assert found.verdict == claims.FAILS
    for count in (len(listed), len(listed - true), len(true - listed), len(true)):
        assert f"{count:,}" in found.measured


def test_a_sound_list_of_primes_would_hold(monkeypatch):
    monkeypatch.setattr(claims, "faulty_primes_below", primes_below)
    assert row("07", "Generated 23094").verdict == claims.HOLDS


def test_powers_that_all_differ_would_hold(monkeypatch):
    assert row("07", "Pre-calculating").verdict.startswith(claims.PARTLY)
    monkeypatch.setattr(claims, "overflowing_lattice", lambda n: np.sqrt(n))
    assert row("07", "Pre-calculating").verdict == claims.HOLDS


def test_the_spiral_of_the_documents_would_hold_if_it_were_ulams(monkeypatch):
    assert row("07", "Ulam spiral").verdict == claims.FAILS
    monkeypatch.setattr(claims, "vogel_coordinates", claims.ulam_coordinates)
    assert row("07", "Ulam spiral").verdict == claims.HOLDS


@pytest.mark.parametrize(("highs", "verdict"), [((0.8, 0.7), claims.HOLDS), ((0.8, 0.9), claims.FAILS), ((1.0, 1.1), claims.FAILS)])
def test_locality_holds_only_where_every_look_up_is_as_much_faster(highs, verdict, monkeypatch):
    kept = claims.stored
    monkeypatch.setattr(claims, "stored", lambda name: look_ups(*highs) if name == "lookup" else kept(name))
    assert row("07", "locality").verdict == verdict


@pytest.mark.parametrize(
    ("milliseconds", "five_seconds", "four_saved"),
    [
        (80.0, "62 times as long for them as Python does here", "50 times as long to build them as Python does here"),
        (4_000.0, claims.HOLDS, claims.HOLDS),
    ],
)
def test_the_start_is_judged_by_what_the_entries_take(milliseconds, five_seconds, four_saved, monkeypatch):
    kept = claims.stored
    monkeypatch.setattr(claims, "stored", lambda name: start_up(milliseconds, 3.0) if name == "startup" else kept(name))
    assert row("07", "5 seconds").verdict.endswith(five_seconds)
    assert row("07", "Reduces startup").verdict.endswith(four_saved)


def test_of_the_claims_of_chapter_07_none_holds_as_it_stands():
    verdicts = [row.verdict for row in claims.rows("07")]  # the chapter's end counts them
    assert claims.HOLDS not in verdicts
    assert (len(verdicts), verdicts.count(claims.FAILS)) == (7, 3)


def test_the_neighbours_of_the_documents_spiral_are_as_far_apart_as_counted_one_by_one():
    x, y = claims.vogel_coordinates(np.arange(1, 301))
    squares = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2
    near = np.argsort(squares, axis=1)[:, 1:5]
    assert claims._rows_apart_on_vogel(300) == pytest.approx(np.abs(near - np.arange(300)[:, None]).mean())


def test_a_missing_measurement_says_which_script_makes_it():
    with pytest.raises(FileNotFoundError, match="script of that name in benchmarks"):
        claims.stored("nothing-of-the-kind")


def speeds(by_gcd, by_equality):
    ratios = {"gcd of primes": by_gcd, "equal ids": by_equality}
    return {"command": "somehow", "speed": [{"words": 100, "width": 8, "similarity": name, "ratio": r} for name, r in ratios.items()]}


def test_the_speed_of_prime_similarity_is_judged_by_the_least_that_was_claimed(monkeypatch):
    for numbers, verdict in (
        (speeds(0.09, 0.01), claims.HOLDS),
        (speeds(0.11, 0.01), f"{claims.PARTLY} no gcd is taken, for 100 words of 8"),
        (speeds(3.0, 0.2), claims.FAILS),
    ):
        monkeypatch.setattr(claims, "stored", lambda name, numbers=numbers: numbers)
        assert claims.speed_of_prime_similarity()[1] == verdict


def test_a_similarity_of_many_values_would_hold(monkeypatch):
    assert claims.similarity_of_primes()[1].startswith(claims.PARTLY)
    monkeypatch.setattr(claims, "prime_similarity", claims.gcd_similarity)
    assert claims.similarity_of_primes()[1] == claims.HOLDS


def test_epochs_would_be_saved_if_one_of_the_losses_were_clearly_lower(monkeypatch):
    assert claims.epochs_needed()[1] == claims.FAILS
    positions, similarity = claims.stored("positions"), claims.stored("similarity")
    prose = positions["rows"]["prose"]
    better = positions | {"rows": {"prose": prose | {"spiral": [[short - 0.2, long] for short, long in prose["none"]]}}}
    monkeypatch.setattr(claims, "stored", {"positions": better, "similarity": similarity}.get)
    assert claims.epochs_needed()[1] == claims.HOLDS


def test_an_operation_that_changes_scores_would_hold(monkeypatch):
    assert claims.symmetry_operations()[1].startswith(claims.PARTLY)
    monkeypatch.setattr(claims, "symmetry_rotation", lambda x, prime: prime * x)
    assert claims.symmetry_operations()[1] == claims.HOLDS


def test_a_map_that_keeps_the_order_would_hold(monkeypatch):
    assert claims.lattice_aware_attention()[1].startswith(claims.PARTLY)
    monkeypatch.setattr(claims, "moebius", lambda z, shift: z + shift)
    assert claims.lattice_aware_attention()[1] == claims.HOLDS


def test_the_loss_of_ids_fails_and_the_pull_of_features_holds(monkeypatch):
    assert claims.lattice_aware_loss()[1].startswith(claims.PARTLY)
    monkeypatch.setattr(claims, "LaplacianRegularizer", lambda similarities, strength: LaplacianRegularizer(similarities, 0.0))
    assert claims.lattice_aware_loss()[1] == claims.FAILS  # no slope
