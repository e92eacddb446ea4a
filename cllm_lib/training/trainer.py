"""The training loop: batches in, losses out."""

from dataclasses import dataclass, field

import numpy as np

from cllm_lib.checks import non_negative_number, positive_integer
from cllm_lib.training.optimizers import clip_by_global_norm, make_optimizer


@dataclass
class History:
    """What training printed, as plain numbers.

    Attributes
    ----------
    losses : list of float
        Loss of every batch, before the step it caused, in nats per token.
    epoch_losses : list of float
        Their mean over each epoch.
    """

    losses: list = field(default_factory=list)
    epoch_losses: list = field(default_factory=list)


class Trainer:
    """Trains a model on a corpus.

    Parameters
    ----------
    model : CLLM
    corpus : Corpus
        Its training part is cut into sequences of `model.config.seq_len`.
    optimizer : {"adam", "adamw", "rmsprop", "momentum", "sgd"} or object
        A name, or any object with `step(parameters, gradients)`.
    learning_rate : float
    batch_size : int
    seed : int
        Of the shuffling.
    clip_norm : float, optional
        The longest gradient let through; longer ones are scaled down. No limit by default.
    schedule : callable, optional
        From the step, 0 first, to a factor on the learning rate; see :mod:`cllm_lib.training.schedules`.
    accumulate : int
        In how many parts a batch goes through the model, one after the other, before the one step: the same step to
        rounding, in a fraction of the memory.

    Raises
    ------
    ValueError
        If the corpus knows more words than the model, has no full batch, a name is unknown or a number makes no sense.
    """

    def __init__(
        self, model, corpus, optimizer="adam", learning_rate=1e-3, batch_size=4, seed=0, clip_norm=None, schedule=None, accumulate=1
    ):
        self.model = model
        self.corpus = corpus
        self.optimizer = make_optimizer(optimizer, non_negative_number(learning_rate, "learning_rate"))
        self.batch_size = positive_integer(batch_size, "batch_size")
        self.clip_norm = None if clip_norm is None else non_negative_number(clip_norm, "clip_norm")
        self.schedule = schedule
        self.accumulate = positive_integer(accumulate, "accumulate")
        self.base_rate = self.optimizer.learning_rate if schedule else None
        self.generator = np.random.default_rng(seed)
        self.history = History()
        self.steps = 0
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate is {accumulate}, and a batch has only {batch_size} sequences: it cannot be cut into more parts")
        if len(corpus.vocabulary) > model.config.vocab_size:
            raise ValueError(
                f"{corpus.name!r} uses {len(corpus.vocabulary)} ids, the model knows {model.config.vocab_size}: "
                f"raise the model's vocab_size, or load_corpus(..., vocab_size={model.config.vocab_size})"
            )
        self.batches_per_epoch = corpus.batches_per_epoch(self.batch_size, model.config.seq_len)

    def step(self, inputs, targets):
        """One batch: loss, gradients, one step of the optimiser. Returns the loss before the step."""
        loss = self._forward_backward(inputs, targets)
        if self.clip_norm is not None:
            clip_by_global_norm(self.model.flat_gradients, self.clip_norm)
        if self.schedule is not None:
            self.optimizer.learning_rate = self.base_rate * self.schedule(self.steps)
        self.steps += 1
        self.optimizer.step(self.model.flat_parameters, self.model.flat_gradients)
        return loss

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

    def fit(self, epochs, progress=False):
        """Train for `epochs` more epochs.

        Parameters
        ----------
        epochs : int
            More, not in all: a second call goes on where the first one stopped.
        progress : bool
            Show a progress bar.

        Returns
        -------
        History
            Of all calls so far.
        """
        with _progress_bar(positive_integer(epochs, "epochs") * self.batches_per_epoch, progress) as bar:
            for _ in range(epochs):
                losses = []
                for inputs, targets in self.corpus.batches(self.batch_size, self.model.config.seq_len, self.generator):
                    losses.append(self.step(inputs, targets))
                    bar.update()
                self.history.losses += losses
                self.history.epoch_losses.append(float(np.mean(losses)))
        return self.history


def _progress_bar(total, visible):
    from tqdm.auto import tqdm  # here, not above: it would double the time `import cllm_lib` takes

    return tqdm(total=total, disable=not visible, unit="batch", desc="training")
