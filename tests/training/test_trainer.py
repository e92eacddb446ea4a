import signal
import threading

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.text.corpora import windows
from cllm_lib.text.tasks import AssociativeRecall
from cllm_lib.training.optimizers import SGD
from cllm_lib.training.schedules import cosine, warmup
from cllm_lib.training.trainer import BrokenOff, TrainingDiverged, validation_loss, validation_windows


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings")


def small(corpus, **settings):
    return CLLM(CLLMConfig(len(corpus.vocabulary), **({"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ff": 16} | settings)), seed=0)


def test_history_holds_every_batch_and_each_epochs_mean(corpus):
    history = Trainer(small(corpus), corpus).fit(epochs=3)
    assert len(history.losses) == 27
    np.testing.assert_allclose(history.epoch_losses, np.reshape(history.losses, (3, 9)).mean(axis=1))


def test_twenty_more_is_the_same_as_all_at_once(corpus):
    straight, in_two = Trainer(small(corpus), corpus, seed=4), Trainer(small(corpus), corpus, seed=4)
    straight.fit(epochs=5)
    in_two.fit(epochs=2)
    in_two.fit(epochs=3)
    assert straight.history == in_two.history
    np.testing.assert_array_equal(straight.model.flat_parameters, in_two.model.flat_parameters)


def test_the_loss_reported_is_the_one_before_the_step(corpus):
    model = small(corpus)
    inputs, targets = windows(corpus.tokens[:33], 32)
    before = model.loss(inputs, targets)
    trainer = Trainer(model, corpus, learning_rate=1e-2)
    assert trainer.step(inputs, targets) == before
    assert model.loss(inputs, targets) < before


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam", "adamw"])
def test_every_optimiser_learns(corpus, optimizer):
    rate = 0.5 if optimizer in ("sgd", "momentum") else 1e-2
    losses = Trainer(small(corpus), corpus, optimizer=optimizer, learning_rate=rate).fit(epochs=4).epoch_losses
    assert losses[-1] < losses[0] - 0.1


def test_a_schedule_scales_every_step(corpus):
    model = small(corpus)
    batch = windows(corpus.tokens[:33], 32)
    trainer = Trainer(model, corpus, optimizer="sgd", learning_rate=0.5, schedule=lambda step: [0.0, 1.0, 0.25][step])
    rates, moved = [], []
    for _ in range(3):
        before = model.flat_parameters.copy()
        trainer.step(*batch)
        rates.append(trainer.learning_rate)
        assert trainer.optimizer.learning_rate == 0.5
        moved.append(bool((model.flat_parameters != before).any()))
    assert rates == [0.0, 0.5, 0.125]
    assert moved == [False, True, True]


def test_clipping_limits_an_sgd_step(corpus):
    model = small(corpus)
    start = model.flat_parameters.copy()
    Trainer(model, corpus, optimizer="sgd", learning_rate=1.0, clip_norm=1e-3).step(*windows(corpus.tokens[:33], 32))
    assert np.linalg.norm(model.flat_parameters - start) == pytest.approx(1e-3)


@pytest.mark.parametrize("parts", [2, 4, 5, 6])  # 4 and 5 cut a batch of 6 into unequal parts
def test_an_accumulated_batch_makes_the_same_step(corpus, parts):
    whole, cut = (Trainer(small(corpus), corpus, optimizer="sgd", learning_rate=0.1, batch_size=6, accumulate=n) for n in (1, parts))
    start = whole.model.flat_parameters.copy()
    np.testing.assert_allclose(cut.fit(epochs=1).losses, whole.fit(epochs=1).losses, rtol=1e-12)
    np.testing.assert_allclose(cut.model.flat_gradients, whole.model.flat_gradients, rtol=0, atol=1e-14)
    np.testing.assert_allclose(cut.model.flat_parameters, whole.model.flat_parameters, rtol=0, atol=1e-14)
    assert np.abs(whole.model.flat_parameters - start).max() > 1e-3


