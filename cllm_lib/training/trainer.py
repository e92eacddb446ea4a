"""The training loop: batches in, losses out; it can be watched, stopped, saved, and taken up again to the last bit."""

import copy
import functools
import itertools
import math

import numpy as np

from cllm_lib.checks import functions, instance, one_of, positive_integer, positive_number
from cllm_lib.model.threads import threads_for
from cllm_lib.progress import progress_bar
from cllm_lib.text.corpora import windows
from cllm_lib.training.divergence import TrainingDiverged, what_diverged, what_is_not_finite
from cllm_lib.training.history import Best, History
from cllm_lib.training.hooks import run_hooks
from cllm_lib.training.interrupts import BrokenOff as BrokenOff  # where others have found it
from cllm_lib.training.interrupts import interrupts_after_the_step
from cllm_lib.training.optimizers import global_norm, make_optimizer, stepped
from cllm_lib.training.schedules import checked_factor, checked_schedule, stands_still, warn_of_a_long_rise
from cllm_lib.training.snapshots import go_back, snapshot_of

RATE = 1e-3  # of an optimiser by name, if none is given
NO_LIMIT = ", such as 1.0; a limit of 0 lets no gradient through, and None means no limit"
WINDOWS = {"disjoint": "batches", "random": "random_batches"}  # the methods of a corpus that make them


def _in_few_threads(method):
    """A method of a trainer, in as many threads of BLAS as its model is worth."""

    @functools.wraps(method)
    def limited(self, *arguments):
        with threads_for(self.model.flat_parameters.size):
            return method(self, *arguments)

    return limited


