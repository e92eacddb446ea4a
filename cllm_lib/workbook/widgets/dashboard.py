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

from cllm_lib.instruments.diagnosis import examine, movements
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.generation import generate
from cllm_lib.model.initializers import INITIALIZERS
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import TEXTS, load_corpus
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.schedules import SCHEDULES, schedule_for
from cllm_lib.training.trainer import Trainer
from cllm_lib.workbook.widgets.controls import Panel, button, pick
from cllm_lib.workbook.widgets.pictures import loss_svg, movements_svg

SLICE = 0.05  # seconds of training between two looks at the buttons
BREATH = 0.01  # seconds left to the kernel then; with none it stays some messages behind
REDRAW, SPEAK, EXAMINE = 0.25, 3.0, 10.0  # seconds between pictures, sentences, examinations
HELD_OUT = 2_000  # words at most: measuring on them must not take long either
NARROW = {"width": "190px"}
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
        Where SAVE writes and LOAD reads.
    prompt : str
        What the sample sentences begin with.
    **sizes
        Of the model, as for :class:`~cllm_lib.model.config.CLLMConfig`.

    Attributes
    ----------
    trainer : Trainer or None
        Of the run on show: its model can be used in other cells while it trains, and after.
    task : asyncio.Task or None
        The training under way.
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
        file="dashboard.safetensors",
        prompt="the sky is",
        **sizes,
    ):
        self.sizes, self.prompt = SIZES | sizes, prompt
        self.trainer, self.task, self._paused, self._loaded = None, None, False, False
        self._make_controls(texts, epochs, batch_size, learning_rate, optimizer, schedule, init, file)
        self.status = ipywidgets.HTML()
        self.bar = ipywidgets.FloatProgress(min=0.0, max=1.0, layout={"width": "440px"})
        self.curves, self.parts, self.verdict, self.sample = (ipywidgets.HTML() for _ in range(4))
        self._say("Nothing has been made yet: no model, no thread, no cache. START makes the model.")
        self._set_buttons()
        buttons = ipywidgets.HBox([self.start, self.pause, self.stop])
        keep = ipywidgets.HBox([self.file, self.save, self.load])
        texts = ipywidgets.VBox(
            [ipywidgets.HTML("<b>text</b> (several are added)"), ipywidgets.HBox(list(self.texts.values())), self.files]
        )
        pictures = ipywidgets.HBox([self.curves, self.parts], layout={"flex_flow": "row wrap"})
        numbers, picks = ipywidgets.HBox(self.settings[:3], layout={"flex_flow": "row wrap"}), self.settings[3:]
        super().__init__([texts, numbers, *picks, buttons, keep, self.status, self.bar, pictures, self.verdict, self.sample])

    def __repr__(self):
        return "A training dashboard: text, settings, START, PAUSE, STOP, SAVE, LOAD (run this cell in JupyterLab to use it)"

    def _make_controls(self, texts, epochs, batch_size, learning_rate, optimizer, schedule, init, file):
        self.texts = {name: ipywidgets.Checkbox(value=name in texts, description=name, indent=False) for name in TEXTS}
        for box in self.texts.values():
            box.layout.width = "130px"
        self.files = ipywidgets.Text(
            value=", ".join(text for text in texts if text not in TEXTS),
            description="files",
            placeholder="UTF-8 text files of yours, with commas between",
            layout={"width": "440px"},
        )
        self.epochs = ipywidgets.BoundedIntText(epochs, min=1, max=100_000, description="epochs", layout=NARROW)
        self.batch_size = ipywidgets.BoundedIntText(batch_size, min=1, max=4_096, description="batch size", layout=NARROW)
        self.learning_rate = ipywidgets.FloatText(learning_rate, step=0.001, description="rate", layout=NARROW)
        self.optimizer = pick("optimiser", OPTIMIZERS, optimizer)
        self.schedule = pick("schedule", SCHEDULES, schedule)
        self.init = pick("weights", INITIALIZERS, init)
        self.settings = [self.epochs, self.batch_size, self.learning_rate, self.optimizer, self.schedule, self.init]
        self.file = ipywidgets.Text(value=file, description="file", layout={"width": "330px"})
        self.start = button("START", "make a model and train it", self._start, width="100px")
        self.pause = button("PAUSE", "hold the training, or go on", self._pause, width="100px")
        self.stop = button("STOP", "end the training; the model stays usable", self._stop, width="100px")
        self.save = button("SAVE", "write model and training state to the file", self._save, width="100px")
        self.load = button("LOAD", "read them back; START then goes on with them", self._load, width="100px")

    # What the buttons do

    def _start(self):
        """Make a trainer, unless one was loaded, and let it work as a task of the running loop."""
        try:
            if not self._loaded:
                self.trainer = self._new_trainer()
            steps = self.epochs.value * self.trainer.batches_per_epoch - self.trainer.place[1]
        except (ValueError, OSError) as error:
            self._say(str(error), wrong=True)
            return
        self._loaded, self._paused = False, False
        self.task = asyncio.get_running_loop().create_task(self._work(steps))
        self._set_buttons()

    def _pause(self):
        self._paused = not self._paused
        self._set_buttons()
        self._say(f"{'Paused' if self._paused else 'Going on'} after step {self.trainer.steps:,}.")

    def _stop(self):
        self._paused = False
        if self.trainer is not None:
            self.trainer.stop()

    def _save(self):
        try:
            self.trainer.save(self.file.value)
        except (ValueError, OSError) as error:
            self._say(str(error), wrong=True)
        else:
            self._say(f"Saved after step {self.trainer.steps:,}.")

    def _load(self):
        try:
            self.trainer = Trainer.resume(self.file.value)
        except (ValueError, OSError) as error:
            self._say(str(error), wrong=True)
            return
        self._loaded = True
        self._set_buttons()
        self._draw_curves()
        self._speak()
        self._say(f"Loaded: {self.trainer.steps:,} steps on {self.trainer.corpus.name}. START goes on for {self.epochs.value} epochs more.")

    # The run

    def _new_trainer(self):
        corpus = self._corpus(self._chosen_texts())
        model = CLLM(CLLMConfig(len(corpus.vocabulary), **self.sizes), init=self.init.value)
        every = corpus.batches_per_epoch(self.batch_size.value, model.config.seq_len)
        total = self.epochs.value * every
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
                before = trainer.model.flat_parameters.copy() if redraw.due(time.monotonic()) else None
                running = next(training, None) is not None
                if running and before is not None:
                    self._draw_curves()
                    self.parts.value = movements_svg(movements(trainer.model, before))
                if running:
                    running = trainer.steps == first + 1 or _for_a_slice(training)  # a first look after a single batch
                self._show_progress(first, steps, began)
                self._look(speak, check)
                await asyncio.sleep(BREATH)
                while self._paused:
                    await asyncio.sleep(SLICE)
            done = trainer.steps - first
            ended = f"Done: {done:,} steps" if done == steps else f"Stopped after {done:,} of {steps:,} steps"
            self._say(f"{ended}. The model is yours: dashboard.trainer.model.")
        except Exception as error:  # shown where the reader looks; a task would keep it to itself
            self._say(f"{type(error).__name__}: {error}", wrong=True)
        finally:
            self.task = None
            self._set_buttons()
            self._draw_curves()
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
        if not self._paused:
            self._say(f"Epoch {epoch}, step {trainer.steps:,}: loss <b>{loss:.4f}</b>. About {_duration(left)} left.", plain=False)

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
        batch = next(trainer.corpus.batches(trainer.batch_size, trainer.model.config.seq_len, np.random.default_rng(0)))
        verdict = examine(trainer.model, *batch, learning_rate=self.learning_rate.value).verdict
        self.verdict.value = f'<p role="status">Examined at step {trainer.steps:,}: <b>{escape(verdict)}</b></p>'

    # What is shown

    def _say(self, words, wrong=False, plain=True):
        words = escape(words) if plain else words
        self.status.value = f'<p role="{"alert" if wrong else "status"}">{"<b>Not done.</b> " if wrong else ""}{words}</p>'

    def _set_buttons(self):
        running = self.task is not None
        self.start.disabled = running
        self.pause.disabled = self.stop.disabled = not running
        self.pause.description = "GO ON" if self._paused else "PAUSE"
        self.save.disabled = self.trainer is None
        self.load.disabled = running
        for control in [*self.settings, *self.texts.values(), self.files]:
            control.disabled = running


def _for_a_slice(training):
    """Take steps for a moment; whether there are more."""
    until = time.monotonic() + SLICE
    while time.monotonic() < until:
        if next(training, None) is None:
            return False
    return True


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
