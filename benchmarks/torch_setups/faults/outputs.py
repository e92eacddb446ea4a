"""What the outputs are: probabilities for logits, and probabilities over the wrong axis."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import alone, clipped, each_word, looped
from benchmarks.torch_setups.models import CNN, GPT, LSTM, FusedAttention, PoolingClassifier, SelfAttention, mlp

HAND, FUSED = "GPT by hand", "GPT, scaled_dot_product_attention"


@setup("Softmax in front of CrossEntropyLoss", "MLP, classifier", "double_softmax", CLASSES)
def _(seed):
    return alone(mlp(last=(nn.Softmax(dim=-1),)), nn.CrossEntropyLoss(), data.points(seed))


class Probabilities(GPT):
    """Gives probabilities, and the loss makes probabilities of them."""

    def forward(self, ids):
        return F.softmax(super().forward(ids), dim=-1)


@setup("softmax at the end of a language model", FUSED, "double_softmax", LANGUAGE)
def _(seed):
    return looped(Probabilities(attention=FusedAttention), each_word, data.next_words(seed), step=clipped(each_word))


@setup("Sigmoid in front of BCEWithLogitsLoss", "MLP, several labels", "double_softmax", OTHER)
def _(seed):
    return looped(mlp(10, 6, last=(nn.Sigmoid(),)), nn.BCEWithLogitsLoss(), data.several_labels(seed))


class PictureProbabilities(CNN):
    """The same with pictures."""

    def forward(self, x):
        return super().forward(x).softmax(dim=1)


@setup("softmax at the end of a CNN", "CNN", "double_softmax", CLASSES)
def _(seed):
    return looped(PictureProbabilities(), nn.CrossEntropyLoss(), data.pictures(seed))


class OverQueries(SelfAttention):
    """dim=-2 for dim=-1."""

    def weights(self, scores):
        time = scores.size(-1)
        scores = scores.masked_fill(self.mask[:time, :time] == 0, float("-inf"))
        return F.softmax(scores, dim=-2)


@setup("softmax over queries", HAND, "softmax_axis", LANGUAGE)
def _(seed):
    return alone(GPT(attention=OverQueries), each_word, data.next_words(seed))


@setup("LogSoftmax over the batch", "MLP, classifier", "softmax_axis", CLASSES)
def _(seed):
    return alone(mlp(last=(nn.LogSoftmax(dim=0),)), nn.NLLLoss(), data.points(seed))


def nll_each_word(log_probabilities, targets):
    """Of (B, T, V) that are logarithms already."""
    return F.nll_loss(log_probabilities.flatten(0, 1), targets.flatten())


class OverTime(LSTM):
    """log_softmax over axis 1, which is time in (B, T, V)."""

    def forward(self, ids):
        return F.log_softmax(super().forward(ids), dim=1)


@setup("log_softmax over time", "LSTM", "softmax_axis", LANGUAGE)
def _(seed):
    return looped(OverTime(), nll_each_word, data.next_words(seed))


class PooledOverNothing(PoolingClassifier):
    """The scores are (B, T, 1): over their last axis every weight is 1."""

    def forward(self, ids):
        states, _ = self.rnn(self.embedding(ids))
        weights = torch.softmax(self.score(states), dim=-1)
        return self.head((weights * states).sum(dim=1))


@setup("pooling weights over an axis of one", "GRU, classifier", "softmax_axis", CLASSES)
def _(seed):
    return looped(PooledOverNothing(), F.cross_entropy, data.topics(seed))