class Trainer:
    """The training loop: trains a model on a corpus.

    Parameters
    ----------
    model : CLLM
    corpus : Corpus
        Its training part is cut into sequences of `model.config.seq_len`.
    optimizer : {"adam", "adamw", "rmsprop", "momentum", "sgd"} or object
        A name, or any object with `step(parameters, gradients)`, which changes the parameters in place.
    learning_rate : float, optional
        Of an optimiser given by its name, 0.001 by default. An object has its own, and none is given beside it.
    batch_size : int
    seed : int
        Of the shuffling.
    clip_norm : float, optional
        The longest gradient let through, above 0; longer ones are scaled down. No limit by default.
    schedule : callable, optional
        From the step, 0 first, to a factor on the learning rate; see :mod:`cllm_lib.training.schedules`. The optimiser has the
        scaled rate during its step only.
    accumulate : int
        In how many parts a batch goes through the model, one after the other, before the one step: the same step to
        rounding, in a fraction of the memory.
    evaluate_every : int, optional
        After how many steps the loss on the corpus's validation part is measured, and the best model remembered.
    patience : int, optional
        Stop early after so many evaluations in a row without a new best one.
    stop_when_not_finite : bool
        Whether :meth:`fit` raises when the loss becomes infinite or NaN. Without it such a run goes on to its end.
    regularizer : object, optional
        Adds a gradient of its own to that of the loss, before clipping; see :mod:`cllm_lib.training.regularizers`. Every loss
        reported stays the cross-entropy alone, so that runs with and without one can be compared.
    hooks : sequence of callable
        Each is called with the trainer at every step, after the backward pass and the regularizer, before clipping: it may
        look at `trainer.model.flat_gradients`, or change it in place.
    windows : {"disjoint", "random"}
        How sequences are cut: side by side, each token once an epoch; or at random places, as usual where a text is too long
        to be read twice. As many batches an epoch either way.

    Attributes
    ----------
    history : History
    steps : int
        Taken so far.
    best : Best or None
        With the lowest validation loss so far; see :meth:`restore_best`.
    learning_rate : float
        Of the last step, with the schedule's factor; NaN before it, or if the optimiser has none.
    penalty : float
        Of the regulariser, before the last step; 0 without one.
    run_ends : int or None
        At which step the training under way is to end, or was before it was broken off; a checkpoint keeps it.

    Raises
    ------
    ValueError
        If the corpus knows more words than the model, has no full batch, or no validation part where one is needed; if
        a name is unknown, a number makes no sense, or `hooks` is no list of functions.
    """

    def __init__(
        self,
        model,
        corpus,
        optimizer="adam",
        learning_rate=None,
        batch_size=4,
        seed=0,
        clip_norm=None,
        schedule=None,
        accumulate=1,
        evaluate_every=None,
        patience=None,
        stop_when_not_finite=True,
        regularizer=None,
        windows="disjoint",
        hooks=(),
    ):
        self.model = model
        self.corpus = corpus
        self.optimizer = make_optimizer(optimizer, RATE if learning_rate is None and isinstance(optimizer, str) else learning_rate)
        self.batch_size = positive_integer(batch_size, "batch_size")
        self.clip_norm = None if clip_norm is None else positive_number(clip_norm, "clip_norm", NO_LIMIT)
        self.schedule = None if schedule is None else checked_schedule(schedule, self.optimizer)
        self.accumulate = positive_integer(accumulate, "accumulate")
        self.evaluate_every = None if evaluate_every is None else positive_integer(evaluate_every, "evaluate_every")
        self.patience = None if patience is None else positive_integer(patience, "patience")
        self.stop_when_not_finite = stop_when_not_finite
        self.regularizer = regularizer
        self.windows = windows
        self.hooks = functions(hooks, "hooks")
        self.generator = np.random.default_rng(seed)
        self.history = History()
        self.steps = 0
        self.gradient_norm = math.nan
        self.learning_rate = math.nan
        self.penalty = 0.0
        self.best = None
        self.last_checkpoint = None
        self._stop_asked = False
        self._stood_still, self.run_ends = False, None
        self._epoch, self._epoch_start, self._position = None, None, 0
        self._check_settings()
        self.batches_per_epoch = corpus.batches_per_epoch(self.batch_size, model.config.seq_len)

    def _check_settings(self):
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate is {self.accumulate}, and a batch has only {self.batch_size} sequences: it cannot be cut into more parts"
            )
        if len(self.corpus.vocabulary) > self.model.config.vocab_size:
            raise ValueError(
                f"{self.corpus.name!r} uses {len(self.corpus.vocabulary)} ids, the model knows {self.model.config.vocab_size}: "
                f"raise the model's vocab_size, or load_corpus(..., vocab_size={self.model.config.vocab_size})"
            )
        if self.patience is not None and self.evaluate_every is None:
            raise ValueError("patience counts evaluations, and there are none: give evaluate_every too")
        if self.evaluate_every is not None:
            validation_windows(self.corpus, self.model.config.seq_len)
        if not hasattr(self.corpus, one_of(self.windows, WINDOWS, "windows")):
            raise ValueError(f"windows is 'random', and {self.corpus.name!r} is no text to cut at random places: leave it 'disjoint'")
        if self.regularizer is not None:
            instance(self.regularizer, "regularizer", ("penalty", "add_gradients"))
            self.regularizer.penalty(self.model.parameters)  # says at once if it does not fit the model

    @_in_few_threads
    def step(self, inputs, targets):
        """One batch: loss, gradients, one step of the optimiser. Returns the loss before the step, without any penalty.

        Raises
        ------
        TrainingDiverged
            If the loss, or a number of its gradient, is infinite or NaN, unless `stop_when_not_finite` is False; the weights
            are not touched then.
        ValueError
            If the schedule gives no factor, or stays at 0, or a hook returns an array; the weights are not touched then either.
        """
        loss = self._forward_backward(inputs, targets)
        if self.stop_when_not_finite and not math.isfinite(loss):
            raise TrainingDiverged(what_diverged(self, loss, inputs))
        if self.regularizer is not None:
            self.penalty = self.regularizer.add_gradients(self.model.parameters, self.model.gradients)
        run_hooks(self.hooks, self)
        gradients = self.model.flat_gradients
        self.gradient_norm = global_norm(gradients)
        if self.stop_when_not_finite and not math.isfinite(self.gradient_norm) and not np.isfinite(gradients).all():
            raise TrainingDiverged(what_is_not_finite(self, loss))
        if self.clip_norm is not None and self.gradient_norm > self.clip_norm:
            gradients *= self.clip_norm / self.gradient_norm
        self._scheduled_step(gradients)
        return loss

    @property
    def base_rate(self):
        """The learning rate that a schedule's factor is multiplied with: the optimiser's own, as it stands between steps."""
        return self.optimizer.learning_rate

    @base_rate.setter
    def base_rate(self, rate):
        self.optimizer.learning_rate = rate

    def _scheduled_step(self, gradients):
        """The optimiser's step, at the schedule's rate; the optimiser has its own again afterwards, whatever happens."""
        if self.schedule is None:
            self.learning_rate = getattr(self.optimizer, "learning_rate", math.nan)
            self.steps += 1
            stepped(self.optimizer, self.model.flat_parameters, gradients)
            return
        factor = checked_factor(self.schedule, self.steps)
        if factor == 0.0 and self._stood_still:
            stands_still(self.schedule, self.steps, self.run_ends)
        self._stood_still = factor == 0.0
        base = self.base_rate
        self.base_rate = self.learning_rate = base * factor
        self.steps += 1
        try:
            stepped(self.optimizer, self.model.flat_parameters, gradients)
        finally:
            self.base_rate = base

    def _forward_backward(self, inputs, targets):
        """As the model's own, in `accumulate` parts: loss and gradient are means, so each part counts by its share."""
        if self.accumulate == 1:
            return self.model.forward_backward(inputs, targets)
        loss, gradients = 0.0, np.zeros_like(self.model.flat_gradients)
        for part in zip(np.array_split(inputs, self.accumulate), np.array_split(targets, self.accumulate), strict=True):
            share = len(part[0]) / len(inputs)
            loss += share * self.model.forward_backward(*part)
            gradients += share * self.model.flat_gradients
        self.model.flat_gradients[...] = gradients
        return loss

    def fit(self, epochs=None, steps=None, callbacks=(), progress=False):
        """Train for `epochs` more epochs, or for `steps` more steps.

        Ctrl-C, or interrupting the kernel, lets the step under way end, so that the model and its optimiser fit
        together, and then raises KeyboardInterrupt as usual; :meth:`save` still works. A second one breaks off at once, by
        :class:`~cllm_lib.training.interrupts.BrokenOff`: go on from what was saved before.

        Parameters
        ----------
        epochs : int, optional
            More, not in all: a second call goes on where the first one stopped. If that was within an epoch, its rest
            counts as the first.
        steps : int, optional
            Instead of `epochs`.
        callbacks : sequence of callable
            Each is called with the trainer after every step; :meth:`stop` ends the training from there.
        progress : bool
            Show a progress bar.

        Returns
        -------
        History
            Of all calls so far.

        Raises
        ------
        ValueError
            If not exactly one of `epochs` and `steps` is given, or `callbacks` is no list of functions.
        TrainingDiverged
            If the loss, or a number of its gradient, is infinite or NaN, unless `stop_when_not_finite` is False.
        """
        total = self._steps_ahead(epochs, steps)
        self.run_ends = self.steps + total
        with progress_bar(total=total, unit="batch", desc="training", visible=progress) as bar, interrupts_after_the_step() as interrupts:
            for _ in self.run(steps=total, callbacks=callbacks):
                bar.update()
                if progress and (self.steps % 10 == 0 or bar.n == total):
                    bar.set_postfix(loss=f"{self.history.losses[-1]:.2f}", refresh=False)
                if interrupts:
                    break
        return self.history

    def run(self, epochs=None, steps=None, callbacks=()):
        """:meth:`fit` as a generator: it yields the loss after each step, so that others can work in between.

        Leaving the loop stops the training; calling `run` or `fit` again goes on with the next batch.

        Yields
        ------
        float
            Loss of the batch, before its step.
        """
        total = self._steps_ahead(epochs, steps)
        callbacks = functions(callbacks, "callbacks")
        warn_of_a_long_rise(self.schedule, self.steps + total)
        self._stop_asked, self._stood_still, self.run_ends = False, False, self.steps + total
        for _ in range(total):
            loss = self._one_step()
            for callback in callbacks:
                callback(self)
            yield loss
            if self._stop_asked or self._out_of_patience:
                return

    def stop(self):
        """End the training after the step under way; from a callback, a button, or another thread."""
        self._stop_asked = True

    def _steps_ahead(self, epochs, steps):
        if (epochs is None) == (steps is None):
            raise ValueError(f"epochs is {epochs!r} and steps is {steps!r}: give exactly one of them")
        if steps is not None:
            return positive_integer(steps, "steps")
        return positive_integer(epochs, "epochs") * self.batches_per_epoch - self._position

    def _one_step(self):
        inputs, targets = self._next_batch()
        epoch = 1 + len(self.history.epoch_losses)
        loss = self.step(inputs, targets)
        self.history.losses.append(loss)
        self.history.gradient_norms.append(self.gradient_norm)
        self.history.learning_rates.append(self.learning_rate)
        self.history.epochs.append(epoch)
        if self._position == self.batches_per_epoch:
            self.history.epoch_losses.append(float(np.mean(self.history.losses[-self.batches_per_epoch :])))
            self._epoch, self._position = None, 0
        if self.evaluate_every is not None and self.steps % self.evaluate_every == 0:
            self.evaluate()
        return loss

    def _next_batch(self):
        """The next batch of the epoch under way, or of one that is opened: anew, or at the place that was gone to."""
        if self._epoch is None:
            self._epoch_start = self.generator.bit_generator.state
            batches = getattr(self.corpus, WINDOWS[self.windows])(self.batch_size, self.model.config.seq_len, self.generator)
            self._epoch = itertools.islice(batches, self._position, None)
        self._position += 1
        return next(self._epoch)

    @property
    def place(self):
        """Where in the text it is: the random generator's state when the epoch under way began, and how many batches were taken since.

        Returns
        -------
        tuple of (dict, int)
        """
        return (self.generator.bit_generator.state if self._epoch is None else self._epoch_start), self._position

    def seek(self, generator_state, position):
        """Seek: go on in the text where another trainer's :attr:`place` was.

        Raises
        ------
        ValueError
            If an epoch has no such position, or the generator's state is none.
        """
        if not 0 <= position < self.batches_per_epoch:
            raise ValueError(f"position is {position}, and an epoch has {self.batches_per_epoch} batches")
        self.generator.bit_generator.state = generator_state
        self._epoch, self._position = None, position

    @_in_few_threads
    def evaluate(self):
        """Measure the loss on the corpus's validation part, note it, and remember the model if it is the best so far.

        Returns
        -------
        float
        """
        loss = validation_loss(self.model, self.corpus)
        self.history.validation_losses[self.steps] = loss
        if self.best is None or loss < self.best.loss:
            self.best = Best(self.steps, loss, self.model.flat_parameters.copy())
        return loss

    @property
    def _out_of_patience(self):
        if self.patience is None or self.best is None:
            return False
        return sum(step > self.best.step for step in self.history.validation_losses) >= self.patience

    def restore_best(self):
        """Give the model the weights it had at its lowest validation loss.

        Raises
        ------
        ValueError
            If nothing has been evaluated yet.
        """
        if self.best is None:
            raise ValueError("there is no best model yet: give evaluate_every, or call evaluate()")
        self.model.flat_parameters[...] = self.best.parameters

    def snapshot(self):
        """Copy what training goes on from, in memory: see :func:`~cllm_lib.training.snapshots.snapshot_of`."""
        return snapshot_of(self)

    def go_back(self, snapshot):
        """Be as at the moment of the snapshot, to the last bit: see :func:`~cllm_lib.training.snapshots.go_back`."""
        go_back(self, snapshot)

    def __getstate__(self):
        """What a copy or a pickle holds: not the iterator of the epoch under way, but the :attr:`place` from which it is made anew."""
        generator = copy.deepcopy(self.generator)
        generator.bit_generator.state, _ = self.place
        return vars(self) | {"generator": generator, "_epoch": None}

    def save(self, path):
        """Write model, optimiser and everything else that training goes on from into one file.

        The file is written whole or not at all, and the checkpoint that was there before stays beside it, as
        `name.previous.safetensors`. See :mod:`cllm_lib.training.checkpoint`.

        Raises
        ------
        CheckpointError
            If it cannot be written, or there is something in it that a checkpoint cannot hold. Nothing is lost.
        """
        from cllm_lib.training.checkpoint import save_checkpoint  # here, not above: it needs safetensors

        save_checkpoint(path, self)
        self.last_checkpoint = path

    @classmethod
    def resume(cls, path, corpus=None, schedule=None, optimizer=None, regularizer=None, hooks=(), **parts):
        """A trainer that goes on where the saved one stopped: the same batches, losses and weights, bit for bit.

        Parameters
        ----------
        path : str or path
        corpus : Corpus, or str, path, or list of them, optional
            The text it was trained on, or its names to read it again by; those in the file if not given.
        schedule, optimizer : optional
            Only for a run that had a schedule or an optimiser of one's own, which a file cannot hold: the same once more.
        regularizer, hooks : optional
            Only for a run that had them, and needed then: a file does not hold them.
        **parts
            Only for a model with parts of one's own: the same ones, as arguments of CLLM.

        Returns
        -------
        Trainer

        Raises
        ------
        CheckpointError
            If the file is damaged, or the corpus is another one; the error says what differs.
        """
        from cllm_lib.training.resuming import resume_training

        return resume_training(cls, path, corpus, schedule, optimizer, regularizer, hooks, parts)