def test_a_batch_is_read_in_as_many_parts_as_asked_for(corpus, monkeypatch):
    model, rows = small(corpus), []
    forward_backward = model.forward_backward
    monkeypatch.setattr(model, "forward_backward", lambda inputs, targets: rows.append(len(inputs)) or forward_backward(inputs, targets))
    Trainer(model, corpus, batch_size=6, accumulate=4).step(*windows(corpus.tokens[: 6 * 32 + 1], 32))
    assert rows == [2, 2, 1, 1]


def test_patterns_are_learnt_to_the_best_reachable_loss():
    patterns = load_corpus("patterns", validation_fraction=0.1)
    config = CLLMConfig(len(patterns.vocabulary), d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=10, dtype="float32")
    model = CLLM(config, seed=0)
    Trainer(model, patterns, learning_rate=1e-3, batch_size=32).fit(epochs=30)  # at 3e-3 one seed of six gets stuck
    reached = model.loss(*windows(patterns.validation_tokens, 10))
    assert patterns.best_loss == pytest.approx(0.831777, abs=1e-6)
    assert patterns.best_loss - 1e-3 < reached < patterns.best_loss + 0.03


def test_progress_is_drawn_only_when_asked_for(corpus, capsys):
    Trainer(small(corpus), corpus).fit(epochs=1)
    assert capsys.readouterr() == ("", "")
    Trainer(small(corpus), corpus).fit(epochs=1, progress=True)
    assert "9/9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"optimizer": "adma"}, "unknown optimizer 'adma'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 39}, "only 38 training sequences of 32 tokens"),
        ({"clip_norm": -1}, "clip_norm is -1"),
        ({"clip_norm": 0}, "clip_norm is 0: .*a limit of 0 lets no gradient through, and None means no limit"),
        ({"clip_norm": float("inf")}, "clip_norm is inf"),
        ({"schedule": "cosine"}, r"give schedule=cosine\(total\)"),
        ({"optimizer": SGD}, "optimizer is the class SGD itself: give one of its objects"),
        ({"optimizer": SGD(0.1), "learning_rate": 1e-3}, "learning_rate is 0.001, and the optimizer, SGD, has its own, 0.1"),
        ({"optimizer": None}, "optimizer is None, without step"),
        ({"regularizer": 0.01}, "regularizer is 0.01, without penalty and add_gradients"),
        ({"windows": "sliding"}, "unknown windows 'sliding': choose one of 'disjoint', 'random'"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"accumulate": 5}, "accumulate is 5, and a batch has only 4 sequences"),
    ],
)
def test_bad_settings_get_a_clear_error(corpus, settings, words):
    with pytest.raises(ValueError, match=words):
        Trainer(small(corpus), corpus, **settings)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"steps": 0}, "steps is 0"),
        ({}, "give exactly one of them"),
        ({"epochs": 1, "steps": 1}, "give exactly one of them"),
    ],
)
def test_bad_lengths_get_a_clear_error(corpus, asked, words):
    with pytest.raises(ValueError, match=words):
        Trainer(small(corpus), corpus).fit(**asked)


def assert_equal_runs(one, other):
    assert one.history == other.history
    assert one.steps == other.steps
    np.testing.assert_array_equal(one.model.flat_parameters, other.model.flat_parameters)


def test_in_steps_or_in_epochs_it_is_the_same_run(corpus):
    by_epochs, by_steps = Trainer(small(corpus), corpus, seed=4), Trainer(small(corpus), corpus, seed=4)
    by_epochs.fit(epochs=3)
    by_steps.fit(steps=13)
    assert len(by_steps.history.epoch_losses) == 1
    by_steps.fit(epochs=1)  # the rest of the second epoch
    assert by_steps.steps == 18
    by_steps.fit(steps=9)
    assert_equal_runs(by_epochs, by_steps)


