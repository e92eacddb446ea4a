"""A glance at a loss curve, on shapes of which one knows what it should say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.casebook import looks_healthy

V = 150
TOP = math.log(V)
STEPS = np.arange(160, dtype=np.int64)


def falling(start=TOP, end=3.0, rate=30.0):
    return end + (start - end) * np.exp(-STEPS / rate)


NOISE = 0.3 * np.random.default_rng(0).standard_normal(160)
SHAPES = {
    "it falls": (falling(), True),
    "it falls, with noise": (falling() + NOISE, True),
    "it falls by little": (falling(end=TOP - 0.6), True),
    "it rises a little at the end": (falling() + 0.3 * (STEPS > 120), True),
    "it stands at ln V": (np.full(160, TOP), False),
    "it falls by next to nothing": (falling(end=TOP - 0.1), False),
    "it starts far too high": (falling(start=3 * TOP), False),
    "it starts far too low": (falling(start=0.5 * TOP, end=1.0), False),
    "it rises": (falling(end=TOP + 2.0), False),
    "it falls and turns round": (np.where(STEPS < 80, falling(), falling()[79] + (STEPS - 80) / 60), False),
    "it has a gap": (np.where(STEPS == 80, np.nan, falling()), False),
    "it overflows": (np.where(STEPS > 100, np.inf, falling()), False),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_judged_as_an_eye_would(shape):
    losses, healthy = SHAPES[shape]
    assert looks_healthy(losses, V) is healthy
    assert looks_healthy(losses.tolist(), V) is healthy


@given(st.lists(st.floats(0.0, 12.0), min_size=10, max_size=300), st.integers(2, 500))
def test_what_looks_healthy_began_near_ln_v_and_fell(losses, vocab_size):
    if looks_healthy(losses, vocab_size):
        assert abs(np.mean(losses[:3]) - math.log(vocab_size)) <= 0.25 * math.log(vocab_size)
        assert min(losses) <= np.mean(losses[:3]) - 0.25


def test_one_step_that_leaps_is_not_taken_for_a_turn():
    losses = falling()
    losses[-3] += 2.0
    assert looks_healthy(losses, V)
