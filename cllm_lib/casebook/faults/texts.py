"""Defects of the text, and of the way from the text to a batch."""

from dataclasses import replace

import numpy as np

from cllm_lib import defects
from cllm_lib.casebook.faults.catalogue import fault
from cllm_lib.casebook.settings import corpus_of, words_of
from cllm_lib.defects.data import SpoiltCorpus


@fault("target is the word itself", "print a batch")
def target_is_the_word_itself(parts, settings):
    """Inputs and targets are cut from the same place: a word is to predict itself.

    Symptom
        The loss falls towards 0, in validation too.
    Exposed by
        Reading one batch.
    Source
        The museum, "target is the word itself"; huggingface/transformers issue 27517: labels that a model did not shift, and a
        model that copied its input.
    Repair
        Targets are the text one word later.
    """
    return replace(parts, corpus=defects.TargetIsTheWordItself(parts.corpus, held_out_too=True))


class TwoAhead(SpoiltCorpus):
    """Targets that were shifted twice."""

    def pair(self, inputs, targets):
        """Once more by one; the last of a row keeps its own."""
        return inputs, np.concatenate([targets[:, 1:], targets[:, -1:]], axis=1)


@fault("targets shifted twice", "print a batch")
def targets_shifted_twice(parts, settings):
    """Each target stands two words ahead: shifted by the text, and once more by the loss; the last of a row keeps its own.

    Symptom
        The loss falls, less far than the sound twin's.
    Exposed by
        Reading one batch.
    Source
        huggingface/transformers issue 47394: labels shifted by the model and again by its loss.
    Repair
        Shift once.
    """
    return replace(parts, corpus=TwoAhead(parts.corpus))


class OfAnotherRow(SpoiltCorpus):
    """Inputs and targets that were shuffled apart."""

    def pair(self, inputs, targets):
        """Each row's targets are those of the row before."""
        return inputs, np.roll(targets, 1, axis=0)


@fault("targets of another sequence", "print a batch")
def targets_of_another_sequence(parts, settings):
    """Inputs and targets were put in another order each: a row's targets belong to another row.

    Symptom
        The loss falls to the unigram entropy, and leaves it only by heart.
    Exposed by
        Reading one batch.
    Source
        xudonmao/VMT issue 1: two calls of a shuffle, one for inputs and one for labels; sklearn.utils.shuffle(X, y) does both at
        once.
    Repair
        Shuffle the pairs.
    """
    return replace(parts, corpus=OfAnotherRow(parts.corpus))


@fault("inputs sorted", "print a batch")
def inputs_sorted(parts, settings):
    """The words of each input were sorted by their ids, and the targets were not.

    Symptom
        The loss falls, on most seeds a little below the unigram entropy, for the words of a row are still there; it stays above the
        sound twin's.
    Exposed by
        Reading one batch.
    Source
        The museum, "sorted by locality": document 003's next steps.
    Repair
        Leave the words in their order.
    """
    return replace(parts, corpus=defects.SortedByLocality(parts.corpus, held_out_too=True))


class OneBatch(SpoiltCorpus):
    """A loader that hands out the same batch at each step."""

    def batches(self, batch_size, seq_len, generator):
        """The first one, as often as an epoch has batches."""
        batches = list(super().batches(batch_size, seq_len, np.random.default_rng(0)))
        for _ in batches:
            yield batches[0]


@fault("the same batch at every step", "print a batch")
def the_same_batch(parts, settings):
    """The loader begins anew at every step: the model is trained on one batch.

    Symptom
        A training loss that falls to 0, and a validation loss that rises.
    Exposed by
        Reading two batches.
    Source
        ZhaoJ9014/face.evoLVe pull request 39, wandb/examples issue 444: an iterator made anew inside the loop.
    Repair
        Make the iterator once an epoch.
    """
    return replace(parts, corpus=OneBatch(parts.corpus))


class Padded(SpoiltCorpus):
    """Rows whose last third is padding, which counts in the loss."""

    def pair(self, inputs, targets):
        """Id 0 from two thirds of a row on."""
        inputs, targets, start = inputs.copy(), targets.copy(), 2 * inputs.shape[1] // 3
        inputs[:, start:] = targets[:, start:] = 0
        return inputs, targets


@fault("padding counted in the loss", "print a batch")
def padding_counted(parts, settings):
    """The last six words of each row of sixteen are padding, and the loss counts them: a model that says "padding" looks good.

    Symptom
        A loss that is too good, by about the share of padding.
    Exposed by
        Reading one batch.
    Source
        lukas-blecher/LaTeX-OCR issue 305: padding has id 0, and torch.nn.CrossEntropyLoss ignores -100 unless one says otherwise.
    Repair
        Leave padding out of the mean.
    """
    return replace(parts, corpus=Padded(parts.corpus))