def test_every_step_is_on_record(corpus):
    trainer = Trainer(small(corpus), corpus, optimizer="sgd", learning_rate=0.5, schedule=lambda step: 1 / (1 + step), clip_norm=0.1)
    history = trainer.fit(steps=11)
    assert history.epochs == [1] * 9 + [2] * 2
    np.testing.assert_allclose(history.learning_rates, 0.5 / np.arange(1, 12, dtype=np.int64))
    assert min(history.gradient_norms) > 0.1  # the lengths before clipping


def test_a_callback_sees_every_step_and_can_stop(corpus):
    seen = []

    def watch(trainer):
        seen.append((trainer.steps, len(trainer.history.losses)))
        if trainer.steps == 5:
            trainer.stop()

    trainer = Trainer(small(corpus), corpus, seed=4)
    trainer.fit(epochs=3, callbacks=[watch])
    assert seen == [(step, step) for step in range(1, 6)]
    trainer.fit(steps=22)
    straight = Trainer(small(corpus), corpus, seed=4)
    straight.fit(epochs=3)
    assert_equal_runs(straight, trainer)


def test_a_loop_of_ones_own_can_leave_and_come_back(corpus):
    trainer = Trainer(small(corpus), corpus, seed=4)
    for loss in trainer.run(epochs=3):
        assert loss == trainer.history.losses[-1]
        if trainer.steps == 7:
            break
    trainer.fit(steps=20)
    straight = Trainer(small(corpus), corpus, seed=4)
    straight.fit(epochs=3)
    assert_equal_runs(straight, trainer)


@pytest.fixture
def ctrl_c():
    """Ctrl-C is heard, also where these tests run in the background, for which a shell has turned it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_lets_the_step_end_and_is_raised_then(corpus):
    trainer, before = Trainer(small(corpus), corpus, seed=4), signal.getsignal(signal.SIGINT)
    step, interrupted = trainer.optimizer.step, []

    def interrupted_in_its_third_step(parameters, gradients):
        if trainer.steps == 3 and not interrupted:
            interrupted.append(True)
            signal.raise_signal(signal.SIGINT)
        step(parameters, gradients)

    trainer.optimizer.step = interrupted_in_its_third_step
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(epochs=3)
    assert signal.getsignal(signal.SIGINT) is before
    assert (trainer.steps, len(trainer.history.losses)) == (3, 3)
    trainer.fit(steps=24)
    straight = Trainer(small(corpus), corpus, seed=4)
    straight.fit(epochs=3)
    assert_equal_runs(straight, trainer)


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_interrupt_breaks_off_at_once(corpus):
    trainer = Trainer(small(corpus), corpus)

    def twice(_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(BrokenOff):
        trainer.fit(epochs=1, callbacks=[twice])


def test_it_trains_in_a_thread_too(corpus):
    trainer = Trainer(small(corpus), corpus)
    thread = threading.Thread(target=trainer.fit, kwargs={"steps": 3})
    thread.start()
    thread.join()
    assert trainer.steps == 3


@pytest.fixture(scope="module")
def held_out():
    return load_corpus("sayings", validation_fraction=0.1)


def test_validation_is_measured_every_so_many_steps_and_the_best_model_is_kept(held_out):
    trainer = Trainer(small(held_out), held_out, learning_rate=0.05, evaluate_every=4)
    weights = {}
    history = trainer.fit(steps=30, callbacks=[lambda t: weights.__setitem__(t.steps, t.model.flat_parameters.copy())])
    assert list(history.validation_losses) == [4, 8, 12, 16, 20, 24, 28]
    best = min(history.validation_losses, key=history.validation_losses.get)
    assert (trainer.best.step, trainer.best.loss) == (best, history.validation_losses[best])
    assert best < 28  # this rate over-fits
    trainer.restore_best()
    np.testing.assert_array_equal(trainer.model.flat_parameters, weights[best])
    assert validation_loss(trainer.model, held_out) == history.validation_losses[best]


def test_validation_loss_is_the_mean_over_all_held_out_sequences(held_out):
    model = small(held_out)
    assert validation_loss(model, held_out, rows=2) == pytest.approx(model.loss(*windows(held_out.validation_tokens, 32)), rel=1e-12)


class OwnCorpus:
    """A reader's own: what a trainer asks for, and no more."""

    def __init__(self, corpus):
        self.corpus, self.name, self.vocabulary, self.validation_tokens = corpus, "mine", corpus.vocabulary, corpus.validation_tokens

    def batches_per_epoch(self, batch_size, seq_len):
        return self.corpus.batches_per_epoch(batch_size, seq_len)

    def batches(self, batch_size, seq_len, generator):
        return self.corpus.batches(batch_size, seq_len, generator)


