"""The dashboard without a browser: its buttons pressed from a loop like the kernel's."""

import asyncio
import signal
import threading
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from workbook.in_a_loop import in_a_loop, until, words

from cllm_lib import CLLM, Trainer, load_corpus
from cllm_lib.instruments.diagnosis import NOTHING_WRONG, Movement, examine, movements
from cllm_lib.training.checkpoint import load_checkpoint
from cllm_lib.training.history import History
from cllm_lib.workbook.widgets import dashboard as dashboard_module
from cllm_lib.workbook.widgets import pictures, training_dashboard

TINY = {"d_model": 12, "n_layers": 2, "n_heads": 2, "d_ff": 8, "dtype": "float64"}


def test_before_start_there_is_nothing():
    threads = threading.active_count()
    dashboard = training_dashboard()
    assert dashboard.trainer is None
    assert dashboard.task is None
    assert threading.active_count() == threads
    assert "no model, no thread, no cache" in words(dashboard.status)
    assert (dashboard.start.disabled, dashboard.stop.disabled, dashboard.save.disabled) == (False, True, True)


def test_it_trains_to_the_end_and_leaves_the_model():
    async def action():
        dashboard = training_dashboard(epochs=5, learning_rate=0.01, **TINY)
        dashboard.start.click()
        assert dashboard.start.disabled
        assert dashboard.epochs.disabled
        await until(lambda: dashboard.task is None)
        history = dashboard.trainer.history
        assert history.epoch_losses[-1] < history.epoch_losses[0] - 0.3
        assert len(history.validation_losses) == 5
        assert "Done: 40 steps" in words(dashboard.status)
        assert dashboard.bar.value == 1.0
        assert "After step 40 it says: the sky is" in words(dashboard.sample)
        assert not dashboard.start.disabled
        straight = Trainer(type(dashboard.trainer.model)(dashboard.trainer.model.config), dashboard.trainer.corpus, learning_rate=0.01)
        assert straight.fit(epochs=5).losses == history.losses

    in_a_loop(action)


def test_it_trains_todays_layers():
    async def action():
        others = dict(norm="rms", norm_first=True, feed_forward="swiglu", n_kv_heads=1, positions="rotary", rope_pairs="halves")
        dashboard = training_dashboard(epochs=1, **TINY, **others)
        dashboard.start.click()
        await until(lambda: dashboard.task is None)
        assert "Done: 8 steps" in words(dashboard.status)
        config = dashboard.trainer.model.config
        assert {name: getattr(config, name) for name in others} == others
        assert "After step 8 it says: the sky is" in words(dashboard.sample)

    in_a_loop(action)


def test_stop_answers_at_once_and_leaves_a_usable_model():
    async def action():
        dashboard = training_dashboard(texts=("prose",), epochs=500, d_model=64)
        dashboard.start.click()
        await until(lambda: dashboard.trainer.steps > 30)
        at = dashboard.trainer.steps
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)
        assert dashboard.trainer.steps <= at + 1  # a step that was begun ends
        assert "Stopped after" in words(dashboard.status)
        assert np.isfinite(dashboard.trainer.model.logits([[1, 2, 3]])).all()

    in_a_loop(action)


def test_others_work_while_it_trains():
    async def action():
        dashboard = training_dashboard(epochs=500, **TINY)
        dashboard.start.click()
        turns = []
        for _ in range(20):
            await asyncio.sleep(0.01)
            turns.append(dashboard.trainer.steps)
        assert len(set(turns)) > 3
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)

    in_a_loop(action)


def test_pause_holds_and_goes_on():
    async def action():
        dashboard = training_dashboard(epochs=5, **TINY)
        dashboard.start.click()
        await until(lambda: dashboard.trainer.steps > 5)
        dashboard.pause.click()
        await asyncio.sleep(0.15)
        held = dashboard.trainer.steps
        assert dashboard.pause.description == "GO ON"
        await asyncio.sleep(0.2)
        assert dashboard.trainer.steps == held
        assert "Paused after step" in words(dashboard.status)
        dashboard.pause.click()
        await until(lambda: dashboard.task is None)
        assert dashboard.trainer.steps == 40

    in_a_loop(action)


