import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.training.divergence import TrainingDiverged, first_overflow, what_diverged


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings")


def small(corpus, **parts):
    return CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=2, n_heads=2, d_ff=16), seed=0, **parts)


class LeavesOut(CausalSelfAttention):
    """From some step on a gradient holds what it held."""

    def __init__(self, value, calls):
        self.value, self.calls = value, calls

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        self.calls -= 1
        if self.calls < 0:
            gradients["key_weight"][0, 0] = self.value
        return dx, gradients


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_is_not_finite_is_named_before_the_step(corpus, value, clip_norm):
    model = small(corpus, attention=LeavesOut(value, calls=4))
    trainer = Trainer(model, corpus, clip_norm=clip_norm)
    trainer.fit(steps=2)
    before = model.flat_parameters.copy()
    with pytest.raises(TrainingDiverged) as error:
        trainer.fit(steps=2)
    said = str(error.value)
    assert "in step 3, and its gradient holds numbers that are not finite in layers.0.attention.key_weight, layers.1.attention.key" in said
    assert "no weight was changed. Lengths of the last gradients: " in said
    assert trainer.steps == 2
    np.testing.assert_array_equal(model.flat_parameters, before)


def test_a_run_that_may_blow_up_takes_such_a_step(corpus):
    model = small(corpus, attention=LeavesOut(np.nan, calls=0))
    with np.errstate(all="ignore"):
        Trainer(model, corpus, stop_when_not_finite=False).fit(steps=1)
    assert np.isnan(model.parameters["layers.0.attention.key_weight"][0, 0])


def test_the_first_places_are_named_and_the_others_counted(corpus):
    model = small(corpus)
    trainer = Trainer(model, corpus)
    model.flat_parameters[:] = np.nan
    assert "embedding, layers.0.attention.query_weight, layers.0.attention.query_bias and 30 more before" in what_diverged(
        trainer, np.nan, [[1]]
    )
    assert first_overflow(model, np.array([[1, 2]], dtype=np.int64)) == "the embedding"


class Overflows(CrossEntropy):
    def forward(self, logits, targets):
        _, cache = super().forward(logits, targets)
        return np.inf, cache


class Blinds(LinearOutput):
    def forward(self, hidden, matrix):
        logits, cache = super().forward(hidden, matrix)
        return logits + np.inf, cache


@pytest.mark.parametrize("where", ["the loss", "the output"])
def test_an_overflow_at_either_end_is_told_from_the_other(corpus, where):
    model = small(corpus, **({"loss": Overflows()} if where == "the loss" else {"output": Blinds()}))
    with np.errstate(all="ignore"), pytest.raises(TrainingDiverged, match=f"weights are finite, and the forward pass overflows in {where}"):
        Trainer(model, corpus).fit(steps=1)


@pytest.mark.parametrize(
    ("name", "value", "place"), [("final_norm.gain", 1e300, "the output"), ("layers.1.attention_norm.gain", 1e300, "layer 1")]
)
def test_with_norms_first_an_overflow_is_told_by_its_place(corpus, name, value, place):
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=2, n_heads=2, d_ff=16, norm="rms", norm_first=True), seed=0)
    model.parameters["embedding"][...] *= 1e10
    model.parameters[name][...] = value
    assert first_overflow(model, corpus.tokens[None, :5]) == place