@fault("shared ids", "count the text")
def shared_ids(parts, settings):
    """Ids are computed from the letters of a word: some words share one.

    Symptom
        A validation loss that is too good, by half a nat here: there are fewer different words to choose from, and fewer unknown
        ones.
    Exposed by
        Counting words and ids.
    Source
        The museum, "shared ids".
    Repair
        A table of words.
    """
    return replace(parts, corpus=defects.shared_ids(parts.corpus))


@fault("last file only", "count the text")
def last_file_only(parts, settings):
    """Of two texts the last is kept: each was read into the same place.

    Symptom
        A training loss that is too good, for the text is shorter and seen more often, and a validation loss that rises all the
        sooner.
    Exposed by
        Counting the words.
    Source
        The museum, "last file only".
    Repair
        Append.
    """
    words = words_of(settings.texts, settings.n_words)
    return replace(parts, corpus=corpus_of(words[-(-settings.n_words // 2) :], settings.vocab_size, parts.corpus.name))


@fault("vocabulary of another text", "count the text")
def vocabulary_of_another_text(parts, settings):
    """The vocabulary was counted in the last of the two texts: words of the other are unknown.

    Symptom
        A training loss that is too good, since "unknown" is a safe guess; the validation loss, of a text whose words are known, is
        worse.
    Exposed by
        Counting unknown words.
    Source
        A tokenizer of another model than the weights'. Seen in the field; no single source.
    Repair
        Keep text, vocabulary and model together.
    """
    words = words_of(settings.texts, settings.n_words)
    last = words[-(-settings.n_words // 2) :]  # words_of gives the first text the odd word
    vocabulary = corpus_of(last, settings.vocab_size, parts.corpus.name).vocabulary
    return replace(parts, corpus=corpus_of(words, settings.vocab_size, parts.corpus.name, vocabulary))


@fault("trained on the held-out text", "overlap")
def trained_on_the_held_out(parts, settings):
    """Training sequences are cut from the whole text, the held-out part included.

    Symptom
        A validation loss that falls along with the training loss, and does not turn.
    Exposed by
        The share of the held-out text that stands in the training part as well.
    Source
        The museum, "trained on the held-out"; Kapoor and Narayanan 2023, "Leakage and the reproducibility crisis in
        machine-learning-based science".
    Repair
        Cut the training part first.
    """
    return replace(parts, corpus=defects.TrainedOnTheHeldOut(parts.corpus))


class Unshuffled(SpoiltCorpus):
    """A loader that hands out the text in its order, at each epoch."""

    def batches(self, batch_size, seq_len, generator):
        """From the beginning to the end."""
        yield from super().batches(batch_size, seq_len, _InOrder())


class _InOrder:
    """A generator of random numbers that leaves things where they are."""

    bit_generator = None

    def permutation(self, count):
        return np.arange(count, dtype=np.int64)


@fault("batches never shuffled", "print a batch")
def never_shuffled(parts, settings):
    """Each epoch hands out the text in its order: neighbours come together, the same ones each time.

    Symptom
        A pattern in the curve that comes again at each epoch; the loss ends above the sound twin's on nearly every seed.
    Exposed by
        Reading the first batch of two epochs.
    Source
        joaoamcarvalho/mpd-public issue 6, Deci-AI/super-gradients issue 416: torch's DataLoader, whose shuffle is False unless one
        says otherwise.
    Repair
        Shuffle at each epoch.
    """
    return replace(parts, corpus=Unshuffled(parts.corpus))


class ValidatedOnTraining(SpoiltCorpus):
    """A corpus that hands out the beginning of its training part as what it holds out."""

    @property
    def validation_tokens(self):
        """As many as were to be held out."""
        return self.tokens[: self.n_validation]


@fault("validated on the training text", "overlap")
def validated_on_the_training_text(parts, settings):
    """The validation loss is measured on text that was trained on; what was held out is never read.

    Symptom
        A validation loss that falls along with the training loss; the training itself is sound.
    Exposed by
        The share of the held-out text that stands in the training part as well.
    Source
        JJGO/shrinkbench pull request 7, KrishnaDN/x-vector-pytorch issue 8; Kapoor and Narayanan 2023 on leakage.
    Repair
        Measure on what was held out.
    """
    return replace(parts, corpus=ValidatedOnTraining(parts.corpus))