def test_a_paused_run_can_be_stopped():
    async def action():
        dashboard = training_dashboard(epochs=500, **TINY)
        dashboard.start.click()
        await until(lambda: dashboard.trainer.steps > 1)
        dashboard.pause.click()
        await asyncio.sleep(0.2)
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)

    in_a_loop(action)


def test_saved_and_loaded_it_goes_on_where_it_was(tmp_path):
    path = str(tmp_path / "run.safetensors")

    async def action():
        first = training_dashboard(epochs=2, file=path, texts=("sayings", "patterns"), batch_size=32, **TINY)
        first.start.click()
        await until(lambda: first.trainer.steps > 10)
        first.stop.click()
        await until(lambda: first.task is None)
        first.save.click()
        stopped = first.trainer.steps
        assert f"Saved after step {stopped}, in {path}" in words(first.saved)
        second = training_dashboard(epochs=1, file=path)
        second.load.click()
        assert f"Loaded: {stopped} steps on sayings + patterns" in words(second.status)
        assert f"Loss after {stopped:,} steps" in second.curves.value
        second.start.click()
        await until(lambda: second.task is None)
        straight = Trainer(
            type(first.trainer.model)(first.trainer.model.config),
            first.trainer.corpus,
            batch_size=32,
            learning_rate=3e-3,
            evaluate_every=first.trainer.evaluate_every,
        )
        straight.fit(steps=second.trainer.steps)
        assert second.trainer.history == straight.history

    in_a_loop(action)


def test_it_names_zeros_within_one_batch():
    async def action():
        dashboard = training_dashboard(init="zeros", **TINY)
        dashboard.start.click()
        await until(lambda: dashboard.verdict.value)
        assert words(dashboard.verdict) == "Examined at step 1: Every weight is exactly zero: the initialisation never reached them."
        await until(lambda: dashboard.parts.value)
        assert "embedding all 0, gradient 0.0e+00" in dashboard.parts.value
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)

    in_a_loop(action)


def test_a_healthy_run_is_called_healthy_though_its_first_gradients_are_above_1():
    async def action():
        dashboard = training_dashboard(texts=("prose",), epochs=500)
        dashboard.start.click()
        await until(lambda: dashboard.verdict.value)
        assert words(dashboard.verdict) == f"Examined at step 1: {NOTHING_WRONG}"
        trainer = dashboard.trainer
        batch = next(trainer.corpus.batches(trainer.batch_size, 32, np.random.default_rng(0)))
        assert "would clip" in examine(CLLM(trainer.model.config), *batch).advice
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)

    in_a_loop(action)