def validation_windows(corpus, seq_len):  # -> 2 x (m, T)
    """The held-out text, cut into sequences, as the corpus hands it out: :meth:`~cllm_lib.text.corpora.Corpus.held_out_pair`.

    Raises
    ------
    ValueError
        If the corpus holds nothing out, or less than one sequence.
    """
    held_out = getattr(corpus, "validation_tokens", ())
    if len(held_out) <= seq_len:
        raise ValueError(
            f"{corpus.name!r} holds {len(held_out)} tokens out for validation, and one sequence with its last target needs {seq_len + 1}: "
            "load_corpus(..., validation_fraction=0.1) holds a tenth out"
        )
    pair = getattr(corpus, "held_out_pair", None) or getattr(corpus, "pair", None)  # a corpus of one's own may have neither
    return windows(held_out, seq_len) if pair is None else pair(*windows(held_out, seq_len))


def validation_loss(model, corpus, rows=32):
    """Validation loss: mean cross-entropy over the held-out text, in nats per token.

    Parameters
    ----------
    model : CLLM
    corpus : Corpus
    rows : int
        Sequences that go through the model at a time.

    Returns
    -------
    float
    """
    inputs, targets = validation_windows(corpus, model.config.seq_len)
    losses = [model.loss(inputs[i : i + rows], targets[i : i + rows]) * len(inputs[i : i + rows]) for i in range(0, len(inputs), rows)]
    return float(sum(losses) / len(inputs))
