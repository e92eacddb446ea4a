"""Going on from a checkpoint: what a file cannot hold is asked for, and another text, or other hooks, are told."""

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.training.checkpoint import CheckpointError, load_checkpoint
from cllm_lib.training.resuming import corpus_of
from cllm_lib.training.schedules import warmup


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings", validation_fraction=0.1)


def small(corpus):
    return CLLM(CLLMConfig(len(corpus.vocabulary), d_model=12, n_layers=1, n_heads=2, d_ff=8), seed=0)


def test_what_a_file_cannot_hold_is_asked_for(corpus, tmp_path):
    path = tmp_path / "run.safetensors"

    class Mine:
        learning_rate = 0.1

        def step(self, parameters, gradients):
            parameters -= self.learning_rate * gradients

    Trainer(small(corpus), corpus, optimizer=Mine()).save(path)
    with pytest.raises(CheckpointError, match=r"optimiser of its own \(own: Mine\)"):
        Trainer.resume(path, corpus)
    assert type(Trainer.resume(path, corpus, optimizer=Mine()).optimizer) is Mine
    Trainer(small(corpus), corpus, schedule=lambda step: 0.5).save(path)
    with pytest.raises(CheckpointError, match="schedule of its own"):
        Trainer.resume(path, corpus)
    assert Trainer.resume(path, corpus, schedule=lambda step: 0.5).schedule(3) == 0.5
    Trainer(small(corpus), corpus, schedule=warmup(3)).save(path)
    for own, words in (({"schedule": warmup(3)}, "brings its schedule along"), ({"optimizer": Mine()}, "brings its optimiser along")):
        with pytest.raises(CheckpointError, match=words):
            Trainer.resume(path, corpus, **own)


# Another text


def test_another_text_is_told_from_another_vocabulary(corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    Trainer(small(corpus), corpus).save(path)
    with pytest.raises(CheckpointError, match="part at id 2: .* there, .* here"):
        Trainer.resume(path, load_corpus("prose", vocab_size=280))
    with pytest.raises(CheckpointError, match="another text than 'sayings', or with another part held out"):
        Trainer.resume(path, load_corpus("sayings", validation_fraction=0.2))
    with pytest.raises(CheckpointError, match="knows 280 words, 'sayings' has 100, and they part at id 100: .* there, no word here"):
        Trainer.resume(path, load_corpus("sayings", vocab_size=100))


def test_a_text_that_became_shorter_keeps_a_part_to_train_on(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("one two three four five " * 60, encoding="utf-8")
    long = load_corpus(text, validation_fraction=0.5)
    Trainer(small(long), long, batch_size=1).save(tmp_path / "run.safetensors")
    text.write_text("one two three four five " * 20, encoding="utf-8")
    state = load_checkpoint(tmp_path / "run.safetensors")[1]
    assert state.n_validation == 150
    assert corpus_of(state).n_validation == 90
    assert corpus_of(state).vocabulary == long.vocabulary


# Hooks


def clip_by_value(trainer):
    np.clip(trainer.model.flat_gradients, -1e-3, 1e-3, out=trainer.model.flat_gradients)


class Noise:
    """The same at a step, whenever that is."""

    def __call__(self, trainer):
        gradients = trainer.model.flat_gradients
        gradients += 1e-3 * np.random.default_rng(trainer.steps).standard_normal(gradients.size)


def test_a_run_with_hooks_goes_on_with_the_same_hooks(corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    straight, broken = (Trainer(small(corpus), corpus, hooks=[clip_by_value, Noise()]) for _ in range(2))
    straight.fit(steps=14)
    broken.fit(steps=9)
    broken.save(path)
    assert load_checkpoint(path)[1].hooks == ("clip_by_value", "Noise")
    resumed = Trainer.resume(path, corpus, hooks=[clip_by_value, Noise()])
    resumed.fit(steps=5)
    assert resumed.history == straight.history
    np.testing.assert_array_equal(resumed.model.flat_parameters, straight.model.flat_parameters)


@pytest.mark.parametrize(
    ("hooks", "here"),
    [
        ([], "none"),
        ([clip_by_value], "clip_by_value"),
        ([Noise(), clip_by_value], "Noise, clip_by_value"),
        ([print, Noise()], "print, Noise"),
    ],
    ids=["none", "one of them", "in another order", "another one"],
)
def test_other_hooks_are_told(corpus, tmp_path, hooks, here):
    path = tmp_path / "run.safetensors"
    Trainer(small(corpus), corpus, hooks=[clip_by_value, Noise()]).save(path)
    with pytest.raises(
        CheckpointError, match=f"was trained with the hooks clip_by_value, Noise, .*here there are {here}: give the same ones"
    ):
        Trainer.resume(path, corpus, hooks=hooks)


def test_a_run_without_hooks_takes_none(corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    Trainer(small(corpus), corpus).save(path)
    with pytest.raises(CheckpointError, match="was trained without hooks: leave them out, or start a new Trainer with its model"):
        Trainer.resume(path, corpus, hooks=[print])
    with pytest.raises(ValueError, match="hooks is one function: give a list of them"):
        Trainer.resume(path, corpus, hooks=print)
    assert Trainer.resume(path, corpus, hooks=[]).hooks == ()
