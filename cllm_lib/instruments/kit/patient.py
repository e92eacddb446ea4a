"""What instruments ask of a patient: a training that can be begun anew, and the same training when it has ended."""

import copy
import itertools
from functools import cached_property

import numpy as np

from cllm_lib.instruments.diagnosis import float64_copy


class Patient:
    """A training to be examined. Every instrument leaves it as it was.

    Parameters
    ----------
    settings : object
        What was meant: `optimizer`, `learning_rate`, `rate(step)`, `clip_norm`, `tie_embeddings`, `positions`, `n_words`,
        `vocab_size`, `make_optimizer()`, `corpus()`.
    begin : callable
        Without arguments: the trainer before its first step, the same at each call, in nothing shared with the last one. It is to go
        on when a loss is NaN (`stop_when_not_finite=False`), and its corpus to hold something out.
    steps : int
        Of the whole run.

    Notes
    -----
    Any object will do for a trainer, and an instrument asks for no more than it measures. Those that read text need `corpus`,
    `batch_size` and `model.config.seq_len`; the rate log `run(steps=...)` and `history.learning_rates`; those that look at weights
    `model.parameters`. A training of another framework becomes a patient by a `begin` that hands out such an object, with copies of
    that framework's arrays as NumPy's.
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
        """The first batches of an epoch, at most as many as it has; each epoch is shuffled by its number."""
        return self._first_batches(self.begun.corpus, count, epoch)

    def stated_batches(self, count):
        """Batches of the text as it was meant, of as many epochs as it takes."""
        corpus = self.settings.corpus()
        return [pair for epoch in range(count) for pair in self._first_batches(corpus, count, epoch)][:count]

    def _first_batches(self, corpus, count, epoch):
        batches = corpus.batches(self.begun.batch_size, self.begun.model.config.seq_len, np.random.default_rng(epoch))
        return list(itertools.islice(batches, count))

    @cached_property
    def gives_the_same_twice(self):
        """Whether the model's loss of a batch is the same when it is computed again, before training and after it."""
        return all(_same_thrice(copy.deepcopy(trainer.model), self.batch) for trainer in (self.begun, self.trained))

    @property
    def twin(self):
        """The trained model in float64, as one's own."""
        return float64_copy(copy.deepcopy(self.trained.model))

    @property
    def first_twin(self):
        """The model before training, in float64, as one's own."""
        return float64_copy(copy.deepcopy(self.begun.model))


def _same_thrice(model, batch):
    losses = [model.loss(*batch) for _ in range(3)]
    return len(set(losses)) == 1 or bool(np.isnan(losses).all())
