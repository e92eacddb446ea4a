"""Seeds and sizes that several experiments share, and the small sound model that three of them train."""

import numpy as np

from cllm_lib.claims.registry import values
from cllm_lib.model.config import CLLMConfig
from cllm_lib.text.corpora import load_corpus, windows
from cllm_lib.training.trainer import Trainer

SEEDS = range(10)
WORDS = 10_000  # V, as documented: ln V is the number that did not move
BATCH, LENGTH = 4, 32  # from the output quoted in document 001
DOCUMENTED = dict(vocab_size=WORDS, d_model=512, n_layers=6, n_heads=8, d_ff=2048, seq_len=LENGTH)
SMALL = dict(d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=LENGTH)
EPOCHS_OF_SMALL = 10


def trained(build, seed, optimizer, rate):
    """Train a small model of the sayings for ten epochs.

    Parameters
    ----------
    build : callable
        Makes the model, as :class:`~cllm_lib.model.transformer.CLLM` is called.
    seed : int
    optimizer : str or callable
        For the trainer; or from the model to an optimiser, which then has its own rate.
    rate : float or None

    Returns
    -------
    dict of str to float
        "before", "after": loss of the text in nats, infinite where training overflows: no rate is worse; "nearer", by which
        factor the mean squared distance of a word and the next one changed.
    """
    corpus = load_corpus("sayings")
    model = build(CLLMConfig(len(corpus.vocabulary), **SMALL), seed=seed)
    before, apart = loss_of_text(model, corpus), distance_to_next(model, corpus)
    rule, rate = (optimizer(model), None) if callable(optimizer) else (optimizer, rate)
    with np.errstate(all="ignore"):
        Trainer(model, corpus, rule, rate, BATCH, seed, stop_when_not_finite=False).fit(EPOCHS_OF_SMALL)
        after, nearer = loss_of_text(model, corpus), distance_to_next(model, corpus) / apart
    return {"before": before, "after": after if np.isfinite(after) else np.inf, "nearer": nearer}


def distance_to_next(model, corpus):
    """Mean squared distance between the embeddings of a word and of the one that follows it."""
    embedded = model.parameters["embedding"][corpus.tokens]
    return float((np.diff(embedded, axis=0) ** 2).sum(axis=1).mean())


def loss_of_text(model, corpus):
    """Of what it is trained on, in nats."""
    return float(model.loss(*windows(corpus.train_tokens, model.config.seq_len)))


def change_of(name, variant):
    """Loss after minus before, by seed, of one variant of an experiment that stored both."""
    return values(name, variant, "after") - values(name, variant, "before")