def test_movements_are_measured_for_a_picture_and_not_in_between(monkeypatch):
    measured = []
    monkeypatch.setattr(dashboard_module, "REDRAW", 1e9)
    monkeypatch.setattr(dashboard_module, "movements", lambda *given: measured.append(given) or movements(*given))

    async def action():
        dashboard = training_dashboard(epochs=500, **TINY)
        dashboard.start.click()
        await until(lambda: dashboard.trainer is not None and dashboard.trainer.steps > 10)
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)
        assert len(measured) == 1
        assert "embedding" in dashboard.parts.value

    in_a_loop(action)


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda d: setattr(d.texts["sayings"], "value", False), "no text is chosen"),
        (lambda d: setattr(d.files, "value", "nowhere/at all.txt"), "no text file at nowhere/at all.txt"),
        (lambda d: d.sizes.update(n_heads=5), "not divisible"),
        (lambda d: setattr(d.learning_rate, "value", -1.0), "rate is '-1.0': give a number above 0"),
        (lambda d: setattr(d.batch_size, "value", 4_000), "has only"),
        (lambda d: setattr(d.batch_size, "value", 99_999), "batch size is '99999': give a whole number from 1 to 4,096"),
        (lambda d: setattr(d.epochs.text, "value", "1e9"), "epochs is '1e9': give a whole number from 1 to 100,000"),
        (lambda d: setattr(d.epochs.text, "value", ""), "epochs is empty"),
    ],
)
def test_what_keeps_it_from_starting_is_shown(prepare, complaint):
    async def action():
        dashboard = training_dashboard(**TINY)
        prepare(dashboard)
        dashboard.start.click()
        assert dashboard.task is None
        assert complaint in words(dashboard.status)
        assert 'role="alert"' in dashboard.status.value

    in_a_loop(action)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_goes_wrong_while_it_trains_is_shown():
    async def action():
        dashboard = training_dashboard(optimizer="sgd", learning_rate=1.0, epochs=20, **TINY)
        dashboard.start.click()
        dashboard.trainer.base_rate = 1e300
        await until(lambda: dashboard.task is None)
        assert "TrainingDiverged: the loss is nan" in words(dashboard.status)
        assert not dashboard.start.disabled

    in_a_loop(action)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"optimizer": "adma"}, "unknown optimiser 'adma'"),
        ({"epochs": 0}, "epochs is '0': give a whole number from 1 to 100,000"),
        ({"batch_size": 5_000}, "batch size is '5000'"),
        ({"learning_rate": float("nan")}, "rate is 'nan': give a number above 0"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        training_dashboard(**settings)


def test_files_of_ones_own_are_added(tmp_path):
    (tmp_path / "mine ä.txt").write_text("one two three four five six seven eight nine ten " * 20, encoding="utf-8")

    async def action():
        dashboard = training_dashboard(texts=("sayings", str(tmp_path / "mine ä.txt")), epochs=1, **TINY)
        dashboard.start.click()
        await until(lambda: dashboard.task is None)
        assert "seven" in dashboard.trainer.corpus.vocabulary
        assert len(dashboard.trainer.corpus.tokens) == len(load_corpus("sayings").tokens) + 200

    in_a_loop(action)


@pytest.mark.parametrize(("action", "complaint"), [("save", "there is no folder"), ("load", "there is no checkpoint")])
def test_a_place_that_does_not_exist_is_an_answer(action, complaint):
    async def act():
        dashboard = training_dashboard(file="nowhere/at/all.safetensors", epochs=1, **TINY)
        dashboard.start.click()
        await until(lambda: dashboard.task is None)
        getattr(dashboard, action).click()
        assert complaint in words(dashboard.saved if action == "save" else dashboard.status)

    in_a_loop(act)


def test_a_save_in_the_midst_of_a_run_is_a_whole_one(tmp_path):
    path = str(tmp_path / "run.safetensors")

    async def action():
        dashboard = training_dashboard(epochs=500, file=path, **TINY)
        dashboard.start.click()
        for _ in range(5):
            await asyncio.sleep(0.02)
            dashboard.save.click()
            assert load_checkpoint(path)[1].steps == dashboard.trainer.steps
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)

    in_a_loop(action)


def test_pictures_are_well_formed_and_tell_their_numbers():
    history = History(losses=[5.0, 4.0, 3.0, float("nan")], validation_losses={2: 4.5, 4: float("nan")})
    picture = ElementTree.fromstring(pictures.loss_svg(history, 2, {"ln V": 5.63}))
    assert picture.attrib["aria-label"] == "Loss after 4 steps: training 3.000, validation 4.500; known beforehand: ln V 5.63"
    moved = [Movement("embedding", 0.5, 2e-3), Movement("layer 0", 0.0, float("nan")), Movement("output", 1e9, 0.0)]
    picture = ElementTree.fromstring(pictures.movements_svg(moved))
    assert "embedding 2e-03, gradient 5.0e-01; layer 0 all 0, gradient 0.0e+00; output 0e+00" in picture.attrib["aria-label"]
    circles = [float(element.attrib["cx"]) for element in picture.iter() if element.tag == "circle"]
    shaded = next(element for element in picture.iter() if element.tag == "rect").attrib
    assert float(shaded["x"]) < circles[0] < float(shaded["x"]) + float(shaded["width"])
    assert circles[1] < float(shaded["x"])


@pytest.mark.parametrize("losses", [[], [3.0], [1e30, 2.0], list(np.linspace(5, 1, 10_000))])
def test_any_curve_can_be_drawn(losses):
    ElementTree.fromstring(pictures.loss_svg(History(losses=list(losses)), 9, {"ln V": 5.63}))
    steps, means = pictures.thinned(losses, 9)
    assert len(steps) == len(means) <= pictures.POINTS
    assert not losses or steps[-1] == len(losses)


# Files: what SAVE may write over, and what LOAD shows


