"""Hooks stand between the backward pass and the step: what they see is the true gradient, and what they leave is what counts."""

import functools

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.training import LaplacianRegularizer
from cllm_lib.training.divergence import TrainingDiverged
from cllm_lib.training.hooks import name_of


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings")


def trainer_of(corpus, **settings):
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16), seed=0)
    return Trainer(model, corpus, **({"optimizer": "sgd", "learning_rate": 0.5} | settings))


def batch_of(corpus):
    return next(corpus.batches(4, 32, np.random.default_rng(0)))


def test_a_hook_sees_the_gradient_of_the_batch_before_the_weights_move(corpus):
    trainer, seen = trainer_of(corpus), []

    def look(given):
        seen.append((given, given.steps, given.model.flat_parameters.copy(), given.model.flat_gradients.copy()))

    trainer.hooks = (look,)
    before, batch = trainer.model.flat_parameters.copy(), batch_of(corpus)
    twin = trainer.model.with_parameters(before.copy())
    twin.forward_backward(*batch)
    trainer.step(*batch)
    ((given, steps, parameters, gradients),) = seen
    assert given is trainer
    assert steps == 0
    np.testing.assert_array_equal(parameters, before)
    np.testing.assert_array_equal(gradients, twin.flat_gradients)
    np.testing.assert_array_equal(trainer.model.flat_parameters, before - 0.5 * twin.flat_gradients)


def test_looking_changes_nothing(corpus):
    plain, watched = trainer_of(corpus), trainer_of(corpus, hooks=[lambda trainer: None, lambda trainer: trainer.gradient_norm])
    assert plain.fit(steps=12) == watched.fit(steps=12)
    np.testing.assert_array_equal(plain.model.flat_parameters, watched.model.flat_parameters)


def test_what_a_hook_leaves_is_what_is_clipped_measured_and_stepped_with(corpus):
    def doubled(trainer):
        trainer.model.flat_gradients *= 2.0

    plain, other = trainer_of(corpus), trainer_of(corpus, hooks=[doubled])
    clipped = trainer_of(corpus, hooks=[doubled], clip_norm=1e-3)
    start, batch = plain.model.flat_parameters.copy(), batch_of(corpus)
    losses = [trainer.step(*batch) for trainer in (plain, other, clipped)]
    assert losses[0] == losses[1] == losses[2]  # the loss is that before the step
    assert other.gradient_norm == clipped.gradient_norm == pytest.approx(2.0 * plain.gradient_norm, rel=1e-12)
    moved = [trainer.model.flat_parameters - start for trainer in (plain, other, clipped)]
    np.testing.assert_allclose(moved[1], 2.0 * moved[0], atol=1e-15)
    assert np.linalg.norm(moved[2]) == pytest.approx(0.5e-3)


def test_hooks_are_called_in_their_order_once_a_step_however_a_batch_is_cut(corpus):
    calls = []
    hooks = [lambda trainer: calls.append(("first", trainer.steps)), lambda trainer: calls.append(("second", trainer.steps))]
    trainer_of(corpus, hooks=hooks, accumulate=3, batch_size=6).fit(steps=3)
    assert calls == [(name, step) for step in range(3) for name in ("first", "second")]


def test_the_regularizer_has_added_its_share_before(corpus):
    pull = LaplacianRegularizer(np.ones((len(corpus.vocabulary),) * 2) - np.eye(len(corpus.vocabulary)), 10.0)
    seen = {}
    for name, regularizer in (("with", pull), ("without", None)):
        trainer = trainer_of(
            corpus, regularizer=regularizer, hooks=[lambda trainer, name=name: seen.update({name: trainer.model.flat_gradients.copy()})]
        )
        trainer.step(*batch_of(corpus))
    share = {key: np.zeros_like(array) for key, array in trainer_of(corpus).model.parameters.items()}
    pull.add_gradients(trainer_of(corpus).model.parameters, share)
    expected = seen["without"] + np.concatenate([array.ravel() for array in share.values()])
    np.testing.assert_allclose(seen["with"], expected, atol=1e-12)
    assert (seen["with"] != seen["without"]).any()


def test_a_gradient_that_a_hook_spoils_is_found_before_the_step(corpus):
    def spoils(trainer):
        trainer.model.gradients["embedding"][0, 0] = np.nan

    trainer = trainer_of(corpus, hooks=[spoils])
    before = trainer.model.flat_parameters.copy()
    with pytest.raises(TrainingDiverged, match="its gradient holds numbers that are not finite in embedding"):
        trainer.fit(steps=1)
    np.testing.assert_array_equal(trainer.model.flat_parameters, before)


def test_a_hook_that_hands_back_a_gradient_is_told_that_nobody_reads_it(corpus):
    def halved(trainer):
        return 0.5 * trainer.model.flat_gradients

    trainer = trainer_of(corpus, hooks=[halved])
    before = trainer.model.flat_parameters.copy()
    with pytest.raises(
        ValueError, match="the hook halved returned an array, which nobody reads: change trainer.model.flat_gradients in place, and"
    ):
        trainer.fit(steps=1)
    np.testing.assert_array_equal(trainer.model.flat_parameters, before)
    in_place = trainer_of(
        corpus, hooks=[lambda trainer: np.clip(trainer.model.flat_gradients, -1e-3, 1e-3, out=trainer.model.flat_gradients)]
    )
    in_place.fit(steps=1)
    assert np.abs(in_place.model.flat_gradients).max() == 1e-3


class Counts:
    def __init__(self):
        self.calls = 0

    def __call__(self, trainer):
        self.calls += 1


def test_an_object_may_be_a_hook_and_remember(corpus):
    counts = Counts()
    trainer_of(corpus, hooks=[counts]).fit(steps=5)
    assert counts.calls == 5


@pytest.mark.parametrize(
    ("hooks", "words"),
    [
        (print, r"hooks is one function: give a list of them, hooks=\[...\]"),
        ([3], r"hooks\[0\] is 3, which cannot be called"),
        ([print, None], r"hooks\[1\] is None, which cannot be called"),
        ([Counts], r"hooks\[0\] is the class Counts itself: give one of its objects, Counts\(...\)"),
        (None, "hooks is None: give a list of functions"),
    ],
)
def test_what_are_no_hooks_is_said_before_the_training(corpus, hooks, words):
    with pytest.raises(ValueError, match=words):
        trainer_of(corpus, hooks=hooks)


def test_a_hook_is_named_by_itself_or_by_its_class():
    assert [name_of(hook) for hook in (print, Counts(), [].append, functools.partial(max, 1))] == ["print", "Counts", "append", "partial"]
