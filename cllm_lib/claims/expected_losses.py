"""What the loss was expected to do once the program was mended: its losses as planned, with Adam, and with all that was wrong."""

import itertools
import math

import numpy as np

from cllm_lib import defects
from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.questions import above, below
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, DOCUMENTED, LENGTH, WORDS
from cllm_lib.model.config import CLLMConfig
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

EPOCHS_EXPECTED = 20
REPAIRED = tuple(defects.REPAIRS)[:5]  # all that is wrong in forward and backward pass
PROGRAMS = {
    "as planned": REPAIRED,
    "as planned, with Adam": (*REPAIRED, "Adam"),
    "all mended": tuple(defects.REPAIRS),
}
LOGGED_BATCHES = (1, 5, 9)


@experiment(variants=PROGRAMS, seeds=range(30, 40), fast=None, on_demand=True)
def expected_losses(variant, seed):
    """The program at its documented size, repaired so far, for twenty epochs of nine batches; its text by its hashed ids.

    Parameters
    ----------
    variant : str
        A key of :data:`PROGRAMS`.
    seed : int

    Returns
    -------
    dict of str to float
        Losses of batches 1, 5 and 9, and the means of all epochs, "epoch 1" to "epoch 20", in nats.
    """
    return _trained(variant, seed, EPOCHS_EXPECTED)


@experiment(variants=PROGRAMS, seeds=range(30, 50), fast=None)  # seeds that nothing was tried on before
def first_epoch_at_full_width(variant, seed):
    """The same for one epoch, with more seeds."""
    return _trained(variant, seed, 1)


def _trained(variant, seed, epochs):
    repairs = PROGRAMS[variant]
    model = defects.program(CLLMConfig(**DOCUMENTED), repairs, seed)
    corpus = defects.hashed_corpus(load_corpus("sayings"), WORDS)
    history = Trainer(model, corpus, batch_size=BATCH, seed=seed, **defects.program_training(repairs)).fit(epochs)
    numbers = {f"batch {i}": float(history.losses[i - 1]) for i in LOGGED_BATCHES}
    return numbers | {f"epoch {i}": float(loss) for i, loss in enumerate(history.epoch_losses, 1)}


MENDED = (
    "The program at its documented size, its batches and its hashed ids, in float64: real attention, true gradients, weights that are not "
    "zero. As planned: plain gradient descent. Then Adam; then a second LayerNorm and the configured warm-up with it."
)
TWENTY, ONE = f"{MENDED} Twenty epochs.", f"{MENDED} One epoch."
ABOUT = 0.25  # nats that "~" allows

NAMED = {
    "as planned, with Adam": "Adam takes the place of plain gradient descent",
    "all mended": "Adam, a second LayerNorm and the configured warm-up come in",
}


def expecting(what, allowed=ABOUT, kind="number"):
    """A question for each of :data:`PROGRAMS`: whether its loss is at most so far above what was expected.

    Parameters
    ----------
    what : str
        What was expected, for the name of the effect.
    allowed : float
        In nats.
    kind : str
        See :class:`~cllm_lib.claims.questions.Question`.
    """
    return {name: below(f"{name}: loss minus {what}", allowed, 0.0, "nats", kind) for name in PROGRAMS}


def answered(asks, what):
    """Their effects, by program; `what` leads from its name to one value a seed."""
    return {name: asked(what(name)) for name, asked in asks.items()}


def expected(found):
    """The verdict on an expectation: met as planned, or only with what else comes in; the condition is the least that has to."""
    reached, unsure = ([NAMED[name] for name, one in found.items() if one.answer is answer and name in NAMED] for answer in (True, None))
    return verdict(found["as planned"].answer, next(iter(reached), None), next(iter(unsure), None))


def _told(found, digits="+.2f"):
    return "; ".join(f"{name} {one:{digits}}" for name, one in found.items())


def logged(measure, experiment="expected_losses"):
    """From a program's name to that measure of :func:`expected_losses` or :func:`first_epoch_at_full_width`, one a seed."""
    return lambda name: values(experiment, name, measure)


END_OF_EPOCH_1 = expecting("the 7.5 expected, end of epoch 1", kind="number with a long tail")


