"""How far a step goes: rates, schedules, clipping, sixteen bits."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, MultiStepLR, StepLR

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import clipped, each_word, looped, scheduled
from benchmarks.torch_setups.models import CNN, GPT, LSTM, Autoencoder, EncoderLM, FusedAttention, TextClassifier, mlp

HAND, FUSED = "GPT by hand", "GPT, scaled_dot_product_attention"


def _looped(model, loss, batches, optimizer, scheduler=None, step=None):
    step = step or (scheduled(loss) if scheduler is not None else None)
    return looped(model, loss, batches, optimizer, scheduler, step)


@setup("rate 0", "MLP, classifier", "zero_rate", CLASSES)
def _(seed):
    model = mlp()
    return _looped(model, F.cross_entropy, data.points(seed), torch.optim.Adam(model.parameters(), lr=0.0))


@setup("warm-up by whole division", HAND, "zero_rate", LANGUAGE)
def _(seed):
    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = LambdaLR(optimizer, lambda step: min(1, step // 4000))  # `/` was meant
    return _looped(model, each_word, data.next_words(seed), optimizer, schedule)


@setup("warm-up that is never stepped", "nn.TransformerEncoder, classifier", "zero_rate", CLASSES)
def _(seed):
    model = TextClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = LambdaLR(optimizer, lambda step: min(1.0, step / 50))
    return looped(model, F.cross_entropy, data.topics(seed), optimizer, schedule)


@setup("rate of 1e-10", "MLP, regression", "zero_rate", OTHER)
def _(seed):
    model = mlp(6, 1)
    return _looped(model, F.mse_loss, data.curve(seed), torch.optim.SGD(model.parameters(), lr=1e-10))


@setup("Adam at 1", HAND, "rate_too_high", LANGUAGE)
def _(seed):
    model = GPT()
    return _looped(model, each_word, data.next_words(seed), torch.optim.Adam(model.parameters(), lr=1.0))


@setup("SGD at 10", "MLP, regression", "rate_too_high", OTHER)
def _(seed):
    model = mlp(6, 1)
    return _looped(model, F.mse_loss, data.curve(seed), torch.optim.SGD(model.parameters(), lr=10.0))


@setup("SGD at 20 with momentum", "CNN", "rate_too_high", CLASSES)
def _(seed):
    model = CNN()
    return _looped(model, F.cross_entropy, data.pictures(seed), torch.optim.SGD(model.parameters(), lr=20.0, momentum=0.9))


@setup("Adam at 2 in spite of clipping", "LSTM", "rate_too_high", LANGUAGE)
def _(seed):
    model = LSTM()
    optimizer = torch.optim.Adam(model.parameters(), lr=2.0)
    return _looped(model, each_word, data.next_words(seed), optimizer, step=clipped(each_word))


@setup("StepLR of epochs at each batch", "CNN", "scheduler_per_batch", CLASSES)
def _(seed):
    model = CNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return _looped(model, F.cross_entropy, data.pictures(seed), optimizer, StepLR(optimizer, step_size=5, gamma=0.1))


@setup("ExponentialLR of epochs at each batch", FUSED, "scheduler_per_batch", LANGUAGE)
def _(seed):
    model = GPT(attention=FusedAttention)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return _looped(model, each_word, data.next_words(seed), optimizer, ExponentialLR(optimizer, gamma=0.7))


@setup("MultiStepLR of epochs at each batch", "nn.TransformerEncoder", "scheduler_per_batch", LANGUAGE)
def _(seed):
    model = EncoderLM()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return _looped(model, each_word, data.next_words(seed), optimizer, MultiStepLR(optimizer, [10, 20, 30], gamma=0.1))


@setup("decay of epochs at each batch", "MLP, classifier", "scheduler_per_batch", CLASSES)
def _(seed):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return _looped(model, F.cross_entropy, data.points(seed), optimizer, LambdaLR(optimizer, lambda epoch: 0.5**epoch))


@setup("clipped to 1e-6", "LSTM", "clipped_away", LANGUAGE)
def _(seed):
    model = LSTM()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    return _looped(model, each_word, data.next_words(seed), optimizer, step=clipped(each_word, 1e-6))


@setup("largest norm 0, meant as off", HAND, "clipped_away", LANGUAGE)
def _(seed):
    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    return _looped(model, each_word, data.next_words(seed), optimizer, step=clipped(each_word, 0.0))


def clipped_by_value(loss, largest):
    """Each number by itself."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        value = loss(module(inputs), targets)
        value.backward()
        nn.utils.clip_grad_value_(module.parameters(), largest)
        optimizer.step()
        return value.item()

    return step


@setup("each number clipped to 1e-7", "autoencoder", "clipped_away", OTHER)
def _(seed):
    model = Autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return _looped(model, F.mse_loss, data.themselves(seed), optimizer, step=clipped_by_value(F.mse_loss, 1e-7))


def half_without_scaling(loss, examples):
    """Sixteen bits, a loss divided by the number of examples, and nothing that keeps small gradients from rounding to 0."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            value = loss(module(inputs), targets) / examples
        value.backward()
        optimizer.step()

    return step


@setup("float16 without a GradScaler", FUSED, "underflow", LANGUAGE)
def _(seed):
    model = GPT(attention=FusedAttention)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return _looped(model, each_word, data.next_words(seed), optimizer, step=half_without_scaling(each_word, 1_000_000))


@setup("bfloat16 weights and a small rate", "MLP, classifier", "underflow", CLASSES)
def _(seed):
    model = mlp().to(torch.bfloat16)
    batches = [(x.to(torch.bfloat16), y) for x, y in data.points(seed)]

    def loss(logits, targets):
        return F.cross_entropy(logits.float(), targets)

    return _looped(model, loss, batches, torch.optim.Adam(model.parameters(), lr=1e-5))


def gradients_sent_in_half(loss, examples):
    """Gradients made small enough to be sent between machines; the loss is a share of the whole epoch's."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        (loss(module(inputs), targets) / examples).backward()
        for p in module.parameters():
            p.grad = p.grad.half().float()
        optimizer.step()

    return step


@setup("gradients sent in float16", "CNN", "underflow", CLASSES)
def _(seed):
    model = CNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return _looped(model, F.cross_entropy, data.pictures(seed), optimizer, step=gradients_sent_in_half(F.cross_entropy, 50_000_000))
