"""A model that shares nothing with the library but the names instruments ask for."""

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.instruments import Examinable, check_gradients, examine


class Bigram:
    """logits = table[token]: a model of one array. `wrong` spoils its gradient."""

    def __init__(self, flat_parameters, words, wrong=1.0):
        self.flat_parameters, self.flat_gradients = flat_parameters, np.zeros_like(flat_parameters)
        self.words, self.wrong = words, wrong
        self.parameters = {"table": self.flat_parameters.reshape(words, words)}

    def probabilities(self, tokens):
        powers = np.exp(self.parameters["table"][tokens])
        return powers / powers.sum(axis=-1, keepdims=True)

    def loss(self, tokens, targets):
        return float(-np.log(np.take_along_axis(self.probabilities(tokens), targets[..., None], -1)).mean())

    def loss_and_gradients(self, tokens, targets):
        error = (self.probabilities(tokens) - np.eye(self.words)[targets]) / tokens.size
        gradient = np.zeros((self.words, self.words))
        np.add.at(gradient, tokens, self.wrong * error)
        self.flat_gradients[:] = gradient.ravel()
        return self.loss(tokens, targets), {"table": gradient}

    def with_parameters(self, flat_parameters):
        return Bigram(flat_parameters, self.words, self.wrong)


@pytest.fixture
def batch():
    generator = np.random.default_rng(0)
    return generator.integers(0, 5, (2, 3, 7))


def table(seed=1):
    return np.random.default_rng(seed).standard_normal(25)


def test_the_library_s_model_and_a_foreign_one_can_be_examined():
    assert isinstance(CLLM(CLLMConfig(vocab_size=5, d_model=4, n_layers=1, n_heads=1, d_ff=4)), Examinable)
    assert isinstance(Bigram(table(), 5), Examinable)
    assert not isinstance(object(), Examinable)


def test_a_foreign_model_is_healthy_or_accused_by_the_same_rules(batch):
    assert examine(Bigram(table(), 5), *batch).is_healthy
    assert "does not follow the gradient of table" in examine(Bigram(table(), 5, wrong=-1.0), *batch).verdict
    assert "forgets it" in examine(Bigram(table(), 5, wrong=0.0), *batch).verdict
    assert "Every weight is exactly zero" in examine(Bigram(np.zeros(25), 5), *batch).verdict


def test_its_gradients_can_be_checked(batch):
    model = Bigram(table(), 5)
    assert check_gradients(lambda _: model.loss_and_gradients(*batch), model.parameters).max_relative_error < 1e-7
