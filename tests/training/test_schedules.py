import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.training.schedules import (
    FAR,
    SCHEDULES,
    checked_factor,
    checked_schedule,
    constant,
    cosine,
    schedule_for,
    stands_still,
    warmup,
    warmup_cosine,
)


def test_constant():
    assert {constant()(step) for step in (0, 1, 10_000)} == {1.0}


def test_warmup_rises_in_a_straight_line_and_stays():
    assert [warmup(4)(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_starts_at_one_is_half_way_at_half_time_and_ends_at_its_floor():
    schedule = cosine(10, floor=0.2)
    assert schedule(0) == 1.0
    assert schedule(5) == pytest.approx(0.6)
    assert schedule(10) == schedule(50) == pytest.approx(0.2)
    assert cosine(8)(2) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


@given(st.integers(1, 20), st.integers(1, 50), st.floats(0, 1))
def test_warmup_cosine_rises_then_falls_between_its_bounds(rise, fall, floor):
    schedule = warmup_cosine(rise, rise + fall, floor)
    factors = [schedule(step) for step in range(rise + fall + 3)]
    assert factors[:rise] == sorted(factors[:rise])
    assert all(later <= earlier + 1e-12 for earlier, later in zip(factors[rise:], factors[rise + 1 :], strict=False))
    assert factors[rise - 1] == 1.0
    assert factors.count(1.0) == 1 or floor > 0.9  # the peak is one step; a floor that high hides it
    assert factors[-1] == pytest.approx(floor)
    assert all(0.0 <= factor <= 1.0 for factor in factors)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: warmup(0), "steps is 0"),
        (lambda: cosine(2.5), "total is 2.5"),
        (lambda: cosine(10, floor=1.5), "floor is 1.5: give a share from 0 to 1"),
        (lambda: warmup_cosine(10, 10), "total is 10, and the warm-up alone takes 10 steps"),
    ],
)
def test_bad_numbers_get_a_clear_error(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_every_schedule_fits_a_run_of_a_given_length():
    expected = {"constant": constant(), "warmup": warmup(7), "cosine": cosine(30), "warmup_cosine": warmup_cosine(7, 30)}
    assert {name: schedule_for(name, 30, warmup_steps=7) for name in SCHEDULES} == expected
    with pytest.raises(ValueError, match="unknown schedule 'sunshine'"):
        schedule_for("sunshine", 30)


def test_a_run_that_ends_before_its_warm_up_is_refused():
    with pytest.raises(ValueError, match="the run has 30 steps, and the warm-up alone takes 31 steps"):
        schedule_for("warmup", 30, warmup_steps=31)
    assert schedule_for("warmup", 30, warmup_steps=30)(29) == 1.0


class Rated:
    learning_rate = 0.1


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("cosine", r"schedule is the name 'cosine'.*give schedule=cosine\(total\).*corpus.batches_per_epoch"),
        ("warmup", r"give schedule=warmup\(100\)"),
        ("linear", "unknown schedule 'linear': choose one of 'constant'"),
        (cosine, "schedule is cosine itself: give a function from the step"),
        (Rated, "schedule is Rated itself"),
        (0.5, "schedule is 0.5: give a function"),
        ([1.0, 0.5], r"schedule is \[1.0, 0.5\]: give a function"),
    ],
)
def test_what_is_no_schedule_is_named(schedule, words):
    with pytest.raises(ValueError, match=words):
        checked_schedule(schedule, Rated())


def test_a_schedule_needs_an_optimiser_with_a_rate():
    with pytest.raises(ValueError, match="the learning_rate of the optimizer, and object has none"):
        checked_schedule(constant(), object())
    assert checked_schedule(math.sqrt, Rated()) is math.sqrt


@pytest.mark.parametrize("factor", [-1, -0.5, float("nan"), float("inf"), None, "0.5", 1j, [0.5], np.array([0.5])])
def test_what_is_no_factor_is_named_with_its_step(factor):
    with pytest.raises(ValueError, match=r"the schedule gave .* at step 7: a factor on the learning rate is a finite number"):
        checked_factor(lambda step: factor, 7)


@pytest.mark.parametrize("factor", [0, 1, 2.5, np.float32(0.5), np.array(0.25), np.int64(1)])
def test_numbers_of_all_kinds_are_factors(factor):
    assert checked_factor(lambda step: factor, 0) == factor


def test_a_schedule_that_rises_again_may_pause():
    late = lambda step: float(step >= 50)  # noqa: E731
    stands_still(late, 3, 60)
    stands_still(late, 3)
    stands_still(late, 3, 2)  # of a run that is over
    for end, seen in ((40, 40), (None, 3 + FAR)):
        with pytest.raises(ValueError, match=f"gave 0 at steps 2 and 3, and gives nothing else before step {seen}:.* no weight moves"):
            stands_still(late if end else lambda step: 0, 3, end)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda schedule: pickle.loads(pickle.dumps(schedule))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize(
    "schedule", [constant(), warmup(4), cosine(9, 0.25), warmup_cosine(3, 12, floor=0.5)], ids=["constant", "warmup", "cosine", "both"]
)
def test_a_copy_of_a_schedule_is_the_same_schedule(schedule, duplicate):
    twin = duplicate(schedule)
    assert twin == schedule
    assert [twin(step) for step in range(15)] == [schedule(step) for step in range(15)]
