import signal
import threading

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.text.corpora import windows
from cllm_lib.training.trainer import TrainingDiverged, validation_loss


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
        rates.append(trainer.optimizer.learning_rate)
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


def test_a_second_interrupt_breaks_off_at_once(corpus):
    trainer = Trainer(small(corpus), corpus)

    def twice(_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
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
    steps = iter([1e-3, np.inf])
    trainer = Trainer(small(corpus), corpus, optimizer="sgd", learning_rate=1.0, schedule=lambda step: next(steps))
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
