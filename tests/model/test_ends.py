"""Output and loss as parts: the sound ones are the plain formulas, and one's own are what a model really runs."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import difference_gradient, random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.model import fast, generate
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.model.key_value_cache import KeyValueCache, can_cache
from cllm_lib.model.layers import cross_entropy_forward, softmax
from cllm_lib.training.trainer import validation_loss

CONFIG = CLLMConfig(9, d_model=6, n_layers=2, n_heads=2, d_ff=5, seq_len=5)


class ScaledOutput(LinearOutput):
    """Logits at another temperature, capped: scale * tanh(hidden @ matrix)."""

    def __init__(self, scale=3.0):
        self.scale = scale

    def forward(self, hidden, matrix):
        scores, cache = super().forward(hidden, matrix)
        squashed = np.tanh(scores)
        return self.scale * squashed, (squashed, cache)

    def backward(self, d_logits, cache, out):
        squashed, inner = cache
        return super().backward(d_logits * self.scale * (1.0 - squashed**2), inner, out)


class SquaredDistance:
    """A loss with nothing of cross-entropy in it: half the squared distance of probabilities from the word that came."""

    def forward(self, logits, targets):
        probabilities = softmax(logits)
        gaps = probabilities - np.eye(logits.shape[-1])[targets]
        return np.float64(0.5 * (gaps**2).sum() / targets.size), (probabilities, gaps)

    def backward(self, cache):
        probabilities, gaps = cache
        rows = gaps.shape[0] * gaps.shape[1]
        return probabilities * (gaps - (gaps * probabilities).sum(axis=-1, keepdims=True)) / rows


OWN = {"output": {"output": ScaledOutput()}, "loss": {"loss": SquaredDistance()}}
OWN["both"] = OWN["output"] | OWN["loss"]


def build(tied=True, quick=True, **parts):
    config = CLLMConfig(9, d_model=6, n_layers=2, n_heads=2, d_ff=5, seq_len=5, tie_embeddings=tied)
    return spread_out(CLLM(config, seed=1, fast=quick, **parts))


# The sound parts


@given(
    batch=st.integers(1, 3),
    time=st.integers(1, 4),
    width=st.integers(1, 5),
    words=st.integers(1, 6),
    tied=st.booleans(),
    seed=st.integers(0, 999),
)
def test_a_linear_output_is_a_product_position_by_position_and_its_gradient_a_sum_over_them(batch, time, width, words, tied, seed):
    generator = np.random.default_rng(seed)
    hidden, d_logits = generator.standard_normal((batch, time, width)), generator.standard_normal((batch, time, words))
    matrix = generator.standard_normal((words, width)).T if tied else generator.standard_normal((width, words))
    out = np.zeros((words, width)).T if tied else np.zeros((width, words))
    logits, cache = LinearOutput().forward(hidden, matrix)
    d_hidden = LinearOutput().backward(d_logits, cache, out)
    expected = np.zeros((width, words))
    for b, t in np.ndindex(batch, time):
        np.testing.assert_allclose(logits[b, t], [hidden[b, t] @ matrix[:, v] for v in range(words)], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(d_hidden[b, t], sum(d_logits[b, t, v] * matrix[:, v] for v in range(words)), rtol=1e-12, atol=1e-12)
        expected += np.outer(hidden[b, t], d_logits[b, t])
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


def test_cross_entropy_is_the_mean_of_minus_the_logarithm_of_what_the_targets_got():
    logits, (_, targets) = np.random.default_rng(0).standard_normal((2, 3, 5)), random_batch(5, 2, 3)
    loss, cache = CrossEntropy().forward(logits, targets)
    chances = [np.exp(logits[b, t, targets[b, t]]) / np.exp(logits[b, t]).sum() for b, t in np.ndindex(2, 3)]
    assert loss == pytest.approx(-np.log(chances).mean(), rel=1e-12)
    numeric = difference_gradient(lambda: CrossEntropy().forward(logits, targets)[0], logits)
    np.testing.assert_allclose(CrossEntropy().backward(cache), numeric, atol=1e-9)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_sound_parts_handed_in_are_the_model_without_them_bit_for_bit(tied):
    batch = random_batch(9, 3, 5)
    for quick in (True, False):
        plain, given = build(tied, quick), build(tied, quick, output=LinearOutput(), loss=CrossEntropy())
        assert given.is_sound
        assert given.forward_backward(*batch) == plain.forward_backward(*batch)
        assert (given._stack is not None) == quick
        np.testing.assert_array_equal(given.flat_gradients, plain.flat_gradients)
        np.testing.assert_array_equal(given.logits(batch[0]), plain.logits(batch[0]))


# Parts of one's own


@pytest.mark.parametrize("quick", [True, False], ids=["fast", "plain"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("own", OWN)
def test_own_parts_are_what_every_road_through_the_model_runs(own, tied, quick):
    model, (tokens, targets) = build(tied, quick, **OWN[own]), random_batch(9, 2, 4)
    hidden = build(tied)._hidden(tokens)
    scores = hidden @ model.output_matrix
    expected = 3.0 * np.tanh(scores) if "output" in OWN[own] else scores
    np.testing.assert_allclose(model.logits(tokens), expected, rtol=1e-12)
    gaps = softmax(expected) - np.eye(9)[targets]
    loss = 0.5 * (gaps**2).sum(axis=-1).mean() if "loss" in OWN[own] else cross_entropy_forward(expected, targets)[0]
    assert model.loss(tokens, targets) == pytest.approx(loss, rel=1e-12)
    assert model.loss_and_gradients(tokens, targets)[0] == model.forward_backward(tokens, targets) == model.loss(tokens, targets)
    assert type(model.loss(tokens, targets)) is float
    assert model._stack is None  # no quick twin, which would compute the sound ones


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("own", OWN)
def test_gradients_through_own_parts_agree_with_central_differences(own, tied):
    model, batch = build(tied, **OWN[own]), random_batch(9, 2, 4)
    model.flat_gradients[:] = 7.0  # whatever stood there is overwritten
    _, gradients = model.loss_and_gradients(*batch)
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, array in model.parameters.items():
        numeric = difference_gradient(lambda: model.loss(*batch), array)
        assert np.abs(gradients[name] - numeric).max() < 1e-7 * largest, name


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_an_output_that_leaves_its_matrix_alone_gives_it_no_gradient_of_the_step_before(tied):
    class Frozen(LinearOutput):
        def backward(self, d_logits, cache, out):
            return super().backward(d_logits, cache, np.empty_like(out))

    model, batch = build(tied, output=Frozen()), random_batch(9, 2, 4)
    model.flat_gradients[:] = 7.0
    _, gradients = model.loss_and_gradients(*batch)
    untouched = np.setdiff1d(np.arange(9, dtype=np.int64), batch[0])
    assert not (gradients["embedding"][untouched] if tied else gradients["output_weight"]).any()
    assert gradients["embedding"].any()


def test_a_part_that_is_exchanged_after_a_step_is_what_the_next_step_runs():
    model, batch = build(), random_batch(9, 2, 4)
    model.forward_backward(*batch)
    assert model._stack is not None
    model.output = ScaledOutput()
    assert model.forward_backward(*batch) == build(**OWN["output"]).forward_backward(*batch)
    model.output = LinearOutput()
    assert model.forward_backward(*batch) == build().forward_backward(*batch)


def test_nothing_can_be_hung_onto_the_sound_parts():
    """So their type says what they compute, and the quick twins may stand for them."""
    with pytest.raises(AttributeError):
        CLLM(CONFIG).output.forward = print
    with pytest.raises(AttributeError):
        CLLM(CONFIG).loss_part.backward = print


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), lambda model: model.with_parameters(model.flat_parameters)],
    ids=["copy", "deepcopy", "pickle", "with_parameters"],
)
def test_a_copy_of_a_model_keeps_its_own_parts(duplicate):
    model, batch = build(**OWN["both"]), random_batch(9, 2, 4)
    twin = duplicate(model)
    assert (type(twin.output), type(twin.loss_part)) == (ScaledOutput, SquaredDistance)
    assert twin.forward_backward(*batch) == model.forward_backward(*batch)
    np.testing.assert_array_equal(twin.flat_gradients, model.flat_gradients)
    np.testing.assert_array_equal(twin.logits(batch[0]), model.logits(batch[0]))


# What others make of such a model


@pytest.mark.parametrize("own", OWN)
def test_a_cache_refuses_it_and_generation_goes_by_its_logits(own):
    model = build(**OWN[own])
    assert not model.is_sound
    assert not can_cache(model)
    with pytest.raises(ValueError, match="other parts than the sound ones"):
        KeyValueCache(model)
    said = generate(model, [1, 2], 3, temperature=0)
    for i in range(2, 5):
        assert said[i] == model.logits([said[:i]])[0, -1].argmax()


def test_a_cache_would_have_said_something_else():
    """The check above is worth something: an output can change which word is the most likely."""

    class Upside(LinearOutput):
        def forward(self, hidden, matrix):
            logits, cache = super().forward(hidden, matrix)
            return -logits, cache

    own, sound = (generate(build(**parts), [1, 2], 3, temperature=0).tolist() for parts in ({"output": Upside()}, {}))
    assert own != sound


def test_a_trainer_minimises_and_measures_the_own_loss():
    corpus = load_corpus("sayings", validation_fraction=0.1)
    config = CLLMConfig(len(corpus.vocabulary), d_model=8, n_layers=1, n_heads=2, d_ff=8)
    trainer = Trainer(CLLM(config, loss=SquaredDistance()), corpus, learning_rate=1e-2, evaluate_every=9)
    history = trainer.fit(epochs=4)
    assert history.losses[0] < 0.6  # nothing like ln V
    assert history.epoch_losses[-1] < history.epoch_losses[0]
    assert trainer.evaluate() == validation_loss(trainer.model, corpus) < 0.6


def test_the_quick_twin_knows_no_other_ends():
    """Why the quick path is left: its output is a product, and its loss the cross-entropy, whatever the model has."""
    model, batch = build(**OWN["both"]), random_batch(9, 2, 4)
    stack = model._fast_stack(fast.twin_of(model.layer), batch[0].shape)
    x = model.parameters["embedding"][batch[0]]
    assert stack.forward_backward(x, batch[1])[0] == pytest.approx(build().loss(*batch), rel=1e-12)
