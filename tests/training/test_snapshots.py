"""Going back, and a copy going on, are the run that was never interrupted, to the last bit."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.text.tasks import AssociativeRecall
from cllm_lib.training import LaplacianRegularizer
from cllm_lib.training.optimizers import OPTIMIZERS, SGD
from cllm_lib.training.schedules import warmup_cosine

CORPUS = load_corpus("sayings", validation_fraction=0.1)  # 8 batches an epoch


class WithoutState:
    """An optimiser of one's own: heavy ball, which remembers and has no `state()` to say so."""

    def __init__(self, learning_rate=0.05):
        self.learning_rate, self.velocity, self.taken = learning_rate, None, []

    def step(self, parameters, gradients):
        self.velocity = gradients.copy() if self.velocity is None else 0.9 * self.velocity + gradients
        self.taken.append(float(np.abs(self.velocity).max()))
        parameters -= self.learning_rate * self.velocity


class KnowsTheModel:
    """An optimiser that holds the model, and arrays of it: a smaller rate for the embedding."""

    def __init__(self, model):
        self.model, self.embedding, self.learning_rate = model, model.gradients["embedding"], 0.1

    def step(self, parameters, gradients):
        self.embedding *= 0.5
        self.model.flat_parameters -= self.learning_rate * self.model.flat_gradients


def clip_by_value(trainer):
    np.clip(trainer.model.flat_gradients, -1e-2, 1e-2, out=trainer.model.flat_gradients)


OWN = {
    "without state": lambda model: WithoutState(),
    "knows the model": KnowsTheModel,
    "of the museum": lambda model: defects.OnlyEmbeddings(model, SGD(0.1)),
}
KINDS = [*OPTIMIZERS, *OWN]
RUNS = {
    "plain": {},
    "schedule and clip": {"schedule": warmup_cosine(5, 40), "clip_norm": 0.05},
    "in parts, random windows": {"batch_size": 6, "accumulate": 3, "windows": "random"},
    "with a hook": {"hooks": [clip_by_value]},
    "with a regularizer": {"regularizer": LaplacianRegularizer(np.ones((len(CORPUS.vocabulary),) * 2), 1e-3)},
}


def trainer_of(kind="adam", attention=None, dtype="float64", **settings):
    config = CLLMConfig(len(CORPUS.vocabulary), d_model=8, n_layers=1, n_heads=2, d_ff=8, dtype=dtype)
    model = CLLM(config, seed=0, attention=attention)
    return Trainer(model, CORPUS, optimizer=OWN[kind](model) if kind in OWN else kind, seed=3, **settings)


def inner(optimizer):
    """What an optimiser holds, but for the model."""
    held = {name: value for name, value in vars(optimizer).items() if name not in ("model", "embedding")}
    return {name: inner(value) if hasattr(value, "step") else value for name, value in held.items()}


def assert_same(one, other):
    assert one.history == other.history
    assert (one.steps, one.place, one.run_ends) == (other.steps, other.place, other.run_ends)
    for name in ("gradient_norm", "learning_rate", "penalty"):
        np.testing.assert_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.model.flat_parameters, other.model.flat_parameters)
    np.testing.assert_array_equal(one.model.flat_gradients, other.model.flat_gradients)
    np.testing.assert_equal(inner(one.optimizer), inner(other.optimizer))
    assert (one.best is None) == (other.best is None)
    if one.best is not None:
        assert (one.best.step, one.best.loss) == (other.best.step, other.best.loss)
        np.testing.assert_array_equal(one.best.parameters, other.best.parameters)


def on(trainer, steps):
    """The same trainer, some steps on; 0 are allowed."""
    for _ in range(steps):
        trainer.fit(steps=1)
    return trainer


def went(steps, kind, **settings):
    """A trainer that was never interrupted."""
    return on(trainer_of(kind, **settings), steps)


def assert_same_snapshots(one, other):
    for name in ("parameters", "gradients", "place", "counters"):
        np.testing.assert_equal(getattr(one, name), getattr(other, name))
    assert one.history == other.history
    np.testing.assert_equal(inner(one.optimizer), inner(other.optimizer))
    np.testing.assert_equal(vars(one.best) if one.best else None, vars(other.best) if other.best else None)


