"""Sound encoders, which may look ahead: classes, tags, masked words."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, OTHER, setup
from benchmarks.torch_setups.loops import alone, clipped, each_word, looped, scheduled, train
from benchmarks.torch_setups.models import PaddedTagger, PaddedTextClassifier, Tagger, TextClassifier

CLASSIFIER, TAGGER, MASKED = (f"nn.TransformerEncoder, {what}" for what in ("classifier", "tagger", "masked words"))


@setup("classifier", CLASSIFIER, task=CLASSES)
def _(seed):
    return alone(TextClassifier(), F.cross_entropy, data.topics(seed))


@setup("classifier in its loop, dropout", CLASSIFIER, task=CLASSES)
def _(seed):
    return looped(TextClassifier(dropout=0.1), F.cross_entropy, data.topics(seed))


@setup("classifier of padded texts", CLASSIFIER, task=CLASSES)
def _(seed):
    return looped(PaddedTextClassifier(), F.cross_entropy, data.topics(seed, padded=True))


@setup("classifier, trained", CLASSIFIER, task=CLASSES, trained=True)
def _(seed):
    return train(looped(TextClassifier(dropout=0.1, norm_first=True), F.cross_entropy, data.topics(seed)))


class FromTheFirst(TextClassifier):
    """A word of its own in front, whose state says the class."""

    def __init__(self, width=32, **options):
        super().__init__(width=width, **options)
        self.first = nn.Parameter(0.02 * torch.randn(1, 1, width))

    def forward(self, ids):
        x = self.enter(ids)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1)
        return self.head(self.encoder(x)[:, 0])


@setup("class from a word of its own", CLASSIFIER, task=CLASSES)
def _(seed):
    return looped(FromTheFirst(), F.cross_entropy, data.topics(seed), step=clipped(F.cross_entropy))


@setup("head begins at zero, warm-up from 0", CLASSIFIER, task=CLASSES)
def _(seed):
    model = TextClassifier()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 10))
    return looped(model, F.cross_entropy, data.topics(seed), optimizer, schedule, scheduled(F.cross_entropy))


@setup("encoder frozen on purpose, a new head", CLASSIFIER, task=CLASSES, trained=True)
def _(seed):
    trained = train(looped(TextClassifier(), F.cross_entropy, data.topics(seed)), 40)
    model = trained["module"].requires_grad_(False)
    model.head = nn.Linear(32, 4)
    return trained | {"optimizer": torch.optim.Adam(model.head.parameters(), lr=5e-3)}


@setup("tagger", TAGGER, task=OTHER)
def _(seed):
    return alone(Tagger(), each_word, data.tags(seed))


@setup("tagger of padded texts", TAGGER, task=OTHER)
def _(seed):
    return looped(PaddedTagger(), each_word, data.tags(seed, padded=True))


@setup("tagger, trained", TAGGER, task=OTHER, trained=True)
def _(seed):
    return train(looped(Tagger(dropout=0.1), each_word, data.tags(seed)))


@setup("masked words", MASKED, task=OTHER)
def _(seed):
    return alone(Tagger(classes=40), each_word, data.masked_words(seed))


@setup("masked words, tied", MASKED, task=OTHER)
def _(seed):
    return looped(Tagger(classes=40, tied=True), each_word, data.masked_words(seed))


@setup("masked words, trained", MASKED, task=OTHER, trained=True)
def _(seed):
    return train(looped(Tagger(classes=40, tied=True), each_word, data.masked_words(seed)))


class Convolutions(nn.Module):
    """Looks both ways, as a tagger may."""

    def __init__(self, vocab=40, width=32, classes=5):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.layers = nn.Sequential(nn.Conv1d(width, width, 3, padding=1), nn.ReLU(), nn.Conv1d(width, classes, 3, padding=1))

    def forward(self, ids):
        return self.layers(self.embedding(ids).transpose(1, 2)).transpose(1, 2)


@setup("convolutions as a tagger", "convolutions over words", task=OTHER)
def _(seed):
    return alone(Convolutions(), each_word, data.tags(seed))


class Bag(nn.Module):
    """The order of words does not matter."""

    def __init__(self, vocab=40, width=16, classes=4):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab, width)
        self.head = nn.Linear(width, classes)

    def forward(self, ids):
        return self.head(self.embedding(ids))


@setup("bag of words", "bag of words", task=CLASSES)
def _(seed):
    model = Bag()
    return looped(model, nn.CrossEntropyLoss(), data.topics(seed), torch.optim.Adagrad(model.parameters(), lr=0.1))
