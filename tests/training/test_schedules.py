import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.training.schedules import SCHEDULES, constant, cosine, schedule_for, warmup, warmup_cosine


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
    assert factors[rise - 1] == factors[rise] == 1.0
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
