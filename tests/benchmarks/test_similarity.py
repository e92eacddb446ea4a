"""What the page on similarity is made of, and that its stored numbers come again."""

import json

import numpy as np
import pytest

from benchmarks import similarity
from benchmarks.similarity import FEATURES, NONE, SHUFFLED, STRENGTHS, UNIFORM
from cllm_lib import load_corpus
from cllm_lib.lattice.similarity import feature_similarity, goedel_numbers


def test_the_split_keeps_the_text_and_judges_on_its_end():
    corpus, test = similarity.split("sayings")
    whole = load_corpus("sayings").tokens
    np.testing.assert_array_equal(np.concatenate([corpus.train_tokens, corpus.validation_tokens, test]), whole)
    assert len(test) == len(corpus.validation_tokens) == len(whole) // 10


def test_controls_keep_what_they_should_and_nothing_of_the_features():
    words = load_corpus("sayings").vocabulary
    found = {kind: similarity.similarities_of(kind, words, seed=0) for kind in (FEATURES, SHUFFLED, UNIFORM)}
    pairs = np.triu_indices(len(words), 1)
    np.testing.assert_allclose(np.sort(found[SHUFFLED][pairs]), np.sort(found[FEATURES][pairs]))
    assert abs(np.corrcoef(found[SHUFFLED][pairs], found[FEATURES][pairs])[0, 1]) < 0.05
    assert found[UNIFORM][pairs].mean() == pytest.approx(found[FEATURES][pairs].mean())
    assert np.ptp(found[UNIFORM]) == 0.0


def test_the_strength_is_chosen_by_the_part_that_decides_and_paid_for_on_the_part_that_judges():
    def runs(*pairs):
        return [{"decides": decides, "judges": judges} for decides, judges in pairs]

    found = {(NONE, 0.0): runs((3.0, 30.0), (1.0, 10.0))}
    found |= {(FEATURES, strength): runs((2.0 + strength, 1.0), (2.0 + strength, 1.0)) for strength in STRENGTHS[1:]}
    found[FEATURES, STRENGTHS[0]] = runs((2.0, 20.0), (2.0, 0.0))
    assert similarity.chosen(found, FEATURES) == [20.0, 10.0]


def test_contestants_compare_what_they_say():
    group = similarity.contestants(40, 8)
    results = {name: work() for name, (work, _) in group.items()}
    for name, (_, pairs) in group.items():
        assert results[name].shape == (40, 40)
        assert pairs == 1600
    np.testing.assert_array_equal(results["gcd of primes"], results["equal ids"])
    np.testing.assert_allclose(results["gcd of ids"][5, 8], 1 / 3)


def test_both_ways_to_compare_features_agree():
    words = load_corpus("sayings").vocabulary[:30]
    group = similarity.feature_contestants(words, 8)
    few = similarity.FEW_ROWS
    one_by_one, pairs = group["features, Goedel numbers"][0](), group["features, Goedel numbers"][1]
    np.testing.assert_allclose(group["features, matrix products"][0]()[:few].ravel(), one_by_one, atol=1e-12)
    assert len(one_by_one) == pairs == few * 30
    goedel = goedel_numbers(words)
    assert one_by_one[1] == feature_similarity(goedel[0], goedel[1])


def test_the_whole_path_at_a_tiny_size_writes_nothing(capsys, monkeypatch):
    monkeypatch.setattr(similarity, "write_atomically", None)
    monkeypatch.setattr(similarity, "EPOCHS", 2)
    similarity.main(["--tiny"])
    page = capsys.readouterr().out
    assert "| features, Goedel numbers" in page
    assert "## sayings" in page
    assert "://" not in page


@pytest.mark.parametrize("kind", [NONE, FEATURES, SHUFFLED])
def test_a_stored_run_comes_again(kind):
    stored = json.loads(similarity.RESULTS.read_text(encoding="utf-8"))
    (sayings,) = (one for one in stored["losses"] if one["text"] == "sayings")
    run = next(run for run in sayings["runs"] if run["kind"] == kind)
    again = similarity.train("sayings", (kind, run["strength"]), sayings["seeds"][0])
    assert again["judges"] == pytest.approx(run["judges"][0], abs=1e-6)
    assert again["decides"] == pytest.approx(run["decides"][0], abs=1e-6)