class OwnPairs(OwnCorpus):
    """And one that does something to its pairs."""

    def pair(self, inputs, targets):
        return targets, inputs


def test_a_corpus_of_ones_own_need_not_know_of_pairs(held_out):
    own = OwnCorpus(held_out)
    for array, expected in zip(validation_windows(own, 32), windows(held_out.validation_tokens, 32), strict=True):
        np.testing.assert_array_equal(array, expected)
    runs = [Trainer(small(held_out), corpus, evaluate_every=3) for corpus in (own, held_out)]
    assert runs[0].fit(steps=10) == runs[1].fit(steps=10)


def test_what_a_corpus_does_to_its_pairs_is_done_to_what_is_held_out(held_out):
    inputs, targets = validation_windows(held_out, 32)
    swapped = validation_windows(OwnPairs(held_out), 32)
    np.testing.assert_array_equal(swapped[0], targets)
    np.testing.assert_array_equal(swapped[1], inputs)
    model = small(held_out)
    assert validation_loss(model, OwnPairs(held_out)) == pytest.approx(model.loss(targets, inputs), rel=1e-12)


def test_patience_ends_a_run_that_no_longer_improves(held_out):
    trainer = Trainer(small(held_out), held_out, learning_rate=0.05, evaluate_every=2, patience=3)
    history = trainer.fit(epochs=50)
    assert trainer.steps == trainer.best.step + 3 * 2
    assert min(history.validation_losses.values()) == trainer.best.loss


def test_evaluating_changes_nothing(held_out):
    plain, watched = Trainer(small(held_out), held_out), Trainer(small(held_out), held_out, evaluate_every=3)
    assert plain.fit(steps=20).losses == watched.fit(steps=20).losses


def test_what_needs_a_held_out_part_says_so(corpus, held_out):
    with pytest.raises(ValueError, match="'sayings' holds 0 tokens out.*validation_fraction"):
        Trainer(small(corpus), corpus, evaluate_every=3)
    with pytest.raises(ValueError, match="patience counts evaluations"):
        Trainer(small(held_out), held_out, patience=3)
    with pytest.raises(ValueError, match="no best model yet"):
        Trainer(small(held_out), held_out).restore_best()


def test_a_step_that_spoils_the_weights_is_named_with_its_tensors(corpus):
    steps = iter([1e-3, 1e300])
    trainer = Trainer(small(corpus), corpus, optimizer="sgd", learning_rate=1e10, schedule=lambda step: next(steps))
    with np.errstate(all="ignore"), pytest.raises(TrainingDiverged) as error:
        trainer.fit(epochs=1)
    assert "the loss is nan in step 3: step 2 left numbers that are not finite in embedding" in str(error.value)
    assert "This run has saved no checkpoint" in str(error.value)
    assert len(trainer.history.losses) == trainer.steps == 2


def test_weights_spoilt_before_the_first_step_are_named(corpus):
    model = small(corpus)
    model.parameters["layers.0.feed_forward.expand_bias"][3] = np.nan
    with pytest.raises(TrainingDiverged, match=r"in step 1: .*stood in layers.0.feed_forward.expand_bias before the first step"):
        Trainer(model, corpus).fit(epochs=1)


