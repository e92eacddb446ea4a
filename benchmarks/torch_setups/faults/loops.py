"""The loop itself: gradients that are not cleared, accumulation done wrong."""

import torch
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import each_word, looped
from benchmarks.torch_setups.models import CNN, GPT, LSTM, EncoderLM, FusedAttention, mlp

HAND, FUSED = "GPT by hand", "GPT, scaled_dot_product_attention"


def never_cleared(loss):
    """`zero_grad` is commented out."""

    def step(module, optimizer, scheduler, inputs, targets):
        # optimizer.zero_grad()
        value = loss(module(inputs), targets)
        value.backward()
        optimizer.step()
        return value.item()

    return step


@setup("zero_grad commented out", HAND, "no_zero_grad", LANGUAGE)
def _(seed):
    return looped(GPT(), each_word, data.next_words(seed), step=never_cleared(each_word))


def named_not_called(module, optimizer, scheduler, inputs, targets):
    """`zero_grad` without its brackets."""
    optimizer.zero_grad  # noqa: B018
    value = F.cross_entropy(module(inputs), targets)
    value.backward()
    optimizer.step()


@setup("zero_grad without brackets", "CNN", "no_zero_grad", CLASSES)
def _(seed):
    model = CNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    return looped(model, F.cross_entropy, data.pictures(seed), optimizer, step=named_not_called)


def never_cleared_but_clipped(module, optimizer, scheduler, inputs, targets):
    """The same with clipping, which hides how large the sum has become."""
    F.mse_loss(module(inputs), targets).backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()


@setup("zero_grad missing, clipped", "MLP, regression", "no_zero_grad", OTHER)
def _(seed):
    model = mlp(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    return looped(model, F.mse_loss, data.curve(seed), optimizer, step=never_cleared_but_clipped)


def not_divided(loss, pieces):
    """The mean losses of all pieces are added up."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        for x, y in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
            loss(module(x), y).backward()
        optimizer.step()

    return step


@setup("pieces added up, not averaged", FUSED, "accumulation", LANGUAGE)
def _(seed):
    model = GPT(attention=FusedAttention)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return looped(model, each_word, data.next_words(seed), optimizer, step=not_divided(each_word, 2))


def cleared_between_pieces(module, optimizer, scheduler, inputs, targets):
    """`zero_grad` has slipped into the loop over the pieces."""
    for x, y in zip(inputs.chunk(3), targets.chunk(3), strict=True):
        optimizer.zero_grad()
        (F.cross_entropy(module(x), y) / 3).backward()
    optimizer.step()


@setup("cleared between pieces", "MLP, classifier", "accumulation", CLASSES)
def _(seed):
    return looped(mlp(), F.cross_entropy, data.points(seed), step=cleared_between_pieces)


def backward_after_the_pieces(module, optimizer, scheduler, inputs, targets):
    """`backward` has slipped out of the loop over the pieces."""
    optimizer.zero_grad()
    for x, y in zip(inputs.chunk(2), targets.chunk(2), strict=True):
        value = each_word(module(x), y) / 2
    value.backward()
    optimizer.step()


@setup("backward after the loop over pieces", "nn.TransformerEncoder", "accumulation", LANGUAGE)
def _(seed):
    model = EncoderLM()
    return looped(model, each_word, data.next_words(seed), torch.optim.SGD(model.parameters(), lr=0.1), step=backward_after_the_pieces)


@setup("pieces added up, LSTM", "LSTM", "accumulation", LANGUAGE)
def _(seed):
    model = LSTM()
    return looped(model, each_word, data.next_words(seed), torch.optim.SGD(model.parameters(), lr=0.3), step=not_divided(each_word, 2))
