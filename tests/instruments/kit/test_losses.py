"""Losses: the same twice, at the start, and by hand; against slow loops with `math` and SciPy's logarithm of a sum."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.kit.patients import each_word, healthy, ill, just_these_words, numbers, said
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax

from cllm_lib.instruments import kit

OFF = "not the mean cross-entropy of the logits"
SAID = {
    "repeat": {
        "dropout at evaluation": {
            "the same batch, other losses",
            "another loss in training than in evaluation",
            "the same batch, other gradients",
        },
        "last sequence only": {"another loss in training than in evaluation"},
        "gradients not cleared": {"the same batch, other gradients"},
        "gradient of the batch before": set(),  # between the backward pass and the step: not in the model
        "gradient of the sum": set(),
        "softmax twice": set(),
        "healthy": set(),
    },
    "loss at the start": {
        "unscaled initialisation": {"starts far above ln V"},
        "loss summed": {"starts far above ln V"},
        "softmax over time": {"starts far below ln V"},
        "zero initialisation": {"starts at ln V to the last digit"},
        "saturated units": set(),
        "constant initialisation": set(),
        "target is the word itself": set(),
        "healthy, untied": set(),  # a standard deviation of 1: half a nat above
        "healthy": set(),
    },
    "recompute the loss": {
        "loss summed": {OFF, "it is the sum over all targets"},
        "last sequence only": {OFF, "it is that of the last sequence alone"},
        "softmax over time": {OFF, "it is that of a softmax over the positions"},
        "softmax twice": {OFF, "it is that of a second softmax"},
        "gradient of the sum": set(),
        "gradient of another loss": set(),
        "padding counted in the loss": set(),
        "target is the word itself": set(),
        "target is the word itself, in float32, without clipping": set(),
        "healthy, one sequence at a time": set(),
        "healthy": set(),
    },
}


test_just_these_words_are_said = just_these_words(SAID)
test_each_word_is_said_of_a_patient = each_word(SAID)


@given(healthy(steps=25))
@settings(max_examples=settings().max_examples * 2 // 5)
def test_nothing_is_said_of_healthy_losses(patient):
    assert all(said(instrument, patient) == set() for instrument in SAID)


def slow_cross_entropy(logits, targets, sequences=slice(None)):
    """The mean of -ln softmax(logits)[target], word by word."""
    total, count = 0.0, 0
    for row, aims in zip(logits[sequences], targets[sequences], strict=True):
        for scores, aim in zip(row, aims, strict=True):
            total += math.log(sum(math.exp(score) for score in scores)) - scores[aim]
            count += 1
    return total / count


@pytest.mark.parametrize("described", ["healthy", "last sequence only", "loss summed", "softmax over time", "softmax twice"])
def test_the_loss_by_hand_and_by_usual_mistakes_is_that_of_a_slow_loop(described):
    patient = ill(described)
    tokens, targets = patient.batch
    logits, found = patient.copy().model.logits(tokens), numbers("recompute the loss", patient)
    over_time = logits - logsumexp(logits, axis=1, keepdims=True)
    assert found["by hand"] == pytest.approx(slow_cross_entropy(logits, targets), rel=1e-12)
    assert found["of the last sequence"] == pytest.approx(slow_cross_entropy(logits, targets, slice(-1, None)), rel=1e-12)
    assert found["of a second softmax"] == pytest.approx(slow_cross_entropy(scipy_softmax(logits, axis=-1), targets), rel=1e-12)
    assert found["over the positions"] == pytest.approx(
        -np.mean([over_time[b, t, targets[b, t]] for b in range(4) for t in range(16)]), rel=1e-12
    )
    assert found["targets"] == targets.size == 64
    mistake = {
        "loss summed": 64 * found["by hand"],
        "last sequence only": found["of the last sequence"],
        "softmax over time": found["over the positions"],
        "softmax twice": found["of a second softmax"],
    }
    assert found["reported"] == pytest.approx(mistake.get(described, found["by hand"]), rel=1e-9)


def test_logits_that_are_far_apart_are_no_finding():
    """Probabilities of e^-900 are 0 in float64, and their logarithms are not."""
    patient = ill("rate a thousand times too high, by SGD")
    found = numbers("recompute the loss", patient)
    logits = patient.copy().model.logits(patient.batch[0])
    chosen = np.take_along_axis(logits - logsumexp(logits, axis=-1, keepdims=True), patient.batch[1][..., None], axis=-1)
    assert found["by hand"] == pytest.approx(-chosen.mean(), rel=1e-12)
    assert found["by hand"] > 710.0
    assert said("recompute the loss", patient) == set()


def words(instrument, **changed):
    """What would be said of a healthy patient with other numbers."""
    return set(kit.words_for(kit.ALL[instrument], numbers(instrument, ill("healthy")) | changed))


@given(st.floats(1e-6, 1e4), st.floats(-1e-5, 1e-5))
def test_what_float32_rounds_is_no_finding_and_a_hundredth_is(loss, rounding):
    """Rounding is a share of a large loss, and of the logits where a loss is near 0."""
    rounded = loss * (1.0 + rounding) + rounding
    assert words("recompute the loss", reported=rounded, **{"by hand": loss}) == set()
    assert OFF in words("recompute the loss", reported=1.01 * loss + 2e-4, **{"by hand": loss})


@pytest.mark.parametrize("described", ["healthy", "loss summed", "healthy, untied, in float32"])
def test_the_loss_at_the_start_is_the_mean_over_four_batches_before_any_step(described):
    patient = ill(described)
    trainer = patient.begin()
    found = numbers("loss at the start", patient)
    losses = [slow_cross_entropy(trainer.model.logits(t).astype(np.float64), targets) for t, targets in patient.batches(4)]
    assert found["loss"] == pytest.approx(np.mean(losses) * (64 if described == "loss summed" else 1), rel=1e-6)
    assert found["ln V"] == math.log(80)


@pytest.mark.parametrize(
    ("share", "word"),
    [
        (1.51, "starts far above ln V"),
        (1.49, None),
        (0.81, None),
        (0.79, "starts far below ln V"),
        (1.0 + 1e-7, "starts at ln V to the last digit"),
        (1.0 + 1e-5, None),
        (math.nan, None),
        (math.inf, "starts far above ln V"),
    ],
)
def test_the_start_is_judged_by_its_share_of_ln_v(share, word):
    assert words("loss at the start", loss=share * math.log(80)) == ({word} if word else set())


def test_the_loss_of_training_is_compared_with_that_of_evaluation():
    patient = ill("last sequence only")
    model, (tokens, targets) = patient.copy().model, patient.batch
    logits = model.logits(tokens)
    evaluated, trained = slow_cross_entropy(logits, targets), slow_cross_entropy(logits, targets, slice(-1, None))
    found = numbers("repeat", patient)
    assert found["training less evaluation"] == pytest.approx(abs(trained - evaluated) / evaluated, rel=1e-9)
    assert found["spread of three losses"] == found["spread of two gradients"] == 0.0


def test_a_gradient_that_adds_up_is_off_by_all_that_was_left_from_before():
    """The second of two gradients is what was left, and the gradient twice; the first what was left, and the gradient once."""
    patient = ill("gradients not cleared")
    left = patient.trained.model.flat_gradients
    own = ill("healthy").trained.model.with_parameters(patient.trained.model.flat_parameters)
    own.forward_backward(*patient.batch)
    expected = np.linalg.norm(own.flat_gradients) / np.linalg.norm(left + own.flat_gradients)
    assert numbers("repeat", patient)["spread of two gradients"] == pytest.approx(expected, rel=1e-9)


def test_losses_that_differ_in_their_last_digit_are_not_the_same():
    assert words("repeat", **{"spread of three losses": 4e-16}) == {"the same batch, other losses"}
    assert words("repeat", **{"training less evaluation": 9e-5, "spread of two gradients": 9e-10}) == set()
