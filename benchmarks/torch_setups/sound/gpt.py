"""Sound causal language models: variants of the model and of the loss."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import alone, clipped, each_word, looped, parts, train
from benchmarks.torch_setups.models import (
    GPT,
    Block,
    EncoderLM,
    FusedAttention,
    PostNormBlock,
    RotaryAttention,
    SelfAttention,
    TorchAttention,
    sinusoids,
)

HAND, FUSED, MULTIHEAD = "GPT by hand", "GPT, scaled_dot_product_attention", "GPT, nn.MultiheadAttention"


@setup("GPT by hand", HAND, task=LANGUAGE)
def _(seed):
    return alone(GPT(), each_word, data.next_words(seed))


@setup("GPT by hand, its batches", HAND, task=LANGUAGE)
def _(seed):
    return parts(GPT(dropout=0.1), each_word, data.next_words(seed))


@setup("fused attention", FUSED, task=LANGUAGE)
def _(seed):
    return alone(GPT(attention=FusedAttention, layers=3), each_word, data.next_words(seed))


@setup("fused attention, dropout in training only", FUSED, task=LANGUAGE)
def _(seed):
    return looped(GPT(attention=FusedAttention, dropout=0.2), each_word, data.next_words(seed))


@setup("MultiheadAttention", MULTIHEAD, task=LANGUAGE)
def _(seed):
    return alone(GPT(attention=TorchAttention), each_word, data.next_words(seed))


@setup("MultiheadAttention, trained", MULTIHEAD, task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(GPT(attention=TorchAttention, dropout=0.1), each_word, data.next_words(seed)))


@setup("encoder with a causal mask", "nn.TransformerEncoder", task=LANGUAGE)
def _(seed):
    return alone(EncoderLM(), each_word, data.next_words(seed))


@setup("encoder with a causal mask, tied, trained", "nn.TransformerEncoder", task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(EncoderLM(tied=True, dropout=0.1), each_word, data.next_words(seed)))


@setup("encoder with a causal mask, norm first", "nn.TransformerEncoder", task=LANGUAGE)
def _(seed):
    return looped(EncoderLM(norm_first=True, activation="gelu"), each_word, data.next_words(seed), step=clipped(each_word))


@setup("head begins at zero", HAND, task=LANGUAGE)
def _(seed):
    model = GPT()
    nn.init.zeros_(model.head.weight)
    return alone(model, each_word, data.next_words(seed))


def _silent_branches(model):
    """Every block begins as the identity."""
    for block in model.blocks:
        nn.init.zeros_(block.attention.proj.weight)
        nn.init.zeros_(block.mlp[2].weight)
    return model


@setup("blocks begin as the identity", FUSED, task=LANGUAGE)
def _(seed):
    return looped(_silent_branches(GPT(attention=FusedAttention, layers=4)), each_word, data.next_words(seed))


@setup("blocks and head begin at zero", HAND, task=LANGUAGE)
def _(seed):
    model = _silent_branches(GPT())
    nn.init.zeros_(model.head.weight)
    return looped(model, each_word, data.next_words(seed))


def shifting(logits, ids):
    """Targets are the inputs; each place answers for the word behind it."""
    return each_word(logits[:, :-1], ids[:, 1:])


@setup("loss that shifts by itself", HAND, task=LANGUAGE)
def _(seed):
    return alone(GPT(), shifting, data.next_words(seed, shift=0))


@setup("loss that shifts by itself, trained", FUSED, task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(GPT(attention=FusedAttention), shifting, data.next_words(seed, shift=0)))


@setup("GPT by hand, trained", HAND, task=LANGUAGE, trained=True)
def _(seed):
    found = train(parts(GPT(), each_word, data.next_words(seed)))
    del found["batches"]
    return found


@setup("norm last", HAND, task=LANGUAGE)
def _(seed):
    return looped(GPT(block=PostNormBlock), each_word, data.next_words(seed))


class WithoutPositions(GPT):
    """Attention knows the places."""

    def enter(self, ids):
        return self.embedding(ids)

    def __init__(self, **options):
        super().__init__(**options)
        del self.positions


@setup("rotary positions", FUSED, task=LANGUAGE)
def _(seed):
    return alone(WithoutPositions(attention=RotaryAttention), each_word, data.next_words(seed))


class Sinusoidal(WithoutPositions):
    """Positions that are not learned, and a larger embedding."""

    def __init__(self, width=32, **options):
        super().__init__(width=width, **options)
        self.register_buffer("places", 0.1 * sinusoids(width))

    def enter(self, ids):
        x = self.embedding(ids)
        return x + self.places[: x.size(1)]


@setup("sinusoidal positions, trained", FUSED, task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(Sinusoidal(attention=FusedAttention), each_word, data.next_words(seed)))


class FartherIsLess(SelfAttention):
    """Scores fall with the distance (ALiBi)."""

    def weights(self, scores):
        places = torch.arange(scores.size(-1))
        slopes = 2.0 ** -torch.arange(1, self.heads + 1).view(-1, 1, 1)
        return super().weights(scores - slopes * (places[:, None] - places).clamp(min=0))


@setup("positions by distance", HAND, task=LANGUAGE)
def _(seed):
    return alone(WithoutPositions(attention=FartherIsLess), each_word, data.next_words(seed))


class Window(FusedAttention):
    """The last five words only."""

    def mix(self, query, key, value):
        places = torch.arange(query.size(-2))
        back = places[:, None] - places
        return F.scaled_dot_product_attention(query, key, value, attn_mask=(back >= 0) & (back < 5))


@setup("a window of five words", FUSED, task=LANGUAGE)
def _(seed):
    return alone(GPT(attention=Window), each_word, data.next_words(seed))


class RMSNorm(nn.Module):
    """Without a mean and without a bias."""

    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.gain * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class SwiGLU(nn.Module):
    """A feed-forward layer with a gate."""

    def __init__(self, width):
        super().__init__()
        self.up, self.gate, self.down = (nn.Linear(*shape, bias=False) for shape in [(width, 2 * width)] * 2 + [(2 * width, width)])

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class ModernBlock(Block):
    """With both."""

    def __init__(self, width, attention):
        super().__init__(width, attention, SwiGLU(width), RMSNorm)


@setup("RMSNorm, SwiGLU, rotary positions, no biases", FUSED, task=LANGUAGE)
def _(seed):
    return looped(WithoutPositions(attention=RotaryAttention, block=ModernBlock, bias=False), each_word, data.next_words(seed))


class ParallelBlock(Block):
    """Attention and feed-forward layer side by side, one residual connection for both."""

    def forward(self, x):
        return x + self.attention(self.norm1(x)) + self.mlp(self.norm2(x))


@setup("parallel blocks", FUSED, task=LANGUAGE)
def _(seed):
    return alone(GPT(attention=FusedAttention, block=ParallelBlock), each_word, data.next_words(seed))


@setup("tied", HAND, task=LANGUAGE)
def _(seed):
    return alone(GPT(tied=True), each_word, data.next_words(seed))


@setup("tied, in its loop", FUSED, task=LANGUAGE)
def _(seed):
    return looped(GPT(attention=FusedAttention, tied=True), each_word, data.next_words(seed))


@setup("tied, trained", HAND, task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(GPT(tied=True, dropout=0.1), each_word, data.next_words(seed), step=clipped(each_word)))


def without_padding(logits, targets):
    """Number 0 is padding."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=data.PAD)


