"""The training tab of the original application, alive: start, watch, pause, stop, save, load.

Training runs as a task of the kernel's own event loop, in slices of a twentieth of a second. Between two slices the
kernel answers buttons and runs other cells; no thread is needed, so that it works where there are none. Nothing is made
before START, and nothing is left running after the end.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from html import escape

import ipywidgets
import numpy as np

from cllm_lib.browser import in_browser
from cllm_lib.instruments.diagnosis import examine, movements
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.generation import generate
from cllm_lib.model.initializers import INITIALIZERS
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import TEXTS, load_corpus
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.schedules import SCHEDULES, schedule_for
from cllm_lib.training.trainer import Trainer
from cllm_lib.workbook.widgets.browser_files import HandIn, offered
from cllm_lib.workbook.widgets.controls import WIDE, WRAPPED, NumberField, Panel, above_zero, button, pick, whole
from cllm_lib.workbook.widgets.interrupts import Interrupts
from cllm_lib.workbook.widgets.keeping import BASE, ENDING, Kept, NotOurs, free_name, newest
from cllm_lib.workbook.widgets.pictures import loss_svg, movements_svg

SLICE = 0.05  # seconds of training between two looks at the buttons
BREATH = 0.01  # seconds left to the kernel then; with none it stays some messages behind
REDRAW, SPEAK, EXAMINE = 0.25, 3.0, 10.0  # seconds between pictures, sentences, examinations
HARDLY = 0.1  # nats: so much a loss may go up and down
HELD_OUT = 2_000  # words at most: measuring on them must not take long either
MOST_EPOCHS, MOST_SEQUENCES = 100_000, 4_096
SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ff": 256, "seq_len": 32, "dtype": "float32", "tie_embeddings": False}


def training_dashboard(**settings):
    """A dashboard; see :class:`TrainingDashboard`."""
    return TrainingDashboard(**settings)


@dataclass
class _Clock:
    """When something was done last, and how often it may be."""

    every: float
    last: float = -math.inf

    def due(self, now):
        """Whether it is time; if so, it counts as done."""
        if now - self.last < self.every:
            return False
        self.last = now
        return True


class TrainingDashboard(Panel):
    """Choose a text and settings, press START, and watch a model learn.

    Parameters
    ----------
    texts : sequence of str
        Ticked at the beginning; several are added.
    epochs, batch_size : int
    learning_rate : float
    optimizer, schedule, init : str
        What is chosen at the beginning.
    file : str
        Where SAVE writes and LOAD reads. Without one SAVE takes a name that is free, and LOAD the checkpoint that was written last.
    prompt : str
        What the sample sentences begin with.
    **sizes
        Of the model, as for :class:`~cllm_lib.model.config.CLLMConfig`.

    Attributes
    ----------
    trainer : Trainer or None
        Of the run on show: its model can be used in other cells while it trains, and after.
    task : asyncio.Task or None
        The training under way. Interrupt Kernel pauses it.

    Raises
    ------
    ValueError
        If a name is unknown, or a number makes no sense.
    """

    def __init__(
        self,
        texts=("sayings",),
        epochs=20,
        batch_size=4,
        learning_rate=3e-3,
        optimizer="adam",
        schedule="constant",
        init="scaled_normal",
        file="",
        prompt="the sky is",
        **sizes,
    ):
        self.sizes, self.prompt = SIZES | sizes, prompt
        self.trainer, self.task, self._paused, self._loaded, self._examined = None, None, False, False, ""
        self._kept, self._interrupts, self._filling = Kept(), Interrupts(), False
        self._make_controls(texts, epochs, batch_size, learning_rate, optimizer, schedule, init, file)
        self.status, self.saved = ipywidgets.HTML(), ipywidgets.HTML()  # the second for what SAVE did: a run goes on talking in the first
        self.bar = ipywidgets.FloatProgress(min=0.0, max=1.0, layout=WIDE)
        self.curves, self.parts, self.verdict, self.sample = (ipywidgets.HTML() for _ in range(4))
        self._say("Nothing has been made yet: no model, no thread, no cache. START makes the model.")
        self._set_buttons()
        buttons = ipywidgets.HBox([self.start, self.pause, self.stop], layout={"margin": "8px 0 0 0"})
        keep = ipywidgets.HBox([self.file, self.save, self.load, *self.hand_in], layout=WRAPPED)
        texts = ipywidgets.VBox(
            [ipywidgets.HTML("<b>text</b> (several are added)"), ipywidgets.HBox(list(self.texts.values()), layout=WRAPPED), self.files]
        )
        pictures = ipywidgets.HBox([self.curves, self.parts], layout=WRAPPED)
        numbers, picks = ipywidgets.HBox(self.settings[:3], layout=WRAPPED), self.settings[3:]
        self.start.add_class("cllm-draws")
        for drawn in (self.sample, self.curves):
            drawn.add_class("cllm-drawn")
        run = [buttons, self.status, self.bar, self.sample, pictures, self.verdict]  # together: on a phone one sees STOP and the curves
        super().__init__([texts, numbers, *picks, *run, self.saved, keep])

    def __repr__(self):
        return "A training dashboard: text, settings, START, PAUSE, STOP, SAVE, LOAD (run this cell in JupyterLab to use it)"

    def _make_controls(self, texts, epochs, batch_size, learning_rate, optimizer, schedule, init, file):
        self.texts = {name: ipywidgets.Checkbox(value=name in texts, description=name, indent=False) for name in TEXTS}
        for box in self.texts.values():
            box.layout.width = "auto"
            box.layout.margin = "2px 24px 2px 0"
        self.files = ipywidgets.Text(
            value=", ".join(text for text in texts if text not in TEXTS),
            description="files",
            placeholder="UTF-8 text files of yours, with commas between",
            layout=WIDE,
        )
        self.epochs = NumberField("epochs", epochs, whole(1, MOST_EPOCHS))
        self.batch_size = NumberField("batch size", batch_size, whole(1, MOST_SEQUENCES))
        self.learning_rate = NumberField("rate", learning_rate, above_zero)
        self.optimizer = pick("optimiser", OPTIMIZERS, optimizer)
        self.schedule = pick("schedule", SCHEDULES, schedule)
        self.init = pick("weights", INITIALIZERS, init)
        self.settings = [self.epochs, self.batch_size, self.learning_rate, self.optimizer, self.schedule, self.init]
        for control in (self.batch_size, self.learning_rate):
            control.when_changed(self._put_aside)
        for control in (*self.texts.values(), self.files, self.optimizer, self.schedule):
            control.observe(lambda change: self._put_aside(), names="value")
        self.file = ipywidgets.Text(value=file, placeholder=BASE, description="file", layout=WIDE)
        self.start = button("START", "make a model and train it", self._start, width="100px")
        self.pause = button("PAUSE", "hold the training, or go on", self._pause, width="100px")
        self.stop = button("STOP", "end the training; the model stays usable", self._stop, width="100px")
        self.save = button("SAVE", "write model and training state to the file", self._save, width="100px")
        self.load = button("LOAD", "read them back; START then goes on with them", self._load, width="100px")
        self.hand_in = [HandIn(ENDING, self._load_from)] if in_browser() else []

    # What the buttons do

    def _start(self):
        """Make a trainer, unless one was loaded, and let it work as a task of the running loop."""
        try:
            epochs = self.epochs.value
            if not self._loaded:
                self.trainer, self._kept = self._new_trainer(epochs), Kept()
            steps = epochs * self.trainer.batches_per_epoch - self.trainer.place[1]
        except (ValueError, OSError) as error:
            self._say(str(error), wrong=True)
            return
        self._loaded, self._paused = False, False
        self._forget_what_was_found()
        self.task = asyncio.get_running_loop().create_task(self._work(steps))
        self._set_buttons()

    def _pause(self, why=""):
        self._paused = not self._paused
        self._set_buttons()
        self._say(f"{'Paused' if self._paused else 'Going on'} after step {self.trainer.steps:,}{why}.")

    def _stop(self):
        self._paused = False
        if self.trainer is not None:
            self.trainer.stop()

    def _save(self):
        self.file.value = path = self.file.value.strip() or str(free_name())
        try:
            self._kept.check(path)
            self.trainer.save(path)
        except NotOurs as error:
            self.file.value = str(free_name(path))
            self._say(f"{error} SAVE once more writes {self.file.value}, or give another name.", wrong=True, line=self.saved)
        except (ValueError, OSError) as error:
            self._say(str(error), wrong=True, line=self.saved)
        else:
            self._kept.note(path)
            saved = f"Saved after step {self.trainer.steps:,}, in {path}."
            self._say(escape(saved) + offered(path), plain=False, line=self.saved)

    def _load(self):
        path = self.file.value.strip() or newest()
        if path is None:
            self._say("no checkpoint of a dashboard is in this folder: name a file", wrong=True)
        else:
            self._load_from(path)

    def _load_from(self, path):
        try:
            self.trainer = Trainer.resume(path)
        except (ValueError, OSError) as error:
            self._say(str(error), wrong=True)
            return
        self.file.value, self._loaded, self._kept = str(path), True, Kept()
        self._kept.note(path)
        self._show_what_will_run()
        self._forget_what_was_found()
        self._set_buttons()
        self._draw_curves()
        self._speak()
        self._say(
            f"Loaded: {self.trainer.steps:,} steps on {self.trainer.corpus.name}, from {path}. START goes on for so many epochs more; "
            "another text, size, rate, optimiser or schedule begins anew."
        )

    def _show_what_will_run(self):
        """Let the fields say what the loaded run goes on with."""
        trainer, self._filling = self.trainer, True
        names = trainer.corpus.sources
        for name, box in self.texts.items():
            box.value = name in names
        self.files.value = ", ".join(name for name in names if name not in TEXTS)
        self.batch_size.value, self.learning_rate.value = trainer.batch_size, trainer.base_rate
        self.optimizer.value = next(name for name, kind in OPTIMIZERS.items() if type(trainer.optimizer) is kind)
        self.schedule.value = "constant" if trainer.schedule is None else trainer.schedule.name
        self._filling = False

    def _put_aside(self):
        """What was loaded does not run any more once a field says something else."""
        if self._loaded and not self._filling:
            self._loaded = False
            self._set_buttons()
            self._say("The loaded run is put aside: START makes a new model, with these settings. LOAD brings it back.")

    def _forget_what_was_found(self):
        """A finding is of the run it was made in."""
        self._examined = self.verdict.value = self.parts.value = self.saved.value = ""
        self.bar.value = 0.0

    # The run

    def _new_trainer(self, epochs):
        corpus = self._corpus(self._chosen_texts())
        model = CLLM(CLLMConfig(len(corpus.vocabulary), **self.sizes), init=self.init.value)
        every = corpus.batches_per_epoch(self.batch_size.value, model.config.seq_len)
        total = epochs * every
        return Trainer(
            model,
            corpus,
            optimizer=self.optimizer.value,
            learning_rate=self.learning_rate.value,
            batch_size=self.batch_size.value,
            schedule=schedule_for(self.schedule.value, total, warmup_steps=min(100, max(1, total // 5))),
            evaluate_every=every if corpus.n_validation > model.config.seq_len else None,
        )

    def _chosen_texts(self):
        chosen = [name for name, box in self.texts.items() if box.value]
        chosen += [path.strip() for path in self.files.value.split(",") if path.strip()]
        if not chosen:
            raise ValueError("no text is chosen: tick one, or name a file")
        return chosen

    def _corpus(self, sources):
        """The text, with its last tenth held out, or `HELD_OUT` words if that is less."""
        n_words = len(load_corpus(sources).tokens)
        return load_corpus(sources, validation_fraction=min(0.1, HELD_OUT / n_words))

    async def _work(self, steps):
        """Train for so many steps; whatever goes wrong is shown."""
        trainer, first, began = self.trainer, self.trainer.steps, time.monotonic()
        redraw, speak, check = _Clock(REDRAW), _Clock(SPEAK), _Clock(EXAMINE)
        try:
            training = trainer.run(steps=steps)
            running = True
            while running:
                self._interrupts.listen()
                before = trainer.model.flat_parameters.copy() if redraw.due(time.monotonic()) else None
                running = next(training, None) is not None
                if running and before is not None:
                    self._draw_curves()
                    self._show_findings()
                    self.parts.value = movements_svg(movements(trainer.model, before))
                if running:
                    running = trainer.steps == first + 1 or _for_a_slice(training)  # a first look after a single batch
                self._show_progress(first, steps, began)
                self._look(speak, check)
                await asyncio.sleep(BREATH)
                if self._interrupts.heard() and not self._paused:
                    self._pause(", by Interrupt Kernel")
                while self._paused:
                    await asyncio.sleep(SLICE)
                    self._interrupts.heard()  # once paused, another one changes nothing
            done = trainer.steps - first
            ended = f"Done: {done:,} steps" if done == steps else f"Stopped after {done:,} of {steps:,} steps"
            self._say(f"{ended}. The model stays: SAVE keeps it, and in code it is the dashboard's trainer.model.")
        except Exception as error:  # shown where the reader looks; a task would keep it to itself
            self._say(f"{type(error).__name__}: {error}", wrong=True)
        finally:
            self._interrupts.end()
            self.task = None
            self._set_buttons()
            self._draw_curves()
            self._show_findings()
            self._speak()

    def _look(self, speak, check):
        """A sentence, an examination: each when its time has come."""
        now = time.monotonic()
        if speak.due(now):
            self._speak()
        if check.due(now):
            self._examine()
            check.every = max(EXAMINE, 20.0 * (time.monotonic() - now))  # at most a twentieth of the time

    def _show_progress(self, first, steps, began):
        trainer = self.trainer
        done, seconds = trainer.steps - first, time.monotonic() - began
        self.bar.value = done / steps
        left = seconds * (steps - done) / max(done, 1)
        epoch, loss = trainer.history.epochs[-1], trainer.history.losses[-1]
        last = math.ceil((first + steps) / trainer.batches_per_epoch)
        if not self._paused:
            self._say(
                f"Epoch {epoch} of {last}, step {trainer.steps:,}: loss <b>{loss:.4f}</b>. About {_duration(left)} left.", plain=False
            )

    def _draw_curves(self):
        corpus, config = self.trainer.corpus, self.trainer.model.config
        levels = {"ln V": math.log(config.vocab_size), "unigram entropy": corpus.unigram_entropy(config.seq_len)}
        self.curves.value = loss_svg(self.trainer.history, self.trainer.batches_per_epoch, levels)

    def _speak(self):
        corpus, model = self.trainer.corpus, self.trainer.model
        prompt = corpus.encode(self.prompt)
        if not prompt.any():  # not one word of it is known here
            prompt = corpus.tokens[:3]
        with np.errstate(all="ignore"):
            try:
                said = corpus.decode(generate(model, prompt, 12, temperature=0.7, seed=self.trainer.steps))
            except ValueError as error:
                said = f"({error})"
        self.sample.value = f'<p role="status">After step {self.trainer.steps:,} it says: <i>{escape(said)}</i></p>'

    def _examine(self):
        trainer = self.trainer
        if not self._examined:
            self.verdict.value = '<p role="status">Examining the model, which may take some seconds.</p>'
        batch = next(trainer.corpus.batches(trainer.batch_size, trainer.model.config.seq_len, np.random.default_rng(0)))
        verdict = examine(trainer.model, *batch, learning_rate=trainer.base_rate).verdict
        self._examined = f'<p role="status">Examined at step {trainer.steps:,}: <b>{escape(verdict)}</b></p>'
        self._show_findings()

    def _show_findings(self):
        learnt = beyond_its_text(self.trainer.history.validation_losses)
        self.verdict.value = self._examined + (f'<p role="status">{learnt}</p>' if learnt else "")

    # What is shown

    def _say(self, words, wrong=False, plain=True, line=None):
        words = escape(words) if plain else words
        (line or self.status).value = f'<p role="{"alert" if wrong else "status"}">{"<b>Not done.</b> " if wrong else ""}{words}</p>'

    def _set_buttons(self):
        running = self.task is not None
        self.start.disabled = running
        self.pause.disabled = self.stop.disabled = not running
        self.pause.description = "GO ON" if self._paused else "PAUSE"
        self.save.disabled = self.trainer is None
        for control in (self.load, *self.hand_in):
            control.disabled = running
        for control in [*self.settings, *self.texts.values(), self.files]:
            control.disabled = running
        self.init.disabled = running or self._loaded  # a loaded run has its weights


def beyond_its_text(validation_losses):
    """A sentence for a run whose loss on held-out text is past its lowest point: it memorises (overfits) from there on.

    Parameters
    ----------
    validation_losses : dict of int to float
        By step.

    Returns
    -------
    str
        Empty as long as the last loss is hardly above the lowest.
    """
    if not validation_losses:
        return ""
    best = min(validation_losses, key=validation_losses.get)
    lowest, now = validation_losses[best], list(validation_losses.values())[-1]
    if not now > lowest + HARDLY:
        return ""
    return f"On held-out text it was best at step {best:,} ({lowest:.2f}), and is at {now:.2f} now: it learns its own text by heart."


def _for_a_slice(training):
    """Take steps for a moment; whether there are more."""
    until = time.monotonic() + SLICE
    while time.monotonic() < until:
        if next(training, None) is None:
            return False
    return True


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