async def trained(**settings):
    """A dashboard whose run has ended."""
    dashboard = training_dashboard(**{"epochs": 1, "batch_size": 32} | TINY | settings)
    dashboard.start.click()
    await until(lambda: dashboard.task is None)
    return dashboard


@pytest.mark.parametrize(("name", "offered"), [("chapter.ipynb", "chapter.safetensors"), ("other.safetensors", "other-2.safetensors")])
def test_save_spares_what_is_not_its_own_and_offers_another_name(tmp_path, name, offered):
    path = tmp_path / name
    path.write_text("somebody's work", encoding="utf-8")

    async def action():
        dashboard = await trained(file=str(path))
        dashboard.save.click()
        assert path.read_text(encoding="utf-8") == "somebody's work"
        assert f"{path} is there already, and is no checkpoint of this run" in words(dashboard.saved)
        assert 'role="alert"' in dashboard.saved.value
        assert dashboard.file.value == str(tmp_path / offered)
        dashboard.save.click()
        assert load_checkpoint(tmp_path / offered)[1].steps == dashboard.trainer.steps
        dashboard.save.click()  # over its own
        assert (tmp_path / offered).with_suffix(".previous.safetensors").exists()
        assert path.read_text(encoding="utf-8") == "somebody's work"

    in_a_loop(action)


def test_two_dashboards_never_share_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def action():
        first, second = await trained(), await trained(epochs=2)
        for dashboard in (first, second, first, second):
            dashboard.save.click()
            assert "Saved" in words(dashboard.saved)
        assert (first.file.value, second.file.value) == ("dashboard.safetensors", "dashboard-2.safetensors")
        assert load_checkpoint(first.file.value)[1].steps == first.trainer.steps
        second.file.value = first.file.value
        second.save.click()
        assert "is no checkpoint of this run" in words(second.saved)
        assert load_checkpoint("dashboard.safetensors")[1].steps == first.trainer.steps

    in_a_loop(action)


def test_a_new_run_spares_the_checkpoint_of_the_run_before(tmp_path):
    async def action():
        dashboard = await trained(file=str(tmp_path / "run.safetensors"))
        dashboard.save.click()
        dashboard.epochs.value = 2
        dashboard.start.click()
        await until(lambda: dashboard.task is None)
        dashboard.save.click()
        assert "is no checkpoint of this run" in words(dashboard.saved)
        assert load_checkpoint(tmp_path / "run.safetensors")[1].steps < dashboard.trainer.steps

    in_a_loop(action)


def test_load_without_a_name_takes_the_newest_and_goes_on_writing_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def action():
        first = await trained()
        fresh = training_dashboard(**TINY)
        fresh.load.click()
        assert "no checkpoint of a dashboard is in this folder" in words(fresh.status)
        first.save.click()
        fresh.load.click()
        assert fresh.file.value == "dashboard.safetensors"
        assert "Loaded" in words(fresh.status)
        fresh.epochs.value = 1
        fresh.start.click()
        await until(lambda: fresh.task is None)
        fresh.save.click()
        assert "Saved" in words(fresh.saved)

    in_a_loop(action)


