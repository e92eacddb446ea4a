"""What instruments ask of a patient: a training that can be begun anew, and the same training when it has ended."""

import copy
from functools import cached_property

import numpy as np

from cllm_lib.instruments.diagnosis import float64_copy


class Patient:
    """A training to be examined.

    Parameters
    ----------
    settings : object
        What was meant: `optimizer`, `learning_rate`, `rate(step)`, `clip_norm`, `tie_embeddings`, `positions`, `n_words`,
        `vocab_size`, `make_optimizer()`, `corpus()`.
    begin : callable
        Without arguments: the trainer before its first step, the same at each call.
    steps : int
        Of the whole run.
    """

    def __init__(self, settings, begin, steps):
        self.settings, self._begin, self.steps = settings, begin, steps

    def begin(self):
        """A trainer of one's own, before its first step."""
        return self._begin()

    @cached_property
    def trained(self):
        """The trainer after the run: to be looked at, not to be changed; see :meth:`copy`."""
        trainer = self.begin()
        with np.errstate(all="ignore"):
            for _ in trainer.run(steps=self.steps):
                pass
        return trainer

    @cached_property
    def begun(self):
        """The trainer before its first step: to be looked at, not to be changed."""
        return self.begin()

    def copy(self):
        """The trained one, as one's own."""
        return copy.deepcopy(self.trained)

    @cached_property
    def batch(self):
        """One batch of the text as it reaches the model."""
        return self.batches(1)[0]

    def batches(self, count, epoch=0):
        """The first batches of an epoch; each epoch is shuffled by its number."""
        trainer = self.begun
        epoch = trainer.corpus.batches(trainer.batch_size, trainer.model.config.seq_len, np.random.default_rng(epoch))
        return [pair for pair, _ in zip(epoch, range(count), strict=False)]

    def stated_batches(self, count):
        """Batches of the text as it was meant."""
        trainer = self.begun
        epoch = self.settings.corpus().batches(trainer.batch_size, trainer.model.config.seq_len, np.random.default_rng(0))
        return [pair for pair, _ in zip(epoch, range(count), strict=False)]

    @cached_property
    def gives_the_same_twice(self):
        """Whether the model's loss of a batch is the same when it is computed again."""
        losses = {self.trained.model.loss(*self.batch) for _ in range(3)}
        return len(losses) == 1 or all(np.isnan(loss) for loss in losses)

    @cached_property
    def twin(self):
        """The trained model in float64, its weights its own."""
        return float64_copy(self.trained.model)

    @cached_property
    def first_twin(self):
        """The model before training, in float64."""
        return float64_copy(self.begun.model)