@pytest.mark.parametrize(
    ("tensor", "where"),
    [("layers.0.feed_forward.contract_weight", "layer 0"), ("embedding", "layer 0"), ("layers.1.feed_forward_norm.gain", "the output")],
)
def test_finite_weights_that_overflow_are_traced_to_the_place(corpus, tensor, where):
    model = small(corpus, dtype="float32", n_layers=2)
    model.parameters[tensor][...] = {"embedding": 1e25, "layers.1.feed_forward_norm.gain": 8e37}.get(tensor, 3e38)
    if where == "the output":
        model.parameters["embedding"] *= 1e3
    with np.errstate(all="ignore"), pytest.raises(TrainingDiverged, match=f"overflows in {where}"):
        Trainer(model, corpus).fit(epochs=1)


def test_a_run_that_may_blow_up_goes_on_to_its_end(corpus):
    with np.errstate(all="ignore"):
        history = Trainer(small(corpus), corpus, optimizer="sgd", learning_rate=1e200, stop_when_not_finite=False).fit(epochs=1)
    assert len(history.losses) == 9
    assert np.isnan(history.losses[-1])


def test_a_museum_piece_that_overflows_is_named_like_any_other(corpus):
    config = CLLMConfig(len(corpus.vocabulary), d_model=64, n_layers=6, n_heads=8, d_ff=64, dtype="float32")
    with np.errstate(all="ignore"), pytest.raises(TrainingDiverged, match="the loss is nan in step 3"):
        Trainer(defects.half_repaired(config), corpus, optimizer="sgd").fit(epochs=1)


def test_a_corpus_with_more_words_than_the_model_is_refused(corpus):
    with pytest.raises(ValueError, match="uses 280 ids, the model knows 50"):
        Trainer(CLLM(CLLMConfig(50)), corpus)


def test_a_text_shorter_than_a_sequence_is_refused(tmp_path):
    (tmp_path / "short.txt").write_text("one two three", encoding="utf-8")
    corpus = load_corpus(tmp_path / "short.txt")
    with pytest.raises(ValueError, match="the text has 3 tokens; one sequence of 32 and its last target need 33"):
        Trainer(small(corpus), corpus)


# What would stop a training without a word


@pytest.mark.parametrize("given", [{}, {"learning_rate": 0.25}])
def test_an_optimiser_brings_its_rate_and_the_same_one_may_be_said_again(corpus, given):
    trainer = Trainer(small(corpus), corpus, optimizer=SGD(0.25), **given)
    assert trainer.fit(steps=2).learning_rates == [0.25, 0.25]


def test_without_a_rate_a_name_gets_a_thousandth(corpus):
    assert Trainer(small(corpus), corpus).fit(steps=1).learning_rates == [1e-3]


