"""What several experiments share: the small model is trained by either kind of rule, and measured as it says."""

from types import SimpleNamespace

import numpy as np
import pytest
from claims.made import store

from cllm_lib import CLLM
from cllm_lib.claims import settings
from cllm_lib.training.optimizers import SGD


def test_a_rule_by_name_and_one_made_for_the_model_train_alike():
    by_name = settings.trained(CLLM, 0, "sgd", 1e-2)
    assert by_name == settings.trained(CLLM, 0, lambda model: SGD(1e-2), None)
    assert by_name["after"] < by_name["before"]


def test_a_model_that_is_not_moved_is_measured_alike_before_and_after():
    still = settings.trained(CLLM, 0, "sgd", 1e-300)
    assert still["before"] == still["after"]
    assert still["nearer"] == 1.0


def test_a_run_that_overflows_ends_infinitely_high_and_stops_no_other():
    assert settings.trained(CLLM, 0, "sgd", 1e200)["after"] == np.inf


def test_the_distance_is_that_from_each_word_to_the_next():
    model = SimpleNamespace(parameters={"embedding": np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])})
    corpus = SimpleNamespace(tokens=np.array([0, 1, 2, 2], dtype=np.int64))
    assert settings.distance_to_next(model, corpus) == pytest.approx((25 + 1 + 0) / 3)


def test_a_change_is_the_end_minus_the_beginning_seed_by_seed(monkeypatch):
    ends = np.arange(10.0)
    store(monkeypatch, "optimizers", {("one", "before"): 2.0, ("one", "after"): ends, ("other", "before"): 0.0, ("other", "after"): 0.0})
    np.testing.assert_array_equal(settings.change_of("optimizers", "one"), ends - 2.0)
