import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, load_corpus
from cllm_lib.training.optimizers import SGD
from cllm_lib.training.range_test import learning_rate_range_test


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings")


def small(corpus):
    return CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16), seed=0)


def test_rates_rise_by_one_factor_over_the_range_and_past_one_epoch(corpus):
    rates, losses = learning_rate_range_test(small(corpus), corpus, "sgd", lowest=1e-4, highest=1.0, steps=21)  # an epoch has 9 batches
    assert rates.shape == losses.shape == (21,)
    assert (rates[0], rates[-1]) == pytest.approx((1e-4, 1.0))
    np.testing.assert_allclose(rates[1:] / rates[:-1], 10 ** (4 / 20))


def test_it_trains_like_a_loop_written_out(corpus):
    rates, losses = learning_rate_range_test(small(corpus), corpus, "sgd", lowest=0.01, highest=0.1, steps=12, seed=3)
    model, generator, expected = small(corpus), np.random.default_rng(3), []
    batches = [*corpus.batches(4, 32, generator), *corpus.batches(4, 32, generator)][:12]
    for rate, (inputs, targets) in zip(rates, batches, strict=True):
        loss, gradients = model.loss_and_gradients(inputs, targets)
        expected.append(loss)
        for name, gradient in gradients.items():
            model.parameters[name] -= rate * gradient
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", SGD])
def test_the_model_is_left_as_it_was(corpus, optimizer):
    model = small(corpus)
    before = model.flat_parameters.copy()
    learning_rate_range_test(model, corpus, optimizer, highest=100.0, steps=30)
    np.testing.assert_array_equal(model.flat_parameters, before)


def test_it_is_left_as_it_was_when_a_step_fails(corpus):
    class Fails(SGD):
        def step(self, parameters, gradients):
            parameters += 1.0
            raise RuntimeError("out of memory")

    model = small(corpus)
    before = model.flat_parameters.copy()
    with pytest.raises(RuntimeError, match="out of memory"):
        learning_rate_range_test(model, corpus, Fails)
    np.testing.assert_array_equal(model.flat_parameters, before)


def test_it_shows_rates_too_small_useful_and_too_large(corpus):
    rates, losses = learning_rate_range_test(small(corpus), corpus, "adam", lowest=1e-6, highest=10.0, steps=80)
    noise = losses[rates < 1e-5].std()
    best = int(np.nanargmin(losses))
    assert losses[best] < losses[0] - 5 * noise
    assert 1e-3 < rates[best] < 1.0
    assert losses[-1] > losses[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lowest": 0.0}, "the rates go from 0 to 1"),
        ({"lowest": 0.1, "highest": 0.1}, "the rates go from 0.1 to 0.1"),
        ({"highest": float("inf")}, "highest is inf"),
        ({"steps": 1}, "steps is 1"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"optimizer": "adma"}, "unknown optimizer 'adma'"),
        ({"batch_size": 39}, "only 38 training sequences"),
    ],
)
def test_bad_settings_get_a_clear_error(corpus, settings, words):
    with pytest.raises(ValueError, match=words):
        learning_rate_range_test(small(corpus), corpus, **settings)
