"""Defects of the output, of the loss, and of its gradient."""

from dataclasses import replace

import numpy as np
import pytest
from casebook.faults.twins import SMALL, gradients_of, loss_of, planted, slope_errors, trainer_of, twins, wrong_tensors
from hypothesis import given
from hypothesis import strategies as st
from oracles import difference_gradient, random_batch

FORWARD = ["softmax twice", "softmax over time", "loss summed"]
BACKWARD = ["gradient of the sum", "gradient of another loss", "half-precision gradients"]


def probabilities(scores):
    powers = np.exp(scores)
    return powers / powers.sum()


def mean_by_hand(name, logits, targets):
    """The loss that a defect's first line describes, place by place."""
    batch, time, _ = logits.shape
    losses = []
    for b in range(batch):
        for t in range(time):
            if name == "softmax over time":
                chosen = probabilities(logits[b, :, targets[b, t]])[t]
            elif name == "softmax twice":
                chosen = probabilities(probabilities(logits[b, t]))[targets[b, t]]
            else:
                chosen = probabilities(logits[b, t])[targets[b, t]]
            losses.append(-np.log(chosen))
    return sum(losses) if name == "loss summed" else np.mean(losses)


@pytest.mark.parametrize("name", FORWARD)
@given(batch=st.integers(1, 3), time=st.integers(1, 4), words=st.integers(2, 5), seed=st.integers(0, 99))
def test_a_wrong_loss_is_what_its_first_line_says_and_has_its_true_gradient(name, batch, time, words, seed):
    part = planted(name, SMALL).seams["loss"]
    generator = np.random.default_rng(seed)
    logits, targets = generator.standard_normal((batch, time, words)), generator.integers(words, size=(batch, time))
    loss, cache = part.forward(logits, targets)
    assert loss == pytest.approx(mean_by_hand(name, logits, targets), rel=1e-12)
    found = part.backward(cache)
    np.testing.assert_allclose(found, difference_gradient(lambda: part.forward(logits, targets)[0], logits), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORWARD + BACKWARD)
def test_gradients_are_of_the_model_s_type(name, dtype):
    trainer = trainer_of(name, replace(SMALL, dtype=dtype))
    loss = trainer.model.forward_backward(*random_batch(SMALL.vocab_size, 2, 5))
    assert isinstance(loss, float)
    assert trainer.model.flat_gradients.dtype == dtype


def test_a_loss_of_two_softmaxes_can_fall_by_one_at_most():
    part, words = planted("softmax twice", SMALL).seams["loss"], 40
    certain = np.full((1, 1, words), -1e3)
    certain[0, 0, 7] = 1e3
    best, _ = part.forward(certain, np.array([[7]], dtype=np.int64))
    assert np.log(words) - 1.0 < best < np.log(words) - 0.9


@pytest.mark.parametrize("name", BACKWARD)
def test_a_wrong_backward_pass_leaves_the_forward_pass_as_it_was(name):
    ill, sound = twins(name, SMALL)
    tokens, _ = batch = random_batch(SMALL.vocab_size, 3, 9)
    np.testing.assert_array_equal(ill.logits(tokens), sound.logits(tokens))
    assert ill.loss(*batch) == sound.loss(*batch) == ill.forward_backward(*batch)
    assert wrong_tensors(name, SMALL)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7)])
@pytest.mark.parametrize("name", ["gradient of the sum", "loss summed"])
def test_the_gradient_of_the_sum_is_the_mean_s_times_the_number_of_targets(name, shape):
    ill, sound = twins(name, SMALL)
    batch = random_batch(SMALL.vocab_size, *shape)
    theirs, ours = gradients_of(ill, batch), gradients_of(sound, batch)
    for tensor in ours:
        np.testing.assert_allclose(theirs[tensor], np.prod(shape) * ours[tensor], rtol=1e-9, atol=1e-12)


def test_gradients_in_half_precision_are_the_sound_ones_rounded():
    ill, sound = twins("half-precision gradients", SMALL, size=1e-3)
    batch = random_batch(SMALL.vocab_size, 3, 9)
    for tensor, gradient in gradients_of(sound, batch).items():
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(gradients_of(ill, batch)[tensor], gradient.astype(np.float16).astype(np.float64))
    assert any((gradients_of(ill, batch)[tensor] == 0.0).sum() > (g == 0.0).sum() for tensor, g in gradients_of(sound, batch).items())


def test_gradients_that_are_not_cleared_add_up():
    ill, sound = twins("gradients not cleared", SMALL)
    total = np.zeros_like(ill.flat_gradients)
    ill.flat_gradients[...] = 0.0
    for seed in range(3):
        batch = random_batch(SMALL.vocab_size, 2, 5, seed)
        assert ill.forward_backward(*batch) == sound.forward_backward(*batch)
        total += sound.flat_gradients
        np.testing.assert_allclose(ill.flat_gradients, total, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (2, 16)])
def test_a_tied_copy_has_the_true_gradient_and_its_matrix_never_learns(shape):
    ill, sound = twins("tied by copy", SMALL)
    batch = random_batch(SMALL.vocab_size, *shape)
    assert loss_of(ill, batch) == pytest.approx(loss_of(sound, batch), rel=1e-12)  # it begins as the sound one
    assert max(slope_errors(ill, batch)) < 1e-5
    theirs, ours = gradients_of(ill, batch), gradients_of(sound, batch)
    np.testing.assert_array_equal(gradients_of(ill, batch)["embedding"], theirs["embedding"])  # nothing is left of the last one
    unread = np.setdiff1d(np.arange(SMALL.vocab_size, dtype=np.int64), batch[0])
    assert not theirs["embedding"][unread].any()
    assert ours["embedding"][unread].all()
    for tensor in set(ours) - {"embedding"}:
        np.testing.assert_allclose(theirs[tensor], ours[tensor], rtol=1e-9, atol=1e-12)
    before = ill.logits(batch[0])
    ill.parameters["embedding"][unread] += 1.0
    np.testing.assert_array_equal(ill.logits(batch[0]), before)


@pytest.mark.parametrize("rows", [1, 4])
def test_of_a_batch_the_last_sequence_alone_counts(rows):
    ill, sound = twins("last sequence only", SMALL)
    tokens, targets = random_batch(SMALL.vocab_size, rows, 6)
    assert ill.forward_backward(tokens, targets) == sound.forward_backward(tokens[-1:], targets[-1:])
    np.testing.assert_array_equal(ill.flat_gradients, sound.flat_gradients)
    np.testing.assert_array_equal(ill.logits(tokens), sound.logits(tokens))
    assert ill.loss(tokens, targets) == sound.loss(tokens, targets)  # evaluation is sound
    assert max(slope_errors(ill, (tokens, targets))) < 1e-5
    other = tokens.copy()
    other[:-1] = (other[:-1] + 1) % SMALL.vocab_size
    assert ill.forward_backward(other, targets) == ill.forward_backward(tokens, targets)


def test_the_gradient_of_another_loss_is_that_of_a_distance_in_the_embedding_alone():
    ill, _ = twins("gradient of another loss", SMALL)
    tokens, targets = batch = random_batch(SMALL.vocab_size, 3, 5)
    gradients, table = gradients_of(ill, batch), ill.parameters["embedding"].copy()
    expected = np.zeros_like(table)
    for word, following in zip(tokens.ravel(), targets.ravel(), strict=True):
        expected[word] += (table[following] - table[word]) / tokens.size
    np.testing.assert_allclose(gradients.pop("embedding"), expected, rtol=1e-12, atol=1e-15)
    assert not any(gradient.any() for gradient in gradients.values())
