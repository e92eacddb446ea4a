"""Instruments that read: a batch, the text behind it, and what was held out."""

from collections import Counter

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument

RUN = 5  # words; in a held-out text few runs as long stand in the training part as well
FOLLOW = 0.9  # of the targets; a row may have one place where its text ends and padding begins
LAST = 4  # words of a row


@instrument(
    "print a batch",
    2,
    Word("the targets are the inputs", lambda n: n["target is the word itself"] == 1.0, "a target is the next word"),
    Word(
        "the targets stand two words ahead",
        lambda n: n["target is two ahead"] == 1.0 > n["target is the next input"],
        "a target is the next word",
    ),
    Word(
        "the targets do not follow from the inputs",
        lambda n: n["target is the next input"] < FOLLOW and n["target is the word itself"] < 1.0 and n["target is two ahead"] < 1.0,
        "a target is the next word, wherever the next word can be seen",
    ),
    Word("the inputs are sorted", lambda n: n["rows that rise"] == 1.0, "a text does not rise"),
    Word(
        "what is read does not stand in the text",
        lambda n: n["rows that stand in the text"] < 1.0,
        "a sequence is a piece of the text",
    ),
    Word("every batch is the same", lambda n: n["different batches"] == 1.0, "an epoch shows each sequence once"),
    Word(
        "every epoch has the same order",
        lambda n: n["different first batches"] == 1.0 < n["different batches"],
        "an epoch is shuffled anew",
    ),
    Word("all rows end in one and the same word", lambda n: n["rows that end alike"] == 1.0, "sentences end differently"),
    needs_sameness=False,
)
def print_a_batch(patient):
    """Read a few batches as the model gets them: does each target follow its input, are they different?"""
    batches = [pair for epoch in range(6) for pair in patient.batches(6, epoch)][:6]  # of more epochs where one has fewer
    inputs, targets = (np.concatenate(side) for side in zip(*batches, strict=True))
    stated, held = patient.settings.corpus(), patient.begun.corpus
    pieces = set(_runs(_words(stated, stated.tokens), inputs.shape[1]))
    return {
        "rows that stand in the text": float(np.mean([tuple(_words(held, row)) in pieces for row in inputs])),
        "target is the word itself": float(np.mean(targets == inputs)),
        "target is the next input": float(np.mean(targets[:, :-1] == inputs[:, 1:])),
        "target is two ahead": float(np.mean(targets[:, :-2] == inputs[:, 2:])),
        "rows that rise": float(np.mean((np.diff(inputs, axis=1) >= 0).all(axis=1))),
        "different batches": float(len({pair[0].tobytes() for pair in batches})),
        "different first batches": float(len({patient.batches(1, epoch)[0][0].tobytes() for epoch in range(3)})),
        "rows that end alike": float(np.mean(np.ptp(targets[:, -LAST:], axis=1) == 0) * (np.unique(targets[:, -LAST:]).size == 1)),
    }


def _words(corpus, ids):
    """The words of these ids; None for an id that has none."""
    known = dict(enumerate(corpus.vocabulary))
    return [known.get(token) for token in ids.tolist()]


def _runs(words, length):
    """All runs of so many words."""
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


@instrument(
    "count the text",
    2,
    Word("fewer words than the files have", lambda n: n["words read"] < n["words in the files"], "a text that is read whole has them all"),
    Word(
        "fewer ids than words",
        lambda n: n["ids in use"] < n["words to tell apart"] and n["words read"] == n["words in the files"],
        "each word has an id of its own",
    ),
    Word(
        "more unknown words than the vocabulary leaves over",
        lambda n: n["unknown"] > n["unknown, expected"],
        "the most frequent words are known",
    ),
    needs_sameness=False,
)
def count_the_text(patient):
    """Count words and ids of the text as the trainer holds it, and compare with the files."""
    corpus, stated = patient.begun.corpus, patient.settings.corpus()
    held, meant = Counter(corpus.tokens.tolist()), Counter(stated.tokens.tolist())
    return {
        "words read": float(len(corpus.tokens)),
        "words in the files": float(len(stated.tokens)),
        "ids in use": float(len(held)),
        "words to tell apart": float(
            len(Counter(stated.tokens[: len(corpus.tokens)].tolist())) if len(corpus.tokens) < len(stated.tokens) else len(meant)
        ),
        "unknown": float(held[0]),
        "unknown, expected": float(meant[0]),
    }


@instrument(
    "overlap",
    3,
    Word(
        "all of the held-out text stands in the training part",
        lambda n: n["runs held out, seen in training"] == 1.0,
        "it was held out, and prose does not repeat itself",
    ),
    Word(
        "training reaches into what is held out",
        lambda n: n["trained and held out, of all words"] > 1.0,
        "the training part ends where the held-out part begins",
    ),
    needs_sameness=False,
)
def overlap(patient):
    """Look for runs of five words of the held-out text in the training part."""
    corpus = patient.begun.corpus
    seen = set(_runs(corpus.train_tokens.tolist(), RUN))
    held_out = _runs(corpus.validation_tokens.tolist(), RUN)
    size, trained = len(corpus.tokens), len(corpus.train_tokens)
    return {
        "runs held out, seen in training": float(np.mean([run in seen for run in held_out])),
        "trained, of all words": trained / size,
        "trained and held out, of all words": (trained + len(corpus.validation_tokens)) / size,
    }
