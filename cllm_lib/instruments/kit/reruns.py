"""Instruments that train once more: on one batch, on shuffled words, at other rates. They are dear, and they acquit."""

import copy
import math

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument

_CHOSEN = "the stated rates were chosen by measuring"
FAR = 0.5  # nats
PATIENCE = 60  # steps of a rerun
BY_CHANCE = 0.3  # nats: a word's own -ln p scatters by about 1.5, the mean of 250 held-out words by a tenth; this is three of them


def _end(losses, last=5):
    end = float(np.mean(losses[-last:]))
    return end if math.isfinite(end) else math.inf


@instrument(
    "overfit one batch",
    8,
    Word(
        "one batch cannot be learnt by heart",
        lambda n: n["end"] > 0.7 * n["begin"],
        "a few words are fewer than the weights",
        certain=False,
    ),
    needs_sameness=False,
)
def overfit_one_batch(patient):
    """Train anew on a single batch, for sixty steps: its loss should fall towards 0."""
    trainer, batch = patient.begin(), patient.batch
    losses = [trainer.step(*batch) for _ in range(PATIENCE)]
    return {"begin": losses[0], "end": _end(losses)}


@instrument(
    "shuffled words",
    8,
    Word(
        "it predicts words that nobody can",
        lambda n: n["held-out loss"] < n["unigram entropy"] - BY_CHANCE,
        "in shuffled words nothing but their frequency can be known",
        certain=False,
    ),
    needs_sameness=False,
)
def shuffled_words(patient):
    """Train anew on the same words in random order: held-out words can be guessed by their frequency alone."""
    trainer = patient.begin()
    trainer.corpus = _reordered(trainer.corpus, np.random.default_rng(0).permutation(len(trainer.corpus.tokens)))
    trainer.fit(steps=patient.steps)
    _, counts = np.unique(trainer.corpus.tokens, return_counts=True)
    shares = counts / counts.sum()
    return {"held-out loss": _end([trainer.evaluate()]), "unigram entropy": float(-(shares * np.log(shares)).sum())}


def _reordered(corpus, order):
    """The same corpus, of whatever kind, with its words in another order."""
    shuffled = copy.copy(corpus)
    object.__setattr__(shuffled, "tokens", corpus.tokens[order])
    return shuffled


@instrument(
    "another rate",
    8,
    Word(
        "a tenth of the rate is far better",
        lambda n: n["at a tenth"] < n["as it is"] - FAR,
        _CHOSEN,
        certain=False,
    ),
    Word(
        "ten times the rate is far better",
        lambda n: n["at ten times"] < n["as it is"] - FAR,
        _CHOSEN,
        certain=False,
    ),
    Word("the rate makes no difference", lambda n: abs(n["at ten times"] - n["at a tenth"]) < 1e-9, "a rate scales the step"),
    needs_sameness=False,
)
def another_rate(patient):
    """Train anew at a tenth of the rate and at ten times the rate, for sixty steps each."""
    found, steps = {}, min(PATIENCE, patient.steps)
    for name, factor in (("at a tenth", 0.1), ("at ten times", 10.0)):
        trainer = patient.begin()
        trainer.optimizer.learning_rate *= factor
        found[name] = _end(list(trainer.run(steps=steps)))
    return {"as it is": _end(patient.trained.history.losses[:steps])} | found
