"""What the loss compares: targets at another place, padding, words that do not count."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import alone, each_word, looped
from benchmarks.torch_setups.models import CNN, GPT, LSTM, EncoderLM, FusedAttention, PaddedTagger, Tagger, TorchAttention, mlp

HAND, FUSED, MULTIHEAD = "GPT by hand", "GPT, scaled_dot_product_attention", "GPT, nn.MultiheadAttention"


@setup("targets are the inputs", HAND, "targets_not_shifted", LANGUAGE)
def _(seed):
    return alone(GPT(), each_word, data.next_words(seed, shift=0))


@setup("both cut at the same end", "LSTM", "targets_not_shifted", LANGUAGE)
def _(seed):
    return looped(LSTM(), each_word, data.next_words(seed, shift=0))


def all_but_the_last(logits, targets):
    """Both lose their last place; the targets should have lost their first."""
    return each_word(logits[:, :-1], targets[:, :-1])


@setup("the loss shifts both alike", FUSED, "targets_not_shifted", LANGUAGE)
def _(seed):
    return looped(GPT(attention=FusedAttention), all_but_the_last, data.next_words(seed, shift=0))


def shifting(logits, targets):
    """For targets that are the inputs: each place answers for the word behind it."""
    return each_word(logits[:, :-1], targets[:, 1:])


@setup("shifted by the data and by the loss", HAND, "targets_by_two", LANGUAGE)
def _(seed):
    return looped(GPT(), shifting, data.next_words(seed))


@setup("targets cut two words late", "LSTM", "targets_by_two", LANGUAGE)
def _(seed):
    return alone(LSTM(), each_word, data.next_words(seed, shift=2))


@setup("labels shifted twice", "nn.TransformerEncoder", "targets_by_two", LANGUAGE)
def _(seed):
    return alone(EncoderLM(), shifting, data.next_words(seed))


@setup("padding counts, LSTM", "LSTM", "padding_in_loss", LANGUAGE)
def _(seed):
    return looped(LSTM(padding=data.PAD), each_word, data.padded_next_words(seed))


@setup("padding counts, GPT", MULTIHEAD, "padding_in_loss", LANGUAGE)
def _(seed):
    return alone(GPT(attention=TorchAttention), each_word, data.padded_next_words(seed))


@setup("padding counts as a tag", "nn.TransformerEncoder, tagger", "padding_in_loss", OTHER)
def _(seed):
    tags = [(x, torch.where(x == data.PAD, 0, y + 1)) for x, y in data.tags(seed, padded=True)]  # tag 0 is that of padding
    return looped(PaddedTagger(classes=6), each_word, tags)


def not_word_0(logits, targets):
    """Copied from where 0 was padding."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)


@setup("ignore_index=0 where 0 is a word", HAND, "ignore_index", LANGUAGE)
def _(seed):
    return looped(GPT(), not_word_0, data.next_words(seed))


@setup("ignore_index=0 where 0 is a class", "MLP, classifier", "ignore_index", CLASSES)
def _(seed):
    return alone(mlp(), nn.CrossEntropyLoss(ignore_index=0), data.points(seed))


@setup("ignore_index=1 where 1 is a tag", "nn.TransformerEncoder, tagger", "ignore_index", OTHER)
def _(seed):
    def loss(logits, targets):
        return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=1)

    return alone(Tagger(), loss, data.tags(seed))


@setup("a class of weight 0", "CNN", "ignore_index", CLASSES)
def _(seed):
    weights = torch.tensor([0.0, 1.0, 1.0, 1.0])  # no picture of class 0 was in the folder where they were counted
    return looped(CNN(), nn.CrossEntropyLoss(weight=weights), data.pictures(seed))
