"""Texts that reach the model spoilt: each a corpus like the sound one, wrong in one way, or a loader that makes it so.

    Trainer(model, defects.TargetIsTheWordItself(corpus))
    defects.last_file_only(["sayings", "prose"])  # in the place of load_corpus

No number in the model is wrong. All of these are found by counting, and by reading one batch aloud.
"""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from cllm_lib.defects.catalogue import exhibit
from cllm_lib.defects.whole_program import hashed_corpus
from cllm_lib.lattice.locality import cone_distance
from cllm_lib.text.corpora import Corpus, load_corpus


class SpoiltCorpus(Corpus):
    """The text of another corpus, to be handed out in a wrong way: what overrides `pair` spoils what is held out alike.

    Parameters
    ----------
    corpus : Corpus
        The sound one; it stays as it is.
    """

    def __init__(self, corpus):
        super().__init__(**{field.name: getattr(corpus, field.name) for field in fields(Corpus)})


class SpoiltPairs(SpoiltCorpus):
    """A text whose batches are spoilt: inputs and targets do not belong together as they should.

    Parameters
    ----------
    corpus : Corpus
        The sound one; it stays as it is.
    held_out_too : bool
        Whether what is held out goes the same way. By default it is cut soundly, as by a program whose validation has a
        loader of its own, and its loss betrays the fault; with True, one loader makes both, and it does not.
    """

    def __init__(self, corpus, held_out_too=False):
        super().__init__(corpus)
        object.__setattr__(self, "held_out_too", held_out_too)  # a corpus is frozen

    def held_out_pair(self, inputs, targets):
        """As they are, or spoilt, too."""
        return self.pair(inputs, targets) if self.held_out_too else (inputs, targets)


@exhibit("target is the word itself", "corpus", lambda corpus: corpus, 16)
class TargetIsTheWordItself(SpoiltPairs):
    """Batches whose targets are one word early: the target of a word is the word itself.

    What it did
        Cut inputs and targets from the same place of the text, and forgot the step of one word between them.
    Symptom
        A loss that falls to 0 on any text, also on one without any order; the model then says its last word again and again.
        On held-out text it is far above that of a sound model, if that is cut soundly; cut by the same loader (`held_out_too`),
        it falls there, too, to what words cost that training did not have.
    Exposed by
        Reading one batch: each target must be the next input. A loss below what can be counted from the text says so too.
    In the documents
        None: an old acquaintance of everyone who has cut a text by hand.
    """

    def pair(self, inputs, targets):
        """The inputs twice."""
        return inputs, inputs.copy()


@exhibit("sorted by locality", "corpus", lambda corpus: corpus, 17)
class SortedByLocality(SpoiltPairs):
    """Batches whose inputs were sorted, while the targets stayed in reading order.

    What it did
        Sorted tokens before training by the distance of their ids from the origin of a spiral, sqrt(n + ln(n + 1) ** 2),
        so that neighbours in memory would be neighbours in training. The distance grows with n: it sorts by id. That
        the targets kept their order, so that pairs came apart, is our reading.
    Symptom
        A loss that hangs at the unigram entropy, for the inputs do not say what comes next, and leaves it only by heart; on
        held-out text, cut soundly or sorted as well (`held_out_too`), it never gets below what a list of word counts reaches.
    Exposed by
        Reading one batch: the inputs rise from left to right, and no target is the next input but by chance.
    In the documents
        003 lists "Ulam spiral locality (20-50% improvement)" among its next steps.
    """

    def pair(self, inputs, targets):
        """Each row of inputs sorted."""
        return np.take_along_axis(inputs, np.argsort(cone_distance(inputs), axis=-1, kind="stable"), axis=-1), targets


@exhibit("trained on the held-out", "corpus", lambda corpus: corpus, 18)
class TrainedOnTheHeldOut(SpoiltCorpus):
    """A corpus whose training part reaches to the end of the text: what is held out was trained on.

    What it did
        Named the last words "held out", and cut the training sequences from the whole text.
    Symptom
        A validation loss that falls along with the training loss, and never turns: no over-fitting, it seems.
    Exposed by
        The share of runs of several words in the held-out part that stand in the training part as well: all of them.
    In the documents
        None: the program held nothing out, and its only loss was that of the text it learnt.
    """

    @property
    def train_tokens(self):
        """All of it."""
        return self.tokens


@exhibit("shared ids", "corpus", lambda corpus: corpus, 19)
def shared_ids(corpus):
    """The same text with ids computed from the letters of a word: some words share one, and nobody can tell them apart.

    What it did
        Gave a word the id hash(31 h + byte) mod V, without a look whether the id was taken.
    Symptom
        A held-out loss a little too good: there are fewer different words to choose from than the text has.
    Exposed by
        Counting: fewer distinct ids than distinct words.
    In the documents
        None of them says how words get their numbers.

    Parameters
    ----------
    corpus : Corpus

    Returns
    -------
    Corpus
        With as many ids as the sound one has; see :func:`~cllm_lib.defects.whole_program.hashed_corpus`.
    """
    return hashed_corpus(corpus, len(corpus.vocabulary))


@exhibit("last file only", "loader", load_corpus, 20)
def last_file_only(source, vocab_size=10_000, validation_fraction=0.0, seed=0):
    """A loader that is given several texts and keeps the last.

    What it did
        Read file after file into the same place, so that each replaced the one before: of 1,598 words 324 were left.
    Symptom
        None in the loss: it falls, on a shorter text. Whatever stood in the other files was never learnt.
    Exposed by
        Counting: fewer words than the files have together.
    In the documents
        004 lists "Data loading" among what is operational.

    Parameters
    ----------
    source, vocab_size, validation_fraction, seed
        As for :func:`~cllm_lib.text.corpora.load_corpus`.

    Returns
    -------
    Corpus
        Under the name of all the texts.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    corpus = load_corpus(sources[-1], vocab_size, validation_fraction, seed)
    return replace(corpus, name=" + ".join(map(str, sources)))