RUN = {
    "kind": st.sampled_from(KINDS),
    "run": st.sampled_from(sorted(RUNS)),
    "before": st.integers(0, 12),
    "after": st.integers(1, 12),
    "evaluate_every": st.sampled_from([None, 1, 3]),
}
few = settings(max_examples=settings().max_examples // 2)


@few
@given(**RUN, elsewhere=st.integers(1, 9))
@pytest.mark.filterwarnings("ignore:the warm-up takes:UserWarning")
def test_going_back_and_on_again_is_the_run_that_was_never_interrupted(kind, run, before, after, evaluate_every, elsewhere):
    options = RUNS[run] | {"evaluate_every": evaluate_every}
    there, straight = went(before, kind, **options), went(before + after, kind, **options)
    trainer = went(before, kind, **options)
    model, snapshot = trainer.model, trainer.snapshot()
    kept = copy.deepcopy(snapshot)
    for steps in (elsewhere, after):
        on(trainer, steps)
        trainer.go_back(snapshot)
        assert_same(trainer, there)
    assert_same(on(trainer, after), straight)
    assert trainer.model is model
    assert_same_snapshots(snapshot, kept)


DUPLICATES = {"deepcopy": copy.deepcopy, "pickle": lambda trainer: pickle.loads(pickle.dumps(trainer))}


@few
@given(
    **RUN | {"kind": st.sampled_from([kind for kind in KINDS if kind != "knows the model"])}, duplicate=st.sampled_from(sorted(DUPLICATES))
)
@pytest.mark.filterwarnings("ignore:the warm-up takes:UserWarning")
def test_a_copy_goes_on_as_the_original_would_and_does_not_touch_it(kind, run, before, after, evaluate_every, duplicate):
    options = RUNS[run] | {"evaluate_every": evaluate_every}
    there, straight = went(before, kind, **options), went(before + after, kind, **options)
    trainer = went(before, kind, **options)
    other = DUPLICATES[duplicate](trainer)
    assert_same(other, there)
    assert_same(on(other, after), straight)
    assert_same(trainer, there)
    assert_same(on(trainer, after), straight)


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_the_model_of_a_copy_is_another_whose_views_are_tied_to_its_own_buffers(duplicate):
    trainer = went(3, "adam")
    other = DUPLICATES[duplicate](trainer)
    assert other.model is not trainer.model
    for views, flat, foreign in (
        (other.model.parameters, other.model.flat_parameters, trainer.model.flat_parameters),
        (other.model.gradients, other.model.flat_gradients, trainer.model.flat_gradients),
    ):
        assert all(np.shares_memory(view, flat) for view in views.values())
        assert not np.shares_memory(flat, foreign)
    before = trainer.model.flat_parameters.copy()
    other.model.parameters["embedding"][...] = 5.0
    np.testing.assert_array_equal(trainer.model.flat_parameters, before)
    assert (other.model.logits([[1, 2]]) != trainer.model.logits([[1, 2]])).any()


def test_the_optimizer_of_a_copy_knows_the_models_copy():
    class Holds(KnowsTheModel):
        def step(self, parameters, gradients):
            self.model.flat_parameters -= self.learning_rate * gradients

    trainer = trainer_of()
    trainer.optimizer = Holds(trainer.model)
    trainer.fit(steps=2)
    other, before = copy.deepcopy(trainer), trainer.model.flat_parameters.copy()
    assert other.optimizer.model is other.model
    other.fit(steps=2)
    np.testing.assert_array_equal(trainer.model.flat_parameters, before)


def test_after_going_back_an_optimizer_still_knows_the_model_and_its_arrays():
    trainer = trainer_of("knows the model")
    snapshot = trainer.snapshot()
    assert snapshot.optimizer is not trainer.optimizer
    trainer.fit(steps=2)
    trainer.go_back(snapshot)
    assert trainer.optimizer is not snapshot.optimizer
    assert trainer.optimizer.model is trainer.model
    assert trainer.optimizer.embedding is trainer.model.gradients["embedding"]


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_it_can_be_taken_from_within_a_run(place):
    """By a callback: after a step, and between two of them."""
    straight = trainer_of(evaluate_every=3)
    straight.fit(steps=16)
    step, kept = {"first": 1, "middle": 5, "last": 8}[place], []
    trainer = trainer_of(evaluate_every=3)
    trainer.fit(steps=16, callbacks=[lambda trainer: kept.append(trainer.snapshot()) if trainer.steps == step else None])
    trainer.go_back(kept[0])
    assert trainer.steps == step
    trainer.fit(steps=16 - step)
    assert_same(trainer, straight)


def test_a_run_that_diverged_goes_back_to_where_it_was_well():
    trainer, straight = (trainer_of("sgd", learning_rate=0.1) for _ in range(2))
    straight.fit(steps=8)
    trainer.fit(steps=4)
    snapshot = trainer.snapshot()
    trainer.model.flat_parameters[...] = np.nan
    with pytest.raises(FloatingPointError):
        trainer.fit(steps=1)
    trainer.go_back(snapshot)
    trainer.fit(steps=4)
    assert trainer.history == straight.history
    np.testing.assert_array_equal(trainer.model.flat_parameters, straight.model.flat_parameters)


def test_a_schedule_that_stood_still_once_is_remembered():
    """The second 0 in a row that stands still for good is refused; going back must not forget the first."""
    trainer = trainer_of(schedule=lambda step: 0.0)
    batch = next(CORPUS.batches(4, 32, np.random.default_rng(0)))
    snapshot = trainer.snapshot()
    trainer.step(*batch)
    later = trainer.snapshot()
    trainer.go_back(snapshot)
    trainer.step(*batch)
    trainer.go_back(snapshot)
    trainer.go_back(later)
    with pytest.raises(ValueError, match="the schedule gave 0 at steps 0 and 1"):
        trainer.step(*batch)


def test_gradients_that_a_model_adds_up_are_part_of_the_state():
    class NotCleared(CLLM):
        def forward_backward(self, tokens, targets):
            before = self.flat_gradients.copy()
            loss = super().forward_backward(tokens, targets)
            self.flat_gradients[...] += before
            return loss

    def run():
        return Trainer(NotCleared(CLLMConfig(len(CORPUS.vocabulary), d_model=8, n_layers=1, n_heads=2, d_ff=8)), CORPUS)

    straight, trainer = run(), run()
    straight.fit(steps=9)
    trainer.fit(steps=5)
    snapshot = trainer.snapshot()
    trainer.fit(steps=7)
    trainer.go_back(snapshot)
    trainer.fit(steps=4)
    assert trainer.history.losses == straight.history.losses
    np.testing.assert_array_equal(trainer.model.flat_gradients, straight.model.flat_gradients)


def test_a_task_that_draws_as_it_goes_is_gone_back_in_too():
    def run():
        task = AssociativeRecall(3, batches_in_epoch=10)
        config = CLLMConfig(len(task.vocabulary), d_model=8, n_layers=1, n_heads=2, d_ff=8, seq_len=task.seq_len)
        return Trainer(CLLM(config), task)

    straight, trainer = run(), run()
    straight.fit(steps=25)
    trainer.fit(steps=13)
    snapshot, other = trainer.snapshot(), copy.deepcopy(trainer)
    trainer.fit(steps=4)
    trainer.go_back(snapshot)
    for one in (trainer, other):
        one.fit(steps=12)
        assert one.history == straight.history
        np.testing.assert_array_equal(one.model.flat_parameters, straight.model.flat_parameters)


def test_a_generator_of_another_kind_stays_of_its_kind():
    trainer, straight = trainer_of(), trainer_of()
    for one in (trainer, straight):
        one.generator = np.random.Generator(np.random.MT19937(5))
    straight.fit(steps=12)
    trainer.fit(steps=5)
    other = copy.deepcopy(trainer)
    assert type(other.generator.bit_generator) is np.random.MT19937
    other.fit(steps=7)
    assert other.history == straight.history


class Remembers(CausalSelfAttention):
    """A part with something of its own to remember."""

    def __init__(self):
        self.calls = 0

    def forward(self, x, parameters, config):
        self.calls += 1
        return super().forward(x, parameters, config)


def test_parts_of_the_model_and_the_corpus_are_not_taken():
    trainer = trainer_of(attention=Remembers())
    part, corpus = trainer.model.layer.attention, trainer.corpus
    trainer.fit(steps=2)
    snapshot = trainer.snapshot()
    trainer.fit(steps=3)
    trainer.go_back(snapshot)
    assert trainer.model.layer.attention is part
    assert trainer.corpus is corpus
    assert part.calls == 5


@pytest.mark.parametrize(("width", "dtype", "said"), [(10, "float64", "weights in float64"), (8, "float32", "weights in float32")])
def test_one_of_another_model_is_refused_and_nothing_is_changed(width, dtype, said):
    trainer = went(3, "adam")
    config = CLLMConfig(len(CORPUS.vocabulary), d_model=width, n_layers=1, n_heads=2, d_ff=8, dtype=dtype)
    foreign, before = Trainer(CLLM(config), CORPUS).snapshot(), trainer.snapshot()
    size = f"{foreign.parameters.size:,} {said}, and the model {trainer.model.flat_parameters.size:,} in float64"
    with pytest.raises(ValueError, match=f"the snapshot has {size}: go back to one of the same trainer"):
        trainer.go_back(foreign)
    assert_same(trainer, went(3, "adam"))
    assert trainer.place == before.place


def test_a_place_that_the_trainers_epochs_do_not_have_is_refused_and_nothing_is_changed():
    trainer, longer = trainer_of(batch_size=16), went(7, "adam")
    before = trainer.model.flat_parameters.copy()
    with pytest.raises(ValueError, match="position is 7, and an epoch has 2 batches"):
        trainer.go_back(longer.snapshot())
    np.testing.assert_array_equal(trainer.model.flat_parameters, before)
    assert trainer.steps == 0