def test_after_load_the_fields_show_what_will_run(tmp_path):
    own = tmp_path / "own text.txt"
    own.write_text("one two three four five six seven eight nine ten " * 50, encoding="utf-8")
    settings = dict(texts=("patterns", str(own)), batch_size=16, learning_rate=0.02, optimizer="momentum", schedule="warmup")

    async def action():
        path = str(tmp_path / "run.safetensors")
        saved = await trained(file=path, **settings)
        saved.save.click()
        dashboard = training_dashboard(file=path, epochs=1, **TINY)
        dashboard.load.click()
        shown = (dashboard.batch_size.value, dashboard.learning_rate.value, dashboard.optimizer.value, dashboard.schedule.value)
        assert shown == (16, 0.02, "momentum", "warmup")
        assert [name for name, box in dashboard.texts.items() if box.value] == ["patterns"]
        assert dashboard.files.value == str(own)
        assert dashboard.init.disabled
        dashboard.start.click()
        await until(lambda: dashboard.task is None)
        assert dashboard.trainer.steps == 2 * saved.trainer.steps
        assert dashboard.trainer.batch_size == 16

    in_a_loop(action)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: setattr(d.learning_rate, "value", 0.5),
        lambda d: setattr(d.batch_size, "value", 8),
        lambda d: setattr(d.optimizer, "value", "sgd"),
        lambda d: setattr(d.texts["patterns"], "value", True),
    ],
)
def test_what_was_loaded_is_put_aside_once_a_field_says_something_else(tmp_path, change):
    async def action():
        path = str(tmp_path / "run.safetensors")
        saved = await trained(file=path)
        saved.save.click()
        dashboard = training_dashboard(file=path, epochs=1, **TINY)
        dashboard.load.click()
        loaded = dashboard.trainer
        change(dashboard)
        assert "put aside" in words(dashboard.status)
        assert not dashboard.init.disabled
        dashboard.start.click()
        await until(lambda: dashboard.task is None)
        assert dashboard.trainer is not loaded
        assert dashboard.trainer.base_rate == dashboard.learning_rate.value
        assert dashboard.trainer.batch_size == dashboard.batch_size.value
        dashboard.load.click()
        assert (dashboard.trainer.steps, dashboard.batch_size.value) == (loaded.steps, 32)

    in_a_loop(action)


def test_a_finding_disappears_when_a_new_run_starts(tmp_path):
    async def action():
        dashboard = await trained(init="zeros")
        assert "Every weight is exactly zero" in words(dashboard.verdict)
        dashboard.init.value = "scaled_normal"
        dashboard.start.click()
        assert dashboard.verdict.value == dashboard.parts.value == ""
        await until(lambda: dashboard.task is None)
        assert "zero" not in words(dashboard.verdict)
        dashboard.file.value = str(tmp_path / "run.safetensors")
        dashboard.save.click()
        dashboard.load.click()
        assert dashboard.verdict.value == ""

    in_a_loop(action)


def test_interrupt_kernel_pauses_and_go_on_goes_on():
    async def action():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a kernel between cells
        dashboard = training_dashboard(epochs=500, **TINY)
        dashboard.start.click()
        await until(lambda: dashboard.trainer.steps > 5)
        signal.raise_signal(signal.SIGINT)
        await until(lambda: dashboard.pause.description == "GO ON")
        assert "by Interrupt Kernel" in words(dashboard.status)
        held = dashboard.trainer.steps
        signal.raise_signal(signal.SIGINT)  # once more changes nothing
        await asyncio.sleep(0.2)
        assert dashboard.trainer.steps == held
        dashboard.pause.click()
        await until(lambda: dashboard.trainer.steps > held)
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, before)

    in_a_loop(action)


def test_what_runs_is_said_in_epochs():
    async def action():
        dashboard = training_dashboard(epochs=500, **TINY)
        dashboard.start.click()
        await until(lambda: "of 500" in words(dashboard.status))
        dashboard.stop.click()
        await until(lambda: dashboard.task is None)

    in_a_loop(action)


@pytest.mark.parametrize(
    "losses", [{}, {8: 5.0}, {8: 5.0, 16: 4.0}, {8: 5.0, 16: 4.0, 24: 4.0 + dashboard_module.HARDLY}, {8: float("nan")}]
)
def test_a_run_whose_held_out_loss_falls_or_wavers_is_not_said_to_memorise(losses):
    assert dashboard_module.beyond_its_text(losses) == ""


def test_a_run_that_is_past_its_best_on_held_out_text_is_said_to_memorise():
    said = dashboard_module.beyond_its_text({8: 5.3, 1016: 4.25, 1024: 4.5, 1032: 6.0})
    assert "best at step 1,016 (4.25), and is at 6.00 now" in said


def test_what_the_dashboard_finds_is_the_examination_and_then_the_held_out_text():
    async def action():
        dashboard = training_dashboard(epochs=12, learning_rate=0.01)
        dashboard.start.click()
        await until(lambda: dashboard.task is None)
        expected = dashboard_module.beyond_its_text(dashboard.trainer.history.validation_losses)
        assert expected  # the sayings end with words that they begin without
        assert expected in dashboard.verdict.value
        assert dashboard.verdict.value.startswith('<p role="status">Examined at step 1: ')

    in_a_loop(action)
