"""Sound recurrent networks."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import accumulated, alone, clipped, each_word, looped, train
from benchmarks.torch_setups.models import LSTM, GRUClassifier, PoolingClassifier


@setup("LSTM", "LSTM", task=LANGUAGE)
def _(seed):
    return alone(LSTM(), each_word, data.next_words(seed))


@setup("LSTM in its loop, clipped at 1", "LSTM", task=LANGUAGE)
def _(seed):
    return looped(LSTM(), each_word, data.next_words(seed), step=clipped(each_word))


@setup("LSTM, trained", "LSTM", task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(LSTM(), each_word, data.next_words(seed)))


@setup("LSTM, two layers, dropout", "LSTM", task=LANGUAGE)
def _(seed):
    return looped(LSTM(layers=2, dropout=0.2), each_word, data.next_words(seed))


@setup("LSTM, tied", "LSTM", task=LANGUAGE)
def _(seed):
    return alone(LSTM(tied=True), each_word, data.next_words(seed))


@setup("LSTM, padding ignored", "LSTM", task=LANGUAGE)
def _(seed):
    def loss(logits, targets):
        return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=data.PAD)

    return looped(LSTM(padding=data.PAD), loss, data.padded_next_words(seed))


@setup("LSTM, SGD with momentum, pieces averaged", "LSTM", task=LANGUAGE)
def _(seed):
    model = LSTM()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    return looped(model, each_word, data.next_words(seed), optimizer, step=accumulated(each_word, 2))


class WithState(LSTM):
    """Gives its state too, as the layer itself does."""

    def forward(self, ids):
        x, state = self.rnn(self.embedding(ids))
        return self.head(x), state


@setup("LSTM that gives its state", "LSTM", task=OTHER)
def _(seed):
    return alone(WithState(), lambda found, targets: each_word(found[0], targets), data.next_words(seed))


class TimeFirst(LSTM):
    """Time is the first axis inside, and turned both ways rightly."""

    def __init__(self, **options):
        super().__init__(batch_first=False, **options)

    def forward(self, ids):
        x, _ = self.rnn(self.embedding(ids.t()))
        return self.head(x).transpose(0, 1)


@setup("LSTM, time first inside", "LSTM", task=LANGUAGE)
def _(seed):
    return alone(TimeFirst(), each_word, data.next_words(seed))


@setup("GRU as a language model, trained", "GRU", task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(LSTM(kind=nn.GRU), each_word, data.next_words(seed)))


@setup("GRU, classifier", "GRU, classifier", task=CLASSES)
def _(seed):
    return alone(GRUClassifier(), F.cross_entropy, data.topics(seed))


@setup("GRU, pooled over time", "GRU, classifier", task=CLASSES)
def _(seed):
    return looped(PoolingClassifier(), F.cross_entropy, data.topics(seed))


class BothWays(nn.Module):
    """A tagger that reads from both ends."""

    def __init__(self, vocab=40, width=24, classes=5):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.rnn = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, ids):
        return self.head(self.rnn(self.embedding(ids))[0])


@setup("GRU both ways as a tagger", "GRU, tagger", task=OTHER)
def _(seed):
    return looped(BothWays(), each_word, data.tags(seed))