@measured(
    "18",
    "Loss should decrease from 9.2 to ~7.5 in first epoch",
    "001, 002",
    section="Expected Outcomes",
    experiment=ONE,
    change_our_mind="A last batch of the first epoch at 7.75 or below, as planned.",
    asks=END_OF_EPOCH_1.values(),
)
def first_epoch():
    """The last batch of the first epoch."""
    found = answered(END_OF_EPOCH_1, lambda name: logged("batch 9", "first_epoch_at_full_width")(name) - 7.5)
    worst = max(values("first_epoch_at_full_width", name, "batch 9").max() for name in NAMED)
    told = f"last batch of the first epoch, above 7.5: {_told(found)}; with Adam the worst seed ends at {worst:.2f}"
    return told, expected(found), list(found.values())


EPOCH_10 = expecting("the 5.0 expected, epoch 10")


@measured(
    "18",
    "Loss should decrease: 9.2 → 7.5 → 6.0 → 5.0 over 10 epochs",
    "002",
    about="000 has the same numbers, 001 the last of them",
    section="000: Expected Results; 001, 002: Expected Outcomes",
    experiment=f"{TWENTY} Judged by the tenth alone.",
    change_our_mind="A tenth epoch at 5.25 or below, as planned.",
    asks=EPOCH_10.values(),
)
def ten_epochs():
    """The mean of the tenth epoch."""
    found = answered(EPOCH_10, lambda name: logged("epoch 10")(name) - 5.0)
    return f"mean of the tenth epoch, above 5.0: {_told(found)}", expected(found), list(found.values())


LOG = {1: 9.2103, 5: 8.7543, 10: 8.3421}  # of document 003: batches, then means of epochs
LOGGED_MEANS = {1: 7.8234, 2: 7.2156, 3: 6.7891}
WORST_EPOCH = expecting("what was expected, the worst of epochs 1 to 3")
WORST_BATCH = expecting("what was expected, the worst of batches 1, 5 and 9", kind="number with a long tail")


@measured(
    "18",
    "Epoch 1 complete: Average Loss = 7.8234 ... Epoch 2 complete: Average Loss = 7.2156 ... Epoch 3 complete: Average Loss = 6.7891",
    "003",
    about="a log of what was expected",
    section="Expected Results, Console output",
    experiment=TWENTY,
    change_our_mind="Means of three epochs at most a quarter of a nat above these, as planned.",
    asks=WORST_EPOCH.values(),
)
def first_three_epochs():
    """The epoch that lies farthest above its expectation."""

    def farthest(name):
        return np.max([values("expected_losses", name, f"epoch {i}") - mean for i, mean in LOGGED_MEANS.items()], axis=0)

    found = answered(WORST_EPOCH, farthest)
    return f"the epoch farthest above its expectation: {_told(found)}", expected(found), list(found.values())


@measured(
    "18",
    "Batch 1: loss = 9.2103 ... Batch 5: loss = 8.7543 ... Batch 10: loss = 8.3421",
    "003",
    about="a log of what was expected",
    section="Expected Results, Console output",
    experiment=f"{ONE} The last batch, the ninth, for the tenth.",
    change_our_mind="No batch more than a quarter of a nat above these, as planned.",
    asks=WORST_BATCH.values(),
)
def batches_of_the_log():
    """The batch that lies farthest above its expectation."""
    marks = dict(zip(LOGGED_BATCHES, LOG.values(), strict=True))

    def farthest(name):
        return np.max([values("first_epoch_at_full_width", name, f"batch {i}") - loss for i, loss in marks.items()], axis=0)

    found = answered(WORST_BATCH, farthest)
    first = values("first_epoch_at_full_width", "as planned", "batch 1").mean()
    told = f"the batch farthest above its expectation: {_told(found)}; the first batch is {first:.4f} in the mean"
    return told, expected(found), list(found.values())


