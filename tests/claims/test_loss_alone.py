"""What the losses name, by the mean of their like; and the row that follows from it."""

import numpy as np
import pytest
from claims.made import assert_comes_back, store

from cllm_lib import claims
from cllm_lib.claims import loss_alone


def printed(level, noise=0.001):
    """Losses of all suspects: a function from a suspect's place to its level, and seeds around it, each suspect's in its own order."""
    generator, seeds = np.random.default_rng(0), np.linspace(-noise, noise, 10)
    return {
        (name, f"epoch {i}"): level(place) + generator.permutation(seeds)
        for place, name in enumerate(loss_alone.SUSPECTS)
        for i in range(1, loss_alone.EPOCHS_PRINTED + 1)
    }


def test_losses_far_apart_name_every_fault(monkeypatch):
    store(monkeypatch, "printed_losses", printed(lambda place: 2.0 + place))
    assert loss_alone.named_by_losses().all()
    assert loss_alone.losses_alone()[1] == claims.FAILS


def test_losses_that_are_all_alike_name_none_but_by_luck(monkeypatch):
    store(monkeypatch, "printed_losses", printed(lambda place: 5.0, noise=0.1))
    assert loss_alone.named_by_losses().mean() < 0.2
    assert loss_alone.losses_alone()[1] == claims.HOLDS


def test_losses_that_show_the_incident_alone_leave_the_other_faults(monkeypatch):
    incident = loss_alone.SUSPECTS.index(loss_alone.INCIDENT)
    store(monkeypatch, "printed_losses", printed(lambda place: 9.0 if place == incident else 5.0, noise=0.1))
    assert loss_alone.losses_alone()[1].startswith("holds only if the fault is another one than the incident's: less than half")


@pytest.mark.parametrize("name", [loss_alone.HEALTHY, loss_alone.INCIDENT])
def test_zero_weights_print_one_number_and_a_sound_model_another(name):
    losses = list(loss_alone.printed_losses(name, 3).values())
    assert (len(set(losses)) == 1) == (name == loss_alone.INCIDENT)


def test_a_few_runs_made_now_are_those_stored():
    assert_comes_back("printed_losses")
