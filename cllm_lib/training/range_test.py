"""Which learning rate? Try them all in one short run, from far too small to far too large."""

import itertools

import numpy as np

from cllm_lib.checks import non_negative_number, one_of, positive_integer
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.trainer import Trainer


def learning_rate_range_test(model, corpus, optimizer="adam", lowest=1e-5, highest=1.0, steps=100, batch_size=4, seed=0):
    """Train for a few steps, each at a higher rate than the one before, and put the weights back.

    The loss stands still while the rate is too small, falls where it is useful, and rises where it is too large. A
    usual choice is some three to ten times below the rate at which the loss is lowest: a long run has more occasions to
    go wrong than this one.

    Parameters
    ----------
    model : CLLM
        Its weights are put back, also when a step fails.
    corpus : Corpus
    optimizer : str or callable
        A name as for :class:`~cllm_lib.training.trainer.Trainer`, or something that makes an optimiser from a rate.
    lowest, highest : float
        The rates of the first and the last step; between them each is the same multiple of the one before.
    steps, batch_size : int
    seed : int
        Of the shuffling.

    Returns
    -------
    rates, losses : ndarray, shape (steps,)
        losses[i] is the loss of batch i before the step at rates[i]; NaN or infinite once the run has blown up.

    Raises
    ------
    ValueError
        If the rates do not rise from above 0, there are fewer than two steps, or the optimiser is unknown.

    Notes
    -----
    Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3; there the rate rises in a straight
    line, here by a constant factor, which shows five powers of ten alike.
    """
    lowest, highest = non_negative_number(lowest, "lowest"), non_negative_number(highest, "highest")
    if not 0.0 < lowest < highest:
        raise ValueError(f"the rates go from {lowest:g} to {highest:g}: give a lowest above 0 and a highest above that")
    if positive_integer(steps, "steps") < 2:
        raise ValueError("steps is 1: two at least are needed to go from lowest to highest")
    make = optimizer if callable(optimizer) else one_of(optimizer, OPTIMIZERS, "optimizer")
    rates = np.geomspace(lowest, highest, steps)
    trainer = Trainer(
        model, corpus, optimizer=make(1.0), batch_size=batch_size, seed=seed, schedule=rates.__getitem__, stop_when_not_finite=False
    )
    epochs = (corpus.batches(batch_size, model.config.seq_len, trainer.generator) for _ in itertools.count())
    batches = itertools.islice(itertools.chain.from_iterable(epochs), steps)
    before = model.flat_parameters.copy()
    try:
        with np.errstate(all="ignore"):  # blowing up is what it is there to show
            losses = np.array([trainer.step(inputs, targets) for inputs, targets in batches])
    finally:
        model.flat_parameters[...] = before
    return rates, losses