@measured(
    "18",
    "Batch 10: loss = 8.3421 ... Epoch 1 complete: Average Loss = 7.8234",
    "003",
    about="both in one log",
    section="Expected Results, Console output",
    experiment=(
        "Arithmetic: full batches in an epoch of the 1,241 words of document 001; the least mean of a loss that falls from batch to batch "
        "through the logged numbers, and not below the mean that is logged for epoch 3."
    ),
    change_our_mind="A log of the program on that text, with a tenth batch and such a mean.",
)
def first_epoch_of_the_log():
    """No chance in it. The dots in the log leave room for more batches than ten, if the text has them."""
    batches = load_corpus("sayings").batches_per_epoch(BATCH, LENGTH)
    marks, last = list(LOG.items()), max(LOG)
    least = [marks[0][1], *(loss for (before, _), (after, loss) in itertools.pairwise(marks) for _ in range(after - before))]
    floor = min(LOGGED_MEANS.values())
    enough = last if np.mean(least) <= LOGGED_MEANS[1] else math.ceil((sum(least) - last * floor) / (LOGGED_MEANS[1] - floor))
    found = (
        f"{len(load_corpus('sayings').tokens):,} words make {batches} full batches, so there is no tenth; a loss that falls to {LOG[last]} "
        f"by then has a mean of at least {np.mean(least):.4f}, not {LOGGED_MEANS[1]}; with {enough} batches or more it could have that mean"
    )
    words = enough * BATCH * LENGTH + 1
    only_if = f"the text is another one, of {words:,} words or more: {enough} batches an epoch"
    effects = [exact("batches in an epoch", batches, "batches"), exact("least mean of such an epoch", np.mean(least), "nats")]
    return found, verdict(batches >= enough, only_if), effects


BELOW_SIX = expecting("the 6.0 expected, epoch 20", 0.0)


@measured(
    "18",
    "Loss reaches < 6.0 after 10-20 epochs",
    "003",
    section="Success criteria",
    experiment=TWENTY,
    change_our_mind="A twentieth epoch below 6.0, as planned.",
    asks=BELOW_SIX.values(),
)
def below_six():
    """The mean of the twentieth epoch."""
    found = answered(BELOW_SIX, lambda name: logged("epoch 20")(name) - 6.0)
    return f"mean of the twentieth epoch, above 6.0: {_told(found)}", expected(found), list(found.values())


BELOW_ENTROPY = expecting("the entropy of frequencies, epoch 20", 0.0)


@measured(
    "18",
    "Model should learn in 10-50 epochs",
    "003",
    section="Training Speed",
    experiment=f"{TWENTY} Learnt: the loss is below the entropy of the words' frequencies, so order is used.",
    change_our_mind="As planned, a loss below that entropy by the fiftieth epoch; it was followed to the twentieth.",
    asks=BELOW_ENTROPY.values(),
)
def ten_to_fifty_epochs():
    """The mean of the twentieth epoch against the unigram entropy of the targets."""
    entropy = defects.hashed_corpus(load_corpus("sayings"), WORDS).unigram_entropy(LENGTH)
    found = answered(BELOW_ENTROPY, lambda name: logged("epoch 20")(name) - entropy)
    pace = (values("expected_losses", "as planned", "epoch 10") - values("expected_losses", "as planned", "epoch 20")).mean() / 10
    told = (
        f"mean of the twentieth epoch, above {entropy:.2f}, the entropy of frequencies: {_told(found)}; as planned it fell by {pace:.3f} "
        f"an epoch from the tenth on, which leaves it {found['as planned'].interval.mean - 30 * pace:+.2f} above by the fiftieth if it "
        "goes on so"
    )
    return told, expected(found), list(found.values())


STEADILY = {name: above(f"{name}: share of epochs that fall", 0.9, 0.0, "share", "share of few") for name in PROGRAMS}


@measured(
    "18",
    "Loss decreases steadily over epochs",
    "003",
    section="Success criteria",
    experiment=TWENTY,
    change_our_mind="More than one epoch in ten that does not fall, as planned.",
    asks=STEADILY.values(),
)
def falls_steadily():
    """Share of epochs with a mean below the one before."""

    def falling(name):
        epochs = [values("expected_losses", name, f"epoch {i}") for i in range(1, EPOCHS_EXPECTED + 1)]
        return (np.diff(epochs, axis=0) < 0).mean(axis=0)

    found = answered(STEADILY, falling)
    return f"share of epochs that fall: {_told(found, '.2f')}", expected(found), list(found.values())