@pytest.mark.parametrize("schedule", [lambda step: 0, lambda step: step // 1000, cosine(1)])
def test_a_schedule_that_stays_at_zero_is_refused(corpus, schedule):
    trainer = Trainer(small(corpus), corpus, schedule=schedule)
    with pytest.raises(ValueError, match=r"the schedule gave 0 at steps \d and \d, and gives nothing else before step 9"):
        trainer.fit(epochs=1)


def test_a_schedule_may_be_zero_for_a_while(corpus):
    trainer = Trainer(small(corpus), corpus, learning_rate=1.0, schedule=lambda step: [0, 0, 0, 1, 0][step])
    assert trainer.fit(steps=5).learning_rates == [0.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("factor", [-1.0, float("nan"), None, "1"])
def test_what_is_no_factor_changes_nothing(corpus, factor):
    optimizer, model = SGD(0.25), small(corpus)
    before = model.flat_parameters.copy()
    with pytest.raises(ValueError, match="the schedule gave .* at step 0"):
        Trainer(model, corpus, optimizer=optimizer, schedule=lambda step: factor).fit(steps=3)
    np.testing.assert_array_equal(model.flat_parameters, before)
    assert optimizer.learning_rate == 0.25


class Breaking(SGD):
    def step(self, parameters, gradients):
        raise RuntimeError("no step")


def test_after_a_run_the_optimiser_has_its_own_rate_again(corpus):
    optimizer = SGD(0.25)
    trainer = Trainer(small(corpus), corpus, optimizer=optimizer, schedule=cosine(20, 0.1))
    trainer.fit(steps=15)
    assert optimizer.learning_rate == trainer.base_rate == 0.25
    assert trainer.learning_rate == trainer.history.learning_rates[-1] == pytest.approx(0.25 * cosine(20, 0.1)(14))
    next(trainer.run(steps=3))
    assert optimizer.learning_rate == 0.25
    optimizer.learning_rate = 0.5  # what the reader sets between two runs counts
    trainer.fit(steps=1)
    assert trainer.learning_rate == pytest.approx(0.5 * cosine(20, 0.1)(16))
    broken = Breaking(0.25)
    with pytest.raises(RuntimeError):
        Trainer(small(corpus), corpus, optimizer=broken, schedule=cosine(20)).fit(steps=3)
    assert broken.learning_rate == 0.25


def test_a_run_shorter_than_its_warm_up_is_warned_of(corpus):
    trainer = Trainer(small(corpus), corpus, schedule=warmup(10))
    with pytest.warns(UserWarning, match="takes 10 steps, and this run ends at step 5: .* further than 0.5"):
        trainer.fit(steps=5)
    trainer.fit(steps=5)  # now it ends with it


class ReturnsNew:
    def step(self, parameters, gradients):
        return parameters - 0.1 * gradients


def test_an_optimiser_that_does_not_work_in_place_is_refused(corpus):
    with pytest.raises(ValueError, match="step of ReturnsNew returned an array, which nobody reads: change parameters in place"):
        Trainer(small(corpus), corpus, optimizer=ReturnsNew()).fit(steps=1)


def test_one_callback_is_given_in_a_list(corpus):
    with pytest.raises(ValueError, match=r"callbacks is one function: give a list of them, callbacks=\[...\]"):
        Trainer(small(corpus), corpus).fit(steps=1, callbacks=print)
    trainer = Trainer(small(corpus), corpus)
    with pytest.raises(ValueError, match=r"callbacks\[1\] is None, which cannot be called"):
        trainer.fit(steps=1, callbacks=[lambda trainer: None, None])
    assert trainer.steps == 0  # said before the first step


def test_numbers_too_long_for_a_square_are_clipped_to_the_length(corpus):
    model = small(corpus, dtype="float32")
    before, loss = model.flat_parameters.copy(), model.forward_backward

    def long_gradient(inputs, targets):
        found = loss(inputs, targets)
        model.flat_gradients[...] *= 1e25
        return found

    model.forward_backward = long_gradient
    trainer = Trainer(model, corpus, optimizer="sgd", learning_rate=1.0, clip_norm=0.5)
    trainer.fit(steps=1)
    assert np.linalg.norm(model.flat_parameters - before) == pytest.approx(0.5, rel=1e-5)
    assert 1e24 < trainer.gradient_norm < 1e30


# Windows


def test_random_windows_are_other_batches_and_as_many(corpus):
    cut, drawn = (Trainer(small(corpus), corpus, windows=kind) for kind in ("disjoint", "random"))
    assert cut.batches_per_epoch == drawn.batches_per_epoch
    assert len(drawn.fit(epochs=2).epoch_losses) == 2
    assert cut.fit(epochs=2).losses != drawn.history.losses


def test_a_task_has_no_random_windows():
    task = AssociativeRecall(n_pairs=2)
    model = CLLM(CLLMConfig(len(task.vocabulary), d_model=8, n_heads=2, d_ff=8, seq_len=task.seq_len))
    with pytest.raises(ValueError, match="windows is 'random', and .* is no text to cut at random places"):
        Trainer(model, task, windows="random")


def test_where_interrupts_are_turned_off_they_stay_off():
    """As for a program that a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        corpus = load_corpus("sayings")
        trainer = Trainer(CLLM(CLLMConfig(len(corpus.vocabulary), d_model=8, n_layers=1, n_heads=2, d_ff=8)), corpus)
        trainer.fit(steps=2, callbacks=[lambda trainer: signal.raise_signal(signal.SIGINT)])
        assert trainer.steps == 2
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
