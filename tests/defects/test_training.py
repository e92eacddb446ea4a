"""Gradients and updates of another thing than the loss: symptom, exposure, and the sound part passes the same exposure."""

import numpy as np
import pytest
from defects.exhibits import CONFIG, both, differing, gradient_error
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.training.optimizers import SGD, Adam


def test_gradient_of_another_loss_moves_the_weights_and_not_the_loss():
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=24)
    inputs, targets = next(corpus.batches(4, 32, np.random.default_rng(0)))
    exhibit, change = defects.ALL["gradient of another loss"], {}
    for name, model in (("patient", exhibit.patient(config)), ("healthy", exhibit.healthy(config))):
        before, start = model.loss(inputs, targets), model.flat_parameters.copy()
        losses = Trainer(model, corpus).fit(4).losses
        assert len(set(losses)) == len(losses)  # something moves at every step
        assert (model.flat_parameters != start).any()
        change[name] = model.loss(inputs, targets) - before
    assert change["patient"] > 0.0
    assert change["healthy"] < -0.1


@pytest.mark.parametrize("name", ["embedding", "layers.0.attention.value_weight", "layers.1.feed_forward_norm.gain"])
def test_gradient_of_another_loss_is_exposed_by_the_check_against_the_printed_loss(name):
    patient, healthy = both("gradient of another loss")
    assert gradient_error(patient, name) > 0.1
    assert gradient_error(healthy, name) < 1e-6


def test_the_turned_gradient_carries_a_word_towards_the_next():
    config = CLLMConfig(6, d_model=4, n_layers=1, n_heads=2, d_ff=4, seq_len=3)
    coded, turned = (part(config, seed=0) for part in (defects.GradientOfAnotherLoss, defects.TowardTheTarget))
    tokens, targets = np.array([[0, 1, 2]], dtype=np.int64), np.array([[3, 4, 5]], dtype=np.int64)
    assert coded.forward_backward(tokens, targets) == turned.forward_backward(tokens, targets)
    assert np.array_equal(coded.flat_gradients, -turned.flat_gradients)
    before = np.abs(turned.parameters["embedding"][3:] - turned.parameters["embedding"][:3]).sum()
    turned.flat_parameters -= 0.1 * turned.flat_gradients
    assert np.abs(turned.parameters["embedding"][3:] - turned.parameters["embedding"][:3]).sum() < before


def test_the_turned_gradient_is_exposed_by_the_check_against_the_printed_loss():
    assert gradient_error(spread_out(defects.TowardTheTarget(CONFIG)), "embedding") > 0.1
    assert gradient_error(spread_out(CLLM(CONFIG)), "embedding") < 1e-6


def trained_on_sayings(build):
    """By how much four epochs change the loss of one batch, and by which factor the squared distance of neighbours."""
    corpus = load_corpus("sayings")
    model = build(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=24))
    batch = next(corpus.batches(4, 32, np.random.default_rng(0)))

    def now():
        return model.loss(*batch), np.square(np.diff(model.parameters["embedding"][corpus.tokens], axis=0)).sum()

    loss, apart = now()
    Trainer(model, corpus).fit(4)
    return now()[0] - loss, now()[1] / apart


def test_towards_the_target_words_draw_together_and_the_printed_loss_hardly_moves():
    (turned, together), (sound, apart) = (trained_on_sayings(build) for build in (defects.TowardTheTarget, CLLM))
    assert together < 0.5 < apart
    assert abs(turned) < 0.1 * abs(sound)


def test_the_last_place_alone_goes_wrong_for_words_that_occur_more_than_once_and_nowhere_else():
    config = CLLMConfig(5, d_model=6, n_layers=1, n_heads=2, d_ff=7, seq_len=4, tie_embeddings=False)
    sound, wrong = CLLM(config, seed=1), CLLM(config, seed=1, embedding=defects.LastOneWins())
    assert differing(sound, wrong) == {"embedding"}
    rows = np.abs(sound.gradients["embedding"] - wrong.gradients["embedding"]).max(axis=1) > 1e-12
    assert rows.tolist() == [False, True, True, False, False]  # the two words that occur more than once


def test_the_last_place_alone_is_exposed_by_the_gradient_check_of_the_embedding():
    patient = spread_out(CLLM(CONFIG, embedding=defects.LastOneWins()))
    assert gradient_error(patient, "embedding") > 0.01
    assert gradient_error(patient, "layers.0.feed_forward.expand_weight") < 1e-6
    assert gradient_error(spread_out(CLLM(CONFIG)), "embedding") < 1e-6


