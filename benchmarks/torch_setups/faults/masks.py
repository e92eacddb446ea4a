"""Who sees whom: missing and turned masks, examples that see each other, noise that stays on."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, setup
from benchmarks.torch_setups.loops import alone, clipped, each_word, looped
from benchmarks.torch_setups.models import (
    CNN,
    GPT,
    LSTM,
    Autoencoder,
    EncoderLM,
    FusedAttention,
    SelfAttention,
    TextClassifier,
    TorchAttention,
    mlp,
)

HAND, FUSED, MULTIHEAD = "GPT by hand", "GPT, scaled_dot_product_attention", "GPT, nn.MultiheadAttention"


class MaskedToNobody(SelfAttention):
    """`masked_fill` without the underscore, and its result is thrown away."""

    def weights(self, scores):
        time = scores.size(-1)
        scores.masked_fill(self.mask[:time, :time] == 0, float("-inf"))
        return F.softmax(scores, dim=-1)


@setup("mask computed and thrown away", HAND, "no_causal_mask", LANGUAGE)
def _(seed):
    return alone(GPT(attention=MaskedToNobody), each_word, data.next_words(seed))


class EncoderWithoutMask(EncoderLM):
    """The mask is an argument of the encoder that is easily forgotten."""

    def forward(self, ids):
        return self.head(self.encoder(self.enter(ids)))


@setup("encoder as a language model without a mask", "nn.TransformerEncoder", "no_causal_mask", LANGUAGE)
def _(seed):
    return looped(EncoderWithoutMask(), each_word, data.next_words(seed))


class AddedMask(TorchAttention):
    """Ones and zeros as floats: they are added to the scores; booleans were meant."""

    def mask(self, time):
        return torch.triu(torch.ones(time, time), diagonal=1)


@setup("mask of ones, which is added", MULTIHEAD, "no_causal_mask", LANGUAGE)
def _(seed):
    return alone(GPT(attention=AddedMask), each_word, data.next_words(seed))


class NotCausal(FusedAttention):
    """`is_causal` left at its default, which is False."""

    def mix(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value)


@setup("is_causal forgotten", FUSED, "no_causal_mask", LANGUAGE)
def _(seed):
    return looped(GPT(attention=NotCausal), each_word, data.next_words(seed), step=clipped(each_word))


class UpperTriangle(SelfAttention):
    """`triu` where `tril` was meant."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.register_buffer("mask", torch.triu(torch.ones_like(self.mask)))


@setup("triu for tril", HAND, "transposed_mask", LANGUAGE)
def _(seed):
    return looped(GPT(attention=UpperTriangle), each_word, data.next_words(seed))


class AllowedTakenForForbidden(EncoderLM):
    """In PyTorch's encoder True means: do not look. Whoever writes down what is behind a word forbids just that."""

    def mask(self, time):
        return torch.tril(torch.ones(time, time, dtype=torch.bool), diagonal=-1)


@setup("what is allowed taken for forbidden", "nn.TransformerEncoder", "transposed_mask", LANGUAGE)
def _(seed):
    return alone(AllowedTakenForForbidden(), each_word, data.next_words(seed))


class QueriesOverKeys(FusedAttention):
    """A mask built as [key, query]; PyTorch reads [query, key]."""

    def mix(self, query, key, value):
        places = torch.arange(query.size(-2))
        allowed = places[:, None] <= places[None, :]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)


@setup("mask with its axes swapped", FUSED, "transposed_mask", LANGUAGE)
def _(seed):
    return alone(GPT(attention=QueriesOverKeys), each_word, data.next_words(seed))


@setup("batch_first forgotten, encoder", "nn.TransformerEncoder, classifier", "batch_mixed", CLASSES)
def _(seed):
    return looped(TextClassifier(batch_first=False), F.cross_entropy, data.topics(seed))


@setup("batch_first forgotten, LSTM", "LSTM", "batch_mixed", LANGUAGE)
def _(seed):
    return alone(LSTM(batch_first=False), each_word, data.next_words(seed))


class ViewForTranspose(nn.Module):
    """Time first by `view`, which keeps the order in memory, where `transpose` was meant."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads)  # wants (T, B, D)

    def forward(self, x):
        batch, time, width = x.shape
        x = x.reshape(time, batch, width)
        y, _ = self.attention(x, x, x, attn_mask=torch.triu(torch.ones(time, time, dtype=torch.bool), diagonal=1))
        return y.reshape(batch, time, width)


@setup("view for transpose", MULTIHEAD, "batch_mixed", LANGUAGE)
def _(seed):
    return alone(GPT(attention=ViewForTranspose), each_word, data.next_words(seed))


class ScaledByItsBatch(nn.Module):
    """Inputs brought to mean 0 and deviation 1 by those of the batch; those of the training data were meant."""

    def __init__(self):
        super().__init__()
        self.layers = mlp(6, 1)

    def forward(self, x):
        x = (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-6)
        return self.layers(x)


@setup("inputs scaled by their batch", "MLP, regression", "batch_mixed")
def _(seed):
    return looped(ScaledByItsBatch(), F.mse_loss, data.curve(seed))


class FunctionalDropout(nn.Module):
    """`F.dropout` without `training=self.training`: its default is True."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(10, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x):
        x = F.dropout(F.relu(self.first(x)), 0.3)
        x = F.dropout(F.relu(self.second(x)), 0.3)
        return self.third(x)


@setup("F.dropout without training", "MLP, classifier", "dropout_on", CLASSES)
def _(seed):
    return alone(FunctionalDropout(), F.cross_entropy, data.points(seed))


class AlwaysDropping(FusedAttention):
    """`dropout_p` is a number: the function does not know of eval()."""

    def mix(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, dropout_p=self.p, is_causal=True)


@setup("dropout_p at evaluation", FUSED, "dropout_on", LANGUAGE)
def _(seed):
    return looped(GPT(attention=AlwaysDropping, dropout=0.2), each_word, data.next_words(seed))


class NewDropoutEachTime(CNN):
    """A dropout made in `forward`: it is new, in training mode, and eval() never meets it."""

    def forward(self, x):
        x = nn.Dropout(0.25)(self.features(x).flatten(1))
        return self.head(x)


@setup("dropout made in forward", "CNN", "dropout_on", CLASSES)
def _(seed):
    return looped(NewDropoutEachTime(), F.cross_entropy, data.pictures(seed))


class NoiseForEver(Autoencoder):
    """A denoising autoencoder that goes on adding noise."""

    def forward(self, x):
        return super().forward(x + 0.3 * torch.randn_like(x))


@setup("noise at evaluation", "autoencoder", "dropout_on")
def _(seed):
    return alone(NoiseForEver(), F.mse_loss, data.themselves(seed))