@setup("padding ignored", HAND, task=LANGUAGE)
def _(seed):
    return looped(GPT(), without_padding, data.padded_next_words(seed))


@setup("padding marked -100", MULTIHEAD, task=LANGUAGE)
def _(seed):
    return alone(GPT(attention=TorchAttention), each_word, data.padded_next_words(seed, filler=data.IGNORED))


def masked_mean(logits, targets):
    """By hand: over the words that are there."""
    there = targets != data.PAD
    losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    return (losses * there).sum() / there.sum()


@setup("padding left out by hand", FUSED, task=LANGUAGE)
def _(seed):
    return looped(GPT(attention=FusedAttention), masked_mean, data.padded_next_words(seed))


def smoothed(logits, targets):
    """A tenth for all other words."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=0.1)


@setup("label smoothing", HAND, task=LANGUAGE)
def _(seed):
    return looped(GPT(), smoothed, data.next_words(seed))


class LogProbabilities(GPT):
    """Gives logarithms of probabilities."""

    def forward(self, ids):
        return F.log_softmax(super().forward(ids), dim=-1)


def nll_each_word(log_probabilities, targets):
    """As they come."""
    return F.nll_loss(log_probabilities.flatten(0, 1), targets.flatten())


@setup("log_softmax and NLLLoss", HAND, task=LANGUAGE)
def _(seed):
    return alone(LogProbabilities(), nll_each_word, data.next_words(seed))


class CausalConvolutions(nn.Module):
    """A causal convolution: padded on the left only."""

    def __init__(self, vocab=50, width=32):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=d) for d in (1, 2))
        self.head = nn.Linear(width, vocab)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        for layer in self.layers:
            x = x + F.relu(layer(F.pad(x, (2 * layer.dilation[0], 0))))
        return self.head(x.transpose(1, 2))


@setup("causal convolutions", "convolutions over words", task=LANGUAGE)
def _(seed):
    return alone(CausalConvolutions(), each_word, data.next_words(seed))


class LastWord(GPT):
    """A class of the whole text, from the place of its last word."""

    def __init__(self, classes, **options):
        super().__init__(**options)
        self.head = nn.Linear(self.head.in_features, classes)

    def forward(self, ids):
        return super().forward(ids)[:, -1]


@setup("a class from the last word", FUSED, task="classes")
def _(seed):
    return looped(LastWord(4, vocab=40, attention=FusedAttention), F.cross_entropy, data.topics(seed))


class Bounded(GPT):
    """Logits held within 15."""

    def forward(self, ids):
        return 15 * torch.tanh(super().forward(ids) / 15)


@setup("logits held within bounds", FUSED, task=LANGUAGE)
def _(seed):
    return alone(Bounded(attention=FusedAttention), each_word, data.next_words(seed))


class WithStates(GPT):
    """Gives logits and states, as many models of others do."""

    def forward(self, ids):
        x = self.enter(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)), x


@setup("logits and states", HAND, task=OTHER)
def _(seed):
    return alone(WithStates(), lambda found, targets: each_word(found[0], targets), data.next_words(seed))