def test_the_last_sequence_alone_gives_its_own_gradient():
    config = CLLMConfig(5, d_model=4, n_layers=1, n_heads=2, d_ff=4, seq_len=3)
    tokens, targets = np.array([[0, 1, 2], [3, 4, 0]], dtype=np.int64), np.array([[1, 2, 3], [4, 0, 1]], dtype=np.int64)
    alone, sound = defects.LastSequenceWins(config, seed=0), CLLM(config, seed=0)
    alone.forward_backward(tokens, targets)
    sound.forward_backward(tokens[1:], targets[1:])
    assert np.array_equal(alone.flat_gradients, sound.flat_gradients)


def test_the_last_sequence_alone_is_exposed_by_changing_another():
    for model, same in ((defects.LastSequenceWins(CONFIG), True), (CLLM(CONFIG), False)):
        tokens, targets = random_batch(40, 3, 8)
        model.forward_backward(tokens, targets)
        before = model.flat_gradients.copy()
        tokens[0] = (tokens[0] + 1) % 40
        model.forward_backward(tokens, targets)
        assert np.array_equal(model.flat_gradients, before) == same


def test_without_the_sum_of_a_batch_the_loss_falls_less_far():
    parts = {
        "sum": CLLM,
        "last place": lambda config: CLLM(config, embedding=defects.LastOneWins()),
        "last sequence": defects.LastSequenceWins,
    }
    change = {name: trained_on_sayings(build)[0] for name, build in parts.items()}
    assert change["sum"] < change["last place"] < 0.9 * change["sum"] < change["last sequence"] < 0.0


def moved_by_one_step(model, optimizer):
    """Names of the tensors that one step of training changes, in their last bit at least."""
    before = {name: array.copy() for name, array in model.parameters.items()}
    model.forward_backward(*random_batch(model.config.vocab_size, 3, 8))
    optimizer.step(model.flat_parameters, model.flat_gradients)
    return {name for name, array in model.parameters.items() if (array != before[name]).any()}


@pytest.mark.parametrize("make", [SGD, Adam])
def test_only_embeddings_is_exposed_by_what_one_step_moves(make):
    patient, healthy = spread_out(CLLM(CONFIG)), spread_out(CLLM(CONFIG))
    assert moved_by_one_step(patient, defects.OnlyEmbeddings(patient, make(1e-2))) == {"embedding"}
    still = set(healthy.parameters) - moved_by_one_step(healthy, make(1e-2))
    assert all(name.endswith("key_bias") for name in still)  # softmax does not see what shifts all scores alike: no gradient
    np.testing.assert_array_equal(patient.parameters["embedding"], healthy.parameters["embedding"])


def test_the_catalogue_makes_the_optimiser_for_a_model():
    exhibit = defects.ALL["only embeddings updated"]
    patient, healthy = exhibit.patient(CONFIG), exhibit.healthy(CONFIG)
    assert moved_by_one_step(patient, exhibit.part(patient)) == {"embedding"}
    assert len(moved_by_one_step(healthy, exhibit.sound(healthy))) > 20


def test_only_embeddings_is_plain_sgd_as_in_the_program():
    model = CLLM(CONFIG)
    before = model.parameters["embedding"].copy()
    gradients = model.loss_and_gradients(*random_batch(40, 3, 8))[1]
    moved_by_one_step(model, defects.OnlyEmbeddings(model))
    np.testing.assert_allclose(model.parameters["embedding"], before - 1e-3 * gradients["embedding"], rtol=1e-12)


def test_only_embeddings_learns_and_stops_early_where_attention_is_needed():
    corpus = load_corpus("patterns")
    config = CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=2, n_heads=2, d_ff=32, seq_len=10)
    reached = {}
    for name, make in (("patient", lambda model: defects.OnlyEmbeddings(model, Adam(3e-3))), ("sound", lambda model: Adam(3e-3))):
        model = CLLM(config, seed=0)
        history = Trainer(model, corpus, optimizer=make(model), batch_size=32).fit(epochs=6)
        reached[name] = history.epoch_losses
    assert reached["patient"][-1] < reached["patient"][0] - 0.1  # it seems to work
    assert reached["patient"][-1] > corpus.best_loss + 0.5  # and stops
    assert reached["sound"][-1] < corpus.best_loss + 0.25


def test_a_schedule_reaches_the_optimiser_inside():
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16), seed=0)
    start = model.flat_parameters.copy()
    Trainer(model, corpus, optimizer=defects.OnlyEmbeddings(model), schedule=lambda step: 0.0).fit(steps=1)
    np.testing.assert_array_equal(model.flat_parameters, start)
